using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using Rollout.Archive;
using Rollout.Investigation;
using Rollout.Monitoring;
using Rollout.Tests.Support;

namespace Rollout.Tests.Investigation;

[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class IncidentBundleTests
{
    private const string Hostile = "start\n<script>alert(1)</script> ```\n# heading\n[click](javascript:alert(2)) \u001b[2J\u202e\nconnecting with planted-secret-value\n";
    private static readonly DateTimeOffset Now = new(2026, 11, 23, 12, 0, 0, TimeSpan.Zero);

    private DirectoryInfo _folder = null!;

    [SetUp]
    public void Make() => _folder = Directory.CreateTempSubdirectory("incident-");

    [TearDown]
    public void Remove() => _folder.Delete(recursive: true);

    [Test]
    public async Task A_crash_looping_pod_is_told_with_its_last_lines_and_everything_is_escaped_and_masked()
    {
        await using var cluster = await HttpDouble.StartAsync(Answer);
        var report = await ExportAsync(cluster.Address);
        var (html, markdown) = (Read("index.html"), Read("index.md"));
        Assert.Multiple(() =>
        {
            Assert.That(report.Findings[0].Title, Does.StartWith("MonitorTraffic failed"));
            Assert.That(report.Findings[0].Lines[0], Is.EqualTo("errors of postgres://aether:***@db went up"));
            Assert.That(report.Findings[1].Title, Does.Contain("Pod oms-1 of candidate (green): CrashLoopBackOff, 4 restarts"));
            Assert.That(report.Findings[1].Lines, Has.Some.EqualTo("connecting with ***"));
            Assert.That(report.Findings[2].Title, Does.Contain("1 services of candidate (green) answered 5xx"));
            Assert.That(report.Findings[2].Lines, Is.EqualTo(new[] { "fees-service: 5 of 10 requests, 50 %" }));
            Assert.That(report.Findings.Select(f => f.Title), Has.Some.Contains("differences between live (blue) and candidate (green)"));
            Assert.That(html, Does.Not.Contain("<script>").And.Contain("&lt;script&gt;alert(1)").And.Not.Contain("href=\"javascript:"));
            Assert.That(html, Does.Contain("Content-Security-Policy").And.Contain("href=\"logs/oms-1.oms.previous.log\""));
            Assert.That(markdown, Does.Contain("\n        <script>alert(1)</script> ```"), "indented code, whatever it says");
            Assert.That(Everything(), Does.Not.Contain("planted-secret-value").And.Not.Contain("planted-env-value").And.Not.Contain("\u001b").And.Not.Contain("\u202e"));
            Assert.That(Read("logs/oms-1.oms.previous.log"), Does.Contain("connecting with ***"));
            Assert.That(Read("differences.json"), Does.Contain("DB_PASSWORD, another value"));
            Assert.That(report.Missing, Is.EqualTo(new[] { "Prometheus ranges: no Prometheus is set; what the watch kept is listed below", "traces: no trace store is set (Traces.Api)" }));
        });
    }

    [Test]
    public async Task A_repetition_adds_nothing_and_keeps_what_is_gone_by_now()
    {
        await using var cluster = await HttpDouble.StartAsync(Answer);
        var first = await ExportAsync(cluster.Address);
        var again = await ExportAsync(cluster.Address);
        Assert.That(again.Files.Select(f => f.Path), Is.EqualTo(first.Files.Select(f => f.Path)));
        await using var empty = await HttpDouble.StartAsync(seen => seen.Path.EndsWith("/pods", StringComparison.Ordinal) ? new Reply(200, """{"items":[]}""") : Answer(seen));
        var later = await ExportAsync(empty.Address);
        Assert.That(later.Files.Select(f => f.Path), Is.EqualTo(first.Files.Select(f => f.Path)));
        Assert.That(Read("index.md"), Does.Contain("logs/oms-1.oms.previous.log (").And.Contain("of an earlier export"));
        Assert.That(new EvidenceFolder(_folder.FullName).Verify(), Is.Empty);
    }

    [TestCase(500)]
    [TestCase(403)]
    public async Task A_server_that_refuses_is_missing_with_its_reason_and_the_rest_is_there(int code)
    {
        await using var cluster = await HttpDouble.StartAsync(seen => seen.Path.EndsWith("/events", StringComparison.Ordinal) ? new Reply(code, "{\"message\":\"no\"}") : Answer(seen));
        var report = await ExportAsync(cluster.Address);
        Assert.That(report.Missing, Has.Some.StartsWith($"events of candidate (green): HTTP {code}"));
        Assert.That(report.Files.Select(f => f.Path), Does.Contain("incident/green-pods.json").And.Contain("incident/logs/oms-1.oms.log").And.Contain("incident/index.html"));
        Assert.That(Read("index.html"), Does.Contain($"events of candidate (green): HTTP {code}"));
    }

    [Test]
    public async Task Without_the_Secrets_no_log_is_kept()
    {
        await using var cluster = await HttpDouble.StartAsync(seen => seen.Path.EndsWith("/secrets", StringComparison.Ordinal) ? new Reply(403) : Answer(seen));
        var report = await ExportAsync(cluster.Address);
        Assert.That(report.Missing, Has.Some.Contains("what must be masked in a log is not known"));
        Assert.That(report.Files.Select(f => f.Path), Has.None.Contains("/logs/"));
    }

    [Test]
    public async Task A_server_that_hangs_does_not_stop_the_others()
    {
        using var silent = new TcpListener(IPAddress.Loopback, 0);
        silent.Start();
        var clock = Stopwatch.StartNew();
        var report = await ExportAsync(new Uri($"http://{silent.LocalEndpoint}"), limit: TimeSpan.FromSeconds(0.5), more: [new IncidentSource("other", _ => Task.FromResult<IReadOnlyList<(string, string)>>([("other.txt", "here")]))]);
        Assert.That(clock.Elapsed, Is.LessThan(TimeSpan.FromSeconds(10)));
        Assert.That(report.Missing, Has.Some.EqualTo("pods of candidate (green): no answer within 0.5 s").And.Some.EqualTo("logs of candidate (green): its pods could not be listed"));
        Assert.That(Read("other.txt"), Is.EqualTo("here"));
        Assert.That(report.Findings[0].Title, Does.StartWith("MonitorTraffic failed"));
    }

    [Test]
    public async Task A_trace_store_and_a_Prometheus_that_are_sick_are_missing_and_healthy_ones_are_kept()
    {
        await using var cluster = await HttpDouble.StartAsync(Answer);
        await using var sick = await HttpDouble.StartAsync(_ => new Reply(200, "<html>sign in</html>"));
        using (var store = new TraceStore(sick.Address, new HastyTime()))
        {
            var report = await ExportAsync(cluster.Address, store, sick.Address);
            Assert.That(report.Missing, Has.Some.Contains("a page that is no store's").And.Some.StartsWith("Prometheus range errors: "));
        }

        await using var healthy = await HttpDouble.StartAsync(seen => new Reply(200, seen.Path == "/api/v1/query_range"
            ? """{"status":"success","data":{"resultType":"matrix","result":[]}}"""
            : seen.Path == "/api/search" ? """{"traces":[{"traceID":"ab","durationMs":900}]}""" : """{"trace":{"note":"planted-secret-value"},"status":"COMPLETE"}"""));
        using (var store = new TraceStore(healthy.Address, new HastyTime()))
        {
            var report = await ExportAsync(cluster.Address, store, healthy.Address);
            Assert.That(report.Missing, Is.Empty);
        }

        Assert.That(Read("prometheus/errors.json"), Does.Contain("matrix"));
        Assert.That(Read("traces.json"), Does.Contain("\"traces\"").And.Not.Contain("planted"));
        Assert.That(JsonNode.Parse(Read("traces.json")), Is.Not.Null);
    }

    [Test]
    public async Task A_log_is_bounded_and_its_end_is_kept()
    {
        await using var cluster = await HttpDouble.StartAsync(seen => seen.Path.EndsWith("/log", StringComparison.Ordinal) ? new Reply(200, new string('x', 900_000) + "\nthe end", "text/plain") : Answer(seen));
        await ExportAsync(cluster.Address);
        Assert.That(Read("logs/oms-1.oms.log"), Has.Length.LessThan(300_000).And.StartsWith("… (the beginning is left out)").And.EndsWith("the end"));
        Assert.That(cluster.Requests.Where(r => r.Path.EndsWith("/log", StringComparison.Ordinal)).Select(r => r.Query), Is.All.Contains("tailLines=").And.All.Contains("limitBytes="));
    }

    private static Reply Answer(Seen seen) => seen.Path.Split('/')[^1] switch
    {
        "secrets" => new Reply(200, $$$"""{"items":[{"data":{"password":"{{{Convert.ToBase64String(Encoding.UTF8.GetBytes("planted-secret-value"))}}}"}}]}"""),
        "pods" when seen.Path.Contains("green", StringComparison.Ordinal) => new Reply(200, """
            {"items":[{"metadata":{"name":"oms-1"},"spec":{"containers":[{"name":"oms","env":[{"name":"DB_PASSWORD","value":"planted-env-value"}]}]},
            "status":{"phase":"Running","containerStatuses":[{"name":"oms","restartCount":4,"ready":false,"state":{"waiting":{"reason":"CrashLoopBackOff"}}}]}}]}
            """),
        "pods" => new Reply(200, """{"items":[]}"""),
        "deployments" => new Reply(200, """
            {"items":[{"metadata":{"name":"oms"},"spec":{"replicas":2,"template":{"spec":{"containers":[{"name":"oms","image":"oms:SLOT","env":[{"name":"DB_PASSWORD","value":"planted-env-value-SLOT"},{"name":"NS","value":"aether-NAME"}]}]}}}}]}
            """.Replace("SLOT", seen.Path.Contains("green", StringComparison.Ordinal) ? "2" : "1", StringComparison.Ordinal).Replace("NAME", seen.Path.Contains("green", StringComparison.Ordinal) ? "green" : "blue", StringComparison.Ordinal)),
        "events" => new Reply(200, """{"items":[{"type":"Warning","reason":"BackOff","involvedObject":{"kind":"Pod","name":"oms-1"},"message":"<b>restarting</b>","count":7}]}"""),
        "log" => new Reply(200, Hostile, "text/plain"),
        _ => new Reply(404),
    };

    private Task<IncidentReport> ExportAsync(Uri cluster, TraceStore? traces = null, Uri? prometheus = null, TimeSpan? limit = null, IReadOnlyList<IncidentSource>? more = null) => new IncidentBundle(
        new HttpClient { BaseAddress = cluster }, new EvidenceFolder(_folder.FullName), [new Secret("settings-secret")], TimeProvider.System)
    { SourceLimit = limit ?? TimeSpan.FromSeconds(10) }
        .ExportAsync(
            new Incident(
                "v1",
                new IncidentSlot("blue", "aether-blue", "live (blue)"),
                new IncidentSlot("green", "aether-green", "candidate (green)"),
                "MonitorTraffic",
                "errors of postgres://aether:unknown@db went up",
                Now,
                Now - TimeSpan.FromHours(1),
                Now,
                ["evidence/MonitorTraffic/watch.csv"]),
            traces,
            prometheus,
            more ?? [new IncidentSource("metrics", _ => Task.FromResult<IReadOnlyList<(string, string)>>(
            [
                ("green-metrics.txt", "http_request_duration_seconds_count{service=\"fees-service\",status_code=\"500\"} 5\nhttp_request_duration_seconds_count{service=\"fees-service\",status_code=\"200\"} 5\n"),
            ]))],
            CancellationToken.None);

    private string Read(string file) => File.ReadAllText(Path.Combine(_folder.FullName, "incident", file));

    private string Everything() => string.Concat(Directory.EnumerateFiles(_folder.FullName, "*", SearchOption.AllDirectories).Select(File.ReadAllText));
}
