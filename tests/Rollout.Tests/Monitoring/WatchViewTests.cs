using Rollout.Monitoring;
using Rollout.Reporting;

namespace Rollout.Tests.Monitoring;

[Parallelizable(ParallelScope.All)]
public sealed class WatchViewTests
{
    [Test]
    public void A_sparkline_shows_the_newest_at_the_right_and_a_blank_for_what_is_not_known()
    {
        Assert.That(WatchView.Sparkline([0, null, 0.5, 1]), Is.EqualTo("▁ ▅█"));
        Assert.That(WatchView.Sparkline([0, 0]), Is.EqualTo("▁▁"));
        Assert.That(WatchView.Sparkline([]), Is.Empty);
    }

    [Test]
    public void The_worst_service_is_first()
    {
        MetricJudgement[] metrics =
        [
            new("a-service", "p95", Verdict.Successful, 0.01, 0.01, 0.2, "Steady", ""),
            new("z-service", "error ratio", Verdict.Failed, 0.2, 0, 0.01, "ErrorRatio", ""),
            new("m-service", "requests", Verdict.Inconclusive, 3, 3, 20, "TooFewRequests", "", Counts: false),
        ];
        var rows = WatchView.Rows(new WatchSamples(), new Judgement(Verdict.Failed, "ErrorRatio", "", metrics));
        Assert.That(rows.Select(r => (r.Service, r.State)), Is.EqualTo(new[] { ("z-service", "Failed (ErrorRatio)"), ("a-service", "steady"), ("m-service", "quiet") }));
        Assert.That(rows[0].Errors, Is.EqualTo("20 % (0 %)"));
    }

    [TestCase(true, null, true)]
    [TestCase(true, "1", false)]
    [TestCase(false, null, false)]
    public async Task A_terminal_has_a_table_in_place_and_a_log_has_lines_without_control_characters(bool isTerminal, string? noColor, bool live)
    {
        using var output = new StringWriter();
        var console = new RolloutConsole(output, output, new Dictionary<string, string?> { ["NO_COLOR"] = noColor, ["TERM"] = "xterm" }, isTerminal);
        var table = new LiveTable("a watch", ["service", "verdict"], [("green", ["oms-service", "steady"])], ["what would take it back"]);
        var result = await console.LiveAsync((update, progress) =>
        {
            update(table);
            progress.Report("watching");
            update(table);
            return Task.FromResult(7);
        });
        var text = output.ToString();
        Assert.That(result, Is.EqualTo(7));
        Assert.That(text.Contains('\e'), Is.EqualTo(live));
        Assert.That(text, Does.Contain(live ? "what would take it back" : "… watching"));
        Assert.That(text.Contains("oms-service", StringComparison.Ordinal), Is.EqualTo(live));
    }
}
