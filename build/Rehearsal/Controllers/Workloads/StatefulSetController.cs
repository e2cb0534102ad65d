using System.Globalization;
using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Controllers;

/// <summary>StatefulSets: numbered pods with claims of their own, started in order and replaced from the highest number down.</summary>
internal sealed class StatefulSetController(ControllerContext context) : Controller("statefulset-controller", context)
{
    public override void Observe(Change change)
    {
        switch (change.Key)
        {
            case { Group: "apps", Resource: "statefulsets" }:
                Queue.Add(change.Key);
                break;
            case { Group: "", Resource: "pods" }:
                EnqueueOwner(change.Object, "apps", "statefulsets", "StatefulSet");
                break;
        }
    }

    protected override void Reconcile(ObjectKey key)
    {
        if (Store.Get(key) is not { } set)
        {
            return;
        }

        var pods = Claim(set, "", "pods", set.At("spec", "selector"))
            .Where(pod => Ordinal(set, pod) >= 0)
            .ToDictionary(pod => Ordinal(set, pod));
        var revision = Revisions.Current(Store, set);
        if (!set.IsDeleting())
        {
            Step(set, pods, revision);
        }

        WriteStatus(key, set, Status(set, [.. pods.Values], revision.Name()));
    }

    private static int Ordinal(JsonObject set, JsonObject pod)
    {
        var name = pod.Name();
        var prefix = set.Name() + "-";
        return name.StartsWith(prefix, StringComparison.Ordinal)
            && int.TryParse(name.AsSpan(prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out var ordinal) ? ordinal : -1;
    }

    private static bool IsHealthy(JsonObject pod) => PodCounts.IsActive(pod) && PodCounts.IsReady(pod);

    private void Step(JsonObject set, Dictionary<int, JsonObject> pods, JsonObject revision)
    {
        var replicas = set.Number("spec", "replicas") ?? 1;
        var first = set.Number("spec", "ordinals", "start") ?? 0;
        var ordered = set.Text("spec", "podManagementPolicy") != "Parallel";
        for (var ordinal = first; ordinal < first + replicas; ordinal++)
        {
            if (!pods.TryGetValue(ordinal, out var pod))
            {
                pod = Create(set, ordinal, revision);
                if (pod is null)
                {
                    return;
                }

                pods[ordinal] = pod;
            }
            else if (!pod.IsDeleting() && pod.Text("status", "phase") is "Failed" or "Succeeded")
            {
                Store.Delete(PodCounts.KeyOf(pod));
            }

            if (ordered && !IsHealthy(pod))
            {
                return;
            }
        }

        var surplus = pods.Where(pair => pair.Key >= first + replicas || pair.Key < first).OrderByDescending(pair => pair.Key);
        foreach (var (_, pod) in surplus)
        {
            if (!pod.IsDeleting())
            {
                Delete(set, pod);
            }

            if (ordered)
            {
                return;
            }
        }

        Update(set, pods, revision, first, replicas);
    }

    private void Update(JsonObject set, Dictionary<int, JsonObject> pods, JsonObject revision, int first, int replicas)
    {
        if (set.Text("spec", "updateStrategy", "type") == "OnDelete")
        {
            return;
        }

        var partition = set.Number("spec", "updateStrategy", "rollingUpdate", "partition") ?? 0;
        for (var ordinal = first + replicas - 1; ordinal >= first + partition; ordinal--)
        {
            var pod = pods[ordinal];
            if (pod.Label(Revisions.Label) != revision.Name() && !pod.IsDeleting())
            {
                Delete(set, pod);
                return;
            }

            if (!IsHealthy(pod))
            {
                return;
            }
        }
    }

    private JsonObject? Create(JsonObject set, int ordinal, JsonObject revision)
    {
        var pod = PodTemplate.Pod(set, set.At("spec", "template"), $"{set.Name()}-{ordinal}");
        var labels = pod.Child("metadata").Child("labels");
        labels[Revisions.Label] = revision.Name();
        labels["statefulset.kubernetes.io/pod-name"] = pod.Name();
        labels["apps.kubernetes.io/pod-index"] = ordinal.ToString(CultureInfo.InvariantCulture);
        var spec = pod.Child("spec");
        spec["hostname"] = pod.Name();
        if (set.Text("spec", "serviceName") is { Length: > 0 } service)
        {
            spec["subdomain"] = service;
        }

        foreach (var template in set.Items("spec", "volumeClaimTemplates"))
        {
            var claim = $"{template.Name()}-{pod.Name()}";
            Claim(set, template, claim);
            if (spec["volumes"] is not JsonArray volumes)
            {
                volumes = [];
                spec["volumes"] = volumes;
            }

            volumes.Add((JsonNode)new JsonObject
            {
                ["name"] = template.Name(),
                ["persistentVolumeClaim"] = new JsonObject { ["claimName"] = claim },
            });
        }

        var what = $"create Pod {pod.Name()} in StatefulSet {set.Name()}";
        var (created, _) = CreatePod(set.Key("apps", "statefulsets"), set, pod, what + " failed error");
        if (created is not null)
        {
            Events.Normal(Name, set, "SuccessfulCreate", what + " successful");
        }

        return created;
    }

    private void Claim(JsonObject set, JsonObject template, string name)
    {
        if (Store.Get(new ObjectKey("", "persistentvolumeclaims", set.Namespace(), name)) is not null)
        {
            return;
        }

        var labels = template.At("metadata", "labels")?.DeepClone() as JsonObject ?? [];
        foreach (var (label, value) in set.At("spec", "selector", "matchLabels") as JsonObject ?? [])
        {
            labels[label] = value?.DeepClone();
        }

        Store.Create("", "persistentvolumeclaims", new JsonObject
        {
            ["kind"] = "PersistentVolumeClaim",
            ["apiVersion"] = "v1",
            ["metadata"] = new JsonObject { ["name"] = name, ["namespace"] = set.Namespace(), ["labels"] = labels },
            ["spec"] = template.At("spec")?.DeepClone(),
        });
    }

    private void Delete(JsonObject set, JsonObject pod)
    {
        Store.Delete(PodCounts.KeyOf(pod));
        Events.Normal(Name, set, "SuccessfulDelete", $"delete Pod {pod.Name()} in StatefulSet {set.Name()} successful");
    }

    private JsonObject Status(JsonObject set, List<JsonObject> pods, string revision)
    {
        var status = (set.At("status") as JsonObject ?? []).Copy();
        var active = pods.Where(PodCounts.IsActive).ToList();
        var minimum = set.Number("spec", "minReadySeconds") ?? 0;
        var waits = active.Select(pod => PodCounts.UntilAvailable(pod, minimum, Context.Now)).OfType<TimeSpan>().ToList();
        if (waits.Where(wait => wait > TimeSpan.Zero).Order().Cast<TimeSpan?>().FirstOrDefault() is { } soonest)
        {
            Queue.AddAfter(set.Key("apps", "statefulsets"), soonest);
        }

        var updated = active.Count(pod => pod.Label(Revisions.Label) == revision);
        status["observedGeneration"] = set.Generation();
        status["replicas"] = pods.Count;
        status.Count("readyReplicas", waits.Count);
        status["availableReplicas"] = waits.Count(wait => wait == TimeSpan.Zero);
        status.Count("updatedReplicas", updated);
        status["updateRevision"] = revision;
        status["collisionCount"] = 0;

        // The new revision becomes the current one when nothing of the old is left.
        var done = updated == pods.Count && updated == (set.Number("spec", "replicas") ?? 1) && waits.Count == updated;
        var current = done ? revision : status.Text("currentRevision") ?? revision;
        status["currentRevision"] = current;
        status.Count("currentReplicas", active.Count(pod => pod.Label(Revisions.Label) == current));
        return status;
    }
}
