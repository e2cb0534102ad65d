using System.Globalization;
using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Controllers;

/// <summary>Deployments: a ReplicaSet per template, rolled within maxSurge and maxUnavailable, with revisions and conditions.</summary>
internal sealed class DeploymentController(ControllerContext context) : Controller("deployment-controller", context)
{
    private const string Revision = "deployment.kubernetes.io/revision";
    private const string RevisionHistory = "deployment.kubernetes.io/revision-history";
    private const string DesiredReplicas = "deployment.kubernetes.io/desired-replicas";
    private const string MaxReplicas = "deployment.kubernetes.io/max-replicas";
    private const string Available = "NewReplicaSetAvailable";

    private static readonly HashSet<string> NotCopied =
    [
        "kubectl.kubernetes.io/last-applied-configuration", "deprecated.deployment.rollback.to",
        Revision, RevisionHistory, DesiredReplicas, MaxReplicas,
    ];

    public override void Observe(Change change)
    {
        switch (change.Key)
        {
            case { Group: "apps", Resource: "deployments" }:
                Queue.Add(change.Key);
                break;
            case { Group: "apps", Resource: "replicasets" }:
                EnqueueOwner(change.Object, "apps", "deployments", "Deployment");
                break;
            case { Group: "", Resource: "pods" } when change.Kind == ChangeKind.Deleted:
                // Recreate waits for the last old pod to be gone, which its ReplicaSet no longer counts.
                if (Ownership.ControllerOf(change.Object) is { Kind: "ReplicaSet" } set
                    && Store.Get(new ObjectKey("apps", "replicasets", change.Key.Namespace, set.Name)) is { } owner)
                {
                    EnqueueOwner(owner, "apps", "deployments", "Deployment");
                }

                break;
        }
    }

    protected override void Reconcile(ObjectKey key)
    {
        if (Store.Get(key) is not { } deployment)
        {
            return;
        }

        var sets = Claim(deployment, "apps", "replicasets", deployment.At("spec", "selector"));
        sets.Sort((a, b) => string.CompareOrdinal(a.Text("metadata", "creationTimestamp"), b.Text("metadata", "creationTimestamp")));
        var template = deployment.At("spec", "template");
        var current = sets.Find(set => PodTemplate.Same(set.At("spec", "template"), template));
        var old = sets.Where(set => set != current).ToList();
        if (deployment.IsDeleting())
        {
            WriteStatus(key, deployment, Status(deployment, old, current, null));
            return;
        }

        if (deployment.Flag("spec", "paused") == true)
        {
            ScaleLatest(deployment, old, current);
        }
        else if (deployment.Text("spec", "strategy", "type") == "Recreate")
        {
            current = Recreate(deployment, old, current);
        }
        else
        {
            current = Roll(deployment, old, current);
        }

        Finish(key, current?.Uid());
    }

    private static int Replicas(JsonObject item) => item.Number("spec", "replicas") ?? 1;

    private static int AvailableReplicas(JsonObject set) => set.Number("status", "availableReplicas") ?? 0;

    private static long RevisionOf(JsonObject item) =>
        long.TryParse(item.Annotation(Revision), NumberStyles.None, CultureInfo.InvariantCulture, out var revision) ? revision : 0;

    /// <summary>maxSurge (rounded up) and maxUnavailable (rounded down) in pods. Both zero would never move: then it is 0 and 1.</summary>
    private static (int Surge, int Unavailable) Limits(JsonObject deployment)
    {
        if (deployment.Text("spec", "strategy", "type") == "Recreate")
        {
            return (0, 0);
        }

        var replicas = Replicas(deployment);
        var rolling = deployment.At("spec", "strategy", "rollingUpdate");
        var surge = Share.Of(rolling.At("maxSurge"), replicas, roundUp: true) ?? Share.Percent(25, replicas, roundUp: true);
        var unavailable = Share.Of(rolling.At("maxUnavailable"), replicas, roundUp: false) ?? Share.Percent(25, replicas, roundUp: false);
        return (surge, surge == 0 && unavailable == 0 ? 1 : Math.Min(unavailable, replicas));
    }

