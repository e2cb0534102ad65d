using System.Text.Json.Nodes;
using Cake.Frosting;
using Rollout.Cluster;
using Rollout.Monitoring;

namespace Rollout.Playbook;

/// <summary>
/// "Disable safe mode on the green stack once metrics remain steady."
/// <para>Changes: after live's fence is proven once more, the candidate gets the exchange keys, pods that were
/// restarted for them get live's state files again where there are any, and its fences are lifted. Done when: orders are seen
/// to leave the candidate at live's pace, and none leaves live. Undone by: 5.1.</para>
/// </summary>
[TaskDescription("3.4 Re-enable trading: live's fence is proven once more, then the candidate gets keys and trades")]
[IsDependentOn(typeof(MonitorTraffic))]
public sealed class ReenableTrading : PlaybookStep
{
    protected override async Task<StepPlan> CheckAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        await Fences.RequireAsync(run, run.Live, run.LiveStack, null, cancellationToken);
        return new StepPlan(
            $"give {run.Named(run.Candidate)} the exchange keys of {run.Settings["Platform.Accounts"]} and restart their readers",
            $"lift simulation mode and safe mode of {run.Named(run.Candidate)}",
            $"watch {run.Named(run.Candidate)} for {run.Settings["Monitoring.AfterTrading"]} s more, its orders against live's too");
    }

    protected override async Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        var accounts = run.Settings.List("Platform.Accounts");
        await journal.IntendAsync("exchange-keys", new()
        {
            ["before"] = new JsonArray([.. (await ExchangeKeys.PresentAsync(run.Cluster, run.Candidate.Namespace, accounts, cancellationToken)).Select(a => JsonValue.Create(a))]),
            ["after"] = new JsonArray([.. accounts.Select(a => JsonValue.Create(a))]),
        });
        await ExchangeKeys.CopyAsync(run.Cluster, run.Live.Namespace, run.Candidate.Namespace, accounts, cancellationToken);
        await CandidateUpgrade.ApplyAsync(
            run, run.CandidateValues with { HasExchangeKeys = true, ExchangeKeysChecksum = run.Release }, "3.4 exchange keys", cancellationToken);
        await StateFiles.RepeatAsync(run, journal, cancellationToken);
        await SafeModeSeeds.TakeAwayAsync(run, journal, cancellationToken);
        await Fences.LiftAsync(run, run.Candidate, run.CandidateStack, journal, cancellationToken);
        await run.CandidateStack.WaitUntilOrdersFlowAsync(run.Settings.Duration("Monitoring.OrdersTimeout"), cancellationToken);
        var frozen = run.Progress.FrozenSince ?? run.Time.GetUtcNow();
        var window = run.Time.GetUtcNow() - frozen;
        journal.Result["freezeMs"] = (long)window.TotalMilliseconds;
        run.Console.Note($"orders flow from {run.Named(run.Candidate)}; the freeze lasted at most {window.TotalMilliseconds:0} ms");
        await WatchTradingAsync(run, journal, cancellationToken);
        await WindowTraces.KeepAsync(run, journal, cancellationToken);
    }

    // What the freeze silenced could not be judged before: orders, and what they do to everything else.
    private static Task WatchTradingAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        var interval = run.Settings.Duration("Monitoring.Interval");
        return Watches.RequireSteadyAsync(
            run,
            journal,
            new WatchPlan
            {
                Interval = interval,
                MinimumScrapes = (int)Math.Ceiling(run.Settings.Duration("Monitoring.AfterTrading") / interval) + 1,
                Evaluations = 0,
                Timeout = run.Settings.Duration("Monitoring.Timeout"),
            },
            run.Settings.JudgeThresholds.WhileTrading(),
            cancellationToken);
    }

    protected override Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken) =>
        Fences.RequireAsync(run, run.Live, run.LiveStack, Fences.SecondLook, cancellationToken);
}
