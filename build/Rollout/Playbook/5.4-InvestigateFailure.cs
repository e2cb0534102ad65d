using System.Globalization;
using System.Text;
using Cake.Frosting;
using Rollout.Archive;
using Rollout.Environments;
using Rollout.Investigation;
using Rollout.Journal;

namespace Rollout.Playbook;

/// <summary>
/// "Investigate the failing change using the preserved OpenTelemetry traces and Prometheus snapshots before attempting another rollout."
/// <para>Changes: evidence, and its copy in the compliance bucket. Done when: what a person needs to investigate is kept before it expires, as one bundle: traces, metrics, logs, events, objects, the
/// differences of the two stacks, with an index that says where to look first. Undone by: nothing to undo.</para>
/// </summary>
[TaskDescription("5.4 Investigate: traces, metrics, logs, events and differences of the failing change are kept before they expire")]
[IsDependentOn(typeof(ValidateBlue))]
public sealed class InvestigateFailure : PlaybookStep
{
    // Traces older than this are gone (platform contract, section 9), and a stage may have been days ago.
    private static readonly TimeSpan Longest = TimeSpan.FromHours(48);
    private static readonly TimeSpan Before = TimeSpan.FromMinutes(5);

    protected override bool IsRepeatable => true;

    protected override Task<StepPlan> CheckAsync(RolloutRun run, CancellationToken cancellationToken) =>
        Task.FromResult(new StepPlan($"keep traces, metrics, logs, events and differences of both slots under {Path.Combine(run.Folder, IncidentBundle.FolderName)}"));

    protected override async Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        var folder = new EvidenceFolder(run.Folder);
        var bundle = new IncidentBundle(run.Cluster.Http, folder, Secrets(run), run.Time);
        using var traces = run.OpenTraces();
        var report = await bundle.ExportAsync(
            IncidentOf(run),
            traces,
            run.Settings["Monitoring.Prometheus"] is { Length: > 0 } prometheus ? new Uri(prometheus) : null,
            [MetricsOf(run, run.Candidate), MetricsOf(run, run.Live)],
            cancellationToken);

        // The bundle is bound to the journal by the digest of its sums.
        await journal.KeepAsync("INDEX.md", await File.ReadAllTextAsync(folder.FullPath($"{IncidentBundle.FolderName}/index.md"), cancellationToken));
        await journal.KeepAsync("incident.sha256sums", string.Concat(report.Files.Select(f => $"{f.Sha256}  {f.Path}\n")));
        journal.Result["files"] = report.Files.Count;
        journal.Result["missing"] = report.Missing.Count;
        foreach (var finding in report.Findings.Take(3))
        {
            run.Console.Note(finding.Title);
        }

        foreach (var missing in report.Missing)
        {
            // The rollback is done; a source that is away must not turn it into a failure.
            run.Console.Warning($"not kept: {missing}");
        }

        await ArchiveAsync(run, folder, cancellationToken);
        run.Console.Note($"{report.Files.Count} files; start reading at {Path.Combine(run.Folder, IncidentBundle.FolderName, "index.html")}");
    }

    protected override Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var changed = new EvidenceFolder(run.Folder).List().Where(f => f.Bytes < 0).Select(f => f.Path).ToList();
        return changed.Count == 0
            ? Task.CompletedTask
            : throw new RolloutException($"{changed.Count} files of the incident are gone, the first: {changed[0]}.", "Run the step again: it fetches what still exists.");
    }

    // Each export has other content, so each is archived by itself. The rollback is done: a bucket that is away must not turn it into a failure.
    private async Task ArchiveAsync(RolloutRun run, EvidenceFolder folder, CancellationToken cancellationToken)
    {
        var attempt = string.Create(CultureInfo.InvariantCulture, $"incident-{run.Journal.Entries.Count(e => e.Step == Name && e is { Event: JournalEvent.Started, Part: null })}");
        await run.Evidence.WriteAsync(Name, $"journal-{run.Journal.Entries.Count}.jsonl", run.Journal.Text, cancellationToken);
        try
        {
            var stored = await run.ArchiveAsync(attempt, [new ArchiveSource(folder, IncidentBundle.FolderName)], cancellationToken);
            run.Console.Note($"{stored.Objects.Count} objects in the compliance bucket, under {attempt}");
        }
        catch (RolloutException exception)
        {
            run.Console.Warning($"not archived: {exception.Message} Run the step again, or keep {run.Folder} by hand.");
        }
    }

    private static Incident IncidentOf(RolloutRun run)
    {
        // A failure that a later attempt got over is none of this incident's.
        var entries = run.Journal.Entries;
        var failure = entries.LastOrDefault(e => e.Event == JournalEvent.Failed
            && !entries.Any(later => later.Sequence > e.Sequence && later is { Event: JournalEvent.Done, Part: null } && later.Step == e.Step));
        var now = run.Time.GetUtcNow();
        var began = (run.Journal.Last(nameof(FreezeWrites), JournalEvent.Started) ?? run.Journal.Last(nameof(InstallChart), JournalEvent.Started) ?? run.Journal.Entries[0]).Time - Before;
        return new Incident(
            run.Release,
            new IncidentSlot(run.Live.Name, run.Live.Namespace, run.Named(run.Live)),
            new IncidentSlot(run.Candidate.Name, run.Candidate.Namespace, run.Named(run.Candidate)),
            failure?.Step,
            failure?.Data?["message"]?.GetValue<string>(),
            failure?.Time,
            now - began > Longest ? now - Longest : began,
            now,
            [.. run.Evidence.List().Where(f => f.Bytes >= 0 && !f.Path.StartsWith(nameof(InvestigateFailure), StringComparison.Ordinal)).Select(f => $"evidence/{f.Path}")]);
    }

    private static IncidentSource MetricsOf(RolloutRun run, SlotPlace slot) => new($"metrics of {run.Named(slot)}", async token =>
    {
        var stack = slot == run.Live ? run.LiveStack : run.CandidateStack;
        var metrics = new StringBuilder();
        foreach (var snapshot in await stack.SnapshotAsync(await run.ServicesAsync(slot, token), $"rollout-{run.Release}-5.4", token))
        {
            metrics.AppendLine($"# {snapshot.Service.Name}: {snapshot.Health}").AppendLine(snapshot.Metrics);
        }

        return [($"{slot.Name}-metrics.txt", metrics.ToString())];
    });

    private static IEnumerable<Secret> Secrets(RolloutRun run) =>
        run.Settings.Values.Where(v => v.Setting.IsSecret && v.Value is not null).Select(v => new Secret(v.Value!))
            .Concat(new[] { run.Surroundings.DnsToken, run.Surroundings.GithubToken, run.Surroundings.RegistryToken, run.Surroundings.Database, run.Live.Session, run.Candidate.Session, run.Live.Redis, run.Candidate.Redis }.OfType<Secret>());
}
