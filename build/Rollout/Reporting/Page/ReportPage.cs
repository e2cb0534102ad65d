using System.Text;
using Rollout.Monitoring;
using Rollout.Playbook;

namespace Rollout.Reporting.Page;

/// <summary>
/// <c>report.html</c> in the release's folder: one page, without script and without anything that a network would have to bring, which shows what happened.
/// Drawn from the journal and from what lies beside it; what is missing or broken there is named on the page.
/// </summary>
public static class ReportPage
{
    public const string Name = "report.html";

    private const string Policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

    /// <summary>Writes the page, over the one of an earlier run.</summary>
    /// <returns>Its path.</returns>
    /// <exception cref="IOException">The folder cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder cannot be written.</exception>
    public static string Write(ReportFacts facts)
    {
        ArgumentNullException.ThrowIfNull(facts);
        var path = Path.Combine(facts.Folder, Name);
        var part = $"{path}.{Guid.NewGuid():N}.part";
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
        {
            // As the evidence that it shows.
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        Directory.CreateDirectory(facts.Folder);
        try
        {
            using (var stream = new FileStream(part, options))
            {
                stream.Write(Encoding.UTF8.GetBytes(Render(ReportSource.Read(facts))));
            }

            File.Move(part, path, overwrite: true);
        }
        finally
        {
            File.Delete(part);
        }

        return path;
    }

    /// <summary>The page's text.</summary>
    internal static string Render(ReportSource source)
    {
        var story = new ReportStory(source);
        var (sign, kind, colour) = story.State switch
        {
            ReportState.Done => ("✓", "done", "14733d"),
            ReportState.RolledBack => ("↩", "back", "855000"),
            ReportState.Held => ("■", "held", "b3261e"),
            ReportState.Failed => ("✗", "failed", "b3261e"),
            _ => ("…", "open", "855000"),
        };
        (string Id, string Title, Func<Html> Draw)[] sections =
        [
            ("timeline", "Timeline", () => TimelineSection.Of(source, story)),
            ("flip", "Around the flip", () => FlipSection.Of(source, story)),
            ("clients", "What clients saw", () => ClientSection.Of(source, story)),
            ("verdict", "Verdicts", () => VerdictSection.Of(source, story)),
            ("dns", "DNS before and after", () => RecordSections.Dns(source, story)),
            ("skipped", "Skipped, and why", () => RecordSections.Skipped(source, story)),
            ("evidence", "Evidence", () => RecordSections.Evidence(source)),
            ("journal", "Journal", () => RecordSections.Journal(source)),
        ];
        return Html.Of($"""
            <!DOCTYPE html>
            <html lang="en"><head><meta charset="utf-8"/><meta http-equiv="Content-Security-Policy" content="{Policy}"/>
            <meta name="viewport" content="width=device-width, initial-scale=1"/><meta name="color-scheme" content="light dark"/><meta name="referrer" content="no-referrer"/>
            <title>{Words.Cut(story.Headline, 200)} · {source.Release} · {source.Environment}</title>
            <link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E%3Ccircle cx='4' cy='4' r='4' fill='%23{colour}'/%3E%3C/svg%3E"/>
            <style>
            {PageStyle.Css}</style></head><body>
            <header class="top"><div class="hero {kind}">
            <p class="over">Aether Rollout · <b>{source.Release}</b> · {source.Environment}</p>
            <h1><span class="sign" aria-hidden="true">{sign}</span> {Words.Cut(story.Headline, 200)}</h1>
            {Drawn("The summary", () => Summary(source, story))}
            </div>
            <nav aria-label="Sections">{sections.Select(s => Html.Of($"""<a href="#{s.Id}">{s.Title}</a>"""))}</nav></header>
            <main>
            {sections.Select(s => Html.Of($"""
                <section id="{s.Id}" aria-labelledby="{s.Id}-title"><h2 id="{s.Id}-title">{s.Title}</h2>
                {Drawn(s.Title, s.Draw)}</section>

                """))}
            </main>
            <footer><p>Written {Words.Moment(source.Now)} UTC from the release's journal and the files beside it. All times are UTC. This page is a view, not evidence: the journal and the files named above are.</p></footer>
            </body></html>

            """).ToString();
    }

    // Whatever is broken in the data of one part, the other parts are still worth reading.
    private static Html Drawn(string what, Func<Html> draw)
    {
        try
        {
            return draw();
        }
        catch (Exception exception) when (exception is not OutOfMemoryException)
        {
            return Html.Of($"""<p class="missing">{what}: the data cannot be drawn ({exception.Message}).</p>""");
        }
    }

    private static Html Summary(ReportSource source, ReportStory story)
    {
        var open = story.Freezes.FirstOrDefault(f => f.To is null);
        var why = story.State is ReportState.Done ? null : story.Failure;
        return Html.Of($"""
            {(open is null ? Html.Empty : Html.Of($"""<p class="alarm" role="alert">NO SLOT TRADES since {Words.Moment(open.From)} UTC, for {Words.Span(source.Now - open.From)} when this page was written.</p>"""))}
            {(why is null ? Html.Empty : Html.Of($"""<p class="why"><b>{ReportStory.Named(why.Step)}</b> at {Words.Clock(why.Time)} UTC: {Words.Cut(why.Data.Text("message") ?? "failed without a message", 900)}</p>"""))}
            {(story.Next is { } next ? Html.Of($"""<p class="next">Next: <code>{next}</code></p>""") : Html.Empty)}
            <dl class="tiles">{Tiles(source, story).Select(t => Html.Of($"<div><dt>{t.Name}</dt><dd>{t.Value}<small>{t.More}</small></dd></div>"))}</dl>
            """);
    }

    private static IEnumerable<(string Name, Html Value, string More)> Tiles(ReportSource source, ReportStory story)
    {
        if (source.Entries.Count == 0)
        {
            yield break;
        }

        var (from, to) = (source.Entries.Min(e => e.Time), source.Entries.Max(e => e.Time));
        var runs = source.Entries.Select(e => e.Run).Distinct().Count();
        yield return ("From, to", Html.Of($"{Words.Span(to - from)}"), $"{Words.Period(from, to)}, in {Words.Plural(runs, "run")}");

        var closed = story.Freezes.Where(f => f.To is not null).ToList();
        yield return (
            "Trading was frozen",
            Html.Of($"{(story.Freezes.Count == 0 ? "never" : story.Freezes.Any(f => f.To is null) ? "and still is" : $"{Words.Span(TimeSpan.FromTicks(closed.Sum(f => (f.To!.Value - f.From).Ticks)))}")}"),
            story.Freezes.Count == 0 ? "no slot was fenced" : string.Join("; ", story.Freezes.Select(f => f.To is { } end ? $"{Words.Clock(f.From)} to {Words.Clock(end)}, then {f.Trades ?? "a slot"} traded" : $"since {Words.Clock(f.From)}")));

        var last = story.Moves.Count > 0 ? story.Moves[^1] : null;
        yield return (
            "Clients go to",
            Html.Of($"{(last is null ? story.Live : last.End?.Event switch { Journal.JournalEvent.Done => last.Step == nameof(FlipDns) ? story.Candidate : story.Live, Journal.JournalEvent.Failed => last.Step == nameof(FlipDns) ? story.Live : "unknown", _ => "unknown" })}"),
            last is null ? $"{Words.Plural(story.Hosts.Count, "host")}, never moved" : $"{Words.Plural(story.Hosts.Count, "host")}; {string.Join(", ", story.Moves.Select(m => $"{(m.Step == nameof(FlipDns) ? "flipped" : "restored")} {Words.Clock(m.At)}"))}");

        var judged = source.Watches.LastOrDefault(w => w.Verdict is not null);
        var told = source.Entries.LastOrDefault(e => e.Data.Text("verdict") is not null);
        var verdict = judged?.Verdict!.Verdict ?? told?.Data.Text("verdict") ?? VerdictSection.In(story.Failure);
        yield return ("Verdict", verdict is null ? Html.Of($"none") : Words.Badge(verdict), judged is not null ? Words.Cut(judged.Verdict!.Message, 160) : told is not null ? told.Data.Text("reason") ?? string.Empty : verdict is null ? "nothing was judged" : "the watch kept no samples");

        if (source.Client is { Seconds: { Count: > 0 } seconds })
        {
            var failed = seconds.Sum(s => s.ReadsFailed);
            yield return (
                "A client saw",
                Html.Of($"""<span class="{(failed > 0 ? "bad" : "plain")}">{Words.Number(failed)} of {Words.Number(seconds.Sum(s => s.Reads))} reads failed</span>"""),
                $"orders: {Words.Number(seconds.Sum(s => s.Accepted))} accepted, {Words.Number(seconds.Sum(s => s.Fenced))} fenced, {Words.Number(seconds.Sum(s => s.Refused))} refused");
        }

        yield return ("Who", Html.Of($"{Words.Cut(source.Entries[^1].Actor, 60)}"), $"live at the beginning: {story.Live}; candidate: {story.Candidate}");
    }
}
