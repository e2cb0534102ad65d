using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Rollout.Commands;
using Rollout.Tests.Support;

namespace Rollout.Tests;

[NonParallelizable]
public sealed class RolloutTraceTests
{
    [Test]
    public async Task A_run_is_one_trace_with_a_span_for_each_step_and_command()
    {
        await using var collector = await OtlpReceiver.StartAsync();
        using var trace = Trace(collector.Address);
        trace.Begin("v1", "staging", "blue", "green", []);
        using (var step = trace.Step("2.2", "InstallChart", "v1", "staging", "blue", "green"))
        {
            await new CommandRunner(_ => { }).RunAsync(new CommandLine("/bin/sh", "-c", "exit 3"), CancellationToken.None);
            step.Done("done");
        }

        var told = trace.End("Done", 0);
        var spans = collector.Spans;
        var root = spans.Single(s => s.Name == "rollout v1");
        var child = spans.Single(s => s.Name == "2.2 InstallChart");
        var command = spans.Single(s => s.Attributes.ContainsKey("process.executable.name"));
        Assert.Multiple(() =>
        {
            Assert.That(told, Does.Contain(root.TraceId).And.Contain("sent to 127.0.0.1:"));
            Assert.That(trace.Parent, Is.EqualTo($"00-{root.TraceId}-{root.SpanId}-01"));
            Assert.That(spans.Select(s => s.TraceId), Is.All.EqualTo(root.TraceId));
            Assert.That(root.ParentId, Is.Empty);
            Assert.That(child.ParentId, Is.EqualTo(root.SpanId));
            Assert.That(command.ParentId, Is.EqualTo(child.SpanId));
            Assert.That(command.Attributes["process.exit.code"], Is.EqualTo("3"));
            Assert.That(command.Name, Does.Not.Contain("exit"), "arguments are not told");
            Assert.That(child.Attributes["aether.step.number"], Is.EqualTo("2.2"));
            Assert.That(child.Attributes["aether.outcome"], Is.EqualTo("done"));
            Assert.That(child.Attributes["aether.slot"], Is.EqualTo("green"));
            Assert.That(child.Attributes["aether.release"], Is.EqualTo("v1"));
            Assert.That(child.Attributes["deployment.environment.name"], Is.EqualTo("staging"));
            Assert.That(root.Resource["service.name"], Is.EqualTo(RolloutTrace.ServiceName));
            Assert.That(collector.Requests.Select(r => r.Path), Is.All.EqualTo("/v1/traces"));
        });
    }

    [Test]
    public async Task An_errors_type_is_told_and_its_message_is_not()
    {
        await using var collector = await OtlpReceiver.StartAsync();
        using var trace = Trace(collector.Address);
        trace.Begin("v1", "staging", "blue", "green", []);
        using (var step = trace.Step("2.4", "SeedState", "v1", "staging", "blue", "green"))
        {
            step.Failed(new RolloutException("postgres://admin:hunter2@db refuses", null, ExitCode.Failed, new TimeoutException("hunter2")));
        }

        trace.End("Failed", 1);
        var span = collector.Spans.Single(s => s.Name.StartsWith("2.4", StringComparison.Ordinal));
        Assert.Multiple(() =>
        {
            Assert.That(span.Status, Is.EqualTo(2), "error");
            Assert.That(span.Attributes["error.type"], Is.EqualTo("RolloutException"));
            Assert.That(span.Attributes["error.cause.type"], Is.EqualTo("TimeoutException"));
            Assert.That(span.Attributes["aether.outcome"], Is.EqualTo("failed"));
            Assert.That(collector.Requests.Select(r => r.Text), Is.All.Not.Contain("hunter2"));
        });
    }

    [Test]
    public async Task Runs_of_one_release_link_to_each_other()
    {
        await using var collector = await OtlpReceiver.StartAsync();
        using var trace = Trace(collector.Address);
        var earlier = new string('a', 32);
        trace.Begin("v1", "staging", "blue", "green", [$"00-{earlier}-{new string('b', 16)}-01", "not a traceparent"]);
        trace.End("Done", 0);
        Assert.That(collector.Spans.Single().LinkedTraces, Is.EqualTo(new[] { earlier }));
    }

