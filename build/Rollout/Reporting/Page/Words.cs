using System.Globalization;
using Rollout.Monitoring;

namespace Rollout.Reporting.Page;

/// <summary>Numbers, times and outcomes as the page says them.</summary>
internal static class Words
{
    public static string Span(TimeSpan span) =>
        span < TimeSpan.FromSeconds(1) ? string.Create(CultureInfo.InvariantCulture, $"{Math.Max(0, span.TotalMilliseconds):0} ms")
        : span < TimeSpan.FromMinutes(1) ? string.Create(CultureInfo.InvariantCulture, $"{span.TotalSeconds:0.0} s")
        : span < TimeSpan.FromHours(48) ? Waiting.Words(span)
        : string.Create(CultureInfo.InvariantCulture, $"{span.Days} d {span.Hours} h");

    public static string Seconds(double? seconds) => seconds is { } known ? known < 1 ? string.Create(CultureInfo.InvariantCulture, $"{Math.Max(0, known) * 1000:0.#} ms") : Span(TimeSpan.FromSeconds(Math.Min(known, 1e9))) : "unknown";

    public static string Percent(double? ratio) => ratio is { } known ? Number(known * 100, "%") : "unknown";

    public static string Number(double value, string? unit = null) =>
        value.ToString(Math.Abs(value) switch { 0 => "0", < 0.01 => "0.####", < 1 => "0.###", < 100 => "0.##", < 1e9 => "#,0", _ => "0.##e0" }, CultureInfo.InvariantCulture) + (unit is null ? string.Empty : $" {unit}");

    public static string Moment(DateTimeOffset at) => at.UtcDateTime.ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture);

    public static string Clock(DateTimeOffset at) => at.UtcDateTime.ToString("HH:mm:ss.f", CultureInfo.InvariantCulture);

    /// <summary>Both ends, the day of the second only where it is another one.</summary>
    public static string Period(DateTimeOffset from, DateTimeOffset to) =>
        $"{Moment(from)} to {(from.UtcDateTime.Date == to.UtcDateTime.Date ? to.UtcDateTime.ToString("HH:mm:ss", CultureInfo.InvariantCulture) : Moment(to))} UTC";

    public static string Cut(string text, int longest) => text.Length <= longest ? text : $"{text[..longest]} …";

    public static string Plural(int count, string one, string? many = null) => string.Create(CultureInfo.InvariantCulture, $"{count:#,0} {(count == 1 ? one : many ?? one + "s")}");

    /// <summary>A value of a judged metric in its unit.</summary>
    public static string Value(string metric, double? value) =>
        value is null ? "unknown"
        : metric.Contains("ratio", StringComparison.OrdinalIgnoreCase) ? Percent(value)
        : metric.StartsWith('p') && metric.Skip(1).All(char.IsAsciiDigit) ? Seconds(value)
        : Number(value.Value);

    /// <summary>A sign and a class for an outcome, since colour alone tells some people nothing.</summary>
    public static Html Badge(string outcome)
    {
        var (sign, kind) = outcome switch
        {
            "done" or nameof(Verdict.Successful) or ReportedFile.AsWritten => ("✓", "good"),
            "failed" or nameof(Verdict.Failed) or ReportedFile.Changed => ("✗", "bad"),
            "undone" => ("↩", "doubt"),
            "skipped" => ("–", "doubt"),
            nameof(Verdict.Inconclusive) => ("?", "doubt"),
            // Of unknown length, so it may break.
            _ => ("!", "doubt strange"),
        };
        return Html.Of($"""<span class="badge {kind}"><span aria-hidden="true">{sign}</span> {(outcome.Length == 0 ? "no verdict" : Cut(outcome, 24))}</span>""");
    }

    /// <summary>How a slot's lines look.</summary>
    public static string Colour(string slot, bool isLive) => slot is "blue" or "green" ? slot : isLive ? "blue" : "green";
}
