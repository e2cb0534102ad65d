using System.Globalization;
using System.Text;

namespace Rollout.Monitoring;

/// <summary>One line of a Prometheus exposition.</summary>
public sealed record MetricSample(string Name, IReadOnlyDictionary<string, string> Labels, double Value)
{
    /// <summary>The label's value; empty where the sample lacks it, as PromQL sees it.</summary>
    public string Label(string name) => Labels.TryGetValue(name, out var value) ? value : string.Empty;

    /// <summary>Name and labels in one spelling: equal for equal series whatever the order of labels on the wire.</summary>
    public string Series => Labels.Count == 0
        ? Name
        : Name + "{" + string.Join(',', Labels.OrderBy(l => l.Key, StringComparer.Ordinal).Select(l => $"{l.Key}={l.Value}")) + "}";
}

/// <summary>The text that <c>/metrics</c> answers: Prometheus exposition format 0.0.4, and as much of OpenMetrics as samples
/// need.</summary>
public static class PrometheusText
{
    /// <summary>Reads every sample; lines that are no samples are left out, so half a page still tells its half.</summary>
    public static IReadOnlyList<MetricSample> Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        var samples = new List<MetricSample>();
        foreach (var range in text.AsSpan().Split('\n'))
        {
            if (ParseLine(text.AsSpan()[range].Trim()) is { } sample)
            {
                samples.Add(sample);
            }
        }

        return samples;
    }

    /// <summary>
    /// Whether the page knows the metric: its <c># TYPE</c> line or a sample. A known metric without samples is zero; an unknown one is
    /// silence.
    /// </summary>
    public static bool Declares(string text, string metric)
    {
        ArgumentNullException.ThrowIfNull(text);
        foreach (var range in text.AsSpan().Split('\n'))
        {
            var line = text.AsSpan()[range].Trim();
            var rest = line.StartsWith("# TYPE ", StringComparison.Ordinal) ? line["# TYPE ".Length..] : line;
            if (
                rest.StartsWith(metric, StringComparison.Ordinal)
                    && (rest.Length == metric.Length || rest[metric.Length] is ' ' or '{' or '\t'))
            {
                return true;
            }
        }

        return false;
    }

    private static MetricSample? ParseLine(ReadOnlySpan<char> line)
    {
        if (line.IsEmpty || line[0] == '#')
        {
            return null;
        }

        var end = 0;
        while (end < line.Length && IsNameCharacter(line[end], end == 0))
        {
            end++;
        }

        if (end == 0)
        {
            return null;
        }

        var name = line[..end].ToString();
        var rest = line[end..].TrimStart();
        var labels = new Dictionary<string, string>(StringComparer.Ordinal);
        if (!rest.IsEmpty && rest[0] == '{')
        {
            var length = ReadLabels(rest, labels);
            if (length < 0)
            {
                return null;
            }

            rest = rest[length..].TrimStart();
        }
        else if (rest.Length == line.Length - end)
        {
            // A value must be set off by a space: 'http_requests-total' is no sample of http_requests.
            return null;
        }

        // What follows the value is a timestamp or an exemplar; neither matters here.
        var stop = rest.IndexOfAny(' ', '\t');
        var number = stop < 0 ? rest : rest[..stop];
        return TryNumber(number, out var value) ? new MetricSample(name, labels, value) : null;
    }

    /// <returns>How many characters the label block takes, or -1 where it is broken.</returns>
    private static int ReadLabels(ReadOnlySpan<char> text, Dictionary<string, string> labels)
    {
        var at = 1;
        while (at < text.Length)
        {
            while (at < text.Length && text[at] is ' ' or '\t' or ',')
            {
                at++;
            }

            if (at < text.Length && text[at] == '}')
            {
                return at + 1;
            }

            var equals = text[at..].IndexOf('=');
            if (equals <= 0)
            {
                return -1;
            }

            var name = text.Slice(at, equals).Trim().ToString();
            at += equals + 1;
            while (at < text.Length && text[at] is ' ' or '\t')
            {
                at++;
            }

            if (at >= text.Length || text[at] != '"')
            {
                return -1;
            }

            at++;
            var value = new StringBuilder();
            while (at < text.Length && text[at] != '"')
            {
                if (text[at] == '\\' && at + 1 < text.Length)
                {
                    at++;
                    value.Append(text[at] == 'n' ? '\n' : text[at]);
                }
                else
                {
                    value.Append(text[at]);
                }

                at++;
            }

            if (at >= text.Length)
            {
                return -1;
            }

            at++;
            labels[name] = value.ToString();
        }

        return -1;
    }

    private static bool IsNameCharacter(char c, bool first) =>
        char.IsAsciiLetter(c) || c is '_' or ':' || (!first && char.IsAsciiDigit(c));

    private static bool TryNumber(ReadOnlySpan<char> text, out double value)
    {
        if (text.Equals("+Inf", StringComparison.OrdinalIgnoreCase) || text.Equals("Inf", StringComparison.OrdinalIgnoreCase))
        {
            value = double.PositiveInfinity;
            return true;
        }

        if (text.Equals("-Inf", StringComparison.OrdinalIgnoreCase))
        {
            value = double.NegativeInfinity;
            return true;
        }

        return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out value);
    }
}
