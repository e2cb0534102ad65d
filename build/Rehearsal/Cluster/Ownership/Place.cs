using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>What a value divides into for ownership.</summary>
internal enum Parts
{
    /// <summary>Nothing: the value has one owner.</summary>
    None,

    /// <summary>Members of a struct or keys of a map.</summary>
    Members,

    /// <summary>List elements told apart by key members.</summary>
    Keyed,

    /// <summary>List elements told apart by their value.</summary>
    Values,
}

/// <summary>A place in an object: its shape, and how the member that leads there wants to be merged.</summary>
internal readonly record struct Place(Shape? Shape, ApiField? Field = null)
{
    public Place Element => new(Shape?.Element);

    public Parts PartsOf(JsonNode? node)
    {
        if (Shape is null || Field is { Atomic: true })
        {
            return Parts.None;
        }

        return (Shape.Kind, node) switch
        {
            (ShapeKind.Object, JsonObject) when !Shape.Type!.Atomic => Parts.Members,
            (ShapeKind.Map, JsonObject) => Parts.Members,
            (ShapeKind.List, JsonArray) when Field?.Merge == ListMerge.Map => Parts.Keyed,
            (ShapeKind.List, JsonArray) when Field?.Merge == ListMerge.Set => Parts.Values,
            _ => Parts.None,
        };
    }

    public Place Member(string name)
    {
        if (Shape?.Kind == ShapeKind.Map)
        {
            return new Place(Shape.Element);
        }

        var field = Shape?.Type?.Find(name);
        return new Place(field?.Shape, field);
    }

    /// <summary>The place an element of a path leads to.</summary>
    public Place Below(string element) => element[0] == 'f' ? Member(element[2..]) : Element;

    /// <summary>The parts of a value by path element; empty for null and for undivided values.</summary>
    public IReadOnlyDictionary<string, JsonNode?> Elements(JsonNode? node)
    {
        var found = new Dictionary<string, JsonNode?>(StringComparer.Ordinal);
        switch (PartsOf(node))
        {
            case Parts.Members:
                foreach (var (name, value) in (JsonObject)node!)
                {
                    found["f:" + name] = value;
                }

                break;
            case Parts.Keyed or Parts.Values:
                foreach (var value in (JsonArray)node!)
                {
                    found.TryAdd(ElementName(value, ""), value);
                }

                break;
        }

        return found;
    }

    /// <summary>The path element of a list's element.</summary>
    /// <exception cref="ShapeException">A key member is missing and has no default.</exception>
    public string ElementName(JsonNode? value, string path)
    {
        if (Field!.Merge == ListMerge.Set)
        {
            return "v:" + (value?.ToJsonString(StoredJson.Relaxed) ?? "null");
        }

        var keys = new JsonObject();
        foreach (var key in Field.Keys.Order(StringComparer.Ordinal))
        {
            var found = (value as JsonObject)?[key];
            if (found is null)
            {
                var member = Shape!.Element!.Type?.Find(key);
                keys[key] = member?.Default
                    ?? (member is { Optional: false, Shape.Kind: ShapeKind.String } && key is not "name" ? "" : null)
                    ?? throw new ShapeException(
                        $"{path}: element 0: associative list with keys has an element that omits key field \"{key}\" (and doesn't "
                        + "have default value)");
            }
            else
            {
                keys[key] = found.DeepClone();
            }
        }

        return "k:" + keys.ToJsonString(StoredJson.Relaxed);
    }

    public static void Remove(JsonNode owner, string element, JsonNode child)
    {
        switch (owner)
        {
            case JsonObject map:
                map.Remove(element[2..]);
                break;
            case JsonArray list:
                list.Remove(child);
                break;
        }
    }
}
