using Rollout.Tests.Support;

namespace Rollout.Tests.Scenarios;

/// <summary>A rollout and its rollback where the hosts' zone is on name servers of one's own: a real primary and a real secondary.</summary>
[NonParallelizable, Order(93)]
public sealed class DynamicUpdateScenarios
{
    private const string Ttl = "5";

    private RehearsalWorld _world = null!;
    private KnotServer _primary = null!;
    private KnotServer _secondary = null!;
    private string _blue = null!;
    private string _green = null!;

    [OneTimeSetUp]
    public async Task Begin()
    {
        await RehearsalWorld.StopSharedAsync();
        _world = await RehearsalWorld.StartAsync();
        (_blue, _green) = (await AddressAsync("blue"), await AddressAsync("green"));
        (_primary, _secondary) = await KnotServer.StartPairAsync();
        await _primary.EditAsync(
            KnotServer.Zone,
            [.. KnotServer.Hosts.Select(host => host.Split('.')[0]).SelectMany(label => new[] { $"zone-unset {label} A", $"zone-set {label} {Ttl} A {_blue}" })]);
    }

    [OneTimeTearDown]
    public async Task End()
    {
        await _secondary.DisposeAsync();
        await _primary.DisposeAsync();
        await _world.StopAsync();
    }

    [Test, Order(1)]
    public async Task A_rollout_moves_all_hosts_in_one_update_and_both_servers_answer_it()
    {
        var before = await _primary.ChangesAsync();

        var done = await CallAsync("Rollout");

        Assert.That(done.ExitCode, Is.Zero, () => done.Everything);
        Assert.That(await _primary.ChangesAsync() - before, Is.EqualTo(1), "18 records in one message");
        await AllAnswerAsync(_green);
        Assert.That(await _world.EffectsAsync(), Does.Not.Contain("linode-record-writes"));
        Assert.That(done.Everything, Does.Not.Contain(_primary.Key.Reveal()));
    }

    [Test, Order(2)]
    public async Task A_rollback_brings_them_back_the_same_way()
    {
        var before = await _primary.ChangesAsync();

        var done = await CallAsync("Rollback");

        Assert.That(done.ExitCode, Is.Zero, () => done.Everything);
        Assert.That(await _primary.ChangesAsync() - before, Is.EqualTo(1));
        await AllAnswerAsync(_blue);
    }

    private async Task AllAnswerAsync(string address)
    {
        foreach (var server in new[] { _primary, _secondary })
        {
            foreach (var host in KnotServer.Hosts)
            {
                Assert.That(await server.AnswersAsync(host), Is.EqualTo(new[] { $"{Ttl} A {address}" }), $"{host} on {server.Address}");
            }
        }
    }

    private async Task<string> AddressAsync(string slot) => (await _world.KubectlAsync(
        "get", "service", "ingress-nginx-controller", "-n", $"ingress-{slot}", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}")).Trim();

    private Task<CallResult> CallAsync(string target) => RehearsalWorld.CallOnceAsync(
        _world.Folder,
        [
            $"--target={target}",
            $"--release={RehearsalWorld.Release}",
            "--dns-provider=rfc2136",
            $"--dns-update-server={_primary.Address}",
            $"--dns-update-key-name={KnotServer.KeyName}",
            $"--dns-name-servers={_primary.Address},{_secondary.Address}",
            $"--dns-resolvers={_secondary.Address}",
        ],
        new Dictionary<string, string> { ["ROLLOUT_SECRETS_DNS_UPDATE_KEY"] = _primary.Key.Reveal() });
}