    private JsonObject? Roll(JsonObject deployment, List<JsonObject> old, JsonObject? current)
    {
        var (surge, unavailable) = Limits(deployment);
        var replicas = Replicas(deployment);
        var others = old.Sum(Replicas);
        if (current is null)
        {
            return Create(deployment, old, Math.Max(0, Math.Min(replicas, replicas + surge - others)));
        }

        current = Promote(deployment, old, current);
        if (Replicas(current) > replicas)
        {
            current = Scale(deployment, current, replicas);
        }
        else if (Replicas(current) < replicas)
        {
            var room = replicas + surge - others - Replicas(current);
            if (room > 0)
            {
                current = Scale(deployment, current, Replicas(current) + Math.Min(room, replicas - Replicas(current)));
            }
        }

        ScaleDownOld(deployment, old, current, replicas - unavailable);
        Annotate(deployment, current);
        return current;
    }

    private void ScaleDownOld(JsonObject deployment, List<JsonObject> old, JsonObject current, int minimum)
    {
        var others = old.Sum(Replicas);
        if (others == 0)
        {
            return;
        }

        var missing = Replicas(current) - AvailableReplicas(current);
        var spare = others + Replicas(current) - minimum - missing;
        for (var i = 0; i < old.Count && spare > 0; i++)
        {
            // Pods that do not work go first: nobody misses them.
            var broken = Math.Min(spare, Replicas(old[i]) - Math.Min(Replicas(old[i]), AvailableReplicas(old[i])));
            if (broken > 0)
            {
                old[i] = Scale(deployment, old[i], Replicas(old[i]) - broken);
                spare -= broken;
            }
        }

        var working = old.Sum(set => Math.Min(Replicas(set), AvailableReplicas(set))) + AvailableReplicas(current) - minimum;
        spare = Math.Min(spare, working);
        for (var i = 0; i < old.Count && spare > 0; i++)
        {
            var fewer = Math.Min(spare, Replicas(old[i]));
            if (fewer > 0)
            {
                old[i] = Scale(deployment, old[i], Replicas(old[i]) - fewer);
                spare -= fewer;
            }
        }
    }

    private JsonObject? Recreate(JsonObject deployment, List<JsonObject> old, JsonObject? current)
    {
        var scaled = false;
        for (var i = 0; i < old.Count; i++)
        {
            if (Replicas(old[i]) > 0)
            {
                old[i] = Scale(deployment, old[i], 0);
                scaled = true;
            }
        }

        if (scaled || PodsLeft(deployment, old))
        {
            return current;
        }

        if (current is null)
        {
            return Create(deployment, old, Replicas(deployment));
        }

        current = Promote(deployment, old, current);
        current = Replicas(current) == Replicas(deployment) ? current : Scale(deployment, current, Replicas(deployment));
        Annotate(deployment, current);
        return current;
    }

    private bool PodsLeft(JsonObject deployment, List<JsonObject> old)
    {
        var owners = old.Select(set => set.Uid()).ToHashSet(StringComparer.Ordinal);
        return Store.List("", "pods", deployment.Namespace()).Any(pod =>
            pod.Text("status", "phase") is not ("Succeeded" or "Failed")
            && Ownership.ControllerOf(pod) is { } owner && owners.Contains(owner.Uid));
    }

    private void ScaleLatest(JsonObject deployment, List<JsonObject> old, JsonObject? current)
    {
        var active = old.Append(current).OfType<JsonObject>().Where(set => Replicas(set) > 0).ToList();
        var latest = active.Count == 1 ? active[0] : active.Count == 0 ? current ?? old.LastOrDefault() : null;
        if (latest is not null && Replicas(latest) != Replicas(deployment))
        {
            Scale(deployment, latest, Replicas(deployment));
        }
    }

