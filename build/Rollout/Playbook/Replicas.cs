using System.Text.Json.Nodes;
using Rollout.Environments;
using Rollout.Journal;

namespace Rollout.Playbook;

/// <summary>
/// A slot's size. A frozen slot shows no throughput, so its scaling controller shrinks it (platform contract, section 4.3): 3.1 writes down live's
/// size before it fences, and 5.2 gives it back before clients come.
/// </summary>
internal static class Replicas
{
    /// <summary>The part of 3.1 that keeps the size, and the name of the value in it.</summary>
    public const string Part = "replicas";

    /// <summary>Replicas by Deployment as they are now.</summary>
    public static async Task<JsonObject> ReadAsync(RolloutRun run, SlotPlace slot, CancellationToken cancellationToken) =>
        new((await DeploymentsAsync(run, slot, cancellationToken)).Select(d => KeyValuePair.Create(d.Name, (JsonNode?)JsonValue.Create(d.Replicas))));

    /// <summary>The Deployments that have fewer replicas than before the freeze; none where there was no freeze.</summary>
    public static async Task<IReadOnlyList<(string Name, int Now, int Wanted)>> ShrunkAsync(RolloutRun run, SlotPlace slot, CancellationToken cancellationToken)
    {
        if (run.Journal.Last(nameof(FreezeWrites), JournalEvent.Done, Part)?.Data?[Part] is not JsonObject before)
        {
            return [];
        }

        return [.. (await DeploymentsAsync(run, slot, cancellationToken))
            .Select(d => (d.Name, Now: d.Replicas, Wanted: before[d.Name]?.GetValue<int>() ?? 0))
            .Where(d => d.Now < d.Wanted)];
    }

    private static async Task<IEnumerable<(string Name, int Replicas)>> DeploymentsAsync(RolloutRun run, SlotPlace slot, CancellationToken cancellationToken) =>
        (await run.Cluster.ListAsync($"/apis/apps/v1/namespaces/{slot.Namespace}/deployments", cancellationToken))
            .Select(d => (d["metadata"]!["name"]!.GetValue<string>(), d["spec"]!["replicas"]!.GetValue<int>()));
}
