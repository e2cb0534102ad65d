using System.Globalization;

namespace Rollout.Monitoring;

/// <summary>
/// Says whether the observed stack is steady: within the SLOs and no worse than live (playbook 3.3, 3.4). Pure: same samples, same
/// judgement, whatever they were read from. A judgement is as bad as its worst metric, in the order failed, inconclusive, successful.
/// A metric fails when it is beyond what is allowed <em>and</em> chance is no explanation: latencies and orders where their intervals rank worse than
/// live's (Mann–Whitney U, with a large effect), everything where its counts are too far from live's or from the limit (exact binomial). Both are asked of the whole watch and of
/// every window of <see cref="JudgeThresholds.Window"/> in it, so a spike is not diluted by the calm around it.
/// </summary>
public static class SteadinessJudge
{
    /// <summary>The name under which all services together are judged: each may be too quiet to show what all of them show.</summary>
    public const string WholeStack = "all services";

    private const double RankSignificance = 1e-3;
    private const int FewestInWindow = 6;

    // One look may fall into a moment; three in a row are a state.
    private const int LooksToBelieve = 3;

    /// <param name="baseline">The live stack before the switch.</param>
    /// <param name="observed">The candidate with traffic.</param>
    /// <param name="newestOnly">Whether of the windows only the newest is looked at: enough after every interval of a watch under way.</param>
    public static Judgement Judge(WatchSamples baseline, WatchSamples observed, JudgeThresholds slo, bool newestOnly = false)
    {
        ArgumentNullException.ThrowIfNull(baseline);
        ArgumentNullException.ThrowIfNull(observed);
        ArgumentNullException.ThrowIfNull(slo);
        var compared = Compared(baseline, observed);
        if (observed.Readings == 0)
        {
            var why = observed.Problems.Count > 0 ? observed.Problems[0] : "no reading was made";
            return new Judgement(
                Verdict.Inconclusive, "NothingScraped", $"The candidate's metrics were never read: {why}.", [])
            {
                Compared = compared,
            };
        }

        var metrics = new List<MetricJudgement>();
        foreach (var service in Judged(baseline, observed, slo))
        {
            metrics.AddRange(new ServiceJudge(service, baseline, observed, slo, newestOnly).Judge());
        }

        metrics.AddRange(JudgeAll(baseline, observed, slo, newestOnly));
        var optional = slo.Rules.Where(r => !r.MustHaveData).Select(r => r.Metric).ToHashSet(StringComparer.Ordinal);
        metrics = [.. metrics.Select(m => m.Verdict == Verdict.Inconclusive && optional.Contains(m.Metric) ? m with { Counts = false } : m)];
        var deciding = metrics.Where(m => m.Counts).ToList();
        return Conclude() with { Compared = compared };

        Judgement Conclude()
        {
            if (deciding.Find(m => m.Verdict == Verdict.Failed) is { } failed)
            {
                return SteadinessJudge.Conclude(Verdict.Failed, failed, deciding, metrics) with
                {
                    FirstBad = deciding.Where(m => m.Verdict == Verdict.Failed).Min(m => m.FirstBad),
                    Decided = observed.To,
                };
            }

            if (observed.Unhealthy.Values.FirstOrDefault(u => u.Looks >= LooksToBelieve) is { } sick)
            {
                return new Judgement(Verdict.Failed, "LessHealthyThanLive", $"{sick.Why.TrimEnd('.')}, {sick.Looks} looks in a row.", metrics);
            }

            if (observed.Stalled is { } stalled)
            {
                return new Judgement(Verdict.Failed, "ScalingStalled", $"The candidate's scaling controller stands still: {stalled}.", metrics);
            }

            if (observed.Incomplete is { } incomplete)
            {
                return new Judgement(Verdict.Inconclusive, "WatchIncomplete", $"The watch did not see enough: {incomplete}.", metrics);
            }

            if (observed.Unhealthy.Count > 0)
            {
                return new Judgement(Verdict.Inconclusive, "HealthUnsettled", $"In the newest look: {string.Join(" ", observed.Unhealthy.Values.Take(3).Select(u => u.Why))}", metrics);
            }

            if (observed.Problems.Count > 0)
            {
                return new Judgement(
                    Verdict.Inconclusive, "BrokenMetrics", $"The metrics cannot be trusted: {string.Join("; ", observed.Problems.Take(3))}.", metrics);
            }

            if (deciding.Find(m => m.Verdict == Verdict.Inconclusive) is { } open)
            {
                return SteadinessJudge.Conclude(Verdict.Inconclusive, open, deciding, metrics);
            }

            var total = deciding.Count(m => m.Metric == "error ratio" && m.Service != WholeStack);
            return !deciding.Any(m => m.Verdict == Verdict.Successful)
                ? new Judgement(Verdict.Inconclusive, "NoTraffic", "No service had enough requests to be judged.", metrics)
                : new Judgement(Verdict.Successful, "Steady", $"{total} services are within their limits and no worse than live.{Trading()}", metrics);

            string Trading() => deciding.Find(m => m.Metric == "orders") is { } orders ? $" {orders.Message}." : string.Empty;
        }
    }

