using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Controllers;

/// <summary>DaemonSets: one pod, since there is one node; replaced when the template changes.</summary>
internal sealed class DaemonSetController(ControllerContext context) : Controller("daemonset-controller", context)
{
    public override void Observe(Change change)
    {
        switch (change.Key)
        {
            case { Group: "apps", Resource: "daemonsets" }:
                Queue.Add(change.Key);
                break;
            case { Group: "", Resource: "pods" }:
                EnqueueOwner(change.Object, "apps", "daemonsets", "DaemonSet");
                break;
        }
    }

    protected override void Reconcile(ObjectKey key)
    {
        if (Store.Get(key) is not { } set)
        {
            return;
        }

        var pods = Claim(set, "", "pods", set.At("spec", "selector"));
        var node = Store.Get(new ObjectKey("", "nodes", null, Context.Node));
        var where = set.At("spec", "template", "spec", "nodeSelector");
        var wanted = node is not null && Selector.MatchesMap(where, node.At("metadata", "labels"));
        var hash = Revisions.Current(Store, set).Label(Revisions.Label);
        if (!set.IsDeleting())
        {
            foreach (var pod in pods.Where(pod => !pod.IsDeleting() && Replace(set, pod, wanted, hash)).ToList())
            {
                Store.Delete(PodCounts.KeyOf(pod));
                Events.Normal(Name, set, "SuccessfulDelete", $"Deleted pod: {pod.Name()}");
                pods.Remove(pod);
            }

            if (wanted && pods.Count == 0)
            {
                var pod = PodTemplate.Pod(set, set.At("spec", "template"));
                pod.Child("metadata").Child("labels")[Revisions.Label] = hash;
                if (CreatePod(key, set, pod).Pod is { } made)
                {
                    pods.Add(made);
                    Events.Normal(Name, set, "SuccessfulCreate", $"Created pod: {made.Name()}");
                }
            }
        }

        WriteStatus(key, set, Status(set, pods.Where(PodCounts.IsActive).ToList(), wanted ? 1 : 0, hash));
    }

    private static bool Replace(JsonObject set, JsonObject pod, bool wanted, string? hash) =>
        !wanted
        || pod.Text("status", "phase") is "Failed" or "Succeeded"
        || (set.Text("spec", "updateStrategy", "type") != "OnDelete" && pod.Label(Revisions.Label) != hash);

    private JsonObject Status(JsonObject set, List<JsonObject> active, int wanted, string? hash)
    {
        var status = (set.At("status") as JsonObject ?? []).Copy();
        var minimum = set.Number("spec", "minReadySeconds") ?? 0;
        var waits = active.Select(pod => PodCounts.UntilAvailable(pod, minimum, Context.Now)).OfType<TimeSpan>().ToList();
        if (waits.Where(wait => wait > TimeSpan.Zero).Order().Cast<TimeSpan?>().FirstOrDefault() is { } soonest)
        {
            Queue.AddAfter(set.Key("apps", "daemonsets"), soonest);
        }

        var available = waits.Count(wait => wait == TimeSpan.Zero);
        status["currentNumberScheduled"] = active.Count;
        status["desiredNumberScheduled"] = wanted;
        status["numberMisscheduled"] = 0;
        status["numberReady"] = waits.Count;
        status.Count("updatedNumberScheduled", active.Count(pod => pod.Label(Revisions.Label) == hash));
        status.Count("numberAvailable", available);
        status.Count("numberUnavailable", Math.Max(0, wanted - available));
        status["observedGeneration"] = set.Generation();
        return status;
    }
}
