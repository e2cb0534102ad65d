using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Rollout.Monitoring;
using Rollout.Tests.Support;

namespace Rollout.Tests.Monitoring;

[Parallelizable(ParallelScope.All)]
public sealed class TraceStoreTests
{
    private const string None = """{"traces":[],"metrics":{}}""";
    private const string Id = "2f3e0cee77ae5dc9c17ade3689eb2e54";

    private const string One = """
        {"traces":[{"traceID":"2f3e0cee77ae5dc9c17ade3689eb2e54","rootServiceName":"oms-service","rootTraceName":"oms-service.request",
        "startTimeUnixNano":"1700000000000000000","durationMs":1500,"spanSets":[]}],"metrics":{}}
        """;

    private const string JaegerTrace = """
        {"data":[{"traceID":"2f3e0cee77ae5dc9c17ade3689eb2e54","spans":[
        {"operationName":"child","startTime":1700000000500000,"duration":1500000},
        {"operationName":"oms-service.request","startTime":1700000000000000,"duration":700000}],"processes":{}}],"errors":null}
        """;

    private static readonly (DateTimeOffset From, DateTimeOffset To) Window =
        (DateTimeOffset.FromUnixTimeSeconds(1700000000), DateTimeOffset.FromUnixTimeSeconds(1700003600));

    [Test]
    public async Task A_trace_that_arrives_late_and_is_flushed_later_is_found()
    {
        var (searches, reads) = (0, 0);
        await using var tempo = await HttpDouble.StartAsync(seen => seen.Path switch
        {
            "/api/search" => new Reply(200, ++searches < 3 ? None : One),
            "/api/traces/" + Id => ++reads < 3 ? new Reply(404, "trace not found") : new Reply(200, """{"batches":[1]}"""),
            _ => new Reply(404, "404 page not found"),
        });
        using var store = new TraceStore(tempo.Address, new HastyTime());
        var lookup = await store.FindByRequestIdAsync("rollout-v1-3.2-7", "oms-service", TimeSpan.FromSeconds(30), CancellationToken.None);
        Assert.That(lookup.State, Is.EqualTo(TraceState.Found), lookup.Message);
        Assert.That(lookup.TraceId, Is.EqualTo(Id));
        Assert.That(lookup.Trace, Does.Contain("batches"));
        Assert.That(
            Uri.UnescapeDataString(tempo.Requests.First().Query),
            Does.Contain("""q={ span.request.id = "rollout-v1-3.2-7" }""").And.Contain("start=").And.Contain("end="));
    }

    [Test]
    public async Task A_trace_of_which_the_store_has_a_part_is_asked_for_again_and_called_a_part()
    {
        await using var tempo = await HttpDouble.StartAsync(seen => new Reply(200, seen.Path == "/api/search" ? One : """{"trace":{},"status":"PARTIAL"}"""));
        using var store = new TraceStore(tempo.Address, new HastyTime());
        var lookup = await store.FindByRequestIdAsync("x", "oms-service", TimeSpan.FromSeconds(2), CancellationToken.None);
        Assert.That((lookup.State, lookup.Message.Contains("a part only", StringComparison.Ordinal)), Is.EqualTo((TraceState.Found, true)), lookup.Message);
        Assert.That(tempo.Requests.Count(r => r.Path == "/api/v2/traces/" + Id), Is.GreaterThan(2));
    }

    [Test]
    public async Task A_trace_that_is_never_flushed_is_found_without_its_spans()
    {
        await using var tempo = await HttpDouble.StartAsync(seen => seen.Path == "/api/search" ? new Reply(200, One) : new Reply(404, "trace not found"));
        using var store = new TraceStore(tempo.Address, new HastyTime());
        var lookup = await store.FindByRequestIdAsync("x", "oms-service", TimeSpan.FromSeconds(2), CancellationToken.None);
        Assert.That((lookup.State, lookup.TraceId, lookup.Trace), Is.EqualTo((TraceState.Found, Id, (string?)null)), lookup.Message);
        Assert.That(lookup.Message, Does.Contain("were not to be read within 2 s"));
    }

    [Test]
    public async Task Without_a_trace_tracing_is_off()
    {
        await using var tempo = await HttpDouble.StartAsync(_ => new Reply(200, None));
        using var store = new TraceStore(tempo.Address, new HastyTime());
        var lookup = await store.FindByRequestIdAsync("x", "oms-service", TimeSpan.FromSeconds(3), CancellationToken.None);
        Assert.That(lookup.State, Is.EqualTo(TraceState.Off));
        Assert.That(lookup.Message, Does.Contain("left no trace within 3 s: tracing is off"));
        Assert.That(tempo.Requests, Has.Count.EqualTo(7), "a look every half second, and one at the end");
    }

    [TestCase(200, "<html>sign in</html>", "a page that is no store's")]
    [TestCase(404, "<html>", "a page that is no store's")]
    [TestCase(404, "404 page not found", "is it Tempo?")]
    [TestCase(503, "", "HTTP 503")]
    [TestCase(400, "invalid TraceQL query", "HTTP 400")]
    [TestCase(200, "hello", "no JSON")]
    [TestCase(200, "[]", "no object")]
    [TestCase(-1, "", "does not answer")]
    public async Task What_is_no_answer_of_a_store_is_unknown_with_its_reason(int code, string body, string reason)
    {
        await using var tempo = await HttpDouble.StartAsync(_ => code < 0 ? Reply.Cut : new Reply(code, body));
        using var store = new TraceStore(tempo.Address, new HastyTime());
        var lookup = await store.FindByRequestIdAsync("x", "oms-service", TimeSpan.FromSeconds(1), CancellationToken.None);
        Assert.That((lookup.State, lookup.Trace), Is.EqualTo((TraceState.Unknown, (string?)null)), lookup.Message);
        Assert.That(lookup.Message, Does.Contain("is not known").And.Contain(reason));
        Assert.That((await store.HarvestAsync(["oms-service"], default, DateTimeOffset.UnixEpoch, CancellationToken.None)).State, Is.EqualTo(TraceState.Unknown));
    }

