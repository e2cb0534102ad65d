using System.Globalization;
using System.Text.Json.Nodes;
using Cake.Frosting;
using Rollout.Monitoring;

namespace Rollout.Playbook;

/// <summary>
/// "Set PROMETHEUS_EXPORTER_PORT/OTEL_EXPORTER_OTLP_ENDPOINT for each service so the new metrics.configure_observability hook binds scrape and
/// trace exporters automatically."
/// <para>Changes: two variables of every Deployment of the candidate, by an upgrade, so that a later upgrade keeps them. Done when: every
/// workload has them and all that it had, every exporter port answers, the trace of a request to each instrumented service is found, and the scaling controller
/// acts on its own slot. Undone by: Retire.</para>
/// </summary>
[TaskDescription("2.3 Bootstrap observability: every candidate service exports metrics and traces, and a probe's trace is found")]
[IsDependentOn(typeof(InstallChart))]
public sealed class BootstrapObservability : PlaybookStep
{
    private static readonly System.Text.Json.JsonSerializerOptions Indented = new() { WriteIndented = true };

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
        var seen = await ServiceObservability.LookAsync(run, Wanted(run), cancellationToken);
        await journal.KeepAsync("observability.json", seen.ToJson().ToJsonString(Indented));
        await journal.KeepAsync("observability.txt", seen.ToText());
        journal.Result["tracing"] = seen.Tracing;
        run.Console.Table(
            $"Observability of {seen.Slot}",
            ["workload", "variables", "metrics", "traces"],
            [.. seen.Rows.Select(r => (IReadOnlyList<string>)[r.Workload, $"{r.Variables}", r.Metrics, r.Traces])]);
        foreach (var note in seen.Notes)
        {
            run.Console.Note(note);
        }

        Require(run, seen);
        if (run.Surroundings.TracesApi is null)
        {
            run.Console.Warning($"tracing is {seen.Tracing}");
        }
    }

    protected override async Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var seen = await ServiceObservability.LookAsync(run, Wanted(run), cancellationToken);
        Require(run, seen);
        run.Console.Note(seen.Summary);
    }

    private static void Require(RolloutRun run, ObservabilityTable seen)
    {
        var problems = seen.Problems;
        if (run.Surroundings.TracesApi is not null && seen.Tracing.StartsWith("off: no service", StringComparison.Ordinal))
        {
            problems = [.. problems, "no service's answer carries x-request-id, so none is instrumented"];
        }

        if (problems.Count > 0)
        {
            throw new RolloutException(
                $"{problems.Count} things are not observable on {run.Named(run.Candidate)}, tracing is {seen.Tracing}: {string.Join("; ", problems.Take(5))}{(problems.Count > 5 ? "; …" : "")}.",
                "observability.txt in this step's evidence has every service. Variables come from the chart's global.env; a workload without exporters belongs into Platform.WithoutExporter; "
                + "for traces look at the services' log for the exporter's warning: OTEL_EXPORTER_OTLP_ENDPOINT must include /v1/traces.");
        }
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
}
