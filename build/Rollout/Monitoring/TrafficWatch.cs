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

    /// <summary>Asked after every look: true ends the watch at once, for a stack that is already seen to fail.</summary>
    public Func<WatchSeries, bool>? StopWhen { get; init; }
}

/// <summary>What a watch saw.</summary>
/// <param name="Evaluations">How many times the scaling controller evaluated since the watch began.</param>
/// <param name="Summary">A sentence for people.</param>
/// <param name="First">Every page as it was at the beginning, for the archive.</param>
/// <param name="Last">Every page as it was at the end.</param>
public sealed record WatchResult(
    WatchSeries Series, double Evaluations, string Summary, IReadOnlyList<PodScrape> First, IReadOnlyList<PodScrape> Last);

/// <summary>Watches one slot by reading the metrics of all its pods again and again, straight from the pods.</summary>
/// <param name="cluster">Speaks to the API server.</param>
public sealed class TrafficWatch(HttpClient cluster, string @namespace, TimeProvider time, IProgress<string> progress)
{
    private const string EvaluationMetric = "scaling_evaluations_total";

    private readonly PodMetrics _pods = new(cluster, @namespace, time);

    /// <summary>
    /// Watches until the plan is fulfilled or its time is up. Never fails for what it saw: silence is in the series, for the judge.
    /// </summary>
    public async Task<WatchResult> WatchAsync(WatchPlan plan, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(plan);
        var series = new WatchSeries();
        IReadOnlyList<PodScrape> first = [];
        IReadOnlyList<PodScrape> last = [];
        var start = time.GetTimestamp();
        var told = TimeSpan.Zero;
        while (true)
        {
            try
            {
                last = await _pods.ScrapeAsync(null, cancellationToken);
                first = series.Scrapes == 0 ? last : first;
                series.Add(time.GetUtcNow(), last);
            }
            catch (RolloutException exception)
            {
                series.AddFailure(exception.Message);
            }

            var elapsed = time.GetElapsedTime(start);
            var evaluations = series.LargestIncrease(plan.EvaluationService, EvaluationMetric);
            var cycles = plan.Evaluations > 0 ? $", {evaluations:0} of {plan.Evaluations} scaling evaluations" : string.Empty;
            var summary = $"{series.Scrapes} scrapes of at least {plan.MinimumScrapes}{cycles} in {elapsed.TotalSeconds:0} s";
            if (Missing(plan, series, evaluations, elapsed) is not { } missing)
            {
                return new WatchResult(series, evaluations, summary, first, last);
            }

            if (plan.StopWhen?.Invoke(series) == true)
            {
                series.Incomplete = $"stopped early, {missing}";
                return new WatchResult(series, evaluations, summary, first, last);
            }

            if (elapsed >= plan.Timeout)
            {
                series.Incomplete = $"after {elapsed.TotalSeconds:0} s {missing}";
                return new WatchResult(series, evaluations, summary, first, last);
            }

            if (elapsed - told >= Waiting.QuietTime)
            {
                told = elapsed;
                progress.Report($"watching '{@namespace}': {summary}");
            }

            await Waiting.PauseAsync(plan.Interval, time, cancellationToken);
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
