using Rollout.Playbook;

namespace Rollout.Reporting.Page;

/// <summary>Latency and errors of both slots around the flip, from the watches that kept their samples.</summary>
internal static class FlipSection
{
    // More lines than these say nothing to an eye; the table below the plots has every service.
    private const int MostLines = 8;
    private const int MostServices = 250;
    private const int WorstServices = 5;

    public static IReadOnlyList<PlotMark> Marks(ReportStory story) =>
    [
        .. story.Moves.Where(m => m.Before.Count > 0).Select(m => new PlotMark(m.At, m.Step == nameof(FlipDns) ? "DNS flip" : "DNS back")),
    ];

    public static Html Of(ReportSource source, ReportStory story)
    {
        var watches = source.Watches.Where(w => w.Points > 0).ToList();
        var missing = Missing(source, story).Select(m => Html.Of($"""<p class="missing">{m}</p>""")).ToList();
        if (watches.Count == 0)
        {
            return Html.Of($"{missing}");
        }

        var periods = watches.SelectMany(w => w.Services.Values).Where(s => s.Count > 0).Select(s => (s[0].At, s[^1].At)).ToList();
        var (freezes, marks, end) = (story.Freezes, Marks(story), source.Entries.Select(e => e.Time).DefaultIfEmpty(periods[0].Item1).Max());
        var axis = new TimeAxis([.. periods, .. freezes.Select(f => (f.From, f.To ?? end)), .. marks.Select(m => (m.At, m.At))]);
        return Html.Of($"""
            <p>{watches.Select(w => Html.Of($"""<span class="note">{Described(w, story)}</span><br/>"""))}</p>
            {missing}
            {Draw("Latency, p95", axis, watches, story, freezes, marks, p => p.P95, v => Words.Seconds(v))}
            {Draw("Errors, share of requests", axis, watches, story, freezes, marks, Ratio, v => Words.Percent(v))}
            <p class="note">Thick lines are the whole stack, weighted by requests; thin ones are the services that are worst. Where a line has more than {Plot.MostPoints} samples, the worst of each few is drawn.</p>
            {Services(axis, watches, story)}
            """);
    }

    private static IEnumerable<string> Missing(ReportSource source, ReportStory story)
    {
        foreach (var step in new[] { nameof(FreezeWrites), nameof(MonitorTraffic) }.Where(s => !source.Watches.Any(w => w.Step == s && w.Points > 0)))
        {
            var what = step == nameof(FreezeWrites) ? $"{story.Live} before the flip" : $"{story.Candidate} after the flip";
            var broken = source.Watches.FirstOrDefault(w => w.Step == step);
            yield return broken is not null ? $"{what}: no samples can be drawn; evidence/{broken.Path}: {broken.Broken ?? "it has none"}."
                : story.Steps.Any(s => s.Name == step) ? $"{what}: no samples were kept by {ReportStory.Named(step)}."
                : $"{what}: no samples were kept, {ReportStory.Named(step)} was not reached.";
        }
    }

    private static string Described(WatchFile watch, ReportStory story)
    {
        var samples = watch.Services.Values.Max(s => s.Count);
        return $"{ReportStory.Named(watch.Step)}: {NameOf(watch, story)}, {Words.Plural(watch.Services.Count, "service")}, up to {Words.Plural(samples, "interval")}"
            + (watch.IntervalSeconds is { } seconds ? $" of {Words.Number(seconds, "s")}" : string.Empty)
            + (watch.Source.Length > 0 ? $", by {Words.Cut(watch.Source, 40)}" : string.Empty)
            + (watch.Problems.Count > 0 ? $"; in doubt: {Words.Cut(string.Join("; ", watch.Problems), 400)}" : string.Empty);
    }

    private static string SlotOf(WatchFile watch, ReportStory story) => watch.Slot is "blue" or "green" ? watch.Slot : watch.IsBaseline ? story.Live : story.Candidate;

    private static string NameOf(WatchFile watch, ReportStory story) => $"{(watch.IsBaseline ? "live" : "candidate")} ({SlotOf(watch, story)})";

    private static Html Draw(
        string title, TimeAxis axis, List<WatchFile> watches, ReportStory story, IReadOnlyList<Freeze> freezes, IReadOnlyList<PlotMark> marks, Func<WatchPoint, double?> of, Func<double, string> format)
    {
        var main = watches.GroupBy(w => w.IsBaseline)
            .Select(g => new PlotLine(
                NameOf(g.First(), story),
                $"{Words.Colour(SlotOf(g.First(), story), g.Key)} main{(g.Key ? " dashed" : string.Empty)}",
                [.. g.SelectMany(w => Whole(w, of)).OrderBy(p => p.At)])).ToList();
        var single = watches.SelectMany(w => w.Services.Select(s => (Watch: w, Name: s.Key, Points: s.Value, Worst: s.Value.Max(of) ?? 0)).Where(s => s.Worst > 0).OrderByDescending(s => s.Worst).Take(MostLines))
            .Select(s => new PlotLine($"{Words.Cut(s.Name, 80)} of {NameOf(s.Watch, story)}", $"{Words.Colour(SlotOf(s.Watch, story), s.Watch.IsBaseline)} faint", [.. s.Points.Select(p => (p.At, of(p)))]) { IsNamed = false }).ToList();
        var known = single.SelectMany(l => l.Points).Select(p => p.Value).OfType<double>().Order().ToList();
        var highest = main.SelectMany(l => l.Points).Max(p => p.Value) ?? 0;
        var top = Math.Max(highest * 1.1, known.Count > 0 ? Math.Min(known[(int)(0.98 * (known.Count - 1))], highest * 6) : 0);
        var unknown = main.Where(l => l.Points.All(p => p.Value is null)).ToList();
        var missing = Html.Join(unknown.Select(l => Html.Of($"""<p class="missing">{title}: no sample of {l.Name} has it.</p>""")));
        if (unknown.Count == main.Count)
        {
            return missing;
        }

        var seen = string.Join("; ", main.Select(l => $"{l.Name}: {Words.Plural(l.Points.Count(p => p.Value is not null), "interval")}, at the most {(l.Points.Max(p => p.Value) is { } most ? format(most) : "unknown")}"));
        return Html.Of($"{Plot.Draw(title, $"{seen}.", axis, [.. single, .. main], freezes, marks, top > 0 ? top : 0.01, format)}{missing}");
    }

