using Rollout.Tests.Support;
using Rollout.Tools;

namespace Rollout.Tests.Scenarios;

/// <summary>Drills as a person calls them. The others differ from these in what the judge sees, which <c>DrillRoundsTests</c> has in many rounds.</summary>
[TestFixture, Order(86), NonParallelizable]
public sealed class DrillScenarios
{
    private RehearsalWorld _world = null!;

    [OneTimeSetUp]
    public async Task Begin() => _world = await RehearsalWorld.StartAsync();

    [OneTimeTearDown]
    public Task End() => _world.StopAsync();

    [Order(1)]
    [TestCase("unhealthy-200", "LessHealthyThanLive")]
    [TestCase("error-spike", "ErrorRatio")]
    [TestCase("one-service-down", "LessHealthyThanLive")]
    public async Task A_sick_candidate_is_seen_by_the_watch_and_rolled_back(string drill, string reason)
    {
        var ended = await _world.CallAsync("--target=Rehearse", $"--fault={drill}");
        Assert.That(ended.ExitCode, Is.Zero, () => ended.Everything);
        Assert.That(ended.Everything, Does.Contain($"ended Failed ({reason})").And.Contain($"The drill {drill} ended as it must"), () => ended.Everything);
        Assert.That(await _world.HostsBySlotAsync(), Is.EqualTo(new Dictionary<string, int> { ["blue"] = 18 }));
    }

    [Test, Order(2)]
    public async Task Counters_that_begin_anew_are_no_reason_to_go_back()
    {
        var ended = await _world.CallAsync("--target=Rehearse", "--fault=counter-reset");
        Assert.That(ended.ExitCode, Is.Zero, () => ended.Everything);
        Assert.That(ended.Output, Does.Contain("The drill counter-reset ended as it must: the rollout is done"), () => ended.Everything);
        Assert.That(await _world.HostsBySlotAsync(), Is.EqualTo(new Dictionary<string, int> { ["green"] = 18 }));
    }

    [Test]
    public void A_fault_of_the_world_s_is_a_drill_that_must_be_rolled_back() => Assert.Multiple(() =>
    {
        Assert.That(Drill.Of("linode-refuse-record=5"), Is.EqualTo(new Drill("linode-refuse-record=5", "linode-refuse-record=5", "FreezeWrites", DrillEnd.RolledBack, string.Empty)));
        Assert.That(Drill.Of("scaling-stalled").Fault, Is.EqualTo("scaling-stalled=candidate"));
        Assert.That(Drill.Of("scaling-stalled=green").Fault, Is.EqualTo("scaling-stalled=green"));
    });
}
