using System.Globalization;
using Cake.Frosting;
using Rollout.Journal;

namespace Rollout.Playbook;

/// <summary>
/// "Store the generated OpenAPI snapshot, CI logs, and Prometheus scrape artifacts in the compliance bucket."
/// <para>Changes: the compliance bucket, nothing in it is overwritten. Done when: every piece of evidence is there with its SHA-256, read back.
/// Undone by: nothing; an archive stays.</para>
/// </summary>
[TaskDescription("4.3 Archive artefacts: all evidence of the release is in the compliance bucket, read back by its SHA-256")]
[IsDependentOn(typeof(AuditGovernance))]
public sealed class ArchiveArtefacts : PlaybookStep
{
    protected override Task<StepPlan> CheckAsync(RolloutRun run, CancellationToken cancellationToken) =>
        Task.FromResult(new StepPlan($"store {run.Evidence.List().Count} files and the journal in the compliance bucket"));

    protected override async Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        await run.Evidence.WriteAsync(Name, $"journal-{run.Journal.Entries.Count}.jsonl", run.Journal.Text, cancellationToken);
        var stored = await run.ArchiveAsync(Attempt(run), [], cancellationToken);
        journal.Result["objects"] = stored.Objects.Count;
        journal.Result["journalHead"] = run.Journal.Head;
        run.Console.Note($"{stored.Objects.Count} objects in the compliance bucket");
    }

    protected override Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken) => run.VerifyArchiveAsync(Attempt(run), cancellationToken);

    // What was archived before a failure or a rollback keeps its folder; a killed attempt goes on in its own.
    private string Attempt(RolloutRun run) => string.Create(
        CultureInfo.InvariantCulture, $"{1 + run.Journal.Entries.Count(e => e.Step == Name && e is { Event: JournalEvent.Failed or JournalEvent.Undone, Part: null })}");
}
