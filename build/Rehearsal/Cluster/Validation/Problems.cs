using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>Collects what is wrong with an object, in the words and with the machine-readable reasons of the real server.</summary>
internal sealed class Problems
{
    private readonly List<StatusCause> _causes = [];

    public IReadOnlyList<StatusCause> Causes => _causes;

    public void Required(string field, string why = "") =>
        _causes.Add(new StatusCause("FieldValueRequired", why.Length == 0 ? "Required value" : "Required value: " + why, field));

    public void Invalid(string field, JsonNode? value, string why) => InvalidAs(field, Print(value), why);

    /// <summary>As <see cref="Invalid"/>, with the value as Go prints it where that is no JSON.</summary>
    public void InvalidAs(string field, string printed, string why) =>
        _causes.Add(new StatusCause("FieldValueInvalid", $"Invalid value: {printed}: {why}", field));

    public void Duplicate(string field, JsonNode? value) =>
        _causes.Add(new StatusCause("FieldValueDuplicate", "Duplicate value: " + Print(value), field));

    public void Forbidden(string field, string why) => _causes.Add(new StatusCause("FieldValueForbidden", "Forbidden: " + why, field));

    public void NotFound(string field, JsonNode? value) =>
        _causes.Add(new StatusCause("FieldValueNotFound", "Not found: " + Print(value), field));

    public void TooLong(string field, int limit) =>
        _causes.Add(new StatusCause("FieldValueTooLong", $"Too long: must have at most {limit} bytes", field));

    public void Unsupported(string field, JsonNode? value, params string[] supported) =>
        _causes.Add(new StatusCause(
            "FieldValueNotSupported",
            $"Unsupported value: {Print(value)}: supported values: {string.Join(", ", supported.Select(item => $"\"{item}\""))}",
            field));

    /// <summary>One of the given words is demanded; absent is fine unless <paramref name="required"/>.</summary>
    public void OneOf(JsonObject owner, string name, string path, bool required, params string[] supported)
    {
        var value = owner.Text(name);
        if (value is null or "")
        {
            if (required)
            {
                Required(path + name);
            }
        }
        else if (!supported.Contains(value))
        {
            Unsupported(path + name, value, supported);
        }
    }

    /// <summary>A whole number, if given, must not be below zero.</summary>
    public void NotNegative(JsonObject owner, string name, string path)
    {
        if (owner.Number(name) is { } number && number < 0)
        {
            Invalid(path + name, number, "must be greater than or equal to 0");
        }
    }

    /// <summary>As Go prints the value.</summary>
    public static string Print(JsonNode? value) => value?.GetValueKind() switch
    {
        null or JsonValueKind.Null => "null",
        JsonValueKind.Object => "map[string]string" + value.ToJsonString(StoredJson.Relaxed),
        _ => value.ToJsonString(StoredJson.Relaxed),
    };
}