    private JsonObject? Create(JsonObject deployment, List<JsonObject> old, int replicas)
    {
        var collisions = deployment.Number("status", "collisionCount") ?? 0;
        var hash = PodTemplate.Hash(deployment.At("spec", "template"), collisions);
        var template = (JsonObject)deployment.At("spec", "template")!.DeepClone();
        template.Child("metadata").Child("labels")[PodTemplate.HashLabel] = hash;
        var selector = (JsonObject)deployment.At("spec", "selector")!.DeepClone();
        selector.Child("matchLabels")[PodTemplate.HashLabel] = hash;
        var revision = old.Select(RevisionOf).DefaultIfEmpty().Max() + 1;
        var set = new JsonObject
        {
            ["kind"] = "ReplicaSet",
            ["apiVersion"] = "apps/v1",
            ["metadata"] = new JsonObject
            {
                ["name"] = $"{deployment.Name()}-{hash}",
                ["namespace"] = deployment.Namespace(),
                ["labels"] = template["metadata"]!["labels"]!.DeepClone(),
                ["annotations"] = CopiedAnnotations(deployment, revision),
                ["ownerReferences"] = new JsonArray(Ownership.Reference(deployment)),
            },
            ["spec"] = new JsonObject { ["replicas"] = replicas, ["selector"] = selector, ["template"] = template },
        };
        if (deployment.Number("spec", "minReadySeconds") is { } ready and > 0)
        {
            set.Child("spec")["minReadySeconds"] = ready;
        }

        JsonObject created;
        try
        {
            created = Store.Create("apps", "replicasets", set);
        }
        catch (ApiException taken) when (taken.Code == 409)
        {
            // Somebody else's ReplicaSet has the name: another hash, at the next turn.
            Store.Update(deployment.Key("apps", "deployments"), item => item.Child("status")["collisionCount"] = collisions + 1);
            return null;
        }

        if (replicas > 0)
        {
            Events.Normal(Name, deployment, "ScalingReplicaSet", $"Scaled up replica set {created.Name()} from 0 to {replicas}");
        }

        var now = Context.Now;
        Store.Update(deployment.Key("apps", "deployments"), item =>
        {
            item.Child("metadata").Child("annotations")[Revision] = revision.ToString(CultureInfo.InvariantCulture);
            if (item.Number("spec", "progressDeadlineSeconds") is not null)
            {
                Progressing(item.Child("status"), "True", "NewReplicaSetCreated", $"Created new replica set \"{created.Name()}\"", now);
            }
        });
        return created;
    }

    /// <summary>
    /// Gives the ReplicaSet of the wanted template the newest revision number, as an undo does with an old one, and the Deployment's
    /// annotations, among them the change cause that <c>rollout history</c> prints.
    /// </summary>
    private JsonObject Promote(JsonObject deployment, List<JsonObject> old, JsonObject current)
    {
        var own = RevisionOf(current);
        var wanted = Math.Max(own, old.Select(RevisionOf).DefaultIfEmpty().Max() + 1);
        var copied = CopiedAnnotations(deployment, wanted);
        if (Selector.MatchesMap(copied, current.At("metadata", "annotations")))
        {
            return current;
        }

        return Store.Update(current.Key("apps", "replicasets"), set =>
        {
            var annotations = set.Child("metadata").Child("annotations");
            foreach (var (name, value) in copied)
            {
                annotations[name] = value!.DeepClone();
            }

            if (own > 0 && own < wanted)
            {
                var history = set.Annotation(RevisionHistory);
                annotations[RevisionHistory] = history is null ? $"{own}" : $"{history},{own}";
            }
        }) ?? current;
    }

    private void Annotate(JsonObject deployment, JsonObject current)
    {
        var revision = current.Annotation(Revision);
        var unseen = deployment.Condition("Progressing") is null && deployment.Number("spec", "progressDeadlineSeconds") is not null;
        if (deployment.Annotation(Revision) == revision && !unseen)
        {
            return;
        }

        var now = Context.Now;
        Store.Update(deployment.Key("apps", "deployments"), item =>
        {
            item.Child("metadata").Child("annotations")[Revision] = revision;
            if (unseen)
            {
                Progressing(item.Child("status"), "True", "FoundNewReplicaSet", $"Found new replica set \"{current.Name()}\"", now);
            }
        });
    }

