using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Rollout.Monitoring;
using Rollout.Tests.Support;

namespace Rollout.Tests.Monitoring;

/// <summary>What a Prometheus server, or something in its place, may answer: only a clean answer is data.</summary>
[Parallelizable(ParallelScope.All)]
public sealed class PrometheusSourceTests
{
    private const string Targets = """{"status":"success","data":{"activeTargets":[{"labels":{"namespace":"aether-green","pod":"a"},"health":"up","scrapeInterval":"1s"}]}}""";
    private const string Up = """{"status":"success","data":{"resultType":"vector","result":[{"metric":{"pod":"a"},"value":[1,"1"]}]}}""";

    private static string Range(params string[] values) => JsonSerializer.Serialize(new
    {
        status = "success",
        data = new
        {
            resultType = "matrix",
            result = new[]
            {
                new
                {
                    metric = new Dictionary<string, string> { ["__name__"] = "http_request_duration_seconds_count", ["pod"] = "a", ["app"] = "svc", ["namespace"] = "aether-green", ["status_code"] = "200" },
                    values = values.Select((v, i) => new object[] { 1795435200 + i, v }).ToArray(),
                },
            },
        },
    });

    public static IEnumerable<TestCaseData> BadAnswers()
    {
        yield return new TestCaseData(new Reply(503, "<html>busy</html>", "text/html"), "HTML").SetArgDisplayNames("HTML of a proxy");
        yield return new TestCaseData(new Reply(503, """{"status":"error","errorType":"timeout","error":"query timed out"}"""), "query timed out").SetArgDisplayNames("503");
        yield return new TestCaseData(new Reply(400, """{"status":"error","errorType":"bad_data","error":"exceeded maximum resolution of 11,000 points per timeseries"}"""), "11,000").SetArgDisplayNames("too many points");
        yield return new TestCaseData(new Reply(200), "nothing").SetArgDisplayNames("an empty body");
        yield return new TestCaseData(new Reply(200, "OK"), "no JSON").SetArgDisplayNames("no JSON");
        yield return new TestCaseData(new Reply(200, """{"status":"success"}"""), "no data").SetArgDisplayNames("no data");
        yield return new TestCaseData(new Reply(200, """{"status":"success","warnings":["store 3 is away"],"data":{"resultType":"vector","result":[]}}"""), "store 3 is away").SetArgDisplayNames("a partial answer");
        yield return new TestCaseData(new Reply(200, """{"status":"success","data":{"resultType":"vector","result":[]}}"""), "scrapes no pod").SetArgDisplayNames("an empty up");
        yield return new TestCaseData(Reply.Cut, "does not answer").SetArgDisplayNames("a broken connection");
    }

    [TestCaseSource(nameof(BadAnswers))]
    public async Task A_bad_answer_is_inconclusive_with_its_reason(object answer, string reason)
    {
        var (judgement, samples) = await WatchAsync(seen => seen.Path.EndsWith("targets", StringComparison.Ordinal) ? new Reply(200, Targets) : (Reply)answer);
        Assert.That(judgement.Verdict, Is.EqualTo(Verdict.Inconclusive));
        Assert.That(judgement.Message, Does.Contain(reason));
        Assert.That(samples.Incomplete, Does.Contain("after"));
    }

    [TestCase("NaN")]
    [TestCase("+Inf")]
    public async Task Values_that_are_no_numbers_are_inconclusive(string value)
    {
        var (judgement, _) = await WatchAsync(seen => new Reply(
            200, seen.Path.EndsWith("targets", StringComparison.Ordinal) ? Targets : seen.Path.EndsWith("query", StringComparison.Ordinal) ? Up : Range([.. Enumerable.Repeat(value, 60)])));
        Assert.That((judgement.Verdict, judgement.Reason), Is.EqualTo((Verdict.Inconclusive, "BrokenMetrics")), judgement.Message);
    }

