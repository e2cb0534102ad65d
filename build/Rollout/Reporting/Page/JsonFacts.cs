using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rollout.Reporting.Page;

/// <summary>Reads an entry's data, in which anything may be missing or of another kind.</summary>
internal static class JsonFacts
{
    public static string? Text(this JsonObject? data, string name) => data?[name] switch
    {
        null => null,
        JsonValue value when value.TryGetValue<string>(out var text) => text,
        var node => node.ToJsonString(),
    };

    public static double? Number(this JsonObject? data, string name) =>
        data?[name] is JsonValue value && value.GetValueKind() == JsonValueKind.Number
            && double.TryParse(value.ToJsonString(), NumberStyles.Float, CultureInfo.InvariantCulture, out var number) && double.IsFinite(number) ? number : null;

    public static IReadOnlyList<string> Texts(this JsonObject? data, string name) =>
        data?[name] is JsonArray items ? [.. items.Select(i => i is JsonValue value && value.TryGetValue<string>(out var text) ? text : i?.ToJsonString() ?? "null")] : [];

    /// <summary>An object whose members are texts, as records by host.</summary>
    public static IReadOnlyDictionary<string, string> Map(this JsonObject? data, string name) =>
        data?[name] is JsonObject map ? map.ToDictionary(m => m.Key, m => Text(map, m.Key) ?? "none", StringComparer.Ordinal) : new Dictionary<string, string>();
}
