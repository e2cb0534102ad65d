using System.Globalization;

namespace Rollout.Reporting.Page;

/// <summary>One second as a client saw it.</summary>
/// <param name="BySlot">Answers by the slot that gave them.</param>
internal sealed record ClientSecond(
    DateTimeOffset At, double Requests, double Reads, double ReadsFailed, double Accepted, double Fenced, double Refused, IReadOnlyDictionary<string, double> BySlot, double? P50, double? P95, double? Longest, string Failures);

/// <summary>A <c>client.csv</c> as far as it can be read.</summary>
/// <param name="Broken">Lines that are none; 0 where all could be read.</param>
internal sealed record ClientSeconds(IReadOnlyList<ClientSecond> Seconds, int Broken)
{
    public const string Name = "client.csv";

    private static readonly string[] Known =
        ["second", "requests", "reads", "reads_failed", "orders_accepted", "orders_fenced", "orders_refused", "logins", "p50_ms", "p95_ms", "p99_ms", "max_ms", "failures"];

    /// <summary>Reads the file's lines; columns are found by name, and those that are no figure of ours are slots.</summary>
    public static ClientSeconds Read(IEnumerable<string> lines)
    {
        string[]? columns = null;
        var seconds = new List<ClientSecond>();
        var broken = 0;
        foreach (var line in lines.Where(l => l.Length > 0))
        {
            var cells = line.Split(',');
            if (columns is null)
            {
                columns = cells;
                continue;
            }

            double? Number(string name) => Array.IndexOf(columns, name) is >= 0 and var at && at < cells.Length
                && double.TryParse(cells[at], NumberStyles.Float, CultureInfo.InvariantCulture, out var value) && double.IsFinite(value) ? value : null;

            if (cells.Length < columns.Length || Number("requests") is not { } requests
                || !DateTimeOffset.TryParse(cells[0], CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var second))
            {
                broken++;
                continue;
            }

            seconds.Add(new ClientSecond(
                second,
                requests,
                Number("reads") ?? 0,
                Number("reads_failed") ?? 0,
                Number("orders_accepted") ?? 0,
                Number("orders_fenced") ?? 0,
                Number("orders_refused") ?? 0,
                columns.Except(Known).ToDictionary(c => c, c => Number(c) ?? 0),
                requests > 0 ? Number("p50_ms") : null,
                requests > 0 ? Number("p95_ms") : null,
                requests > 0 ? Number("max_ms") : null,
                Array.IndexOf(columns, "failures") is >= 0 and var failures && failures < cells.Length ? cells[failures] : string.Empty));
        }

        return new ClientSeconds([.. seconds.OrderBy(s => s.At)], broken);
    }
}