    private static JsonObject CopiedAnnotations(JsonObject deployment, long revision)
    {
        var copied = new JsonObject();
        if (deployment.At("metadata", "annotations") is JsonObject annotations)
        {
            foreach (var (name, value) in annotations.Where(pair => !NotCopied.Contains(pair.Key)))
            {
                copied[name] = value?.DeepClone();
            }
        }

        copied[DesiredReplicas] = Replicas(deployment).ToString(CultureInfo.InvariantCulture);
        copied[MaxReplicas] = (Replicas(deployment) + Limits(deployment).Surge).ToString(CultureInfo.InvariantCulture);
        copied[Revision] = revision.ToString(CultureInfo.InvariantCulture);
        return copied;
    }

    private JsonObject Scale(JsonObject deployment, JsonObject set, int replicas)
    {
        var before = Replicas(set);
        var scaled = Store.Update(set.Key("apps", "replicasets"), item =>
        {
            item.Child("spec")["replicas"] = replicas;
            var annotations = item.Child("metadata").Child("annotations");
            annotations[DesiredReplicas] = Replicas(deployment).ToString(CultureInfo.InvariantCulture);
            annotations[MaxReplicas] = (Replicas(deployment) + Limits(deployment).Surge).ToString(CultureInfo.InvariantCulture);
        });
        var direction = replicas > before ? "up" : "down";
        Events.Normal(Name, deployment, "ScalingReplicaSet", $"Scaled {direction} replica set {set.Name()} from {before} to {replicas}");
        return scaled ?? set;
    }

    /// <summary>Status and history from what is stored now, after this turn's writes.</summary>
    private void Finish(ObjectKey key, string? currentUid)
    {
        if (Store.Get(key) is not { } deployment)
        {
            return;
        }

        var sets = Claim(deployment, "apps", "replicasets", null);
        var current = sets.Find(set => set.Uid() == currentUid)
            ?? sets.Find(set => PodTemplate.Same(set.At("spec", "template"), deployment.At("spec", "template")));
        var old = sets.Where(set => set != current).ToList();
        var status = Status(deployment, old, current, Context.Now);
        WriteStatus(key, deployment, status);
        if (IsComplete(deployment, status))
        {
            DeleteHistory(deployment, old);
        }
    }

    private static bool IsComplete(JsonObject deployment, JsonObject status)
    {
        var replicas = Replicas(deployment);
        return (status.Number("updatedReplicas") ?? 0) == replicas
            && (status.Number("replicas") ?? 0) == replicas
            && (status.Number("availableReplicas") ?? 0) == replicas;
    }

    private void DeleteHistory(JsonObject deployment, List<JsonObject> old)
    {
        var idle = old
            .Where(set => Replicas(set) == 0 && (set.Number("status", "replicas") ?? 0) == 0 && !set.IsDeleting()
                && set.Generation() <= (set.Number("status", "observedGeneration") ?? 0))
            .OrderBy(RevisionOf)
            .ToList();
        foreach (var set in idle.Take(Math.Max(0, idle.Count - (deployment.Number("spec", "revisionHistoryLimit") ?? 10))))
        {
            Store.Delete(set.Key("apps", "replicasets"));
        }
    }

    /// <param name="now">When the conditions are judged; null leaves Progressing alone, as for a Deployment on its way out.</param>
    private JsonObject Status(JsonObject deployment, List<JsonObject> old, JsonObject? current, DateTimeOffset? now)
    {
        var before = deployment.At("status") as JsonObject ?? [];
        var status = before.Copy();
        var all = old.Append(current).OfType<JsonObject>().ToList();
        var available = all.Sum(AvailableReplicas);
        status["observedGeneration"] = deployment.Generation();
        status.Count("replicas", all.Sum(set => set.Number("status", "replicas") ?? 0));
        status.Count("updatedReplicas", current.Number("status", "replicas") ?? 0);
        status.Count("readyReplicas", all.Sum(set => set.Number("status", "readyReplicas") ?? 0));
        status.Count("availableReplicas", available);
        status.Count("unavailableReplicas", Math.Max(0, all.Sum(Replicas) - available));

        var at = now ?? Context.Now;
        var enough = available >= Replicas(deployment) - Limits(deployment).Unavailable;
        Set(
            status,
            "Available",
            enough ? "True" : "False",
            enough ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
            enough ? "Deployment has minimum availability." : "Deployment does not have minimum availability.",
            at);
        if (all.Select(set => set.Condition("ReplicaFailure")).FirstOrDefault(failure => failure is not null) is { } failed)
        {
            Set(status, "ReplicaFailure", failed.Text("status")!, failed.Text("reason")!, failed.Text("message")!, at);
        }
        else
        {
            Conditions.Remove(status, "ReplicaFailure");
        }

        if (now is not null && deployment.Number("spec", "progressDeadlineSeconds") is { } deadline and < int.MaxValue)
        {
            Progress(deployment, before, status, current, TimeSpan.FromSeconds(deadline), at);
        }

        return status;
    }

