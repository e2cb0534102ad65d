using System.Text.Json.Nodes;
using Cake.Frosting;
using Rollout.Cluster;

namespace Rollout.Playbook;

/// <summary>
/// "Disable safe mode on the green stack once metrics remain steady."
/// <para>Changes: after live's fence is proven once more, the candidate gets the exchange keys, pods that were
/// restarted for them get live's state files again where there are any, and its fences are lifted. Done when: orders are seen
/// to leave the candidate, and none leaves live. Undone by: 5.1.</para>
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
            $"lift simulation mode and safe mode of {run.Named(run.Candidate)}");
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
    }

    protected override Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken) =>
        Fences.RequireAsync(run, run.Live, run.LiveStack, Fences.SecondLook, cancellationToken);
}
