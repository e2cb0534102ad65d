using System.Net;
using System.Net.Http.Headers;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;

namespace Rehearsal.Tests.Host;

/// <summary>One whole world, with the real helm: what its world.json promises is there, and is there again after a restart.</summary>
[NonParallelizable]
public sealed class RehearsalWorldTests
{
    private string _directory = null!;
    private UpArguments _arguments = null!;
    private RehearsalWorld? _world;

    [OneTimeSetUp]
    public async Task StartAsync()
    {
        _directory = Directory.CreateTempSubdirectory("rehearsal-host-").FullName;
        _arguments = new UpArguments(_directory, Tools.Find("helm"), Tools.Find("kubectl"), null, null, PlatformReleases.First);
        _world = await RehearsalWorld.StartAsync(_arguments, TestContext.Progress.WriteLine, TimeProvider.System, CancellationToken.None);
    }

    [OneTimeTearDown]
    public async Task StopAsync()
    {
        if (_world is not null)
        {
            await _world.DisposeAsync();
        }

        Directory.Delete(_directory, recursive: true);
    }

    [Test]
    public async Task All_hosts_are_served_by_the_live_slot_under_the_worlds_authority()
    {
        var world = Read();
        foreach (var host in Workload.Hosts.Select(label => $"{label}.{Workload.Zone}"))
        {
            using var client = Client(world, "blue");
            using var answer = await client.GetAsync(new Uri($"https://{host}/healthz"));
            Assert.That(answer.StatusCode, Is.AnyOf(HttpStatusCode.OK, HttpStatusCode.NotFound), host);
            Assert.That(answer.Headers.Contains("Strict-Transport-Security"), host);
        }
    }

    [Test]
    public void The_other_slot_serves_none_of_them_yet()
    {
        using var client = Client(Read(), "green");
        Assert.That(
            async () => await client.GetAsync(new Uri("https://oms.aether.example.com/")),
            Throws.InstanceOf<HttpRequestException>(),
            "the controller's own certificate is nobody's");
    }

    [Test]
    public async Task The_live_stack_trades_and_the_candidate_does_not()
    {
        var orders = await OrdersAsync(Read());
        Assert.That(orders, Is.Not.Empty);
        Assert.That(orders.Select(order => (string?)order["slot"]).Distinct(), Is.EqualTo(new[] { "blue" }));
        Assert.That(
            orders.Select(order => (string?)order["account"]).Distinct(), Is.EquivalentTo(new[] { "company", "director-1", "director-2" }));
    }

    [Test]
    public async Task DNS_points_every_host_at_the_live_slot()
    {
        var world = Read();
        using var client = new HttpClient { BaseAddress = new Uri((string)world["dns"]!["api"]! + "/") };
        client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", (string)world["dns"]!["token"]!);
        var zones = JsonNode.Parse(await client.GetStringAsync("domains"))!["data"]!.AsArray();
        var zone = zones.Single(candidate => (string?)candidate!["domain"] == Workload.Zone)!["id"];
        var records = JsonNode.Parse(await client.GetStringAsync($"domains/{zone}/records"))!["data"]!.AsArray();
        var addresses = records.Where(record => (string?)record!["type"] == "A").ToDictionary(
            record => (string)record!["name"]!, record => (string)record!["target"]!);
        Assert.That(addresses.Keys, Is.EquivalentTo(Workload.Hosts));
        Assert.That(addresses.Values, Has.All.EqualTo((string?)world["slots"]!["blue"]!["address"]));
    }

    [Test]
    public void A_second_keeper_of_the_same_world_is_refused()
    {
        Assert.That(
            async () => await RehearsalWorld.StartAsync(_arguments, _ => { }, TimeProvider.System, CancellationToken.None),
            Throws.InstanceOf<RehearsalException>().With.Message.Contains("kept up by another process"));
        Assert.That(File.Exists(WorldFile.PathIn(_directory)), "world.json of the first keeper");
    }

    [Test]
    public async Task A_restarted_world_is_the_same_and_trades_again()
    {
        var before = Read();
        var last = (long)(await OrdersAsync(before))[^1]["seq"]!;
        await _world!.DisposeAsync();
        Assert.That(File.Exists(WorldFile.PathIn(_directory)), Is.False, "world.json after a clean stop");
        _world = await RehearsalWorld.StartAsync(_arguments, TestContext.Progress.WriteLine, TimeProvider.System, CancellationToken.None);
        var after = Read();
        Assert.That(after.ToJsonString(), Is.EqualTo(before.ToJsonString()));
        await All_hosts_are_served_by_the_live_slot_under_the_worlds_authority();
        Assert.That((await OrdersAsync(after)).Count(order => (long)order["seq"]! > last), Is.GreaterThan(0), "orders after the restart");
    }

    private JsonNode Read()
    {
        return JsonNode.Parse(File.ReadAllText(WorldFile.PathIn(_directory)))!;
    }

    // The log once some orders have come in the meantime.
    private static async Task<List<JsonNode>> OrdersAsync(JsonNode world)
    {
        using var client = new HttpClient { BaseAddress = new Uri((string)world["control"]!["api"]!) };
        client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", (string)world["control"]!["token"]!);
        using var patience = new CancellationTokenSource(Patience.Limit);
        var start = (await ReadAsync()).Count;
        while (true)
        {
            var orders = await ReadAsync();
            if (orders.Count > start + 5)
            {
                return orders;
            }

            await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System, patience.Token);
        }

        async Task<List<JsonNode>> ReadAsync()
        {
            var lines = await client.GetStringAsync("/exchange/log?after=0", patience.Token);
            return [.. lines.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonNode.Parse(line)!)];
        }
    }

    private static HttpClient Client(JsonNode world, string slot)
    {
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        policy.CustomTrustStore.Add(X509CertificateLoader.LoadCertificateFromFile((string)world["certificateAuthority"]!));
        return new HttpClient(new SocketsHttpHandler
        {
            UseProxy = false,
            SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = policy },
            ConnectCallback = async (_, cancellationToken) =>
            {
                var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
                await socket.ConnectAsync(
                    IPAddress.Parse((string)world["slots"]![slot]!["address"]!), (int)world["httpsPort"]!, cancellationToken);
                return new NetworkStream(socket, ownsSocket: true);
            },
        });
    }
}
