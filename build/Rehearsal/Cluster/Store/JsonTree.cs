using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>Reading raw Kubernetes JSON where any member may be absent, null or of another type.</summary>
internal static class JsonTree
{
    private static readonly JsonArray EmptyList = [];

    /// <summary>The member as an object; made and attached when absent or null.</summary>
    public static JsonObject Child(this JsonObject parent, string name)
    {
        if (parent[name] is JsonObject child)
        {
            return child;
        }

        child = [];
        parent[name] = child;
        return child;
    }

    /// <summary>The member as an object, or null; walks several names.</summary>
    public static JsonObject? At(this JsonObject? parent, params ReadOnlySpan<string> path)
    {
        foreach (var name in path)
        {
            parent = parent?[name] as JsonObject;
        }

        return parent;
    }

    /// <summary>The member when it is a string, else null.</summary>
    public static string? Text(this JsonObject? parent, string name) =>
        parent?[name] is JsonValue value && value.GetValueKind() == JsonValueKind.String ? value.GetValue<string>() : null;

    /// <summary>The member when it is a whole number, else null.</summary>
    public static long? Number(this JsonObject? parent, string name)
    {
        if (parent?[name] is not JsonValue value || value.GetValueKind() != JsonValueKind.Number)
        {
            return null;
        }

        return value.TryGetValue<long>(out var number) ? number
            : value.TryGetValue<int>(out var small) ? small
            : value.TryGetValue<double>(out var real) ? (long)real
            : null;
    }

    /// <summary>True when the member is the JSON literal true.</summary>
    public static bool Flag(this JsonObject? parent, string name) =>
        parent?[name] is JsonValue value && value.GetValueKind() == JsonValueKind.True;

    /// <summary>The member as a list; empty when absent. Not to be added to.</summary>
    public static JsonArray List(this JsonObject? parent, string name) => parent?[name] as JsonArray ?? EmptyList;

    /// <summary>The member's elements that are objects.</summary>
    public static IEnumerable<JsonObject> Objects(this JsonObject? parent, string name) => parent.List(name).OfType<JsonObject>();

    /// <summary>Whether a nested member is there and not null.</summary>
    public static bool Is(this JsonObject parent, string first, string second) => (parent[first] as JsonObject)?[second] is not null;

    /// <summary>Sets the member when it is absent or null.</summary>
    public static void Default(this JsonObject target, string name, Func<JsonNode> value)
    {
        if (target[name] is null)
        {
            target[name] = value();
        }
    }

    /// <summary>Makes the member what it is in another object, absent included.</summary>
    public static void Copy(this JsonObject target, string name, JsonObject source)
    {
        if (source[name] is { } value)
        {
            if (target[name] is not { } own || !JsonNode.DeepEquals(own, value))
            {
                target[name] = value.DeepClone();
            }
        }
        else
        {
            target.Remove(name);
        }
    }
}
