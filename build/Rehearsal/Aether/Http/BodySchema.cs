using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rehearsal.Aether.Http;

/// <summary>One field of a request body. <paramref name="Type"/> is JSON schema's word: string, number, boolean, object.</summary>
internal sealed record BodyField(string Name, string Type, bool Required = true, bool Positive = false, string[]? Allowed = null);

/// <summary>A request body as the OpenAPI document names it, and as the service checks it.</summary>
internal sealed record BodySchema(string Name, params BodyField[] Fields)
{
    /// <summary>Throws a 422 that lists every offending field, as FastAPI does.</summary>
    public void Check(JsonObject body)
    {
        var problems = new JsonArray();
        foreach (var field in Fields)
        {
            if (Problem(field, body[field.Name]) is { } problem)
            {
                problems.Add(new JsonObject
                {
                    ["type"] = problem.Type,
                    ["loc"] = new JsonArray("body", field.Name),
                    ["msg"] = problem.Message,
                });
            }
        }

        if (problems.Count > 0)
        {
            throw new Refusal(422, problems);
        }
    }

    public JsonObject ToJson()
    {
        var properties = new JsonObject();
        var required = new JsonArray();
        foreach (var field in Fields)
        {
            var property = new JsonObject { ["type"] = field.Type, ["title"] = field.Name };
            if (field.Positive)
            {
                property["exclusiveMinimum"] = 0;
            }

            if (field.Allowed is { } allowed)
            {
                property["enum"] = new JsonArray([.. allowed.Select(value => JsonValue.Create(value))]);
            }

            properties[field.Name] = property;
            if (field.Required)
            {
                required.Add(field.Name);
            }
        }

        var schema = new JsonObject { ["type"] = "object", ["title"] = Name, ["properties"] = properties };
        if (required.Count > 0)
        {
            schema["required"] = required;
        }

        return schema;
    }

    private static (string Type, string Message)? Problem(BodyField field, JsonNode? value)
    {
        if (value is null)
        {
            return field.Required ? ("missing", "Field required") : null;
        }

        var kind = value.GetValueKind();
        var fits = field.Type switch
        {
            "string" => kind == JsonValueKind.String,
            "number" => kind == JsonValueKind.Number,
            "boolean" => kind is JsonValueKind.True or JsonValueKind.False,
            "array" => kind == JsonValueKind.Array,
            _ => kind == JsonValueKind.Object,
        };
        if (!fits)
        {
            return ($"{field.Type}_type", $"Input should be a valid {field.Type}");
        }

        if (field.Positive && value.GetValue<decimal>() <= 0)
        {
            return ("greater_than", "Input should be greater than 0");
        }

        return field.Allowed is { } allowed && !allowed.Contains(value.GetValue<string>(), StringComparer.Ordinal)
            ? ("enum", $"Input should be {string.Join(" or ", allowed.Select(word => $"'{word}'"))}")
            : null;
    }
}
