using Cake.Frosting;
using Rollout.Journal;

namespace Rollout.Playbook;

/// <summary>
/// "Restore DNS to the blue ingress addresses."
/// <para>Changes: live's replicas where they shrank in the freeze, then the address of every host, all or none. Done when: every name server
/// answers live's address. Undone by: the next rollout's 3.2.</para>
/// </summary>
[TaskDescription("5.2 Restore DNS: all hosts point at live again, seen on every name server")]
[IsDependentOn(typeof(ReenableSafeMode))]
public sealed class RestoreDns : PlaybookStep
{
    protected override bool IsRepeatable => true;

    protected override async Task<StepPlan> CheckAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        // A DNS provider that is away must not keep live's fences up when no record of ours was ever written.
        var plan = WasFlipped(run) ? await DnsFlip.PlanAsync(run, run.Live, cancellationToken) : StepPlan.Nothing;
        return new StepPlan([.. (await ShrunkAsync(run, cancellationToken)).Select(d => $"scale {d.Name} of {run.Named(run.Live)} from {d.Now} back to {d.Wanted}"), .. plan.Changes]);
    }

    protected override async Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        foreach (var (name, now, wanted) in await ShrunkAsync(run, cancellationToken))
        {
            await journal.IntendAsync("replicas", new() { ["deployment"] = name, ["before"] = now, ["after"] = wanted });
            await run.Deployment.ScaleAsync(run.Live.Namespace, name, wanted);
            await run.Deployment.RolloutStatusAsync(run.Live.Namespace, name, run.Settings.Duration("Chart.Timeout"));
        }

        if (WasFlipped(run))
        {
            await DnsFlip.PointAsync(run, run.Live, journal, cancellationToken);
        }
    }

    protected override Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken) =>
        WasFlipped(run) ? DnsFlip.RequireAsync(run, run.Live, cancellationToken) : Task.CompletedTask;

    private static bool WasFlipped(RolloutRun run) => run.Journal.Last(nameof(FlipDns), JournalEvent.Intent, "records") is not null;

    protected override Task BeginAsync(RolloutRun run) => run.UndoneAsync(nameof(FlipDns), nameof(MonitorTraffic));

    private static Task<IReadOnlyList<(string Name, int Now, int Wanted)>> ShrunkAsync(RolloutRun run, CancellationToken cancellationToken) =>
        Replicas.ShrunkAsync(run, run.Live, cancellationToken);
}
