using System.Globalization;
using Rollout.Monitoring;

namespace Rollout.Tests.Monitoring;

/// <summary>
/// Rollouts made of seeded noise, judged interval by interval as a watch is: what is healthy never fails, and what is sick is never missed. The
/// traffic is that of 16 services, from one request a minute to sixty a second, with errors of their own and latencies that wander.
/// </summary>
[Parallelizable(ParallelScope.All)]
public sealed class JudgeSimulationTests
{
    private const int Rounds = 200;
    private const int Intervals = 24;
    private const double Seconds = 5;

    private static readonly DateTimeOffset Start = new(2026, 11, 26, 18, 0, 0, TimeSpan.Zero);
    private static readonly double[] Bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

    private static readonly Profile[] Platform =
    [
        new("oms-service", 60, 0.040), new("policy-service", 50, 0.035), new("risk-service", 50, 0.035),
        .. Enumerable.Range(0, 9).Select(i => new Profile($"service-{i:00}", 3 + (i * 3), 0.02 + (i * 0.009))),
        .. Enumerable.Range(0, 4).Select(i => new Profile($"quiet-{i}", 0.02 * (i + 1), 0.03)),
    ];

    private sealed record Profile(string Service, double Rate, double Median);

    /// <summary>What is wrong, for one service at one time.</summary>
    private delegate (double Errors, double Slower) Illness(string service, int interval);

    private sealed record Outcome(Judgement Judgement, int DecidedAt);

    [Test]
    public void Healthy_rounds_never_fail_and_sick_ones_are_never_missed()
    {
        var table = new List<string> { $"{"rounds of",-34} {"failed",7} {"inconcl.",9} {"success",8} {"longest to decide",18}" };
        Assert.Multiple(() =>
        {
            var healthy = Row("health", (_, _) => (0, 1), null);
            Assert.That(healthy.Failed, Is.Zero, "a healthy candidate was taken back");
            Assert.That(healthy.Successful, Is.GreaterThan(Rounds * 0.95), "a judge that is never sure is no use");
            foreach (var (name, ill, begins) in new (string, Illness, int)[]
            {
                ("2 % errors for 30 s (policy)", (s, i) => (s == "policy-service" && i is >= 9 and < 15 ? 0.02 : 0, 1), 9),
                ("4 % errors for 30 s (service-08)", (s, i) => (s == "service-08" && i is >= 9 and < 15 ? 0.04 : 0, 1), 9),
                ("2 % errors for 30 s (everywhere)", (_, i) => (i is >= 9 and < 15 ? 0.02 : 0, 1), 9),
                ("p95 × 2 (oms)", (s, _) => (0, s == "oms-service" ? 2 : 1), 0),
                ("p95 × 2 from the middle (service-07)", (s, i) => (0, s == "service-07" && i >= 12 ? 2 : 1), 12),
                ("p95 grows by 8 % each interval (risk)", (s, i) => (0, s == "risk-service" ? Math.Pow(1.08, i) : 1), 0),
            })
            {
                var sick = Row(name, ill, begins);
                Assert.That(sick.Failed, Is.EqualTo(Rounds), name);
            }
        });
        TestContext.Out.WriteLine(string.Join('\n', table));

        (int Failed, int Successful) Row(string name, Illness ill, int? begins)
        {
            var outcomes = new Outcome[Rounds];
            Parallel.For(0, Rounds, round => outcomes[round] = Watch(round, ill));
            var failed = outcomes.Count(o => o.Judgement.Verdict == Verdict.Failed);
            var successful = outcomes.Count(o => o.Judgement.Verdict == Verdict.Successful);
            var longest = begins is null ? "" : $"{outcomes.Where(o => o.Judgement.Verdict == Verdict.Failed).Select(o => o.DecidedAt - begins.Value).DefaultIfEmpty().Max()} intervals";
            table.Add($"{name,-38} {failed,3} {outcomes.Count(o => o.Judgement.Verdict == Verdict.Inconclusive),9} {successful,8} {longest,18}");
            foreach (var wrong in outcomes.Where(o => o.Judgement.Verdict == Verdict.Failed && begins is null).Take(3))
            {
                table.Add("    " + wrong.Judgement.Message);
            }

            return (failed, successful);
        }
    }

