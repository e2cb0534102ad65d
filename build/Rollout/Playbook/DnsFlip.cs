using System.Text.Json.Nodes;
using Rollout.Environments;
using Rollout.Journal;

namespace Rollout.Playbook;

/// <summary>What 3.2 and 5.2 share: restoring DNS is flipping it with the arguments swapped.</summary>
internal static class DnsFlip
{
    public static async Task<StepPlan> PlanAsync(RolloutRun run, SlotPlace to, CancellationToken cancellationToken)
    {
        var address = await run.AddressAsync(to, cancellationToken);
        var records = await run.Zone.ReadAsync(run.Hosts, cancellationToken);
        var moving = records.Where(r => r.Target != address).ToList();
        if (moving.Count == 0)
        {
            return StepPlan.Nothing;
        }

        var ttl = moving.Max(r => r.TtlSeconds);
        if (ttl > 300)
        {
            run.Console.Warning($"the longest TTL is {ttl} s: clients may stay on the old slot for that long; lower it to 300 s at least {ttl} s before the flip");
        }

        return new StepPlan($"point {moving.Count} of {records.Count} hosts at {address} ({run.Named(to)}), TTL {ttl} s");
    }

    public static async Task PointAsync(RolloutRun run, SlotPlace to, StepJournal journal, CancellationToken cancellationToken)
    {
        var address = await run.AddressAsync(to, cancellationToken);
        var records = await run.Zone.ReadAsync(run.Hosts, cancellationToken);
        if (Unfinished(run, journal.Step, address) is { } before)
        {
            // A flip that was killed half-way must, if it fails again, go back to where all hosts were and not to the mixture.
            records = [.. records.Select(r => before[r.Host]?.GetValue<string>() is { } old ? r with { Target = old } : r)];
        }
        else
        {
            before = [];
            foreach (var record in records)
            {
                before[record.Host] = record.Target;
            }

            await journal.IntendAsync("records", new() { ["before"] = before, ["after"] = address });
        }

        await run.Zone.PointAsync(records, address, cancellationToken);
        journal.Result["address"] = address;
        run.Console.Note($"{records.Count} records written; waiting for every name server");
    }

    // The old targets of the last intent, where it was neither completed nor failed (a failed one has restored them).
    private static JsonObject? Unfinished(RolloutRun run, string step, string address) =>
        run.Journal.Last(step, JournalEvent.Intent, "records") is { Data: { } intent } entry
        && intent["after"]?.GetValue<string>() == address
        && !run.Journal.Entries.Any(e => e.Sequence > entry.Sequence && e.Step == step && e.Part is null && IsSettled(e))
            ? intent["before"] as JsonObject
            : null;

    // A flip that failed has restored the records, unless it says that it could not.
    private static bool IsSettled(JournalEntry entry) => entry.Event is JournalEvent.Done or JournalEvent.Undone
        || (entry.Event == JournalEvent.Failed && entry.Data?["exit"]?.GetValue<int>() != (int)ExitCode.Held);

    public static async Task RequireAsync(RolloutRun run, SlotPlace to, CancellationToken cancellationToken)
    {
        var address = await run.AddressAsync(to, cancellationToken);
        await run.NameServers.WaitUntilAllAnswerAsync(run.Hosts, address, run.Settings.Duration("Dns.Timeout"), cancellationToken);
        run.Console.Note($"every name server answers {address} for {run.Hosts.Count} hosts");
    }
}
