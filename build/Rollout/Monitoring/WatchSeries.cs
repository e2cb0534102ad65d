namespace Rollout.Monitoring;

/// <summary>
/// What counters did over a watch: per workload, the growth of every series, summed over its pods. Growth survives restarts (a counter that
/// begins again adds what it shows), and a series that first appears on a pod that was read before began at zero: the first error of a
/// service is a series of its own.
/// </summary>
public sealed class WatchSeries
{
    // What is kept of the same trouble again and again.
    private const int MostGaps = 200;

    private const string RequestsMetric = "http_request_duration_seconds";
    private const string OrdersMetric = "trades_submitted_total";

    private static readonly string[] CounterSuffixes = ["_total", "_count", "_bucket", "_sum"];

    private readonly Dictionary<string, Pod> _pods = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Service> _services = new(StringComparer.Ordinal);
    private readonly SortedSet<string> _oddities = new(StringComparer.Ordinal);

    /// <summary>How many times the pods were looked at.</summary>
    public int Scrapes { get; private set; }

    /// <summary>How many looks failed as a whole: the pods could not be listed.</summary>
    public int Failures { get; private set; }

    public DateTimeOffset? From { get; private set; }

    public DateTimeOffset? To { get; private set; }

    /// <summary>Why the watch ended before it had seen what it waited for; null where it did not.</summary>
    public string? Incomplete { get; set; }

    /// <summary>Why the scaling controller is known to stand still; null where it is not.</summary>
    public string? Stalled { get; set; }

    /// <summary>The services that are less healthy than live's in the newest look, with how many looks in a row and why.</summary>
    private readonly SortedDictionary<string, (int Looks, string Why)> _unhealthy = new(StringComparer.Ordinal);

    /// <summary>Adds one look at health: service to what is worse than on live; a service that is not in it is well.</summary>
    public void AddHealth(IReadOnlyDictionary<string, string> worse)
    {
        ArgumentNullException.ThrowIfNull(worse);
        foreach (var well in _unhealthy.Keys.Where(s => !worse.ContainsKey(s)).ToList())
        {
            _unhealthy.Remove(well);
        }

        foreach (var (service, why) in worse)
        {
            _unhealthy[service] = (_unhealthy.GetValueOrDefault(service).Looks + 1, why);
        }
    }

    /// <summary>Values that no counter can have (NaN, infinite, negative), each named once.</summary>
    public IReadOnlyCollection<string> Oddities => _oddities;

    /// <summary>The workloads that had a metrics page at least once, or should have had one.</summary>
    public IReadOnlyList<string> Services =>
        [.. _services.Where(s => s.Value.Reads > 0 || s.Value.Gaps.Count > 0).Select(s => s.Key).Order(StringComparer.Ordinal)];

    /// <summary>Adds one look at the pods.</summary>
    public void Add(DateTimeOffset at, IReadOnlyList<PodScrape> scrapes)
    {
        ArgumentNullException.ThrowIfNull(scrapes);
        var intervals = new Dictionary<string, Interval>(StringComparer.Ordinal);
        foreach (var scrape in scrapes)
        {
            if (!_services.TryGetValue(scrape.App, out var service))
            {
                _services[scrape.App] = service = new Service();
            }

            if (scrape.Outcome == ScrapeOutcome.Unreadable)
            {
                service.Gaps.Add($"{scrape.Pod}: {scrape.Detail}");
            }

            if (!intervals.TryGetValue(scrape.App, out var interval))
            {
                intervals[scrape.App] = interval = new Interval();
            }

            Absorb(service, scrape, interval);
        }

        if (Scrapes > 0)
        {
            foreach (var (name, service) in _services)
            {
                service.Intervals.Add(intervals.GetValueOrDefault(name, Interval.Nothing).ToSample(at));
            }
        }

        From ??= at;
        To = at;
        Scrapes++;
    }

    /// <summary>Adds a look that showed nothing.</summary>
    public void AddFailure(string reason)
    {
        Failures++;
        _oddities.Add(reason);
    }

