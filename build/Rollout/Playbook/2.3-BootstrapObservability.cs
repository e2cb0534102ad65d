using System.Globalization;
using System.Text.Json.Nodes;
using Cake.Frosting;
using Rollout.Monitoring;
using Rollout.Platform;

namespace Rollout.Playbook;

/// <summary>
/// "Set PROMETHEUS_EXPORTER_PORT/OTEL_EXPORTER_OTLP_ENDPOINT for each service so the new metrics.configure_observability hook binds scrape and
/// trace exporters automatically."
/// <para>Changes: two variables of every Deployment of the candidate, by an upgrade, so that a later upgrade keeps them. Done when: every pod
/// carries them, and a probe's trace is found. Undone by: Retire.</para>
/// </summary>
[TaskDescription("2.3 Bootstrap observability: every candidate service exports metrics and traces, and a probe's trace is found")]
[IsDependentOn(typeof(InstallChart))]
public sealed class BootstrapObservability : PlaybookStep
{
    protected override Task<StepPlan> CheckAsync(RolloutRun run, CancellationToken cancellationToken) =>
        Task.FromResult(new StepPlan([.. Wanted(run).Select(p => $"set {p.Key}={p.Value} for every service of {run.Named(run.Candidate)}")]));

    protected override async Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        var after = new JsonObject();
        foreach (var (name, value) in Wanted(run))
        {
            after[name] = value;
        }

        await journal.IntendAsync("environment", new() { ["before"] = null, ["after"] = after });
        await CandidateUpgrade.ApplyAsync(run, run.CandidateValues, "2.3 observability", cancellationToken);
    }

    protected override async Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var silent = new List<string>();
        foreach (var deployment in await run.Cluster.ListAsync($"/apis/apps/v1/namespaces/{run.Candidate.Namespace}/deployments", cancellationToken))
        {
            if (run.Settings.List("Platform.WithoutExporter").Contains(deployment["metadata"]!["name"]!.GetValue<string>()))
            {
                continue;
            }

            var environment = (deployment["spec"]!["template"]!["spec"]!["containers"]![0]!["env"] as JsonArray ?? []).OfType<JsonObject>()
                .ToDictionary(e => e["name"]!.GetValue<string>(), e => e["value"]?.GetValue<string>());
            silent.AddRange(Wanted(run).Where(w => environment.GetValueOrDefault(w.Key) != w.Value)
                .Select(w => $"{deployment["metadata"]!["name"]!.GetValue<string>()} lacks {w.Key}"));
        }

        if (silent.Count > 0)
        {
            throw new RolloutException(
                $"{silent.Count} variables are missing on {run.Named(run.Candidate)}, the first: {silent[0]}.", "The chart must hand global.env to every container.");
        }

        await RequireTraceAsync(run, cancellationToken);
    }

    private static Dictionary<string, string> Wanted(RolloutRun run)
    {
        var wanted = new Dictionary<string, string>
        {
            ["PROMETHEUS_EXPORTER_PORT"] = run.Settings.WholeNumber("Traces.ExporterPort").ToString(CultureInfo.InvariantCulture),
        };
        if (run.Surroundings.Otlp is { } otlp)
        {
            wanted["OTEL_EXPORTER_OTLP_ENDPOINT"] = otlp;
        }

        return wanted;
    }

    // "Set the variable" is not "traces arrive" (platform contract, section 9): a probe with a known request id must be found again.
    private static async Task RequireTraceAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        if (run.Surroundings.TracesApi is null)
        {
            run.Console.Warning("no trace store is set (Traces.Api): tracing is not checked, and a rollback will have no traces");
            return;
        }

        var probe = await run.CandidateStack.SnapshotAsync(
            [new ServiceEndpoint("policy-service", "80")], $"rollout-{run.Release}-2.3-{run.Time.GetUtcNow().ToUnixTimeMilliseconds()}", cancellationToken);
        using var traces = new TraceStore(run.Surroundings.TracesApi, run.Time);
        var found = await traces.FindByRequestIdAsync(probe[0].RequestId, run.Settings.Duration("Traces.Timeout"), cancellationToken);
        if (found.State != TraceState.Found)
        {
            throw new RolloutException(
                $"A probe of {run.Named(run.Candidate)} with x-request-id {probe[0].RequestId} left no trace: {found.Message}",
                "Tracing is off. Look at the services' log for the exporter's warning; OTEL_EXPORTER_OTLP_ENDPOINT must include /v1/traces.");
        }

        run.Console.Note("metrics exporter and traces are on; the probe's trace was found");
    }
}
