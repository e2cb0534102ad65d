using System.Globalization;
using System.Text;

namespace Rollout.Reporting.Page;

/// <summary>A line of a plot.</summary>
/// <param name="Class">How it looks: a slot's colour and a style, as <c>green main</c>.</param>
/// <param name="Points">Oldest first; null where nothing is known, which breaks the line.</param>
internal sealed record PlotLine(string Name, string Class, IReadOnlyList<(DateTimeOffset At, double? Value)> Points)
{
    /// <summary>Whether the legend names it; the lines of single services name themselves.</summary>
    public bool IsNamed { get; init; } = true;
}

/// <summary>A moment that is marked in every plot.</summary>
internal sealed record PlotMark(DateTimeOffset At, string Label);

/// <summary>
/// Plots over a <see cref="TimeAxis"/>: only lines are SVG, which is stretched to whatever room there is; all text is HTML, so it can be read on a phone.
/// </summary>
internal static class Plot
{
    /// <summary>A line with more points is thinned; of the points that become one the worst stays.</summary>
    public const int MostPoints = 240;

    private const int Height = 1000;

    // Two labels closer than this are put in two rows.
    private const double LabelRoom = 240;

    public static Html Draw(
        string title, string description, TimeAxis axis, IReadOnlyList<PlotLine> lines, IReadOnlyList<Freeze> freezes, IReadOnlyList<PlotMark> marks, double top, Func<double, string> format)
    {
        var (steps, step) = Grid(top);
        top = steps * step;
        var above = lines.SelectMany(l => l.Points.Select(p => (l.Name, p.Value))).Where(p => p.Value > top).ToList();
        var note = above.Count == 0 ? Html.Empty : Html.Of($"""
            <p class="note">{above.Count} values are above this plot; the highest is {format(above.Max(p => p.Value!.Value))} of {above.MaxBy(p => p.Value).Name}.</p>
            """);
        return Html.Of($"""
            <figure class="plot"><figcaption>{title}<span class="legend">{lines.Where(l => l.IsNamed).Select(Legend)}</span></figcaption>
            {Marks(axis, freezes, marks)}
            <div class="field"><div class="ys">{Enumerable.Range(0, steps + 1).Select(i => Html.Of($"""<span style="bottom:{100.0 * i / steps:0.#}%">{format(i * step)}</span>"""))}</div>
            <svg role="img" viewBox="0 0 {TimeAxis.Width} {Height}" preserveAspectRatio="none"><title>{title}</title><desc>{description}</desc>
            {Bands(axis, freezes, marks, Height)}<path class="grid" d="{string.Concat(Enumerable.Range(0, steps + 1).Select(i => string.Create(CultureInfo.InvariantCulture, $"M0 {Height - (Height * i / steps)}H{TimeAxis.Width}")))}"/>
            {lines.Select(l => Html.Of($"""<path class="line {l.Class}" d="{Trace(axis, l.Points, top, MostPoints)}"><title>{l.Name}</title></path>"""))}
            </svg></div>{Ticks(axis)}{note}</figure>

            """);
    }

    /// <summary>A line for a table's cell.</summary>
    public static Html Spark(string title, TimeAxis axis, IReadOnlyList<PlotLine> lines, double top) => Html.Of($"""
        <svg class="spark" role="img" viewBox="0 0 {TimeAxis.Width} {Height}" preserveAspectRatio="none"><title>{title}</title>{lines.Select(l => Html.Of($"""<path class="line {l.Class}" d="{Trace(axis, l.Points, top, 48)}"/>"""))}</svg>
        """);

