using System.Globalization;
using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7386).</summary>
internal static class JsonPatch
{
    /// <summary>Applies the operations in order, in place.</summary>
    /// <exception cref="ApiException">422 when an operation does not apply, 400 when it is no patch.</exception>
    public static JsonNode Apply(JsonNode document, JsonArray patch)
    {
        foreach (var item in patch)
        {
            if (item is not JsonObject operation || operation.Text("op") is not { } name || operation.Text("path") is not { } path)
            {
                throw ApiException.BadRequest("a JSON patch is a list of operations, each with op and path");
            }

            var at = Split(path);
            switch (name)
            {
                case "add":
                    Add(ref document, at, Value(operation));
                    break;
                case "replace":
                    // As the real server's library: replace of a map key that is not there adds it; in a list it fails.
                    Resolve(document, at, out var owner);
                    if (owner is JsonArray)
                    {
                        Remove(document, at);
                    }

                    Set(ref document, at, Value(operation));
                    break;
                case "remove":
                    Remove(document, at);
                    break;
                case "test":
                    if (!JsonNode.DeepEquals(Find(document, at), operation["value"]))
                    {
                        throw Refused();
                    }

                    break;
                case "copy":
                    Add(ref document, at, Find(document, From(operation))?.DeepClone());
                    break;
                case "move":
                    var moved = Find(document, From(operation))?.DeepClone();
                    Remove(document, From(operation));
                    Add(ref document, at, moved);
                    break;
                default:
                    throw Refused();
            }
        }

        return document;
    }

    /// <summary>Merges a patch into an object in place: null removes, objects merge, everything else replaces.</summary>
    public static void Merge(JsonObject target, JsonObject patch)
    {
        foreach (var (name, value) in patch)
        {
            switch (value)
            {
                case null:
                    target.Remove(name);
                    break;
                case JsonObject child:
                    Merge(target.Child(name), child);
                    break;
                default:
                    target[name] = value.DeepClone();
                    break;
            }
        }
    }

    private static ApiException Refused() =>
        new(422, "Invalid", "the server rejected our request due to an error in our request") { EmptyDetails = true };

    private static JsonNode? Value(JsonObject operation) =>
        operation.ContainsKey("value") ? operation["value"]?.DeepClone() : throw Refused();

    private static string[] From(JsonObject operation) => Split(operation.Text("from") ?? throw Refused());

    private static string[] Split(string pointer)
    {
        if (pointer.Length == 0)
        {
            return [];
        }

        if (pointer[0] != '/')
        {
            throw Refused();
        }

        return pointer[1..].Split('/')
            .Select(part => part.Replace("~1", "/", StringComparison.Ordinal).Replace("~0", "~", StringComparison.Ordinal))
            .ToArray();
    }

    private static JsonNode? Find(JsonNode document, string[] path)
    {
        JsonNode? node = document;
        foreach (var part in path)
        {
            node = node switch
            {
                JsonObject map when map.TryGetPropertyValue(part, out var child) => child,
                JsonArray list when Index(part, list.Count - 1) is { } index => list[index],
                _ => throw Refused(),
            };
        }

        return node;
    }

    private static void Resolve(JsonNode document, string[] path, out JsonNode owner)
    {
        owner = path.Length == 0 ? document : Find(document, path[..^1]) ?? throw Refused();
    }

    private static void Add(ref JsonNode document, string[] path, JsonNode? value) => Set(ref document, path, value);

    private static void Set(ref JsonNode document, string[] path, JsonNode? value)
    {
        if (path.Length == 0)
        {
            document = value ?? throw Refused();
            return;
        }

        Resolve(document, path, out var owner);
        switch (owner)
        {
            case JsonObject map:
                map[path[^1]] = value;
                break;
            case JsonArray list when path[^1] == "-":
                list.Add(value);
                break;
            case JsonArray list when Index(path[^1], list.Count) is { } index:
                list.Insert(index, value);
                break;
            default:
                throw Refused();
        }
    }

    private static void Remove(JsonNode document, string[] path)
    {
        if (path.Length == 0)
        {
            throw Refused();
        }

        Resolve(document, path, out var owner);
        switch (owner)
        {
            case JsonObject map when map.Remove(path[^1]):
                break;
            case JsonArray list when Index(path[^1], list.Count - 1) is { } index:
                list.RemoveAt(index);
                break;
            default:
                throw Refused();
        }
    }

    private static int? Index(string text, int last) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var index) && index <= last ? index : null;
}