    /// <summary>The watch as per-interval numbers: what the judge sees and what is kept.</summary>
    public WatchSamples Samples(string slot = "", string role = "", string source = "scrape", TimeSpan interval = default)
    {
        // Workloads that have no metrics page at all say nothing about anything.
        var known = _services.Where(s => s.Value.Reads > 0 || s.Value.Gaps.Count > 0).OrderBy(s => s.Key, StringComparer.Ordinal).ToList();
        return new WatchSamples
        {
            Slot = slot,
            Role = role,
            Source = source,
            From = From,
            To = To,
            // What lay between two readings in truth: a reading takes time, and a server has a pace of its own.
            IntervalSeconds = Scrapes > 1 && To > From ? Math.Round((To.Value - From.Value).TotalSeconds / (Scrapes - 1), 3) : interval.TotalSeconds,
            Readings = Scrapes,
            Services = known.ToDictionary(s => s.Key, s => (IReadOnlyList<IntervalSample>)[.. s.Value.Intervals]),
            Gaps = known.Where(s => s.Value.Gaps.Count > 0).ToDictionary(s => s.Key, s => (IReadOnlyList<string>)[.. s.Value.Gaps.TakeLast(MostGaps)]),
            Reads = known.ToDictionary(s => s.Key, s => s.Value.Reads),
            Problems = [.. _oddities.Take(MostGaps)],
            Incomplete = Incomplete,
            Stalled = Stalled,
            Unhealthy = _unhealthy.ToDictionary(s => s.Key, s => new UnhealthyService(s.Value.Looks, s.Value.Why)),
        };
    }

    /// <summary>By how much the metric grew in the workload, all matching series together.</summary>
    /// <param name="where">Which series count; null takes all.</param>
    public double Increase(string service, string metric, Func<MetricSample, bool>? where = null) =>
        _services.TryGetValue(service, out var found)
            ? found.Growth.Values.SelectMany(p => p.Values).Where(
                g => g.Sample.Name == metric && (where?.Invoke(g.Sample) ?? true)).Sum(g => g.Amount)
            : 0;

    /// <summary>By how much the metric grew in the one pod where it grew most: what one process did, however many replicas there
    /// are.</summary>
    public double LargestIncrease(string service, string metric) =>
        _services.TryGetValue(service, out var found)
            ? found.Growth.Values.Select(p => p.Values.Where(g => g.Sample.Name == metric).Sum(g => g.Amount)).DefaultIfEmpty().Max()
            : 0;

    /// <summary>The distribution of what the histogram observed during the watch.</summary>
    public HistogramIncrease Histogram(string service, string metric)
    {
        var bounds = new SortedDictionary<double, double>();
        if (_services.TryGetValue(service, out var found))
        {
            foreach (var growth in found.Growth.Values.SelectMany(p => p.Values).Where(g => g.Sample.Name == metric + "_bucket"))
            {
                if (TryBound(growth.Sample.Label("le"), out var bound))
                {
                    bounds[bound] = bounds.GetValueOrDefault(bound) + growth.Amount;
                }
            }
        }

        return new HistogramIncrease([.. bounds.Select(b => (b.Key, b.Value))]);
    }

    /// <summary>How often a pod of the workload was read.</summary>
    public int Reads(string service) => _services.TryGetValue(service, out var found) ? found.Reads : 0;

    /// <summary>Each time a pod of the workload was running and could not be read.</summary>
    public IReadOnlyList<string> Gaps(string service) => _services.TryGetValue(service, out var found) ? found.Gaps : [];

    internal static bool TryBound(string text, out double bound)
    {
        if (text is "+Inf" or "Inf")
        {
            bound = double.PositiveInfinity;
            return true;
        }

        return double.TryParse(text, System.Globalization.CultureInfo.InvariantCulture, out bound);
    }

