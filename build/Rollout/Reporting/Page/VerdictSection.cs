using Rollout.Journal;
using Rollout.Monitoring;
using Rollout.Playbook;

namespace Rollout.Reporting.Page;

/// <summary>What was judged, from what: each metric with what was asked and what came back.</summary>
internal static class VerdictSection
{
    private const int MostMetrics = 400;
    private const int MostOpen = 12;

    private static readonly string[] Columns = ["Service", "Metric", "Verdict", "Observed", "Live before", "Limit", "Chance", "Why"];

    // All answers together; the worst metrics come first and get theirs whole.
    private const int MostRaw = 300_000;

    public static Html Of(ReportSource source, ReportStory story)
    {
        var judged = source.Watches.Where(w => w.Verdict is not null).ToList();
        var told = story.Steps.Where(s => s.Name is nameof(MonitorTraffic) or nameof(ReenableTrading) && judged.All(w => w.Step != s.Name))
            .Select(s => Told(s, source)).ToList();
        return judged.Count == 0 && told.Count == 0
            ? Html.Of($"""<p class="missing">Nothing was judged: {ReportStory.Named(nameof(MonitorTraffic))} was not reached.</p>""")
            : Html.Of($"{judged.Select(Judged)}{told}");
    }

    /// <summary>The verdict that a failed watch's message names; null where it names none.</summary>
    public static string? In(JournalEntry? failure) =>
        failure?.Data.Text("message") is { } message ? Enum.GetNames<Verdict>().FirstOrDefault(v => message.Contains($" ended {v} (", StringComparison.Ordinal)) : null;

    private static Html Judged(WatchFile watch)
    {
        var verdict = watch.Verdict!;
        var metrics = verdict.Metrics.OrderBy(m => Severity(m.Verdict)).ThenByDescending(m => m.Counts).ThenBy(m => m.Service, StringComparer.Ordinal).ThenBy(m => m.Metric, StringComparer.Ordinal).ToList();
        var room = MostRaw;
        var worse = Math.Min(MostMetrics, metrics.Count(m => m.Verdict != nameof(Verdict.Successful)));
        // Where much was not well, what is worst must not drown in what was merely too quiet to tell.
        var open = worse <= MostOpen ? worse : Math.Min(MostOpen, metrics.Count(m => Severity(m.Verdict) == Severity(metrics[0].Verdict)));
        var rows = metrics.Take(MostMetrics).Select(m => Row(m, ref room)).ToList();
        return Html.Of($"""
            <h3>{ReportStory.Named(watch.Step)}: {Words.Badge(verdict.Verdict)}</h3>
            <p>{verdict.Message} {(verdict.Reason.Length > 0 ? Html.Of($"<code>{Words.Cut(verdict.Reason, 80)}</code>") : Html.Empty)}</p>
            {(verdict.Compared.Length > 0 ? Html.Of($"""<p class="note">Compared: {verdict.Compared}</p>""") : Html.Empty)}
            {(verdict is { FirstBad: { } bad, Decided: { } decided } ? Html.Of($"<p>The first bad interval ended at {Words.Clock(bad)} UTC; it was decided {(decided > bad ? $"{Words.Span(decided - bad)} later" : "at once")}.</p>") : Html.Empty)}
            {(rows.Count == 0 ? Html.Of($"""<p class="missing">The verdict names no metric.</p>""") : Html.Empty)}
            {(open > 0 ? PageTable.Of("What was not well, the worst first", Columns, rows.Take(open)) : Html.Empty)}
            {(rows.Count > open ? Html.Of($"<details><summary>{Words.Plural(rows.Count - open, open < worse ? "other metric" : "metric")}{(open < worse ? $", {worse - open} of them not well" : " within the limits")}</summary>{PageTable.Of("Worse ones first", Columns, rows.Skip(open))}</details>") : Html.Empty)}
            {(metrics.Count > MostMetrics ? Html.Of($"""<p class="note">{metrics.Count - MostMetrics:#,0} more metrics, none of them worse, are in <a href="{RecordSections.Link(watch.Path)}">evidence/{watch.Path}</a>.</p>""") : Html.Empty)}
            """);
    }

    private static List<Html> Row(WatchMetric metric, ref int room)
    {
        var raw = Words.Cut(metric.Raw, Math.Max(0, Math.Min(2000, room)));
        room -= metric.Raw.Length + metric.Query.Length;
        var asked = metric.Query.Length + metric.Raw.Length == 0
            ? Html.Of($"""<span class="note">what was asked was not kept</span>""")
            : room < -MostRaw
                ? Html.Of($"""<span class="note">query and answer are in the file of evidence</span>""")
                : Html.Of($"<details><summary>query and answer</summary><pre>{Words.Cut(metric.Query, 1000)}</pre><pre>{(raw.Length == 0 ? "no answer was kept" : raw)}</pre></details>");
        return
        [
            PageTable.Text(Words.Cut(metric.Service, 120)),
            PageTable.Text(Words.Cut(metric.Metric, 60)),
            Html.Of($"{Words.Badge(metric.Verdict)}{(metric.Counts ? string.Empty : " (does not decide)")}"),
            PageTable.Text(Words.Value(metric.Metric, metric.Observed)),
            PageTable.Text(Words.Value(metric.Metric, metric.Baseline)),
            PageTable.Text(metric.Limit is null ? "none" : Words.Value(metric.Metric, metric.Limit)),
            PageTable.Text(metric.PValue is { } p ? $"p {(p < 0.0001 ? "< 0.0001" : Words.Number(p))}{(metric.Effect is { } effect ? $", effect {Words.Number(effect)}" : string.Empty)}{(metric.Intervals is { } n ? $", {Words.Number(n)} intervals" : string.Empty)}" : "not tested"),
            Html.Of($"{(metric.Message.Length > 0 ? Words.Cut(metric.Message, 500) : Words.Cut(metric.Reason, 100))} {asked}"),
        ];
    }

    private static int Severity(string verdict) => verdict switch
    {
        nameof(Verdict.Failed) => 0,
        nameof(Verdict.Inconclusive) => 1,
        nameof(Verdict.Successful) => 3,
        _ => 2,
    };

    // What the journal itself says, where the watch kept nothing else.
    private static Html Told(StepStory step, ReportSource source)
    {
        var data = step.Last.End?.Data;
        var verdict = data.Text("verdict") ?? In(step.Last.End);
        var message = source.Judgements.GetValueOrDefault(step.Name) ?? data.Text("message");
        if (step.Name == nameof(ReenableTrading) && verdict is null)
        {
            return Html.Empty;
        }

        return Html.Of($"""
            <h3>{step.Number} {step.Title}: {Words.Badge(verdict ?? "no verdict")}</h3>
            <p>{message ?? "It said nothing more."} {(data.Text("reason") is { } reason ? Html.Of($"<code>{Words.Cut(reason, 80)}</code>") : Html.Empty)}</p>
            <p class="missing">No samples were kept, so neither queries nor answers can be shown.</p>
            """);
    }
}
