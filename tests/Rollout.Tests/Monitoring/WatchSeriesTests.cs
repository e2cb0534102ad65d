using Rollout.Monitoring;

namespace Rollout.Tests.Monitoring;

[Parallelizable(ParallelScope.All)]
public sealed class WatchSeriesTests
{
    private static readonly DateTimeOffset Start = new(2026, 11, 23, 12, 0, 0, TimeSpan.Zero);

    [Test]
    public void What_was_counted_before_the_watch_does_not_count() =>
        Assert.That(Watch([("a", 0, "n_total 100")], [("a", 0, "n_total 103")]), Is.EqualTo(3));

    [Test]
    public void A_restart_counts_from_zero() => Assert.That(Watch([("a", 0, "n_total 100")], [("a", 1, "n_total 4")]), Is.EqualTo(4));

    [Test]
    public void A_counter_that_goes_back_counts_from_zero() =>
        Assert.That(Watch([("a", 0, "n_total 100")], [("a", 0, "n_total 4")]), Is.EqualTo(4));

    [Test]
    public void One_counter_that_goes_back_means_all_began_again() =>
        Assert.That(Watch([("a", 0, "n_total 5\nm_total 100")], [("a", 0, "n_total 9\nm_total 1")]), Is.EqualTo(9));

    [Test]
    public void A_series_that_appears_on_a_known_pod_began_at_zero() =>
        Assert.That(Watch([("a", 0, "m_total 1")], [("a", 0, "m_total 1\nn_total 2")]), Is.EqualTo(2));

    [Test]
    public void A_pod_that_appears_later_counts_whole() =>
        Assert.That(Watch([("a", 0, "n_total 10")], [("a", 0, "n_total 10"), ("b", 0, "n_total 7")]), Is.EqualTo(7));

    [Test]
    public void A_page_cut_short_does_not_count_its_lost_series_again() =>
        Assert.That(
            Watch([("a", 0, "n_total 100\nm_total 1")], [("a", 0, "m_total 1")], [("a", 0, "n_total 102\nm_total 1")]), Is.EqualTo(2));

    [Test]
    public void Pods_are_summed_and_the_busiest_is_known()
    {
        var series = Series([("a", 0, "n_total 1"), ("b", 0, "n_total 1")], [("a", 0, "n_total 2"), ("b", 0, "n_total 4")]);
        Assert.That(series.Increase("svc", "n_total"), Is.EqualTo(4));
        Assert.That(series.LargestIncrease("svc", "n_total"), Is.EqualTo(3));
    }

    [Test]
    public void Values_that_no_counter_has_are_named_and_not_summed()
    {
        var series = Series([("a", 0, "n_total 1")], [("a", 0, "n_total NaN")], [("a", 0, "n_total 3")]);
        Assert.That(series.Oddities, Has.Exactly(1).Contains("n_total"));
        Assert.That(series.Increase("svc", "n_total"), Is.EqualTo(2));
    }

    [Test]
    public void A_pod_that_cannot_be_read_is_a_gap()
    {
        var series = new WatchSeries();
        series.Add(Start, [new PodScrape("a", "svc", "1", ScrapeOutcome.Unreadable, "refused", "")]);
        Assert.That(series.Gaps("svc"), Has.Count.EqualTo(1));
        Assert.That(series.Services, Is.EqualTo(new[] { "svc" }));
    }

    [Test]
    public void A_pod_read_late_keeps_its_history()
    {
        var series = new WatchSeries();
        series.Add(Start, [new PodScrape("a", "svc", "1", ScrapeOutcome.Unreadable, "refused", "")]);
        series.Add(Start, [new PodScrape("a", "svc", "1", ScrapeOutcome.Read, "", "n_total 500")]);
        series.Add(Start, [new PodScrape("a", "svc", "1", ScrapeOutcome.Read, "", "n_total 501")]);
        Assert.That(series.Increase("svc", "n_total"), Is.EqualTo(1), "500 were counted before anybody looked");
    }

    [TestCase(0.5, 0.1)]
    [TestCase(0.25, 0.05)]
    [TestCase(0.75, 0.35)]
    [TestCase(0.95, double.PositiveInfinity)]
    public void A_quantile_is_linear_in_its_bucket_and_infinite_above_the_last(double quantile, double expected)
    {
        var histogram = new HistogramIncrease([(0.1, 50), (0.5, 90), (1, 90), (double.PositiveInfinity, 100)]);
        Assert.That(histogram.Quantile(quantile), Is.EqualTo(expected).Within(1e-9));
    }

