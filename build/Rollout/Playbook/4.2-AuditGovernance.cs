using System.Text.Json.Nodes;
using Cake.Frosting;
using Rollout.Journal;

namespace Rollout.Playbook;

/// <summary>
/// "Confirm kill-switch, safe mode, and manual override events appear in the governance log via tests/test_governance_audit_logging.py."
/// <para>Changes: nothing. Done when: the safe-mode events of this rollout are found in the real log, and every kill-switch and override event of
/// the window has its audit row. Undone by: nothing to undo.</para>
/// </summary>
[TaskDescription("4.2 Audit governance events: this rollout's safe-mode events, and any kill-switch or override, are in the governance log")]
[IsDependentOn(typeof(RefreshAggregates))]
public sealed class AuditGovernance : PlaybookStep
{
    private static readonly string[] Promised = ["safe_mode.enter", "safe_mode.exit"];

    protected override Task<StepPlan> CheckAsync(RolloutRun run, CancellationToken cancellationToken) =>
        Task.FromResult(new StepPlan("nothing; the governance log is read"));

    protected override async Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        var tests = await run.Scripts.GovernanceTestsAsync(cancellationToken);
        await journal.KeepAsync("governance-tests.log", tests.Output);
        var events = await EventsAsync(run, cancellationToken);
        await journal.KeepAsync("events.json", new JsonArray([.. events.Select(e => new JsonObject
        {
            ["where"] = e.Where,
            ["at"] = e.At.ToString("O"),
            ["action"] = e.Action,
            ["entity"] = e.Entity,
            ["actor"] = e.Actor,
        })]).ToJsonString());
        journal.Result["tests"] = tests.Succeeded;
        journal.Result["events"] = new JsonObject(events.GroupBy(e => e.Action).Select(g => KeyValuePair.Create(g.Key, (JsonNode?)JsonValue.Create(g.Count()))));
        if (!tests.Succeeded)
        {
            throw new RolloutException("tests/test_governance_audit_logging.py fails on the checkout.", "Its output is in the step's evidence.");
        }
    }

    protected override async Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var events = await EventsAsync(run, cancellationToken);
        var missing = Promised.Where(a => events.All(e => e.Action != a)).ToList();
        missing.AddRange(Unwitnessed(events, "kill_switch_engaged", "kill_switch.triggered"));
        missing.AddRange(Unwitnessed(events, "override_log", "override.human_decision"));
        if (missing.Count > 0)
        {
            throw new RolloutException(
                $"The governance log lacks {string.Join(", ", missing)} for the time since the freeze; it has {Summary(events)}.",
                "Audit writes fail silently on the platform: look at the pods' logs, which carry each event as a line, and record the gap.");
        }

        run.Console.Note($"governance log: {Summary(events)}");
    }

    private static Task<IReadOnlyList<Database.GovernanceEvent>> EventsAsync(RolloutRun run, CancellationToken cancellationToken) =>
        run.Governance.EventsAsync(FreezeBegan(run), run.Time.GetUtcNow(), cancellationToken);

    // The first attempt of the freeze counts: a second one finds the fences set and writes no event.
    private static DateTimeOffset FreezeBegan(RolloutRun run)
    {
        var undone = run.Journal.Last(nameof(FreezeWrites), JournalEvent.Undone)?.Sequence ?? 0;
        return run.Journal.Entries.First(e => e.Sequence > undone && e is { Step: nameof(FreezeWrites), Event: JournalEvent.Started }).Time;
    }

    // A reconciliation, not a stimulation: a kill switch has no release, so only events that happened are looked for (platform contract, 4.4).
    private static IEnumerable<string> Unwitnessed(IReadOnlyList<Database.GovernanceEvent> events, string happened, string audited) =>
        events.Count(e => e.Action == happened) > events.Count(e => e.Action == audited) ? [$"{audited} (for {happened})"] : [];

    private static string Summary(IReadOnlyList<Database.GovernanceEvent> events) =>
        events.Count == 0 ? "nothing" : string.Join(", ", events.GroupBy(e => e.Action).OrderBy(g => g.Key).Select(g => $"{g.Count()} {g.Key}"));
}