    private static IEnumerable<(DateTimeOffset At, double? Value)> Whole(WatchFile watch, Func<WatchPoint, double?> of) =>
        watch.Services.Values.SelectMany(s => s).GroupBy(p => p.At).OrderBy(g => g.Key).Select(g =>
        {
            var known = g.Select(p => (Value: of(p), Weight: p.Requests ?? 1)).Where(p => p.Value is not null).ToList();
            var weight = known.Sum(p => p.Weight);
            return (g.Key, known.Count == 0 ? (double?)null : weight > 0 ? known.Sum(p => p.Value * p.Weight) / weight : known.Average(p => p.Value));
        });

    private static double? Ratio(WatchPoint point) => point is { Requests: > 0 and var requests, Errors: >= 0 and var errors } ? Math.Min(1, errors / requests) : null;

    private static Html Services(TimeAxis axis, List<WatchFile> watches, ReportStory story)
    {
        var rows = watches.SelectMany(w => w.Services.Keys).Distinct(StringComparer.Ordinal).Select(name => new
        {
            Name = name,
            Live = Sum(watches.Where(w => w.IsBaseline), name),
            Candidate = Sum(watches.Where(w => !w.IsBaseline), name),
            Latency = Lines(watches, name, story, p => p.P95),
            Errors = Lines(watches, name, story, Ratio),
        }).OrderByDescending(s => s.Candidate.Errors ?? 0).ThenBy(s => s.Candidate.Requests is not null || s.Live.Requests is null).ThenByDescending(s => s.Candidate.P95 / s.Live.P95 ?? 0).ThenBy(s => s.Name, StringComparer.Ordinal).ToList();
        string[] columns = ["Service", "Requests", "Errors", "p95, median", "p95 over time", "Errors over time"];
        var drawn = rows.Take(MostServices).Select(s => (IReadOnlyList<Html>)
        [
            PageTable.Text(Words.Cut(s.Name, 120)),
            PageTable.Text($"{Count(s.Live.Requests)} → {Count(s.Candidate.Requests)}"),
            PageTable.Text($"{Words.Percent(s.Live.Errors)} → {Words.Percent(s.Candidate.Errors)}"),
            PageTable.Text($"{Words.Seconds(s.Live.P95)} → {Words.Seconds(s.Candidate.P95)}"),
            Plot.Spark($"p95 of {Words.Cut(s.Name, 80)}", axis, s.Latency, Top(s.Latency)),
            Plot.Spark($"errors of {Words.Cut(s.Name, 80)}", axis, s.Errors, Math.Max(0.02, Top(s.Errors))),
        ]).ToList();
        var rest = rows.Count - MostServices;
        return Html.Of($"""
            {PageTable.Of($"The services that are worst, each as {story.Live} (live) before the flip → as {story.Candidate} (candidate) after it", columns, drawn.Take(WorstServices))}
            {(drawn.Count > WorstServices ? Html.Of($"""<details><summary>{Words.Plural(drawn.Count - WorstServices, "other service")}</summary>{PageTable.Of("Worse ones first", columns, drawn.Skip(WorstServices))}</details>""") : Html.Empty)}
            {(rest > 0 ? Html.Of($"""<p class="note">{Words.Plural(rest, "more service")}, none of them worse, {(rest == 1 ? "is" : "are")} in the files of evidence.</p>""") : Html.Empty)}
            """);
    }

    private static string Count(double? number) => number is { } known ? Words.Number(known) : "none";

    private static double Top(IReadOnlyList<PlotLine> lines) => lines.SelectMany(l => l.Points).Max(p => p.Value) is { } top and > 0 ? top * 1.1 : 1;

    private static List<PlotLine> Lines(List<WatchFile> watches, string name, ReportStory story, Func<WatchPoint, double?> of) =>
        [.. watches.Where(w => w.Services.ContainsKey(name)).Select(w => new PlotLine(name, Words.Colour(SlotOf(w, story), w.IsBaseline), [.. w.Services[name].Select(p => (p.At, of(p)))]))];

    private static (double? Requests, double? Errors, double? P95) Sum(IEnumerable<WatchFile> watches, string name)
    {
        var points = watches.SelectMany(w => w.Services.GetValueOrDefault(name) ?? []).ToList();
        var requests = points.Any(p => p.Requests is not null) ? points.Sum(p => p.Requests ?? 0) : (double?)null;
        var latencies = points.Select(p => p.P95).OfType<double>().Order().ToList();
        return (requests, requests > 0 && points.Any(p => p.Errors is not null) ? points.Sum(p => p.Errors ?? 0) / requests : null, latencies.Count > 0 ? latencies[latencies.Count / 2] : null);
    }
}
