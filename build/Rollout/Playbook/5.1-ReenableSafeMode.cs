using Cake.Frosting;
using Rollout.Cluster;
using Rollout.Journal;

namespace Rollout.Playbook;

/// <summary>
/// "Re-enable safe mode on the green stack."
/// <para>Changes: the candidate's fences. Done when: no order leaves the candidate, seen on every OMS pod, or it has no OMS. Undone by: the next
/// rollout's 3.4.</para>
/// </summary>
[TaskDescription("5.1 Re-enable safe mode: the candidate is fenced and its orders are seen to stop")]
public sealed class ReenableSafeMode : PlaybookStep
{
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

    protected override Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken) =>
        Fences.SetAsync(run, run.Candidate, run.CandidateStack, journal, cancellationToken);

    protected override async Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        if (await HasOmsAsync(run, cancellationToken))
        {
            await Fences.RequireAsync(run, run.Candidate, run.CandidateStack, Fences.SecondLook, cancellationToken);
        }
    }

    protected override Task FinishedAsync(RolloutRun run, StepJournal journal) => run.UndoneAsync(nameof(ReenableTrading), nameof(RefreshAggregates), nameof(AuditGovernance), nameof(ArchiveArtefacts));

    private static async Task<bool> HasOmsAsync(RolloutRun run, CancellationToken cancellationToken) =>
        (await run.Cluster.ListAsync($"/api/v1/namespaces/{run.Candidate.Namespace}/pods?labelSelector=app=oms-service", cancellationToken)).Count > 0;
}
