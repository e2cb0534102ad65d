using System.Text.Json.Nodes;
using Rollout.Platform;

namespace Rollout.Playbook;

/// <summary>What 1.2 and 4.1 share: the platform's helper as the playbook says, then the refresh itself, then a look.</summary>
internal static class Aggregates
{
    /// <summary>Each is a Python of its own.</summary>
    private const int HelpersAtOnce = 4;

    /// <summary>How far back a refresh looks: what a rollout can have touched, with room.</summary>
    private static readonly TimeSpan Lookback = TimeSpan.FromHours(6);

    /// <summary>How much one statement refreshes, so that none holds its locks for long.</summary>
    private static readonly TimeSpan Window = TimeSpan.FromHours(2);

    /// <summary>Refreshes every aggregate of every account.</summary>
    /// <returns>How far each view reaches, for the journal.</returns>
    public static async Task<JsonObject> RefreshAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        var aggregates = run.Settings.List("Platform.Aggregates");
        var accounts = run.Settings.List("Platform.Accounts");
        var helpers = new ScriptResult[accounts.Count];
        await Parallel.ForAsync(
            0,
            accounts.Count,
            new ParallelOptions { MaxDegreeOfParallelism = HelpersAtOnce, CancellationToken = cancellationToken },
            async (index, token) => helpers[index] = await run.Scripts.RefreshAggregatesAsync(accounts[index], aggregates, run.AccountSchemas.Of(accounts[index]), run.Surroundings.Database, token));
        foreach (var (account, helper) in accounts.Zip(helpers))
        {
            // The helper's exit code 0 proves nothing (platform contract, section 7.2); its log is kept, and the refresh below is what counts.
            await journal.KeepAsync($"refresh-{run.AccountSchemas.Of(account)}.log", helper.Record);
        }

        if (accounts.Zip(helpers).Where(h => !h.Second.Succeeded).Select(h => h.First).ToList() is { Count: > 0 } failed)
        {
            run.Console.Note($"the helper could not refresh {string.Join(", ", failed)}; refreshing on a connection of our own");
        }

        var now = run.Time.GetUtcNow();
        var newest = new JsonObject();
        foreach (var view in await run.Aggregates.RefreshAsync(accounts, aggregates, now - Lookback, now, Window, cancellationToken))
        {
            newest[view.View] = view.Newest?.ToString("O");
            run.Console.Note($"{view.View}: {(view.Refreshed ? $"refreshed, {view.Kind}, newest bucket {view.Newest:u}, before {view.Before:u}" : "not applicable, there is no such view")}");
        }

        return newest;
    }
}