    [Test]
    public async Task A_server_that_does_not_scrape_the_slot_says_so()
    {
        await using var server = await HttpDouble.StartAsync(_ => new Reply(200, Targets));
        using var client = server.Client();
        Assert.That(await new PrometheusSource(client, "aether-blue", TimeSpan.FromSeconds(1), TimeProvider.System).ScrapesAsync(default), Is.False);
        Assert.That(await new PrometheusSource(client, "aether-green", TimeSpan.FromSeconds(1), TimeProvider.System).ScrapesAsync(default), Is.True);
    }

    [Test]
    public async Task A_target_that_is_down_is_a_gap_and_not_a_counter_that_stands_still()
    {
        var (_, samples) = await WatchAsync(seen => new Reply(
            200,
            seen.Path.EndsWith("targets", StringComparison.Ordinal) ? Targets
            : seen.Path.EndsWith("query", StringComparison.Ordinal) ? Up.Replace("\"1\"", "\"0\"", StringComparison.Ordinal) : Range([.. Enumerable.Repeat("5", 60)])));
        Assert.That(samples.Gaps["svc"], Has.Some.Contains("up = 0"));
    }

    private static async Task<(Judgement Judgement, WatchSamples Samples)> WatchAsync(Func<Seen, Reply> answer)
    {
        await using var server = await HttpDouble.StartAsync(answer);
        using var client = server.Client();
        var time = new HastyTime();
        var watch = new TrafficWatch(new PrometheusSource(client, "aether-green", TimeSpan.FromSeconds(1), time, pod => pod == "a" ? "svc" : null), "green", "candidate", time, new Reports());
        var result = await watch.WatchAsync(
            new WatchPlan { Interval = TimeSpan.FromSeconds(1), Evaluations = 0, MinimumScrapes = 5, Timeout = TimeSpan.FromSeconds(30), Patience = TimeSpan.FromSeconds(5) }, CancellationToken.None);
        return (SteadinessJudge.Judge(new WatchSamples(), result.Samples, new JudgeThresholds()), result.Samples);
    }
}

/// <summary>A real Prometheus and our own scraping look at the same pod, and come to the same numbers.</summary>
public sealed class RealPrometheusTests
{
    private string _folder = null!;
    private Process? _server;

    [TearDown]
    public async Task StopAsync()
    {
        if (_server is { HasExited: false })
        {
            _server.Kill();
            await _server.WaitForExitAsync();
        }

        _server?.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Test]
    [CancelAfter(60_000)]
    public async Task Both_sources_give_the_same_numbers(CancellationToken cancellationToken)
    {
        _folder = Directory.CreateTempSubdirectory("rollout-prometheus-").FullName;
        if (!File.Exists("/usr/bin/prometheus"))
        {
            Assert.Ignore("/usr/bin/prometheus is not installed (Debian's package prometheus)");
        }

        // The page grows while it is asked; after the traffic has ended both sources must have counted all of it, the restart included.
        var page = Page(10, 0);
        await using var pod = await HttpDouble.StartAsync(_ => new Reply(200, page, "text/plain; version=0.0.4"));
        var port = await StartAsync(pod.Address, cancellationToken);
        using var client = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{port}/") };
        var source = new PrometheusSource(client, "aether-green", TimeSpan.FromSeconds(1), TimeProvider.System);
        await UntilAsync(async () => (await client.GetAsync("-/ready", cancellationToken)).IsSuccessStatusCode, cancellationToken);
        await UntilAsync(async () => await source.ScrapesAsync(cancellationToken) && (await QueryAsync(client, "http_request_duration_seconds_count", cancellationToken)).Contains("\"10\"", StringComparison.Ordinal), cancellationToken);
        var (own, server) = (new WatchSeries(), new WatchSeries());
        await LookAsync();
        foreach (var (requests, errors) in new[] { (40, 0), (90, 3), (90, 3), (4, 1), (30, 1) })
        {
            page = Page(requests, errors);
            // Until the server has scraped this page, and a reading of ours can be of no other.
            await UntilAsync(
                async () => (await QueryAsync(client, "http_request_duration_seconds_bucket{status_code=\"200\",le=\"+Inf\"}", cancellationToken))
                    .Contains($"\"{requests}\"", StringComparison.Ordinal),
                cancellationToken);
            await LookAsync();
        }

        var (mine, theirs) = (own.Samples(), server.Samples());
        Assert.Multiple(() =>
        {
            Assert.That(mine.Of("svc").Sum(i => i.Requests), Is.EqualTo(30 + 53 + 0 + 5 + 26));
            Assert.That(theirs.Of("svc").Sum(i => i.Requests), Is.EqualTo(mine.Of("svc").Sum(i => i.Requests)));
            Assert.That(theirs.Of("svc").Sum(i => i.Errors), Is.EqualTo(mine.Of("svc").Sum(i => i.Errors)));
            Assert.That(Busy(theirs), Is.EqualTo(Busy(mine)), "requests, errors and quantiles of every interval in which something happened");
        });

        async Task LookAsync()
        {
            // A reading of this page is one of a moment after the server had it.
            var since = TimeProvider.System.GetUtcNow();
            await UntilAsync(
                async () =>
                {
                    var readings = await source.ReadAsync(cancellationToken);
                    foreach (var reading in readings)
                    {
                        server.Add(reading.At, reading.Pods);
                    }

                    return readings.Any(r => r.At >= since);
                },
                cancellationToken);

            own.Add(TimeProvider.System.GetUtcNow(), [new PodScrape("a", "svc", "1", ScrapeOutcome.Read, "", page)]);
        }
    }

