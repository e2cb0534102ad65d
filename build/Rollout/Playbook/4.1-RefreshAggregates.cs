using System.Text.Json.Nodes;
using Cake.Frosting;

namespace Rollout.Playbook;

/// <summary>
/// "Re-run ops/refresh_continuous_aggregates.py to ensure dashboards reflect the new traffic."
/// <para>Changes: the aggregates. Done when: no view's newest bucket is older than it was in 1.2. Undone by: nothing to undo.</para>
/// </summary>
[TaskDescription("4.1 Refresh aggregates: dashboards reflect the new traffic, seen by their newest bucket")]
[IsDependentOn(typeof(Switch))]
public sealed class RefreshAggregates : PlaybookStep
{
    protected override Task<StepPlan> CheckAsync(RolloutRun run, CancellationToken cancellationToken) => Task.FromResult(new StepPlan(
        $"refresh {run.Settings["Platform.Aggregates"]} of {run.Settings["Platform.Accounts"]}"));

    protected override async Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken) =>
        journal.Result["aggregates"] = await Aggregates.RefreshAsync(run, journal, cancellationToken);

    protected override async Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var before = run.Fact(nameof(VerifyMigrations), "aggregates") as JsonObject ?? [];
        var now = await run.Aggregates.FreshnessAsync(cancellationToken);
        var stale = now.Where(n => before[n.View]?.GetValue<string>() is { } old
            && (n.Newest is null || n.Newest < DateTimeOffset.Parse(old, System.Globalization.CultureInfo.InvariantCulture))).Select(n => n.View).ToList();
        stale.AddRange(before.Where(b => b.Value is not null && now.All(n => n.View != b.Key)).Select(b => b.Key));
        if (stale.Count > 0)
        {
            throw new RolloutException($"{string.Join(", ", stale)}: the newest bucket is older than before the switch, or the view is gone.", "Look at the refresh logs in the step's evidence.");
        }

        run.Console.Note(now.Count == 0 ? "not applicable: there is no aggregate" : $"newest buckets: {string.Join(", ", now.Select(n => $"{n.View} {n.Newest:u}"))}");
    }
}