    private void Progress(
        JsonObject deployment, JsonObject before, JsonObject status, JsonObject? current, TimeSpan deadline, DateTimeOffset now)
    {
        var condition = deployment.Condition("Progressing");
        if (deployment.Flag("spec", "paused") == true)
        {
            if (condition.Text("reason") != Available)
            {
                Progressing(status, "Unknown", "DeploymentPaused", "Deployment is paused", now);
            }

            return;
        }

        if (condition.Text("reason") == "DeploymentPaused")
        {
            Progressing(status, "Unknown", "DeploymentResumed", "Deployment is resumed", now);
            condition = status.Items("conditions").First(item => item.Text("type") == "Progressing");
        }

        var subject = current is null ? $"Deployment \"{deployment.Name()}\"" : $"ReplicaSet \"{current.Name()}\"";
        var settled = condition.Text("reason") == Available && status.Number("replicas") == status.Number("updatedReplicas");
        if (settled)
        {
            return;
        }

        if (IsComplete(deployment, status))
        {
            Progressing(status, "True", Available, $"{subject} has successfully progressed.", now);
            return;
        }

        if (HasMoved(before, status))
        {
            Conditions.Set(status, "Progressing", "True", "ReplicaSetUpdated", $"{subject} is progressing.", now);
            status.Items("conditions").First(item => item.Text("type") == "Progressing")["lastUpdateTime"] = now.Stamp();
            condition = null;
        }

        var since = condition.Instant("lastUpdateTime") ?? now;
        if (condition.Text("reason") is "ProgressDeadlineExceeded" or Available)
        {
            return;
        }

        // Time stamps are cut to seconds; the deadline counts from the end of that second.
        var remaining = since + deadline + TimeSpan.FromSeconds(1) - now;
        if (remaining > TimeSpan.Zero)
        {
            Queue.AddAfter(deployment.Key("apps", "deployments"), remaining);
        }
        else
        {
            Progressing(status, "False", "ProgressDeadlineExceeded", $"{subject} has timed out progressing.", now);
        }
    }

    private static void Progressing(JsonObject status, string value, string reason, string message, DateTimeOffset now) =>
        Set(status, "Progressing", value, reason, message, now);

    // A condition that says something new stands last, as where the list is made anew.
    private static void Set(JsonObject status, string type, string value, string reason, string message, DateTimeOffset now)
    {
        var before = status.Items("conditions").FirstOrDefault(item => item.Text("type") == type);
        var news = before.Text("status") != value || before.Text("reason") != reason;
        Conditions.Set(status, type, value, reason, message, now, "lastUpdateTime");
        if (news && status["conditions"] is JsonArray conditions)
        {
            var condition = conditions.First(item => item.Text("type") == type);
            conditions.Remove(condition);
            conditions.Add(condition);
        }
    }

    private static bool HasMoved(JsonObject before, JsonObject after)
    {
        static int Get(JsonObject status, string name) => status.Number(name) ?? 0;
        static int Old(JsonObject status) => Get(status, "replicas") - Get(status, "updatedReplicas");
        return Get(after, "updatedReplicas") > Get(before, "updatedReplicas")
            || Old(after) < Old(before)
            || Get(after, "readyReplicas") > Get(before, "readyReplicas")
            || Get(after, "availableReplicas") > Get(before, "availableReplicas");
    }
}