    [Test]
    public void The_verdict_falls_at_the_look_at_which_the_evidence_suffices()
    {
        var (baseline, observed) = Pair(11, (s, i) => (s == "oms-service" && i >= 6 ? 0.2 : 0, 1));
        var decided = Enumerable.Range(1, Intervals).First(n => SteadinessJudge.Judge(baseline, Prefix(observed, n), new JudgeThresholds(), newestOnly: true).Verdict == Verdict.Failed);
        var judgement = SteadinessJudge.Judge(baseline, Prefix(observed, decided), new JudgeThresholds(), newestOnly: true);
        Assert.That(decided, Is.EqualTo(7), "a fifth of sixty requests a second fails: one interval is enough");
        Assert.That(judgement.Decided - judgement.FirstBad, Is.LessThanOrEqualTo(TimeSpan.FromSeconds(2 * Seconds)));
    }

    [Test]
    public void One_service_down_is_no_success()
    {
        var (baseline, observed) = Pair(5, (_, _) => (0, 1));
        var down = observed with { Services = observed.Services.Where(s => s.Key != "risk-service").ToDictionary() };
        Assert.That(SteadinessJudge.Judge(baseline, down, new JudgeThresholds()).Verdict, Is.EqualTo(Verdict.Inconclusive));
    }

    [Test]
    public void Half_the_services_missing_is_no_success_and_the_other_half_still_fails()
    {
        var (baseline, observed) = Pair(6, (s, i) => (s == "service-06" && i > 5 ? 0.1 : 0, 1));
        var half = observed with { Services = observed.Services.Where((_, i) => i % 2 == 1).ToDictionary() };
        Assert.That(half.Services.Keys, Does.Contain("service-06"));
        Assert.That(SteadinessJudge.Judge(baseline, half, new JudgeThresholds()).Verdict, Is.EqualTo(Verdict.Failed));
        var healthy = half with { Services = half.Services.Where(s => s.Key != "service-06").ToDictionary() };
        Assert.That(SteadinessJudge.Judge(baseline, healthy, new JudgeThresholds()).Verdict, Is.EqualTo(Verdict.Inconclusive));
    }

    [Test]
    public void No_metrics_at_all_is_no_success()
    {
        var (baseline, observed) = Pair(7, (_, _) => (0, 1));
        var none = observed with { Services = new Dictionary<string, IReadOnlyList<IntervalSample>>() };
        Assert.That(SteadinessJudge.Judge(baseline, none, new JudgeThresholds()).Verdict, Is.EqualTo(Verdict.Inconclusive));
    }

    [TestCase(0.25)]
    [TestCase(1.0)]
    public void A_quiet_service_whose_few_requests_fail_is_inconclusive_at_most(double ratio)
    {
        for (var seed = 0; seed < 50; seed++)
        {
            var (baseline, observed) = Pair(seed, (s, _) => (s == "quiet-1" ? ratio : 0, 1));
            var judgement = SteadinessJudge.Judge(baseline, observed, new JudgeThresholds());
            Assert.That(judgement.Verdict, Is.Not.EqualTo(Verdict.Failed), judgement.Message);
        }
    }

