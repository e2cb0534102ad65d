using System.Globalization;
using System.Text;

namespace Rehearsal.Aether.Metrics;

/// <summary>One Prometheus metric with its series, written in the text format (version 0.0.4) the way Python's client does.</summary>
internal sealed class Metric(string name, string kind, string help, string[] labels, double[] buckets)
{
    private readonly Lock _lock = new();
    private readonly SortedDictionary<string, Series> _series = new(StringComparer.Ordinal);

    public void Add(double amount, params ReadOnlySpan<string> values)
    {
        lock (_lock)
        {
            Find(values).Sum += amount;
        }
    }

    public void Set(double value, params ReadOnlySpan<string> values)
    {
        lock (_lock)
        {
            Find(values).Sum = value;
        }
    }

    public void Observe(double value, params ReadOnlySpan<string> values)
    {
        lock (_lock)
        {
            var series = Find(values);
            series.Sum += value;
            series.Count++;
            var at = Array.FindIndex(buckets, bound => value <= bound);
            if (at >= 0)
            {
                series.Buckets[at]++;
            }
        }
    }

    /// <summary>Forgets what was counted; a gauge keeps its value.</summary>
    public void BeginAnew()
    {
        lock (_lock)
        {
            if (kind != "gauge")
            {
                _series.Clear();
            }
        }
    }

    public void WriteTo(StringBuilder text)
    {
        text.Append("# HELP ").Append(name).Append(' ').Append(help).Append('\n');
        text.Append("# TYPE ").Append(name).Append(' ').Append(kind).Append('\n');
        lock (_lock)
        {
            foreach (var series in _series.Values)
            {
                if (kind == "histogram")
                {
                    WriteHistogram(text, series);
                }
                else
                {
                    WriteSample(text, name, series.Labels, series.Sum);
                }
            }
        }
    }

    private static string Number(double value)
    {
        if (double.IsPositiveInfinity(value))
        {
            return "+Inf";
        }

        var text = value.ToString("R", CultureInfo.InvariantCulture);
        return text.AsSpan().IndexOfAny('.', 'E', 'N') < 0 ? text + ".0" : text;
    }

    private static void WriteSample(StringBuilder text, string sample, string labelText, double value)
    {
        text.Append(sample);
        if (labelText.Length > 0)
        {
            text.Append('{').Append(labelText).Append('}');
        }

        text.Append(' ').Append(Number(value)).Append('\n');
    }

    private void WriteHistogram(StringBuilder text, Series series)
    {
        var prefix = series.Labels.Length > 0 ? series.Labels + "," : "";
        var seen = 0L;
        for (var i = 0; i < buckets.Length; i++)
        {
            seen += series.Buckets[i];
            WriteSample(text, name + "_bucket", $"{prefix}le=\"{Number(buckets[i])}\"", seen);
        }

        WriteSample(text, name + "_bucket", prefix + "le=\"+Inf\"", series.Count);
        WriteSample(text, name + "_count", series.Labels, series.Count);
        WriteSample(text, name + "_sum", series.Labels, series.Sum);
    }

    private Series Find(ReadOnlySpan<string> values)
    {
        if (values.Length != labels.Length)
        {
            throw new ArgumentException($"{name} has the labels {string.Join(", ", labels)}, {values.Length} values were given");
        }

        var rendered = new StringBuilder();
        for (var i = 0; i < labels.Length; i++)
        {
            rendered.Append(i > 0 ? "," : "").Append(labels[i]).Append("=\"");
            rendered.Append(values[i].Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)
                .Replace("\n", "\\n", StringComparison.Ordinal));
            rendered.Append('"');
        }

        var key = rendered.ToString();
        if (!_series.TryGetValue(key, out var series))
        {
            series = new Series(key, new long[buckets.Length]);
            _series[key] = series;
        }

        return series;
    }

    private sealed record Series(string Labels, long[] Buckets)
    {
        public double Sum { get; set; }

        public long Count { get; set; }
    }
}
