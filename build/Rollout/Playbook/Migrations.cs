using System.Text.Json.Nodes;
using Rollout.Database;
using Rollout.Journal;

namespace Rollout.Playbook;

/// <summary>
/// What 1.2 and the "migrations" part of 2.4 share: the checkout's trees against the database that both slots use. What a migration would do is tried
/// before anything is deployed, and seen in the catalogue after it ran (platform contract, section 7.6).
/// </summary>
internal static class Migrations
{
    private static readonly string[] TreeFolders = ["data/migrations", "data/alembic"];

    /// <summary>What is pending and what it would do, in a line; warns of what is wrong with the trees.</summary>
    public static async Task<string> DescribeAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        foreach (var (name, tree) in Trees(run))
        {
            foreach (var problem in tree.Problems)
            {
                run.Console.Warning($"{name}: {problem}");
            }
        }

        var (stored, sql) = await PendingAsync(run, cancellationToken);
        var forecast = await ForecastAsync(run, sql, cancellationToken);
        var point = forecast.IsAdditive ? string.Empty : "; the POINT OF NO RETURN";
        return $"migrate the database from {Heads(stored)} to {string.Join(", ", Trees(run).SelectMany(t => t.Tree.Heads))}: {forecast.Summary}{point}";
    }

    /// <summary>Refuses where live could not live with what is pending, unless a person said that it may; keeps what was found.</summary>
    /// <exception cref="RolloutException">Exit code 5: not additive, or not known to be. Nothing was changed.</exception>
    public static async Task<MigrationForecast> RequireAdditiveAsync(RolloutRun run, StepJournal journal, JsonObject data, CancellationToken cancellationToken)
    {
        var (stored, sql) = await PendingAsync(run, cancellationToken);
        var forecast = await ForecastAsync(run, sql, cancellationToken);
        await journal.KeepAsync("migrations-pending.sql", sql);
        await journal.KeepAsync("migrations-forecast.txt", Text(run, stored, forecast));
        data["pending"] = forecast.Summary;
        data["additive"] = forecast.IsAdditive;
        run.Console.Note($"migrations: {forecast.Summary}");
        if (!forecast.IsAdditive && !run.MayPassPointOfNoReturn)
        {
            throw new RolloutException(
                $"The pending migrations are {forecast.Summary}. {run.Named(run.Live)} uses that database too, and after them a rollback would not lead back. Nothing was changed.",
                $"Make them additive; or, where {run.Live.Name} can live with them, {run.CommandFor(journal.Step)} --accept-point-of-no-return. All of it is in migrations-forecast.txt in the step's evidence.",
                ExitCode.Refused);
        }

        return forecast;
    }

    /// <summary>Looks whether the checkout's heads are the database's, and whether live can still live with it.</summary>
    /// <exception cref="RolloutException">Heads are missing, or the point of no return was passed without leave.</exception>
    public static async Task RequireDoneAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var stored = await run.Schema.HeadsAsync(cancellationToken);
        var missing = Trees(run).SelectMany(t => t.Tree.Heads).Except(stored.Select(h => h.Revision)).ToList();
        if (missing.Count > 0)
        {
            throw new RolloutException(
                $"The checkout's migration heads {string.Join(", ", missing)} are not in the database, which has {Heads(stored)}.",
                "Look at migrations.log in the step's evidence.");
        }

        if (run.Progress.PointOfNoReturn is { } why && !run.MayPassPointOfNoReturn)
        {
            throw new RolloutException(
                $"The migrations were not additive: {why}. {run.Named(run.Live)} uses that database too, and a rollback would not bring it back.",
                $"Decide: restore the schema by hand, or go forward with {run.CommandFor("Switch")} --accept-point-of-no-return",
                ExitCode.Held);
        }
    }

    /// <summary>Runs the migrations, and compares the catalogue before and after: what was seen counts, whatever was forecast.</summary>
    public static async Task RunAsync(RolloutRun run, StepJournal journal, JsonObject data, CancellationToken cancellationToken)
    {
        var forecast = await RequireAdditiveAsync(run, journal, data, cancellationToken);
        var before = await CatalogBeforeAsync(run, journal, cancellationToken);
        if (!forecast.IsAdditive)
        {
            // Before, so that a run that is killed while they commit is past it.
            await PassPointOfNoReturnAsync(journal, forecast.Unknown ?? MigrationForecast.Few(forecast.Changes.Breaks));
        }

        RolloutException? failure = null;
        try
        {
            await ApplyAsync(run, journal, cancellationToken);
        }
        catch (RolloutException exception)
        {
            failure = exception;
        }

        // Also where it failed after it had changed something.
        var after = await run.Schema.CatalogAsync(cancellationToken);
        await journal.KeepAsync("schema-after.txt", after.ToText());
        var changes = before.ChangesTo(after);
        if (changes.Breaks.Count > 0)
        {
            await PassPointOfNoReturnAsync(journal, MigrationForecast.Few(changes.Breaks));
        }

        var heads = Heads(await run.Schema.HeadsAsync(cancellationToken));
        if (failure is not null)
        {
            if (!forecast.IsAdditive && changes is { Breaks.Count: 0, Additions.Count: 0 } && heads == HeadsBefore(run, journal))
            {
                await PassPointOfNoReturnAsync(journal, string.Empty);
            }

            throw failure;
        }

        data["after"] = heads;
        data["additive"] = forecast.IsAdditive && changes.Breaks.Count == 0;
        data["changes"] = changes.Additions.Count + changes.Breaks.Count;
    }

    /// <param name="why">Empty where nothing came of it.</param>
    private static Task PassPointOfNoReturnAsync(StepJournal journal, string why) => journal.IntendAsync("schema", new() { [RolloutProgress.PointOfNoReturnKey] = why });

    private static string? HeadsBefore(RolloutRun run, StepJournal journal) => run.Journal.Last(journal.Step, JournalEvent.Intent, "migrations")?.Data?["before"]?.GetValue<string>();

    private static async Task ApplyAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        const string Hint = "Each migration is whole or not there, and the same command goes on. Look at migrations.log in the step's evidence.";
        if (IsAlembic(run))
        {
            var (_, sql) = await PendingAsync(run, cancellationToken);
            var statements = await run.Schema.ApplyAsync(sql, run.Settings.Duration("Database.LockTimeout") * 10, cancellationToken);
            await journal.KeepAsync("migrations.log", $"{statements} statements in one transaction\n\n{sql}");
            return;
        }

        var result = await run.Scripts.RunMigrationsAsync(run.Settings["Platform.Migrations"]!, run.Surroundings.Database, cancellationToken);
        await journal.KeepAsync("migrations.log", result.Record);
        result.OrThrow(Hint);
    }

    // What a killed run wrote down before it began is what counts; on another machine, where its file is not, the comparison begins with what is there.
    private static async Task<DatabaseCatalog> CatalogBeforeAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        if (run.Journal.Last(journal.Step, JournalEvent.Intent, "migrations")?.Data is { } intent
            && run.Evidence.Find(intent["catalog"]?.GetValue<string>(), intent["sha256"]?.GetValue<string>()) is { } kept)
        {
            return DatabaseCatalog.FromText(System.Text.Encoding.UTF8.GetString(kept));
        }

        var heads = await run.Schema.HeadsAsync(cancellationToken);
        var catalog = await run.Schema.CatalogAsync(cancellationToken);
        var file = await journal.KeepAsync("schema-before.txt", catalog.ToText());
        await journal.IntendAsync("migrations", new() { ["before"] = Heads(heads), ["catalog"] = file.Path, ["sha256"] = file.Sha256 });
        return catalog;
    }

    private static Task<MigrationForecast> ForecastAsync(RolloutRun run, string sql, CancellationToken cancellationToken) =>
        run.Schema.ForecastAsync(sql, run.Settings.Duration("Database.LockTimeout"), cancellationToken);

    private static async Task<(IReadOnlyList<MigrationHead> Stored, string Sql)> PendingAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var stored = await run.Schema.HeadsAsync(cancellationToken);
        var trees = Trees(run);
        if (stored.FirstOrDefault(h => trees.All(t => !t.Tree.Revisions.Contains(h.Revision))) is { } unknown)
        {
            throw new RolloutException(
                $"The database is at revision {unknown.Revision} ({unknown.Table}), which this checkout does not know: a newer release has been here.",
                "Roll out a release that knows it, or take the database back by hand.");
        }

        if (!IsAlembic(run))
        {
            Directory.CreateDirectory(run.Folder);
            var file = Path.Combine(run.Folder, "migrations-pending.sql");
            (await run.Scripts.PendingMigrationsAsync(run.Settings["Platform.Migrations"]!, file, run.Surroundings.Database, cancellationToken)).OrThrow("Nothing was changed.");
            return (stored, await File.ReadAllTextAsync(file, cancellationToken));
        }

        var sql = new System.Text.StringBuilder();
        foreach (var (name, tree) in trees)
        {
            var at = stored.Select(h => h.Revision).Where(tree.Revisions.Contains).ToList();
            if (at.Count > 1)
            {
                throw new RolloutException($"The database is at {string.Join(" and at ", at)} of {name}, two heads of one tree.", "Merge them in the database by hand; Alembic cannot tell which one to follow.");
            }

            if (!tree.Heads.All(at.Contains))
            {
                var configuration = run.Settings.List("Platform.Migrations").FirstOrDefault(c => Path.GetDirectoryName(c) == name)
                    ?? throw new RolloutException($"Platform.Migrations names no alembic.ini in {name}.", $"It is {run.Settings["Platform.Migrations"]}.", ExitCode.BadSettings);
                sql.Append((await run.Scripts.OfflineMigrationsAsync(configuration, at.FirstOrDefault(), cancellationToken)).OrThrow("Nothing was changed.").StandardOutput);
            }
        }

        return (stored, sql.ToString());
    }

    private static bool IsAlembic(RolloutRun run) => run.Settings.List("Platform.Migrations").All(m => m.EndsWith(".ini", StringComparison.Ordinal));

    private static (string Name, MigrationTree Tree)[] Trees(RolloutRun run) =>
        [.. TreeFolders.Select(t => (t, DatabaseSchema.HeadsInCheckout(Path.Combine(run.Surroundings.Platform, t))))];

    private static string Text(RolloutRun run, IReadOnlyList<MigrationHead> stored, MigrationForecast forecast)
    {
        var trees = Trees(run);
        string[] lines =
        [
            forecast.Summary,
            $"database: {Heads(stored)}",
            .. trees.Select(t => $"checkout: {t.Name} at {string.Join(" and ", t.Tree.Heads)}"),
            .. trees.SelectMany(t => t.Tree.Problems.Select(p => $"problem: {t.Name}: {p}")),
            .. forecast.Changes.Breaks.Select(b => $"break: {b}"),
            .. forecast.Changes.Additions.Select(a => $"addition: {a}"),
        ];
        return string.Join('\n', lines) + "\n";
    }

    private static string Heads(IReadOnlyList<MigrationHead> heads) =>
        heads.Count == 0 ? "no revision" : string.Join(", ", heads.Select(h => $"{h.Revision} ({h.Table})"));
}
