using System.Text.Json.Nodes;
using Rollout.Tests.Support;

namespace Rollout.Tests.Scenarios;

/// <summary>Whole rollouts as people run them, one after another in one world: forth, looked at, back the other way, and drills.</summary>
[NonParallelizable, Order(90)]
public sealed class RehearsalScenarios
{
    private RehearsalWorld _world = null!;

    [OneTimeSetUp]
    public async Task Begin()
    {
        // The tour's world ends first: two worlds on two cores only slow one another.
        await RehearsalWorld.StopSharedAsync();
        _world = await RehearsalWorld.StartAsync();
    }

    [OneTimeTearDown]
    public Task End() => _world.StopAsync();

    [Test, Order(1)]
    public async Task Rehearse_moves_everything_to_green_and_no_two_slots_ever_send()
    {
        await using var watch = new LeakWatch(_world);
        var rehearsed = await _world.CallAsync("--target=Rehearse");
        await watch.RequireNoneAsync(rehearsed.Everything);
        Assert.That(rehearsed.ExitCode, Is.Zero, () => rehearsed.Everything);
        Assert.That(await _world.HostsBySlotAsync(), Is.EqualTo(new Dictionary<string, int> { ["green"] = 18 }));
        var slots = (await _world.OrdersAsync()).Select(o => o.Slot).ToList();
        Assert.That(slots[0], Is.EqualTo("blue"));
        Assert.That(slots.SkipWhile(s => s == "blue").ToList(), Is.Not.Empty.And.All.EqualTo("green"), "never two writers");
        Assert.That(rehearsed.Output, Does.Match(@"freeze window, blue to green\s+\d+ ms"));
        Assert.That(
            rehearsed.Output,
            Does.Match(@"client's reads failed\s+0 of \d{3,}").And.Match(@"client's orders\s+\d+ accepted, \d+ fenced, 0 refused").And.Match(@"client answered by\s+blue \d+, green [1-9]\d+"));
        var seconds = await File.ReadAllLinesAsync(Path.Combine(_world.Folder, "artifacts", "embedded", "v2026.11.1", "client.csv"));
        Assert.That(seconds[0], Does.StartWith("second,requests,reads,reads_failed,"));
        Assert.That(seconds[2..^1].Select(s => s.Split(',')[1]), Is.All.EqualTo("50"), "a rate that nothing influences");
    }

    [Test, Order(3)]
    public async Task The_timeline_is_in_the_platforms_audit_report()
    {
        var report = await File.ReadAllTextAsync(Path.Combine(_world.Platform, "docs", "AUDIT_REPORT.md"));
        Assert.That(report, Does.Contain("### Rollout of v2026.11.1").And.Match(@"\| ReenableTrading \| done \| [^\n]* freeze window \d"));
        Assert.That(report, Does.Contain("live blue, candidate green, 18 hosts").And.Match("working .* waiting .* polling").And.Contain("verdict: Successful"));
    }

    [Test, Order(3)]
    public async Task The_report_shows_what_happened_on_one_page()
    {
        var page = await File.ReadAllTextAsync(Path.Combine(_world.Folder, "artifacts", "embedded", "v2026.11.1", "report.html"));
        Assert.That(page, Does.Contain("</span> Done: green serves and trades</h1>").And.Match(@"<dt>Trading was frozen</dt><dd>\d+\.\d s<small>").And.Not.Contain("class=\"alarm\""));
        Assert.That(page, Does.Match("<b>0</b></span><svg[^>]*><title>reads failed: 0</title>").And.Contain("18 records").And.Contain("as written. Each was hashed again"));
        Assert.That(page, Does.Contain("Latency, p95<span class=\"legend\">").And.Contain("live (blue), 16 services").And.Contain("candidate (green), 16 services").And.Contain("metrics within the limits</summary>"));
        Assert.That(page, Does.Not.Contain("no samples").And.Not.Contain("cannot be drawn").And.Not.Contain("changed since"));
    }

    [Test, Order(4)]
    public async Task Status_finds_no_drift_and_Plan_has_nothing_left()
    {
        var status = await _world.CallAsync("--target=Status", "--json");
        Assert.That(status.ExitCode, Is.Zero, () => status.Everything);
        var json = JsonNode.Parse(status.Output.Split('\n').First(l => l.StartsWith('{')))!;
        Assert.Multiple(() =>
        {
            Assert.That(json["dns"]!.GetValue<string>(), Is.EqualTo("green"));
            Assert.That(json["frozenSince"], Is.Null);
            Assert.That(json["done"]!.AsArray(), Has.Count.EqualTo(16));
            Assert.That(json["next"]!.GetValue<string>(), Does.Contain("--target=Rollback"));
        });
    }

    [Test, Order(5)]
    public async Task A_failing_Status_undoes_nothing()
    {
        await _world.SetFaultAsync("linode-down");
        var status = await _world.CallAsync("--target=Status");
        await _world.ClearFaultsAsync();
        Assert.That(status.ExitCode, Is.EqualTo((int)ExitCode.Failed), () => status.Everything);
        Assert.That(status.Output, Does.Not.Contain("rolling back"));
        Assert.That(await _world.HostsBySlotAsync(), Is.EqualTo(new Dictionary<string, int> { ["green"] = 18 }));
    }

