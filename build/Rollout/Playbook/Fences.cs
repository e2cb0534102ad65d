using System.Text.Json.Nodes;
using Rollout.Environments;
using Rollout.Platform;

namespace Rollout.Playbook;

/// <summary>
/// The fences around a trading slot: safe mode, the playbook's word, which on the real platform stops nothing, and simulation mode beside it,
/// which the OMS obeys and which keeps reads available (platform contract, sections 3.3 and 3.4). Neither counts before orders were seen to stop.
/// </summary>
internal static class Fences
{
    /// <summary>A second look at a fence that was proven a moment ago: long enough to see an OMS that sends, short enough not to lengthen the freeze.</summary>
    public static readonly TimeSpan SecondLook = TimeSpan.FromMilliseconds(500);

    /// <summary>Sets both fences, journalling first what was in force, and observes that no real order leaves the slot.</summary>
    /// <returns>When the last order was known to be possible: the freeze window's beginning.</returns>
    /// <param name="mustSeeFlow">Whether orders must be seen to be simulated: on a slot that trades, silence alone proves nothing.</param>
    /// <param name="holdsAlready">Whether another fence keeps the slot from sending orders, so that nobody has to wait for the proof of these.</param>
    /// <exception cref="RolloutException">Orders still flow, or a pod cannot be read: not proven.</exception>
    public static async Task<DateTimeOffset> SetAsync(
        RolloutRun run, SlotPlace slot, AetherStack stack, StepJournal journal, bool mustSeeFlow, bool holdsAlready, CancellationToken cancellationToken)
    {
        var safeMode = await stack.SafeModeStatusAsync(cancellationToken);
        var simulation = await stack.SimulationStatusAsync(cancellationToken);
        await journal.IntendAsync("fences", new()
        {
            ["slot"] = slot.Name,
            ["safeModeBefore"] = safeMode.Active ? safeMode.Reason : null,
            ["simulationBefore"] = new JsonArray([.. simulation.Accounts.Where(s => s.Active).Select(s => JsonValue.Create(s.AccountId))]),
        });

        // Simulation first: it is the fence that holds, and safe mode's cancelling of open orders is then no race with new ones.
        await stack.EnterSimulationAsync(run.FenceReasonOf(slot), cancellationToken);
        if (!safeMode.Active)
        {
            await stack.EnterSafeModeAsync(run.FenceReasonOf(slot), cancellationToken);
        }

        if (holdsAlready)
        {
            return run.Time.GetUtcNow();
        }

        await stack.WaitUntilOrdersStopAsync(run.Settings.Duration("Fence.Quiet"), run.Settings.Duration("Fence.Timeout"), cancellationToken);
        var quietSince = run.Time.GetUtcNow() - run.Settings.Duration("Fence.Quiet");
        if (mustSeeFlow)
        {
            await RequireSimulatedFlowAsync(run, slot, stack, cancellationToken);
        }

        return quietSince;
    }

    /// <summary>Refuses where somebody else has stopped a slot from trading: opening trading on the other slot would break that freeze.</summary>
    /// <exception cref="RolloutException">Exit code 5: a freeze that no rollout set is in force.</exception>
    public static async Task RefuseForeignAsync(RolloutRun run, SlotPlace slot, AetherStack stack, CancellationToken cancellationToken)
    {
        var foreign = Foreign(await stack.SafeModeStatusAsync(cancellationToken), await stack.SimulationStatusAsync(cancellationToken));
        if (foreign.Count > 0)
        {
            throw new RolloutException(
                $"{run.Named(slot)} is under a freeze that no rollout set: {string.Join(", ", foreign)}. Nothing was changed.",
                "Ask who set it; roll out when it is lifted.",
                ExitCode.Refused);
        }
    }

