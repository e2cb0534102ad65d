using System.Text.Json.Nodes;

namespace Rehearsal.Aether.Services;

/// <summary>
/// The body of <c>/healthz</c> and <c>/readyz</c>: real looks at what the service depends on, at most once in two seconds, so
/// that probes of a hundred pods do not become load.
/// </summary>
internal sealed class HealthReport(Pod pod, AetherService service)
{
    private static readonly TimeSpan Freshness = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan FlapPeriod = TimeSpan.FromSeconds(5);

    private readonly Lock _lock = new();
    private Task<List<(string Name, string? Error)>>? _look;
    private long _lookedAt;

    public async Task<(bool Healthy, JsonObject Body)> LookAsync(CancellationToken ct)
    {
        Task<List<(string Name, string? Error)>> look;
        lock (_lock)
        {
            if (_look is null || pod.Time.GetElapsedTime(_lookedAt) > Freshness)
            {
                _lookedAt = pod.Time.GetTimestamp();
                _look = LookAtAllAsync();
            }

            look = _look;
        }

        var seen = await look.WaitAsync(ct);
        var checks = new JsonObject();
        var healthy = true;
        foreach (var (name, error) in Injected() is { } fault ? seen.Append(("dependency", fault)) : seen)
        {
            healthy &= error is null;
            checks[name] = error is null
                ? new JsonObject { ["status"] = "ok" }
                : new JsonObject { ["status"] = "error", ["error"] = error };
        }

        return (healthy, new JsonObject { ["status"] = healthy ? "ok" : "error", ["checks"] = checks });
    }

    private async Task<List<(string Name, string? Error)>> LookAtAllAsync()
    {
        var seen = new List<(string Name, string? Error)>();
        foreach (var (name, look) in service.Checks)
        {
            seen.Add((name, await TryAsync(look)));
        }

        return seen;
    }

    private async Task<string?> TryAsync(Func<CancellationToken, Task> look)
    {
        using var patience = new CancellationTokenSource(Patience, pod.Time);
        try
        {
            await look(patience.Token);
            return null;
        }
        catch (Exception failure) when (failure is not OutOfMemoryException)
        {
            return failure is OperationCanceledException ? "timed out" : failure.Message;
        }
    }

    /// <summary>
    /// Fault <c>health-error</c>: <c>SLOT:WORKLOAD</c>, with a third part <c>flap</c> sick and well in turns of five seconds.
    /// </summary>
    private string? Injected()
    {
        if (!pod.Struck("health-error"))
        {
            return null;
        }

        var flapping = pod.World.Fault("health-error")!.Trim().EndsWith(":flap", StringComparison.Ordinal);
        var well = flapping && pod.Time.GetUtcNow().ToUnixTimeSeconds() / (long)FlapPeriod.TotalSeconds % 2 == 0;
        return well ? null : "dependency is unavailable";
    }
}
