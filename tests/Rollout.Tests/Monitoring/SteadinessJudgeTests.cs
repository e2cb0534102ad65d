using System.Globalization;
using System.Text;
using Rollout.Monitoring;

namespace Rollout.Tests.Monitoring;

[Parallelizable(ParallelScope.All)]
public sealed class SteadinessJudgeTests
{
    private static readonly double[] Bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

    /// <summary>Traffic of one service during a watch: requests, how many of them failed, and how long each took.</summary>
    public sealed record Load(string Service, int Requests, int Errors = 0, double Seconds = 0.02);

    private static readonly Load[] Calm =
        [new("oms-service", 200), new("policy-service", 200), new("risk-service", 200), new("fees-service", 200)];

    public static IEnumerable<TestCaseData> Cases()
    {
        yield return Case("same as live", Verdict.Successful, "Steady", Calm, Calm);
        yield return Case("a little slower", Verdict.Successful, "Steady", Calm, With(new Load("fees-service", 200, 0, 0.04)));
        yield return Case(
            "an error more than live, within the margin",
            Verdict.Successful,
            "Steady",
            With(new Load("fees-service", 1000, 2)),
            With(new Load("fees-service", 1000, 6)));
        yield return Case("five in a hundred fail", Verdict.Failed, "ErrorRatio", Calm, With(new Load("fees-service", 200, 10)));
        yield return Case(
            "within the absolute limit, but live has none, and many were seen",
            Verdict.Failed,
            "ErrorRatio",
            With(new Load("fees-service", 3000)),
            With(new Load("fees-service", 3000, 24)));
        yield return Case(
            "within the absolute limit, and live was seen too briefly to have any",
            Verdict.Inconclusive,
            "MayBeChance",
            Calm,
            With(new Load("fees-service", 1000, 8)));
        yield return Case(
            "both fail alike",
            Verdict.Inconclusive,
            "LiveBreachesToo",
            With(new Load("fees-service", 200, 10)),
            With(new Load("fees-service", 200, 10)));
        yield return Case(
            "two errors of forty may be chance", Verdict.Inconclusive, "TooFewErrors", Calm, With(new Load("fees-service", 40, 2)));
        yield return Case(
            "a policy service above its SLO, no baseline",
            Verdict.Failed,
            "LatencySlo",
            null,
            With(new Load("policy-service", 200, 0, 0.4)));
        yield return Case(
            "in the bucket that holds the SLO, as live is",
            Verdict.Successful,
            "Steady",
            With(new Load("policy-service", 200, 0, 0.11)),
            With(new Load("policy-service", 200, 0, 0.12)));
        yield return Case("an OMS above its SLO", Verdict.Failed, "LatencyWorseThanLive", Calm, With(new Load("oms-service", 200, 0, 0.7)));
        yield return Case(
            "above the SLO on both sides",
            Verdict.Inconclusive,
            "LiveBreachesToo",
            With(new Load("risk-service", 200, 0, 0.4)),
            With(new Load("risk-service", 200, 0, 0.4)));
        yield return Case(
            "a service without SLO much slower than live",
            Verdict.Failed,
            "LatencyWorseThanLive",
            Calm,
            With(new Load("fees-service", 200, 0, 0.9)));
        yield return Case(
            "slower than the last bucket", Verdict.Failed, "LatencyWorseThanLive", Calm, With(new Load("fees-service", 200, 0, 60)));
        yield return Case("a service falls silent", Verdict.Inconclusive, "Silent", Calm, [.. Calm[..3]]);
        yield return Case("too few requests to tell", Verdict.Inconclusive, "TooFewRequests", Calm, With(new Load("fees-service", 5)));
        yield return Case(
            "silent on both sides decides nothing",
            Verdict.Successful,
            "Steady",
            With(new Load("fees-service", 3)),
            With(new Load("fees-service", 2)));
        yield return Case(
            "an SLO service silent on both sides",
            Verdict.Inconclusive,
            "TooFewRequests",
            With(new Load("oms-service", 3)),
            With(new Load("oms-service", 3)));
        yield return Case("nobody says anything", Verdict.Inconclusive, "Silent", [], []);
        yield return Case("no baseline", Verdict.Inconclusive, "NoBaseline", null, Calm);
        yield return Case("no baseline, and failing", Verdict.Failed, "ErrorRatio", null, With(new Load("fees-service", 200, 50)));
        yield return Case(
            "failing outranks silent", Verdict.Failed, "ErrorRatio", Calm, [Calm[0], Calm[1], new Load("fees-service", 200, 50)]);
    }

    [TestCaseSource(nameof(Cases))]
    public void Judges(Verdict verdict, string reason, Load[]? baseline, Load[] observed)
    {
        var judgement = SteadinessJudge.Judge(
            baseline is null ? new WatchSamples() : Series(baseline).Samples(), Series(observed).Samples(), new JudgeThresholds());
        Assert.That((judgement.Verdict, judgement.Reason), Is.EqualTo((verdict, reason)), judgement.Message);
        Assert.That(judgement.Message, Is.Not.Empty);
    }