    /// <summary>Refuses where the fence of one slot shows on the other: then they share its database, and lifting one lifts both.</summary>
    /// <exception cref="RolloutException">The candidate shows live's fence.</exception>
    public static async Task RefuseSharedAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var shared = (await run.CandidateStack.SimulationStatusAsync(cancellationToken)).Accounts
            .Where(a => a.Active && a.Reason == run.FenceReasonOf(run.Live)).Select(a => a.AccountId).ToList();
        if (shared.Count > 0)
        {
            throw new RolloutException(
                $"Simulation mode of {run.Named(run.Live)} shows on {run.Named(run.Candidate)} too ({string.Join(", ", shared)}): both slots share its database, and lifting one fence would lift both.",
                "Give each slot a simulation-mode database of its own.");
        }
    }

    /// <summary>
    /// Simulates the candidate's accounts before clients are sent there. Withheld keys fence it already, but an order that meets only those fails
    /// (503), and clients' failing orders would be held against the candidate by the watch; simulated it is answered as on every fenced stack. Only
    /// after live is fenced and the fences are seen to be apart: on a shared database this would be live's freeze.
    /// </summary>
    /// <exception cref="RolloutException">The candidate does not take it.</exception>
    public static async Task SimulateCandidateAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        var before = await run.CandidateStack.SimulationStatusAsync(cancellationToken);
        await journal.IntendAsync("candidate-fence", new()
        {
            ["slot"] = run.Candidate.Name,
            ["simulationBefore"] = new JsonArray([.. before.Accounts.Where(s => s.Active).Select(s => JsonValue.Create(s.AccountId))]),
        });
        await run.CandidateStack.EnterSimulationAsync(run.FenceReasonOf(run.Candidate), cancellationToken);
    }

    /// <summary>Looks whether no order can leave the candidate: its fences hold, it never had keys, or its OMS is stopped (5.1, 5.3).</summary>
    /// <exception cref="RolloutException">The candidate may send orders.</exception>
    public static async Task RequireCandidateAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        if (!await ReenableSafeMode.HasOmsAsync(run, cancellationToken) || await ReenableSafeMode.NeverHadKeysAsync(run, cancellationToken))
        {
            return;
        }

        await RequireAsync(run, run.Candidate, run.CandidateStack, SecondLook, cancellationToken);
    }

    /// <summary>Looks whether both fences hold now, and that no order leaves the slot for a while.</summary>
    /// <param name="quiet">For how long; null is as long as it takes to prove a fence that was just set.</param>
    /// <exception cref="RolloutException">One is down, or an order was seen.</exception>
    public static async Task RequireAsync(RolloutRun run, SlotPlace slot, AetherStack stack, TimeSpan? quiet, CancellationToken cancellationToken)
    {
        var safeMode = await stack.SafeModeStatusAsync(cancellationToken);
        var open = (await stack.SimulationStatusAsync(cancellationToken)).Accounts.Where(s => !s.Active).Select(s => s.AccountId).ToList();
        if (!safeMode.Active || open.Count > 0)
        {
            throw new RolloutException(
                $"{run.Named(slot)} is not fenced: safe mode is {(safeMode.Active ? "active" : "not active")}, simulation mode is off for {(open.Count == 0 ? "no account" : string.Join(", ", open))}.",
                $"Roll back: {run.CommandFor("Rollback")}",
                ExitCode.Held);
        }

        await stack.WaitUntilOrdersStopAsync(quiet ?? run.Settings.Duration("Fence.Quiet"), run.Settings.Duration("Fence.Timeout"), cancellationToken);
    }

    /// <summary>
    /// Lifts the fences that rollouts set, and no others: a freeze that somebody else had set before stays (platform contract, section 3.1).
    /// </summary>
    public static async Task LiftAsync(RolloutRun run, SlotPlace slot, AetherStack stack, StepJournal journal, CancellationToken cancellationToken)
    {
        var safeMode = await stack.SafeModeStatusAsync(cancellationToken);
        var simulation = (await stack.SimulationStatusAsync(cancellationToken)).Accounts.Where(s => s.Active).ToList();
        await journal.IntendAsync("lift", new()
        {
            ["slot"] = slot.Name,
            ["safeModeBefore"] = safeMode.Active ? safeMode.Reason : null,
            ["simulationBefore"] = new JsonArray([.. simulation.Select(s => JsonValue.Create(s.AccountId))]),
        });
        foreach (var reason in simulation.Where(s => IsOurs(s.Reason)).Select(s => s.Reason).Distinct())
        {
            await stack.ExitSimulationAsync(reason, cancellationToken);
        }

        if (safeMode.Active && IsOurs(safeMode.Reason))
        {
            await stack.ExitSafeModeAsync(cancellationToken);
        }

        var foreign = Foreign(safeMode, new SimulationStatus(simulation));
        if (foreign.Count > 0)
        {
            throw new RolloutException(
                $"{run.Named(slot)} is under a freeze that no rollout set: {string.Join(", ", foreign)}. It was not lifted; what rollouts had set is lifted.",
                "Ask who set it; run the same command again when it is lifted.",
                ExitCode.Held);
        }
    }

    private static List<string> Foreign(SafeModeStatus safeMode, SimulationStatus simulation)
    {
        var foreign = simulation.Accounts.Where(s => s.Active && !IsOurs(s.Reason)).Select(s => $"simulation mode of {s.AccountId} ('{s.Reason}')").ToList();
        if (safeMode.Active && !IsOurs(safeMode.Reason))
        {
            foreign.Add($"safe mode ('{safeMode.Reason}')");
        }

        return foreign;
    }

    // "No real order" is also what a quiet market looks like; an order that was simulated shows that the OMS heard.
    private static async Task RequireSimulatedFlowAsync(RolloutRun run, SlotPlace slot, AetherStack stack, CancellationToken cancellationToken)
    {
        var before = await stack.OrdersAsync(cancellationToken);
        await Waiting.UntilAsync(
            $"an order of {slot.Name} to be simulated: silence alone proves no fence",
            stack.OrdersAsync,
            now => now.Simulated > before.Simulated,
            now => now.Describe(),
            run.Settings.Duration("Fence.Timeout"),
            TimeSpan.FromMilliseconds(200),
            run.Time,
            run.Console.Progress,
            cancellationToken);
    }

    private static bool IsOurs(string? reason) => reason?.StartsWith("aether-rollout ", StringComparison.Ordinal) == true;
}
