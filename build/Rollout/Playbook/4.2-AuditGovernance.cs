using System.Text;
using System.Text.Json.Nodes;
using Cake.Frosting;
using Rollout.Database;
using Rollout.Journal;
using Rollout.Platform;

namespace Rollout.Playbook;

/// <summary>
/// "Confirm kill-switch, safe mode, and manual override events appear in the governance log via tests/test_governance_audit_logging.py."
/// <para>Changes: nothing; in a rehearsal it causes one kill-switch event of an account that does not trade, and one override decision. Done when: the
/// safe-mode events of this rollout are found, every kill-switch and override event since the freeze has its audit row, and no row was edited. Undone by:
/// nothing to undo.</para>
/// </summary>
[TaskDescription("4.2 Audit governance events: this rollout's safe-mode events, and any kill-switch or override, are in the governance log")]
[IsDependentOn(typeof(RefreshAggregates))]
public sealed class AuditGovernance : PlaybookStep
{
    /// <summary>Has a schema and no orders: a kill switch, which nothing releases, stops nobody there.</summary>
    private const string QuietAccount = "aether-audit";

    protected override Task<StepPlan> CheckAsync(RolloutRun run, CancellationToken cancellationToken) =>
        Task.FromResult(new StepPlan(MayStimulate(run)
            ? $"cause a kill-switch event of {QuietAccount} and an override decision, as only a rehearsal may; then read the governance log"
            : "nothing; the governance log is read"));

    protected override async Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        var tests = await run.Scripts.GovernanceTestsAsync(cancellationToken);
        await journal.KeepAsync("governance-tests.log", $"A check of the code on stubs; it says nothing about {run.Candidate.Name}.\n{tests.Record}");
        journal.Result["codeCheck"] = tests.Succeeded;
        if (!tests.Succeeded)
        {
            throw new RolloutException("tests/test_governance_audit_logging.py fails on the checkout.", "Its output is in the step's evidence.");
        }

        if (MayStimulate(run))
        {
            await journal.PartAsync("stimulation", _ => StimulateAsync(run, journal, cancellationToken));
        }

