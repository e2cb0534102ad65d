using System.Text.Json.Nodes;
using Rollout.Database;

namespace Rollout.Playbook;

/// <summary>The "migrations" part of 2.4: the checkout's trees brought into the database that both slots share.</summary>
internal static class Migrations
{
    private static readonly string[] TreeFolders = ["data/migrations", "data/alembic"];

    /// <summary>What a migration would do, in a line; warns of what is wrong with the trees.</summary>
    public static async Task<string> DescribeAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var stored = await run.Schema.HeadsAsync(cancellationToken);
        foreach (var (name, tree) in Trees(run))
        {
            foreach (var problem in tree.Problems)
            {
                run.Console.Warning($"{name}: {problem}");
            }
        }

        return $"migrate the database from {Heads(stored)} to {string.Join(", ", Trees(run).SelectMany(t => t.Tree.Heads))}";
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

    /// <summary>Runs the migrations. Both slots share the database (platform contract, section 7.6): whether live can still live with it is seen in the catalogue, not promised.</summary>
    public static async Task RunAsync(RolloutRun run, StepJournal journal, JsonObject data, CancellationToken cancellationToken)
    {
        var columns = await ColumnsBeforeAsync(run, journal, cancellationToken);
        var result = await run.Scripts.RunMigrationsAsync(run.Surroundings.Database, cancellationToken);
        await journal.KeepAsync("migrations.log", result.Output);
        var after = await run.Schema.ColumnsAsync(cancellationToken);
        await journal.KeepAsync("schema-after.txt", string.Join('\n', after));
        var breaks = DatabaseSchema.Breaks(columns, after);
        if (breaks.Count > 0)
        {
            // Also where the script failed after it had changed something.
            await journal.IntendAsync("schema", new() { [RolloutProgress.PointOfNoReturnKey] = $"{string.Join(", ", breaks.Take(5))}{(breaks.Count > 5 ? $" and {breaks.Count - 5} more" : string.Empty)}" });
        }

        result.OrThrow("Nothing was lost: the migrations are additive and repeatable. Look at migrations.log in the step's evidence.");
        data["after"] = Heads(await run.Schema.HeadsAsync(cancellationToken));
        data["additive"] = breaks.Count == 0;
    }

    // What a killed run wrote down before it began is what counts; on another machine, where its file is not, the comparison begins with what is there.
    private static async Task<IReadOnlyList<string>> ColumnsBeforeAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        if (run.Journal.Last(journal.Step, Journal.JournalEvent.Intent, "migrations")?.Data is { } intent
            && run.Evidence.Find(intent["columns"]?.GetValue<string>(), intent["sha256"]?.GetValue<string>()) is { } kept)
        {
            return System.Text.Encoding.UTF8.GetString(kept).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        }

        var heads = await run.Schema.HeadsAsync(cancellationToken);
        var columns = await run.Schema.ColumnsAsync(cancellationToken);
        var file = await journal.KeepAsync("schema-before.txt", string.Join('\n', columns));
        await journal.IntendAsync("migrations", new() { ["before"] = Heads(heads), ["columns"] = file.Path, ["sha256"] = file.Sha256 });
        return columns;
    }

    private static (string Name, MigrationTree Tree)[] Trees(RolloutRun run) =>
        [.. TreeFolders.Select(t => (t, DatabaseSchema.HeadsInCheckout(Path.Combine(run.Surroundings.Platform, t))))];

    private static string Heads(IReadOnlyList<MigrationHead> heads) =>
        heads.Count == 0 ? "no revision" : string.Join(", ", heads.Select(h => $"{h.Revision} ({h.Table})"));
}
