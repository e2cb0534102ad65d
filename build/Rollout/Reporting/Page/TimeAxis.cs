using System.Globalization;

namespace Rollout.Reporting.Page;

/// <summary>
/// Time from left to right, 0 to <see cref="Width"/>. Where nothing happened for long, as between two stages of a pipeline, the axis is cut, so that what
/// happened can be seen.
/// </summary>
internal sealed class TimeAxis
{
    public const int Width = 1000;

    // Two labels closer than this would touch on a phone.
    private const double LabelRoom = 190;

    private static readonly int[] Steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400, 172_800, 604_800];

    private readonly List<(DateTimeOffset From, DateTimeOffset To, double Left, double Right)> _pieces = [];

    /// <param name="activity">When something happened; at least one period.</param>
    public TimeAxis(IEnumerable<(DateTimeOffset From, DateTimeOffset To)> activity)
    {
        var sorted = activity.Select(a => a.To < a.From ? (From: a.To, To: a.From) : a).OrderBy(a => a.From).ToList();
        var busy = Merge(sorted, TimeSpan.Zero).Sum(p => (p.To - p.From).TotalSeconds);
        var pieces = Merge(sorted, TimeSpan.FromSeconds(Math.Max(60, busy / 2)));
        var seconds = Math.Max(0.001, pieces.Sum(p => (p.To - p.From).TotalSeconds));
        var cut = pieces.Count == 1 ? 0 : Math.Min(40, 200.0 / (pieces.Count - 1));
        var scale = (Width - (cut * (pieces.Count - 1))) / seconds;
        var x = 0.0;
        foreach (var (from, to) in pieces)
        {
            var right = x + ((to - from).TotalSeconds * scale);
            _pieces.Add((from, to, x, right));
            x = right + cut;
        }
    }

    public DateTimeOffset From => _pieces[0].From;

    public DateTimeOffset To => _pieces[^1].To;

    /// <summary>Where the axis is cut, and how much time is left out there.</summary>
    public IEnumerable<(double Left, double Right, TimeSpan Hidden)> Cuts => _pieces.Zip(_pieces.Skip(1), (a, b) => (a.Right, b.Left, b.From - a.To));

    /// <summary>Where a moment is; before the beginning and after the end it is at the edge.</summary>
    public double X(DateTimeOffset at)
    {
        for (var i = 0; i < _pieces.Count; i++)
        {
            var (from, to, left, right) = _pieces[i];
            if (at <= to)
            {
                return at < from ? left : to == from ? left : left + ((right - left) * ((at - from) / (to - from)));
            }
        }

        return Width;
    }

    /// <summary>Moments that are worth a label, and the label: UTC, with the day where the axis has several.</summary>
    public IEnumerable<(double X, string Label)> Ticks()
    {
        var shown = _pieces.Sum(p => (p.To - p.From).TotalSeconds);
        var step = TimeSpan.FromSeconds(Steps.FirstOrDefault(s => shown / s <= 5, Steps[^1]));
        var days = From.UtcDateTime.Date != To.UtcDateTime.Date && To - From > TimeSpan.FromHours(12);
        var last = double.NegativeInfinity;
        foreach (var (from, to, _, _) in _pieces)
        {
            var first = new DateTimeOffset((from.UtcTicks + step.Ticks - 1) / step.Ticks * step.Ticks, TimeSpan.Zero);

            // A piece that is shorter than a step still says when it was.
            for (var at = first > to ? from : first; at <= to; at += step)
            {
                if (Centre(X(at), LabelRoom) - last >= LabelRoom)
                {
                    last = Centre(X(at), LabelRoom);
                    yield return (X(at), at.UtcDateTime.ToString((days ? "MM-dd " : string.Empty) + (step < TimeSpan.FromMinutes(1) ? "HH:mm:ss" : "HH:mm"), CultureInfo.InvariantCulture));
                }
            }
        }
    }

    /// <summary>Where the middle of a label is; near an edge it leans inwards, so that nothing is wider than the page.</summary>
    /// <param name="room">The label's width.</param>
    public static double Centre(double x, double room) => Side(x) switch
    {
        "first" => x + (room / 2),
        "last" => x - (room / 2),
        _ => x,
    };

    /// <summary>The class of a label there.</summary>
    public static string Side(double x) => x < 120 ? "first" : x > Width - 120 ? "last" : "middle";

    private static List<(DateTimeOffset From, DateTimeOffset To)> Merge(List<(DateTimeOffset From, DateTimeOffset To)> sorted, TimeSpan gap)
    {
        var merged = new List<(DateTimeOffset From, DateTimeOffset To)>();
        foreach (var (from, to) in sorted)
        {
            if (merged.Count > 0 && from - merged[^1].To <= gap)
            {
                merged[^1] = (merged[^1].From, to > merged[^1].To ? to : merged[^1].To);
            }
            else
            {
                merged.Add((from, to));
            }
        }

        return merged;
    }
}
