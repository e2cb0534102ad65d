using System.Text.Json.Nodes;
using Cake.Frosting;
using Rollout.Monitoring;

namespace Rollout.Playbook;

/// <summary>
/// "Enable safe mode on the blue environment to halt order submission while keeping read APIs available."
/// <para>Changes: first, while clients notice nothing, the candidate's ingress gets the production hosts and live is measured; then live's fences.
/// Done when: no order leaves live, seen on every OMS pod, and reads still work. Undone by: 5.3.</para>
/// </summary>
[TaskDescription("3.1 Freeze writes: live is fenced, and its orders are seen to stop; reads go on")]
[IsDependentOn(typeof(Deploy))]
public sealed class FreezeWrites : PlaybookStep
{
    protected override async Task<StepPlan> CheckAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        await run.LiveStack.PreflightAsync(cancellationToken);
        await run.CandidateStack.PreflightAsync(cancellationToken);
        return new StepPlan(
            $"serve the {run.Hosts.Count} production hosts on {run.Named(run.Candidate)} too, before clients are sent there",
            $"measure {run.Named(run.Live)} for {run.Settings["Monitoring.Baseline"]} s as the baseline",
            $"fence {run.Named(run.Live)}: simulation mode for {run.Settings["Platform.Accounts"]}, safe mode");
    }

    protected override async Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        await journal.PartAsync("production-hosts", async _ =>
        {
            await journal.IntendAsync("production-hosts", new() { ["before"] = false, ["after"] = true });
            await run.UpgradeCandidateAsync(run.CandidateValues, "3.1 production hosts", cancellationToken);
            await Edges.RequireAsync(run, run.Candidate, cancellationToken);
        });
        await journal.PartAsync("baseline", async data =>
        {
            using var watch = run.WatchOf(run.Live);
            data["series"] = (await watch.ObserveAsync(
                run.Settings.Duration("Monitoring.Baseline"), run.Settings.Duration("Monitoring.Interval"), cancellationToken)).ToJson();
        });
        await run.LiveStack.PreflightAsync(cancellationToken);
        run.Console.Note($"freezing {run.Named(run.Live)}: no slot trades from here on");
        var since = await Fences.SetAsync(run, run.Live, run.LiveStack, journal, cancellationToken);
        journal.Result["frozenSince"] = since.ToString("O");
    }

    protected override async Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        await Fences.RequireAsync(run, run.Live, run.LiveStack, cancellationToken);
        await run.LiveStack.ReadsWorkAsync(cancellationToken);
    }
}
