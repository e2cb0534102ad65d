using System.Globalization;
using System.Text.RegularExpressions;

namespace Rehearsal.World;

/// <summary>
/// The part of TraceQL that looks at one span: <c>{ span.request.id = "…" &amp;&amp; duration &gt; 100ms || status = error }</c> with
/// attributes (<c>span.</c>, <c>resource.</c> or either), the intrinsics name, status, kind and duration, and the operators
/// <c>= != &gt; &gt;= &lt; &lt;= =~ !~</c>. Pipelines and structural operators are refused, as a query Tempo cannot parse is.
/// </summary>
internal sealed partial class TraceQuery
{
    private static readonly string[] Operators = ["=", "!=", ">", ">=", "<", "<=", "=~", "!~"];

    private readonly List<string> _tokens = [];
    private int _at;

    private TraceQuery(string text)
    {
        for (var at = 0; at < text.Length;)
        {
            var token = Token().Match(text, at);
            if (!token.Success)
            {
                throw new FormatException($"parse error at line 1, col {at + 1}: unexpected '{text[at]}'");
            }

            _tokens.Add(token.Groups[1].Value);
            at += token.Length;
        }
    }

    /// <exception cref="FormatException">Not of the part that is understood.</exception>
    public static Func<OtlpSpan, bool> Parse(string text)
    {
        var query = new TraceQuery(text);
        query.Expect("{");
        if (query.Accept("}"))
        {
            query.ExpectEnd();
            return _ => true;
        }

        var filter = query.Or();
        query.Expect("}");
        query.ExpectEnd();
        return filter;
    }

    /// <summary>The older form: <c>key=value key2="value two"</c>, all of which some span (or its resource) has.</summary>
    public static Func<OtlpSpan, bool> ParseTags(string logfmt)
    {
        var wanted = Logfmt().Matches(logfmt)
            .Select(match => (Key: match.Groups["key"].Value, Value: match.Groups["value"].Value.Trim('"')))
            .ToList();
        return span => wanted.TrueForAll(tag => tag.Key switch
        {
            "name" => span.Name == tag.Value,
            "error" => (span.Status == "error") == (tag.Value == "true"),
            "status.code" => span.Status == tag.Value,
            _ => (Look(span, "." + tag.Key) is { } value) && OtlpSpan.Text(value) == tag.Value,
        });
    }

    /// <summary>Go's form, such as <c>1.5s</c>, <c>200ms</c> or <c>1m30s</c>; null for anything else.</summary>
    public static TimeSpan? ParseDuration(string text)
    {
        if (!Duration().IsMatch(text))
        {
            return null;
        }

        var sum = TimeSpan.Zero;
        foreach (Match part in DurationPart().Matches(text))
        {
            var value = double.Parse(part.Groups["value"].Value, CultureInfo.InvariantCulture);
            sum += part.Groups["unit"].Value switch
            {
                "h" => TimeSpan.FromHours(value),
                "m" => TimeSpan.FromMinutes(value),
                "s" => TimeSpan.FromSeconds(value),
                "ms" => TimeSpan.FromMilliseconds(value),
                "us" or "µs" => TimeSpan.FromMicroseconds(value),
                _ => TimeSpan.FromMicroseconds(value / 1000),
            };
        }

        return sum;
    }

    private Func<OtlpSpan, bool> Or()
    {
        var left = And();
        while (Accept("||"))
        {
            var (first, second) = (left, And());
            left = span => first(span) || second(span);
        }

        return left;
    }

    private Func<OtlpSpan, bool> And()
    {
        var left = Condition();
        while (Accept("&&"))
        {
            var (first, second) = (left, Condition());
            left = span => first(span) && second(span);
        }

        return left;
    }

