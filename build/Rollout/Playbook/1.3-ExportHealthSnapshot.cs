using System.Text.Json.Nodes;
using Cake.Frosting;
using Rollout.Platform;

namespace Rollout.Playbook;

/// <summary>
/// "Capture current /healthz and /metrics output for every service and store them in the governance audit trail."
/// <para>Changes: evidence files, and one row in the audit trail. Done when: every service of live has one of the four outcomes on record.
/// Undone by: nothing to undo.</para>
/// </summary>
[TaskDescription("1.3 Export a health snapshot: /healthz and /metrics of every live service go into the evidence and the audit trail")]
[IsDependentOn(typeof(VerifyMigrations))]
public sealed class ExportHealthSnapshot : PlaybookStep
{
    protected override async Task<StepPlan> CheckAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var services = await run.ServicesAsync(run.Live, cancellationToken);
        return services.Count > 0
            ? new StepPlan($"store /healthz and /metrics of {services.Count} services of {run.Named(run.Live)}")
            : throw new RolloutException(
                $"{run.Named(run.Live)} has no services in namespace {run.Live.Namespace}.", $"Look: kubectl get services -n {run.Live.Namespace}");
    }

    protected override async Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        // A run that was killed at the audit row has its files already; a second snapshot would leave a second row.
        var taken = run.Journal.Last(Name, Journal.JournalEvent.Intent, "audit-row")?.Data is { } kept && IsOnThisMachine(run, kept)
            ? (JsonObject)kept.DeepClone()
            : await CaptureAsync(run, journal, cancellationToken);
        journal.Result["evidence"] = new JsonObject { [taken["manifest"]!.GetValue<string>()] = taken["sha256"]!.DeepClone() };
        journal.Result["health"] = taken["health"]!.DeepClone();
        var problem = run.Settings["Governance.SnapshotRow"] == "off"
            ? "Governance.SnapshotRow is off"
            : await run.Database.RecordSnapshotAsync(taken["sha256"]!.GetValue<string>(), run.Release, cancellationToken);
        journal.Result["auditRow"] = problem is null;
        if (problem is null || run.Settings["Governance.SnapshotRow"] == "off")
        {
            run.Console.Note(problem is null ? "one row in the audit trail" : $"no row in the audit trail: {problem}");
        }
        else
        {
            run.Console.Warning($"No row about the snapshot is in the audit trail: {problem}. Its files and their SHA-256 are in the evidence all the same; Governance.SnapshotRow=off says that none is wanted.");
        }

        await RequireRowAsync(run, journal.Result, taken, cancellationToken);
    }

    private static async Task<JsonObject> CaptureAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        var services = await run.ServicesAsync(run.Live, cancellationToken);
        var snapshots = await run.LiveStack.SnapshotAsync(services, $"rollout-{run.Release}-1.3", cancellationToken);
        var outcomes = new JsonObject();
        var manifest = new JsonObject();
        foreach (var snapshot in snapshots)
        {
            outcomes[snapshot.Service.Name] = snapshot.Health.ToString().ToLowerInvariant();
            if (snapshot.HealthBody is not null)
            {
                manifest[$"{snapshot.Service.Name}.healthz.json"] = (await journal.KeepAsync($"{snapshot.Service.Name}.healthz.json", snapshot.HealthBody)).Sha256;
            }

            if (snapshot.Metrics is not null)
            {
                manifest[$"{snapshot.Service.Name}.metrics.txt"] = (await journal.KeepAsync($"{snapshot.Service.Name}.metrics.txt", snapshot.Metrics)).Sha256;
            }
        }

        // The files' digests are in the manifest, and its digest is in the journal; a line a file would only fill the journal.
        var kept = await journal.KeepAsync("manifest.json", manifest.ToJsonString());
        run.Console.Note(string.Join(", ", snapshots.GroupBy(s => s.Health).OrderBy(g => g.Key).Select(g => $"{g.Count()} {g.Key.ToString().ToLowerInvariant()}")));
        var taken = new JsonObject { ["manifest"] = kept.Path, ["sha256"] = kept.Sha256, ["health"] = outcomes };
        await journal.IntendAsync("audit-row", (JsonObject)taken.DeepClone());
        return taken;
    }

    private static bool IsOnThisMachine(RolloutRun run, JsonObject kept) =>
        run.Evidence.Verify().Count == 0 && run.Evidence.Find(kept["manifest"]!.GetValue<string>(), kept["sha256"]!.GetValue<string>()) is not null;

    protected override async Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var broken = run.Evidence.Verify();
        if (broken.Count > 0)
        {
            throw new RolloutException($"Evidence was changed after it was written: {string.Join(", ", broken)}.");
        }

        if (run.Journal.Last(Name, Journal.JournalEvent.Done)?.Data is { } done && run.Journal.Last(Name, Journal.JournalEvent.Intent, "audit-row")?.Data is { } taken)
        {
            await RequireRowAsync(run, done, taken, cancellationToken);
        }
    }

    private static async Task RequireRowAsync(RolloutRun run, JsonObject result, JsonObject taken, CancellationToken cancellationToken)
    {
        if (result["auditRow"]?.GetValue<bool>() != true)
        {
            return;
        }

        var rows = await run.Database.SnapshotRowsAsync(taken["sha256"]!.GetValue<string>(), run.Release, cancellationToken);
        if (rows != 1)
        {
            throw new RolloutException(
                $"The audit trail has {rows} rows about the snapshot {taken["sha256"]}, expected one.", "Find out who deletes from, or writes to, the audit account's audit_logs.");
        }
    }
}
