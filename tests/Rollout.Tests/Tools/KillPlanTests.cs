using Rollout.Journal;
using Rollout.Playbook;
using Rollout.Tools;

namespace Rollout.Tests.Tools;

/// <summary>The kill matrix: which points there are, and in which runs they are come to.</summary>
public sealed class KillPlanTests
{
    [Test]
    public void Each_entry_has_a_point_on_both_sides_in_the_step_that_runs_there()
    {
        var points = KillPlan.PointsOf(
        [
            Entry("Rollout", JournalEvent.Started),
            Entry(nameof(TagRelease), JournalEvent.Started),
            Entry(nameof(TagRelease), JournalEvent.Intent, "images"),
            Entry(nameof(ReenableSafeMode), JournalEvent.Started),
            Entry(nameof(FlipDns), JournalEvent.Undone),
        ]);
        Assert.That(points.Select(p => $"{p.Step} {p}"), Is.EqualTo(new[]
        {
            "0 before:Rollout/started", "1 before:TagRelease/started", "1 before:TagRelease/images/intent",
            "2 before:ReenableSafeMode/started", "2 before:FlipDns/undone",
            "0 after:Rollout/started", "1 after:TagRelease/started", "1 after:TagRelease/images/intent",
            "2 after:ReenableSafeMode/started", "2 after:FlipDns/undone",
        }));
    }

    [Test]
    public void An_entry_that_occurs_twice_is_no_point()
    {
        JournalEntry[] run = [Entry(nameof(FlipDns), JournalEvent.Started), Entry(nameof(FlipDns), JournalEvent.Undone), Entry(nameof(FlipDns), JournalEvent.Undone)];
        Assert.That(() => KillPlan.PointsOf(run), Throws.InstanceOf<RolloutException>().With.Message.Contains("2 entries FlipDns/undone"));
    }

    [TestCase("2")]
    [TestCase("4 1 3")]
    [TestCase("2 4 4 4 4 8 6 6 18 4 16 6 4 8 4 4 4")]
    [TestCase("0 3 0 5 1")]
    public void Every_point_is_in_one_run_and_no_run_kills_in_a_step_twice_or_in_neighbours(string counts)
    {
        var perStep = counts.Split(' ').Select(int.Parse).ToList();
        var points = perStep.SelectMany((count, step) => Enumerable.Range(0, count).Select(i => new KillPoint(step, $"S{step}/{i}", false))).ToList();
        var runs = KillPlan.Spread(points, []);
        Assert.That(runs.SelectMany(r => r.Points), Is.EquivalentTo(points));
        Assert.That(runs.Where(r => r.Points.Zip(r.Points.Skip(1)).Any(pair => pair.Second.Step - pair.First.Step < 2)), Is.Empty, "runs with neighbours");
        Assert.That(runs, Has.Count.EqualTo(perStep.Zip(perStep.Append(0).Skip(1)).Max(pair => pair.First + pair.Second)), "two neighbours with their points need as many runs");
        Assert.That(runs.Select(r => r.NeedsFreshWorld), Has.None.True);
    }

    [Test]
    public void A_point_of_a_fresh_world_marks_the_run_it_fits_into()
    {
        KillPoint[] points = [new(5, "a", false), new(5, "b", false), new(1, "c", false)];
        var runs = KillPlan.Spread(points, [new KillPoint(3, "only", false), new KillPoint(3, "only", true)]);
        Assert.That(runs.SelectMany(r => r.Points), Is.EquivalentTo(points.Append(new KillPoint(3, "only", false)).Append(new KillPoint(3, "only", true))));
        foreach (var run in runs)
        {
            Assert.That(run.NeedsFreshWorld, Is.EqualTo(run.Points.Any(p => p.Entry == "only")), string.Join(", ", run.Points));
            Assert.That(run.Points.Select(p => p.Step), Is.Ordered.Ascending.And.Unique);
        }
    }

    [Test]
    public void A_point_of_a_fresh_world_that_fits_nowhere_has_a_run_of_its_own()
    {
        var runs = KillPlan.Spread([new KillPoint(2, "a", false)], [new KillPoint(3, "only", false)]);
        Assert.That(runs.Select(r => (r.Points.Single().Entry, r.NeedsFreshWorld)), Is.EqualTo(new[] { ("a", false), ("only", true) }));
    }

    [Test]
    public void Nothing_to_kill_needs_no_run() => Assert.That(KillPlan.Spread([], []), Is.Empty);

    [Test]
    public void Random_moments_are_the_seeds_and_lie_within_one_runs_time_together()
    {
        var duration = TimeSpan.FromSeconds(30);
        var drawn = Enumerable.Range(0, 50).Select(seed => KillPlan.Moments(new Random(seed), duration)).ToList();
        Assert.That(drawn.Select(m => m.Count).Distinct(), Is.EquivalentTo(new[] { 1, 2, 3 }));
        Assert.That(drawn.SelectMany(m => m), Has.All.GreaterThanOrEqualTo(TimeSpan.Zero));
        Assert.That(drawn.Select(m => m.Aggregate(TimeSpan.Zero, (sum, moment) => sum + moment)), Has.All.LessThan(duration));
        Assert.That(KillPlan.Moments(new Random(7), duration), Is.EqualTo(drawn[7]));
    }

    [Test]
    public void A_sample_is_each_Nth()
    {
        var points = Enumerable.Range(0, 7).Select(i => new KillPoint(i, $"{i}", false)).ToList();
        Assert.That(KillPlan.Sample(points, 3).Select(p => p.Step), Is.EqualTo(new[] { 0, 3, 6 }));
        Assert.That(KillPlan.Sample(points, 1), Is.EqualTo(points));
    }

    private static JournalEntry Entry(string step, JournalEvent what, string? part = null) =>
        new(1, DateTimeOffset.UnixEpoch, step, what, part, "a@b", "run", null, JournalEntry.Genesis);
}
