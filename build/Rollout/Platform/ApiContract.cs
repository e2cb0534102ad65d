using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace Rollout.Platform;

/// <summary>A difference between two releases of a service's API.</summary>
/// <param name="Id">The same for the same change in every run: what an acceptance names.</param>
/// <param name="Breaks">Whether a client that was written for live's contract may fail at it.</param>
public sealed record ApiChange(string Id, bool Breaks);

/// <summary>
/// What a service promises in its <c>/openapi.json</c> (OpenAPI 3.0 or 3.1), compared with what it promised before (playbook 2.4). Requests may ask for
/// less and take more; answers may only say more, in the types they had.
/// </summary>
public sealed partial class ApiContract
{
    /// <summary>Larger ones are refused: FastAPI's largest are a few hundred kilobytes.</summary>
    public const int Largest = 20_000_000;

    private const int Deepest = 40;

    private static readonly JsonDocumentOptions Strict = new() { AllowDuplicateProperties = false };

    private static readonly string[] Methods = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

    private readonly JsonObject _document;
    private readonly Dictionary<string, JsonObject> _operations;

    private ApiContract(JsonObject document, Dictionary<string, JsonObject> operations)
    {
        _document = document;
        _operations = operations;
    }

    /// <summary>How many operations it has.</summary>
    public int Operations => _operations.Count;

    /// <exception cref="FormatException">It is no OpenAPI document; the message says why.</exception>
    public static ApiContract Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (text.Length > Largest)
        {
            throw new FormatException($"it has {text.Length} characters, more than {Largest}");
        }

        JsonObject document;
        try
        {
            document = JsonNode.Parse(text, documentOptions: Strict) as JsonObject ?? throw new FormatException("it is JSON, and no object");
        }
        catch (JsonException exception)
        {
            throw new FormatException($"it is no JSON: {exception.Message}");
        }

        if (document["paths"] is not JsonObject paths)
        {
            throw new FormatException("it has no paths");
        }

        var operations = new Dictionary<string, JsonObject>(StringComparer.Ordinal);
        foreach (var (path, item) in paths)
        {
            foreach (var method in Methods)
            {
                if (item?[method] is JsonObject operation)
                {
                    // What a client writes in the place of a parameter does not depend on the parameter's name.
                    operations.TryAdd($"{method.ToUpperInvariant()} {Parameter().Replace(path, "{}")}", Merged(operation, item["parameters"] as JsonArray));
                }
            }
        }

