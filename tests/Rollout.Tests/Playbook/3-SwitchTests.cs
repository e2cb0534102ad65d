using System.Text.Json.Nodes;
using Rollout.Playbook;
using Rollout.Tests.Support;

namespace Rollout.Tests.Playbook;

[TestFixture, Order(31)]
public sealed class FreezeWritesTests() : StepTests(nameof(FreezeWrites))
{
    protected override async Task MisbehaveAsync()
    {
        var refused = await FailsAsync(
            ExitCode.Failed, "the session of live (blue) ends at", "--fence-timeout=86400", "--dns-timeout=86400", "--monitoring-timeout=86400", "--chart-timeout=86400", "--monitoring-orders-timeout=86400");
        Assert.That(refused.Error, Does.Contain("Nothing was changed").And.Contain("a freeze could take 168 h 0 min"));
        await World.SetFaultAsync("oms-ignores-simulation", "blue");
        await FailsAsync(ExitCode.Held, "blue", "--fence-timeout=5");
    }

    protected override async Task SeeAsync(CallResult done)
    {
        var orders = await World.OrdersAsync();
        var again = await World.RunAsync("--target=Status", "--json");
        Assert.That(again.Output, Does.Contain("\"frozenSince\":\"2"));
        Assert.That(await World.OrdersAsync(orders[^1].Sequence), Is.Empty, "no slot sends orders in the freeze");
    }
}

[TestFixture, Order(32)]
public sealed class FlipDnsTests() : StepTests(nameof(FlipDns))
{
    protected override async Task MisbehaveAsync()
    {
        await World.SetFaultAsync("linode-refuse-record", "9");
        await FailsAsync(ExitCode.Held, "answer");
        Assert.That(await World.HostsBySlotAsync(), Is.EqualTo(new Dictionary<string, int> { ["blue"] = 18 }), "all hosts or none");
    }

    protected override async Task SeeAsync(CallResult done) =>
        Assert.That(await World.HostsBySlotAsync(), Is.EqualTo(new Dictionary<string, int> { ["green"] = 18 }));
}

[TestFixture, Order(33)]
public sealed class MonitorTrafficTests() : StepTests(nameof(MonitorTraffic))
{
    protected override async Task MisbehaveAsync()
    {
        await World.SetFaultAsync("errors", "green:0.5");
        await FailsAsync(ExitCode.Held, "Failed");
    }

    protected override Task SeeAsync(CallResult done)
    {
        Assert.That(done.Output, Does.Contain("Successful"));
        return Task.CompletedTask;
    }
}

[TestFixture, Order(34)]
public sealed class ReenableTradingTests() : StepTests(nameof(ReenableTrading))
{
    protected override async Task MisbehaveAsync()
    {
        await World.SetFaultAsync("orders-stopped", "green");
        await FailsAsync(ExitCode.Held, "green", "--monitoring-orders-timeout=4");
    }

    protected override async Task SeeAsync(CallResult done)
    {
        var slots = (await World.OrdersAsync()).Select(o => o.Slot).ToList();
        Assert.That(slots[^1], Is.EqualTo("green"));
        Assert.That(slots.SkipWhile(s => s == "blue"), Is.All.EqualTo("green"), "never two writers");
        var traces = JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(World.Artifacts, "evidence", Step, "traces.json")))!;
        Assert.That(traces["message"]!.GetValue<string>(), Does.Match(@"^\d+ failing and \d+ slow traces of [1-9]\d* services"));
        var data = World.Journal().Last(e => e["step"]!.GetValue<string>() == Step && e["event"]!.GetValue<string>() == "done" && e["part"] is null)["data"]!;
        Assert.That(data["tracing"]!.GetValue<string>(), Is.EqualTo("found"), "a request of its own is found as a trace");
    }
}
