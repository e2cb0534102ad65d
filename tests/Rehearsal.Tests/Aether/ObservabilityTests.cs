using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using Rehearsal.Aether.Http;

namespace Rehearsal.Tests.Aether;

[Parallelizable(ParallelScope.All)]
public sealed class ObservabilityTests
{
    [Test]
    public async Task Metrics_are_served_where_the_platform_serves_them([Values(
        "oms-service", "policy-service", "risk-service", "auth-service", "account-service", "fees-service", "volatility-service",
        "seasonality-service",
        "secrets-service", "universe-service", "safe-mode", "sequencer", "sim-mode", "admin-platform", "marketdata-ingestor",
        "kraken-ws-ingest")] string workload)
    {
        await using var stand = await Stand.CreateAsync();
        await stand.WithDatabaseAsync();
        var pod = await stand.StartAsync(workload);

        var served = $"http_request_duration_seconds_count{{service=\"{workload}\",method=\"GET\",status_code=\"200\"}}";
        await Stand.UntilAsync($"the trickle of {workload}", async () => await pod.MetricAsync(served) > 1);

        var text = (await pod.GetAsync("/metrics", token: null)).Text;
        Assert.That(text, Does.Not.Contain("slot=").And.Not.Contain("namespace="));
    }

    [Test]
    public async Task Metrics_are_404_elsewhere([Values(
        "behavior-service", "advisor-service", "benchmark-service", "capital-allocator", "capital-flow-service", "config-service",
        "hitl-service",
        "override-service", "strategy-orchestrator", "kill-switch", "aether-2-ui")] string workload)
    {
        await using var stand = await Stand.CreateAsync();
        var pod = await stand.StartAsync(workload);

        Assert.That((await pod.GetAsync("/metrics", token: null)).Status, Is.EqualTo(404));
    }

    [TestCase("risk-service", "risk_latency_ms")]
    [TestCase("policy-service", "policy_latency_ms")]
    [TestCase("kraken-ws-ingest", "ws_delivery_latency_seconds")]
    public async Task The_metrics_of_the_slos_have_observations(string workload, string histogram)
    {
        await using var stand = await Stand.CreateAsync();
        var pod = await stand.StartAsync(workload);

        await Stand.UntilAsync(histogram, async () => await pod.MetricAsync(histogram + "_count") > 1);

        Assert.That(await pod.MetricAsync(histogram + "_bucket{le=\"+Inf\"}"), Is.GreaterThan(1));
        if (workload == "risk-service")
        {
            Assert.That(await pod.MetricAsync("risk_marketdata_latest_timestamp_seconds"), Is.GreaterThan(1_700_000_000));
        }
    }

    [Test]
    public async Task The_exporter_port_serves_the_same_metrics_even_where_the_service_serves_none()
    {
        await using var stand = await Stand.CreateAsync();
        var pod = await stand.StartAsync("behavior-service", environment: new() { ["PROMETHEUS_EXPORTER_PORT"] = "9464" });
        using var http = new HttpClient();

        await Stand.UntilAsync("observations on the exporter port", async () =>
            (await http.GetStringAsync(new Uri($"http://{pod.Start.PodIp}:9464/metrics"))).Contains(
                "http_request_duration_seconds_count{service=\"behavior-service\"", StringComparison.Ordinal));

        await pod.DisposeAsync();
        Assert.That(async () => await http.GetStringAsync(new Uri($"http://{pod.Start.PodIp}:9464/metrics")),
            Throws.InstanceOf<HttpRequestException>());
    }

    [Test]
    public async Task Latency_and_errors_of_a_slot_show_in_its_metrics_and_answers()
    {
        await using var stand = await Stand.CreateAsync();
        stand.Faults["latency"] = "green:300";
        stand.Faults["errors"] = "green:1";
        var blue = await stand.StartAsync("fees-service");
        var green = await stand.StartAsync("fees-service", "green");

        Assert.That((await green.GetAsync("/fees/effective", token: null)).Status, Is.EqualTo(500));
        Assert.That((await blue.GetAsync("/fees/effective", token: null)).Status, Is.EqualTo(200));
        await Stand.UntilAsync("errors in green's metrics", async () => await green.MetricAsync(Series("500", "count")) > 2);
        Assert.That(await green.MetricAsync(Bucket("500", "0.25")), Is.Zero);
        Assert.That(await blue.MetricAsync(Series("500", "count")), Is.Zero);

        static string Series(string code, string part) =>
            $"http_request_duration_seconds_{part}{{service=\"fees-service\",method=\"GET\",status_code=\"{code}\"}}";
        static string Bucket(string code, string bound) =>
            $"http_request_duration_seconds_bucket{{service=\"fees-service\",method=\"GET\",status_code=\"{code}\",le=\"{bound}\"}}";
    }

    [Test]
    public async Task A_fault_can_follow_a_release_instead_of_a_slot()
    {
        await using var stand = await Stand.CreateAsync();
        stand.Faults["errors"] = "v2026.11.1:1";
        var old = await stand.StartAsync("fees-service");
        var candidate = await stand.StartAsync("fees-service", environment: new() { ["AETHER_RELEASE"] = "v2026.11.1" });

        Assert.That((await old.GetAsync("/fees/effective", token: null)).Status, Is.EqualTo(200));
        Assert.That((await candidate.GetAsync("/fees/effective", token: null)).Status, Is.EqualTo(500));
    }

