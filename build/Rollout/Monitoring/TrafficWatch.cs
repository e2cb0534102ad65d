namespace Rollout.Monitoring;

/// <summary>How long to watch, and for what (playbook 3.3).</summary>
public sealed record WatchPlan
{
    /// <summary>The pause between two looks at the pods.</summary>
    public TimeSpan Interval { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How many looks at least.</summary>
    public int MinimumScrapes { get; init; } = 12;

    /// <summary>How many evaluations of the scaling controller at least; 0 where none is waited for, as on a baseline.</summary>
    public int Evaluations { get; init; } = 2;

    /// <summary>The workload that the scaling controller is part of.</summary>
    public string EvaluationService { get; init; } = "admin-platform";

    /// <summary><c>SCALING_CHECK_INTERVAL</c>: the watch lasts at least so many of these as evaluations are asked for. Zero asks for no
    /// time.</summary>
    public TimeSpan EvaluationInterval { get; init; }

    /// <summary>When to give up; what was seen by then is inconclusive.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromMinutes(15);

    /// <summary>How long a source may give nothing usable before the watch ends: the freeze goes on meanwhile.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>
    /// Asked after every look, and told whether the plan is fulfilled: a failure ends the watch at once, and a watch that is inconclusive at its
    /// end is made twice as long, once. Null where nothing is judged, as on a baseline.
    /// </summary>
    public Func<WatchSamples, bool, Judgement>? Judge { get; init; }

    /// <summary>
    /// Looked at with every reading: which services are less healthy than live's, each with why. Counters do not tell of a service that nobody asks, nor of one that
    /// answers 200 and says that it is sick. Null where nobody looks; an answer of null is a look that saw nothing, after which all is as it was.
    /// </summary>
    public Func<CancellationToken, Task<IReadOnlyDictionary<string, string>?>>? Health { get; init; }

    /// <summary>Shown after every look.</summary>
    public Action<WatchProgress>? Show { get; init; }

    /// <summary>
    /// The fewest looks with which a Mann–Whitney test against so many intervals of live can reach the level of the judge, so that a verdict rests on a
    /// test that could have failed; at least 12. Where live has fewer than three intervals ranks show nothing, and counts decide alone.
    /// </summary>
    public static int ScrapesFor(int baselineIntervals)
    {
        var intervals = 11;
        while (baselineIntervals >= 3 && Evidence.SmallestP(intervals, baselineIntervals) > 1e-3)
        {
            intervals++;
        }

        return intervals + 1;
    }
}

/// <summary>A watch under way.</summary>
/// <param name="Verdict">As of now; null where nothing is judged.</param>
/// <param name="Left">How long it will last at least; zero where it waits for something else than time.</param>
/// <param name="Summary">A sentence for people.</param>
public sealed record WatchProgress(WatchSamples Samples, Judgement? Verdict, TimeSpan Elapsed, TimeSpan Left, string Summary);

/// <summary>What a watch saw.</summary>
/// <param name="Evaluations">How many times the scaling controller evaluated since the watch began.</param>
/// <param name="Summary">A sentence for people.</param>
/// <param name="Samples">What it saw, with the verdict where the plan judges.</param>
/// <param name="First">Every page as it was at the beginning, for the archive.</param>
/// <param name="Last">Every page as it was at the end.</param>
public sealed record WatchResult(
    WatchSeries Series, double Evaluations, string Summary, WatchSamples Samples, IReadOnlyList<PodScrape> First, IReadOnlyList<PodScrape> Last);

/// <summary>Watches one slot by reading the counters of all its pods again and again.</summary>
/// <param name="slot">For the samples: <c>blue</c> or <c>green</c>.</param>
/// <param name="role">For the samples: <c>live</c> or <c>candidate</c>.</param>
public sealed class TrafficWatch(IMetricsSource source, string slot, string role, TimeProvider time, IProgress<string> progress)
{
    private const string EvaluationMetric = "scaling_evaluations_total";

    /// <summary>Watches by our own scraping.</summary>
    /// <param name="cluster">Speaks to the API server.</param>
    public TrafficWatch(HttpClient cluster, string @namespace, TimeProvider time, IProgress<string> progress)
        : this(new ScrapeSource(new PodMetrics(cluster, @namespace, time), time), @namespace, string.Empty, time, progress)
    {
    }

