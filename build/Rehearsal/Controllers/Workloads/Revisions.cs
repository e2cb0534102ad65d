using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Controllers;

/// <summary>The ControllerRevisions of StatefulSets and DaemonSets: what <c>rollout history</c> and <c>rollout undo</c> read.</summary>
internal static class Revisions
{
    /// <summary>Pods carry the name (or hash) of their revision under this label.</summary>
    public const string Label = "controller-revision-hash";

    /// <summary>
    /// The revision of the owner's present template, made when it is new and given the highest number; older ones beyond the limit go.
    /// </summary>
    public static JsonObject Current(ObjectStore store, JsonObject owner)
    {
        var data = new JsonObject
        {
            ["spec"] = new JsonObject { ["template"] = Patch(owner.At("spec", "template")) },
        };
        var known = store.List("apps", "controllerrevisions", owner.Namespace())
            .Where(revision => Ownership.ControllerOf(revision)?.Uid == owner.Uid())
            .OrderBy(Number)
            .ToList();
        var newest = known.Count == 0 ? 0 : Number(known[^1]);
        var same = known.FindLast(revision => JsonNode.DeepEquals(revision.At("data"), data));
        if (same is null)
        {
            var hash = PodTemplate.Hash(owner.At("spec", "template"), 0);
            same = store.Create("apps", "controllerrevisions", new JsonObject
            {
                ["kind"] = "ControllerRevision",
                ["apiVersion"] = "apps/v1",
                ["metadata"] = new JsonObject
                {
                    ["name"] = $"{owner.Name()}-{hash}",
                    ["namespace"] = owner.Namespace(),
                    ["labels"] = Labels(owner, hash),
                    ["ownerReferences"] = new JsonArray(Ownership.Reference(owner)),
                },
                ["data"] = data,
                ["revision"] = newest + 1,
            });
            var limit = owner.Number("spec", "revisionHistoryLimit") ?? 10;
            foreach (var old in known.Take(Math.Max(0, known.Count - limit)))
            {
                store.Delete(old.Key("apps", "controllerrevisions"));
            }
        }
        else if (Number(same) < newest)
        {
            same = store.Update(same.Key("apps", "controllerrevisions"), revision => revision["revision"] = newest + 1) ?? same;
        }

        return same;
    }

    private static int Number(JsonObject revision) => revision.Number("revision") ?? 0;

    private static JsonObject Patch(JsonNode? template)
    {
        var patch = template?.DeepClone() as JsonObject ?? [];
        patch["$patch"] = "replace";
        return patch;
    }

    private static JsonObject Labels(JsonObject owner, string hash)
    {
        var labels = owner.At("spec", "template", "metadata", "labels")?.DeepClone() as JsonObject ?? [];
        labels[Label] = hash;
        return labels;
    }
}
