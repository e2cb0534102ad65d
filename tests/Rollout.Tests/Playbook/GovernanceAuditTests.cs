using Rollout.Database;
using Rollout.Playbook;

namespace Rollout.Tests.Playbook;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class GovernanceAuditTests
{
    private static readonly DateTimeOffset From = new(2026, 11, 23, 10, 0, 0, TimeSpan.Zero);
    private static readonly ExpectedEvent Froze = new("live froze", ["safe_mode.enter", "safe_mode_engaged"], "rollout v1 blue");

    private readonly GovernanceAudit _audit = new([Froze], From, AccountSchemas.Derived);

    [Test]
    public void An_event_that_is_everywhere_has_no_gap()
    {
        Add(GovernancePlace.TrailA, "safe_mode.enter", reason: Froze.Reason);
        Add(GovernancePlace.Events, "safe_mode_engaged", reason: Froze.Reason);
        Add(GovernancePlace.PodLog, "safe_mode.enter", reason: Froze.Reason);
        Assert.That((Missing(), Gaps()), Is.EqualTo(("", "")));
    }

    [Test]
    public void An_event_of_another_rollout_does_not_count()
    {
        Add(GovernancePlace.TrailA, "safe_mode.enter", reason: "rollout v0 blue");
        Add(GovernancePlace.TrailA, "safe_mode.exit", reason: Froze.Reason);
        Assert.That(Missing(), Is.EqualTo("live froze"));
    }

    [Test]
    public void An_event_that_only_a_pod_s_log_has_is_a_gap_and_no_failure()
    {
        Add(GovernancePlace.PodLog, "safe_mode.enter", reason: Froze.Reason);
        Assert.That(Missing(), Is.Empty);
        Assert.That(Gaps(), Does.StartWith("live froze: in no audit trail, only in pod log ("));
        Assert.That(Missing(trailRequired: true), Is.EqualTo("live froze"));
    }

    [Test]
    public void Each_kill_switch_event_wants_an_audit_row_of_its_own()
    {
        Froze_everywhere();
        Add(GovernancePlace.Events, "kill_switch_engaged", "director-1", minutes: 1);
        Add(GovernancePlace.Events, "kill_switch_engaged", "director-1", minutes: 2);
        Add(GovernancePlace.Events, "kill_switch_engaged", "company", minutes: 2);
        Add(GovernancePlace.TrailA, "kill_switch.triggered", "director-1", minutes: 1);
        Add(GovernancePlace.TrailA, "kill_switch.triggered", "company", minutes: 2);
        Assert.That(Missing(), Does.StartWith("kill_switch_engaged director-1 at 10:02:00"), "two rows for three events, counted by account and not in all");
    }

    [Test]
    public void The_account_may_be_told_by_the_schema_alone()
    {
        Froze_everywhere();
        _audit.Add(new GovernanceEvent("acct_director_1.events", GovernancePlace.Events, From, "kill_switch_engaged", "", "", ""));
        Add(GovernancePlace.TrailA, "kill_switch.triggered", "director-1");
        Assert.That(Missing(), Is.Empty);
    }

    [Test]
    public void An_audit_row_of_another_day_is_no_witness()
    {
        Froze_everywhere();
        Add(GovernancePlace.Overrides, "override.approve", "intent-1", minutes: 1);
        Add(GovernancePlace.TrailB, "override.human_decision", "intent-1", minutes: 60);
        Assert.That(Missing(), Does.StartWith("override.approve intent-1"));
    }

    [Test]
    public void What_happened_before_the_freeze_is_not_judged()
    {
        Froze_everywhere();
        Add(GovernancePlace.Overrides, "override.approve", "intent-1", minutes: -1);
        Assert.That(Missing(), Is.Empty);
    }

    [Test]
    public void A_decision_is_found_in_either_trail()
    {
        Froze_everywhere();
        Add(GovernancePlace.Overrides, "override.approve", "intent-1");
        Add(GovernancePlace.TrailB, "override.human_decision", "intent-1");
        Assert.That((Missing(trailRequired: true), Gaps()), Is.EqualTo(("", "")));
    }

    [Test]
    public void What_is_alike_is_told_once_and_nothing_that_is_missing_is_lost_in_it()
    {
        Froze_everywhere();
        for (var n = 0; n < 1000; n++)
        {
            Add(GovernancePlace.Overrides, "override.approve", $"intent-{n}");
            if (n != 900)
            {
                Add(GovernancePlace.TrailB, "override.human_decision", $"intent-{n}");
            }
        }

        Assert.That(_audit.Findings(), Has.Count.LessThan(100));
        Assert.That(_audit.Findings().Select(f => f.What), Does.Contain("949 more override.approve"));
        Assert.That(Missing(), Is.EqualTo("override.approve intent-900 at 10:00:00, noted in somewhere.table"));
        Assert.That(_audit.Findings().Select(f => f.What), Does.Contain("949 more override.approve"), "looking twice finds the same");
    }

    [Test]
    public void A_thousand_events_that_are_nowhere_are_all_missing()
    {
        Froze_everywhere();
        for (var n = 0; n < 1000; n++)
        {
            Add(GovernancePlace.Overrides, "override.approve", $"intent-{n}");
        }

        Assert.That(Missing(), Does.EndWith("950 more override.approve"));
    }

    private void Froze_everywhere() => Add(GovernancePlace.TrailA, "safe_mode.enter", reason: Froze.Reason);

    private void Add(GovernancePlace place, string action, string entity = "", string reason = "", double minutes = 0) =>
        _audit.Add(new GovernanceEvent("somewhere.table", place, From.AddMinutes(minutes), action, entity, "", reason));

    private string Missing(bool trailRequired = false) => string.Join("; ", GovernanceAudit.Missing(_audit.Findings(), trailRequired));

    private string Gaps() => string.Join("; ", GovernanceAudit.Gaps(_audit.Findings()));
}
