using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Rollout.Cluster;
using Rollout.Supply;

namespace Rollout.Playbook;

/// <summary>What 1.4 wants of the overlays and of the chart: in a commit, as they are here, and rendering to what a cluster takes.</summary>
internal static class OverlayChecks
{
    /// <summary>Records the commit that chart and overlays are at, and each overlay's SHA-256.</summary>
    public static async Task RecordAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        var overlays = new JsonObject();
        foreach (var overlay in run.Overlays(run.Candidate))
        {
            overlays[PathIn(run, overlay)] = Convert.ToHexStringLower(SHA256.HashData(await File.ReadAllBytesAsync(overlay, cancellationToken)));
        }

        journal.Result["commit"] = await run.Checkout.HeadAsync(cancellationToken);
        journal.Result["overlays"] = overlays;
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

    private static string PathIn(RolloutRun run, string file) => Path.GetRelativePath(run.Surroundings.Platform, Path.GetFullPath(file)).Replace('\\', '/');
}
