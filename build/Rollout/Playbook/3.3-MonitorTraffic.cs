using Cake.Frosting;
using Rollout.Monitoring;

namespace Rollout.Playbook;

/// <summary>
/// "Watch Prometheus dashboards and OpenTelemetry traces for latency or error spikes for at least two evaluation cycles of the scaling controller."
/// <para>Changes: nothing. Done when: the scaling controller of the candidate has evaluated twice and the judge says Successful from positive
/// evidence. Undone by: nothing to undo.</para>
/// </summary>
[TaskDescription("3.3 Monitor traffic: no worse than live's baseline over at least two scaling evaluations")]
[IsDependentOn(typeof(FlipDns))]
public sealed class MonitorTraffic : PlaybookStep
{
    protected override Task<StepPlan> CheckAsync(RolloutRun run, CancellationToken cancellationToken) => Task.FromResult(new StepPlan(
        $"nothing; {run.Named(run.Candidate)} is watched for {run.Settings["Monitoring.Cycles"]} scaling evaluations and judged"));

    protected override async Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        await run.BeginDrillAsync(Name, cancellationToken);
        var remaining = await run.RemainingTrafficOf(run.Live).BeginAsync(cancellationToken);
        try
        {
            await Watches.RequireSteadyAsync(
                run,
                journal,
                new WatchPlan
                {
                    Interval = run.Settings.Duration("Monitoring.Interval"),
                    MinimumScrapes = Watches.ScrapesAgainst(Watches.Baseline(run)),
                    Evaluations = run.Settings.WholeNumber("Monitoring.Cycles"),
                    Timeout = run.Settings.Duration("Monitoring.Timeout"),
                    Health = await Candidates.HealthLookAsync(run, cancellationToken),
                },
                run.Settings.JudgeThresholds,
                cancellationToken);
        }
        finally
        {
            var left = await remaining(cancellationToken);
            journal.Result["remainingPerSecond"] = left.Problem is null ? Math.Round(left.Total, 2) : null;
            run.Console.Note($"clients still ask {run.Named(run.Live)}: {left}");
        }
    }

    protected override Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken) => Task.CompletedTask;
}
