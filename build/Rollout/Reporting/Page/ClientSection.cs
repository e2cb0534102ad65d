namespace Rollout.Reporting.Page;

/// <summary>The rollout second by second, as a client saw it.</summary>
internal static class ClientSection
{
    private const int MostTroubles = 100;
    private const int Columns = 400;
    private const int StripHeight = 20;

    public static Html Of(ReportSource source, ReportStory story)
    {
        if (source.Client is not { Seconds: { Count: > 0 } seconds })
        {
            return Html.Of($"""<p class="missing">{(source.Client is null ? "No client was there: only a rehearsal brings one" : $"{ClientSeconds.Name} has no second in it")}, so how clients saw it is not known.</p>""");
        }

        var axis = new TimeAxis([(seconds[0].At, seconds[^1].At.AddSeconds(1))]);
        var freezes = story.Freezes.Where(f => f.From <= axis.To && (f.To ?? axis.To) >= axis.From).ToList();
        var marks = FlipSection.Marks(story).Where(m => m.At >= axis.From && m.At <= axis.To).ToList();
        var slots = seconds[0].BySlot.Keys.ToList();
        var answered = slots.Select(slot => new PlotLine($"answered by {slot}", $"{Words.Colour(slot, slot == story.Live)} main{(slot == story.Live ? " dashed" : string.Empty)}", [.. seconds.Select(s => (s.At, (double?)s.BySlot.GetValueOrDefault(slot)))])).ToList();
        List<PlotLine> latency =
        [
            new("longest", "soft dotted", [.. seconds.Select(s => (s.At, s.Longest))]),
            new("p95", "plain main", [.. seconds.Select(s => (s.At, s.P95))]),
            new("p50", "plain dashed", [.. seconds.Select(s => (s.At, s.P50))]),
        ];
        return Html.Of($"""
            {Plot.Draw("Requests a second", $"Answers by slot, {Words.Plural(seconds.Count, "second")}.", axis, answered, freezes, marks, answered.SelectMany(l => l.Points).Max(p => p.Value) ?? 1, v => Words.Number(v))}
            {Plot.Draw("Latency a client saw", "p50, p95 and the longest of each second, from when the client wanted to send.", axis, latency, freezes, marks, Math.Min(latency[0].Points.Max(p => p.Value) ?? 1, 6 * (latency[1].Points.Max(p => p.Value) ?? 1)), v => Words.Number(v, "ms"))}
            <h3>Orders, and reads that failed</h3>
            <div class="strip">{Plot.Marks(axis, freezes, marks)}
            {Strip("orders accepted", "good", axis, freezes, seconds, s => s.Accepted)}{Strip("orders fenced", "frozen", axis, freezes, seconds, s => s.Fenced)}{Strip("orders refused", "bad", axis, freezes, seconds, s => s.Refused)}{Strip("reads failed", "bad", axis, freezes, seconds, s => s.ReadsFailed)}
            {Plot.Ticks(axis)}</div>
            {Troubles(seconds)}
            """);
    }

    private static Html Strip(string name, string kind, TimeAxis axis, List<Freeze> freezes, IReadOnlyList<ClientSecond> seconds, Func<ClientSecond, double> of)
    {
        var ticks = seconds.Where(s => of(s) > 0).Select(s => (int)(axis.X(s.At) * Columns / TimeAxis.Width)).Distinct()
            .Select(c => $"M{(c * TimeAxis.Width / Columns) + 1} 4V16");
        var total = seconds.Sum(of);
        return Html.Of($"""
            <span>{name}: <b>{Words.Number(total)}</b></span><svg role="img" viewBox="0 0 {TimeAxis.Width} {StripHeight}" preserveAspectRatio="none"><title>{name}: {Words.Number(total)}</title>{Plot.Bands(axis, freezes, [], StripHeight)}<path class="lane" d="M0 10H{TimeAxis.Width}"/><path class="tick {kind}" d="{string.Concat(ticks)}"/></svg>

            """);
    }

    private static Html Troubles(IReadOnlyList<ClientSecond> seconds)
    {
        var bad = seconds.Where(s => s.ReadsFailed + s.Refused > 0 || s.Failures.Length > 0).ToList();
        return bad.Count == 0
            ? Html.Of($"""<p class="note">No read failed and no order was refused. Each second is in <a href="{ClientSeconds.Name}">{ClientSeconds.Name}</a>.</p>""")
            : Html.Of($"""
                {PageTable.Of(
                    $"Seconds in which something failed{(bad.Count > MostTroubles ? $": the first {MostTroubles} of {bad.Count}" : string.Empty)}",
                    ["Second (UTC)", "Reads failed", "Orders refused", "What"],
                    bad.Take(MostTroubles).Select(s => (IReadOnlyList<Html>)[PageTable.Text(Words.Moment(s.At)), PageTable.Text(Words.Number(s.ReadsFailed)), PageTable.Text(Words.Number(s.Refused)), PageTable.Text(Words.Cut(s.Failures, 400))]))}
                <p class="note">Each second is in <a href="{ClientSeconds.Name}">{ClientSeconds.Name}</a>.</p>
                """);
    }
}
