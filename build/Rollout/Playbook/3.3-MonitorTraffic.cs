using System.Text.Json.Nodes;
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
        var remaining = await run.RemainingTrafficOf(run.Live).BeginAsync(cancellationToken);
        var watch = await run.WatchOf(run.Candidate).WatchAsync(
            new WatchPlan
            {
                Interval = run.Settings.Duration("Monitoring.Interval"),
                Evaluations = run.Settings.WholeNumber("Monitoring.Cycles"),
                Timeout = run.Settings.Duration("Monitoring.Timeout"),
            },
            cancellationToken);
        await journal.KeepAsync("observed.series", watch.Series.ToText());
        run.Console.Note($"{run.Named(run.Candidate)}: {watch.Summary}");
        var left = await remaining(cancellationToken);
        journal.Result["remainingPerSecond"] = left.Problem is null ? Math.Round(left.Total, 2) : null;
        run.Console.Note($"clients still ask {run.Named(run.Live)}: {left}");
        var baseline = run.Journal.Last(nameof(FreezeWrites), Journal.JournalEvent.Done, "baseline")?.Data?["series"]?.GetValue<string>()
            ?? throw new RolloutException("The baseline of live is not in the journal.", "It is measured by 3.1.", ExitCode.Held);
        var judgement = SteadinessJudge.Judge(WatchSeries.FromText(baseline), watch.Series, new JudgeThresholds
        {
            ErrorRatioMargin = run.Settings.WholeNumber("Monitoring.ErrorPercent") / 100.0,
            LatencyFactor = 1 + (run.Settings.WholeNumber("Monitoring.LatencyPercent") / 100.0),
        });
        journal.Result["verdict"] = judgement.Verdict.ToString();
        journal.Result["reason"] = judgement.Reason;
        await journal.KeepAsync("judgement.txt", judgement.Message);
        run.Console.Note($"{judgement.Verdict}: {judgement.Message}");
        if (judgement.Verdict != Verdict.Successful)
        {
            throw new RolloutException(
                $"The watch of {run.Named(run.Candidate)} ended {judgement.Verdict} ({judgement.Reason}): {judgement.Message}",
                judgement.Verdict == Verdict.Inconclusive ? "There was not enough evidence either way; that is no success." : null);
        }
    }

    protected override Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken) => Task.CompletedTask;
}
