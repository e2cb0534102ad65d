using System.Globalization;
using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Controllers;

/// <summary>Reads Kubernetes objects as the raw JSON they are. What is absent or of another type is null, never an error.</summary>
internal static class Reading
{
    public static JsonNode? At(this JsonNode? node, params ReadOnlySpan<string> path)
    {
        foreach (var name in path)
        {
            node = node is JsonObject inner && inner.TryGetPropertyValue(name, out var value) ? value : null;
        }

        return node;
    }

    public static string? Text(this JsonNode? node, params ReadOnlySpan<string> path) =>
        node.At(path) is JsonValue value && value.TryGetValue<string>(out var text) ? text : null;

    public static int? Number(this JsonNode? node, params ReadOnlySpan<string> path)
    {
        if (node.At(path) is not JsonValue value)
        {
            return null;
        }

        return value.TryGetValue<int>(out var number) ? number
            : value.TryGetValue<long>(out var big) ? (int)Math.Clamp(big, int.MinValue, int.MaxValue)
            : null;
    }

    public static bool? Flag(this JsonNode? node, params ReadOnlySpan<string> path) =>
        node.At(path) is JsonValue value && value.TryGetValue<bool>(out var flag) ? flag : null;

    /// <summary>A Kubernetes time (RFC 3339).</summary>
    public static DateTimeOffset? Instant(this JsonNode? node, params ReadOnlySpan<string> path) =>
        DateTimeOffset.TryParse(node.Text(path), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var time) ? time : null;

    public static IEnumerable<JsonObject> Items(this JsonNode? node, params ReadOnlySpan<string> path) =>
        node.At(path) is JsonArray array ? array.OfType<JsonObject>() : [];

    public static IEnumerable<string> Strings(this JsonNode? node, params ReadOnlySpan<string> path) =>
        node.At(path) is JsonArray array ? array.Select(item => item.Text()).OfType<string>() : [];

    public static string Name(this JsonObject item) => item.Text("metadata", "name") ?? "";

    public static string? Namespace(this JsonObject item) => item.Text("metadata", "namespace");

    public static string Uid(this JsonObject item) => item.Text("metadata", "uid") ?? "";

    public static bool IsDeleting(this JsonObject item) => item.At("metadata", "deletionTimestamp") is not null;

    public static int Generation(this JsonObject item) => item.Number("metadata", "generation") ?? 0;

    public static string? Label(this JsonObject item, string name) => item.Text("metadata", "labels", name);

    public static string? Annotation(this JsonObject item, string name) => item.Text("metadata", "annotations", name);

    public static ObjectKey Key(this JsonObject item, string group, string resource) => new(group, resource, item.Namespace(), item.Name());

    /// <summary>The condition of that type in <c>status.conditions</c>.</summary>
    public static JsonObject? Condition(this JsonObject item, string type) =>
        item.Items("status", "conditions").FirstOrDefault(condition => condition.Text("type") == type);

    public static bool IsTrue(this JsonObject item, string condition) => item.Condition(condition).Text("status") == "True";

    /// <summary>Whole seconds in UTC, as Kubernetes writes times.</summary>
    public static string Stamp(this DateTimeOffset time) =>
        time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);

    /// <summary>Gets or adds the object under that name.</summary>
    public static JsonObject Child(this JsonObject item, string name)
    {
        if (item[name] is JsonObject existing)
        {
            return existing;
        }

        var created = new JsonObject();
        item[name] = created;
        return created;
    }

    /// <summary>Writes a count the way the API does: zero is left out.</summary>
    public static void Count(this JsonObject item, string name, int value)
    {
        if (value != 0)
        {
            item[name] = value;
        }
        else
        {
            item.Remove(name);
        }
    }

    public static JsonObject Copy(this JsonObject item) => (JsonObject)item.DeepClone();
}