    private void Absorb(Service service, PodScrape scrape, Interval interval)
    {
        var known = _pods.TryGetValue(scrape.Pod, out var pod);
        if (pod is null)
        {
            // A pod that appears during the watch began at zero; one that was there before has a history that is not ours.
            _pods[scrape.Pod] = pod = new Pod { Incarnation = scrape.Incarnation, Last = Scrapes > 0 ? [] : null };
        }
        else if (pod.Incarnation != scrape.Incarnation)
        {
            pod.Incarnation = scrape.Incarnation;
            pod.Last = [];
        }

        if (scrape.Outcome != ScrapeOutcome.Read)
        {
            return;
        }

        service.Reads++;
        var current = Counters(scrape);
        var previous = pod.Last;
        if (previous is not null)
        {
            // One counter that went back means that all of them began again.
            var restarted = known && current.Any(c => previous.TryGetValue(c.Key, out var before) && c.Value.Value < before);
            if (restarted)
            {
                previous.Clear();
            }

            var growth = service.GrowthOf(scrape.Pod);
            interval.Known = true;
            foreach (var (key, sample) in current)
            {
                var before = previous.GetValueOrDefault(key);
                interval.Count(sample, sample.Value - before);
                if (growth.TryGetValue(key, out var sum))
                {
                    sum.Amount += sample.Value - before;
                }
                else
                {
                    growth[key] = new Growth(sample) { Amount = sample.Value - before };
                }
            }
        }

        // Merged, not replaced: a page cut short must not make its lost series begin at zero again.
        pod.Last ??= new Dictionary<string, double>(StringComparer.Ordinal);
        foreach (var (key, sample) in current)
        {
            pod.Last[key] = sample.Value;
        }
    }

    private Dictionary<string, MetricSample> Counters(PodScrape scrape)
    {
        var counters = new Dictionary<string, MetricSample>(StringComparer.Ordinal);
        foreach (var sample in scrape.Samples)
        {
            if (!CounterSuffixes.Any(s => sample.Name.EndsWith(s, StringComparison.Ordinal)))
            {
                continue;
            }

            if (double.IsFinite(sample.Value) && sample.Value >= 0)
            {
                counters[sample.Series] = sample;
            }
            else
            {
                _oddities.Add($"{scrape.Pod}: {sample.Name} is {sample.Value}");
            }
        }

        return counters;
    }

    private sealed class Pod
    {
        public required string Incarnation { get; set; }

        /// <summary>Null until the pod has been read once.</summary>
        public Dictionary<string, double>? Last { get; set; }
    }

    private sealed class Service
    {
        public int Reads { get; set; }

        public List<string> Gaps { get; } = [];

        public List<IntervalSample> Intervals { get; } = [];

        public Dictionary<string, Dictionary<string, Growth>> Growth { get; } = new(StringComparer.Ordinal);

        public Dictionary<string, Growth> GrowthOf(string pod)
        {
            if (!Growth.TryGetValue(pod, out var growth))
            {
                Growth[pod] = growth = new Dictionary<string, Growth>(StringComparer.Ordinal);
            }

            return growth;
        }
    }

    /// <summary>One service between two looks.</summary>
    private sealed class Interval
    {
        public static readonly Interval Nothing = new();

        private readonly SortedDictionary<double, double> _below = [];
        private double _requests;
        private double _errors;
        private double? _orders;

        /// <summary>Whether a pod was read that has a history to compare with.</summary>
        public bool Known { get; set; }

        public void Count(MetricSample sample, double growth)
        {
            switch (sample.Name)
            {
                case RequestsMetric + "_count":
                    _requests += growth;
                    _errors += sample.Label("status_code").StartsWith('5') ? growth : 0;
                    break;
                case RequestsMetric + "_bucket" when TryBound(sample.Label("le"), out var bound):
                    _below[bound] = _below.GetValueOrDefault(bound) + growth;
                    break;
                case OrdersMetric:
                    _orders = (_orders ?? 0) + growth;
                    break;
            }
        }

