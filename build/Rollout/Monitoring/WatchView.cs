using System.Globalization;

namespace Rollout.Monitoring;

/// <summary>One service in the live view of a watch.</summary>
/// <param name="Verdict">The worst of its metrics; null where nothing can be said yet.</param>
public sealed record WatchRow(string Service, Verdict? Verdict, string State, string Errors, string Latency, string Trend, int Intervals, string Allowed);

/// <summary>What a person sees of a watch under way or of a verdict: a row for each service, the worst first. Pure.</summary>
public static class WatchView
{
    private const string Bars = "▁▂▃▄▅▆▇█";
    private const int Widest = 24;

    /// <summary>The columns of <see cref="Cells"/>.</summary>
    public static readonly IReadOnlyList<string> Columns = ["service", "verdict", "errors (live)", "p95 (live)", "p95, each interval", "intervals", "fails above"];

    /// <summary>The rows, worst first, then by name.</summary>
    public static IReadOnlyList<WatchRow> Rows(WatchSamples samples, Judgement? judgement) =>
    [
        .. (judgement?.Metrics ?? []).GroupBy(m => m.Service)
            .Select(service => Row(service.Key, [.. service], samples))
            .OrderBy(row => Rank(row.Verdict)).ThenBy(row => row.Service, StringComparer.Ordinal),
    ];

    /// <summary>A row as cells of a table.</summary>
    public static IReadOnlyList<string> Cells(WatchRow row) =>
        [row.Service, row.State, row.Errors, row.Latency, row.Trend, row.Intervals.ToString(CultureInfo.InvariantCulture), row.Allowed];

    /// <summary>What would take the rollout back, for the person who watches.</summary>
    public static string WhatFails(JudgeThresholds slo) =>
        string.Create(
            CultureInfo.InvariantCulture,
            $"rolls back when errors exceed {slo.ErrorRatio:P1} or live's by {slo.ErrorRatioMargin:P1}, or p95 its limit or live's {slo.LatencyFactor:0.##} times and {slo.LatencyMargin.TotalMilliseconds:0} ms, and chance is no explanation")
        + (slo.Trading ? string.Create(CultureInfo.InvariantCulture, $"; or when orders fall below {slo.OrdersShare:P0} of live's") : string.Empty);

    /// <summary>Values as a line of bars, the newest at the right; a blank where nothing is known.</summary>
    public static string Sparkline(IReadOnlyList<double?> values)
    {
        var shown = values.Skip(Math.Max(0, values.Count - Widest)).ToList();
        var highest = shown.OfType<double>().DefaultIfEmpty().Max();
        return string.Concat(shown.Select(v => v is not { } value ? ' ' : highest <= 0 ? Bars[0] : Bars[(int)Math.Round(Math.Clamp(value / highest, 0, 1) * (Bars.Length - 1))]));
    }

    private static WatchRow Row(string service, IReadOnlyList<MetricJudgement> metrics, WatchSamples samples)
    {
        var deciding = metrics.Where(m => m.Counts).ToList();
        var worst = deciding.MinBy(m => Rank(m.Verdict));
        var errors = metrics.FirstOrDefault(m => m.Metric == "error ratio");
        var latency = metrics.FirstOrDefault(m => m.Metric == "p95");
        return new WatchRow(
            service,
            worst?.Verdict,
            worst is null ? "quiet" : worst.Verdict == Verdict.Successful ? "steady" : $"{worst.Verdict} ({worst.Reason})",
            errors is null ? "" : $"{Percent(errors.Observed)} ({Percent(errors.Baseline)})",
            latency is null ? "" : $"{Milliseconds(latency.Observed)} ({Milliseconds(latency.Baseline)})",
            Sparkline([.. samples.Of(service).Select(i => i.P95)]),
            metrics.Max(m => m.Intervals),
            string.Join(", ", new[] { errors is null ? null : Percent(errors.Limit), latency is null || double.IsNaN(latency.Limit) ? null : Milliseconds(latency.Limit) }.OfType<string>()));
    }

    private static int Rank(Verdict? verdict) => verdict switch
    {
        Verdict.Failed => 0,
        Verdict.Inconclusive => 1,
        Verdict.Successful => 2,
        _ => 3,
    };

    private static string Percent(double ratio) => double.IsNaN(ratio) ? "?" : (ratio * 100).ToString("0.##", CultureInfo.InvariantCulture) + " %";

    private static string Milliseconds(double seconds) =>
        double.IsNaN(seconds) ? "?" : double.IsInfinity(seconds) ? "∞" : (seconds * 1000).ToString("0", CultureInfo.InvariantCulture) + " ms";
}
