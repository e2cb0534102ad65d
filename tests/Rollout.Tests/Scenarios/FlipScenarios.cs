using System.Text.Json.Nodes;
using Rollout.Journal;
using Rollout.Playbook;
using Rollout.Tests.Support;
using Rollout.Tests.Traffic;
using Rollout.Traffic;

namespace Rollout.Tests.Scenarios;

/// <summary>Flips forth and back in a world whose Linode and name servers misbehave: what the records say, clients get, from both servers.</summary>
[NonParallelizable, Order(96)]
public sealed class FlipScenarios
{
    private const int Hosts = 18;

    private readonly List<JournalEntry> _journal = [];
    private RehearsalWorld _world = null!;
    private ClientPlan _plan = null!;
    private DnsZone _zone = null!;
    private NameServers _servers = null!;

    [OneTimeSetUp]
    public async Task Begin()
    {
        await RehearsalWorld.StopSharedAsync();
        _world = await RehearsalWorld.StartAsync();
        _plan = await _world.ClientAsync(rate: 1);
        var (api, token) = _world.Linode;
        _zone = new DnsZone(new LinodeDomains(api, token, Support.Fences.Open, TimeProvider.System, new Lines()), null, TimeProvider.System, new Lines());
        _servers = new NameServers(_plan.NameServers, TimeProvider.System, new Lines());
    }

    [OneTimeTearDown]
    public async Task End()
    {
        _zone.Dispose();
        await _world.StopAsync();
    }

    [Test]
    public async Task Forty_seeded_rounds_end_all_new_or_all_old_on_both_name_servers()
    {
        var random = new Random(20261126);
        var from = "blue";
        foreach (var (fault, argument) in Rounds(random))
        {
            var to = from == "blue" ? "green" : "blue";
            await _world.SetFaultAsync(fault, argument);
            var moved = await MoveAsync(to);
            await _world.ClearFaultsAsync();
            var round = $"{fault}={argument} on the way to {to}: {_journal[^1].Event}";
            Assert.That(moved, Is.EqualTo(fault != "linode-refuse-record"), round);
            from = moved ? to : from;
            Assert.That(await _world.HostsBySlotAsync(), Is.EqualTo(new Dictionary<string, int> { [from] = Hosts }), round);
            await _servers.WaitUntilAllAnswerAsync(_plan.Hosts, AddressOf(from), TimeSpan.FromSeconds(20), default);
        }
    }

    private static IEnumerable<(string Fault, string Argument)> Rounds(Random random)
    {
        var rounds = Enumerable.Range(1, Hosts).Select(n => ("linode-refuse-record", $"{n}")).ToList();
        foreach (var (fault, most) in new[] { ("linode-limit", 6), ("linode-busy", 6), ("linode-lost-answer", Hosts) })
        {
            rounds.AddRange(Enumerable.Range(0, 5).Select(_ => (fault, $"{random.Next(1, most + 1)}")));
        }

        rounds.AddRange(new[] { "1", "2", "ns1:1", "ns2:2", "ns2:1", "ns1:2", "1" }.Select(late => ("dns-late", late)));
        return rounds.OrderBy(_ => random.Next());
    }

    private async Task<bool> MoveAsync(string to)
    {
        try
        {
            await DnsFlip.MoveAsync(_zone, _plan.Hosts, AddressOf(to), "FlipDns", [.. _journal], intent => KeepAsync(JournalEvent.Intent, "records", intent), default);
            await KeepAsync(JournalEvent.Done, null, null);
            return true;
        }
        catch (RolloutException exception)
        {
            await KeepAsync(JournalEvent.Failed, null, new JsonObject { ["exit"] = (int)exception.ExitCode });
            return false;
        }
    }

    private SlotAddress AddressOf(string slot) => new(_plan.Slots.Single(s => s.Name == slot).Address);

    private Task KeepAsync(JournalEvent what, string? part, JsonObject? data)
    {
        _journal.Add(new JournalEntry(_journal.Count + 1, TimeProvider.System.GetUtcNow(), "FlipDns", what, part, "tester@here", "run", data, JournalEntry.Genesis));
        return Task.CompletedTask;
    }
}