    /// <summary>What lies behind the lines: the freeze, cuts of the axis, and marked moments.</summary>
    public static Html Bands(TimeAxis axis, IReadOnlyList<Freeze> freezes, IReadOnlyList<PlotMark> marks, int height) => Html.Of(
        $"{freezes.Select(f => Html.Of($"""<rect class="freeze" x="{axis.X(f.From):0.#}" y="0" width="{Math.Max(1, axis.X(f.To ?? axis.To) - axis.X(f.From)):0.#}" height="{height}"/>"""))}{axis.Cuts.Select(c => Html.Of($"""<rect class="cut" x="{c.Left:0.#}" y="0" width="{c.Right - c.Left:0.#}" height="{height}"/>"""))}{marks.Select(m => Html.Of($"""<path class="moment" d="M{axis.X(m.At):0.#} 0V{height}"/>"""))}");

    /// <summary>The words for what <see cref="Bands"/> draws, in as many rows as they need.</summary>
    public static Html Marks(TimeAxis axis, IReadOnlyList<Freeze> freezes, IReadOnlyList<PlotMark> marks)
    {
        var rows = new List<double>();
        var words = new List<Html>();
        var labels = marks.Select(m => (X: axis.X(m.At), m.Label, Class: "moment"))
            .Concat(freezes.Select(f => (X: (axis.X(f.From) + axis.X(f.To ?? axis.To)) / 2, Label: f.To is { } to ? $"frozen {Words.Span(to - f.From)}" : "frozen, still", Class: "freeze")))
            .Concat(axis.Cuts.Select(c => (X: (c.Left + c.Right) / 2, Label: $"{Words.Span(c.Hidden)} left out", Class: "cut")));
        foreach (var (x, label, kind) in labels.OrderBy(l => TimeAxis.Centre(l.X, LabelRoom)))
        {
            var centre = TimeAxis.Centre(x, LabelRoom);
            var row = rows.FindIndex(last => centre - last >= LabelRoom);
            if (row < 0)
            {
                row = rows.Count;
                rows.Add(centre);
            }

            rows[row] = centre;
            words.Add(Html.Of($"""<span class="{kind} {TimeAxis.Side(x)}" style="left:{x / 10:0.#}%;top:{row * 1.3:0.#}em">{label}</span>"""));
        }

        return words.Count == 0 ? Html.Empty : Html.Of($"""<div class="marks" style="height:{rows.Count * 1.3:0.#}em">{words}</div>""");
    }

    public static Html Ticks(TimeAxis axis) => Html.Of($"""
        <div class="xs">{axis.Ticks().Select(t => Html.Of($"""<span class="{TimeAxis.Side(t.X)}" style="left:{t.X / 10:0.#}%">{t.Label}</span>"""))}</div>
        """);

    private static Html Legend(PlotLine line) => Html.Of($"""
        <span><svg class="sample" viewBox="0 0 26 8" aria-hidden="true"><path class="line {line.Class}" d="M1 4H25"/></svg>{line.Name}</span>
        """);

    private static (int Steps, double Step) Grid(double top)
    {
        if (!double.IsFinite(top) || top <= 0)
        {
            return (1, 1);
        }

        var power = Math.Pow(10, Math.Floor(Math.Log10(top)));
        var step = new[] { 0.25, 0.5, 1, 2.5 }.Select(f => f * power).FirstOrDefault(s => top / s <= 4.0001, 5 * power);
        return (Math.Max(1, (int)Math.Ceiling((top / step) - 0.0001)), step);
    }

    private static string Trace(TimeAxis axis, IReadOnlyList<(DateTimeOffset At, double? Value)> points, double top, int most)
    {
        var path = new StringBuilder();
        var thin = Thin(points, most);
        var gap = thin.Count < 3 ? double.MaxValue : 4 * thin.Zip(thin.Skip(1), (a, b) => (b.At - a.At).TotalSeconds).Order().ElementAt((thin.Count - 1) / 2);
        (DateTimeOffset At, bool Known) last = default;
        foreach (var (at, value) in thin)
        {
            if (value is not { } known)
            {
                last = default;
                continue;
            }

            var y = Height - (Height * Math.Clamp(known / top, 0, 1.05));
            var joined = last.Known && (at - last.At).TotalSeconds <= gap;

            // A move followed by a line of no length is a dot, where the line's ends are round.
            path.Append(joined ? 'L' : 'M').Append(CultureInfo.InvariantCulture, $"{axis.X(at):0} {y:0}").Append(joined ? string.Empty : "h0");
            last = (at, true);
        }

        return path.ToString();
    }

    private static List<(DateTimeOffset At, double? Value)> Thin(IReadOnlyList<(DateTimeOffset At, double? Value)> points, int most) =>
        points.Count <= most ? [.. points] : [.. points.Chunk((points.Count + most - 1) / most).Select(c => c.MaxBy(p => p.Value))];
}
