using Rollout.Tests.Support;
using Rollout.Tests.Traffic;
using Rollout.Traffic;

namespace Rollout.Tests.Scenarios;

/// <summary>A rollout in CNAME mode, where one record moves all hosts, and the old slot's end: <c>Retire</c> waits for its clients.</summary>
[NonParallelizable, Order(94)]
public sealed class AliasScenarios
{
    private const string Alias = "--dns-alias=live.aether.example.com";
    private const string Oms = "oms.aether.example.com";

    private RehearsalWorld _world = null!;

    [OneTimeSetUp]
    public async Task Begin()
    {
        await RehearsalWorld.StopSharedAsync();
        _world = await RehearsalWorld.StartAsync();
        await _world.AliasHostsAsync("live", ttl: 30);
    }

    [OneTimeTearDown]
    public Task End() => _world.StopAsync();

    [Test, Order(1)]
    public async Task Aliases_are_refused_where_each_host_should_have_its_own_address()
    {
        var refused = await _world.RunAsync("--target=Prepare");

        Assert.That(refused.ExitCode, Is.EqualTo((int)ExitCode.Failed), () => refused.Everything);
        Assert.That(refused.Error, Does.Contain($"{Oms} is an alias (CNAME) of live.aether.example.com"));
    }

    [Test, Order(2)]
    public async Task One_write_moves_all_hosts_and_every_name_server_follows()
    {
        var done = await _world.RunAsync("--target=Rollout", Alias);

        Assert.That(done.ExitCode, Is.Zero, () => done.Everything);
        Assert.That(await _world.EffectsAsync(), Does.Contain("\"linode-record-writes\":1").And.Not.Contain("linode-record-writes-repeated"));
        Assert.That(done.Output, Does.Contain("1 of 1 records written").And.Contain("18 of 18 hosts lead to candidate (green)"));
        var status = await _world.RunAsync("--target=Status", "--verify", Alias, "--traffic-idle-window=1");
        Assert.That(status.Output, Does.Match(@"clients are sent to\s+green\s").And.Match(@"name servers answer\s+green\s"));
        Assert.That(status.Output, Does.Match(@"clients still ask blue\s+no request in 1 s").And.Match(@"drift\s+none"));
    }

    [Test, Order(3)]
    public async Task Retire_waits_until_the_TTL_has_run_out_since_the_flip()
    {
        var refused = await RetireAsync();

        Assert.That(refused.ExitCode, Is.EqualTo((int)ExitCode.Refused), () => refused.Everything);
        Assert.That(refused.Error, Does.Contain("Resolvers may send clients to blue until ").And.Contain("the records had a TTL of 30 s"));
    }

    [Test, Order(4)]
    public async Task Retire_waits_for_clients_that_never_ask_DNS_again()
    {
        var plan = await _world.ClientAsync(rate: 1);
        var blue = plan.Slots.Single(slot => slot.Name == "blue").Address;
        var probe = new HostProbe(plan.HttpsPort, plan.CertificateAuthority, TimeProvider.System);
        using var stop = new CancellationTokenSource();
        var asking = Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested)
            {
                await probe.ProbeAsync(Oms, "/healthz", blue, CancellationToken.None);
            }
        });

        var refused = await RetireAsync();
        while (refused.Error.Contains("Resolvers may send clients to", StringComparison.Ordinal))
        {
            refused = await RetireAsync();
        }

        await stop.CancelAsync();
        await asking;
        Assert.That(refused.ExitCode, Is.EqualTo((int)ExitCode.Refused), () => refused.Everything);
        Assert.That(refused.Error, Does.Match($@"blue still has clients: \d+(\.\d+)? requests/s over 2 s, most of them for {Oms} "));
    }

    [Test, Order(5)]
    public async Task Retire_is_refused_while_a_name_server_answers_otherwise()
    {
        await using var stray = new NameServerDouble(_ => new DnsReply("192.0.2.9"));
        var refused = await _world.RunAsync("--target=Retire", Alias, $"--dns-name-servers={stray}");

        Assert.That(refused.ExitCode, Is.EqualTo((int)ExitCode.Refused), () => refused.Everything);
        Assert.That(refused.Error, Does.Contain("Not every name server sends clients to green: ").And.Contain($"{stray} gives 192.0.2.9").And.Contain("Nothing was removed."));
    }

    [Test, Order(6)]
    public async Task Retire_removes_the_old_slot_when_its_clients_have_left()
    {
        var retired = await RetireAsync();

        Assert.That(retired.ExitCode, Is.Zero, () => retired.Everything);
        Assert.That(retired.Output, Does.Contain("clients still ask blue: no request in 2 s"));
        Assert.That(await _world.KubectlAsync("get", "namespaces", "-o", "name"), Does.Contain("aether-green").And.Not.Contain("aether-blue"));
    }

    private Task<CallResult> RetireAsync() => _world.RunAsync("--target=Retire", Alias, "--traffic-idle-window=2");
}
