namespace Rehearsal;

/// <summary>One of the platform's workloads, as far as the world around the cluster must know it.</summary>
/// <param name="Name">Of Deployment, image and TLS secret.</param>
/// <param name="Host">First label of its host, null without an Ingress.</param>
public sealed record Workload(string Name, string? Host = null)
{
    public const string Zone = "aether.example.com";

    /// <summary>The 22 of the chart and the five that the rehearsal's overlay adds (platform contract, 8.2 and 3.3).</summary>
    public static IReadOnlyList<Workload> All { get; } =
    [
        new("auth-service", "auth"),
        new("account-service", "accounts"),
        new("behavior-service", "behavior"),
        new("advisor-service", "advisor"),
        new("benchmark-service", "benchmark"),
        new("capital-allocator"),
        new("capital-flow-service"),
        new("config-service", "config"),
        new("fees-service", "fees"),
        new("volatility-service", "volatility"),
        new("seasonality-service", "seasonality"),
        new("oms-service", "oms"),
        new("override-service", "override"),
        new("policy-service", "policy"),
        new("hitl-service", "hitl"),
        new("risk-service", "risk"),
        new("strategy-orchestrator", "strategy"),
        new("secrets-service", "secrets"),
        new("universe-service", "universe"),
        new("marketdata-ingestor"),
        new("kraken-ws-ingest"),
        new("aether-2-ui", "ui"),
        new("admin-platform"),
        new("safe-mode"),
        new("sim-mode"),
        new("sequencer"),
        new("kill-switch"),
    ];

    /// <summary>First labels of the 18 hosts.</summary>
    public static IReadOnlyList<string> Hosts { get; } = [.. All.Select(workload => workload.Host).OfType<string>()];
}
