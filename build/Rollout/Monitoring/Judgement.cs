using System.Text.Json.Serialization;

namespace Rollout.Monitoring;

/// <summary>What a judge may say; silence is never success (invariant 9).</summary>
[JsonConverter(typeof(JsonStringEnumConverter<Verdict>))]
public enum Verdict
{
    /// <summary>Enough was seen, and it is no worse than allowed.</summary>
    Successful,

    /// <summary>It was seen to be worse.</summary>
    Failed,

    /// <summary>Too little was seen to tell.</summary>
    Inconclusive,
}

/// <summary>A verdict with its reason.</summary>
/// <param name="Reason">For machines: stable, CamelCase.</param>
/// <param name="Message">For people.</param>
/// <param name="Metrics">What it was built from.</param>
public sealed record Judgement(
    [property: JsonPropertyName("verdict")] Verdict Verdict,
    [property: JsonPropertyName("reason")] string Reason,
    [property: JsonPropertyName("message")] string Message,
    [property: JsonPropertyName("metrics")] IReadOnlyList<MetricJudgement> Metrics)
{
    /// <summary>When the failure began to show: the end of the first interval beyond the allowed; null unless failed.</summary>
    [JsonPropertyName("firstBad")]
    public DateTimeOffset? FirstBad { get; init; }

    /// <summary>When what was seen sufficed for the verdict; null unless failed.</summary>
    [JsonPropertyName("decided")]
    public DateTimeOffset? Decided { get; init; }

    /// <summary>What was held against what, in words: sources, windows, how many intervals.</summary>
    [JsonPropertyName("compared")]
    public string Compared { get; init; } = string.Empty;
}

/// <summary>One metric of one service.</summary>
/// <param name="Service">A workload, or <see cref="SteadinessJudge.WholeStack"/>.</param>
/// <param name="Metric"><c>error ratio</c> (0 to 1), <c>p95</c> and <c>p99</c> (seconds), <c>requests</c> and <c>orders</c> (numbers).</param>
/// <param name="Observed">NaN where nothing is known.</param>
/// <param name="Baseline">The same on the live stack before the switch; NaN where nothing is known.</param>
/// <param name="Limit">What the value had to stay at or below (at or above, for orders); NaN where there is no such number.</param>
/// <param name="Counts">False for what decides nothing: a service so quiet on both sides that it says nothing either way, an early warning.</param>
public sealed record MetricJudgement(
    [property: JsonPropertyName("service")] string Service,
    [property: JsonPropertyName("metric")] string Metric,
    [property: JsonPropertyName("verdict")] Verdict Verdict,
    [property: JsonPropertyName("observed"), JsonConverter(typeof(KnownNumber))] double Observed,
    [property: JsonPropertyName("baseline"), JsonConverter(typeof(KnownNumber))] double Baseline,
    [property: JsonPropertyName("limit"), JsonConverter(typeof(KnownNumber))] double Limit,
    [property: JsonPropertyName("reason")] string Reason,
    [property: JsonPropertyName("message")] string Message,
    [property: JsonPropertyName("critical")] bool Counts = true)
{
    /// <summary>How probable what was seen would be if the candidate were as live; NaN where no test was possible.</summary>
    [JsonPropertyName("pValue"), JsonConverter(typeof(KnownNumber))]
    public double PValue { get; init; } = double.NaN;

    /// <summary>Rank-biserial correlation of the intervals with live's, −1 to 1; NaN where no test was possible.</summary>
    [JsonPropertyName("effect"), JsonConverter(typeof(KnownNumber))]
    public double Effect { get; init; } = double.NaN;

    /// <summary>How many intervals it rests on.</summary>
    [JsonPropertyName("intervals")]
    public int Intervals { get; init; }

    /// <summary>What was asked: PromQL, or the page and the metric on it.</summary>
    [JsonPropertyName("query")]
    public string Query { get; init; } = string.Empty;

    /// <summary>What the answer came to, cut to 2,000 characters.</summary>
    [JsonPropertyName("raw")]
    public string Raw { get; init; } = string.Empty;

    /// <summary>The end of the first interval beyond the allowed; null where none was.</summary>
    [JsonPropertyName("firstBad")]
    public DateTimeOffset? FirstBad { get; init; }
}

/// <summary>Numbers that may be unknown: NaN and infinity are null in JSON, which has neither.</summary>
public sealed class KnownNumber : JsonConverter<double>
{
    public override bool HandleNull => true;

    public override double Read(ref System.Text.Json.Utf8JsonReader reader, Type typeToConvert, System.Text.Json.JsonSerializerOptions options) =>
        reader.TokenType == System.Text.Json.JsonTokenType.Number ? reader.GetDouble() : double.NaN;

