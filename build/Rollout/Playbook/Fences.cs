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
    /// <exception cref="RolloutException">Orders still flow, or a pod cannot be read: not proven.</exception>
    public static async Task<DateTimeOffset> SetAsync(RolloutRun run, SlotPlace slot, AetherStack stack, StepJournal journal, CancellationToken cancellationToken)
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
        await stack.EnterSimulationAsync(run.FenceReason, cancellationToken);
        if (!safeMode.Active)
        {
            await stack.EnterSafeModeAsync(run.FenceReason, cancellationToken);
        }

        await stack.WaitUntilOrdersStopAsync(run.Settings.Duration("Fence.Quiet"), run.Settings.Duration("Fence.Timeout"), cancellationToken);
        return run.Time.GetUtcNow() - run.Settings.Duration("Fence.Quiet");
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
        var foreign = simulation.Where(s => !IsOurs(s.Reason)).Select(s => $"simulation mode of {s.AccountId} ('{s.Reason}')").ToList();
        if (safeMode.Active && !IsOurs(safeMode.Reason))
        {
            foreign.Add($"safe mode ('{safeMode.Reason}')");
        }

        if (foreign.Count > 0)
        {
            throw new RolloutException(
                $"{run.Named(slot)} is under a freeze that no rollout set: {string.Join(", ", foreign)}. It was not lifted.",
                "Ask who set it; run the same command again when it is lifted.",
                ExitCode.Held);
        }

        if (simulation.Count > 0)
        {
            await stack.ExitSimulationAsync(cancellationToken);
        }

        if (safeMode.Active)
        {
            await stack.ExitSafeModeAsync(cancellationToken);
        }
    }

    private static bool IsOurs(string? reason) => reason?.StartsWith("aether-rollout ", StringComparison.Ordinal) == true;
}