    private static IEnumerable<string> Judged(WatchSamples baseline, WatchSamples observed, JudgeThresholds slo) =>
        baseline.Services.Keys.Where(s => Exposes(baseline, s))
            .Union(observed.Services.Keys.Where(s => Exposes(observed, s) || observed.Gaps.ContainsKey(s)))
            .Union(slo.LatencyP95.Keys)
            .Order(StringComparer.Ordinal);

    private static bool Exposes(WatchSamples samples, string service) => samples.Of(service).Any(i => i.Requests > 0);

    // Errors that are spread thinly over many services are chance in each of them and none in all.
    private static IEnumerable<MetricJudgement> JudgeAll(WatchSamples baseline, WatchSamples observed, JudgeThresholds slo, bool newestOnly)
    {
        if (observed.Services.Count < 2)
        {
            yield break;
        }

        var all = new ServiceJudge(WholeStack, Together(baseline), Together(observed), slo, newestOnly).JudgeErrors();
        yield return all.Verdict == Verdict.Failed ? all : all with { Verdict = Verdict.Successful, Counts = !double.IsNaN(all.Observed) && Together(observed).Of(WholeStack).Sum(i => i.Requests) >= slo.MinimumRequests };
    }

    private static WatchSamples Together(WatchSamples samples) => samples with
    {
        Services = new Dictionary<string, IReadOnlyList<IntervalSample>>
        {
            [WholeStack] = [.. samples.Services.Values.SelectMany(i => i).GroupBy(i => i.At).OrderBy(g => g.Key).Select(g =>
                new IntervalSample(g.Key, g.Sum(i => i.Requests ?? 0), g.Sum(i => i.Errors ?? 0)))],
        },
        Gaps = new Dictionary<string, IReadOnlyList<string>>(),
    };

    private static string Compared(WatchSamples baseline, WatchSamples observed)
    {
        return $"{Words(observed, "candidate")} against {Words(baseline, "live before the freeze")}, in intervals of {observed.IntervalSeconds:0.#} s"
            + (baseline.IntervalSeconds > observed.IntervalSeconds ? $" (live's {baseline.IntervalSeconds:0.#} s)" : string.Empty);

        static string Words(WatchSamples samples, string role) => samples.From is { } from && samples.To is { } to
            ? $"{role}{(samples.Slot.Length > 0 ? $" ({samples.Slot})" : string.Empty)} {from:HH:mm:ss}–{to:HH:mm:ss} UTC by {samples.Source}"
            : $"{role}, which was not watched";
    }

    private static Judgement Conclude(
        Verdict verdict, MetricJudgement first, List<MetricJudgement> deciding, IReadOnlyList<MetricJudgement> all)
    {
        var same = deciding.Where(m => m.Verdict == verdict).Select(m => m.Message).ToList();
        var rest = same.Count > 3 ? $"; and {same.Count - 3} more" : "";
        return new Judgement(verdict, first.Reason, string.Join("; ", same.Take(3)) + rest + ".", all);
    }

    private static string Milliseconds(double seconds) => double.IsInfinity(seconds) ? "above the last bucket" : $"{seconds * 1000:0} ms";

    /// <summary>A stretch of intervals, added up.</summary>
    private sealed class Stretch
    {
        private readonly IReadOnlyList<IntervalSample> _intervals;

        public Stretch(IReadOnlyList<IntervalSample> intervals, int fewest)
        {
            _intervals = intervals;
            Requests = intervals.Sum(i => i.Requests ?? 0);
            Errors = intervals.Sum(i => i.Errors ?? 0);
            Histogram = HistogramIncrease.Of(intervals.Where(i => i.Buckets is not null).Select(i => i.Buckets!));
            Points = [.. Grouped(intervals, fewest)];
        }

