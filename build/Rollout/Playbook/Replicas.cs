using System.Text.Json.Nodes;
using Rollout.Cluster;
using Rollout.Environments;
using Rollout.Journal;

namespace Rollout.Playbook;

/// <summary>
/// A slot's size. 3.1 writes down live's before anything else and gives it to the candidate, which has the chart's size whatever live grew to; a frozen
/// slot shows no throughput, so its scaling controller shrinks it (platform contract, section 4.3), and 5.2 gives live its size back before clients come.
/// </summary>
internal static class Replicas
{
    /// <summary>The part of 3.1 that keeps the size, and the name of the value in it.</summary>
    public const string Part = "replicas";

    /// <summary>The part of 3.1 whose intent carries the candidate's chart values.</summary>
    public const string CandidatePart = "production-hosts";

    private const string Values = "replicaCounts";

    /// <summary>Replicas by Deployment as they are now.</summary>
    public static async Task<JsonObject> ReadAsync(RolloutRun run, SlotPlace slot, CancellationToken cancellationToken) =>
        new((await DeploymentsAsync(run, slot, cancellationToken)).Select(d => KeyValuePair.Create(d.Name, (JsonNode?)JsonValue.Create(d.Replicas))));

    /// <summary>The Deployments that have fewer replicas than before the freeze; none where there was no freeze.</summary>
    public static async Task<IReadOnlyList<(string Name, int Now, int Wanted)>> ShrunkAsync(RolloutRun run, SlotPlace slot, CancellationToken cancellationToken)
    {
        var before = Recorded(run);
        return before.Count == 0
            ? []
            : [.. (await DeploymentsAsync(run, slot, cancellationToken))
                .Select(d => (d.Name, Now: d.Replicas, Wanted: before.GetValueOrDefault(d.Name)))
                .Where(d => d.Now < d.Wanted)];
    }

    /// <summary>Whether live has become larger than it was when its size was written down.</summary>
    public static async Task<bool> HasLiveGrownAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var before = Recorded(run);
        return (await DeploymentsAsync(run, run.Live, cancellationToken)).Any(d => d.Replicas > before.GetValueOrDefault(d.Name));
    }

    /// <summary>
    /// The chart values that make the candidate as large as live was written down to be, by path; none where the chart's own size is enough. Where the
    /// candidate is larger it stays so.
    /// </summary>
    /// <param name="values">The candidate's values without such ones, and <paramref name="rendered"/> what they render to.</param>
    /// <exception cref="RolloutException">Live is larger, and no value of the chart sets that Deployment's size.</exception>
    public static async Task<IReadOnlyDictionary<string, int>> CandidateCountsAsync(
        RolloutRun run, ChartValues values, RenderedChart rendered, CancellationToken cancellationToken)
    {
        var sizes = rendered.Sizes;
        var larger = Recorded(run).Where(r => sizes.TryGetValue(r.Key, out var own) && r.Value > own).ToList();
        if (larger.Count == 0)
        {
            return new Dictionary<string, int>();
        }

        // Numbers that no chart has by itself.
        var marks = ChartValues.ReplicaPaths(await run.LayersAsync(run.Candidate, cancellationToken))
            .Select((path, index) => (path, index)).ToDictionary(m => m.path, m => 7001 + m.index);
        var paths = (await run.RenderAsync(run.Candidate, values with { Replicas = marks }, "marked", cancellationToken)).SizedBy(marks);
        var fixedSizes = larger.Where(l => !paths.ContainsKey(l.Key)).ToList();
        if (fixedSizes.Count > 0)
        {
            throw new RolloutException(
                $"{run.Named(run.Live)} has {string.Join(", ", fixedSizes.Select(l => $"{l.Value} replicas of {l.Key}"))}, and the chart would give {run.Named(run.Candidate)} {string.Join(", ", fixedSizes.Select(l => sizes[l.Key]))}: no value of the chart sets {(fixedSizes.Count == 1 ? "that" : "these")}. Nothing is frozen.",
                $"Scale live back, or give the chart a value: kubectl get deployments -n {run.Live.Namespace}");
        }

        run.Console.Note($"as large as {run.Named(run.Live)}: {string.Join(", ", larger.Select(l => $"{l.Key} {l.Value} instead of {sizes[l.Key]}"))}");
        return larger.GroupBy(l => paths[l.Key]).ToDictionary(g => g.Key, g => g.Max(l => l.Value));
    }

    /// <summary>The form in which an intent of <see cref="CandidatePart"/> carries such values.</summary>
    public static void Keep(IReadOnlyDictionary<string, int> counts, JsonObject intent) =>
        intent[Values] = new JsonObject(counts.Select(c => KeyValuePair.Create(c.Key, (JsonNode?)JsonValue.Create(c.Value))));

    /// <summary>The candidate's chart values by the journal: they stay, so that no later upgrade makes it smaller again.</summary>
    public static IReadOnlyDictionary<string, int> Counts(RolloutJournal journal) =>
        Numbers(journal.Last(nameof(FreezeWrites), JournalEvent.Intent, CandidatePart)?.Data?[Values]);

    /// <summary>
    /// What the candidate lacks of live's size: a sentence for each of its Deployments that asks for fewer replicas, or has fewer ready, than live had
    /// when its size was written down.
    /// </summary>
    public static async Task<IReadOnlyList<string>> MissingAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var wanted = Recorded(run);
        return [.. (await DeploymentsAsync(run, run.Candidate, cancellationToken))
            .Where(d => wanted.TryGetValue(d.Name, out var least) && (d.Replicas < least || d.Ready < least))
            .Select(d => $"{d.Name} of {run.Named(run.Candidate)} has {d.Ready} ready, wanted are the {wanted[d.Name]} of {run.Named(run.Live)}"
                + (d.Replicas < wanted[d.Name] ? $", and it asks for {d.Replicas}: kubectl scale deployment/{d.Name} --replicas={wanted[d.Name]} -n {run.Candidate.Namespace}" : string.Empty))];
    }

    private static Dictionary<string, int> Recorded(RolloutRun run) =>
        Numbers(run.Journal.Last(nameof(FreezeWrites), JournalEvent.Done, Part)?.Data?[Part]);

    private static Dictionary<string, int> Numbers(JsonNode? data) =>
        (data as JsonObject ?? []).ToDictionary(p => p.Key, p => p.Value!.GetValue<int>());

    private static async Task<IEnumerable<(string Name, int Replicas, int Ready)>> DeploymentsAsync(RolloutRun run, SlotPlace slot, CancellationToken cancellationToken) =>
        (await run.Cluster.ListAsync($"/apis/apps/v1/namespaces/{slot.Namespace}/deployments", cancellationToken))
            .Select(d => (d["metadata"]!["name"]!.GetValue<string>(), d["spec"]!["replicas"]!.GetValue<int>(), d["status"]?["readyReplicas"]?.GetValue<int>() ?? 0));
}