    [Test, Order(6)]
    public async Task Rollback_of_a_finished_rollout_brings_hosts_and_trading_back_to_blue()
    {
        var back = await _world.CallAsync("--target=Rollback");
        Assert.That(back.ExitCode, Is.Zero, () => back.Everything);
        Assert.That(await _world.HostsBySlotAsync(), Is.EqualTo(new Dictionary<string, int> { ["blue"] = 18 }));
        var slots = (await _world.OrdersAsync()).Select(o => o.Slot).ToList();
        var handovers = slots.Zip(slots.Skip(1)).Where(p => p.First != p.Second).ToList();
        Assert.That(handovers, Is.EqualTo(new[] { ("blue", "green"), ("green", "blue") }));
        Assert.That(
            await File.ReadAllTextAsync(Path.Combine(_world.Folder, "artifacts", "embedded", "v2026.11.1", "report.html")), Does.Contain("</span> Rolled back: blue serves and trades</h1>"));
    }

    [Test, Order(7)]
    public async Task A_release_that_was_rolled_back_goes_forward_only_when_told()
    {
        var again = await _world.CallAsync("--target=Switch", "--release=v2026.11.1");
        Assert.That(again.ExitCode, Is.EqualTo((int)ExitCode.Refused), () => again.Everything);
        Assert.That(again.Error, Does.Contain("--again"));
    }

    [Test, Order(8)]
    public async Task The_next_rollouts_go_forth_and_then_the_other_way()
    {
        // Where its page should be is a folder, which no file can replace.
        Directory.CreateDirectory(Path.Combine(_world.Folder, "artifacts", "embedded", "v2026.11.2", "report.html"));
        var forth = await _world.CallAsync("--target=Rollout", "--release=v2026.11.2");
        Assert.That(forth.ExitCode, Is.Zero, () => forth.Everything);
        Assert.That(forth.Output, Does.Contain("! report.html could not be written: "), "which is a warning and no failure");
        var other = await _world.CallAsync("--target=Rehearse");
        Assert.That(other.ExitCode, Is.Zero, () => other.Everything);
        Assert.That(other.Output, Does.Contain("live         green").And.Contain("hosts                          18 on blue"));
        Assert.That(await _world.HostsBySlotAsync(), Is.EqualTo(new Dictionary<string, int> { ["blue"] = 18 }));
    }

    [Test, Order(9)]
    public async Task A_drill_ends_in_an_automatic_rollback()
    {
        var before = await _world.OrdersAsync();
        var drill = await _world.CallAsync("--target=Rehearse", "--fault=linode-refuse-record=12");
        Assert.That(drill.ExitCode, Is.Zero, () => drill.Everything);
        Assert.That(drill.Output, Does.Contain("clients were touched: rolling back").And.Contain("ended as it must"));
        Assert.That(drill.Output, Does.Match(@"client's reads failed\s+0 of \d+").And.Match(@"fenced, 0 refused"), "the client of a drill stays until the rollback has ended");
        Assert.That(await _world.HostsBySlotAsync(), Is.EqualTo(new Dictionary<string, int> { ["blue"] = 18 }));
        Assert.That((await _world.OrdersAsync(before[^1].Sequence)).Select(o => o.Slot).Distinct(), Is.EqualTo(new[] { "blue" }), "the candidate never traded, and live trades again");
    }

    [Test, Order(10)]
    public async Task Without_a_drill_the_same_failure_ends_with_3()
    {
        await _world.SetFaultAsync("linode-refuse-record", "5");
        var failed = await _world.CallAsync("--target=Switch", "--release=v2026.11.6");
        await _world.ClearFaultsAsync();
        Assert.That(failed.ExitCode, Is.EqualTo((int)ExitCode.RolledBack), () => failed.Everything);
        Assert.That(failed.Error, Does.Contain("live serves and trades again"));
        Assert.That((await _world.OrdersAsync())[^1].Slot, Is.EqualTo("blue"));
    }

    [Test, Order(11)]
    public async Task Nothing_that_is_secret_was_kept_by_rollouts_or_rollbacks()
    {
        var world = JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(_world.Folder, "world", "world.json")))!;
        var secrets = new[]
        {
            world["dns"]!["token"], world["github"]!["token"], world["registry"]!["token"], world["control"]!["token"],
            world["slots"]!["blue"]!["session"], world["slots"]!["green"]!["session"], world["database"]!["dsn"],
        }.Select(s => s!.GetValue<string>()).ToList();
        secrets.Add(new Uri(world["database"]!["dsn"]!.GetValue<string>()).UserInfo.Split(':')[^1]);
        secrets.Add(world["slots"]!["blue"]!["redis"]!.GetValue<string>().Split("password=")[1].Split(',')[0]);
        var keys = await _world.KubectlAsync("get", "secret", "kraken-keys-company", "-n", "aether-blue", "-o", "jsonpath={.data.credentials\\.json}");
        secrets.Add(keys);
        secrets.Add(JsonNode.Parse(Convert.FromBase64String(keys))!["api_secret"]!.GetValue<string>());
        var kept = Directory.EnumerateFiles(Path.Combine(_world.Folder, "artifacts"), "*", SearchOption.AllDirectories).ToList();
        Assert.That(kept, Has.Count.GreaterThan(80));
        Assert.Multiple(() =>
        {
            foreach (var file in kept)
            {
                var text = File.ReadAllText(file);
                foreach (var secret in secrets)
                {
                    Assert.That(text, Does.Not.Contain(secret), Path.GetFileName(file));
                }
            }
        });
    }

    [Test, Order(13)]
    public async Task Retire_removes_the_idle_slot_and_only_that()
    {
        CallResult retired;
        do
        {
            retired = await _world.CallAsync("--target=Retire", "--release=v2026.11.6", "--traffic-idle-window=2");
        }
        while (retired.Error.Contains("Resolvers may send clients to", StringComparison.Ordinal));

        Assert.That(retired.ExitCode, Is.Zero, () => retired.Everything);
        var namespaces = await _world.KubectlAsync("get", "namespaces", "-o", "name");
        Assert.That(namespaces, Does.Contain("aether-blue").And.Not.Contain("aether-green"));
    }
}
