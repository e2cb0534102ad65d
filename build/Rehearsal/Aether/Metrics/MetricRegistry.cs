using System.Text;

namespace Rehearsal.Aether.Metrics;

/// <summary>The metrics of one process. No metric says which slot or namespace it belongs to: scraping has to.</summary>
internal sealed class MetricRegistry
{
    public static readonly double[] Seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
    public static readonly double[] OrderSeconds = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.12, 0.15, 0.2, 0.3, 0.5, 1, 2.5];
    public static readonly double[] Milliseconds = [1, 2.5, 5, 10, 25, 50, 100, 150, 200, 300, 500, 1000, 2500, 5000];

    private readonly Lock _lock = new();
    private readonly List<Metric> _metrics = [];
    private string? _begunFor;

    public Metric Counter(string name, string help, params string[] labels) => Add(new Metric(name, "counter", help, labels, []));

    public Metric Gauge(string name, string help, params string[] labels) => Add(new Metric(name, "gauge", help, labels, []));

    public Metric Histogram(string name, string help, double[] buckets, params string[] labels) =>
        Add(new Metric(name, "histogram", help, labels, buckets));

    public string Expose()
    {
        var text = new StringBuilder();
        lock (_lock)
        {
            foreach (var metric in _metrics)
            {
                metric.WriteTo(text);
            }
        }

        return text.ToString();
    }

    /// <summary>All counters begin anew, as after a restart; once for the same occasion.</summary>
    public void BeginAnew(string occasion)
    {
        lock (_lock)
        {
            if (!ReferenceEquals(_begunFor, occasion))
            {
                _begunFor = occasion;
                _metrics.ForEach(m => m.BeginAnew());
            }
        }
    }

    private Metric Add(Metric metric)
    {
        lock (_lock)
        {
            _metrics.Add(metric);
        }

        return metric;
    }
}
