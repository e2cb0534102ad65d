using System.Text.Json.Nodes;
using Rollout.Journal;
using Rollout.Playbook;
using Rollout.Tools;
using Rollout.Traffic;

namespace Rollout.Tests.Playbook;

/// <summary>When a client's orders may meet a fence, by the journal, and what a client must not see at other times.</summary>
public sealed class FreezeWindowTests
{
    private static readonly DateTimeOffset Start = new(2026, 11, 2, 9, 0, 0, TimeSpan.Zero);
    private static readonly TimeSpan Ttl = TimeSpan.FromSeconds(5);

    private static readonly IReadOnlyList<JournalEntry> Switched = Journal(
        (10, nameof(FreezeWrites), JournalEvent.Intent, "fences"),
        (14, nameof(FreezeWrites), JournalEvent.Intent, "candidate-fence"),
        (20, nameof(FlipDns), JournalEvent.Done, null),
        (22, nameof(ReenableTrading), JournalEvent.Done, null));

    [Test]
    public void A_window_lasts_from_the_intent_to_fence_live_until_the_candidate_trades()
    {
        var window = FreezeWindow.Of(Switched, Ttl).Single();
        Assert.That(window, Is.EqualTo(new FreezeWindow(At(10), At(22), "green", At(25))));
        Assert.Multiple(() =>
        {
            Assert.That(Covers(window, 9, 9.9, "blue"), Is.False);
            Assert.That(Covers(window, 9.9, 10.1, "blue"), Is.True, "under way when it began");
            Assert.That(Covers(window, 21.9, 22.5, "green"), Is.True, "under way when it ended");
            Assert.That(Covers(window, 22.1, 22.2, "green"), Is.False);
            Assert.That(Covers(window, 24.9, 25.1, "blue"), Is.True, "an answer of before the flip still counted");
            Assert.That(Covers(window, 25.1, 25.2, "blue"), Is.False);
        });
    }

    [Test]
    public void A_rollback_has_a_window_of_its_own_and_one_in_the_freeze_prolongs_it()
    {
        var back = Journal(
            (40, nameof(ReenableSafeMode), JournalEvent.Intent, "fences"),
            (44, nameof(RestoreDns), JournalEvent.Done, null),
            (46, nameof(ValidateBlue), JournalEvent.Done, null));
        Assert.That(FreezeWindow.Of([.. Switched, .. back[1..]], Ttl)[1], Is.EqualTo(new FreezeWindow(At(40), At(46), "blue", At(49))));
        Assert.That(FreezeWindow.Of([.. Switched.SkipLast(1), .. back[1..]], Ttl).Single(), Is.EqualTo(new FreezeWindow(At(10), At(46), "blue", At(49))));
    }

    [Test]
    public void A_freeze_that_nobody_ended_is_open()
    {
        var window = FreezeWindow.Of([.. Switched.SkipLast(1)], Ttl).Single();
        Assert.That((window.From, window.To), Is.EqualTo((At(10), (DateTimeOffset?)null)));
        Assert.That(Covers(window, 9999, 9999, "blue"), Is.True);
    }

    [Test]
    public void Without_a_freeze_there_is_no_window() => Assert.That(FreezeWindow.Of([], Ttl), Is.Empty);

    [Test]
    public void Failed_reads_refused_orders_and_fences_outside_the_freeze_are_told()
    {
        ClientAnswer[] good = [Answer(1, ClientOutcome.Read), Answer(2, ClientOutcome.Accepted), Answer(12, ClientOutcome.Fenced), Answer(30, ClientOutcome.Accepted, "green")];
        Assert.That(Problems(good), Is.Empty);
        Assert.That(
            Problems([
                .. good,
                Answer(3, ClientOutcome.ReadFailed) with { Detail = "status 502" },
                Answer(15, ClientOutcome.Refused, "green") with { Detail = "status 503" },
                Answer(30, ClientOutcome.Fenced, "green"),
            ]),
            Is.EqualTo(new[]
            {
                "1 of 2 reads failed (1× oms.example.com on blue: status 502, first at 09:00:03.000 UTC)",
                "1 orders were neither accepted nor fenced (1× oms.example.com on green: status 503, first at 09:00:15.000 UTC)",
                "1 orders met a fence outside the freeze (first at 09:00:30.000 UTC on green, last at 09:00:30.000)",
            }));
        static IReadOnlyList<string> Problems(ClientAnswer[] answers) => RehearsalClient.Problems(new ClientReport(answers, 0), FreezeWindow.Of(Switched, Ttl));
    }

    [TestCase("errors=candidate:0.5", ExpectedResult = true)]
    [TestCase("edge-not-found=candidate:oms.aether.example.com", ExpectedResult = true)]
    [TestCase("linode-refuse-record=5", ExpectedResult = false)]
    public bool Only_a_fault_that_makes_the_candidate_sick_may_show_to_clients(string fault) => RehearsalClient.MayHarm(fault);

    private static DateTimeOffset At(double second) => Start.AddSeconds(second);

    private static bool Covers(FreezeWindow window, double sent, double answered, string slot) => window.Covers(At(sent), At(answered), slot);

    private static ClientAnswer Answer(double second, ClientOutcome outcome, string slot = "blue") => new(At(second), At(second), At(second), "oms.example.com", slot, outcome);

    private static List<JournalEntry> Journal(params (double Second, string Step, JournalEvent Event, string? Part)[] entries) =>
    [
        new JournalEntry(1, Start, "Rollout", JournalEvent.Started, null, "me", "1", new JsonObject { ["live"] = "blue", ["candidate"] = "green" }, JournalEntry.Genesis),
        .. entries.Select((e, i) => new JournalEntry(i + 2, At(e.Second), e.Step, e.Event, e.Part, "me", "1", null, JournalEntry.Genesis)),
    ];
}
