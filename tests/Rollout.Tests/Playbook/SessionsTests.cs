using Rollout.Platform;
using Rollout.Playbook;

namespace Rollout.Tests.Playbook;

[Parallelizable(ParallelScope.All)]
public sealed class SessionsTests
{
    private static readonly DateTimeOffset Now = new(2026, 11, 27, 8, 0, 0, TimeSpan.Zero);

    [Test]
    public void The_longest_freeze_is_every_wait_from_the_first_fence_to_orders()
    {
        var settings = RolloutSettings.Resolve(
            new Dictionary<string, string?>
            {
                ["fence-timeout"] = "1",
                ["dns-timeout"] = "10",
                ["monitoring-timeout"] = "100",
                ["chart-timeout"] = "1000",
                ["monitoring-orders-timeout"] = "10000",
            },
            new Dictionary<string, string?>(),
            Path.GetTempPath());
        Assert.That(Sessions.LongestFreeze(settings), Is.EqualTo(TimeSpan.FromSeconds(11113)));
    }

    [TestCase(44, "the session of candidate (green) ends at 2026-11-27 08:43:59 UTC, in 43 min 59 s, and a freeze could take 44 min 0 s")]
    [TestCase(0, "in 0 s, and a freeze could take 44 min 0 s")]
    public void A_session_that_a_freeze_could_outlive_is_refused_with_both_figures(int minutes, string says)
    {
        var found = Judge(new StoredSession("company", Now.AddMinutes(minutes).AddSeconds(-1)));
        Assert.That(found.Problems.Single(), Does.Contain(says).And.Contain("ROLLOUT_SECRETS_SESSION_GREEN").And.Contain("SESSION_TTL_MINUTES"));
        Assert.That(found.Warnings, Is.Empty);
    }

    [Test]
    public void A_session_that_outlives_it_is_fine()
    {
        var found = Judge(new StoredSession("company", Now.AddMinutes(44)));
        Assert.That(found.Problems.Concat(found.Warnings), Is.Empty);
    }

    [TestCase(null, "the Redis of ROLLOUT_SECRETS_REDIS_GREEN does not know it")]
    [TestCase("Redis at 127.0.0.1:1 (database 1) does not answer: no.", "Redis at 127.0.0.1:1 (database 1) does not answer: no;")]
    public void A_session_of_which_nothing_is_known_is_warned_of(string? unknown, string says)
    {
        var found = Judge(null, unknown);
        Assert.That(found.Problems, Is.Empty);
        Assert.That(found.Warnings.Single(), Does.Contain("how long the session of candidate (green) is valid is not known").And.Contain(says).And.Contain("44 min 0 s"));
    }

    [Test]
    public void A_freeze_is_not_begun_with_a_short_session_but_one_in_force_goes_on()
    {
        var found = Judge(new StoredSession("company", Now.AddMinutes(30)));
        var refused = Assert.Throws<RolloutException>(() => Sessions.Settle(found, "green", isFrozen: false))!;
        Assert.That(refused.Message, Does.StartWith("Nothing was changed: the session of candidate (green) ends at"));
        Assert.That(refused.Hint, Does.Contain("ROLLOUT_SECRETS_SESSION_GREEN"));
        Assert.That(Sessions.Settle(found, "green", isFrozen: true), Is.EqualTo(found.Problems));
        Assert.That(Sessions.Settle(Judge(null), "green", isFrozen: false).Single(), Does.Contain("is not known"));
    }

    private static Findings Judge(StoredSession? session, string? unknown = null)
    {
        var found = new Findings();
        Sessions.Judge("candidate (green)", "green", session, unknown, Now, TimeSpan.FromMinutes(44), found);
        return found;
    }
}