        public double Requests { get; }

        public double Errors { get; }

        public double Ratio => Errors / Requests;

        public HistogramIncrease Histogram { get; }

        /// <summary>Neighbouring intervals joined until each has requests enough to be a point of its own.</summary>
        public IReadOnlyList<IntervalSample> Points { get; }

        public int Intervals => _intervals.Count;

        public IReadOnlyList<double> Ratios => [.. Points.Where(p => p.Requests > 0 && p.Errors is not null).Select(p => p.Errors!.Value / p.Requests!.Value)];

        public IReadOnlyList<double> Quantiles(double quantile) =>
            [.. Points.Select(p => p.Buckets is not null ? p.Histogram.Quantile(quantile) : (quantile < 0.99 ? p.P95 : p.P99) ?? double.NaN).Where(v => !double.IsNaN(v))];

        /// <summary>The quantile over all of it; where histograms were not kept, the middle one of the intervals'.</summary>
        public double Quantile(double quantile) => Histogram.Quantile(quantile) is var whole && !double.IsNaN(whole) ? whole
            : _intervals.Select(i => quantile < 0.99 ? i.P95 : i.P99).OfType<double>().Order().ToList() is { Count: > 0 } known ? known[known.Count / 2]
            : double.NaN;

        private static IEnumerable<IntervalSample> Grouped(IReadOnlyList<IntervalSample> intervals, int fewest)
        {
            var open = new List<IntervalSample>();
            foreach (var interval in intervals.Where(i => i.Requests is not null))
            {
                open.Add(interval);
                if (open.Sum(i => i.Requests!.Value) >= fewest)
                {
                    yield return open.Count == 1 ? interval : WatchSamples.Join(open);
                    open = [];
                }
            }
        }
    }

    private sealed class ServiceJudge
    {
        private readonly string _service;
        private readonly WatchSamples _baseline;
        private readonly WatchSamples _observed;
        private readonly JudgeThresholds _slo;
        private readonly Stretch _live;
        private readonly Stretch _whole;
        private readonly Lazy<IReadOnlyList<Stretch>> _windows;

        public ServiceJudge(string service, WatchSamples baseline, WatchSamples observed, JudgeThresholds slo, bool newestOnly)
        {
            (_service, _baseline, _observed, _slo) = (service, baseline, observed, slo);
            _live = new Stretch(baseline.Of(service), slo.RequestsForAQuantile);
            _whole = new Stretch(observed.Of(service), slo.RequestsForAQuantile);
            _windows = new Lazy<IReadOnlyList<Stretch>>(() => [.. Windows().Take(newestOnly ? 1 : int.MaxValue)]);
        }

        private bool IsComparable => _live.Requests >= _slo.MinimumRequests;

        public IEnumerable<MetricJudgement> Judge()
        {
            var (requests, before) = (_whole.Requests, _live.Requests);
            var gaps = _observed.Gaps.TryGetValue(_service, out var found) ? found : [];
            var reads = _observed.Reads.GetValueOrDefault(_service);
            var required = _slo.LatencyP95.ContainsKey(_service);
            if (gaps.Count > 0 && gaps.Count > _slo.MaximumGaps * (gaps.Count + reads))
            {
                yield return Open("Unreadable", $"{gaps.Count} of {gaps.Count + reads} scrapes of '{_service}' failed, last {gaps[^1]}");
            }

            if (requests < _slo.MinimumRequests)
            {
                var quiet = before < _slo.MinimumRequests && !required;
                var reason = requests > 0 ? "TooFewRequests" : "Silent";
                var message = $"'{_service}' answered {requests:0} requests in the watch (live: {before:0}), {_slo.MinimumRequests} are needed";
                yield return Open(reason, message) with { Limit = _slo.MinimumRequests, Counts = !quiet };
            }
            else
            {
                // Without live's numbers the SLOs still fail a service, but nothing shows that it is no worse than live.
                if (!IsComparable && _baseline.Readings < 2)
                {
                    yield return Open("NoBaseline", $"the live stack's '{_service}' was not watched, nothing to compare with");
                }

                if (Rule("error ratio") is { } errors)
                {
                    yield return JudgeErrors() with { Counts = errors.Critical };
                }

                if (Rule("p95") is { } p95)
                {
                    yield return JudgeLatency() with { Counts = p95.Critical };
                }

                if (Rule("p99") is { } p99 && EarlyWarning() is { } warning)
                {
                    yield return warning with { Counts = p99.Critical };
                }
            }

            if (Rule("orders") is { } orders && JudgeOrders() is { } judged)
            {
                yield return judged with { Counts = orders.Critical };
            }
        }

