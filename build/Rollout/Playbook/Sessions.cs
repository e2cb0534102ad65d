using Rollout.Environments;
using Rollout.Platform;

namespace Rollout.Playbook;

/// <summary>
/// The admin sessions that freeze the slots and lift the freeze again: one that ends inside leaves nobody who could lift it (platform contract, section 5). The
/// platform gives them 60 minutes by default, which a careful rollout can outlast.
/// </summary>
internal static class Sessions
{
    /// <summary>
    /// How long nobody may trade if every wait from 3.1 to 3.4 takes all the time that its setting gives it, and never less than <c>Fence.SessionMargin</c>.
    /// </summary>
    public static TimeSpan LongestFreeze(RolloutSettings settings)
    {
        // 3.1 waits for orders to stop and for simulated ones to be seen, 3.4 for orders to be still once more and for the pods that get the keys.
        var limits = (3 * settings.Duration("Fence.Timeout"))
            + settings.Duration("Dns.Timeout")
            + settings.Duration("Monitoring.Timeout")
            + settings.Duration("Chart.Timeout")
            + settings.Duration("Monitoring.OrdersTimeout");
        var margin = settings.Duration("Fence.SessionMargin");
        return limits > margin ? limits : margin;
    }

    /// <summary>1.4's look: whether both slots' sessions would outlive the longest freeze that could begin now.</summary>
    public static async Task LookAsync(RolloutRun run, Findings found, CancellationToken cancellationToken)
    {
        foreach (var slot in new[] { run.Live, run.Candidate })
        {
            var (session, unknown) = await ReadAsync(slot, cancellationToken);
            Judge(run.Named(slot), slot.Name, session, unknown, run.Time.GetUtcNow(), LongestFreeze(run.Settings), found);
        }
    }

    /// <summary>3.1's: refuses a session that the longest freeze could outlive, and warns of one of which nothing is known.</summary>
    /// <exception cref="RolloutException">It ends too soon, and nothing is frozen yet.</exception>
    public static async Task RequireAsync(RolloutRun run, SlotPlace slot, CancellationToken cancellationToken)
    {
        var found = new Findings();
        var (session, unknown) = await ReadAsync(slot, cancellationToken);
        Judge(run.Named(slot), slot.Name, session, unknown, run.Time.GetUtcNow(), LongestFreeze(run.Settings), found);
        foreach (var warning in Settle(found, slot.Name, isFrozen: run.Progress.FrozenSince is not null))
        {
            run.Console.Warning(warning);
        }
    }

    /// <summary>What is to be warned of.</summary>
    /// <exception cref="RolloutException">There is a problem, and nothing is frozen yet.</exception>
    internal static IReadOnlyList<string> Settle(Findings found, string slot, bool isFrozen)
    {
        // In a freeze the way on is the shortest way out of it.
        if (isFrozen)
        {
            return [.. found.Warnings, .. found.Problems];
        }

        return found.Problems is [var problem, ..]
            ? throw new RolloutException($"Nothing was changed: {problem}.", $"Log in again, set {VariableOf(slot)} and run the same command again.")
            : found.Warnings;
    }

    /// <summary>Judges one.</summary>
    /// <param name="unknown">Why nothing is known of it; null where the store answered.</param>
    internal static void Judge(string named, string slot, StoredSession? session, string? unknown, DateTimeOffset now, TimeSpan longest, Findings found)
    {
        if (session is null)
        {
            found.Warnings.Add(
                $"how long the session of {named} is valid is not known: {unknown?.TrimEnd('.') ?? $"the Redis of ROLLOUT_SECRETS_REDIS_{slot.ToUpperInvariant()} does not know it"}; a freeze could take {Waiting.Words(longest)}");
        }
        else if (session.ExpiresAt - now < longest)
        {
            found.Problems.Add(
                $"the session of {named} ends at {session.ExpiresAt.UtcDateTime:yyyy-MM-dd HH:mm:ss} UTC, in {Waiting.Words(session.ExpiresAt - now)}, and a freeze could take {Waiting.Words(longest)} "
                + $"(3 × Fence.Timeout, Dns.Timeout, Monitoring.Timeout, Chart.Timeout, Monitoring.OrdersTimeout; at least Fence.SessionMargin): log in again and set {VariableOf(slot)}, give sessions longer (SESSION_TTL_MINUTES), or shorten these waits");
        }
    }

    private static async Task<(StoredSession? Session, string? Unknown)> ReadAsync(SlotPlace slot, CancellationToken cancellationToken)
    {
        try
        {
            return (await SafeModeSeed.ReadSessionAsync(slot.Redis.Reveal(), slot.Session, cancellationToken), null);
        }
        catch (RolloutException exception)
        {
            return (null, exception.Message);
        }
    }

    private static string VariableOf(string slot) => $"ROLLOUT_SECRETS_SESSION_{slot.ToUpperInvariant()}";
}
