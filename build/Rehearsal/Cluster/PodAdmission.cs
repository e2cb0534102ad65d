using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>What a pod must find in the cluster before it may be made, by whomever.</summary>
public static class PodAdmission
{
    /// <summary>The refusal of a pod that names an account or a priority class that is not there; null: it may be made.</summary>
    public static ApiException? Refusal(ObjectStore store, JsonObject pod)
    {
        var (metadata, spec) = (pod.At("metadata"), pod.At("spec"));
        var (name, ns) = (metadata.Text("name") ?? metadata.Text("generateName") ?? "", metadata.Text("namespace"));
        // A new namespace has no account "default" for its first moments; a real server refuses pods that early, which helps nobody here.
        if (spec.Text("serviceAccountName") is { Length: > 0 } and not "default" and var account
            && store.Get(new ObjectKey("", "serviceaccounts", ns, account)) is null)
        {
            var why = $"error looking up service account {ns}/{account}: serviceaccount \"{account}\" not found";
            return ApiException.Forbidden("", "pods", name, why);
        }

        if (spec.Text("priorityClassName") is { Length: > 0 } priority
            && !priority.StartsWith("system-", StringComparison.Ordinal)
            && store.Get(new ObjectKey("scheduling.k8s.io", "priorityclasses", null, priority)) is null)
        {
            return ApiException.Forbidden("", "pods", name, $"no PriorityClass with name {priority} was found");
        }

        return null;
    }
}