        var look = await LookAsync(run, cancellationToken);
        await journal.KeepAsync("governance.json", look.ToJson().ToJsonString());
        await journal.KeepAsync("governance.md", look.ToMarkdown(run.Release));
        journal.Result["events"] = new JsonObject(look.Counts.Select(c => KeyValuePair.Create(c.Key, (JsonNode?)JsonValue.Create(c.Value))));
        journal.Result["gaps"] = look.Gaps.Count;
        run.Console.Table(
            "Governance events", ["event", .. Look.Places.Select(GovernanceAudit.Words)], [.. look.Findings.Select(f => (IReadOnlyList<string>)[f.What, .. Look.Places.Select(p => Look.Cell(f.Places, p))])]);
        foreach (var warning in look.Warnings)
        {
            run.Console.Warning(warning);
        }
    }

    protected override async Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var look = await LookAsync(run, cancellationToken);
        if (look.Chain is { Edited.Count: > 0 } chain)
        {
            throw new RolloutException(
                $"{chain.Edited.Count} rows of the audit trail are not what their hash was made of: {MigrationForecast.Few(chain.Edited)}.",
                "Somebody changed them after they were written. Keep the table as it is, and compare it with the pods' logs.");
        }

        var missing = GovernanceAudit.Missing(look.Findings, run.Settings["Governance.Require"] == "trail");
        if (missing.Count > 0)
        {
            throw new RolloutException(
                $"The governance log lacks {MigrationForecast.Few(missing)}; since the freeze it has {Summary(look.Counts)}.",
                "Audit writes fail silently on the platform. governance.md in the step's evidence says where each event was looked for; record the gap.");
        }

        run.Console.Note($"governance log: {Summary(look.Counts)}; chain: {look.Chain?.ToString() ?? "none"}");
    }

    // In production a kill switch stops an account for good, and an override decides a trade (platform contract, section 4.4).
    private static bool MayStimulate(RolloutRun run) => run.Settings.Environment is RolloutEnvironment.Embedded or RolloutEnvironment.Kind;

    private static async Task StimulateAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        var intent = $"rollout-{run.Release}";
        var since = run.Journal.Last(journal.Step, JournalEvent.Intent, "stimulation")?.Time;
        if (since is null)
        {
            await journal.IntendAsync("stimulation", new() { ["killSwitchOf"] = QuietAccount, ["override"] = intent });
            since = run.Journal.Last(journal.Step, JournalEvent.Intent, "stimulation")!.Time;
        }

        var (killed, decided) = (false, false);
        await run.Governance.ReadAsync(
            since.Value - TimeSpan.FromSeconds(5),
            run.Time.GetUtcNow() + GovernanceAudit.Tolerance,
            found =>
            {
                killed |= found is { Action: "kill_switch_engaged", Entity: QuietAccount };
                decided |= found.Place == GovernancePlace.Overrides && found.Entity == intent;
            },
            cancellationToken);
        if (!killed)
        {
            await run.CandidateStack.EngageKillSwitchAsync(QuietAccount, cancellationToken);
        }

        if (!decided)
        {
            await run.CandidateStack.RejectTradeAsync(intent, $"rehearsal of {run.Release}: the override's audit row is looked for", cancellationToken);
        }
    }

    private static async Task<Look> LookAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var from = FreezeBegan(run);
        var to = run.Time.GetUtcNow() + GovernanceAudit.Tolerance;
        var audit = new GovernanceAudit(
            [
                new ExpectedEvent($"{run.Named(run.Live)} entered safe mode (3.1)", ["safe_mode.enter", "safe_mode_engaged"], run.FenceReasonOf(run.Live)),
                new ExpectedEvent($"{run.Named(run.Candidate)} left safe mode (3.4)", ["safe_mode.exit", "safe_mode_released"], LiftedReason(run)),
            ],
            from,
            run.AccountSchemas);
        var sources = await run.Governance.ReadAsync(from - GovernanceAudit.Tolerance, to, audit.Add, cancellationToken);
        var unread = new List<string>();
        var names = new ServiceNames();
        foreach (var slot in new[] { run.Live, run.Candidate })
        {
            var lines = new AuditLines(run.Cluster.Http, slot.Namespace);
            foreach (var service in new[] { names.SafeMode, names.KillSwitch, names.Override })
            {
                unread.AddRange(await lines.ReadAsync(
                    service,
                    from - GovernanceAudit.Tolerance,
                    line => audit.Add(new GovernanceEvent($"{slot.Namespace}/{line.Pod}", GovernancePlace.PodLog, line.At, line.Action, line.Entity, line.Actor, line.Reason)),
                    cancellationToken));
            }
        }

        return new Look(audit.Findings(), audit.Counts, sources, unread, await run.Governance.VerifyChainAsync(from, to, cancellationToken));
    }

    // The first attempt of the freeze counts: a second one finds the fences set and writes no event.
    private static DateTimeOffset FreezeBegan(RolloutRun run)
    {
        var undone = run.Journal.Last(nameof(FreezeWrites), JournalEvent.Undone)?.Sequence ?? 0;
        return run.Journal.Entries.First(e => e.Sequence > undone && e is { Step: nameof(FreezeWrites), Event: JournalEvent.Started }).Time;
    }

    private static string Summary(IReadOnlyDictionary<string, int> counts) =>
        counts.Count == 0 ? "nothing" : string.Join(", ", counts.Select(c => $"{c.Value} {c.Key}"));

    /// <summary>What was found, and where.</summary>
    private sealed record Look(
        IReadOnlyList<(string What, IReadOnlyDictionary<GovernancePlace, string?> Places)> Findings,
        IReadOnlyDictionary<string, int> Counts,
        IReadOnlyList<GovernanceSource> Sources,
        IReadOnlyList<string> Unread,
        AuditChainReport? Chain)
    {
        public static readonly GovernancePlace[] Places = [GovernancePlace.TrailA, GovernancePlace.TrailB, GovernancePlace.Events, GovernancePlace.PodLog];

        public IReadOnlyList<string> Gaps => GovernanceAudit.Gaps(Findings);

        public IReadOnlyList<string> Warnings =>
        [
            .. Gaps,
            .. Sources.Where(s => !s.Readable || s.Note.Contains("lost", StringComparison.Ordinal)).Select(s => $"{s.Where}: {s.Note}"),
            .. Unread,
            .. Chain is { Gaps.Count: > 0 } gaps ? [$"{gaps.Gaps.Count} audit rows follow one that is not there, deleted or never stored: {MigrationForecast.Few(gaps.Gaps)}"] : Array.Empty<string>(),
            .. Chain is { Forks.Count: > 0 } forks ? [$"the audit trail's chain forks, as with several pods: {MigrationForecast.Few(forks.Forks)}"] : Array.Empty<string>(),
        ];

        public static string Cell(IReadOnlyDictionary<GovernancePlace, string?> places, GovernancePlace place) =>
            places.TryGetValue(place, out var found) ? found ?? "MISSING" : "–";

        public JsonObject ToJson() => new()
        {
            ["findings"] = GovernanceAudit.ToJson(Findings),
            ["counts"] = new JsonObject(Counts.Select(c => KeyValuePair.Create(c.Key, (JsonNode?)JsonValue.Create(c.Value)))),
            ["sources"] = new JsonArray([.. Sources.Select(s => new JsonObject { ["where"] = s.Where, ["readable"] = s.Readable, ["note"] = s.Note })]),
            ["chain"] = Chain?.ToString(),
            ["edited"] = new JsonArray([.. (Chain?.Edited ?? []).Select(e => JsonValue.Create(e))]),
            ["warnings"] = new JsonArray([.. Warnings.Select(w => JsonValue.Create(w))]),
        };

        public string ToMarkdown(string release)
        {
            var text = new StringBuilder($"# Governance events of {release}\n\n| event | {string.Join(" | ", Places.Select(GovernanceAudit.Words))} |\n|{string.Concat(Enumerable.Repeat(" --- |", Places.Length + 1))}\n");
            foreach (var (what, places) in Findings)
            {
                text.Append($"| {what} | {string.Join(" | ", Places.Select(p => Cell(places, p)))} |\n");
            }

            text.Append($"\nChain of trail A: {Chain?.ToString() ?? "none, no table has its writer's columns"}.\n\nLooked in:\n\n");
            foreach (var source in Sources)
            {
                text.Append($"- {source.Where}: {source.Note}\n");
            }

            return text.Append(string.Concat(Warnings.Select(w => $"\nWarning: {w}.\n"))).ToString();
        }
    }

    // An earlier rollout of this slot, or a person who did one by hand, may have set the fence that 3.4 lifted; its reason is in the event.
    private static string LiftedReason(RolloutRun run) => run.Journal.Entries
        .LastOrDefault(e => e is { Step: nameof(ReenableTrading), Event: JournalEvent.Intent, Part: "lift" } && e.Data?["safeModeBefore"] is not null)
        ?.Data!["safeModeBefore"]!.GetValue<string>() ?? run.FenceReasonOf(run.Candidate);
}