    [Test]
    public void A_quantile_of_nothing_is_not_a_number()
    {
        Assert.That(new HistogramIncrease([]).Quantile(0.95), Is.NaN);
        Assert.That(new HistogramIncrease([(0.1, 0), (double.PositiveInfinity, 0)]).Quantile(0.95), Is.NaN);
        Assert.That(new HistogramIncrease([(0.1, 5)]).Quantile(0.95), Is.NaN, "without +Inf the total is not known");
    }

    [Test]
    public void A_watch_kept_as_text_is_judged_alike()
    {
        const string Good = "http_request_duration_seconds_count{status_code=\"200\"}";
        const string Bad = "http_request_duration_seconds_count{status_code=\"500\"}";
        var series = Series([("a", 0, $"{Good} 0")], [("a", 0, $"{Good} 90\n{Bad} 10")]);
        series.Incomplete = "cut short";
        var samples = series.Samples("blue", "live");
        var read = WatchSamples.FromText(samples.ToText());
        Assert.That((read.Of("svc")[0].Requests, read.Of("svc")[0].Errors), Is.EqualTo((100, 10)));
        Assert.That((read.Readings, read.Incomplete, read.From, read.Slot), Is.EqualTo((2, "cut short", (DateTimeOffset?)Start, "blue")));
        Assert.That(read.ToJson(), Is.EqualTo(samples.ToJson()));
        Assert.That(() => WatchSamples.FromText("nonsense"), Throws.TypeOf<RolloutException>());
    }

    [Test]
    public void A_long_watch_is_joined_until_it_fits_into_the_journal_and_loses_no_request()
    {
        var random = new Random(7);
        var long_ = new WatchSamples
        {
            IntervalSeconds = 1,
            Readings = 601,
            Services = Enumerable.Range(0, 22).ToDictionary(s => $"service-{s}", _ => (IReadOnlyList<IntervalSample>)[.. Enumerable.Range(0, 600).Select(i =>
                new IntervalSample(Start.AddSeconds(i), random.Next(100), random.Next(3), Buckets: new Dictionary<string, double> { ["0.1"] = random.Next(50), ["0.25"] = random.Next(50) }))]),
        };
        var text = long_.ToText();
        var read = WatchSamples.FromText(text);
        Assert.That(text, Has.Length.LessThanOrEqualTo(40_000));
        Assert.That(read.IntervalSeconds, Is.GreaterThan(1));
        Assert.That(read.Of("service-3").Sum(i => i.Requests), Is.EqualTo(long_.Of("service-3").Sum(i => i.Requests)));
    }

    [Test]
    public void An_interval_is_what_was_between_two_looks_and_a_look_without_the_pod_is_not_known()
    {
        const string Good = "http_request_duration_seconds_count{status_code=\"200\"}";
        var samples = Series([("a", 0, $"{Good} 5")], [("a", 0, $"{Good} 9")], [], [("a", 0, $"{Good} 10")]).Samples();
        Assert.That(samples.Of("svc").Select(i => i.Requests), Is.EqualTo(new double?[] { 4, null, 1 }));
        Assert.That(samples.IntervalSeconds, Is.EqualTo(1));
    }

    [Test]
    public void Evidence_with_holes_is_read()
    {
        var read = WatchSamples.FromJson("""{"version":1,"new":3,"services":{"a":[{"at":"2026-11-26T18:00:05.000Z","requests":3,"p95":null},null],"b":null},"problems":null}""", "x");
        Assert.That(read.Of("a").Single(), Is.EqualTo(new IntervalSample(new DateTimeOffset(2026, 11, 26, 18, 0, 5, TimeSpan.Zero), 3, null)));
        Assert.That(read.Of("b"), Is.Empty);
        Assert.That(() => WatchSamples.FromJson("""{"version":1,"serv""", "x"), Throws.TypeOf<RolloutException>());
    }

    private static double Watch(params (string Pod, int Restarts, string Text)[][] looks) => Series(looks).Increase("svc", "n_total");

    private static WatchSeries Series(params (string Pod, int Restarts, string Text)[][] looks)
    {
        var series = new WatchSeries();
        for (var i = 0; i < looks.Length; i++)
        {
            series.Add(
                Start.AddSeconds(i),
                [.. looks[i].Select(l => new PodScrape(l.Pod, "svc", $"{l.Pod}/{l.Restarts}", ScrapeOutcome.Read, "", l.Text))]);
        }

        return series;
    }
}
