using System.Text.Json.Nodes;
using Cake.Frosting;
using Rollout.Journal;

namespace Rollout.Playbook;

/// <summary>
/// "Enable safe mode on the blue environment to halt order submission while keeping read APIs available."
/// <para>Changes: first, while clients notice nothing, the candidate gets the production hosts, live's certificates and live's size, and live is
/// measured; then live's fences, then simulation mode on the candidate. Nothing is frozen for a candidate that clients could not be sent to.
/// Done when: no order leaves live, seen on every OMS pod, and reads still work. Undone by: 5.3.</para>
/// </summary>
[TaskDescription("3.1 Freeze writes: live is fenced, and its orders are seen to stop; reads go on")]
[IsDependentOn(typeof(Deploy))]
public sealed class FreezeWrites : PlaybookStep
{
    protected override async Task<StepPlan> CheckAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        await run.LiveStack.PreflightAsync(cancellationToken);
        await run.CandidateStack.PreflightAsync(cancellationToken);
        foreach (var (slot, stack) in new[] { (run.Live, run.LiveStack), (run.Candidate, run.CandidateStack) })
        {
            await Fences.RefuseForeignAsync(run, slot, stack, cancellationToken);
            await Sessions.RequireAsync(run, slot, cancellationToken);
        }

        return new StepPlan(
            $"serve the {run.Hosts.Count} production hosts on {run.Named(run.Candidate)} too, before clients are sent there",
            $"make {run.Named(run.Candidate)} as large as {run.Named(run.Live)}, and copy certificates that were renewed there",
            $"measure {run.Named(run.Live)} for {run.Settings["Monitoring.Baseline"]} s as the baseline",
            $"fence {run.Named(run.Live)}: simulation mode for {run.Settings["Platform.Accounts"]}, safe mode",
            $"set simulation mode of {run.Named(run.Candidate)} too, for the orders of clients that 3.2 sends there");
    }

    protected override async Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        // Live's size before anything else: the upgrade that brings the hosts gives it to the candidate.
        await journal.PartAsync(Replicas.Part, async data => data[Replicas.Part] = await Replicas.ReadAsync(run, run.Live, cancellationToken));
        await journal.PartAsync(Replicas.CandidatePart, _ => PrepareCandidateAsync(run, journal, cancellationToken));
        await journal.PartAsync(Watches.BaselinePart, data => Watches.MeasureAsync(run, data, cancellationToken));
        await Watches.KeepBaselineAsync(run, journal);
        if (run.Progress.FrozenSince is null)
        {
            await LookAgainAsync(run, journal, cancellationToken);
        }

        await run.LiveStack.PreflightAsync(cancellationToken);
        await run.BeginDrillAsync(Name, cancellationToken);
        run.Console.Note($"freezing {run.Named(run.Live)}: no slot trades from here on");
        var since = await Fences.SetAsync(run, run.Live, run.LiveStack, journal, mustSeeFlow: true, holdsAlready: false, cancellationToken);
        await Fences.RefuseSharedAsync(run, cancellationToken);
        await Fences.SimulateCandidateAsync(run, journal, cancellationToken);
        journal.Result["frozenSince"] = since.ToString("O");
    }

    private static async Task PrepareCandidateAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        var values = run.CandidateValues with { ServesProduction = true, Replicas = new Dictionary<string, int>() };
        var rendered = await run.RenderAsync(run.Candidate, values, "sizes", cancellationToken);
        var counts = await Replicas.CandidateCountsAsync(run, values, rendered, cancellationToken);
        await Certificates.CopyAsync(run, rendered, journal, cancellationToken);
        var intent = new JsonObject { ["before"] = false, ["after"] = true };
        Replicas.Keep(counts, intent);
        await journal.IntendAsync(Replicas.CandidatePart, intent);
        await CandidateUpgrade.ApplyAsync(run, run.CandidateValues, "3.1 production hosts", cancellationToken);
        await Edges.RequireReadyAsync(run, cancellationToken, tells: true);
    }

    // The last moment before nobody trades. An earlier attempt may have prepared the candidate hours ago, and live may have grown while it was measured.
    private static async Task LookAgainAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        if (await Replicas.HasLiveGrownAsync(run, cancellationToken))
        {
            run.Console.Note($"{run.Named(run.Live)} has grown since its size was written down");
            await journal.AppendAsync(JournalEvent.Done, Replicas.Part, new() { [Replicas.Part] = await Replicas.ReadAsync(run, run.Live, cancellationToken) });
        }

        if ((await Replicas.MissingAsync(run, cancellationToken)).Count > 0)
        {
            await PrepareCandidateAsync(run, journal, cancellationToken);
        }
        else
        {
            await Edges.RequireReadyAsync(run, cancellationToken);
        }
    }

    protected override async Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        await Fences.RequireAsync(run, run.Live, run.LiveStack, Fences.SecondLook, cancellationToken);
        var reads = await run.LiveStack.ReadsWorkAsync(cancellationToken);
        if (!reads.Works)
        {
            throw new RolloutException($"{run.Named(run.Live)} is frozen, but its reads do not work: {string.Join("; ", reads.Seen)}.", $"Roll back: {run.CommandFor("Rollback")}");
        }
    }
}
