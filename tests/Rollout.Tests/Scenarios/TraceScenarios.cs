using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using Rollout.Tests.Support;

namespace Rollout.Tests.Scenarios;

/// <summary>What a collector sees of runs as people start them.</summary>
[NonParallelizable, Order(96)]
public sealed class TraceScenarios
{
    private RehearsalWorld _world = null!;

    [OneTimeSetUp]
    public async Task Begin()
    {
        await RehearsalWorld.StopSharedAsync();
        _world = await RehearsalWorld.StartAsync();
    }

    [OneTimeTearDown]
    public Task End() => _world.StopAsync();

    [Test]
    public async Task Failed_and_repeated_runs_of_a_release_are_traces_that_link_to_each_other()
    {
        await using var collector = await OtlpReceiver.StartAsync();
        var variables = new Dictionary<string, string> { ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.Address.ToString() };
        await _world.SetFaultAsync("registry-down");
        var failed = await _world.CallWithAsync(variables, "--target=TagRelease", $"--release={RehearsalWorld.Release}");
        await _world.ClearFaultsAsync();
        var done = await _world.CallWithAsync(variables, "--target=VerifyMigrations", $"--release={RehearsalWorld.Release}");
        Assert.That((failed.ExitCode, done.ExitCode), Is.EqualTo((1, 0)), failed.Everything + done.Everything);

        var spans = collector.Spans;
        var roots = spans.Where(s => s.Name == $"rollout {RehearsalWorld.Release}").ToList();
        Assert.That(roots, Has.Count.EqualTo(2), "one trace for each call");
        Assert.Multiple(() =>
        {
            Assert.That(failed.Output, Does.Contain($"trace {roots[0].TraceId}"));
            Assert.That(done.Output.TrimEnd().Split('\n')[^1], Does.Contain($"trace {roots[1].TraceId}"), "among the last lines");
            Assert.That(roots[0].Attributes["aether.outcome"], Is.EqualTo("Failed"));
            Assert.That(roots[1].LinkedTraces, Is.EqualTo(new[] { roots[0].TraceId }));
            var broken = spans.Single(s => s.Name == "1.1 TagRelease" && s.TraceId == roots[0].TraceId);
            Assert.That((broken.Status, broken.Attributes["error.type"]), Is.EqualTo((2, "RolloutException")));
            Assert.That(spans.Where(s => s.TraceId == roots[1].TraceId).Select(s => s.Name), Does.Contain("1.1 TagRelease").And.Contain("1.2 VerifyMigrations"));
            var migrations = spans.Single(s => s.Name == "1.2 VerifyMigrations");
            Assert.That(spans.Where(s => s.ParentId == migrations.SpanId).Select(s => s.Name), Has.Some.Contains(".py"), "commands are below their step");
            Assert.That(
                _world.Journal().Where(e => e["event"]!.GetValue<string>() == "started" && e["step"]!.GetValue<string>() == "TagRelease").Select(e => e["data"]!["trace"]!.GetValue<string>().Split('-')[1]),
                Is.EqualTo(roots.Select(r => r.TraceId)));
        });

        var facts = JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(_world.Folder, "world", "world.json")))!;
        var secrets = new[] { facts["dns"]!["token"], facts["registry"]!["token"], facts["slots"]!["blue"]!["session"], facts["database"]!["dsn"] }.Select(s => s!.GetValue<string>()).ToList();
        Assert.That(collector.Requests.Where(r => secrets.Any(s => r.Text.Contains(s, StringComparison.Ordinal))), Is.Empty);
    }

    [Test]
    public async Task A_collector_that_never_answers_neither_delays_nor_fails_a_run()
    {
        using var silent = new TcpListener(IPAddress.Loopback, 0);
        silent.Start();
        var clock = Stopwatch.StartNew();
        var plain = await _world.CallAsync("--target=TagRelease", "--release=v2026.11.2");
        var without = clock.Elapsed;
        clock.Restart();
        var traced = await _world.CallWithAsync(
            new Dictionary<string, string> { ["OTEL_EXPORTER_OTLP_ENDPOINT"] = $"http://{silent.LocalEndpoint}" }, "--target=TagRelease", "--release=v2026.11.3");
        Assert.That((plain.ExitCode, traced.ExitCode), Is.EqualTo((0, 0)), traced.Everything);
        Assert.That(traced.Output, Does.Contain("did not take all of it"));
        Assert.That(clock.Elapsed, Is.LessThan(without + TimeSpan.FromSeconds(6)), "two seconds for the last export, and a busy machine");
    }
}