    public override void Write(System.Text.Json.Utf8JsonWriter writer, double value, System.Text.Json.JsonSerializerOptions options)
    {
        if (double.IsFinite(value))
        {
            writer.WriteNumberValue(value);
        }
        else
        {
            writer.WriteNullValue();
        }
    }
}

/// <summary>Which way a metric gets worse.</summary>
public enum Worse
{
    Higher,
    Lower,
}

/// <summary>How one metric is judged.</summary>
/// <param name="Worse">The direction that counts against the candidate; the other one never does.</param>
/// <param name="Critical">Whether it decides; one that does not is shown as an early warning.</param>
/// <param name="MustHaveData">Whether too little data is inconclusive; else it is passed over.</param>
/// <param name="NeedsTrading">Whether the freeze silences it, so that it is judged only when the candidate trades.</param>
public sealed record MetricRule(string Metric, Worse Worse, bool Critical, bool MustHaveData, bool NeedsTrading = false);

/// <summary>What "steady" means in numbers.</summary>
public sealed record JudgeThresholds
{
    /// <summary>Every metric that is looked at.</summary>
    public IReadOnlyList<MetricRule> Rules { get; init; } =
    [
        new("requests", Worse.Lower, Critical: true, MustHaveData: true),
        new("error ratio", Worse.Higher, Critical: true, MustHaveData: true),
        new("p95", Worse.Higher, Critical: true, MustHaveData: true),
        new("p99", Worse.Higher, Critical: false, MustHaveData: false),
        new("orders", Worse.Lower, Critical: true, MustHaveData: true, NeedsTrading: true),
    ];

    /// <summary>
    /// For the short watch after trading is back: the services were proven steady before, so there too little of them is passed over; but orders
    /// must be seen.
    /// </summary>
    public JudgeThresholds WhileTrading() => this with
    {
        Trading = true,
        Rules = [.. Rules.Select(r => r with { MustHaveData = r.NeedsTrading })],
    };

    /// <summary>Whether the candidate trades: in the freeze no order is no fault.</summary>
    public bool Trading { get; init; }

    /// <summary>The platform's SLOs for the 95th percentile (its docs/slo.md, platform contract section 9). These services must be
    /// seen.</summary>
    public IReadOnlyDictionary<string, TimeSpan> LatencyP95 { get; init; } = new Dictionary<string, TimeSpan>
    {
        ["policy-service"] = TimeSpan.FromMilliseconds(200),
        ["risk-service"] = TimeSpan.FromMilliseconds(200),
        ["oms-service"] = TimeSpan.FromMilliseconds(500),
    };

    /// <summary>The platform's early warnings for the 99th percentile (section 9); they decide nothing.</summary>
    public IReadOnlyDictionary<string, TimeSpan> LatencyP99 { get; init; } = new Dictionary<string, TimeSpan>
    {
        ["oms-service"] = TimeSpan.FromMilliseconds(150),
    };

    /// <summary>The share of answers with status 5xx that no service may exceed.</summary>
    public double ErrorRatio { get; init; } = 0.01;

    /// <summary>By how much the share of errors may exceed live's, absolute (0 to 1).</summary>
    public double ErrorRatioMargin { get; init; } = 0.005;

    /// <summary>A p95 is worse than live's when it exceeds it by this factor and by <see cref="LatencyMargin"/>.</summary>
    public double LatencyFactor { get; init; } = 1.5;

    /// <summary>Keeps a jump from 2 to 4 ms from being a regression: buckets are coarser than that.</summary>
    public TimeSpan LatencyMargin { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>The share of live's orders a second below which trading has fallen (0 to 1).</summary>
    public double OrdersShare { get; init; } = 0.5;

    /// <summary>Below so many requests nothing is said about a service.</summary>
    public int MinimumRequests { get; init; } = 20;

    /// <summary>Below so many errors a share that is too high may be chance: inconclusive.</summary>
    public int MinimumErrors { get; init; } = 3;

    /// <summary>The share of a service's scrapes that may fail.</summary>
    public double MaximumGaps { get; init; } = 0.25;

    /// <summary>
    /// The chance at which one test may be wrong about a candidate that is as live. It is small because a watch makes thousands of tests: every
    /// service, every metric, after every interval.
    /// </summary>
    public double Significance { get; init; } = 1e-4;

    /// <summary>The same for what is rare on both sides, as errors compared with live's: there a handful decides.</summary>
    public double RareSignificance { get; init; } = 1e-5;

    /// <summary>The rank-biserial correlation from which a difference counts; 0.474 is what the literature on Cliff's delta calls large.</summary>
    public double Effect { get; init; } = 0.474;

    /// <summary>A time in which a spike must show, however long the watch is; the whole watch is judged as well.</summary>
    public TimeSpan Window { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Below so many requests an interval has no p95 worth the name; neighbours are joined.</summary>
    public int RequestsForAQuantile { get; init; } = 20;
}
