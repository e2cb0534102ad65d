using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Rollout.Cluster;
using Rollout.Environments;
using Rollout.Supply;

namespace Rollout.Playbook;

/// <summary>What 1.4 wants of the overlays and of the chart: in a commit, as they are here, and rendering to what a cluster takes.</summary>
internal static class OverlayChecks
{
    // 2.3 gives these to every service, whatever the values say.
    private static readonly string[] GivenLater = ["PROMETHEUS_EXPORTER_PORT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

    /// <summary>Records the commit that chart and overlays are at, each overlay's SHA-256, and what the overlays' lists take away.</summary>
    public static async Task RecordAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        var overlays = new JsonObject();
        foreach (var overlay in run.Overlays(run.Candidate))
        {
            overlays[PathIn(run, overlay)] = Convert.ToHexStringLower(SHA256.HashData(await File.ReadAllBytesAsync(overlay, cancellationToken)));
        }

        journal.Result["commit"] = await run.Checkout.HeadAsync(cancellationToken);
        journal.Result["overlays"] = overlays;
        if (await ListsAsync(run, run.Candidate, cancellationToken) is { Lost: { Count: > 0 } lost })
        {
            await journal.KeepAsync("replaced-lists.txt", string.Concat(lost.Select(l => $"{l.Path}: {l.By} lists it anew without {l.Entry}, which {l.From} gives\n")));
            run.Console.Note($"overlays replace {lost.Select(l => l.Path).Distinct().Count()} lists of files below them; replaced-lists.txt in the evidence names what is lost");
        }
    }

    /// <summary>Whether every overlay, and every file of the chart, is what the commit has.</summary>
    public static async Task LookAsync(RolloutRun run, Findings found, CancellationToken cancellationToken)
    {
        foreach (var path in run.Overlays(run.Candidate).Select(o => PathIn(run, o)))
        {
            if (path.StartsWith("../", StringComparison.Ordinal) || Path.IsPathRooted(path))
            {
                found.Problems.Add($"{path} is outside the platform checkout, so no commit holds it");
            }
            else if (!await run.Checkout.IsCommittedAsync(path, cancellationToken))
            {
                found.Problems.Add($"{path} has changes that are not committed");
            }
        }

        var chart = run.Settings["Chart.Path"]!;
        foreach (var file in await new PlatformCheckout(Path.Combine(run.Surroundings.Platform, chart), run.Commands).DirtyFilesAsync(cancellationToken))
        {
            // "helm dependency build" makes these two; that they stay as they are is 1.1's digest.
            var isFetched = file == "Chart.lock" || file.StartsWith("charts/", StringComparison.Ordinal);
            (isFetched ? found.Warnings : found.Problems).Add(
                isFetched ? $"{chart}/{file} is in no commit: another checkout may fetch another one" : $"{chart}/{file} has changes that are not committed");
        }
    }

    /// <summary>Whether a cluster would take what the chart renders to, and nothing of it goes to live.</summary>
    public static void LookAtRendered(RolloutRun run, RenderedChart rendered, Findings found)
    {
        found.Problems.AddRange(rendered.ProblemsIn(run.Candidate.Namespace).Select(p => $"the chart does not render to what a cluster takes: {p}"));
        found.Problems.AddRange(rendered.NamedInto(run.Live.Namespace).Select(o => $"the chart renders {o} into {run.Live.Namespace}, which is {run.Named(run.Live)}'s"));
    }

    /// <summary>
    /// Whether an overlay's list takes something away that live has. Helm has no other way to shorten a list, so a loss alone is no mistake: it is one where
    /// live's overlays keep the entry, or where live's own pods have the variable.
    /// </summary>
    public static async Task LookAtListsAsync(RolloutRun run, RenderedChart rendered, Findings found, CancellationToken cancellationToken)
    {
        var lists = await ListsAsync(run, run.Candidate, cancellationToken);
        var lost = lists.Lost.Where(l => !GivenLater.Contains(l.Entry)).ToLookup(l => l.Entry);
        var live = (await run.Cluster.ListAsync($"/apis/apps/v1/namespaces/{run.Live.Namespace}/deployments", cancellationToken))
            .Select(WorkloadEnvironment.From).ToDictionary(w => w.Workload);
        var told = new HashSet<LostEntry>();
        foreach (var workload in rendered.Deployments.Select(WorkloadEnvironment.From).Where(w => live.ContainsKey(w.Workload)))
        {
            foreach (var name in workload.Lacks(live[workload.Workload]).Where(lost.Contains))
            {
                told.UnionWith(lost[name]);
                found.Problems.Add(
                    $"{workload.Workload} would lose {name}, which {run.Named(run.Live)} has: {string.Join(" and ", lost[name].Select(l => $"{l.By} lists {l.Path} anew").Distinct().Take(3))}, and Helm replaces lists instead of merging them");
            }
        }

        found.Problems.AddRange(lists.LostUnlike(await ListsAsync(run, run.Live, cancellationToken)).Except(told).Where(l => !GivenLater.Contains(l.Entry))
            .Select(l => $"{l.By} lists {l.Path} anew without {l.Entry}, which {l.From} gives and the overlays of {run.Named(run.Live)} keep"));
    }

    private static async Task<ValueLists> ListsAsync(RolloutRun run, SlotPlace slot, CancellationToken cancellationToken) =>
        ValueLists.Of(await run.NamedLayersAsync(slot, cancellationToken));

    private static string PathIn(RolloutRun run, string file) => Path.GetRelativePath(run.Surroundings.Platform, Path.GetFullPath(file)).Replace('\\', '/');
}