    [Test]
    public async Task A_store_that_hangs_is_unknown_after_a_bounded_time()
    {
        using var silent = new TcpListener(IPAddress.Loopback, 0);
        silent.Start();
        using var store = new TraceStore(new Uri($"http://{silent.LocalEndpoint}"), TimeProvider.System, callLimit: TimeSpan.FromSeconds(0.5));
        var clock = Stopwatch.StartNew();
        var lookup = await store.FindByRequestIdAsync("x", "oms-service", TimeSpan.FromSeconds(1), CancellationToken.None);
        Assert.That(lookup.State, Is.EqualTo(TraceState.Unknown), lookup.Message);
        Assert.That(lookup.Message, Does.Contain("does not answer within 0.5 s"));
        Assert.That(clock.Elapsed, Is.LessThan(TimeSpan.FromSeconds(8)));
    }

    [Test]
    public async Task Failing_and_slow_traces_are_kept_whole_once_and_a_few_of_each_service()
    {
        var many = "{\"traces\":[" + string.Join(',', Enumerable.Range(0, 20).Select(n => $$"""{"traceID":"{{n:x32}}","durationMs":{{1000 + n}}}""")) + "]}";
        await using var tempo = await HttpDouble.StartAsync(seen => new Reply(200, seen.Path switch
        {
            "/api/v2/search/tag/resource.service.name/values" => """{"tagValues":[{"type":"string","value":"oms-service"},{"type":"string","value":"aether-rollout"}]}""",
            "/api/search" => Uri.UnescapeDataString(seen.Query).Contains("status = error", StringComparison.Ordinal) ? One : many,
            _ => """{"trace":{},"status":"COMPLETE"}""",
        }));
        using var store = new TraceStore(tempo.Address, new HastyTime(), tenant: "aether");
        var harvest = await store.HarvestAsync([], Window.From, Window.To, CancellationToken.None);
        Assert.Multiple(() =>
        {
            Assert.That(harvest.Traces.Select(t => t.Why), Is.EqualTo(new[] { "failing", "slow", "slow", "slow", "slow", "slow" }), harvest.Message);
            Assert.That(harvest.Traces[0].Duration, Is.EqualTo(TimeSpan.FromSeconds(1.5)));
            Assert.That(harvest.Traces[0].Start, Is.EqualTo(Window.From));
            Assert.That(harvest.Traces[1].Duration, Is.EqualTo(TimeSpan.FromMilliseconds(1019)), "the slowest first");
            Assert.That(harvest.Traces.Select(t => t.Service), Is.All.EqualTo("oms-service"), "the rollout's own trace is none of the platform's");
            Assert.That(harvest.Traces.Select(t => t.Trace), Is.All.Not.Null);
            Assert.That(tempo.Requests.Select(r => r.Header("X-Scope-OrgID")), Is.All.EqualTo("aether"));
            Assert.That(tempo.Requests.Where(r => r.Path == "/api/search").Select(r => r.Query), Is.All.Contains("start=1700000000"));
        });
    }

    [Test]
    public async Task A_window_without_such_traces_is_not_an_unknown_one()
    {
        await using var tempo = await HttpDouble.StartAsync(_ => new Reply(200, None));
        using var store = new TraceStore(tempo.Address, new HastyTime());
        var harvest = await store.HarvestAsync(["oms-service"], Window.From, Window.To, CancellationToken.None);
        Assert.That((harvest.State, harvest.Traces.Count), Is.EqualTo((TraceState.Off, 0)));
        Assert.That(harvest.Message, Does.Contain("0 failing and 0 slow traces of 1 services"));
    }

    [Test]
    public async Task Jaeger_is_asked_in_its_own_words()
    {
        await using var jaeger = await HttpDouble.StartAsync(seen => new Reply(200, seen.Path == "/api/services" ? """{"data":["oms-service"]}""" : JaegerTrace));
        using var store = new TraceStore(jaeger.Address, new HastyTime(), TraceStoreKind.Jaeger);
        var lookup = await store.FindByRequestIdAsync("rollout-v1-2.3-1", "oms-service", TimeSpan.FromSeconds(2), CancellationToken.None);
        var harvest = await store.HarvestAsync([], Window.From, Window.To, CancellationToken.None);
        Assert.Multiple(() =>
        {
            Assert.That((lookup.State, lookup.TraceId), Is.EqualTo((TraceState.Found, Id)), lookup.Message);
            Assert.That(lookup.Trace, Does.Contain("operationName"));
            Assert.That(Uri.UnescapeDataString(jaeger.Requests.First().Query), Does.Contain("service=oms-service").And.Contain("""tags={"request.id":"rollout-v1-2.3-1"}"""));
            Assert.That(jaeger.Requests.Select(r => Uri.UnescapeDataString(r.Query)), Has.Some.Contains("""tags={"error":"true"}""").And.Some.Contains("minDuration=500ms"));
            Assert.That(jaeger.Requests.Last().Query, Does.Contain("start=1700000000000000&end=1700003600000000"), "microseconds");
            Assert.That(harvest.Traces, Has.Count.EqualTo(1), "the same trace fails and is slow");
            Assert.That(harvest.Traces[0].Duration, Is.EqualTo(TimeSpan.FromSeconds(2)));
        });
    }
}
