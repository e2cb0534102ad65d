using Rollout.Cluster;
using Rollout.Environments;
using Rollout.Monitoring;

namespace Rollout.Playbook;

/// <summary>What 2.3 wants of the candidate's services, and what is really seen of it.</summary>
internal static class ServiceObservability
{
    private const string ScalingNamespace = "OMS_DEPLOYMENT_NAMESPACE";
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(500);

    /// <summary>
    /// Looks at every workload: its variables, its exporter's page, and whether the trace of a request to it is found. Waits up to <c>Traces.Timeout</c> for pages
    /// and traces to be there. Changes nothing.
    /// </summary>
    /// <param name="wanted">Variables that every workload with exporters must have.</param>
    public static async Task<ObservabilityTable> LookAsync(RolloutRun run, IReadOnlyDictionary<string, string> wanted, CancellationToken cancellationToken)
    {
        var slot = run.Candidate;
        var exempt = run.Settings.List("Platform.WithoutExporter");
        var workloads = await EnvironmentsAsync(run, slot, cancellationToken);
        var (lost, notes) = await LostAsync(run, workloads, cancellationToken);
        var exporting = workloads.Where(w => w.Variables.ContainsKey("PROMETHEUS_EXPORTER_PORT") && !exempt.Contains(w.Workload)).Select(w => w.Workload).ToHashSet();
        var pages = await PagesAsync(run, exporting, cancellationToken);
        var (traces, tracing) = await TracesAsync(run, workloads, exempt, cancellationToken);
        var rows = new List<ObservabilityRow>();
        foreach (var workload in workloads)
        {
            var problems = new List<string>();
            if (!exempt.Contains(workload.Workload))
            {
                problems.AddRange(wanted.Where(w => workload.Variables.GetValueOrDefault(w.Key) != w.Value).Select(w => $"lacks {w.Key}={w.Value}"));
            }

            problems.AddRange(lost.GetValueOrDefault(workload.Workload, []));
            var own = pages.Where(p => p.Workload == workload.Workload).ToList();
            var unread = own.Where(p => !p.IsRead).ToList();
            if (exporting.Contains(workload.Workload))
            {
                problems.AddRange(own.Count == 0 ? ["has no running pod whose exporter could be read"] : unread.Select(p => $"does not answer on its exporter port {p.Port} ({p.Pod}: {p.Detail})"));
            }

            var trace = traces.GetValueOrDefault(workload.Workload);
            problems.AddRange(trace.Problem is { } problem ? [problem] : []);
            rows.Add(new ObservabilityRow(
                workload.Workload,
                workload.Variables.Count,
                exempt.Contains(workload.Workload) ? "none by setting" : own.Count == 0 ? "no pod" : unread.Count > 0 ? $"{unread.Count} of {own.Count} pods unread" : $"read, {own.Sum(p => p.Samples)} samples of {own.Count} pods",
                trace.Seen ?? "no Service",
                [.. problems, .. ScalingProblems(run, workload)]));
        }

        return new ObservabilityTable(run.Named(slot), run.Time.GetUtcNow(), rows, tracing, notes);
    }

    private static async Task<IReadOnlyList<WorkloadEnvironment>> EnvironmentsAsync(RolloutRun run, SlotPlace slot, CancellationToken cancellationToken) =>
        [.. (await run.Cluster.ListAsync($"/apis/apps/v1/namespaces/{slot.Namespace}/deployments", cancellationToken)).Select(WorkloadEnvironment.From)];

    // A controller without this variable scales the OMS of the namespace "aether", whoever lives there (platform contract, section 4.3).
    private static IEnumerable<string> ScalingProblems(RolloutRun run, WorkloadEnvironment workload)
    {
        var isController = workload.Workload == new Platform.ServiceNames().Admin;
        if (!workload.Variables.TryGetValue(ScalingNamespace, out var there))
        {
            return isController ? [$"lacks {ScalingNamespace}, so its scaling controller acts on the OMS of the namespace 'aether'"] : [];
        }

        return there is not null && there != run.Candidate.Namespace
            ? [$"has {ScalingNamespace}={there}, so a scaling controller of {run.Named(run.Candidate)} acts on another stack's OMS; it must be {run.Candidate.Namespace}"]
            : [];
    }