        public IntervalSample ToSample(DateTimeOffset at)
        {
            if (!Known)
            {
                return new IntervalSample(at, null, null);
            }

            var buckets = new Dictionary<string, double>();
            var below = 0.0;
            double? lower = null;
            foreach (var (bound, count) in _below)
            {
                if (count > below)
                {
                    // Where a bucket begins is where the one below it ends, be that one empty or not.
                    if (lower is { } begin)
                    {
                        buckets.TryAdd(WatchSamples.Bound(begin), 0);
                    }

                    buckets[WatchSamples.Bound(bound)] = count - below;
                    below = count;
                }

                lower = bound;
            }

            var usable = _below.Count > 0 && double.IsPositiveInfinity(_below.Keys.Last());
            return IntervalSample.From(at, _requests, _errors, _orders, usable ? buckets : null);
        }
    }

    private sealed class Growth(MetricSample sample)
    {
        public MetricSample Sample { get; } = sample;

        public double Amount { get; set; }
    }
}

/// <summary>A histogram's growth: cumulative counts by upper bound, ascending.</summary>
public sealed record HistogramIncrease(IReadOnlyList<(double Bound, double Count)> Buckets)
{
    /// <summary>From counts of single buckets, as an interval has them, added up.</summary>
    internal static HistogramIncrease Of(IEnumerable<IReadOnlyDictionary<string, double>> parts)
    {
        var bounds = new SortedDictionary<double, double>();
        foreach (var (key, count) in parts.SelectMany(p => p))
        {
            if (WatchSeries.TryBound(key, out var bound))
            {
                bounds[bound] = bounds.GetValueOrDefault(bound) + count;
            }
        }

        // A bucket that nothing fell into is not kept: that of the highest bound may be missing.
        var below = 0.0;
        List<(double, double)> cumulative = [.. bounds.Select(b => (b.Key, below += b.Value))];
        if (cumulative.Count > 0 && !double.IsPositiveInfinity(cumulative[^1].Item1))
        {
            cumulative.Add((double.PositiveInfinity, below));
        }

        return new HistogramIncrease(cumulative);
    }

    /// <summary>How many observations were surely above the bound: those above the next bucket bound that is not below it.</summary>
    public double SurelySlower(double than)
    {
        if (double.IsNaN(Count))
        {
            return double.NaN;
        }

        for (var i = 0; i < Buckets.Count; i++)
        {
            if (Buckets[i].Bound >= than)
            {
                return Count - Highest(i);
            }
        }

        return 0;
    }

    /// <summary>How many observations there were; NaN where the histogram has no <c>+Inf</c> bucket, without which nothing is
    /// known.</summary>
    public double Count => Buckets.Count > 0 && double.IsPositiveInfinity(Buckets[^1].Bound) ? Highest(Buckets.Count - 1) : double.NaN;

    /// <summary>
    /// The quantile as Prometheus estimates it, linear within a bucket, but <c>+Inf</c> where it falls above the last finite bound
    /// (Prometheus
    /// answers that bound, which reads as good), and NaN without observations.
    /// </summary>
    public double Quantile(double quantile) => Locate(quantile).Value;

    /// <summary>The lower bound of the bucket that the quantile lies in: the value is surely above it, and no more is sure.</summary>
    public double SurelyAbove(double quantile) => Locate(quantile).Lower;

    private (double Value, double Lower) Locate(double quantile)
    {
        var count = Count;
        if (double.IsNaN(count) || count <= 0)
        {
            return (double.NaN, double.NaN);
        }

        var rank = quantile * count;
        var lower = 0.0;
        var below = 0.0;
        for (var i = 0; i < Buckets.Count; i++)
        {
            // Pods are read one after another, so sums of buckets may be out of order by a few.
            var within = Highest(i);
            if (within >= rank && within > below)
            {
                var bound = Buckets[i].Bound;
                return (double.IsPositiveInfinity(bound) ? bound : lower + ((bound - lower) * ((rank - below) / (within - below))), lower);
            }

            below = within;
            lower = Buckets[i].Bound;
        }

        return (double.PositiveInfinity, lower);
    }

    private double Highest(int index)
    {
        var highest = 0.0;
        for (var i = 0; i <= index; i++)
        {
            highest = Math.Max(highest, Buckets[i].Count);
        }

        return highest;
    }
}