        public MetricJudgement JudgeErrors()
        {
            var whole = JudgeErrors(_whole);
            return whole.Verdict == Verdict.Failed ? whole
                : _windows.Value.Select(JudgeErrors).FirstOrDefault(m => m.Verdict == Verdict.Failed) ?? whole;
        }

        private MetricRule? Rule(string metric) => _slo.Rules.FirstOrDefault(r => r.Metric == metric && (_slo.Trading || !r.NeedsTrading));

        private MetricJudgement JudgeErrors(Stretch seen)
        {
            var live = IsComparable ? _live.Ratio : double.NaN;
            var allowed = double.IsNaN(live) ? _slo.ErrorRatio : Math.Min(_slo.ErrorRatio, live + _slo.ErrorRatioMargin);
            var ranks = Evidence.MannWhitney(seen.Ratios, IsComparable ? _live.Ratios : []);
            var chance = double.IsNaN(live) ? double.NaN : Evidence.MoreFrequent(seen.Errors, seen.Requests, _live.Errors, _live.Requests);
            var ratio = seen.Requests > 0 ? seen.Ratio : double.NaN;
            var result = Metric("error ratio", seen, ratio, live, allowed, $"'{_service}' failed {seen.Errors:0} of {seen.Requests:0} requests ({ratio:P2})") with
            {
                PValue = chance,
                Effect = ranks.Effect,
                FirstBad = seen.Points.FirstOrDefault(i => i.Errors / i.Requests > allowed)?.At,
                Raw = Raw(seen, i => $"{i.Errors:0}/{i.Requests:0}"),
            };
            var worse = !double.IsNaN(live) && ratio > live + _slo.ErrorRatioMargin;
            if (double.IsNaN(ratio) || (ratio <= _slo.ErrorRatio && !worse))
            {
                return double.IsNaN(live) ? result with { Message = result.Message + ", live had too few requests to compare" } : result;
            }

            // A quiet service has one now and then, and a watch that is held for it teaches people to wave holds through; all services together have their own test.
            if (seen.Errors <= 1)
            {
                return result with { Message = $"{result.Message}, and one error is no rate" };
            }

            var compared = double.IsNaN(live) ? "" : $", live {live:P2}";
            if (seen.Errors < _slo.MinimumErrors)
            {
                return result with
                {
                    Verdict = Verdict.Inconclusive,
                    Reason = "TooFewErrors",
                    Message = $"{result.Message}{compared}: above the limit, but {seen.Errors:0} errors may be chance",
                };
            }

            // Errors are rare: most intervals have none on either side, and ranks of ties mislead where counts do not. Ranks are told, counts decide.
            if (worse && chance <= _slo.RareSignificance)
            {
                return Worsen(result, Verdict.Failed, "ErrorRatio", $"{compared}, allowed {live + _slo.ErrorRatioMargin:P2}; {Words(result)}");
            }

            var breach = Evidence.BinomialTail(seen.Requests, _slo.ErrorRatio, seen.Errors);
            if (ratio > _slo.ErrorRatio && breach <= _slo.Significance && !(live > _slo.ErrorRatio))
            {
                result = result with { PValue = breach };
                return Worsen(result, Verdict.Failed, "ErrorRatio", $"{compared}, allowed {_slo.ErrorRatio:P2}; {Words(result)}");
            }

            return live > _slo.ErrorRatio
                ? Worsen(result, Verdict.Inconclusive, "LiveBreachesToo", $"{compared}: both are above {_slo.ErrorRatio:P2}")
                : Worsen(result, Verdict.Inconclusive, "MayBeChance", $"{compared}: above what is allowed, but chance explains it ({Words(result)})");
        }

        private MetricJudgement JudgeLatency()
        {
            var whole = JudgeLatency(_whole);
            return whole.Verdict == Verdict.Failed ? whole
                : _windows.Value.Select(JudgeLatency).FirstOrDefault(m => m.Verdict == Verdict.Failed) ?? whole;
        }

