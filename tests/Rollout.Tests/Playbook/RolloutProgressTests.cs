using System.Text.Json.Nodes;
using FsCheck;
using FsCheck.Fluent;
using Rollout.Journal;
using Rollout.Playbook;

namespace Rollout.Tests.Playbook;

/// <summary>
/// The decisions that are taken from a journal alone, against a model of the world that takes the effects of each entry: every history that crashes,
/// failures and rollbacks can leave, cut at every entry.
/// </summary>
public sealed class RolloutProgressTests
{
    [Test]
    public void An_empty_journal_begins_at_the_beginning()
    {
        var progress = new RolloutProgress([]);
        Assert.That((progress.Next, progress.NextStep, progress.FrozenSince, progress.TouchesClients), Is.EqualTo((NextMove.Forward, nameof(TagRelease), (DateTimeOffset?)null, false)));
    }

    [Test]
    public void Every_prefix_of_every_history_has_a_legal_next_move() => Check(history =>
    {
        foreach (var (prefix, world) in history.Prefixes())
        {
            var progress = new RolloutProgress(prefix);
            switch (progress.Next)
            {
                case NextMove.Forward:
                    // All before the next step is done, so the stage that is named accepts the command.
                    Require(progress.NextStep is not null && PlaybookOrder.Before(progress.NextStep).All(s => RolloutJournal.IsDone(prefix, s)), prefix, "the next step has all before it done");
                    break;
                case NextMove.Nothing:
                    Require(world.Trades && !progress.IsRollingBack, prefix, "an end means that a slot trades");
                    break;
                case NextMove.FinishRollback:
                    Require(progress.WasRolledBack, prefix, "a rollback to finish was begun");
                    break;
                default:
                    Require(progress.PointOfNoReturn is not null, prefix, "a hold has its reason");
                    break;
            }
        }
    });

    [Test]
    public void A_freeze_is_never_overlooked_and_never_claimed_before_it_could_have_begun() => Check(history =>
    {
        foreach (var (prefix, world) in history.Prefixes())
        {
            var progress = new RolloutProgress(prefix);
            Require(world.Trades || progress.FrozenSince is not null, prefix, "no slot trades, and the journal says so");
            Require(progress.FrozenSince is null || world.MayBeFrozen, prefix, "a freeze is claimed only between an intent to fence and trading");
            Require(!world.HasMovedClients || progress.TouchesClients || world.Trades, prefix, "moved clients are known");
        }
    });

    [Test]
    public void No_history_ever_has_two_writers() => Check(history =>
    {
        foreach (var (prefix, world) in history.Prefixes())
        {
            Require(!(world.LiveTrades && world.CandidateTrades), prefix, "never two writers");
        }
    });

    [Test]
    public void Going_on_from_any_prefix_ends_the_rollout_and_going_back_ends_where_it_began() => Check(history =>
    {
        foreach (var (prefix, _) in history.Prefixes().Where(p => new RolloutProgress(p.Prefix).PointOfNoReturn is null))
        {
            var back = Model.Replay(prefix);
            back.RollBack();
            Require(back.World is { LiveTrades: true, CandidateTrades: false, HasMovedClients: false, LiveIsShrunk: false }, back.Entries, "rolled back: live serves and trades at its size");
            Require(new RolloutProgress(back.Entries) is { IsOver: true, FrozenSince: null, TouchesClients: false } || prefix.Count == 0, back.Entries, "a rollback that ended is over");

            var forward = Model.Replay(prefix);
            if (new RolloutProgress(prefix).IsRollingBack)
            {
                forward.RollBack();
            }

            forward.Forward(again: true);
            Require(forward.World is { LiveTrades: false, CandidateTrades: true, HasMovedClients: true }, forward.Entries, "rolled out: the candidate serves and trades");
            Require(new RolloutProgress(forward.Entries) is { IsOver: true, FrozenSince: null, NextStep: null }, forward.Entries, "a rollout that ended is over");
        }
    });

    [Test]
    public void Past_the_point_of_no_return_nothing_goes_back_by_itself()
    {
        var model = new Model();
        model.Forward(again: false, until: nameof(MonitorTraffic));
        model.Append(nameof(SeedState), JournalEvent.Done, "migrations", new() { [RolloutProgress.PointOfNoReturnKey] = "public.orders lost a column" });
        var progress = new RolloutProgress(model.Entries);
        Assert.Multiple(() =>
        {
            Assert.That(progress.PointOfNoReturn, Does.Contain("public.orders"));
            Assert.That(FailurePolicy.Decide(ExitCode.Failed, nameof(MonitorTraffic), progress, RollbackPolicy.Automatic), Is.EqualTo(Aftermath.Hold));
        });
        model.Append(nameof(ReenableSafeMode), JournalEvent.Started);
        Assert.That(new RolloutProgress(model.Entries).Next, Is.EqualTo(NextMove.Hold));
    }

