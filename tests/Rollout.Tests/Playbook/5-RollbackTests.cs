using Rollout.Playbook;
using Rollout.Tests.Support;

namespace Rollout.Tests.Playbook;

[TestFixture, Order(51)]
public sealed class ReenableSafeModeTests() : StepTests(nameof(ReenableSafeMode))
{
    protected override string RefusalSays => "there is nothing to roll back";

    protected override int IntentsOfARepetition => 1;

    protected override async Task MisbehaveAsync()
    {
        // A candidate that does not take its fences loses its OMS: a rollback must not depend on the health of what it takes back.
        await World.SetFaultAsync("oms-ignores-simulation", "green");
        var stopped = await World.RunAsync($"--target={Step}", "--exclusive", "--fence-timeout=5");
        Assert.Multiple(() =>
        {
            Assert.That(stopped.ExitCode, Is.Zero, stopped.Everything);
            Assert.That(stopped.Output, Does.Contain("does not take its fences").And.Contain("kubectl scale"), stopped.Everything);
        });
        Assert.That(await World.KubectlAsync("get", "pods", "-n", "aether-green", "-l", "app=oms-service", "-o", "name"), Is.Empty);
        await World.ClearFaultsAsync();
        await World.KubectlAsync("scale", "deployment/oms-service", "-n", "aether-green", "--replicas=2");
        await World.KubectlAsync("rollout", "status", "deployment/oms-service", "-n", "aether-green", "--timeout=30s");
    }

    protected override async Task SeeAsync(CallResult done)
    {
        var last = (await World.OrdersAsync())[^1].Sequence;
        await World.StatusAsync();
        Assert.That(await World.OrdersAsync(last), Is.Empty, "the candidate is fenced and live still is");
    }
}

[TestFixture, Order(52)]
public sealed class RestoreDnsTests() : StepTests(nameof(RestoreDns))
{
    protected override string RefusalSays => "there is nothing to roll back";

    protected override async Task MisbehaveAsync()
    {
        await World.SetFaultAsync("linode-refuse-record", "3");
        await FailsAsync(ExitCode.Held, "answer");
        Assert.That(await World.HostsBySlotAsync(), Is.EqualTo(new Dictionary<string, int> { ["green"] = 18 }), "all hosts or none");
    }

    protected override async Task SeeAsync(CallResult done) =>
        Assert.That(await World.HostsBySlotAsync(), Is.EqualTo(new Dictionary<string, int> { ["blue"] = 18 }));
}

[TestFixture, Order(53)]
public sealed class ValidateBlueTests() : StepTests(nameof(ValidateBlue))
{
    protected override string RefusalSays => "there is nothing to roll back";

    protected override async Task MisbehaveAsync()
    {
        await World.SetFaultAsync("orders-stopped", "blue");
        await FailsAsync(ExitCode.Held, "blue", "--monitoring-orders-timeout=4");
    }

    protected override async Task SeeAsync(CallResult done) =>
        Assert.That((await World.OrdersAsync())[^1].Slot, Is.EqualTo("blue"));
}

[TestFixture, Order(54)]
public sealed class InvestigateFailureTests() : StepTests(nameof(InvestigateFailure))
{
    protected override string RefusalSays => "there is nothing to roll back";

    // A trace store that is away must not turn a finished rollback into a failure.
    protected override async Task MisbehaveAsync()
    {
        await World.SetFaultAsync("traces-off");
        var done = await World.RunAsync($"--target={Step}", "--exclusive");
        Assert.That(done.ExitCode, Is.Zero, () => done.Everything);
    }

    protected override Task SeeAsync(CallResult done)
    {
        var index = File.ReadAllText(Path.Combine(World.Artifacts, "evidence", Step, "INDEX.md"));
        Assert.That(index, Does.Contain("Where to look first").And.Contain("green-pods.json").And.Contain("blue-metrics.txt"));
        return Task.CompletedTask;
    }
}
