namespace Rollout.Monitoring;

/// <summary>What a judge may say; silence is never success (invariant 9).</summary>
public enum Verdict
{
    /// <summary>Enough was seen, and it is no worse than allowed.</summary>
    Successful,

    /// <summary>It was seen to be worse.</summary>
    Failed,

    /// <summary>Looking itself failed.</summary>
    Error,

    /// <summary>Too little was seen to tell.</summary>
    Inconclusive,
}

/// <summary>A verdict with its reason.</summary>
/// <param name="Reason">For machines: stable, CamelCase.</param>
/// <param name="Message">For people.</param>
/// <param name="Metrics">What it was built from.</param>
public sealed record Judgement(Verdict Verdict, string Reason, string Message, IReadOnlyList<MetricJudgement> Metrics);

/// <summary>One metric of one service.</summary>
/// <param name="Metric"><c>error ratio</c> (0 to 1), <c>p95</c> (seconds), or <c>requests</c> (a number).</param>
/// <param name="Observed">NaN where nothing is known.</param>
/// <param name="Baseline">The same on the live stack before the switch; NaN where nothing is known.</param>
/// <param name="Limit">What the value had to stay at or below; NaN where there is no such number.</param>
/// <param name="Counts">False for services so quiet on both sides that they say nothing either way; they do not decide.</param>
public sealed record MetricJudgement(
    string Service,
    string Metric,
    Verdict Verdict,
    double Observed,
    double Baseline,
    double Limit,
    string Reason,
    string Message,
    bool Counts = true);

/// <summary>What "steady" means in numbers.</summary>
public sealed record JudgeThresholds
{
    /// <summary>The platform's SLOs for the 95th percentile (its docs/slo.md, platform contract section 9). These services must be
    /// seen.</summary>
    public IReadOnlyDictionary<string, TimeSpan> LatencyP95 { get; init; } = new Dictionary<string, TimeSpan>
    {
        ["policy-service"] = TimeSpan.FromMilliseconds(200),
        ["risk-service"] = TimeSpan.FromMilliseconds(200),
        ["oms-service"] = TimeSpan.FromMilliseconds(500),
    };

    /// <summary>The share of answers with status 5xx that no service may exceed.</summary>
    public double ErrorRatio { get; init; } = 0.01;

    /// <summary>By how much the share of errors may exceed live's, absolute (0 to 1).</summary>
    public double ErrorRatioMargin { get; init; } = 0.005;

    /// <summary>A p95 is worse than live's when it exceeds it by this factor and by <see cref="LatencyMargin"/>.</summary>
    public double LatencyFactor { get; init; } = 1.5;

    /// <summary>Keeps a jump from 2 to 4 ms from being a regression: buckets are coarser than that.</summary>
    public TimeSpan LatencyMargin { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>Below so many requests nothing is said about a service.</summary>
    public int MinimumRequests { get; init; } = 20;

    /// <summary>Below so many errors a share that is too high may be chance: inconclusive.</summary>
    public int MinimumErrors { get; init; } = 3;

    /// <summary>The share of a service's scrapes that may fail.</summary>
    public double MaximumGaps { get; init; } = 0.25;
}
