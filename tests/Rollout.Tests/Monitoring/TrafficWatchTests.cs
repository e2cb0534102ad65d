using Rollout.Monitoring;
using Rollout.Tests.Support;

namespace Rollout.Tests.Monitoring;

[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class TrafficWatchTests
{
    private readonly HastyTime _time = new();
    private readonly Reports _reports = new();
    private int _evaluations = 40;
    private KubernetesDouble _cluster = null!;

    [SetUp]
    public async Task StartAsync()
    {
        _cluster = await KubernetesDouble.StartAsync();
        _cluster.Pods.Add(
            new PodDouble { Name = "admin-0", App = "admin-platform", Metrics = () => $"scaling_evaluations_total {_evaluations}\n" });
        _cluster.Pods.Add(new PodDouble { Name = "ui-0", App = "aether-2-ui", Metrics = () => null });
    }

    [TearDown]
    public async Task StopAsync() => await _cluster.DisposeAsync();

    [Test]
    public async Task Waits_for_two_evaluations_when_the_scrapes_are_done_first()
    {
        var pauses = 0;
        _time.OnPause = () => _evaluations += ++pauses % 10 == 0 ? 1 : 0;
        var result = await WatchAsync(new WatchPlan { Interval = TimeSpan.FromSeconds(1), MinimumScrapes = 3 });
        Assert.That(result.Series.Incomplete, Is.Null);
        Assert.That(result.Evaluations, Is.EqualTo(2));
        Assert.That(result.Series.Scrapes, Is.EqualTo(21));
        Assert.That(_reports.Lines, Has.Some.Contains("1 of 2 scaling evaluations"), "a wait over two seconds says what it waits for");
    }

    [Test]
    public async Task Waits_for_the_scrapes_when_the_evaluations_are_done_first()
    {
        _time.OnPause = () => _evaluations += 5;
        var result = await WatchAsync(new WatchPlan { Interval = TimeSpan.FromSeconds(1), MinimumScrapes = 8 });
        Assert.That(result.Series.Scrapes, Is.EqualTo(8));
    }

    [Test]
    public async Task Two_evaluations_faster_than_two_intervals_are_not_two_cycles()
    {
        _time.OnPause = () => _evaluations++;
        var result = await WatchAsync(
            new WatchPlan { Interval = TimeSpan.FromSeconds(1), MinimumScrapes = 1, EvaluationInterval = TimeSpan.FromSeconds(10) });
        Assert.That(result.Series.Scrapes, Is.EqualTo(21));
    }

    [Test]
    public async Task A_controller_that_restarts_meanwhile_counts_on()
    {
        var pauses = 0;
        _time.OnPause = () =>
        {
            pauses++;
            _evaluations = pauses switch { < 3 => 40, 3 => 41, _ => 1 };
            _cluster.Pods[0].Restarts = pauses > 3 ? 1 : 0;
        };
        var result = await WatchAsync(new WatchPlan { Interval = TimeSpan.FromSeconds(1), MinimumScrapes = 1 });
        Assert.That(result.Series.Incomplete, Is.Null);
        Assert.That(result.Evaluations, Is.EqualTo(2));
    }

    [Test]
    public async Task Two_replicas_with_one_evaluation_each_are_not_two_cycles()
    {
        var first = true;
        _cluster.Pods.Add(
            new PodDouble { Name = "admin-1", App = "admin-platform", Metrics = () => $"scaling_evaluations_total {_evaluations}\n" });
        _time.OnPause = () =>
        {
            _evaluations += first ? 1 : 0;
            first = false;
        };
        var result = await WatchAsync(
            new WatchPlan { Interval = TimeSpan.FromSeconds(1), MinimumScrapes = 1, Timeout = TimeSpan.FromSeconds(30) });
        Assert.That(result.Series.Incomplete, Does.Contain("1 of 2 times"));
    }

    [Test]
    public async Task A_stalled_controller_ends_in_an_incomplete_watch()
    {
        var result = await WatchAsync(
            new WatchPlan { Interval = TimeSpan.FromSeconds(1), MinimumScrapes = 1, Timeout = TimeSpan.FromSeconds(20) });
        Assert.That(result.Series.Incomplete, Does.Contain("0 of 2 times"));
        var judgement = SteadinessJudge.Judge(new WatchSamples(), result.Samples, new JudgeThresholds());
        Assert.That((judgement.Verdict, judgement.Reason), Is.EqualTo((Verdict.Failed, "ScalingStalled")), "it was read, and stood still: that is seen");
    }

    [Test]
    public async Task A_controller_that_was_never_seen_is_said_to_be_so()
    {
        _cluster.Pods.RemoveAt(0);
        var result = await WatchAsync(
            new WatchPlan { Interval = TimeSpan.FromSeconds(1), MinimumScrapes = 1, Timeout = TimeSpan.FromSeconds(5) });
        Assert.That(result.Series.Incomplete, Does.Contain("never seen"));
    }

    [Test]
    public async Task Stops_at_the_look_at_which_the_judge_is_sure()
    {
        var result = await WatchAsync(new WatchPlan
        {
            Interval = TimeSpan.FromSeconds(1),
            Judge = (samples, _) => Says(samples.Readings == 4 ? Verdict.Failed : Verdict.Successful),
        });
        Assert.That(result.Series.Scrapes, Is.EqualTo(4));
        Assert.That(result.Samples.Incomplete, Does.StartWith("stopped early"));
        Assert.That(result.Samples.Verdict!.Verdict, Is.EqualTo(Verdict.Failed));
    }

    [TestCase(Verdict.Inconclusive, 21, Verdict.Inconclusive)]
    [TestCase(Verdict.Successful, 11, Verdict.Successful)]
    public async Task Is_made_twice_as_long_once_where_it_is_inconclusive(Verdict atFirst, int looks, Verdict atLast)
    {
        _time.OnPause = () => _evaluations++;
        var result = await WatchAsync(new WatchPlan { Interval = TimeSpan.FromSeconds(1), MinimumScrapes = 11, Judge = (_, _) => Says(atFirst) });
        Assert.That(result.Series.Scrapes, Is.EqualTo(looks));
        Assert.That(result.Samples.Verdict!.Verdict, Is.EqualTo(atLast));
        Assert.That(_reports.Lines.Count(l => l.Contains("watching as long again", StringComparison.Ordinal)), Is.EqualTo(atFirst == Verdict.Inconclusive ? 1 : 0));
    }

    [Test]
    public async Task A_service_that_says_it_is_sick_three_looks_in_a_row_fails_the_watch_and_one_that_was_sick_once_does_not()
    {
        var looks = 0;
        var sick = new Dictionary<string, string> { ["risk"] = "risk is in error (db: gone); on live it is ok." };
        var plan = new WatchPlan
        {
            Interval = TimeSpan.FromSeconds(1),
            MinimumScrapes = 8,
            Health = _ => Task.FromResult<IReadOnlyDictionary<string, string>?>(++looks is 2 or 3 or 5 or 6 or 7 ? sick : new Dictionary<string, string>()),
            Judge = (samples, _) => SteadinessJudge.Judge(new WatchSamples(), samples, new JudgeThresholds()),
        };
        var result = await WatchAsync(plan);
        Assert.That(result.Series.Scrapes, Is.EqualTo(7), "two looks are a moment, three are a state");
        Assert.That((result.Samples.Verdict!.Verdict, result.Samples.Verdict.Reason), Is.EqualTo((Verdict.Failed, "LessHealthyThanLive")));
        Assert.That(result.Samples.Verdict.Message, Is.EqualTo("risk is in error (db: gone); on live it is ok, 3 looks in a row."));
        var again = WatchSamples.FromJson(result.Samples.ToJson(), "kept");
        Assert.That(SteadinessJudge.Judge(new WatchSamples(), again, new JudgeThresholds()).Reason, Is.EqualTo("LessHealthyThanLive"), "what is archived is judged alike");
    }

    [Test]
    public async Task A_look_that_saw_nothing_makes_no_sick_service_well()
    {
        _time.OnPause = () => _evaluations++;
        var looks = 0;
        var result = await WatchAsync(new WatchPlan
        {
            Interval = TimeSpan.FromSeconds(1),
            MinimumScrapes = 5,
            Timeout = TimeSpan.FromSeconds(6),
            Health = _ => Task.FromResult<IReadOnlyDictionary<string, string>?>(++looks < 3 ? new Dictionary<string, string> { ["risk"] = "risk is in error." } : null),
            Judge = (samples, _) => SteadinessJudge.Judge(new WatchSamples(), samples, new JudgeThresholds()),
        });
        Assert.That((result.Samples.Verdict!.Verdict, result.Samples.Verdict.Reason), Is.EqualTo((Verdict.Inconclusive, "HealthUnsettled")));
    }

    [Test]
    public async Task A_service_that_is_sick_in_the_last_look_leaves_the_watch_open()
    {
        _time.OnPause = () => _evaluations++;
        var looks = 0;
        var result = await WatchAsync(new WatchPlan
        {
            Interval = TimeSpan.FromSeconds(1),
            MinimumScrapes = 5,
            Health = _ => Task.FromResult<IReadOnlyDictionary<string, string>?>(
                ++looks is 5 or 9 ? new Dictionary<string, string> { ["risk"] = "risk is in error." } : new Dictionary<string, string>()),
            Judge = (samples, _) => SteadinessJudge.Judge(new WatchSamples(), samples, new JudgeThresholds()),
        });
        Assert.That(result.Series.Scrapes, Is.EqualTo(9), "it was made twice as long");
        Assert.That((result.Samples.Verdict!.Verdict, result.Samples.Verdict.Reason), Is.EqualTo((Verdict.Inconclusive, "HealthUnsettled")));
    }

    [TestCase(20, ExpectedResult = 12)]
    [TestCase(4, ExpectedResult = 12)]
    [TestCase(3, ExpectedResult = 18)]
    [TestCase(2, ExpectedResult = 12)]
    public int Lasts_until_its_test_could_fail(int baseline)
    {
        var scrapes = WatchPlan.ScrapesFor(baseline);
        Assert.That(baseline < 3 || Evidence.SmallestP(scrapes - 1, baseline) <= 1e-3);
        return scrapes;
    }

    [Test]
    public async Task A_moment_without_an_answer_leaves_no_hole()
    {
        var pauses = 0;
        _time.OnPause = () =>
        {
            _cluster.ListFails = ++pauses is 2 or 5;
            _evaluations++;
        };
        var result = await WatchAsync(new WatchPlan { Interval = TimeSpan.FromSeconds(1), MinimumScrapes = 5 });
        Assert.That((result.Series.Scrapes, result.Series.Failures), Is.EqualTo((5, 0)));
    }

    [Test]
    public async Task An_API_server_that_does_not_answer_is_no_end()
    {
        // Three tries a scrape, with two pauses between them, and one pause between two scrapes.
        var pauses = 0;
        _time.OnPause = () =>
        {
            _cluster.ListFails = ++pauses is >= 2 and <= 7;
            _evaluations++;
        };
        var result = await WatchAsync(new WatchPlan { Interval = TimeSpan.FromSeconds(1), MinimumScrapes = 5 });
        Assert.That(result.Series.Scrapes, Is.EqualTo(5));
        Assert.That(result.Series.Failures, Is.EqualTo(2));
    }

    [Test]
    public async Task A_pod_without_a_metrics_page_is_no_gap()
    {
        _time.OnPause = () => _evaluations++;
        var result = await WatchAsync(new WatchPlan { Interval = TimeSpan.FromSeconds(1), MinimumScrapes = 3 });
        Assert.That(result.Series.Services, Is.EqualTo(new[] { "admin-platform" }));
        Assert.That(result.Last.Single(s => s.App == "aether-2-ui").Outcome, Is.EqualTo(ScrapeOutcome.Absent));
    }

    private static Judgement Says(Verdict verdict) => new(verdict, "Test", "as the test says", []);

    private Task<WatchResult> WatchAsync(WatchPlan plan) =>
        new TrafficWatch(_cluster.Client, "aether-green", _time, _reports).WatchAsync(plan, CancellationToken.None);
}
