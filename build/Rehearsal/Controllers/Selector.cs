using System.Text.Json.Nodes;

namespace Rehearsal.Controllers;

/// <summary>Label selectors: <c>matchLabels</c> and <c>matchExpressions</c>, and the bare maps of Services.</summary>
internal static class Selector
{
    /// <summary>Whether the labels satisfy a <c>metav1.LabelSelector</c>. Null selects nothing, an empty selector everything.</summary>
    public static bool Matches(JsonNode? selector, JsonNode? labels)
    {
        if (selector is not JsonObject)
        {
            return false;
        }

        return MatchesMap(selector.At("matchLabels"), labels)
            && selector.Items("matchExpressions").All(expression => MatchesExpression(expression, labels));
    }

    /// <summary>Whether the labels hold every pair of the map.</summary>
    public static bool MatchesMap(JsonNode? map, JsonNode? labels) =>
        map is not JsonObject pairs || pairs.All(pair => labels.Text(pair.Key) == pair.Value.Text());

    private static bool MatchesExpression(JsonObject expression, JsonNode? labels)
    {
        var value = labels.Text(expression.Text("key") ?? "");
        return expression.Text("operator") switch
        {
            "In" => value is not null && expression.Strings("values").Contains(value),
            "NotIn" => value is null || !expression.Strings("values").Contains(value),
            "Exists" => value is not null,
            "DoesNotExist" => value is null,
            _ => false,
        };
    }
}