    private static IEnumerable<(double?, double?, double?, double?)> Busy(WatchSamples samples) =>
        samples.Of("svc").Where(i => i.Requests > 0).Select(i => (i.Requests, i.Errors, i.P50, i.P95));

    private static string Page(int good, int bad)
    {
        var text = "# TYPE http_request_duration_seconds histogram\n";
        foreach (var (code, count) in new[] { ("200", good), ("500", bad) })
        {
            text += $"http_request_duration_seconds_bucket{{status_code=\"{code}\",le=\"0.05\"}} {count / 2}\n"
                + $"http_request_duration_seconds_bucket{{status_code=\"{code}\",le=\"0.1\"}} {count - (count / 10)}\n"
                + $"http_request_duration_seconds_bucket{{status_code=\"{code}\",le=\"+Inf\"}} {count}\n"
                + $"http_request_duration_seconds_count{{status_code=\"{code}\"}} {count}\n";
        }

        return text;
    }

    private static async Task<string> QueryAsync(HttpClient client, string query, CancellationToken cancellationToken) =>
        await client.GetStringAsync($"api/v1/query?query={Uri.EscapeDataString(query)}", cancellationToken);

    private static async Task UntilAsync(Func<Task<bool>> reached, CancellationToken cancellationToken)
    {
        while (true)
        {
            try
            {
                if (await reached())
                {
                    return;
                }
            }
            catch (Exception exception) when (exception is HttpRequestException or RolloutException)
            {
                // Not there yet; the test's own time ends this.
            }

            await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System, cancellationToken);
        }
    }

    private async Task<int> StartAsync(Uri target, CancellationToken cancellationToken)
    {
        using var listener = new System.Net.Sockets.TcpListener(System.Net.IPAddress.Loopback, 0);
        listener.Start();
        var port = ((System.Net.IPEndPoint)listener.LocalEndpoint).Port;
        listener.Stop();
        var config = Path.Combine(_folder, "prometheus.yml");
        await File.WriteAllTextAsync(
            config,
            $"global: {{scrape_interval: 500ms, scrape_timeout: 400ms}}\nscrape_configs:\n- job_name: pods\n  static_configs:\n  - targets: ['{target.Authority}']\n    labels: {{namespace: aether-green, pod: a, app: svc}}\n",
            cancellationToken);
        var start = new ProcessStartInfo("/usr/bin/prometheus") { RedirectStandardError = true, RedirectStandardOutput = true };
        foreach (var argument in new[] { $"--config.file={config}", $"--storage.tsdb.path={_folder}/data", string.Create(CultureInfo.InvariantCulture, $"--web.listen-address=127.0.0.1:{port}") })
        {
            start.ArgumentList.Add(argument);
        }

        _server = Process.Start(start)!;
        _server.BeginErrorReadLine();
        _server.BeginOutputReadLine();
        return port;
    }
}
