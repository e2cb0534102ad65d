using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>A LabelSelector object as text (<c>app=web,tier in (a,b)</c>), the form of columns and of a Scale's status.</summary>
internal static class SelectorText
{
    public static string Of(JsonObject? selector)
    {
        var clauses = (selector.At("matchLabels") ?? []).Select(pair => (pair.Key, Text: $"{pair.Key}={pair.Value?.GetValue<string>()}"))
            .Concat(
                selector.Objects("matchExpressions")
                    .Select(expression => (Key: expression.Text("key") ?? "", Text: Expression(expression))));
        return string.Join(",", clauses.OrderBy(clause => clause.Key, StringComparer.Ordinal).Select(clause => clause.Text));
    }

    private static string Expression(JsonObject expression)
    {
        var key = expression.Text("key");
        var values = string.Join(",", expression.List("values").Select(value => value!.GetValue<string>()).Order(StringComparer.Ordinal));
        return expression.Text("operator") switch
        {
            "In" => $"{key} in ({values})",
            "NotIn" => $"{key} notin ({values})",
            "DoesNotExist" => $"!{key}",
            _ => key ?? "",
        };
    }
}
