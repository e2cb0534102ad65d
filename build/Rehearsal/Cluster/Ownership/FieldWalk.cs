using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>A value's parts that may have different owners, or the knowledge that it has none.</summary>
internal static class FieldWalk
{
    /// <summary>The paths an applied configuration claims: leaves, and list elements themselves.</summary>
    public static FieldSet Claim(ApiType type, JsonObject value)
    {
        var set = new FieldSet();
        Claim(new Place(new Shape(ShapeKind.Object, type)), value, set, "");
        return set.Trim();
    }

    /// <summary>What differs between two objects; parts that are wholly new or gone count with all they hold.</summary>
    public static (FieldSet Changed, FieldSet Removed) Compare(ApiType type, JsonObject before, JsonObject after)
    {
        var changed = new FieldSet();
        var removed = new FieldSet();
        Compare(new Place(new Shape(ShapeKind.Object, type)), before, after, changed, removed);
        return (changed.Trim(), removed.Trim());
    }

    /// <summary>Merges an applied configuration into a private copy of the live object, in place.</summary>
    public static void Merge(ApiType type, JsonObject live, JsonObject applied) =>
        Merge(new Place(new Shape(ShapeKind.Object, type)), live, applied);

    /// <summary>Takes out what was claimed before and is kept by nobody now, in place.</summary>
    public static void Prune(ApiType type, JsonObject value, FieldSet claimedBefore, FieldSet kept) =>
        Prune(new Place(new Shape(ShapeKind.Object, type)), value, claimedBefore, kept);

    private static void Claim(Place place, JsonNode? node, FieldSet set, string path)
    {
        switch (place.PartsOf(node))
        {
            case Parts.Members when node is JsonObject { Count: > 0 } map:
                foreach (var (name, child) in map)
                {
                    Claim(place.Member(name), child, set.Open("f:" + name), path + "." + name);
                }

                break;
            case Parts.Keyed or Parts.Values when node is JsonArray { Count: > 0 } list:
                foreach (var child in list)
                {
                    var element = set.Open(place.ElementName(child, path));
                    if (element.IsMember)
                    {
                        throw new ShapeException($"{path}: duplicate entries for key {place.ElementName(child, path)[2..]}");
                    }

                    Claim(place.Element, child, element, path);
                    element.IsMember = true;
                }

                break;
            default:
                set.IsMember = true;
                break;
        }
    }

    private static void Compare(Place place, JsonNode? before, JsonNode? after, FieldSet changed, FieldSet removed)
    {
        var parts = place.PartsOf(before ?? after);
        if (parts == Parts.None || (before is not null && after is not null && place.PartsOf(after) != parts))
        {
            if (before is null || after is null || !JsonNode.DeepEquals(before, after))
            {
                (after is null ? removed : changed).IsMember = true;
            }

            return;
        }

        if (before is null)
        {
            changed.IsMember = true;
        }
        else if (after is null)
        {
            removed.IsMember = true;
        }

        foreach (var element in place.Elements(before).Keys.Union(place.Elements(after).Keys, StringComparer.Ordinal).ToList())
        {
            var old = place.Elements(before).GetValueOrDefault(element);
            var now = place.Elements(after).GetValueOrDefault(element);
            if (old is null && now is null)
            {
                continue;
            }

            Compare(place.Below(element), old, now, changed.Open(element), removed.Open(element));
        }
    }

    private static void Merge(Place place, JsonNode live, JsonNode applied)
    {
        switch (live, applied)
        {
            case (JsonObject target, JsonObject source):
                foreach (var (name, value) in source)
                {
                    if (value is null)
                    {
                        continue;
                    }

                    var below = place.Member(name);
                    if (target[name] is { } own && below.PartsOf(value) != Parts.None && below.PartsOf(own) == below.PartsOf(value))
                    {
                        Merge(below, own, value);
                    }
                    else
                    {
                        target[name] = value.DeepClone();
                    }
                }

                break;
            case (JsonArray target, JsonArray source):
                var existing = place.Elements(target);
                foreach (var value in source)
                {
                    if (existing.TryGetValue(place.ElementName(value, ""), out var own))
                    {
                        if (own is JsonObject && value is not null && place.Element.PartsOf(value) != Parts.None)
                        {
                            Merge(place.Element, own, value);
                        }
                    }
                    else
                    {
                        target.Add(value?.DeepClone());
                    }
                }

                Arrange(place, target, source);
                break;
        }
    }

    /// <summary>The applied order wins among the applied elements; the others keep their places before what they stood before.</summary>
    private static void Arrange(Place place, JsonArray target, JsonArray source)
    {
        var ranks = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var value in source)
        {
            ranks.TryAdd(place.ElementName(value, ""), ranks.Count);
        }

        var slots = target.Select((value, index) => (Value: value, Index: index, Name: place.ElementName(value, ""))).ToList();
        var applied = slots.Where(slot => ranks.ContainsKey(slot.Name))
            .OrderBy(slot => ranks[slot.Name])
            .Select(slot => slot.Value)
            .ToList();
        var next = 0;
        var ordered = slots.Select(slot => ranks.ContainsKey(slot.Name) ? applied[next++] : slot.Value).ToList();
        target.Clear();
        foreach (var value in ordered)
        {
            target.Add(value);
        }
    }

    private static void Prune(Place place, JsonNode node, FieldSet claimedBefore, FieldSet? kept)
    {
        foreach (var (element, before) in claimedBefore.Children)
        {
            if (!place.Elements(node).TryGetValue(element, out var child) || child is null)
            {
                continue;
            }

            var keep = kept?.Child(element);
            if (keep is null && before.IsMember)
            {
                Place.Remove(node, element, child);
                continue;
            }

            Prune(place.Below(element), child, before, keep);
            if (keep is null && (child is JsonObject { Count: 0 } or JsonArray { Count: 0 }))
            {
                Place.Remove(node, element, child);
            }
        }
    }
}
