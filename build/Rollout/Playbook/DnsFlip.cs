using System.Text.Json.Nodes;
using Rollout.Environments;
using Rollout.Journal;
using Rollout.Traffic;

namespace Rollout.Playbook;

/// <summary>What 3.2 and 5.2 share: restoring DNS is flipping it with the arguments swapped.</summary>
internal static class DnsFlip
{
    // A resolver that keeps answers longer than this after the flip is worth a warning (RFC 2181, section 8: TTL is a maximum).
    private const int LongTtl = 300;

    private const string Ttl = "ttl";

    public static async Task<StepPlan> PlanAsync(RolloutRun run, SlotPlace to, CancellationToken cancellationToken)
    {
        var address = await run.AddressesAsync(to, cancellationToken);
        var records = await run.Zone.ReadAsync(run.Hosts, cancellationToken);
        DnsZone.RefuseStrandedClients(records, address);
        var moving = records.Where(r => r.Target != address.TargetOf(r.Type)).ToList();
        if (moving.Count == 0)
        {
            return StepPlan.Nothing;
        }

        if (WarningOf(moving, run.Time.GetUtcNow()) is { } warning)
        {
            run.Console.Warning(warning);
        }

        return new StepPlan(
            $"point {run.Hosts.Count} hosts at {address} ({run.Named(to)}) by {moving.Count} of {records.Count} record{(records.Count == 1 ? string.Empty : "s")}, TTL {moving.Max(r => r.TtlSeconds)} s");
    }

    /// <summary>What to say of TTLs for which clients would stay behind, and by when they can be lowered; null where they are short.</summary>
    internal static string? WarningOf(IReadOnlyList<HostRecord> records, DateTimeOffset now)
    {
        var longest = records.MaxBy(r => r.TtlSeconds);
        if (longest is null || longest.TtlSeconds <= LongTtl)
        {
            return null;
        }

        var ttl = TimeSpan.FromSeconds(longest.TtlSeconds);
        return $"the longest TTL is {longest.TtlSeconds} s ({longest.Host}): for {Waiting.Words(ttl)} after the flip clients may stay on the old slot, which refuses their orders. "
            + $"Lowered to {LongTtl} s now, it lets go at {now + ttl:yyyy-MM-dd HH:mm:ss} UTC; flip after that";
    }

    /// <summary>Writes down how long resolvers keep the records now, while there is still time to lower it: what is lowered later counts only when this has run out.</summary>
    public static async Task NoteTtlAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        var records = await run.Zone.ReadAsync(run.Hosts, cancellationToken);
        if (WarningOf(records, run.Time.GetUtcNow()) is { } warning)
        {
            run.Console.Warning(warning);
        }

