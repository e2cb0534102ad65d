using Rollout.Traffic;

namespace Rollout.Tests.Traffic;

public sealed class ClientReportTests
{
    private static readonly DateTimeOffset Start = new(2026, 11, 2, 9, 0, 0, TimeSpan.Zero);

    [Test]
    public void One_line_a_second_and_a_second_without_requests_has_one_too()
    {
        var report = new ClientReport(
            [
                At(0.0, 4, ClientOutcome.Read),
                At(0.5, 6, ClientOutcome.Accepted, host: "oms.example.com"),
                At(2.0, 30, ClientOutcome.ReadFailed, "green", "status 502"),
                At(2.1, 31, ClientOutcome.Refused, null, "no connection", "oms.example.com"),
                At(2.2, 1, ClientOutcome.Fenced, "green", "simulation", "oms.example.com") with { LoggedIn = true },
            ],
            stale: 0);
        Assert.That(report.ToCsv(["blue", "green"]), Is.EqualTo("""
            second,requests,reads,reads_failed,orders_accepted,orders_fenced,orders_refused,logins,blue,green,p50_ms,p95_ms,p99_ms,max_ms,failures
            2026-11-02T09:00:00Z,2,1,0,1,0,0,0,2,0,4.0,6.0,6.0,6.0,
            2026-11-02T09:00:01Z,0,0,0,0,0,0,0,0,0,0.0,0.0,0.0,0.0,
            2026-11-02T09:00:02Z,3,1,1,0,1,1,1,0,2,30.0,31.0,31.0,31.0,1 risk status 502; 1 oms no connection

            """));
    }

    [Test]
    public void A_quantile_is_a_latency_that_was_seen()
    {
        var latency = new ClientReport([.. Enumerable.Range(1, 100).Select(n => At(n / 100.0, n, ClientOutcome.Read))], 0).Totals.Latency;
        Assert.That(
            new[] { latency.Median, latency.P95, latency.P99, latency.Longest }.Select(l => l.TotalMilliseconds), Is.EqualTo(new[] { 50, 95, 99, 100 }));
    }

    [Test]
    public void The_longest_time_without_an_order_may_be_before_the_first_and_after_the_last()
    {
        Assert.Multiple(() =>
        {
            Assert.That(Longest(At(0, 0, ClientOutcome.Accepted), At(3, 0, ClientOutcome.Fenced), At(5, 0, ClientOutcome.Accepted), At(6, 0, ClientOutcome.Accepted)), Is.EqualTo(5));
            Assert.That(Longest(At(0, 0, ClientOutcome.Fenced), At(4, 0, ClientOutcome.Accepted), At(5, 0, ClientOutcome.Accepted)), Is.EqualTo(4));
            Assert.That(Longest(At(0, 0, ClientOutcome.Accepted), At(7, 0, ClientOutcome.Refused)), Is.EqualTo(7));
            Assert.That(Longest(At(0, 0, ClientOutcome.Read)), Is.Null);
            Assert.That(Longest(), Is.Null);
        });
        static double? Longest(params ClientAnswer[] answers) => new ClientReport(answers, 0).LongestWithoutOrder()?.TotalSeconds;
    }

    [Test]
    public void A_client_that_sent_nothing_has_a_report() =>
        Assert.That(new ClientReport([], 0).ToCsv(["blue"]).Split('\n', StringSplitOptions.RemoveEmptyEntries), Has.Length.EqualTo(1));

    private static ClientAnswer At(double second, int milliseconds, ClientOutcome outcome, string? slot = "blue", string? detail = null, string host = "risk.example.com")
    {
        var scheduled = Start.AddSeconds(second);
        return new ClientAnswer(scheduled, scheduled, scheduled.AddMilliseconds(milliseconds), host, slot, outcome) { Detail = detail };
    }
}
