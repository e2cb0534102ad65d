using System.Net.Http.Headers;
using System.Text.Json;

namespace Rollout.Environments;

/// <summary>An order as the rehearsal's exchange saw it arrive.</summary>
/// <param name="Slot">Which slot's OMS sent it.</param>
public sealed record ExchangeOrder(long Sequence, DateTimeOffset At, string Slot, string Account);

/// <summary>What the exchange's log says about writers.</summary>
/// <param name="Orders">Orders by slot.</param>
/// <param name="Handovers">The times at which another slot than before sent: last order of the old one, first of the new one.</param>
public sealed record WriterReport(IReadOnlyDictionary<string, int> Orders, IReadOnlyList<(string From, string To, DateTimeOffset Last, DateTimeOffset First)> Handovers)
{
    /// <summary>The slot whose order is the newest; null without orders.</summary>
    public string? LastWriter { get; init; }

    /// <summary>
    /// Whether each slot handed over once and for all within this log: a slot that comes back while the other still sends shows as more
    /// handovers than the rollouts and rollbacks that were run.
    /// </summary>
    public bool IsCleanFor(int switches) => Handovers.Count == switches;
}

/// <summary>The rehearsal exchange's log: two writers are seen here and not argued about.</summary>
public static class ExchangeLog
{
    /// <summary>Reads all orders after a sequence number.</summary>
    /// <exception cref="RolloutException">The world's control interface does not answer.</exception>
    public static async Task<IReadOnlyList<ExchangeOrder>> ReadAsync(Uri control, Secret token, long after, CancellationToken cancellationToken)
    {
        using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(30) };
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token.Reveal());
        using var answer = await http.GetAsync(new Uri(control, $"/exchange/log?after={after}"), cancellationToken);
        if (!answer.IsSuccessStatusCode)
        {
            throw new RolloutException($"The rehearsal's exchange log answered {(int)answer.StatusCode}.");
        }

        var lines = (await answer.Content.ReadAsStringAsync(cancellationToken)).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        return [.. lines.Select(l => JsonDocument.Parse(l).RootElement).Select(o => new ExchangeOrder(
            o.GetProperty("seq").GetInt64(), o.GetProperty("ts").GetDateTimeOffset(), o.GetProperty("slot").GetString()!, o.GetProperty("account").GetString()!))];
    }

    /// <summary>Who sent, and when the writer changed.</summary>
    public static WriterReport Examine(IReadOnlyList<ExchangeOrder> orders)
    {
        var handovers = new List<(string, string, DateTimeOffset, DateTimeOffset)>();
        var sorted = orders.OrderBy(o => o.At).ThenBy(o => o.Sequence).ToList();
        for (var i = 1; i < sorted.Count; i++)
        {
            if (sorted[i].Slot != sorted[i - 1].Slot)
            {
                handovers.Add((sorted[i - 1].Slot, sorted[i].Slot, sorted[i - 1].At, sorted[i].At));
            }
        }

        return new WriterReport(orders.GroupBy(o => o.Slot).ToDictionary(g => g.Key, g => g.Count()), handovers)
        {
            LastWriter = sorted.LastOrDefault()?.Slot,
        };
    }
}
