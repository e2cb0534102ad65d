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
        await RequireLiveCanTakeOverAsync(run, cancellationToken);
        if (!await HasOmsAsync(run, cancellationToken))
        {
            run.Console.Note($"{run.Named(run.Candidate)} has no OMS: there is nothing to fence");
            return StepPlan.Nothing;
        }

        return new StepPlan($"fence {run.Named(run.Candidate)}: simulation mode for {run.Settings["Platform.Accounts"]}, safe mode");
    }

    protected override async Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        // The usual rollback is of a candidate that never traded: its clients wait for 5.2, and no proof is needed of fences beside withheld keys.
        var neverHadKeys = await NeverHadKeysAsync(run, cancellationToken);
        try
        {
            await Fences.SetAsync(run, run.Candidate, run.CandidateStack, journal, mustSeeFlow: false, holdsAlready: neverHadKeys, cancellationToken);
        }
        catch (RolloutException exception) when (!cancellationToken.IsCancellationRequested && exception.ExitCode != ExitCode.Refused)
        {
            // A rollback is needed most when the candidate is sick; its own services cannot be what it depends on.
            run.Console.Warning($"{run.Named(run.Candidate)} does not take its fences: {exception.Message}");
            if (neverHadKeys)
            {
                run.Console.Note("it never had exchange keys: that fence holds");
                return;
            }

            await journal.IntendAsync("stop-oms", new() { ["deployment"] = Oms, ["after"] = 0 });
            await run.Deployment.ScaleAsync(run.Candidate.Namespace, Oms, 0);
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

        // The fence first: pods that restart later come after it.
        await SafeModeSeeds.PutBackAsync(run, journal, cancellationToken);
    }

    protected override Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken) => Fences.RequireCandidateAsync(run, cancellationToken);

    protected override Task BeginAsync(RolloutRun run) =>
        run.UndoneAsync(nameof(ReenableTrading), nameof(RefreshAggregates), nameof(AuditGovernance), nameof(ArchiveArtefacts));

    // Fencing the slot that trades, for one that cannot, would stop trading altogether: a retired live, or one that a newer rollout has reused.
    private static async Task RequireLiveCanTakeOverAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var accounts = run.Settings.List("Platform.Accounts");
        var keys = await ExchangeKeys.PresentAsync(run.Cluster, run.Live.Namespace, accounts, cancellationToken);
        var revision = await run.Cluster.HelmRevisionAsync(run.Live.Namespace, run.Settings["Chart.ReleaseName"]!, cancellationToken);
        if (revision is null || keys.Count < accounts.Count)
        {
            throw new RolloutException(
                $"{run.Named(run.Live)} cannot take over: it has {(revision is null ? "no stack" : $"release revision {revision.Number}")} and the exchange keys of {keys.Count} of {accounts.Count} accounts. Nothing was changed.",
                "A newer rollout may be using this slot: roll that one back, or roll out forward.",
                ExitCode.Held);
        }
    }

    // Pods read their keys when they start, so keys that are gone now prove nothing; keys that this rollout never handed out do.
    internal static async Task<bool> NeverHadKeysAsync(RolloutRun run, CancellationToken cancellationToken) =>
        run.Journal.Last(nameof(ReenableTrading), JournalEvent.Intent, "exchange-keys") is null
        && run.Journal.IsDone(nameof(InstallChart))
        && (await ExchangeKeys.PresentAsync(run.Cluster, run.Candidate.Namespace, run.Settings.List("Platform.Accounts"), cancellationToken)).Count == 0;

    /// <summary>Whether the candidate's OMS may run: pods that are away for a moment come back, a Deployment scaled to 0 does not.</summary>
    internal static async Task<bool> HasOmsAsync(RolloutRun run, CancellationToken cancellationToken) =>
        await run.Cluster.GetAsync($"/apis/apps/v1/namespaces/{run.Candidate.Namespace}/deployments/{Oms}", cancellationToken) is { } deployment
        && (deployment["spec"]!["replicas"]!.GetValue<int>() > 0
            || (await run.Cluster.ListAsync($"/api/v1/namespaces/{run.Candidate.Namespace}/pods?labelSelector=app={Oms}", cancellationToken)).Count > 0);
}
