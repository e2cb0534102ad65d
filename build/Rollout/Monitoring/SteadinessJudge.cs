namespace Rollout.Monitoring;

/// <summary>
/// Says whether the observed stack is steady: within the SLOs and no worse than live (playbook 3.3, 3.4). Pure: same series, same
/// judgement. A judgement is as bad as its worst metric, in the order failed, error, inconclusive, successful.
/// </summary>
public static class SteadinessJudge
{
    private const string Requests = "http_request_duration_seconds";

    /// <param name="baseline">The live stack before the switch.</param>
    /// <param name="observed">The candidate with traffic.</param>
    public static Judgement Judge(WatchSeries baseline, WatchSeries observed, JudgeThresholds slo)
    {
        ArgumentNullException.ThrowIfNull(baseline);
        ArgumentNullException.ThrowIfNull(observed);
        ArgumentNullException.ThrowIfNull(slo);
        if (observed.Scrapes == 0)
        {
            var why = observed.Oddities.FirstOrDefault() ?? "no scrape was made";
            return new Judgement(Verdict.Error, "NothingScraped", $"The candidate's metrics were never read: {why}.", []);
        }

        var metrics = new List<MetricJudgement>();
        foreach (var service in Judged(baseline, observed, slo))
        {
            metrics.AddRange(JudgeService(service, baseline, observed, slo));
        }

        var deciding = metrics.Where(m => m.Counts).ToList();
        if (deciding.Find(m => m.Verdict == Verdict.Failed) is { } failed)
        {
            return Conclude(Verdict.Failed, failed, deciding, metrics);
        }

        if (observed.Incomplete is { } incomplete)
        {
            return new Judgement(Verdict.Inconclusive, "WatchIncomplete", $"The watch did not see enough: {incomplete}.", metrics);
        }

        if (observed.Oddities.Count > 0)
        {
            return new Judgement(
                Verdict.Inconclusive,
                "BrokenMetrics",
                $"Metrics show what no counter can: {string.Join("; ", observed.Oddities.Take(3))}.",
                metrics);
        }

        if (deciding.Find(m => m.Verdict == Verdict.Inconclusive) is { } open)
        {
            return Conclude(Verdict.Inconclusive, open, deciding, metrics);
        }

        var total = deciding.Where(m => m.Metric == "error ratio").ToList();
        return total.Count == 0
            ? new Judgement(Verdict.Inconclusive, "NoTraffic", "No service had enough requests to be judged.", metrics)
            : new Judgement(
                Verdict.Successful, "Steady", $"{total.Count} services are within their limits and no worse than live.", metrics);
    }

    private static IEnumerable<string> Judged(WatchSeries baseline, WatchSeries observed, JudgeThresholds slo) =>
        baseline.Services.Where(s => Exposes(baseline, s))
            .Union(observed.Services.Where(s => Exposes(observed, s) || observed.Gaps(s).Count > 0))
            .Union(slo.LatencyP95.Keys)
            .Order(StringComparer.Ordinal);

    private static bool Exposes(WatchSeries series, string service) => series.Increase(service, Requests + "_count") > 0;

    private static IEnumerable<MetricJudgement> JudgeService(
        string service, WatchSeries baseline, WatchSeries observed, JudgeThresholds slo)
    {
        var requests = observed.Increase(service, Requests + "_count");
        var before = baseline.Increase(service, Requests + "_count");
        var gaps = observed.Gaps(service).Count;
        var required = slo.LatencyP95.ContainsKey(service);
        if (gaps > 0 && gaps > slo.MaximumGaps * (gaps + observed.Reads(service)))
        {
            yield return Open(
                service,
                "Unreadable",
                $"{gaps} of {gaps + observed.Reads(service)} scrapes of '{service}' failed, last {observed.Gaps(service)[^1]}",
                requests,
                before);
        }

        if (requests < slo.MinimumRequests)
        {
            var quiet = before < slo.MinimumRequests && !required;
            var reason = requests > 0 ? "TooFewRequests" : "Silent";
            var message = $"'{service}' answered {requests:0} requests in the watch (live: {before:0}), {slo.MinimumRequests} are needed";
            yield return Open(service, reason, message, requests, before) with { Limit = slo.MinimumRequests, Counts = !quiet };
            yield break;
        }

        // Without live's numbers the SLOs still fail a service, but nothing shows that it is no worse than live.
        var comparable = before >= slo.MinimumRequests;
        if (!comparable && baseline.Scrapes < 2)
        {
            yield return Open(
                service, "NoBaseline", $"the live stack's '{service}' was not watched, nothing to compare with", requests, before);
        }

        yield return JudgeErrors(service, baseline, observed, slo, requests, comparable ? before : double.NaN);
        yield return JudgeLatency(service, baseline, observed, slo, comparable);
    }