        return new ApiContract(document, operations);
    }

    /// <summary>What a client of this contract meets in another.</summary>
    /// <param name="service">The first word of every id.</param>
    public IReadOnlyList<ApiChange> ChangesTo(ApiContract after, string service)
    {
        ArgumentNullException.ThrowIfNull(after);
        var changes = new List<ApiChange>();
        foreach (var (name, operation) in _operations)
        {
            if (after._operations.TryGetValue(name, out var now))
            {
                new Comparison(this, after, changes, $"{service} {name}").Operation(operation, now);
            }
            else
            {
                changes.Add(new ApiChange($"{service} {name} is gone", true));
            }
        }

        changes.AddRange(after._operations.Keys.Where(o => !_operations.ContainsKey(o)).Select(o => new ApiChange($"{service} {o} is new", false)));
        return [.. changes.Distinct().OrderBy(c => c.Id, StringComparer.Ordinal)];
    }

    private static JsonObject Merged(JsonObject operation, JsonArray? shared)
    {
        var merged = (JsonObject)operation.DeepClone();
        var own = merged["parameters"] as JsonArray ?? [];
        var all = new JsonArray([.. own.Concat(shared ?? []).Select(p => p?.DeepClone())]);
        merged["parameters"] = all;
        return merged;
    }

    private JsonObject? Resolve(JsonNode? node)
    {
        for (var i = 0; i < Deepest && node is JsonObject reference && Text(reference["$ref"]) is { } target; i++)
        {
            node = target.StartsWith("#/", StringComparison.Ordinal)
                ? target[2..].Split('/').Aggregate((JsonNode?)_document, (at, part) => (at as JsonObject)?[Uri.UnescapeDataString(part).Replace("~1", "/", StringComparison.Ordinal).Replace("~0", "~", StringComparison.Ordinal)])
                : null;
        }

        return node as JsonObject;
    }

    // A schema's alternatives and parts as one: FastAPI writes an optional field as anyOf [X, null].
    private Shape ShapeOf(JsonNode? schema, int depth = 0)
    {
        var shape = new Shape();
        if (Resolve(schema) is not { } node || depth > Deepest)
        {
            return shape;
        }

        var format = Text(node["format"]) is { } named ? $" ({named})" : string.Empty;
        foreach (var type in Types(node))
        {
            shape.Types.Add(type == "null" ? type : type + format);
        }

        if (node["nullable"]?.GetValueKind() == JsonValueKind.True)
        {
            shape.Types.Add("null");
        }

        foreach (var value in node["enum"] as JsonArray ?? (node["const"] is { } only ? [only.DeepClone()] : []))
        {
            (shape.Values ??= []).Add(value?.ToJsonString() ?? "null");
        }

        foreach (var (name, property) in node["properties"] as JsonObject ?? [])
        {
            shape.Properties[name] = property;
        }

        shape.Required.UnionWith((node["required"] as JsonArray ?? []).Select(Text).OfType<string>());
        shape.Items = node["items"];
        foreach (var part in node["allOf"] as JsonArray ?? [])
        {
            shape.Add(ShapeOf(part, depth + 1), together: true);
        }

        var alternatives = ((node["anyOf"] as JsonArray) ?? (node["oneOf"] as JsonArray) ?? []).Select(a => ShapeOf(a, depth + 1)).ToList();
        var objects = alternatives.Where(a => a.Properties.Count > 0).ToList();
        foreach (var alternative in alternatives)
        {
            shape.Add(alternative, together: objects.Count == 1 && alternative == objects[0]);
        }

        return shape;
    }

    private static IEnumerable<string> Types(JsonObject node) => node["type"] switch
    {
        JsonArray several => several.Select(Text).OfType<string>(),
        { } one when Text(one) is { } type => [type],
        _ => node["properties"] is not null ? ["object"] : node["items"] is not null ? ["array"] : [],
    };

    private static string? Text(JsonNode? node) => node?.GetValueKind() == JsonValueKind.String ? node.GetValue<string>() : null;

    [GeneratedRegex(@"\{[^}]*\}")]
    private static partial Regex Parameter();

    private sealed class Shape
    {
        public SortedSet<string> Types { get; } = new(StringComparer.Ordinal);

        public SortedSet<string>? Values { get; set; }

        public Dictionary<string, JsonNode?> Properties { get; } = new(StringComparer.Ordinal);

        public HashSet<string> Required { get; } = new(StringComparer.Ordinal);

        public JsonNode? Items { get; set; }

        public void Add(Shape part, bool together)
        {
            Types.UnionWith(part.Types);
            if (part.Values is not null)
            {
                (Values ??= new SortedSet<string>(StringComparer.Ordinal)).UnionWith(part.Values);
            }

            foreach (var (name, property) in part.Properties)
            {
                Properties.TryAdd(name, property);
            }

            if (together)
            {
                Required.UnionWith(part.Required);
            }

            Items ??= part.Items;
        }
    }

    /// <summary>One operation before and after.</summary>
    private sealed class Comparison(ApiContract before, ApiContract after, List<ApiChange> changes, string name)
    {
        // Schemas may contain themselves.
        private readonly HashSet<(string? Before, string? After, bool Request)> _seen = [];

        public void Operation(JsonObject was, JsonObject now)
        {
            Parameters(was, now);
            Body(before.Resolve(was["requestBody"]), after.Resolve(now["requestBody"]));
            foreach (var (status, answer) in was["responses"] as JsonObject ?? [])
            {
                if (!status.StartsWith('2'))
                {
                    continue;
                }

                if (after.Resolve((now["responses"] as JsonObject)?[status]) is not { } answers)
                {
                    Tell($"answer {status} is gone", breaks: true);
                    continue;
                }

                Contents(before.Resolve(answer)?["content"] as JsonObject, answers["content"] as JsonObject, $"answer {status}", request: false);
            }
        }

        private void Parameters(JsonObject was, JsonObject now)
        {
            var old = Named(before, was);
            var current = Named(after, now);
            foreach (var (key, parameter) in current)
            {
                var required = parameter["required"]?.GetValueKind() == JsonValueKind.True;
                if (!old.TryGetValue(key, out var known))
                {
                    Tell($"{key} is new{(required ? " and required" : string.Empty)}", required);
                    continue;
                }

                if (required && known["required"]?.GetValueKind() != JsonValueKind.True)
                {
                    Tell($"{key} is required now", breaks: true);
                }

                Schema(known["schema"], parameter["schema"], key, request: true, 0);
            }

            foreach (var key in old.Keys.Where(k => !current.ContainsKey(k)))
            {
                Tell($"{key} is gone", breaks: false);
            }
        }

        // Those in the path have no name that a client knows.
        private static Dictionary<string, JsonObject> Named(ApiContract contract, JsonObject operation)
        {
            var named = new Dictionary<string, JsonObject>(StringComparer.Ordinal);
            foreach (var parameter in (operation["parameters"] as JsonArray ?? []).Select(contract.Resolve).OfType<JsonObject>())
            {
                if (Text(parameter["in"]) is { } place and not "path" && Text(parameter["name"]) is { } key)
                {
                    named.TryAdd($"{place} parameter {(place == "header" ? key.ToLowerInvariant() : key)}", parameter);
                }
            }

            return named;
        }

        private void Body(JsonObject? was, JsonObject? now)
        {
            static bool IsRequired(JsonObject? body) => body?["required"]?.GetValueKind() == JsonValueKind.True;
            if (now is null)
            {
                if (was is not null)
                {
                    Tell("request is gone", breaks: false);
                }

                return;
            }

            if (IsRequired(now) && !IsRequired(was))
            {
                Tell($"request is {(was is null ? "new and required" : "required now")}", breaks: true);
            }

            if (was is not null)
            {
                Contents(was["content"] as JsonObject, now["content"] as JsonObject, "request", request: true);
            }
        }

        private void Contents(JsonObject? was, JsonObject? now, string where, bool request)
        {
            foreach (var (media, content) in was ?? [])
            {
                if (now?[media] is { } current)
                {
                    Schema(content?["schema"], current["schema"], where, request, 0);
                }
                else
                {
                    Tell($"{where} as {media} is gone", breaks: true);
                }
            }
        }

        private void Schema(JsonNode? was, JsonNode? now, string where, bool request, int depth)
        {
            if (was is null || now is null || depth > Deepest || !_seen.Add((was.ToJsonString() + where, now.ToJsonString(), request)))
            {
                return;
            }

            if (Text(was["$ref"]) is { } old && Text(now["$ref"]) is { } current && !_seen.Add((old, current, request)))
            {
                return;
            }

            var (first, second) = (before.ShapeOf(was), after.ShapeOf(now));
            Types(first, second, where, request);
            Values(first, second, where, request);
            foreach (var (property, schema) in first.Properties)
            {
                if (second.Properties.TryGetValue(property, out var kept))
                {
                    Schema(schema, kept, $"{where}.{property}", request, depth + 1);
                    if (request && second.Required.Contains(property) && !first.Required.Contains(property))
                    {
                        Tell($"{where}.{property} is required now", breaks: true);
                    }
                    else if (!request && first.Required.Contains(property) && !second.Required.Contains(property))
                    {
                        Tell($"{where}.{property} may be missing now", breaks: true);
                    }
                }
                else
                {
                    // A server that is sent more than it knows ignores it.
                    Tell($"{where}.{property} is gone", breaks: !request);
                }
            }

            foreach (var property in second.Properties.Keys.Where(p => !first.Properties.ContainsKey(p)))
            {
                var required = request && second.Required.Contains(property);
                Tell($"{where}.{property} is new{(required ? " and required" : string.Empty)}", required);
            }

            Schema(first.Items, second.Items, $"{where}[]", request, depth + 1);
        }

        private void Types(Shape first, Shape second, string where, bool request)
        {
            // No type is any type.
            if (first.Types.SetEquals(second.Types) || (request ? second : first).Types.Count == 0)
            {
                return;
            }

            var (wide, narrow) = request ? (second.Types, first.Types) : (first.Types, second.Types);
            var fits = narrow.Count > 0 && narrow.All(t => wide.Contains(t) || (t == "integer" && wide.Contains("number")));
            Tell($"{where} was {Words(first)} and is {Words(second)}", breaks: !fits);
        }

        private void Values(Shape first, Shape second, string where, bool request)
        {
            if (request && second.Values is { } allowed && (first.Values is null || !first.Values.IsSubsetOf(allowed)))
            {
                Tell($"{where} takes only {string.Join("|", allowed)} now", breaks: true);
            }
            else if (!request && first.Values is { } known && second.Values is { } current && !current.IsSubsetOf(known))
            {
                Tell($"{where} may be {string.Join("|", current.Except(known))} now", breaks: false);
            }
        }

        private static string Words(Shape shape) => shape.Types.Count == 0 ? "anything" : string.Join(" or ", shape.Types);

        private void Tell(string what, bool breaks) => changes.Add(new ApiChange($"{name}: {what}", breaks));
    }
}
