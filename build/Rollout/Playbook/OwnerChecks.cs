using System.Text.Json.Nodes;
using Rollout.Cluster;

namespace Rollout.Playbook;

/// <summary>
/// Whether somebody else keeps the slots' objects: Argo CD or Flux would put back, in the middle of a rollout, what the rollout has changed.
/// </summary>
internal static class OwnerChecks
{
    private const string ArgoGroup = "argoproj.io";

    private static readonly (string Kind, string Path)[] Kinds =
    [
        ("Deployment", "/apis/apps/v1/namespaces/{namespace}/deployments"),
        ("StatefulSet", "/apis/apps/v1/namespaces/{namespace}/statefulsets"),
        ("Service", "/api/v1/namespaces/{namespace}/services"),
        ("Secret", "/api/v1/namespaces/{namespace}/secrets"),
        ("Ingress", "/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses"),
        ("NetworkPolicy", "/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"),
    ];

    /// <summary>Refuses where an object of a slot, its namespace, or an Application of the cluster says that it is kept.</summary>
    /// <exception cref="RolloutException">Exit code 5; each owner is named with what it keeps.</exception>
    public static async Task RefuseAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var kept = new List<(ObjectOwner Owner, string What)>();
        var applications = await ApplicationsAsync(run, cancellationToken);
        foreach (var slot in new[] { run.Live, run.Candidate })
        {
            if (await run.Cluster.GetAsync($"/api/v1/namespaces/{slot.Namespace}", cancellationToken) is JsonObject there)
            {
                Add("Namespace", there, $"namespace {slot.Namespace}");
            }

            foreach (var (kind, path) in Kinds)
            {
                foreach (var item in await run.Cluster.ListAsync(path.Replace("{namespace}", slot.Namespace, StringComparison.Ordinal), cancellationToken))
                {
                    Add(kind, item, $"{kind} {slot.Namespace}/{item["metadata"]?["name"]}");
                }
            }

            kept.AddRange(applications.Select(a => ObjectOwner.OfApplication(a, slot.Namespace)).OfType<ObjectOwner>().Select(o => (o, $"what it deploys to {slot.Namespace}")));
        }

        if (kept.Count > 0)
        {
            var owners = kept.GroupBy(k => k.Owner, k => k.What).Select(g => $"{g.Key.Tool} {g.Key.Name} keeps {string.Join(", ", g.Take(3))}{(g.Count() > 3 ? $" and {g.Count() - 3} more" : string.Empty)}");
            throw new RolloutException(
                $"Somebody else would put back what this rollout changes: {string.Join("; ", owners)}. Nothing was changed.",
                HintFor(run, kept.Select(k => k.Owner.Tool).ToHashSet()),
                ExitCode.Refused);
        }

        void Add(string kind, JsonObject item, string what)
        {
            if (ObjectOwner.Of(kind, item) is { } owner)
            {
                kept.Add((owner, what));
            }
        }
    }

    private static string HintFor(RolloutRun run, HashSet<string> tools)
    {
        var (namespaces, hints) = ($"{run.Live.Namespace} and {run.Candidate.Namespace}", new List<string>());
        if (tools.Contains("Argo CD"))
        {
            hints.Add($"Take {namespaces} out of the application and leave the objects: argocd app delete APPLICATION --cascade=false; then take its mark off them: kubectl annotate deployments,services,ingresses,secrets --all -n NAMESPACE argocd.argoproj.io/tracking-id-");
        }

        if (tools.Contains("Flux"))
        {
            hints.Add($"Take {namespaces} out of Flux and leave the objects: set spec.prune to false, delete the Kustomization or HelmRelease, then take its labels off them");
        }

        return string.Join(" ", hints) + ".";
    }

    private static async Task<IReadOnlyList<JsonObject>> ApplicationsAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var groups = (await run.Cluster.GetAsync("/apis", cancellationToken))?["groups"] as JsonArray ?? [];
        if (groups.All(g => g?["name"]?.GetValue<string>() != ArgoGroup))
        {
            return [];
        }

        try
        {
            return await run.Cluster.ListAsync($"/apis/{ArgoGroup}/v1alpha1/applications", cancellationToken);
        }
        catch (RolloutException exception)
        {
            run.Console.Warning($"Argo CD may be in this cluster, and what its applications are about cannot be read: {exception.Message}");
            return [];
        }
    }
}
