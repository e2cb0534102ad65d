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

    private string Bundle => Path.Combine(World.Artifacts, "incident");

    // A cluster that is shaky must not turn a finished rollback into a failure, and one pod that never starts is what a person wants to be told of.
    protected override async Task MisbehaveAsync()
    {
        await World.KubectlAsync("set", "env", "deployment/fees-service", "-n", "aether-green", "PLANTED_PASSWORD=correct-horse-battery");
        await World.SetFaultAsync("traces-off");
        var done = await World.RunAsync($"--target={Step}", "--exclusive");
        Assert.That(done.ExitCode, Is.Zero, () => done.Everything);
        var kept = Directory.EnumerateFiles(Bundle, "*", SearchOption.AllDirectories).ToList();
        Assert.That(kept.Where(f => File.ReadAllText(f).Contains("correct-horse-battery", StringComparison.Ordinal)), Is.Empty);
        Assert.That(File.ReadAllText(Path.Combine(Bundle, "differences.json")), Does.Contain("PLANTED_PASSWORD"), "the name is kept, the value is not");
    }

    protected override async Task SeeAsync(CallResult done)
    {
        var index = await File.ReadAllTextAsync(Path.Combine(World.Artifacts, "evidence", Step, "INDEX.md"));
        Assert.That(index, Does.Contain("Where to look first").And.Contain("green-pods.json").And.Contain("blue-metrics.txt"));
        var before = Files();
        Assert.Multiple(() =>
        {
            Assert.That(before.Keys, Does.Contain("index.html").And.Contain("traces.json").And.Contain("differences.json").And.Contain("green-events.json").And.Contain("blue-deployments.json"));
            Assert.That(before.Keys.Count(f => f.StartsWith("logs/oms-service-", StringComparison.Ordinal)), Is.GreaterThan(0));
            Assert.That(done.Output, Does.Contain("index.html"));
            Assert.That(before["index.html"], Does.Not.Contain("<script").And.Not.Match("(href|src)=\"[a-z]+:").And.Not.Contain("url("), "self-contained: what a log says of an address is text");
            Assert.That(index, Does.Contain("No step failed"), "what an earlier attempt failed of and a later one did is not blamed");
        });
        var again = await World.RunAsync($"--target={Step}", "--exclusive");
        Assert.That(again.ExitCode, Is.Zero, () => again.Everything);
        Assert.That(Files().Keys, Is.EquivalentTo(before.Keys), "a repetition adds nothing twice");

        Dictionary<string, string> Files() => Directory.EnumerateFiles(Bundle, "*", SearchOption.AllDirectories)
            .ToDictionary(f => Path.GetRelativePath(Bundle, f), File.ReadAllText);
    }
}