    [Test]
    public void Nothing_scraped_is_an_error()
    {
        var observed = new WatchSeries();
        observed.AddFailure("the API server does not answer");
        var judgement = SteadinessJudge.Judge(Series(Calm).Samples(), observed.Samples(), new JudgeThresholds());
        Assert.That(judgement.Verdict, Is.EqualTo(Verdict.Inconclusive));
        Assert.That(judgement.Message, Does.Contain("the API server does not answer"));
    }

    [Test]
    public void A_watch_cut_short_is_inconclusive_unless_it_failed()
    {
        var calm = Series(Calm);
        calm.Incomplete = "the scaling controller had evaluated 1 of 2 times";
        Assert.That(SteadinessJudge.Judge(Series(Calm).Samples(), calm.Samples(), new JudgeThresholds()).Reason, Is.EqualTo("WatchIncomplete"));
        var failing = Series(With(new Load("fees-service", 200, 50)));
        failing.Incomplete = "stopped early";
        Assert.That(SteadinessJudge.Judge(Series(Calm).Samples(), failing.Samples(), new JudgeThresholds()).Verdict, Is.EqualTo(Verdict.Failed));
    }

    [Test]
    public void Broken_numbers_are_inconclusive()
    {
        var observed = Series(Calm);
        observed.Add(
            default, [new PodScrape("odd", "fees-service", "1", ScrapeOutcome.Read, "", "http_request_duration_seconds_count NaN")]);
        Assert.That(SteadinessJudge.Judge(Series(Calm).Samples(), observed.Samples(), new JudgeThresholds()).Reason, Is.EqualTo("BrokenMetrics"));
    }

    [TestCase(1, Verdict.Inconclusive)]
    [TestCase(20, Verdict.Successful)]
    public void Pods_that_cannot_be_read_make_it_inconclusive_beyond_a_share(int reads, Verdict verdict)
    {
        var observed = Series(Calm);
        for (var i = 0; i < reads; i++)
        {
            observed.Add(default, [Scrape(new Load("fees-service", 200))]);
        }

        observed.Add(
            default,
            [.. new[] { "x", "y" }.Select(pod => new PodScrape(pod, "fees-service", "1", ScrapeOutcome.Unreadable, "refused", ""))]);
        Assert.That(SteadinessJudge.Judge(Series(Calm).Samples(), observed.Samples(), new JudgeThresholds()).Verdict, Is.EqualTo(verdict));
    }

    [Test]
    public void A_gauge_named_like_the_slo_documents_metric_says_nothing()
    {
        var observed = new WatchSeries();
        observed.Add(default, [new PodScrape("a", "oms-service", "1", ScrapeOutcome.Read, "", "oms_latency_ms 12\n")]);
        observed.Add(default, [new PodScrape("a", "oms-service", "1", ScrapeOutcome.Read, "", "oms_latency_ms 13\n")]);
        Assert.That(SteadinessJudge.Judge(Series(Calm).Samples(), observed.Samples(), new JudgeThresholds()).Verdict, Is.EqualTo(Verdict.Inconclusive));
    }

    private static TestCaseData Case(string name, Verdict verdict, string reason, Load[]? baseline, Load[] observed) =>
        new TestCaseData(verdict, reason, baseline, observed).SetArgDisplayNames(name, verdict.ToString());

    private static Load[] With(Load load) => [.. Calm.Where(c => c.Service != load.Service), load];

    private static WatchSeries Series(Load[] loads)
    {
        var series = new WatchSeries();
        series.Add(default, [.. loads.Select(l => Scrape(l with { Requests = 0, Errors = 0 }))]);
        series.Add(default, [.. loads.Select(Scrape)]);
        return series;
    }

    private static PodScrape Scrape(Load load)
    {
        var text = new StringBuilder();
        foreach (var (code, count) in new[] { ("200", load.Requests - load.Errors), ("503", load.Errors) })
        {
            var labels = $"service=\"{load.Service}\",method=\"GET\",status_code=\"{code}\"";
            foreach (var bound in Bounds)
            {
                text.Append(
                    CultureInfo.InvariantCulture,
                    $"http_request_duration_seconds_bucket{{{labels},le=\"{bound}\"}} {(load.Seconds <= bound ? count : 0)}\n");
            }

            text.Append(CultureInfo.InvariantCulture, $"http_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} {count}\n");
            text.Append(CultureInfo.InvariantCulture, $"http_request_duration_seconds_count{{{labels}}} {count}\n");
        }

        return new PodScrape(load.Service + "-0", load.Service, "1", ScrapeOutcome.Read, "", text.ToString());
    }
}