    [TestCase(ExitCode.Failed, nameof(InstallChart), false, RollbackPolicy.Automatic, Aftermath.Stop, TestName = "Before clients are touched a failure just stops")]
    [TestCase(ExitCode.Failed, nameof(FlipDns), true, RollbackPolicy.Automatic, Aftermath.RollBack, TestName = "After clients were touched it rolls back where the policy says so")]
    [TestCase(ExitCode.Failed, nameof(FlipDns), true, RollbackPolicy.Hold, Aftermath.Hold, TestName = "It holds where the policy says so")]
    [TestCase(ExitCode.Held, nameof(FlipDns), true, RollbackPolicy.Automatic, Aftermath.Hold, TestName = "A failure that calls for a person holds")]
    [TestCase(ExitCode.Failed, nameof(ArchiveArtefacts), true, RollbackPolicy.Automatic, Aftermath.Hold, TestName = "A failing verification holds")]
    [TestCase(ExitCode.Interrupted, nameof(FlipDns), true, RollbackPolicy.Automatic, Aftermath.Stop, TestName = "An interrupt is no verdict")]
    [TestCase(ExitCode.Refused, nameof(FlipDns), true, RollbackPolicy.Automatic, Aftermath.Stop, TestName = "A run that lost the lock does nothing more")]
    [TestCase(ExitCode.Failed, nameof(RestoreDns), true, RollbackPolicy.Automatic, Aftermath.Hold, TestName = "A rollback that fails calls for a person")]
    [TestCase(ExitCode.Failed, null, true, RollbackPolicy.Automatic, Aftermath.Stop, TestName = "A Status that fails undoes nothing")]
    public void The_aftermath_of_a_failure(ExitCode code, string? step, bool touched, RollbackPolicy policy, Aftermath expected)
    {
        var model = new Model();
        model.Forward(again: false, until: touched ? nameof(FlipDns) : nameof(InstallChart));
        Assert.That(FailurePolicy.Decide(code, step, new RolloutProgress(model.Entries), policy), Is.EqualTo(expected));
    }

    [Test]
    public void A_rollback_from_before_the_freeze_claims_no_freeze()
    {
        var model = new Model();
        model.Forward(again: false, until: nameof(SmokeTest));
        model.Append(nameof(ReenableSafeMode), JournalEvent.Started);
        model.Append(nameof(ReenableSafeMode), JournalEvent.Intent, "fences");
        Assert.That(new RolloutProgress(model.Entries).FrozenSince, Is.Null, "live was never fenced: it trades");
    }

    private static void Check(Action<History> property) =>
        Prop.ForAll(History.Any(), history => property(history)).Check(Config.QuickThrowOnFailure.WithMaxTest(60));

    private static void Require(bool holds, IReadOnlyList<JournalEntry> prefix, string what)
    {
        if (!holds)
        {
            throw new InvalidOperationException($"{what}: {string.Join(" · ", prefix.Select(e => $"{e.Step}{(e.Part is null ? "" : "/" + e.Part)} {e.Event}"))}");
        }
    }

    /// <summary>What the entries' effects make of the two slots. An intent's effect may or may not have happened when the run was cut off.</summary>
    private sealed record World
    {
        public bool LiveTrades { get; init; } = true;

        public bool CandidateTrades { get; init; }

        public bool HasMovedClients { get; init; }

        public bool LiveIsShrunk { get; init; }

        public bool MayBeFrozen { get; init; }

        public bool Trades => LiveTrades || CandidateTrades;
    }

    /// <summary>The playbook as a machine that appends entries and takes their effects, in the order of the real steps.</summary>
    private sealed class Model
    {
        private readonly List<JournalEntry> _entries = [];

        public List<JournalEntry> Entries => _entries;

        public World World { get; private set; } = new();

        // The effects are a function of the entries: those of an intent are there when the next entry is, and before it they may be.
        public static Model Replay(IReadOnlyList<JournalEntry> entries)
        {
            var model = new Model();
            foreach (var entry in entries)
            {
                model.Append(entry.Step, entry.Event, entry.Part, entry.Data);
            }

            return model;
        }

        public void Append(string step, JournalEvent what, string? part = null, JsonObject? data = null)
        {
            var count = _entries.Count + 1;
            _entries.Add(new JournalEntry(count, DateTimeOffset.UnixEpoch.AddSeconds(count), step, what, part, "a@b", "run", data, JournalEntry.Genesis));
            World = (step, what, part) switch
            {
                // The fence's intent comes first; its effect is the next instant's.
                (nameof(FreezeWrites), JournalEvent.Intent, "fences") => World with { LiveTrades = false, MayBeFrozen = true, LiveIsShrunk = true },
                (nameof(FlipDns), JournalEvent.Intent, "records") => World with { HasMovedClients = true },
                (nameof(ReenableTrading), JournalEvent.Intent, "lift") => World with { CandidateTrades = !World.LiveTrades },
                (nameof(ReenableTrading), JournalEvent.Done, null) => World with { MayBeFrozen = false },
                (nameof(ReenableSafeMode), JournalEvent.Intent, "fences") => World with { CandidateTrades = false, MayBeFrozen = World.MayBeFrozen || !World.LiveTrades },
                (nameof(RestoreDns), JournalEvent.Intent, "replicas") => World with { LiveIsShrunk = false },
                (nameof(RestoreDns), JournalEvent.Intent, "records") => World with { HasMovedClients = false },
                (nameof(ValidateBlue), JournalEvent.Intent, "lift") => World with { LiveTrades = !World.CandidateTrades },
                (nameof(ValidateBlue), JournalEvent.Done, null) => World with { MayBeFrozen = false },
                _ => World,
            };
        }

