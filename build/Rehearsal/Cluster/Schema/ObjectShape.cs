using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>A JSON value that its place in the API's types does not allow.</summary>
internal sealed class ShapeException(string message) : Exception(message);

/// <summary>
/// Makes an object what the real server's typed round trip makes of it: unknown members, nulls and zero values go, members that
/// are always written appear, quantities and times get their canonical text.
/// </summary>
internal static class ObjectShape
{
    /// <param name="unknown">Collects the paths of members the type does not have.</param>
    /// <exception cref="ShapeException">A value has the wrong JSON type.</exception>
    public static void Normalize(ResourceType type, JsonObject value, List<string>? unknown = null)
    {
        var shape = ApiTypes.Of(type);
        foreach (var name in Names(value))
        {
            if (name is "kind" or "apiVersion")
            {
                continue;
            }

            Member(shape, value, name, name, unknown);
        }

        Fill(shape, value);
    }

    private static string[] Names(JsonObject value) => value.Select(pair => pair.Key).ToArray();

    private static void Struct(ApiType type, JsonObject value, string path, List<string>? unknown)
    {
        foreach (var name in Names(value))
        {
            Member(type, value, name, path + "." + name, unknown);
        }

        Fill(type, value);
    }

    private static void Member(ApiType type, JsonObject owner, string name, string path, List<string>? unknown)
    {
        if (type.Find(name) is not { } field)
        {
            unknown?.Add(path);
            owner.Remove(name);
            return;
        }

        var node = owner[name];
        if (node is null)
        {
            owner.Remove(name);
            return;
        }

        if (Canonical(field.Shape, node, type, path, unknown) is { } better)
        {
            owner[name] = better;
            node = better;
        }

        if (!field.Always && !field.Optional && IsZero(field.Shape, node))
        {
            owner.Remove(name);
        }
    }

    private static void Fill(ApiType type, JsonObject value)
    {
        foreach (var (name, field) in type.Fields)
        {
            if (!field.Always || value.ContainsKey(name))
            {
                continue;
            }

            switch (field.Shape.Kind)
            {
                case ShapeKind.Object:
                    var child = new JsonObject();
                    Fill(field.Shape.Type!, child);
                    value[name] = child;
                    break;
                case ShapeKind.Int:
                    value[name] = 0;
                    break;
                case ShapeKind.Bool:
                    value[name] = false;
                    break;
            }
        }
    }

    /// <summary>Checks a value against its shape; returns another one to take its place, or null to leave it (changed in place).</summary>
    private static JsonNode? Canonical(Shape shape, JsonNode node, ApiType owner, string path, List<string>? unknown)
    {
        switch (shape.Kind)
        {
            case ShapeKind.Object:
                Struct(shape.Type!, node as JsonObject ?? throw Wrong(node, owner, path, shape.Type!.Name), path, unknown);
                return null;
            case ShapeKind.List:
                var list = node as JsonArray ?? throw Wrong(node, owner, path, "[]" + TypeName(shape.Element!));
                for (var i = 0; i < list.Count; i++)
                {
                    if (list[i] is { } element && Canonical(shape.Element!, element, owner, $"{path}[{i}]", unknown) is { } better)
                    {
                        list[i] = better;
                    }
                }

                return null;
            case ShapeKind.Map:
                var map = node as JsonObject ?? throw Wrong(node, owner, path, "map[string]" + TypeName(shape.Element!));
                foreach (var key in Names(map))
                {
                    if (map[key] is not { } value)
                    {
                        // A null in a map of strings is the empty string, as Go reads it.
                        map[key] = shape.Element!.Kind is ShapeKind.String or ShapeKind.Bytes ? "" : null;
                    }
                    else if (Canonical(shape.Element!, value, owner, path, unknown) is { } better)
                    {
                        map[key] = better;
                    }
                }

                return null;
            case ShapeKind.String:
            case ShapeKind.Bytes:
                Require(node, JsonValueKind.String, owner, path, "string");
                return null;
            case ShapeKind.Bool:
                if (node.GetValueKind() is not (JsonValueKind.True or JsonValueKind.False))
                {
                    throw Wrong(node, owner, path, "bool");
                }

                return null;
            case ShapeKind.Int:
                Require(node, JsonValueKind.Number, owner, path, "int32");
                return Whole(node) is { } number ? number : throw Wrong(node, owner, path, "int32");
            case ShapeKind.Float:
                Require(node, JsonValueKind.Number, owner, path, "float64");
                return null;
            case ShapeKind.Quantity:
                return Quantity.Canonical(node) ?? throw Wrong(node, owner, path, "resource.Quantity");
            case ShapeKind.IntOrString:
                if (node.GetValueKind() is not (JsonValueKind.Number or JsonValueKind.String))
                {
                    throw Wrong(node, owner, path, "intstr.IntOrString");
                }

                return null;
            case ShapeKind.Time:
                Require(node, JsonValueKind.String, owner, path, "v1.Time");
                return WholeSeconds(node.GetValue<string>());
            case ShapeKind.MicroTime:
                Require(node, JsonValueKind.String, owner, path, "v1.MicroTime");
                return Microseconds(node.GetValue<string>());
            default:
                return null;
        }
    }