    [Test]
    public void Orders_that_stop_fail_only_when_the_candidate_trades()
    {
        var (baseline, observed) = Pair(8, (_, _) => (0, 1));
        baseline = WithOrders(baseline, 4);
        var silent = WithOrders(observed, 0);
        Assert.Multiple(() =>
        {
            Assert.That(SteadinessJudge.Judge(baseline, silent, new JudgeThresholds()).Metrics.Select(m => m.Metric), Has.None.EqualTo("orders"), "the freeze silences orders");
            Assert.That(SteadinessJudge.Judge(baseline, silent, new JudgeThresholds().WhileTrading()).Reason, Is.EqualTo("OrdersFell"));
            Assert.That(SteadinessJudge.Judge(baseline, WithOrders(observed, 4), new JudgeThresholds().WhileTrading()).Verdict, Is.EqualTo(Verdict.Successful));
        });
    }

    private static WatchSamples WithOrders(WatchSamples samples, double each) => samples with
    {
        Services = samples.Services.ToDictionary(
            s => s.Key, s => s.Key == "oms-service" ? (IReadOnlyList<IntervalSample>)[.. s.Value.Select(i => i with { Orders = each })] : s.Value),
    };

    private static Outcome Watch(int seed, Illness ill)
    {
        var (baseline, observed) = Pair(seed, ill);
        for (var n = 1; n < Intervals; n++)
        {
            var early = SteadinessJudge.Judge(baseline, Prefix(observed, n), new JudgeThresholds(), newestOnly: true);
            if (early.Verdict == Verdict.Failed)
            {
                return new Outcome(early, n);
            }
        }

        return new Outcome(SteadinessJudge.Judge(baseline, observed, new JudgeThresholds()), Intervals);
    }

    private static WatchSamples Prefix(WatchSamples samples, int intervals) => samples with
    {
        To = Start.AddSeconds(intervals * Seconds),
        Readings = intervals + 1,
        Services = samples.Services.ToDictionary(s => s.Key, s => (IReadOnlyList<IntervalSample>)[.. s.Value.Take(intervals)]),
    };

    private static (WatchSamples Baseline, WatchSamples Observed) Pair(int seed, Illness ill)
    {
        var random = new Random(seed);
        return (Samples(random, (_, _) => (0, 1)), Samples(random, ill));
    }

    private static WatchSamples Samples(Random random, Illness ill) => new()
    {
        Slot = "green",
        From = Start,
        To = Start.AddSeconds(Intervals * Seconds),
        IntervalSeconds = Seconds,
        Readings = Intervals + 1,
        Services = Platform.ToDictionary(p => p.Service, p => (IReadOnlyList<IntervalSample>)[.. Enumerable.Range(0, Intervals).Select(i => Interval(random, p, i, ill))]),
    };

    private static IntervalSample Interval(Random random, Profile profile, int interval, Illness ill)
    {
        var (errorRatio, slower) = ill(profile.Service, interval);
        var wander = Math.Exp(0.08 * Gauss(random));
        var (requests, errors) = (Poisson(random, profile.Rate * Seconds), 0);
        var buckets = Bounds.Append(double.PositiveInfinity).ToDictionary(b => double.IsPositiveInfinity(b) ? "+Inf" : b.ToString("R", CultureInfo.InvariantCulture), _ => 0.0);
        for (var i = 0; i < requests; i++)
        {
            errors += random.NextDouble() < errorRatio + 0.001 ? 1 : 0;
            var seconds = profile.Median * slower * wander * Math.Exp(0.6 * Gauss(random));
            var bound = Array.Find(Bounds, b => seconds <= b);
            buckets[bound == 0 ? "+Inf" : bound.ToString("R", CultureInfo.InvariantCulture)]++;
        }

        return IntervalSample.From(Start.AddSeconds((interval + 1) * Seconds), requests, errors, null, buckets);
    }

    private static double Gauss(Random random) => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());

    private static int Poisson(Random random, double mean)
    {
        if (mean > 50)
        {
            return Math.Max(0, (int)Math.Round(mean + (Math.Sqrt(mean) * Gauss(random))));
        }

        var (limit, product, count) = (Math.Exp(-mean), random.NextDouble(), 0);
        while (product > limit)
        {
            product *= random.NextDouble();
            count++;
        }

        return count;
    }
}