    private static MetricJudgement JudgeErrors(
        string service, WatchSeries baseline, WatchSeries observed, JudgeThresholds slo, double requests, double before)
    {
        var errors = observed.Increase(service, Requests + "_count", IsServerError);
        var ratio = errors / requests;
        var live = double.IsNaN(before) ? double.NaN : baseline.Increase(service, Requests + "_count", IsServerError) / before;
        var result = new MetricJudgement(
            service,
            "error ratio",
            Verdict.Successful,
            ratio,
            live,
            slo.ErrorRatio,
            "Steady",
            $"'{service}' failed {errors:0} of {requests:0} requests ({ratio:P2})");
        var worse = double.IsNaN(live) || ratio > live + slo.ErrorRatioMargin;
        if (ratio <= slo.ErrorRatio && !worse)
        {
            return result;
        }

        if (double.IsNaN(live) && ratio <= slo.ErrorRatio)
        {
            return result with { Message = result.Message + ", live had too few requests to compare" };
        }

        var compared = double.IsNaN(live) ? "" : $", live {live:P2}";
        if (errors < slo.MinimumErrors)
        {
            return result with
            {
                Verdict = Verdict.Inconclusive,
                Reason = "TooFewErrors",
                Message = $"{result.Message}{compared}: above the limit, but {errors:0} errors may be chance",
            };
        }

        var allowed = double.IsNaN(live) ? slo.ErrorRatio : live + slo.ErrorRatioMargin;
        return worse
            ? Worsen(result, Verdict.Failed, "ErrorRatio", $"{compared}, allowed {allowed:P2}")
            : Worsen(result, Verdict.Inconclusive, "LiveBreachesToo", $"{compared}: both are above {slo.ErrorRatio:P2}");
    }

    private static MetricJudgement JudgeLatency(
        string service, WatchSeries baseline, WatchSeries observed, JudgeThresholds slo, bool comparable)
    {
        var p95 = observed.Histogram(service, Requests).Quantile(0.95);
        var live = comparable ? baseline.Histogram(service, Requests).Quantile(0.95) : double.NaN;
        var limit = slo.LatencyP95.TryGetValue(service, out var allowed) ? allowed.TotalSeconds : double.NaN;
        var compared = double.IsNaN(live) ? "" : $", live {Milliseconds(live)}";
        var result = new MetricJudgement(
            service, "p95", Verdict.Successful, p95, live, limit, "Steady", $"p95 of '{service}' is {Milliseconds(p95)}{compared}");
        if (double.IsNaN(p95))
        {
            return Worsen(result, Verdict.Inconclusive, "NoLatency", ": no usable histogram");
        }

        // Infinity is only worse than something finite; inf > inf * 1.5 is false, as it should be.
        var worse = !double.IsNaN(live) && p95 > live * slo.LatencyFactor && p95 > live + slo.LatencyMargin.TotalSeconds;
        if (worse)
        {
            return Worsen(result, Verdict.Failed, "LatencyWorseThanLive", ": worse than live");
        }

        if (p95 > limit)
        {
            // The platform's buckets go from 100 to 250 ms: within one bucket a value is a guess, and only live's tells what it means.
            if (!double.IsNaN(live) && observed.Histogram(service, Requests).SurelyAbove(0.95) < limit)
            {
                var where = $": in the bucket that holds the limit of {Milliseconds(limit)}, and no worse than live";
                return result with { Message = result.Message + where };
            }

            return live > limit
                ? Worsen(result, Verdict.Inconclusive, "LiveBreachesToo", $": both are above {Milliseconds(limit)}")
                : Worsen(result, Verdict.Failed, "LatencySlo", $", allowed {Milliseconds(limit)}");
        }

        return result;
    }

    private static MetricJudgement Worsen(MetricJudgement judgement, Verdict verdict, string reason, string addition) =>
        judgement with { Verdict = verdict, Reason = reason, Message = judgement.Message + addition };

    private static bool IsServerError(MetricSample sample) => sample.Label("status_code").StartsWith('5');

    private static MetricJudgement Open(string service, string reason, string message, double requests, double before) =>
        new(service, "requests", Verdict.Inconclusive, requests, before, double.NaN, reason, message);

    private static Judgement Conclude(
        Verdict verdict, MetricJudgement first, List<MetricJudgement> deciding, IReadOnlyList<MetricJudgement> all)
    {
        var same = deciding.Where(m => m.Verdict == verdict).Select(m => m.Message).ToList();
        var rest = same.Count > 3 ? $"; and {same.Count - 3} more" : "";
        return new Judgement(verdict, first.Reason, string.Join("; ", same.Take(3)) + rest + ".", all);
    }

    private static string Milliseconds(double seconds) => double.IsInfinity(seconds) ? "above the last bucket" : $"{seconds * 1000:0} ms";
}