    private static bool IsZero(Shape shape, JsonNode node) => shape.Kind switch
    {
        ShapeKind.String or ShapeKind.Bytes or ShapeKind.Time or ShapeKind.MicroTime =>
            node.GetValueKind() == JsonValueKind.String && node.GetValue<string>().Length == 0,
        ShapeKind.Int or ShapeKind.Float =>
            node is JsonValue value && value.TryGetValue<double>(out var number) ? number == 0 : Whole(node)?.GetValue<long>() == 0,
        ShapeKind.Bool => node.GetValueKind() == JsonValueKind.False,
        ShapeKind.List => ((JsonArray)node).Count == 0,
        ShapeKind.Map => ((JsonObject)node).Count == 0,
        _ => false,
    };

    private static JsonValue? Whole(JsonNode node)
    {
        var text = node.ToJsonString();
        if (long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number))
        {
            return JsonValue.Create(number);
        }

        return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var real)
            && Math.Floor(real) == real
            && Math.Abs(real) < 1e15
            ? JsonValue.Create((long)real)
            : null;
    }

    private static JsonValue? WholeSeconds(string text)
    {
        if (text.Length == 0)
        {
            return null;
        }

        return DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var time)
            ? JsonValue.Create(ObjectStore.Stamp(time.ToUniversalTime()))
            : throw new ShapeException($"parsing time \"{text}\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"{text}\" as \"2006\"");
    }

    private static JsonValue? Microseconds(string text)
    {
        if (text.Length == 0)
        {
            return null;
        }

        // Exactly six digits: the form both sides write, and the only one that the real server reads.
        var formats = new[] { "yyyy-MM-dd'T'HH:mm:ss.ffffff'Z'", "yyyy-MM-dd'T'HH:mm:ss.ffffffzzz" };
        if (!DateTimeOffset.TryParseExact(text, formats, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var time))
        {
            throw new ShapeException(
                $"parsing time \"{text}\" as \"2006-01-02T15:04:05.000000Z07:00\": cannot parse "
                + $"\"{text[Math.Min(text.Length, 19)..]}\" as \".000000\"");
        }

        return JsonValue.Create(time.UtcDateTime.ToString(formats[0], CultureInfo.InvariantCulture));
    }

    private static void Require(JsonNode node, JsonValueKind kind, ApiType owner, string path, string wanted)
    {
        if (node.GetValueKind() != kind)
        {
            throw Wrong(node, owner, path, wanted);
        }
    }

    private static string TypeName(Shape shape) =>
        shape.Kind is ShapeKind.Object ? shape.Type!.Name : shape.Kind is ShapeKind.Bytes ? "[]uint8" : "string";

    private static ShapeException Wrong(JsonNode node, ApiType owner, string path, string wanted)
    {
        var found = node.GetValueKind() switch
        {
            JsonValueKind.Object => "object",
            JsonValueKind.Array => "array",
            JsonValueKind.String => "string",
            JsonValueKind.Number => wanted == "int32" ? "number " + node.ToJsonString() : "number",
            _ => "bool",
        };
        return new ShapeException($"json: cannot unmarshal {found} into Go struct field {owner.Name}.{path} of type {wanted}");
    }
}
