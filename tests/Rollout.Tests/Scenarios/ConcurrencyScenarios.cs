using System.Text.Json.Nodes;
using Rollout.Tests.Support;

namespace Rollout.Tests.Scenarios;

/// <summary>Two operators at once, a run that sleeps past its time, and a cluster that answers badly.</summary>
[TestFixture, Order(90), NonParallelizable]
public sealed class ConcurrencyScenarios
{
    private const string Release = "--release=v2026.11.1";
    private static readonly string[] Hurry = ["--fence-quiet=1", "--monitoring-baseline=1"];
    private RehearsalWorld _world = null!;

    [OneTimeSetUp]
    public async Task Begin() => _world = await RehearsalWorld.StartAsync();

    [OneTimeTearDown]
    public Task End() => _world.StopAsync();

    [TearDown]
    public Task End_misbehaviour() => _world.ClearFaultsAsync();

    [Test, Order(1)]
    public async Task Of_twenty_pairs_of_simultaneous_starts_exactly_one_proceeds_each_time()
    {
        var begun = await _world.CallAsync("--target=TagRelease", Release);
        Assert.That(begun.ExitCode, Is.Zero, () => begun.Everything);
        for (var pair = 1; pair <= 20; pair++)
        {
            // Whoever has the lock is held at its first entry until the other has ended: the two do overlap.
            await _world.SetFaultAsync("cluster-hold", "after:InvestigateFailure/started");
            var both = new[] { 1, 2 }.Select(_ => _world.CallAsync("--target=InvestigateFailure", "--exclusive", Release)).ToList();
            var loser = await await Task.WhenAny(both);
            await _world.ClearFaultsAsync();
            var winner = await both.Single(b => b.Result != loser);
            Assert.Multiple(() =>
            {
                Assert.That(loser.ExitCode, Is.EqualTo((int)ExitCode.Refused), $"pair {pair}: {loser.Everything}");
                Assert.That(loser.Output + loser.Error, Does.Contain("holds the lock").Or.Contain("others want it too"), $"pair {pair}: {loser.Everything}");
                Assert.That(winner.ExitCode, Is.Zero, $"pair {pair}: {winner.Everything}");
            });
        }

        var journal = await _world.JournalAsync("v2026.11.1");
        Assert.That(journal.Split("\"step\":\"InvestigateFailure\",\"event\":\"started\""), Has.Length.EqualTo(21), journal);
        var forward = await _world.CallAsync("--target=VerifyMigrations", Release, "--again");
        Assert.That(forward.ExitCode, Is.Zero, () => forward.Everything);
    }

    [Test, Order(2)]
    public async Task A_run_that_was_stopped_past_its_time_does_nothing_more()
    {
        await _world.SetFaultAsync("cluster-hold", "after:FlipDns/records/intent");
        var sleeper = _world.StartStoppable(["--target=Switch", "--again", "--lock-duration=3", Release, .. Hurry]);
        await _world.HeldAsync();
        sleeper.Signal("STOP");
        await _world.ClearFaultsAsync();

        // Refused while the lock may still hold; then watched for its whole duration, and taken.
        var tries = 0;
        CallResult back;
        do
        {
            back = await _world.CallAsync("--target=Rollback", "--lock-duration=3", Release);
        }
        while (back.ExitCode == (int)ExitCode.Refused && ++tries < 20);
        Assert.That(back.ExitCode, Is.Zero, () => back.Everything);
        Assert.That(back.Output, Does.Contain("it was not renewed in time"), () => back.Everything);
        var (journal, effects) = (await _world.JournalAsync("v2026.11.1"), await _world.EffectsAsync());

        sleeper.Signal("CONT");
        var woken = await sleeper.Ended;
        Assert.Multiple(() =>
        {
            Assert.That(woken.ExitCode, Is.EqualTo((int)ExitCode.Refused), woken.Everything);
            Assert.That(woken.Output + woken.Error, Does.Contain("lost the lock").Or.Contain("Another run wrote to the journal"), woken.Everything);
        });
        Assert.That(await _world.JournalAsync("v2026.11.1"), Is.EqualTo(journal), "it writes nothing");
        Assert.That(await _world.EffectsAsync(), Is.EqualTo(effects), "it does nothing");
        Assert.That(await _world.HostsBySlotAsync(), Is.EqualTo(new Dictionary<string, int> { ["blue"] = 18 }));
    }

    // helm gives up at the first bad answer, so with helm in it hardly an upgrade ends; spared, the rest of the playbook is reached.
    [TestCase("3:0.05:Helm", "v2026.11.2", TestName = "A rollout over an API server of which one request in twenty fails completes or stops resumable")]
    [TestCase("5:0.05", "v2026.11.3", TestName = "So does one in which helm suffers too")]
    [Order(3)]
    public async Task Whatever_the_cluster_answers_nothing_is_corrupted(string fault, string release)
    {
        var first = (await _world.OrdersAsync())[^1].Sequence;
        await _world.SetFaultAsync("cluster-unreliable", fault);
        var ends = new List<int>();
        while (ends.Count < 4 && (ends.Count == 0 || ends[^1] is not ((int)ExitCode.Done or (int)ExitCode.RolledBack)))
        {
            var run = await _world.CallAsync(["--target=Rollout", $"--release={release}", .. Hurry]);
            ends.Add(run.ExitCode);
            Assert.That(run.ExitCode, Is.AnyOf(0, 1, 3, 4, 5), () => run.Everything);
            Assert.That(run.Error, Does.Not.Contain("bug of the suite"), () => run.Everything);
        }

        await _world.ClearFaultsAsync();
        TestContext.Out.WriteLine($"ended with {string.Join(", ", ends)}");
        var status = await _world.CallAsync("--target=Status", "--json", $"--release={release}");
        Assert.That(status.ExitCode, Is.Zero, () => status.Everything);
        var move = JsonNode.Parse(status.Output.Split('\n').First(l => l.StartsWith('{')))!["move"]!.GetValue<string>();
        if (move != "Nothing")
        {
            var last = await _world.CallAsync([move == "FinishRollback" ? "--target=Rollback" : "--target=Rollout", $"--release={release}", .. Hurry]);
            Assert.That(last.ExitCode, Is.Zero, () => last.Everything);
        }

        var hosts = await _world.HostsBySlotAsync();
        var slots = (await _world.OrdersAsync(first)).Select(o => o.Slot).ToList();
        Assert.Multiple(() =>
        {
            Assert.That(hosts, Has.Count.EqualTo(1), "all hosts or none");
            Assert.That(slots[^1], Is.EqualTo(hosts.Keys.Single()), "who serves, trades");
            Assert.That(slots.Zip(slots.Skip(1)).Count(p => p.First != p.Second), Is.LessThanOrEqualTo(2), "forth, and at most back: never two writers");
        });
        if (hosts.ContainsKey("green"))
        {
            var back = await _world.CallAsync(["--target=Rollback", $"--release={release}", .. Hurry]);
            Assert.That(back.ExitCode, Is.Zero, () => back.Everything);
        }
    }
}