        private MetricJudgement JudgeLatency(Stretch seen)
        {
            var p95 = seen.Quantile(0.95);
            var live = IsComparable ? _live.Quantile(0.95) : double.NaN;
            var limit = _slo.LatencyP95.TryGetValue(_service, out var allowed) ? allowed.TotalSeconds : double.NaN;
            var bar = Math.Max(live * _slo.LatencyFactor, live + _slo.LatencyMargin.TotalSeconds);
            var ranks = Evidence.MannWhitney(seen.Quantiles(0.95), IsComparable ? _live.Quantiles(0.95) : []);
            var chance = double.IsNaN(live)
                ? double.NaN
                : Evidence.MoreFrequent(seen.Histogram.SurelySlower(bar), seen.Histogram.Count, _live.Histogram.SurelySlower(bar), _live.Histogram.Count);
            var highest = double.IsNaN(bar) ? limit : double.IsNaN(limit) || bar < limit ? bar : limit;
            var result = Metric(
                "p95", seen, p95, live, highest, $"p95 of '{_service}' is {Milliseconds(p95)}{(double.IsNaN(live) ? "" : $", live {Milliseconds(live)}")}") with
            {
                PValue = Smallest(ranks.Greater, chance),
                Effect = ranks.Effect,
                FirstBad = seen.Points.FirstOrDefault(i => i.Histogram.Quantile(0.95) is var value && (double.IsNaN(value) ? i.P95 : value) > highest)?.At,
                Raw = Raw(seen, i => i.P95 is { } value ? Milliseconds(value) : "?"),
            };
            if (double.IsNaN(p95))
            {
                return Worsen(result, Verdict.Inconclusive, "NoLatency", ": no usable histogram");
            }

            // Infinity is only worse than something finite; inf > inf * 1.5 is false, as it should be.
            var worse = p95 > bar;
            if (worse && (chance <= _slo.Significance || Shows(ranks)))
            {
                return Worsen(result, Verdict.Failed, "LatencyWorseThanLive", $": worse than live, allowed {Milliseconds(bar)}; {Words(result)}");
            }

            if (p95 > limit)
            {
                // The platform's buckets go from 100 to 250 ms: within one bucket a value is a guess, and only live's tells what it means.
                if (!double.IsNaN(live) && !worse && seen.Histogram.SurelyAbove(0.95) < limit)
                {
                    return result with { Message = result.Message + $": in the bucket that holds the limit of {Milliseconds(limit)}, and no worse than live" };
                }

                if (live > limit)
                {
                    return Worsen(result, Verdict.Inconclusive, "LiveBreachesToo", $": both are above {Milliseconds(limit)}");
                }

                // A p95 above the limit is more than one in twenty above it.
                var breach = Evidence.BinomialTail(seen.Histogram.Count, 0.05, seen.Histogram.SurelySlower(limit));
                if (breach <= _slo.Significance)
                {
                    result = result with { PValue = breach };
                    return Worsen(result, Verdict.Failed, "LatencySlo", $", allowed {Milliseconds(limit)}; {Words(result)}");
                }

                return Worsen(result, Verdict.Inconclusive, "MayBeChance", $", allowed {Milliseconds(limit)}: too few requests to be sure ({Words(result)})");
            }

            return worse
                ? Worsen(result, Verdict.Inconclusive, "MayBeChance", $": worse than live, but too little to be sure ({Words(result)})")
                : result;
        }

        // Shown, not decided upon: an early warning is for the person who watches.
        private MetricJudgement? EarlyWarning()
        {
            if (!_slo.LatencyP99.TryGetValue(_service, out var limit) || _whole.Quantile(0.99) is var p99 && double.IsNaN(p99))
            {
                return null;
            }

            var result = Metric(
                "p99", _whole, p99, IsComparable ? _live.Quantile(0.99) : double.NaN, limit.TotalSeconds, $"p99 of '{_service}' is {Milliseconds(p99)}");
            return p99 > limit.TotalSeconds
                ? Worsen(result, Verdict.Inconclusive, "EarlyWarning", $", above the early warning of {Milliseconds(limit.TotalSeconds)}")
                : result;
        }