        journal.Result[Ttl] = records.Max(r => r.TtlSeconds);
    }

    /// <summary>For how many seconds from now on resolvers may still give the old answer: the records' TTL, or what is left of the one that 1.4 saw.</summary>
    internal static int OldTtl(IReadOnlyList<HostRecord> records, IReadOnlyList<JournalEntry> entries, DateTimeOffset now)
    {
        var prepared = entries.LastOrDefault(e => e is { Step: nameof(StageConfig), Event: JournalEvent.Done, Part: null });
        var left = prepared?.Data?[Ttl]?.GetValue<int>() is { } then ? prepared.Time.AddSeconds(then) - now : TimeSpan.Zero;
        return Math.Max(records.Max(r => r.TtlSeconds), (int)Math.Ceiling(left.TotalSeconds));
    }

    public static async Task PointAsync(RolloutRun run, SlotPlace to, StepJournal journal, CancellationToken cancellationToken)
    {
        var address = await run.AddressesAsync(to, cancellationToken);
        var begun = run.Time.GetTimestamp();
        var (before, written) = await MoveAsync(
            run.Zone, run.Hosts, address, journal.Step, run.Journal.Entries, intent => journal.IntendAsync("records", intent), cancellationToken);
        journal.Result["address"] = address.V4;
        journal.Result["records"] = written;
        journal.Result["recordsMs"] = (long)run.Time.GetElapsedTime(begun).TotalMilliseconds;
        journal.Result[Ttl] = OldTtl(before, run.Journal.Entries, run.Time.GetUtcNow());
        run.Console.Note($"{written} of {before.Count} records written in {run.Time.GetElapsedTime(begun).TotalMilliseconds:0} ms; waiting for every name server");
    }

    /// <summary>Moves all hosts or none; where an earlier attempt was cut off, none means as they were before that one.</summary>
    /// <param name="step">Whose intents count: 3.2's or 5.2's.</param>
    /// <param name="entries">The journal so far.</param>
    /// <param name="intend">Journals the old values; not called where nothing would be written, or where they are journalled already.</param>
    internal static Task<(IReadOnlyList<HostRecord> Before, int Written)> MoveAsync(
        DnsZone zone,
        IReadOnlyCollection<string> hosts,
        SlotAddress to,
        string step,
        IReadOnlyList<JournalEntry> entries,
        Func<JsonObject, Task> intend,
        CancellationToken cancellationToken) => zone.PointAsync(
            hosts,
            to,
            async seen =>
            {
                if (Unfinished(entries, step, to.V4) is { } old)
                {
                    return Restored(seen, old);
                }

                if (seen.Any(r => r.Target != to.TargetOf(r.Type)))
                {
                    await intend(IntentOf(seen, to));
                }

                return seen;
            },
            cancellationToken);

    public static async Task RequireAsync(RolloutRun run, SlotPlace to, CancellationToken cancellationToken)
    {
        var address = await run.AddressesAsync(to, cancellationToken);
        await run.NameServers.WaitUntilAllAnswerAsync(run.Hosts, address, run.Settings.Duration("Dns.Timeout"), cancellationToken);
        run.Console.Note($"every name server answers {address} for {run.Hosts.Count} hosts, over UDP and TCP");
    }

    /// <summary>
    /// Looks as a client does: through caching resolvers, then over HTTPS at whatever address they give. A resolver may still hold the old
    /// answer, which is told and is no failure; a host that is not served where DNS sends its clients is one.
    /// </summary>
    /// <exception cref="RolloutException">A host is not served at the address that DNS gives.</exception>
    public static async Task RequireServedAsync(RolloutRun run, SlotPlace to, CancellationToken cancellationToken)
    {
        var address = (await run.AddressesAsync(to, cancellationToken)).V4;
        var answers = await run.Resolvers.AskAsync(run.Hosts, cancellationToken);
        foreach (var silent in answers.Where(a => a.Address is null).GroupBy(a => (a.Resolver, a.Problem)))
        {
            run.Console.Warning($"resolver {silent.Key.Resolver} gives {silent.Key.Problem} for {silent.Count()} hosts, the first {silent.First().Host}");
        }

        var known = answers.Where(a => a.Address is not null).DistinctBy(a => (a.Host, a.Address)).ToList();
        await Waiting.UntilAsync(
            "all hosts to answer where DNS sends their clients",
            async token => (await Task.WhenAll(known.Select(a => run.Probe.ProbeAsync(a.Host, "/", a.Address!, token))))
                .Where(p => !Edges.IsServed(p)).Select(Edges.Describe).ToList(),
            problems => problems.Count == 0,
            problems => string.Join("; ", problems.Take(5)),
            TimeSpan.FromSeconds(15),
            TimeSpan.FromMilliseconds(250),
            run.Time,
            run.Console.Progress,
            cancellationToken);
        foreach (var resolver in answers.Where(a => a.Address is not null).GroupBy(a => a.Resolver))
        {
            var cached = resolver.Where(a => a.Address != address).ToList();
            run.Console.Note($"through {resolver.Key}: {resolver.Count() - cached.Count} of {resolver.Count()} hosts lead to {run.Named(to)}"
                + (cached.Count == 0 ? string.Empty : $", the others are cached for up to {cached.Max(a => a.TtlSeconds)} s")
                + "; all answer over HTTPS");
        }
    }

    private static JsonObject IntentOf(IReadOnlyList<HostRecord> seen, SlotAddress address)
    {
        var intent = new JsonObject
        {
            ["before"] = new JsonObject(seen.Where(r => r.Type == "A").Select(r => KeyValuePair.Create(r.Host, (JsonNode?)JsonValue.Create(r.Target)))),
            ["after"] = address.V4,
        };
        if (seen.Where(r => r.Type == "AAAA").ToList() is { Count: > 0 } v6)
        {
            intent["before6"] = new JsonObject(v6.Select(r => KeyValuePair.Create(r.Host, (JsonNode?)JsonValue.Create(r.Target))));
            intent["after6"] = address.V6;
        }

        return intent;
    }

    /// <summary>The last flip's intent, where it was neither completed nor failed (a failed one has restored the records).</summary>
    private static JsonObject? Unfinished(IReadOnlyList<JournalEntry> entries, string step, string address) =>
        entries.LastOrDefault(e => e.Step == step && e is { Event: JournalEvent.Intent, Part: "records" }) is { Data: { } intent } entry
        && intent["after"]?.GetValue<string>() == address
        && !entries.Any(e => e.Sequence > entry.Sequence && e.Step == step && e.Part is null && IsSettled(e))
            ? intent
            : null;

    /// <summary>A flip that was killed half-way must, if it fails again, go back to where all hosts were and not to the mixture.</summary>
    private static IReadOnlyList<HostRecord> Restored(IReadOnlyList<HostRecord> seen, JsonObject intent) =>
        [.. seen.Select(r => intent[r.Type == "AAAA" ? "before6" : "before"]?[r.Host]?.GetValue<string>() is { } old ? r with { Target = old } : r)];

    // A flip that failed has restored the records, unless it says that it could not.
    private static bool IsSettled(JournalEntry entry) => entry.Event is JournalEvent.Done or JournalEvent.Undone
        || (entry.Event == JournalEvent.Failed && entry.Data?["exit"]?.GetValue<int>() != (int)ExitCode.Held);
}