    // What the chart gives without our variables must all be there, and so must what an overlay's list took away although live has it.
    private static async Task<(Dictionary<string, List<string>> Lost, List<string> Notes)> LostAsync(
        RolloutRun run, IReadOnlyList<WorkloadEnvironment> workloads, CancellationToken cancellationToken)
    {
        var lost = new Dictionary<string, List<string>>();
        var notes = new List<string>();
        var rendered = await run.RenderAsync(run.Candidate, run.CandidateValues with { Environment = new Dictionary<string, string>() }, "before-observability", cancellationToken);
        var before = rendered.Deployments.Select(WorkloadEnvironment.From).ToDictionary(w => w.Workload);
        var live = (await EnvironmentsAsync(run, run.Live, cancellationToken)).ToDictionary(w => w.Workload);
        var replaced = ValueLists.Of(await run.NamedLayersAsync(run.Candidate, cancellationToken)).Lost.ToLookup(l => l.Entry, l => l.Path);
        foreach (var workload in workloads)
        {
            var problems = before.TryGetValue(workload.Workload, out var had)
                ? workload.Lacks(had).Select(name => $"has lost {name}, which it had before this step").ToList()
                : [];
            foreach (var name in live.TryGetValue(workload.Workload, out var there) ? workload.Lacks(there).Except(["PROMETHEUS_EXPORTER_PORT", "OTEL_EXPORTER_OTLP_ENDPOINT"]) : [])
            {
                if (replaced[name].FirstOrDefault() is { } path)
                {
                    problems.Add($"has lost {name}, which live has: an overlay lists {path} anew, and Helm replaces lists instead of merging them");
                }
                else
                {
                    notes.Add($"{workload.Workload} has no {name} any more, which live has: this release's chart does not give it");
                }
            }

            if (problems.Count > 0)
            {
                lost[workload.Workload] = problems;
            }
        }

        return (lost, notes);
    }

    private static async Task<IReadOnlyList<ExporterPage>> PagesAsync(RolloutRun run, HashSet<string> exporting, CancellationToken cancellationToken)
    {
        var signals = new ServiceSignals(run.Cluster.Http, run.Candidate.Namespace, run.Time);
        var start = run.Time.GetTimestamp();
        while (true)
        {
            var pages = await signals.ExporterPagesAsync(cancellationToken);
            var missing = exporting.Where(w => pages.All(p => p.Workload != w)).Concat(pages.Where(p => exporting.Contains(p.Workload) && !p.IsRead).Select(p => p.Workload)).Distinct().Count();
            if (missing == 0 || run.Time.GetElapsedTime(start) >= run.Settings.Duration("Traces.Timeout"))
            {
                return pages;
            }

            await Waiting.PauseAsync(Pause, run.Time, cancellationToken);
        }
    }

    // "Set the variable" is not "traces arrive" (platform contract, section 9): each service is asked once, and the trace of that request must be found.
    private static async Task<(Dictionary<string, (string? Seen, string? Problem)> Traces, string Tracing)> TracesAsync(
        RolloutRun run, IReadOnlyList<WorkloadEnvironment> workloads, IReadOnlyList<string> exempt, CancellationToken cancellationToken)
    {
        using var store = run.OpenTraces();
        if (store is null)
        {
            return (workloads.ToDictionary(w => w.Workload, _ => ((string?)"off: no store is set", (string?)null)), "off: no trace store is set (Traces.Api), and a rollback will have no traces");
        }

        var services = (await run.ServicesAsync(run.Candidate, cancellationToken)).Where(s => workloads.Any(w => w.Workload == s.Name) && !exempt.Contains(s.Name)).ToList();
        var first = run.Time.GetUtcNow().ToUnixTimeMilliseconds();
        var probes = await new ServiceSignals(run.Cluster.Http, run.Candidate.Namespace, run.Time)
            .ProbeAsync([.. services.Select(s => (s.Name, s.Port))], index => $"rollout-{run.Release}-2.3-{first + index}", cancellationToken);
        var lookups = await Task.WhenAll(probes.Where(p => p.IsInstrumented).Select(async probe =>
            (probe.Service, Lookup: await store.FindByRequestIdAsync(probe.RequestId, probe.Service, run.Settings.Duration("Traces.Timeout"), cancellationToken))));
        var found = lookups.ToDictionary(l => l.Service, l => l.Lookup);
        var traces = probes.ToDictionary(p => p.Service, p => !found.TryGetValue(p.Service, out var lookup)
            ? (p.Code == 0 || p.Code >= 500 ? $"unknown: {p.Detail}" : "not instrumented", p.Code == 0 || p.Code >= 500 ? $"did not answer the probe ({p.Detail})" : null)
            : lookup.State switch
            {
                TraceState.Found => ((string?)$"traced as {lookup.TraceId}", (string?)null),
                TraceState.Off => ("off", $"left no trace of x-request-id {p.RequestId} within {run.Settings["Traces.Timeout"]} s"),
                _ => ("unknown", $"may be traced or not: {lookup.Message}"),
            });
        foreach (var workload in exempt)
        {
            traces.TryAdd(workload, ("none by setting", null));
        }

        var counts = (Found: found.Values.Count(l => l.State == TraceState.Found), Off: found.Values.Count(l => l.State == TraceState.Off), found.Count);
        return (traces, counts.Count == 0 ? "off: no service is instrumented"
            : counts.Found == counts.Count ? "on"
            : counts.Found > 0 ? $"on for {counts.Found} of {counts.Count} instrumented services"
            : counts.Off > 0 ? "off" : $"unknown: {found.Values.First().Message}");
    }
}
