using Rollout.Monitoring;
using Rollout.Tests.Support;

namespace Rollout.Tests.Monitoring;

[Parallelizable(ParallelScope.All)]
public sealed class ServiceSignalsTests
{
    private const string Pods = """
        {"items":[
        {"metadata":{"name":"good-1","labels":{"app":"good"}},"spec":{"containers":[{"env":[{"name":"PROMETHEUS_EXPORTER_PORT","value":"9464"}]}]},"status":{"phase":"Running"}},
        {"metadata":{"name":"empty-1","labels":{"app":"empty"}},"spec":{"containers":[{"env":[{"name":"PROMETHEUS_EXPORTER_PORT","value":"9464"}]}]},"status":{"phase":"Running"}},
        {"metadata":{"name":"page-1","labels":{"app":"page"}},"spec":{"containers":[{"env":[{"name":"PROMETHEUS_EXPORTER_PORT","value":"9464"}]}]},"status":{"phase":"Running"}},
        {"metadata":{"name":"shut-1","labels":{"app":"shut"}},"spec":{"containers":[{"env":[{"name":"PROMETHEUS_EXPORTER_PORT","value":"9464"}]}]},"status":{"phase":"Running"}},
        {"metadata":{"name":"leaving-1","deletionTimestamp":"2026-11-23T12:00:00Z"},"spec":{"containers":[{"env":[{"name":"PROMETHEUS_EXPORTER_PORT","value":"9464"}]}]},"status":{"phase":"Running"}},
        {"metadata":{"name":"without-1"},"spec":{"containers":[{}]},"status":{"phase":"Running"}}]}
        """;

    [Test]
    public async Task An_exporter_is_read_only_where_its_page_has_samples()
    {
        await using var server = await HttpDouble.StartAsync(seen => seen.Path switch
        {
            "/api/v1/namespaces/aether-green/pods" => new Reply(200, Pods),
            "/api/v1/namespaces/aether-green/pods/http:good-1:9464/proxy/metrics" => new Reply(200, "# TYPE a counter\na 1\nb{x=\"y\"} 2\n", "text/plain"),
            "/api/v1/namespaces/aether-green/pods/http:empty-1:9464/proxy/metrics" => new Reply(200, "", "text/plain"),
            "/api/v1/namespaces/aether-green/pods/http:page-1:9464/proxy/metrics" => new Reply(200, "<html>", "text/html"),
            _ => new Reply(503, """{"kind":"Status","apiVersion":"v1","message":"error trying to reach service: dial tcp: connection refused","code":503}"""),
        });
        using var client = server.Client();
        var pages = (await new ServiceSignals(client, "aether-green", new HastyTime()).ExporterPagesAsync(CancellationToken.None)).ToDictionary(p => p.Workload);
        Assert.Multiple(() =>
        {
            Assert.That(pages.Keys, Is.EquivalentTo(new[] { "good", "empty", "page", "shut" }));
            Assert.That((pages["good"].IsRead, pages["good"].Samples), Is.EqualTo((true, 2)));
            Assert.That(pages["empty"].Detail, Is.EqualTo("its page has no sample"));
            Assert.That(pages["page"].IsRead, Is.False);
            Assert.That(pages["shut"].Detail, Does.Contain("connection refused"));
        });
    }

    [Test]
    public async Task A_service_is_instrumented_where_it_gives_the_request_id_back()
    {
        await using var server = await HttpDouble.StartAsync(seen => seen.Path.Contains("http:bare:", StringComparison.Ordinal)
            ? new Reply(404)
            : seen.Path.Contains("http:gone:", StringComparison.Ordinal) ? Reply.Cut : new Reply(200, Headers: new Dictionary<string, string> { ["x-request-id"] = seen.Header("x-request-id")! }));
        using var client = server.Client();
        var probes = await new ServiceSignals(client, "aether-green", new HastyTime())
            .ProbeAsync([("oms", "80"), ("bare", "80"), ("gone", "80")], index => $"rollout-v1-2.3-{index}", CancellationToken.None);
        Assert.That(probes.Select(p => (p.Service, p.Code, p.IsInstrumented)), Is.EqualTo(new[] { ("oms", 200, true), ("bare", 404, false), ("gone", 0, false) }));
        Assert.That(server.Requests.Single(r => r.Path == "/api/v1/namespaces/aether-green/services/http:oms:80/proxy/healthz").Header("x-request-id"), Is.EqualTo("rollout-v1-2.3-0"));
    }

    [Test]
    public void The_table_names_each_workload_and_what_is_wrong_with_it()
    {
        var table = new ObservabilityTable(
            "candidate (green)",
            DateTimeOffset.UnixEpoch,
            [new("oms-service", 12, "read, 40 samples of 2 pods", "traced as ab", []), new("fees-service", 3, "1 of 1 pods unread", "off", ["left no trace"])],
            "on for 1 of 2 instrumented services",
            ["a note"]);
        Assert.That(table.Problems, Is.EqualTo(new[] { "fees-service left no trace" }));
        Assert.That(table.Summary, Is.EqualTo("1 of 2 workloads export metrics, 1 are traced; tracing is on for 1 of 2 instrumented services"));
        Assert.That(table.ToText(), Does.Match("oms-service +12 +read").And.Contain("! fees-service left no trace").And.Contain("- a note"));
        Assert.That(table.ToJson()["workloads"]!.AsArray(), Has.Count.EqualTo(2));
    }
}