    /// <summary>
    /// Watches until the plan is fulfilled, the judge is sure of a failure, or time is up. Never fails for what it saw: silence is in the
    /// series, for the judge.
    /// </summary>
    public async Task<WatchResult> WatchAsync(WatchPlan plan, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(plan);
        var series = new WatchSeries();
        IReadOnlyList<PodScrape> first = [];
        IReadOnlyList<PodScrape> last = [];
        var start = time.GetTimestamp();
        var (told, heard, until) = (TimeSpan.Zero, TimeSpan.Zero, TimeSpan.Zero);
        string? trouble = null;
        while (true)
        {
            try
            {
                foreach (var reading in await source.ReadAsync(cancellationToken))
                {
                    last = reading.Pods;
                    first = series.Scrapes == 0 ? last : first;
                    series.Add(reading.At, last);
                    heard = time.GetElapsedTime(start);
                }

                trouble = null;
            }
            catch (RolloutException exception)
            {
                trouble = exception.Message;
                if (!source.CatchesUp)
                {
                    series.AddFailure(trouble);
                }
            }

            if (plan.Health is not null && trouble is null && await plan.Health(cancellationToken) is { } worse)
            {
                series.AddHealth(worse);
            }

            var elapsed = time.GetElapsedTime(start);
            var evaluations = series.LargestIncrease(plan.EvaluationService, EvaluationMetric);
            var cycles = plan.Evaluations > 0 ? $", {evaluations:0} of {plan.Evaluations} scaling evaluations" : string.Empty;
            var summary = $"{series.Scrapes} scrapes of at least {plan.MinimumScrapes}{cycles} in {elapsed.TotalSeconds:0} s";
            var missing = Missing(plan, series, evaluations, elapsed)
                ?? (elapsed < until ? $"its extension to {until.TotalSeconds:0} s was not over" : null) ?? (source.CatchesUp ? trouble : null);
            Judgement? verdict = null;
            if (plan.Judge is not null && series.Scrapes > 1)
            {
                verdict = plan.Judge(Samples(), missing is null);
                if (verdict.Verdict == Verdict.Failed)
                {
                    series.Incomplete = missing is null ? null : $"stopped early, {missing}";
                    return End(verdict);
                }
            }

            if (missing is null)
            {
                if (verdict?.Verdict != Verdict.Inconclusive || until > TimeSpan.Zero || elapsed * 2 > plan.Timeout)
                {
                    return End(verdict);
                }

                until = elapsed * 2;
                progress.Report($"inconclusive after {elapsed.TotalSeconds:0} s, watching as long again: {verdict.Message}");
            }

            if (elapsed >= plan.Timeout || (trouble is not null && source.CatchesUp && elapsed - heard >= plan.Patience))
            {
                series.Incomplete = $"after {elapsed.TotalSeconds:0} s {missing}" + (trouble is null || missing == trouble ? string.Empty : $": {trouble}");
                if (trouble is not null)
                {
                    series.AddFailure(trouble);
                }
                else if (evaluations < plan.Evaluations && series.Reads(plan.EvaluationService) > series.Scrapes / 2)
                {
                    series.Stalled = $"it was read all the while, and {missing} in {elapsed.TotalSeconds:0} s";
                }

                return End(plan.Judge?.Invoke(Samples(), true));
            }

            plan.Show?.Invoke(new WatchProgress(Samples(), verdict, elapsed, Left(elapsed), summary));
            if (elapsed - told >= Waiting.QuietTime)
            {
                told = elapsed;
                progress.Report($"watching '{slot}': {summary}{(verdict is null ? string.Empty : $"; so far {verdict.Verdict}: {verdict.Message}")}{(trouble is null ? string.Empty : $"; {trouble}")}");
            }

            await Waiting.PauseAsync(plan.Interval, time, cancellationToken);

            WatchSamples Samples() => series.Samples(slot, role, source.Name, plan.Interval) with { Queries = source.Queries };

            WatchResult End(Judgement? judged) => new(series, evaluations, summary, Samples() with { Verdict = judged }, first, last);

            TimeSpan Left(TimeSpan by)
            {
                var looks = (plan.MinimumScrapes - series.Scrapes) * plan.Interval;
                var cycles = (plan.Evaluations * plan.EvaluationInterval) - by;
                return new[] { looks, cycles, until - by, TimeSpan.Zero }.Max();
            }
        }
    }

    private static string? Missing(WatchPlan plan, WatchSeries series, double evaluations, TimeSpan elapsed)
    {
        if (evaluations < plan.Evaluations)
        {
            return series.Reads(plan.EvaluationService) == 0
                ? $"the scaling controller was never seen: no pod of '{plan.EvaluationService}' showed its metrics"
                : $"the scaling controller had evaluated {evaluations:0} of {plan.Evaluations} times";
        }

        if (elapsed < plan.Evaluations * plan.EvaluationInterval)
        {
            return $"fewer than {plan.Evaluations} scaling intervals of {plan.EvaluationInterval.TotalSeconds:0.#} s had passed";
        }

        return series.Scrapes < plan.MinimumScrapes ? $"only {series.Scrapes} of {plan.MinimumScrapes} scrapes were made" : null;
    }
}
