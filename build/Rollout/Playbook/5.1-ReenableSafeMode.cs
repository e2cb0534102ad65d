using Cake.Frosting;
using Rollout.Cluster;
using Rollout.Journal;

namespace Rollout.Playbook;

/// <summary>
/// "Re-enable safe mode on the green stack."
/// <para>Changes: the candidate's fences; where its own services are too sick to set them, its OMS is stopped. Done when: no order can leave the
/// candidate: its fences hold, or it never had exchange keys, or it has no OMS. Undone by: the next rollout.</para>
/// </summary>
[TaskDescription("5.1 Re-enable safe mode: the candidate is fenced and its orders are seen to stop")]
public sealed class ReenableSafeMode : PlaybookStep
{
    private const string Oms = "oms-service";

    protected override bool IsRepeatable => true;

    protected override async Task<StepPlan> CheckAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        if (!await HasOmsAsync(run, cancellationToken))
        {
            run.Console.Note($"{run.Named(run.Candidate)} has no OMS: there is nothing to fence");
            return StepPlan.Nothing;
        }

        return new StepPlan($"fence {run.Named(run.Candidate)}: simulation mode for {run.Settings["Platform.Accounts"]}, safe mode");
    }

    protected override async Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        try
        {
            await Fences.SetAsync(run, run.Candidate, run.CandidateStack, journal, cancellationToken);
        }
        catch (RolloutException exception) when (!cancellationToken.IsCancellationRequested)
        {
            // A rollback is needed most when the candidate is sick; its own services cannot be what it depends on.
            run.Console.Warning($"{run.Named(run.Candidate)} does not take its fences: {exception.Message}");
            if (await NeverHadKeysAsync(run, cancellationToken))
            {
                run.Console.Note("it never had exchange keys: that fence holds");
                return;
            }

            await journal.IntendAsync("stop-oms", new() { ["deployment"] = Oms, ["after"] = 0 });
            await run.Deployment.ScaleAsync(run.Candidate.Namespace, Oms, 0);
        }
    }

    protected override async Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        if (run.Journal.Last(Name, JournalEvent.Intent, "stop-oms")?.Sequence > run.Journal.Last(Name, JournalEvent.Started)?.Sequence)
        {
            await Waiting.UntilAsync(
                $"the OMS of {run.Candidate.Name} to be gone",
                token => HasOmsAsync(run, token),
                there => !there,
                _ => "it still has pods",
                run.Settings.Duration("Fence.Timeout"),
                TimeSpan.FromMilliseconds(250),
                run.Time,
                run.Console.Progress,
                cancellationToken);
        }
        else if (!await NeverHadKeysAsync(run, cancellationToken) && await HasOmsAsync(run, cancellationToken))
        {
            await Fences.RequireAsync(run, run.Candidate, run.CandidateStack, Fences.SecondLook, cancellationToken);
        }
    }

    protected override Task FinishedAsync(RolloutRun run, StepJournal journal) =>
        run.UndoneAsync(nameof(ReenableTrading), nameof(RefreshAggregates), nameof(AuditGovernance), nameof(ArchiveArtefacts));

    // Pods read their keys when they start, so keys that are gone now prove nothing; keys that this rollout never handed out do.
    private static async Task<bool> NeverHadKeysAsync(RolloutRun run, CancellationToken cancellationToken) =>
        run.Journal.Last(nameof(ReenableTrading), JournalEvent.Intent, "exchange-keys") is null
        && run.Journal.IsDone(nameof(InstallChart))
        && (await ExchangeKeys.PresentAsync(run.Cluster, run.Candidate.Namespace, run.Settings.List("Platform.Accounts"), cancellationToken)).Count == 0;

    private static async Task<bool> HasOmsAsync(RolloutRun run, CancellationToken cancellationToken) =>
        (await run.Cluster.ListAsync($"/api/v1/namespaces/{run.Candidate.Namespace}/pods?labelSelector=app={Oms}", cancellationToken)).Count > 0;
}
