using System.Text.Json.Nodes;

namespace Rollout.Playbook;

/// <summary>What 1.2 and 4.1 share: the platform's helper as the playbook says, then the refresh itself, then a look.</summary>
internal static class Aggregates
{
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

        await run.Database.RefreshAggregatesAsync(run.Settings.List("Platform.Accounts"), aggregates, run.Console.Progress, cancellationToken);
        var newest = new JsonObject();
        foreach (var (view, bucket) in await run.Database.AggregateFreshnessAsync(run.Settings.List("Platform.Accounts"), aggregates, cancellationToken))
        {
            newest[view] = bucket?.ToString("O");
        }

        return newest;
    }
}
