using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;

namespace Rehearsal.Controllers;

/// <summary>Pod templates: what makes two of them the same, their hash, and the pods made of them.</summary>
internal static class PodTemplate
{
    public const string HashLabel = "pod-template-hash";

    // The alphabet of generated names: no vowels and nothing that is easily misread, so that no words come out.
    private const string Alphabet = "bcdfghjklmnpqrstvwxz2456789";

    /// <summary>A short name for the template that is the same in every run; collisions are told apart by the count.</summary>
    public static string Hash(JsonNode? template, int collisions)
    {
        var text = new StringBuilder();
        Canonical(template, text);
        if (collisions > 0)
        {
            text.Append(collisions);
        }

        var hash = 2166136261u;
        foreach (var unit in Encoding.UTF8.GetBytes(text.ToString()))
        {
            hash = (hash ^ unit) * 16777619u;
        }

        return hash.ToString(CultureInfo.InvariantCulture).Aggregate("", (name, digit) => name + Alphabet[digit % Alphabet.Length]);
    }

    /// <summary>Equal apart from the hash label that a controller adds.</summary>
    public static bool Same(JsonNode? one, JsonNode? other) => JsonNode.DeepEquals(WithoutHash(one), WithoutHash(other));

    /// <summary>A pod of the template, owned by <paramref name="owner"/>.</summary>
    /// <param name="name">The pod's name, or null for a generated one.</param>
    public static JsonObject Pod(JsonObject owner, JsonNode? template, string? name = null)
    {
        var metadata = new JsonObject();
        if (name is null)
        {
            // Names end at 63 characters, five of which are the suffix.
            var prefix = owner.Name();
            metadata["generateName"] = (prefix.Length > 57 ? prefix[..57] : prefix) + "-";
        }
        else
        {
            metadata["name"] = name;
        }

        metadata["namespace"] = owner.Namespace();
        foreach (var part in (ReadOnlySpan<string>)["labels", "annotations", "finalizers"])
        {
            if (template.At("metadata", part) is { } value)
            {
                metadata[part] = value.DeepClone();
            }
        }

        metadata["ownerReferences"] = new JsonArray(Ownership.Reference(owner));
        return new JsonObject
        {
            ["kind"] = "Pod",
            ["apiVersion"] = "v1",
            ["metadata"] = metadata,
            ["spec"] = template.At("spec")?.DeepClone() ?? new JsonObject(),
        };
    }

    private static JsonNode? WithoutHash(JsonNode? template)
    {
        if (template.At("metadata", "labels", HashLabel) is null)
        {
            return template;
        }

        var copy = template!.DeepClone();
        (copy.At("metadata", "labels") as JsonObject)!.Remove(HashLabel);
        return copy;
    }

    private static void Canonical(JsonNode? node, StringBuilder text)
    {
        switch (node)
        {
            case JsonObject item:
                text.Append('{');
                foreach (var (name, value) in item.Where(pair => pair.Value is not null).OrderBy(pair => pair.Key, StringComparer.Ordinal))
                {
                    text.Append(CultureInfo.InvariantCulture, $"\"{name}\":");
                    Canonical(value, text);
                }

                text.Append('}');
                break;
            case JsonArray array:
                text.Append('[');
                foreach (var value in array)
                {
                    Canonical(value, text);
                    text.Append(',');
                }

                text.Append(']');
                break;
            default:
                text.Append(node?.ToJsonString() ?? "null");
                break;
        }
    }
}
