using Rollout.Monitoring;
using Rollout.Tests.Support;

namespace Rollout.Tests.Monitoring;

[Parallelizable(ParallelScope.All)]
public sealed class TraceStoreTests
{
    private const string None = """{"traces":[],"metrics":{}}""";

    private const string One = """
        {"traces":[{"traceID":"2f3e0cee77ae5dc9c17ade3689eb2e54","rootServiceName":"oms-service","rootTraceName":"oms-service.request",
        "startTimeUnixNano":"1700000000000000000","durationMs":1500,"spanSets":[]}],"metrics":{}}
        """;

    [Test]
    public async Task A_trace_that_arrives_late_is_found()
    {
        var searches = 0;
        await using var tempo = await HttpDouble.StartAsync(seen => seen.Path switch
        {
            "/api/search" => new Reply(200, ++searches < 3 ? None : One),
            _ => searches < 4 ? new Reply(404, "trace not found") : new Reply(200, """{"batches":[1]}"""),
        });
        using var store = new TraceStore(tempo.Address, new HastyTime());
        var lookup = await store.FindByRequestIdAsync("rollout-v1-3.2-7", TimeSpan.FromSeconds(30), CancellationToken.None);
        Assert.That(lookup.State, Is.EqualTo(TraceState.Found), lookup.Message);
        Assert.That(lookup.TraceId, Is.EqualTo("2f3e0cee77ae5dc9c17ade3689eb2e54"));
        Assert.That(lookup.Trace, Does.Contain("batches"));
        Assert.That(
            Uri.UnescapeDataString(tempo.Requests.First().Query),
            Does.Contain("""q={ span.request.id = "rollout-v1-3.2-7" }""").And.Contain("start=").And.Contain("end="));
    }

    [Test]
    public async Task A_trace_that_never_arrives_is_not_found()
    {
        await using var tempo = await HttpDouble.StartAsync(_ => new Reply(200, None));
        using var store = new TraceStore(tempo.Address, new HastyTime());
        var lookup = await store.FindByRequestIdAsync("x", TimeSpan.FromSeconds(3), CancellationToken.None);
        Assert.That(lookup.State, Is.EqualTo(TraceState.NotFound));
        Assert.That(tempo.Requests, Has.Count.EqualTo(7), "a look every half second, and one at the end");
    }

    [TestCase(404)]
    [TestCase(503)]
    [TestCase(-1)]
    public async Task A_store_that_does_not_answer_is_off_and_not_empty(int code)
    {
        await using var tempo = await HttpDouble.StartAsync(_ => code < 0 ? Reply.Cut : new Reply(code, "<html>"));
        using var store = new TraceStore(tempo.Address, new HastyTime());
        var lookup = await store.FindByRequestIdAsync("x", TimeSpan.FromSeconds(1), CancellationToken.None);
        Assert.That(lookup.State, Is.EqualTo(TraceState.Off), lookup.Message);
        Assert.That(lookup.Message, Does.Contain("traces are off"));
        Assert.That(
            (await store.SlowAndFailingAsync(default, DateTimeOffset.UnixEpoch, CancellationToken.None)).State, Is.EqualTo(TraceState.Off));
    }

    [Test]
    public async Task Failing_and_slow_traces_are_kept_whole_and_once()
    {
        await using var tempo = await HttpDouble.StartAsync(
            seen => new Reply(200, seen.Path == "/api/search" ? One : """{"batches":[]}"""));
        using var store = new TraceStore(tempo.Address, new HastyTime());
        var harvest = await store.SlowAndFailingAsync(
            DateTimeOffset.FromUnixTimeSeconds(1700000000), DateTimeOffset.FromUnixTimeSeconds(1700003600), CancellationToken.None);
        Assert.That(harvest.Traces, Has.Count.EqualTo(1));
        Assert.That(harvest.Traces[0].Why, Is.EqualTo("failing"));
        Assert.That(harvest.Traces[0].Duration, Is.EqualTo(TimeSpan.FromSeconds(1.5)));
        Assert.That(harvest.Traces[0].Start, Is.EqualTo(DateTimeOffset.FromUnixTimeSeconds(1700000000)));
        Assert.That(harvest.Traces[0].Trace, Is.Not.Null);
        Assert.That(tempo.Requests.First().Query, Does.Contain("limit=20").And.Contain("start=1700000000"));
    }
}
