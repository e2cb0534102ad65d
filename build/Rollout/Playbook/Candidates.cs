using System.Text.Json.Nodes;
using Rollout.Platform;
using Rollout.Supply;

namespace Rollout.Playbook;

/// <summary>What several steps want to see of the candidate.</summary>
internal static class Candidates
{
    /// <summary>Every running container has a digest that 1.1 recorded.</summary>
    public static async Task RequireImagesAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var recorded = (run.Fact(nameof(TagRelease), "images") as JsonObject ?? [])
            .ToDictionary(p => p.Key, p => p.Value!.GetValue<string>().Split('@')[^1]);

        // Of an index, a kubelet reports the digest or that of its own platform's manifest.
        var platforms = (run.Fact(nameof(TagRelease), "platforms") as JsonObject ?? []).ToDictionary(p => p.Key, p => p.Value!.GetValue<string>());
        var wrong = new List<string>();
        var pods = await run.Cluster.ListAsync(
            $"/api/v1/namespaces/{run.Candidate.Namespace}/pods?labelSelector=app.kubernetes.io/part-of=aether-platform", cancellationToken);
        foreach (var pod in pods.Where(p => p["metadata"]!["deletionTimestamp"] is null))
        {
            foreach (var container in (pod["status"]?["containerStatuses"] as JsonArray ?? []).OfType<JsonObject>())
            {
                var image = ImageReference.Parse(container["image"]!.GetValue<string>());
                var digest = container["imageID"]?.GetValue<string>().Split('@')[^1];
                var name = $"{image.Registry}/{image.Repository}";
                if (!recorded.TryGetValue(name, out var expected) || (digest != expected && digest != platforms.GetValueOrDefault(name)))
                {
                    wrong.Add($"{pod["metadata"]!["name"]!.GetValue<string>()} runs {container["imageID"]?.GetValue<string>()}, recorded is {expected ?? "nothing"}");
                }
            }
        }

        if (pods.Count == 0 || wrong.Count > 0)
        {
            throw new RolloutException(
                pods.Count == 0
                    ? $"{run.Named(run.Candidate)} has no pods."
                    : $"{wrong.Count} containers of {run.Named(run.Candidate)} do not run what was recorded, the first: {wrong[0]}.",
                $"Look: kubectl get pods -n {run.Candidate.Namespace} -o wide");
        }
    }

    /// <summary>A look at which services are less healthy than live's were in 1.3; for a watch.</summary>
    public static async Task<Func<CancellationToken, Task<IReadOnlyDictionary<string, string>?>>> HealthLookAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var baseline = HealthOfLive(run);
        var services = await run.ServicesAsync(run.Candidate, cancellationToken);
        return async token =>
        {
            var now = await run.CandidateStack.SnapshotAsync(services, $"rollout-{run.Release}-3.3", token, withMetrics: false);

            // Where nothing at all is reached, it is the way to them that is broken, and nothing was seen.
            return now.All(s => s.Health == Health.Unreachable)
                ? null
                : now.Where(s => baseline.Any(b => b.Service.Name == s.Service.Name))
                    .Select(s => (s.Service.Name, Worse: AetherStack.NoWorseThan([.. baseline.Where(b => b.Service.Name == s.Service.Name)], [s])))
                    .Where(s => s.Worse.Count > 0).ToDictionary(s => s.Name, s => s.Worse[0]);
        };
    }

    private static List<ServiceSnapshot> HealthOfLive(RolloutRun run) =>
        [.. (run.Fact(nameof(ExportHealthSnapshot), "health") as JsonObject ?? [])
            .Select(p => new ServiceSnapshot(
                new ServiceEndpoint(p.Key, string.Empty), Enum.Parse<Health>(p.Value!.GetValue<string>(), ignoreCase: true), [], string.Empty, null, null, string.Empty))];

    /// <summary>"No worse than live" by the snapshot of 1.3.</summary>
    public static async Task RequireHealthAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var baseline = HealthOfLive(run);
        var services = await run.ServicesAsync(run.Candidate, cancellationToken);
        await Waiting.UntilAsync(
            "the candidate to be as healthy as live",
            async token => AetherStack.NoWorseThan(
                baseline, await run.CandidateStack.SnapshotAsync(services, $"rollout-{run.Release}-health", token)),
            sentences => sentences.Count == 0,
            sentences => string.Join("; ", sentences.Take(3)),
            TimeSpan.FromSeconds(20),
            TimeSpan.FromMilliseconds(500),
            run.Time,
            run.Console.Progress,
            cancellationToken);
        run.Console.Note($"{services.Count} services are no worse than live's");
    }
}
