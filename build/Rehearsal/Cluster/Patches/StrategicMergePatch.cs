using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>
/// Kubernetes' own patch form: like a merge patch, but lists with a merge key are merged by it, and directives
/// ($patch, $retainKeys, $setElementOrder, $deleteFromPrimitiveList) say what plain JSON cannot.
/// </summary>
internal static class StrategicMergePatch
{
    private const string Directive = "$patch";
    private const string RetainKeys = "$retainKeys";
    private const string ElementOrder = "$setElementOrder/";
    private const string DeleteFromList = "$deleteFromPrimitiveList/";

    /// <summary>Merges the patch into an object of that type, in place.</summary>
    public static void Apply(ApiType type, JsonObject target, JsonObject patch) => MergeObject(type, target, patch);

    private static void MergeObject(ApiType? type, JsonObject target, JsonObject patch)
    {
        switch (patch.Text(Directive))
        {
            case "replace":
                target.Clear();
                break;
            case "delete":
                target.Clear();
                return;
            case null or "merge":
                break;
            case { } other:
                throw ApiException.BadRequest($"Unknown patch type: {other}");
        }

        foreach (var (name, value) in patch)
        {
            if (name[0] == '$')
            {
                continue;
            }

            var field = type?.Find(name);
            switch (value)
            {
                case null:
                    target.Remove(name);
                    break;
                case JsonObject child:
                    MergeObject(field?.Shape.Type ?? field?.Shape.Element?.Type, target.Child(name), child);
                    if (child.Text(Directive) == "delete")
                    {
                        target.Remove(name);
                    }

                    break;
                case JsonArray list when field is { PatchMerge: true }:
                    target[name] = MergeList(field, target.List(name), list);
                    break;
                default:
                    target[name] = value.DeepClone();
                    break;
            }
        }

        foreach (var (name, value) in patch)
        {
            if (name.StartsWith(DeleteFromList, StringComparison.Ordinal)
                && value is JsonArray gone
                && target[name[DeleteFromList.Length..]] is JsonArray list)
            {
                foreach (var found in list.Where(item => gone.Any(other => JsonNode.DeepEquals(item, other))).ToList())
                {
                    list.Remove(found);
                }
            }
            else if (name.StartsWith(ElementOrder, StringComparison.Ordinal)
                && value is JsonArray order
                && target[name[ElementOrder.Length..]] is JsonArray ordered)
            {
                Reorder(ordered, order, type?.Find(name[ElementOrder.Length..])?.PatchKey);
            }
        }

        if (patch[RetainKeys] is JsonArray retained)
        {
            var keep = retained.Select(item => item!.GetValue<string>()).ToHashSet(StringComparer.Ordinal);
            foreach (var name in target.Select(pair => pair.Key).Where(name => !keep.Contains(name)).ToList())
            {
                target.Remove(name);
            }
        }
    }

    private static JsonArray MergeList(ApiField field, JsonArray target, JsonArray patch)
    {
        var result = patch.OfType<JsonObject>().Any(item => item.Text(Directive) == "replace")
            ? []
            : target.Select(item => item?.DeepClone()).ToList();
        foreach (var item in patch)
        {
            if (item is not JsonObject element)
            {
                if (!result.Any(other => JsonNode.DeepEquals(other, item)))
                {
                    result.Add(item?.DeepClone());
                }

                continue;
            }

            var directive = element.Text(Directive);
            if (directive == "replace" && element.Count == 1)
            {
                continue;
            }

            var key = field.PatchKey!;
            if (element[key] is not { } value)
            {
                // The real server passes this failure on as it is, without a reason.
                throw new ApiException(500, null, $"map: {element.ToJsonString()} does not contain declared merge key: {key}");
            }

            var matches = result.OfType<JsonObject>().Where(other => JsonNode.DeepEquals(other[key], value)).ToList();
            if (directive == "delete")
            {
                result.RemoveAll(other => matches.Contains(other));
                continue;
            }

            if (matches.Count == 0)
            {
                var fresh = new JsonObject();
                MergeObject(field.Shape.Element!.Type, fresh, element);
                result.Add(fresh);
            }
            else
            {
                MergeObject(field.Shape.Element!.Type, matches[0], element);
            }
        }

        return new JsonArray(result.ToArray());
    }

    /// <summary>Puts the listed elements into the listed order; elements not listed stay before those they stood before.</summary>
    private static void Reorder(JsonArray list, JsonArray order, string? key)
    {
        var items = list.Select((item, index) => (Item: item, Index: index, Rank: Rank(item, order, key))).ToList();
        var listed = new Queue<(JsonNode? Item, int Index, int Rank)>(items.Where(item => item.Rank >= 0).OrderBy(item => item.Rank));
        var others = new Queue<(JsonNode? Item, int Index, int Rank)>(items.Where(item => item.Rank < 0));
        list.Clear();
        while (listed.Count + others.Count > 0)
        {
            var takeOther = others.Count > 0 && (listed.Count == 0 || others.Peek().Index < listed.Peek().Index);
            list.Add(takeOther ? others.Dequeue().Item : listed.Dequeue().Item);
        }
    }

    private static int Rank(JsonNode? item, JsonArray order, string? key)
    {
        for (var i = 0; i < order.Count; i++)
        {
            var same = key is null
                ? JsonNode.DeepEquals(item, order[i])
                : JsonNode.DeepEquals((item as JsonObject)?[key], (order[i] as JsonObject)?[key]);
            if (same)
            {
                return i;
            }
        }

        return -1;
    }
}