    [Test]
    public async Task Of_HTTP_calls_changes_and_failures_are_kept_without_their_paths()
    {
        await using var collector = await OtlpReceiver.StartAsync();
        await using var server = await HttpDouble.StartAsync(seen => new Reply(seen.Path == "/broken" ? 503 : 200));
        using var trace = Trace(collector.Address);
        trace.Begin("v1", "staging", "blue", "green", []);
        using (var step = trace.Step("3.2", "FlipDns", "v1", "staging", "blue", "green"))
        {
            using var client = server.Client();
            await client.GetAsync("/fine");
            await client.GetAsync("/broken");
            await client.PutAsync("/hooks/planted-secret", null);
            step.Done("done");
        }

        using (var client = server.Client())
        {
            await client.PutAsync("/beside-every-step", null);
        }

        trace.End("Done", 0);
        var calls = collector.Spans.Where(s => s.Attributes.ContainsKey("http.request.method")).ToList();
        Assert.That(calls.Select(c => $"{c.Attributes["http.request.method"]} {c.Attributes["http.response.status_code"]}"), Is.EquivalentTo(new[] { "GET 503", "PUT 200" }));
        Assert.That(collector.Requests.Select(r => r.Text), Is.All.Not.Contain("planted-secret"));
        Assert.That(server.Requests.Select(r => r.Header("traceparent")), Is.All.Null, "what we touch does not become part of our trace");
    }

    [Test]
    public async Task The_standard_variables_are_honoured()
    {
        await using var collector = await OtlpReceiver.StartAsync();
        using var trace = Trace(
            new Uri(collector.Address, "v1/traces"), ("OTEL_SERVICE_NAME", "night-rollout"), ("OTEL_RESOURCE_ATTRIBUTES", "team=platform"), ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=seven"));
        trace.Begin("v1", "staging", "blue", "green", []);
        trace.End("Done", 0);
        Assert.Multiple(() =>
        {
            Assert.That(collector.Requests.Select(r => r.Path), Is.EqualTo(new[] { "/v1/traces" }), "an address that is complete already is not made longer");
            Assert.That(collector.Requests.First().Header("x-tenant"), Is.EqualTo("seven"));
            Assert.That(collector.Spans[0].Resource["service.name"], Is.EqualTo("night-rollout"));
            Assert.That(collector.Spans[0].Resource["team"], Is.EqualTo("platform"));
        });
    }

    [Test]
    public void Without_an_endpoint_nothing_is_traced()
    {
        using var trace = RolloutTrace.From(new Dictionary<string, string?> { ["OTEL_SERVICE_NAME"] = "x" }, TimeProvider.System, Assert.Fail);
        trace.Begin("v1", "staging", "blue", "green", []);
        using var step = trace.Step("1.1", "TagRelease", "v1", "staging", "blue", "green");
        step.Done("done");
        Assert.That((trace.Id, trace.Parent, trace.End("Done", 0)), Is.EqualTo(((string?)null, (string?)null, (string?)null)));
    }

    [TestCase("ftp://collector")]
    [TestCase("collector:4318")]
    [TestCase("%%%")]
    public void An_endpoint_that_is_no_address_is_a_warning(string endpoint)
    {
        var warnings = new List<string>();
        using var trace = RolloutTrace.From(new Dictionary<string, string?> { ["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint }, TimeProvider.System, warnings.Add);
        Assert.That(warnings, Has.Count.EqualTo(1).And.All.Contains("is not traced"));
        trace.Begin("v1", "staging", "blue", "green", []);
        Assert.That(trace.End("Done", 0), Is.Null);
    }

    [Test]
    public async Task A_collector_that_refuses_is_told_and_harms_nothing()
    {
        await using var collector = await OtlpReceiver.StartAsync(503);
        using var trace = Trace(collector.Address);
        trace.Begin("v1", "staging", "blue", "green", []);
        Assert.That(trace.End("Done", 0), Does.Contain("did not take all of it"));
    }

    [Test]
    public void A_collector_that_never_answers_holds_nobody_up_for_long()
    {
        // Accepts by its backlog, reads nothing, says nothing.
        using var silent = new TcpListener(IPAddress.Loopback, 0);
        silent.Start();
        using var trace = Trace(new Uri($"http://{silent.LocalEndpoint}"));
        trace.Begin("v1", "staging", "blue", "green", []);
        var clock = Stopwatch.StartNew();
        for (var n = 0; n < 3000; n++)
        {
            using var step = trace.Step("1.1", "TagRelease", "v1", "staging", "blue", "green");
            step.Done("done");
        }

        Assert.That(clock.Elapsed, Is.LessThan(TimeSpan.FromSeconds(1.5)), "steps do not wait for the collector");
        clock.Restart();
        Assert.That(trace.End("Done", 0), Does.Contain("did not take all of it"));
        Assert.That(clock.Elapsed, Is.LessThan(TimeSpan.FromSeconds(4)), "the last export is given two seconds");
    }

    private static RolloutTrace Trace(Uri endpoint, params (string Name, string Value)[] more)
    {
        var variables = more.ToDictionary(v => v.Name, v => (string?)v.Value);
        variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint.ToString();
        return RolloutTrace.From(variables, TimeProvider.System, Assert.Fail);
    }
}
