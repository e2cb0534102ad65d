using System.Text.Json.Nodes;
using Rehearsal.Cluster;
using Rehearsal.World;

namespace Rehearsal;

/// <summary>Counts those changes of the cluster that a rollout must not make twice.</summary>
public static class ClusterEffects
{
    /// <summary>Counts until cancelled; what the store holds already is not counted.</summary>
    public static async Task CountAsync(ObjectStore store, Effects effects, CancellationToken ct)
    {
        var begun = store.Revision;
        await foreach (var change in store.WatchAsync(ct))
        {
            if (change.Revision > begun && NameOf(change) is { } name)
            {
                effects.Count(name);
            }
        }
    }

    private static string? NameOf(Change change) => change switch
    {
        { Kind: ChangeKind.Added, Key: { Group: "", Resource: "namespaces", Name: var name } } => "namespace-created:" + name,
        { Kind: ChangeKind.Added, Key: { Group: "", Resource: "secrets", Namespace: var space } }
            when (string?)change.Object["type"] == "helm.sh/release.v1" => "helm-revisions:" + space,
        { Kind: ChangeKind.Modified, Key: { Group: "apps", Resource: "deployments" or "statefulsets" } key }
            when Replicas(change.Object) != Replicas(change.Old!) => $"scale:{key.Namespace}/{key.Name}",
        _ => null,
    };

    private static int Replicas(JsonObject workload) => (int?)workload["spec"]?["replicas"] ?? 1;
}
