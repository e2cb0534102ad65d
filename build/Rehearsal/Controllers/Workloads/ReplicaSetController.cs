using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Controllers;

/// <summary>ReplicaSets: as many pods of one template as asked for.</summary>
internal sealed class ReplicaSetController(ControllerContext context) : Controller("replicaset-controller", context)
{
    public override void Observe(Change change)
    {
        switch (change.Key)
        {
            case { Group: "apps", Resource: "replicasets" }:
                Queue.Add(change.Key);
                break;
            case { Group: "", Resource: "pods" }:
                EnqueueOwner(change.Object, "apps", "replicasets", "ReplicaSet");
                break;
        }
    }

    protected override void Reconcile(ObjectKey key)
    {
        if (Store.Get(key) is not { } set)
        {
            return;
        }

        string? refusal = null;
        var active = Claim(set, "", "pods", set.At("spec", "selector")).Where(PodCounts.IsActive).ToList();
        if (!set.IsDeleting())
        {
            var missing = (set.Number("spec", "replicas") ?? 1) - active.Count;
            for (var i = 0; i < missing; i++)
            {
                (var pod, refusal) = CreatePod(key, set, PodTemplate.Pod(set, set.At("spec", "template")));
                if (pod is null)
                {
                    break;
                }

                active.Add(pod);
                Events.Normal(Name, set, "SuccessfulCreate", $"Created pod: {pod.Name()}");
            }

            foreach (var pod in PodCounts.Expendable(active).Take(Math.Max(0, -missing)).ToList())
            {
                Store.Delete(PodCounts.KeyOf(pod));
                active.Remove(pod);
                Events.Normal(Name, set, "SuccessfulDelete", $"Deleted pod: {pod.Name()}");
            }
        }

        WriteStatus(key, set, Status(set, active, refusal));
    }

    private JsonObject Status(JsonObject set, List<JsonObject> active, string? refusal)
    {
        var status = (set.At("status") as JsonObject ?? []).Copy();
        var minimum = set.Number("spec", "minReadySeconds") ?? 0;
        var waits = active.Select(pod => PodCounts.UntilAvailable(pod, minimum, Context.Now)).OfType<TimeSpan>().ToList();
        if (waits.Where(wait => wait > TimeSpan.Zero).Order().Cast<TimeSpan?>().FirstOrDefault() is { } soonest)
        {
            Queue.AddAfter(set.Key("apps", "replicasets"), soonest);
        }

        var labels = set.At("spec", "template", "metadata", "labels");
        status["replicas"] = active.Count;
        status.Count("fullyLabeledReplicas", active.Count(pod => Selector.MatchesMap(labels, pod.At("metadata", "labels"))));
        status.Count("readyReplicas", waits.Count);
        status.Count("availableReplicas", waits.Count(wait => wait == TimeSpan.Zero));
        status["observedGeneration"] = set.Generation();
        if (refusal is not null)
        {
            Conditions.Set(status, "ReplicaFailure", "True", "FailedCreate", refusal, Context.Now);
        }
        else
        {
            Conditions.Remove(status, "ReplicaFailure");
        }

        return status;
    }
}