    private Func<OtlpSpan, bool> Condition()
    {
        if (Accept("("))
        {
            var inner = Or();
            Expect(")");
            return inner;
        }

        var field = Next();
        if (!Field().IsMatch(field))
        {
            throw new FormatException($"parse error: unexpected '{field}'");
        }

        var @operator = Next();
        var operand = Next();
        if (!Operators.Contains(@operator))
        {
            throw new FormatException($"parse error: unexpected '{@operator}'");
        }

        var isText = operand is ['"', .., '"'];
        object wanted = isText ? operand[1..^1].Replace("\\\"", "\"", StringComparison.Ordinal)
            : ParseDuration(operand) is { } duration ? (double)duration.Ticks
            : double.TryParse(operand, CultureInfo.InvariantCulture, out var number) ? number
            : operand;
        return span => Look(span, field) is { } value && Compare(value, @operator, wanted);
    }

    private static object? Look(OtlpSpan span, string field)
    {
        return field switch
        {
            "name" => span.Name,
            "status" => span.Status,
            "duration" => (double)span.Duration.Ticks,
            "kind" => span.KindName,
            "rootServiceName" => span.Service,
            _ when field.StartsWith("span.", StringComparison.Ordinal) => span.Attributes.GetValueOrDefault(field["span.".Length..]),
            _ when field.StartsWith("resource.", StringComparison.Ordinal) => span.Resource.GetValueOrDefault(field["resource.".Length..]),
            ['.', .. var name] => span.Attributes.GetValueOrDefault(name) ?? span.Resource.GetValueOrDefault(name),
            _ => null,
        };
    }

    private static bool Compare(object value, string @operator, object wanted)
    {
        if (wanted is double number && value is long or double)
        {
            var order = Convert.ToDouble(value, CultureInfo.InvariantCulture).CompareTo(number);
            return @operator switch
            {
                "=" => order == 0,
                "!=" => order != 0,
                ">" => order > 0,
                ">=" => order >= 0,
                "<" => order < 0,
                "<=" => order <= 0,
                _ => false,
            };
        }

        // Different types never compare, not even as unequal.
        if (wanted is not string text || value is long or double)
        {
            return false;
        }

        var actual = OtlpSpan.Text(value);
        return @operator switch
        {
            "=" => actual == text,
            "!=" => actual != text,
            "=~" => Regex.IsMatch(actual, $"^(?:{text})$", RegexOptions.None, TimeSpan.FromSeconds(1)),
            "!~" => !Regex.IsMatch(actual, $"^(?:{text})$", RegexOptions.None, TimeSpan.FromSeconds(1)),
            _ => false,
        };
    }

    private string Next()
    {
        return _at < _tokens.Count ? _tokens[_at++] : throw new FormatException("parse error: unexpected end");
    }

    private bool Accept(string token)
    {
        if (_at < _tokens.Count && _tokens[_at] == token)
        {
            _at++;
            return true;
        }

        return false;
    }

    private void Expect(string token)
    {
        if (!Accept(token))
        {
            throw new FormatException($"parse error: expected '{token}'");
        }
    }

    private void ExpectEnd()
    {
        if (_at < _tokens.Count)
        {
            throw new FormatException($"parse error: unexpected '{_tokens[_at]}'");
        }
    }

    [GeneratedRegex("""\G\s*("(?:[^"\\]|\\.)*"|&&|\|\||=~|!~|!=|>=|<=|[={}()<>]|[\w.\-µ/:]+)\s*""")]
    private static partial Regex Token();

    [GeneratedRegex("""^(?:(?:span|resource)?\.[\w.\-/]+|name|status|duration|kind|rootServiceName)$""")]
    private static partial Regex Field();

    [GeneratedRegex("""(?<key>[\w.\-/]+)=(?<value>"[^"]*"|\S+)""")]
    private static partial Regex Logfmt();

    [GeneratedRegex("""^(?:[0-9.]+(?:h|ms|m|s|us|µs|ns))+$""")]
    private static partial Regex Duration();

    [GeneratedRegex("""(?<value>[0-9.]+)(?<unit>h|ms|m|s|us|µs|ns)""")]
    private static partial Regex DurationPart();
}
