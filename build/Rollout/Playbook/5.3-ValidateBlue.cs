using Cake.Frosting;
using Rollout.Journal;

namespace Rollout.Playbook;

/// <summary>
/// "Validate that the blue stack resumes processing intents."
/// <para>Changes: live's fences, those that rollouts set and no others; the playbook does not say so, and without it trading stays stopped. Done
/// when: orders leave live, an intent is valid, and every host answers at live. Undone by: nothing; this is where a rollback leads.</para>
/// </summary>
[TaskDescription("5.3 Validate blue: live's fences are lifted, and its intents and orders are seen to flow again")]
[IsDependentOn(typeof(RestoreDns))]
public sealed class ValidateBlue : PlaybookStep
{
    protected override bool IsRepeatable => true;

    protected override async Task<StepPlan> CheckAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        await Fences.RequireCandidateAsync(run, cancellationToken);
        var safeMode = await run.LiveStack.SafeModeStatusAsync(cancellationToken);
        var simulated = (await run.LiveStack.SimulationStatusAsync(cancellationToken)).Accounts.Where(s => s.Active).Select(s => s.AccountId).ToList();
        return safeMode.Active || simulated.Count > 0
            ? new StepPlan($"lift safe mode and simulation mode of {run.Named(run.Live)}")
            : StepPlan.Nothing;
    }

    protected override Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken) =>
        Fences.LiftAsync(run, run.Live, run.LiveStack, journal, cancellationToken);

    protected override async Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        await run.LiveStack.WaitUntilOrdersFlowAsync(run.Settings.Duration("Monitoring.OrdersTimeout"), cancellationToken);
        await RequireIntentsAsync(run, cancellationToken);
        if ((await run.ServicesAsync(run.Live, cancellationToken)).Any(s => s.Name == "sequencer"))
        {
            await run.LiveStack.WaitUntilIntentsFlowAsync(run.Settings.Duration("Monitoring.OrdersTimeout"), cancellationToken);
        }
        else
        {
            run.Console.Note("there is no sequencer: its intents are not looked at");
        }

        await Edges.RequireAsync(run, run.Live, cancellationToken);
        run.Console.Note($"{run.Named(run.Live)} serves and trades");
    }

    // A session answers for its own account only, so one account that answers is enough, and no kill switch may be seen.
    private static async Task RequireIntentsAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var intents = await Task.WhenAll(run.Settings.List("Platform.Accounts").Select(a => run.LiveStack.ValidateIntentAsync(a, cancellationToken)));
        if (intents.All(i => !i.Answered) || intents.Any(i => i.KillSwitch))
        {
            throw new RolloutException(
                $"{run.Named(run.Live)} does not process intents: {string.Join("; ", intents.SelectMany(i => i.Reasons.Select(r => $"{i.AccountId}: {r}")))}.",
                "A kill switch is no fence of a rollout: ask who engaged it.",
                ExitCode.Held);
        }
    }

    protected override Task BeginAsync(RolloutRun run) => run.UndoneAsync(nameof(FreezeWrites));
}