        private MetricJudgement? JudgeOrders()
        {
            var (seen, live) = (_observed.Of(_service), _baseline.Of(_service));
            var (orders, before) = (seen.Sum(i => i.Orders ?? 0), live.Sum(i => i.Orders ?? 0));
            var (time, timeBefore) = (Seconds(_observed, seen), Seconds(_baseline, live));
            if (before < _slo.MinimumErrors || time <= 0 || timeBefore <= 0)
            {
                return null;
            }

            var (rate, rateBefore) = (orders / time, before / timeBefore);
            var ranks = Evidence.MannWhitney(
                [.. live.Select(i => i.Orders / _baseline.IntervalSeconds).OfType<double>()], [.. seen.Select(i => i.Orders / _observed.IntervalSeconds).OfType<double>()]);
            var chance = Evidence.BinomialTail(orders + before, timeBefore / (time + timeBefore), before);
            var limit = rateBefore * _slo.OrdersShare;
            var result = Metric("orders", _whole, rate, rateBefore, limit, $"'{_service}' submitted {rate:0.##} orders/s, live {rateBefore:0.##}/s") with
            {
                PValue = Smallest(ranks.Greater, chance),
                Effect = -ranks.Effect,
                FirstBad = seen.FirstOrDefault(i => i.Orders / _observed.IntervalSeconds < limit)?.At,
                Raw = Raw(_whole, i => $"{i.Orders:0}"),
            };
            if (rate >= limit)
            {
                return result;
            }

            return chance <= _slo.Significance || Shows(ranks)
                ? Worsen(result, Verdict.Failed, "OrdersFell", $": fewer than {_slo.OrdersShare:P0} of live's; {Words(result)}")
                : Worsen(result, Verdict.Inconclusive, "MayBeChance", $": fewer than {_slo.OrdersShare:P0} of live's, but too few to be sure ({Words(result)})");
        }

        private static double Seconds(WatchSamples samples, IReadOnlyList<IntervalSample> intervals) =>
            intervals.Count(i => i.Orders is not null) * samples.IntervalSeconds;

        private bool Shows(RankTest ranks) => ranks.Greater <= RankSignificance && ranks.Effect >= _slo.Effect;

        // Every stretch as long as a spike must be to be seen; the whole watch is none of them.
        private IEnumerable<Stretch> Windows()
        {
            var intervals = _observed.Of(_service);
            var width = Math.Max(FewestInWindow, _observed.IntervalSeconds > 0 ? (int)Math.Ceiling(_slo.Window.TotalSeconds / _observed.IntervalSeconds) : int.MaxValue);
            for (var begin = intervals.Count - width; begin >= 0 && width < intervals.Count; begin--)
            {
                yield return new Stretch([.. intervals.Skip(begin).Take(width)], _slo.RequestsForAQuantile);
            }
        }

        private MetricJudgement Metric(string metric, Stretch seen, double observed, double baseline, double limit, string message) =>
            new(_service, metric, Verdict.Successful, observed, baseline, limit, "Steady", message)
            {
                Intervals = seen.Intervals,
                Query = _observed.Queries.TryGetValue(metric, out var query) ? query.Replace("{service}", _service, StringComparison.Ordinal) : string.Empty,
            };

        private MetricJudgement Open(string reason, string message) =>
            Metric("requests", _whole, _whole.Requests, _live.Requests, double.NaN, message) with
            {
                Verdict = Verdict.Inconclusive,
                Reason = reason,
                Raw = Raw(_whole, i => $"{i.Requests:0}"),
            };

        private static MetricJudgement Worsen(MetricJudgement judgement, Verdict verdict, string reason, string addition) =>
            judgement with { Verdict = verdict, Reason = reason, Message = judgement.Message + addition };

        private static double Smallest(double a, double b) => double.IsNaN(a) ? b : double.IsNaN(b) ? a : Math.Min(a, b);

        private static string Words(MetricJudgement metric) =>
            (double.IsNaN(metric.PValue) ? "no test possible" : metric.PValue < 0.0001 ? "p < 0.0001" : $"p = {metric.PValue.ToString("0.####", CultureInfo.InvariantCulture)}")
            + (double.IsNaN(metric.Effect) ? string.Empty : $", effect {metric.Effect.ToString("0.00", CultureInfo.InvariantCulture)}");

        private static string Raw(Stretch seen, Func<IntervalSample, string> value)
        {
            var text = string.Join(' ', seen.Points.Select(value));
            return text.Length > 2000 ? text[..2000] : text;
        }
    }
}
