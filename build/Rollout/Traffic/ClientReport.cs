using System.Globalization;
using System.Text;

namespace Rollout.Traffic;

/// <summary>What a request of a client came to.</summary>
public enum ClientOutcome
{
    /// <summary>A read that was answered as the host's live stack answers it.</summary>
    Read,

    /// <summary>A read that was not.</summary>
    ReadFailed,

    /// <summary>An order that the exchange has.</summary>
    Accepted,

    /// <summary>An order that a fence kept from the exchange, in one of the two ways that the platform documents: simulated, or 423 in safe mode.</summary>
    Fenced,

    /// <summary>An order that came to anything else.</summary>
    Refused,
}

/// <summary>One request as its client saw it.</summary>
/// <param name="Scheduled">When the client wanted to send it; a client that is held up counts that too.</param>
/// <param name="Sent">When it was really sent, for an order that was sent twice the first time.</param>
/// <param name="Answered">When the answer was complete, or given up.</param>
/// <param name="Slot">Whose address answered; null where none did.</param>
public sealed record ClientAnswer(DateTimeOffset Scheduled, DateTimeOffset Sent, DateTimeOffset Answered, string Host, string? Slot, ClientOutcome Outcome)
{
    /// <summary>What went wrong, or how an order was fenced; null where there is nothing to say.</summary>
    public string? Detail { get; init; }

    /// <summary>Whether the session was unknown to the slot that answered, and the client had to log in there.</summary>
    public bool LoggedIn { get; init; }

    /// <summary>From the scheduled time, not from when it was sent: what a stall delays is part of the stall.</summary>
    public TimeSpan Latency => Answered - Scheduled;
}

/// <summary>Latencies of some requests.</summary>
public sealed record Latencies(TimeSpan Median, TimeSpan P95, TimeSpan P99, TimeSpan Longest)
{
    internal static Latencies Of(IEnumerable<TimeSpan> latencies)
    {
        var sorted = latencies.Order().ToList();
        return sorted.Count == 0 ? new(default, default, default, default) : new(At(0.5), At(0.95), At(0.99), sorted[^1]);

        TimeSpan At(double quantile) => sorted[(int)Math.Ceiling(quantile * sorted.Count) - 1];
    }
}

/// <summary>Some requests in numbers: those that were scheduled in one second, or all.</summary>
/// <param name="Failures">What went wrong with reads and refused orders, and how often.</param>
/// <param name="BySlot">Answers by the slot that gave them.</param>
public sealed record ClientFigures(
    int Requests,
    int Reads,
    int ReadsFailed,
    int Accepted,
    int Fenced,
    int Refused,
    int Logins,
    Latencies Latency,
    IReadOnlyDictionary<string, int> BySlot,
    IReadOnlyDictionary<string, int> Failures)
{
    internal static ClientFigures Of(IReadOnlyCollection<ClientAnswer> answers) => new(
        answers.Count,
        Count(answers, ClientOutcome.Read) + Count(answers, ClientOutcome.ReadFailed),
        Count(answers, ClientOutcome.ReadFailed),
        Count(answers, ClientOutcome.Accepted),
        Count(answers, ClientOutcome.Fenced),
        Count(answers, ClientOutcome.Refused),
        answers.Count(a => a.LoggedIn),
        Latencies.Of(answers.Select(a => a.Latency)),
        answers.Where(a => a.Slot is not null).GroupBy(a => a.Slot!).ToDictionary(g => g.Key, g => g.Count()),
        answers.Where(a => a.Outcome is ClientOutcome.ReadFailed or ClientOutcome.Refused)
            .GroupBy(a => $"{a.Host.Split('.')[0]} {a.Detail}").ToDictionary(g => g.Key, g => g.Count()));

    private static int Count(IReadOnlyCollection<ClientAnswer> answers, ClientOutcome outcome) => answers.Count(a => a.Outcome == outcome);
}

/// <summary>What a client saw from its first request to its last.</summary>
/// <param name="answers">Every request, in no order.</param>
/// <param name="stale">How often a DNS answer past its TTL stayed in use, because no name server gave a new one.</param>
public sealed class ClientReport(IReadOnlyList<ClientAnswer> answers, int stale)
{
    private readonly Lazy<ClientFigures> _totals = new(() => ClientFigures.Of(answers));

    public IReadOnlyList<ClientAnswer> Answers => answers;

    public int Stale => stale;

    public ClientFigures Totals => _totals.Value;

    /// <summary>The requests by the second in which they were scheduled, from the first to the last; a second without any is there too.</summary>
    public IEnumerable<(DateTimeOffset Second, ClientFigures Figures)> Seconds()
    {
        var bySecond = answers.GroupBy(a => a.Scheduled.ToUnixTimeSeconds()).ToDictionary(g => g.Key, g => g.ToList());
        if (bySecond.Count == 0)
        {
            yield break;
        }

        for (var second = bySecond.Keys.Min(); second <= bySecond.Keys.Max(); second++)
        {
            yield return (DateTimeOffset.FromUnixTimeSeconds(second), ClientFigures.Of(bySecond.GetValueOrDefault(second) ?? []));
        }
    }

    /// <summary>The longest time without an accepted order, the time before the first and after the last included; null where none was sent.</summary>
    public TimeSpan? LongestWithoutOrder()
    {
        var orders = answers.Where(a => a.Outcome is ClientOutcome.Accepted or ClientOutcome.Fenced or ClientOutcome.Refused).ToList();
        if (orders.Count == 0)
        {
            return null;
        }

        var accepted = orders.Where(o => o.Outcome == ClientOutcome.Accepted).Select(o => o.Answered)
            .Prepend(orders.Min(o => o.Sent)).Append(orders.Max(o => o.Answered)).Order().ToList();
        return accepted.Zip(accepted.Skip(1), (earlier, later) => later - earlier).Max();
    }

    /// <summary>One line a second, with a heading.</summary>
    /// <param name="slots">The slots, in the order of their columns.</param>
    public string ToCsv(IReadOnlyList<string> slots)
    {
        var csv = new StringBuilder("second,requests,reads,reads_failed,orders_accepted,orders_fenced,orders_refused,logins,")
            .AppendJoin(',', slots).Append(",p50_ms,p95_ms,p99_ms,max_ms,failures\n");
        foreach (var (second, f) in Seconds())
        {
            csv.Append(CultureInfo.InvariantCulture, $"{second:yyyy-MM-ddTHH:mm:ssZ},{f.Requests},{f.Reads},{f.ReadsFailed},{f.Accepted},{f.Fenced},{f.Refused},{f.Logins},")
                .AppendJoin(',', slots.Select(s => f.BySlot.GetValueOrDefault(s)))
                .Append(CultureInfo.InvariantCulture, $",{Ms(f.Latency.Median)},{Ms(f.Latency.P95)},{Ms(f.Latency.P99)},{Ms(f.Latency.Longest)},")
                .AppendJoin("; ", f.Failures.OrderByDescending(k => k.Value).Select(k => $"{k.Value} {k.Key}".Replace(',', ' ').Replace('\n', ' ')))
                .Append('\n');
        }

        return csv.ToString();
    }

    private static string Ms(TimeSpan span) => span.TotalMilliseconds.ToString("0.0", CultureInfo.InvariantCulture);
}
