using Rollout.Journal;

namespace Rollout.Playbook;

/// <summary>
/// A time in which a client's orders may be fenced, by the journal: from the first intent to fence the slot that traded, to the end of the step
/// that saw a slot trade again. A client whose cached DNS answer still names the other slot may meet that one's fence for one TTL longer,
/// counted from when every name server had agreed.
/// </summary>
/// <param name="To">Null while nothing trades.</param>
/// <param name="Trades">The slot that trades afterwards; null while nothing does.</param>
/// <param name="OldAnswersUntil">When the last DNS answer that names the other slot has run out; null where no host was moved.</param>
public sealed record FreezeWindow(DateTimeOffset From, DateTimeOffset? To, string? Trades, DateTimeOffset? OldAnswersUntil)
{
    /// <summary>The windows of a rollout, oldest first.</summary>
    /// <param name="ttl">The hosts' TTL before they were moved.</param>
    public static IReadOnlyList<FreezeWindow> Of(IReadOnlyList<JournalEntry> entries, TimeSpan ttl)
    {
        var windows = new List<FreezeWindow>();
        DateTimeOffset? from = null;
        DateTimeOffset? agreed = null;
        foreach (var entry in entries)
        {
            switch (entry)
            {
                case { Event: JournalEvent.Intent, Part: "fences", Step: nameof(FreezeWrites) or nameof(ReenableSafeMode) }:
                    from ??= entry.Time;
                    break;
                case { Event: JournalEvent.Done, Part: null, Step: nameof(FlipDns) or nameof(RestoreDns) }:
                    agreed = entry.Time;
                    break;
                case { Event: JournalEvent.Done, Part: null, Step: nameof(ReenableTrading) or nameof(ValidateBlue) } when from is { } begin:
                    var trades = entries[0].Data?[entry.Step == nameof(ReenableTrading) ? "candidate" : "live"]?.GetValue<string>();
                    windows.Add(new FreezeWindow(begin, entry.Time, trades, agreed + ttl));
                    from = null;
                    break;
            }
        }

        return from is { } open ? [.. windows, new FreezeWindow(open, null, null, null)] : windows;
    }

    /// <summary>Whether an order may have met a fence: it was under way in the window, or went to the other slot before the old answers had run out.</summary>
    public bool Covers(DateTimeOffset sent, DateTimeOffset answered, string? slot) =>
        answered >= From && (To is null || sent <= To || (slot != Trades && sent <= OldAnswersUntil));
}