    [Test]
    public async Task An_instrumented_service_echoes_the_request_id_or_makes_one()
    {
        await using var stand = await Stand.CreateAsync();
        var pod = await stand.StartAsync("fees-service");
        var bare = await stand.StartAsync("behavior-service");

        Assert.That((await pod.GetAsync("/readyz", null, ("x-request-id", "rollout-1-3.3-7"))).RequestId, Is.EqualTo("rollout-1-3.3-7"));
        Assert.That((await pod.GetAsync("/nowhere", null)).RequestId, Is.Not.Empty);
        Assert.That((await bare.GetAsync("/openapi.json", null, ("x-request-id", "x"))).RequestId, Is.Null);
    }

    [Test]
    public async Task A_request_can_be_found_by_its_id_among_the_traces()
    {
        await using var collector = await Collector.StartAsync();
        await using var stand = await Stand.CreateAsync();
        var pod = await stand.StartAsync("fees-service", environment: new() { ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.Endpoint });

        const string parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        await pod.GetAsync("/readyz", null, ("x-request-id", "rollout-1-3.3-7"), ("traceparent", parent));

        JsonObject? span = null;
        await Stand.UntilAsync("the span", () =>
        {
            span = collector.Spans.FirstOrDefault(found => Attribute(found, "request.id") == "rollout-1-3.3-7");
            return span is not null;
        });
        Assert.That(span!["name"]!.ToString(), Is.EqualTo("fees-service.request"));
        Assert.That(span["traceId"]!.ToString(), Is.EqualTo("0af7651916cd43dd8448eb211c80319c"));
        Assert.That(span["parentSpanId"]!.ToString(), Is.EqualTo("b7ad6b7169203331"));
        Assert.That(Attribute(span, "service.name"), Is.EqualTo("fees-service"));
        Assert.That(Attribute(span, "http.method"), Is.EqualTo("GET"));
        Assert.That(Attribute(span, "http.url"), Does.EndWith("/readyz"));
        Assert.That(Attribute(span, "http.status_code"), Is.EqualTo("200"));
        Assert.That(Nanoseconds("endTimeUnixNano"), Is.GreaterThanOrEqualTo(Nanoseconds("startTimeUnixNano")));

        long Nanoseconds(string field) => long.Parse(span[field]!.ToString(), CultureInfo.InvariantCulture);
    }

    [Test]
    public async Task A_sample_of_the_oms_own_orders_is_traced()
    {
        await using var collector = await Collector.StartAsync();
        await using var stand = await Stand.CreateAsync();
        await stand.StartAsync(
        "oms-service", environment: new() { ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.Endpoint }, mounts: stand.Keys("company"));

        await Stand.UntilAsync("an order's span", () => collector.Spans.Any(
            span => Attribute(span, "http.url").EndsWith("/oms/place", StringComparison.Ordinal)));
    }

    [Test]
    public async Task The_insecure_option_turns_tracing_off()
    {
        await using var collector = await Collector.StartAsync();
        await using var stand = await Stand.CreateAsync();
        var endpoint = new Dictionary<string, string> { ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.Endpoint };
        var silent = await stand.StartAsync("fees-service", environment: new(endpoint) { ["OTEL_EXPORTER_OTLP_INSECURE"] = "true" });
        var traced = await stand.StartAsync("fees-service", environment: endpoint);

        await silent.GetAsync("/readyz", null, ("x-request-id", "silent"));
        await traced.GetAsync("/readyz", null, ("x-request-id", "traced"));

        await Stand.UntilAsync("the other's span", () => collector.Spans.Any(span => Attribute(span, "request.id") == "traced"));
        Assert.That(collector.Spans.Select(span => Attribute(span, "request.id")), Has.None.EqualTo("silent"));
        Assert.That(silent.Log, Does.Contain("tracing is disabled"));
    }

    [Test]
    public async Task A_collector_that_is_away_harms_no_request()
    {
        await using var stand = await Stand.CreateAsync();
        var pod = await stand.StartAsync(
        "fees-service", environment: new() { ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:1/v1/traces" });

        Assert.That((await pod.GetAsync("/readyz", null)).Status, Is.EqualTo(200));
    }

    private static string Attribute(JsonObject span, string key)
    {
        var value = span["attributes"]!.AsArray().FirstOrDefault(attribute => attribute!["key"]!.ToString() == key)?["value"];
        return (value?["stringValue"] ?? value?["intValue"])?.ToString() ?? "";
    }

    /// <summary>Takes OTLP/HTTP JSON on <c>/v1/traces</c> and keeps the spans.</summary>
    private sealed class Collector : IAsyncDisposable
    {
        private readonly HttpHub _hub;
        private readonly HttpBinding _binding;

        private Collector(HttpHub hub)
        {
            _hub = hub;
            _binding = hub.Bind(new IPEndPoint(IPAddress.Loopback, 0), async context =>
            {
                var batch = await JsonNode.ParseAsync(context.Request.Body);
                if (context.Request.Path == "/v1/traces")
                {
                    var scopes = batch!["resourceSpans"]!.AsArray().SelectMany(resource => resource!["scopeSpans"]!.AsArray());
                    foreach (var span in scopes.SelectMany(scope => scope!["spans"]!.AsArray()))
                    {
                        Spans.Enqueue(span!.AsObject());
                    }
                }

                context.Response.StatusCode = 200;
            });
        }

        public ConcurrentQueue<JsonObject> Spans { get; } = new();

        public string Endpoint => $"http://127.0.0.1:{_binding.EndPoint.Port}/v1/traces";

        public static async Task<Collector> StartAsync() => new(await HttpHub.StartAsync(TimeProvider.System, CancellationToken.None));

        public async ValueTask DisposeAsync()
        {
            await _binding.DisposeAsync();
            await _hub.DisposeAsync();
        }
    }
}
