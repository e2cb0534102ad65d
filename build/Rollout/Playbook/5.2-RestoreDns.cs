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
        // No look at the zone before it is written to: every second counts. And a DNS provider that is away must not keep live's fences up when
        // no record of ours was ever written.
        var records = WasFlipped(run) ? [$"point {run.Hosts.Count} hosts back at {await run.AddressesAsync(run.Live, cancellationToken)} ({run.Named(run.Live)})"] : Array.Empty<string>();
        return new StepPlan([.. records, .. (await ShrunkAsync(run, cancellationToken)).Select(d => $"scale {d.Name} of {run.Named(run.Live)} from {d.Now} back to {d.Wanted}")]);
    }

    protected override async Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        // Started before the records are written, awaited after: clients come back as their caches run out, not all at once.
        var shrunk = await ShrunkAsync(run, cancellationToken);
        foreach (var (name, now, wanted) in shrunk)
        {
            await journal.IntendAsync("replicas", new() { ["deployment"] = name, ["before"] = now, ["after"] = wanted });
            await run.Deployment.ScaleAsync(run.Live.Namespace, name, wanted);
        }

        if (WasFlipped(run))
        {
            await DnsFlip.PointAsync(run, run.Live, journal, cancellationToken);
            var decided = run.Journal.Entries.Last(e => e is { Step: nameof(ReenableSafeMode), Event: JournalEvent.Started, Part: null }).Time;
            journal.Result["decisionMs"] = (long)(run.Time.GetUtcNow() - decided).TotalMilliseconds;
            run.Console.Note($"from the decision to the last record: {(run.Time.GetUtcNow() - decided).TotalSeconds:0.0} s");
        }

        foreach (var (name, _, _) in shrunk)
        {
            await run.Deployment.RolloutStatusAsync(run.Live.Namespace, name, run.Settings.Duration("Chart.Timeout"));
        }
    }

    protected override Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken) =>
        WasFlipped(run) ? DnsFlip.RequireAsync(run, run.Live, cancellationToken) : Task.CompletedTask;

    private static bool WasFlipped(RolloutRun run) => run.Journal.Last(nameof(FlipDns), JournalEvent.Intent, "records") is not null;

    protected override Task BeginAsync(RolloutRun run) => run.UndoneAsync(nameof(FlipDns), nameof(MonitorTraffic));

    private static Task<IReadOnlyList<(string Name, int Now, int Wanted)>> ShrunkAsync(RolloutRun run, CancellationToken cancellationToken) =>
        Replicas.ShrunkAsync(run, run.Live, cancellationToken);
}
