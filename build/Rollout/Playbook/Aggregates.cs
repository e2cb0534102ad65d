using System.Text.Json.Nodes;

namespace Rollout.Playbook;

/// <summary>What 1.2 and 4.1 share: the platform's helper as the playbook says, then the refresh itself, then a look.</summary>
internal static class Aggregates
{
    /// <summary>How far back a refresh looks: what a rollout can have touched, with room.</summary>
    private static readonly TimeSpan Window = TimeSpan.FromHours(6);

    /// <summary>Refreshes every aggregate of every account.</summary>
    /// <returns>Newest bucket by view, for the journal.</returns>
    public static async Task<JsonObject> RefreshAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        var aggregates = run.Settings.List("Platform.Aggregates");
        foreach (var account in run.Settings.List("Platform.Accounts"))
        {
            // The helper's exit code 0 proves nothing (platform contract, section 7.2); its log is kept, and the refresh below is what counts.
            var helper = await run.Scripts.RefreshAggregatesAsync(account, aggregates, run.Surroundings.Database, cancellationToken);
            await journal.KeepAsync($"refresh-{account}.log", helper.Output);
            if (!helper.Succeeded)
            {
                run.Console.Note($"the helper could not refresh {account}; refreshing on a connection of our own");
            }
        }

        var now = run.Time.GetUtcNow();
        var newest = new JsonObject();
        foreach (var view in await run.Aggregates.RefreshAsync(
            run.Settings.List("Platform.Accounts"), aggregates, now - Window, now, cancellationToken))
        {
            newest[view.View] = view.Newest?.ToString("O");
            run.Console.Note($"{view.View}: {(view.Refreshed ? $"refreshed, newest bucket {view.Newest:u}" : "not applicable")}");
        }

        return newest;
    }
}