        /// <summary>Runs what is left, as a stage's chain does: finished steps are not repeated.</summary>
        /// <param name="until">The step that is begun and not finished; null runs to the end.</param>
        public void Forward(bool again, string? until = null)
        {
            var progress = new RolloutProgress(_entries);
            if (progress.WasRolledBack && !again)
            {
                return;
            }

            foreach (var step in PlaybookOrder.Forward.Where(s => !RolloutJournal.IsDone(_entries, s)))
            {
                foreach (var (what, part) in EntriesOf(step))
                {
                    if (step == until && what == JournalEvent.Done && part is null)
                    {
                        return;
                    }

                    Append(step, what, part);
                }
            }
        }

        public void RollBack()
        {
            if (_entries.Count == 0)
            {
                return;
            }

            foreach (var step in PlaybookOrder.StepsOf(nameof(Rollback)))
            {
                foreach (var (what, part) in EntriesOf(step))
                {
                    Append(step, what, part);
                    if (what == JournalEvent.Started)
                    {
                        // What is about to be taken back is marked first: a crash repeats too much, never too little.
                        Undo(step);
                    }
                }

                Append(step, JournalEvent.Done);
            }
        }

        /// <summary>A step's entries, in the order of the real one.</summary>
        public static IEnumerable<(JournalEvent What, string? Part)> EntriesOf(string step)
        {
            yield return (JournalEvent.Started, null);
            string[] intents = step switch
            {
                nameof(VerifyMigrations) => ["admin-accounts"],
                nameof(CreateGreenNamespace) => ["namespace", "exchange-keys"],
                nameof(InstallChart) => ["safe-mode-seed", "helm"],
                nameof(FreezeWrites) => ["production-hosts", "fences"],
                nameof(FlipDns) => ["records"],
                nameof(ReenableTrading) => ["exchange-keys", "lift"],
                nameof(ReenableSafeMode) => ["fences"],
                nameof(RestoreDns) => ["replicas", "records"],
                nameof(ValidateBlue) => ["lift"],
                _ => [],
            };
            foreach (var intent in intents)
            {
                yield return (JournalEvent.Intent, intent);
            }

            if (PlaybookOrder.Forward.Contains(step))
            {
                yield return (JournalEvent.Done, null);
            }
        }

        private void Undo(string step)
        {
            string[] undone = step switch
            {
                nameof(ReenableSafeMode) => [nameof(ReenableTrading), nameof(RefreshAggregates), nameof(AuditGovernance), nameof(ArchiveArtefacts)],
                nameof(RestoreDns) => [nameof(FlipDns), nameof(MonitorTraffic)],
                nameof(ValidateBlue) => [nameof(FreezeWrites)],
                _ => [],
            };
            foreach (var other in undone.Where(u => _entries.Any(e => e.Step == u && e.Event == JournalEvent.Started)))
            {
                Append(other, JournalEvent.Undone);
            }
        }
    }

    /// <summary>A legal history: rollouts that are cut off, fail, are interrupted, resumed, rolled back, and told to go forward again.</summary>
    private sealed record History(IReadOnlyList<JournalEntry> Entries)
    {
        public static Arbitrary<History> Any() => Gen.Choose(0, 9999).ListOf(12).Select(Play).ToArbitrary();

        public IEnumerable<(IReadOnlyList<JournalEntry> Prefix, World World)> Prefixes() =>
            Enumerable.Range(0, Entries.Count + 1).Select(n => ((IReadOnlyList<JournalEntry>)[.. Entries.Take(n)], Model.Replay([.. Entries.Take(n)]).World));

        private static History Play(IEnumerable<int> choices)
        {
            var model = new Model();
            foreach (var choice in choices)
            {
                var whole = Model.Replay(model.Entries);
                var goesBack = choice % 4 == 0 || new RolloutProgress(model.Entries).IsRollingBack;
                if (goesBack)
                {
                    whole.RollBack();
                }
                else
                {
                    whole.Forward(again: choice % 3 == 0);
                }

                // Cut off anywhere, seen by the run itself or not.
                var added = whole.Entries.Count - model.Entries.Count;
                var kept = added == 0 ? 0 : 1 + (choice / 7 % added);
                model = Model.Replay([.. whole.Entries.Take(model.Entries.Count + kept)]);
                if (kept < added && choice % 5 < 2)
                {
                    model.Append(model.Entries[^1].Step, choice % 5 == 0 ? JournalEvent.Failed : JournalEvent.Interrupted);
                }
            }

            return new History(model.Entries);
        }
    }
}
