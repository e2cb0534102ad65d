using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using DnsClient;
using DnsClient.Protocol;
using Rehearsal.World;
using NameServer = Rehearsal.World.NameServer;

namespace Rehearsal.Tests.World;

public sealed class NameServerTests
{
    private const string Token = "linode-secret";

    private TestPlace _place = null!;
    private LinodeApi _linode = null!;
    private NameServer _first = null!;
    private NameServer _second = null!;

    [SetUp]
    public async Task StartAsync()
    {
        _place = new TestPlace();
        var place = _place.Place;
        _linode = await LinodeApi.StartAsync(
            place,
            new LinodeOptions(Token, "aether.example.com", ["oms", "auth", "a.deep"], IPAddress.Parse("192.0.2.10")),
            CancellationToken.None);
        _first = NameServer.Start(place, "ns1", _linode);
        _second = NameServer.Start(place, "ns2", _linode);
    }

    [TearDown]
    public async Task StopAsync()
    {
        await _first.DisposeAsync();
        await _second.DisposeAsync();
        await _linode.DisposeAsync();
        _place.Dispose();
    }

    [Test]
    public async Task An_address_is_answered_with_authority_over_both_protocols([Values] bool tcp)
    {
        var answer = await Client(_first, tcp).QueryAsync("oms.aether.example.com", QueryType.A);
        Assert.That(answer.Header.HasAuthorityAnswer, "AA");
        Assert.That(
            answer.Answers.ARecords().Select(record => (record.Address, record.InitialTimeToLive)),
            Is.EqualTo(new[] { (IPAddress.Parse("192.0.2.10"), 5) }));
    }

    [Test]
    public async Task Names_are_compared_without_case()
    {
        var answer = await Client(_first).QueryAsync("OMS.Aether.Example.COM", QueryType.A);
        Assert.That(answer.Answers.ARecords().Count(), Is.EqualTo(1));
    }

    [Test]
    public async Task An_unknown_name_is_NXDOMAIN_and_an_unknown_type_is_empty_both_with_SOA()
    {
        var missing = await Client(_first).QueryAsync("nobody.aether.example.com", QueryType.A);
        Assert.That(missing.Header.ResponseCode, Is.EqualTo(DnsHeaderResponseCode.NotExistentDomain));
        Assert.That(missing.Authorities.OfType<SoaRecord>().Single().Minimum, Is.EqualTo(300));
        foreach (var (name, type) in new[] { ("oms.aether.example.com", QueryType.AAAA), ("deep.aether.example.com", QueryType.A) })
        {
            var empty = await Client(_first).QueryAsync(name, type);
            Assert.That(empty.Header.ResponseCode, Is.EqualTo(DnsHeaderResponseCode.NoError), name);
            Assert.That(empty.Answers, Is.Empty, name);
            Assert.That(empty.Authorities.OfType<SoaRecord>(), Is.Not.Empty, name);
        }
    }

    [Test]
    public async Task The_zone_names_its_servers_and_other_zones_are_refused()
    {
        var servers = await Client(_first).QueryAsync("aether.example.com", QueryType.NS);
        Assert.That(
            servers.Answers.NsRecords().Select(record => record.NSDName.Value),
            Is.EquivalentTo(new[] { "ns1.linode.com.", "ns2.linode.com." }));
        var foreign = await Client(_first).QueryAsync("example.org", QueryType.A);
        Assert.That(foreign.Header.ResponseCode, Is.EqualTo(DnsHeaderResponseCode.Refused));
        Assert.That(foreign.Header.HasAuthorityAnswer, Is.False);
    }

    [Test]
    public async Task An_edit_is_served_after_the_rendering_delay_and_one_server_may_be_late()
    {
        _place.Faults.Set("dns-late", "ns2:60");
        var serial = await SerialAsync(_first);
        await PointAsync("oms", "192.0.2.20");
        Assert.That(await AddressAsync(_first), Is.EqualTo("192.0.2.10"), "at the moment of the edit");
        _place.Clock.Advance(TimeSpan.FromMilliseconds(200));
        Assert.That(await AddressAsync(_first), Is.EqualTo("192.0.2.20"), "ns1 after 200 ms");
        Assert.That(await SerialAsync(_first), Is.GreaterThan(serial));
        Assert.That(await AddressAsync(_second), Is.EqualTo("192.0.2.10"), "ns2 after 200 ms");
        _place.Clock.Advance(TimeSpan.FromSeconds(60));
        Assert.That(await AddressAsync(_second), Is.EqualTo("192.0.2.20"), "ns2 after a minute");
    }

    [Test]
    public async Task A_TTL_of_0_is_served_as_the_zones_own()
    {
        await PointAsync("oms", "192.0.2.10", ttl: 0);
        _place.Clock.Advance(TimeSpan.FromSeconds(1));
        var answer = await Client(_first).QueryAsync("oms.aether.example.com", QueryType.A);
        Assert.That(answer.Answers.ARecords().Single().InitialTimeToLive, Is.EqualTo(3600));
    }

    [Test]
    public async Task A_CNAME_is_followed_inside_the_zone()
    {
        using var client = TestPlace.Client(_linode.Address, Token);
        var zone = (await (await client.GetAsync("domains")).JsonAsync())["data"]![0]!["id"]!;
        using var body = new JsonObject { ["type"] = "CNAME", ["name"] = "trade", ["target"] = "oms.aether.example.com" }.Json();
        (await client.PostAsync($"domains/{zone}/records", body)).Dispose();
        _place.Clock.Advance(TimeSpan.FromSeconds(1));
        var answer = await Client(_first).QueryAsync("trade.aether.example.com", QueryType.A);
        Assert.That(answer.Answers.CnameRecords().Single().CanonicalName.Value, Is.EqualTo("oms.aether.example.com."));
        Assert.That(answer.Answers.ARecords().Single().Address, Is.EqualTo(IPAddress.Parse("192.0.2.10")));
    }

    [Test]
    public async Task An_answer_that_does_not_fit_is_truncated_and_whole_over_TCP()
    {
        using var client = TestPlace.Client(_linode.Address, Token);
        var zone = (await (await client.GetAsync("domains")).JsonAsync())["data"]![0]!["id"]!;
        for (var part = 0; part < 6; part++)
        {
            using var body = new JsonObject { ["type"] = "TXT", ["name"] = "long", ["target"] = new string((char)('a' + part), 250) }.Json(
                );
            (await client.PostAsync($"domains/{zone}/records", body)).Dispose();
        }

        _place.Clock.Advance(TimeSpan.FromSeconds(1));
        var fallsBack = await Client(_first).QueryAsync("long.aether.example.com", QueryType.TXT);
        Assert.That(fallsBack.Answers.TxtRecords().Count(), Is.EqualTo(6));

        var raw = await AskRawAsync(Query("long.aether.example.com", 16));
        Assert.That(raw[2] & 0x02, Is.Not.Zero, "the TC bit of an answer to a client without EDNS");
        Assert.That(raw.Length, Is.LessThanOrEqualTo(512));
        Assert.That(BinaryPrimitives.ReadUInt16BigEndian(raw.AsSpan(6)), Is.Zero, "answers in it");
    }

    [Test]
    public async Task Garbage_does_not_stop_the_server()
    {
        using var socket = new UdpClient(AddressFamily.InterNetwork);
        await socket.SendAsync(new byte[] { 1, 2, 3 }, _first.EndPoint);
        await socket.SendAsync(new byte[] { 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 63, 65 }, _first.EndPoint);
        Assert.That(await AddressAsync(_first), Is.EqualTo("192.0.2.10"));
    }

    private static LookupClient Client(NameServer server, bool tcp = false)
    {
        return new LookupClient(new LookupClientOptions(server.EndPoint)
        {
            UseCache = false,
            UseTcpOnly = tcp,
            Recursion = false,
            Retries = 0,
            ContinueOnDnsError = false,
            ThrowDnsErrors = false,
        });
    }

    private static async Task<string> AddressAsync(NameServer server)
    {
        var answer = await Client(server).QueryAsync("oms.aether.example.com", QueryType.A);
        return answer.Answers.ARecords().Single().Address.ToString();
    }

    private static async Task<uint> SerialAsync(NameServer server)
    {
        var answer = await Client(server).QueryAsync("aether.example.com", QueryType.SOA);
        return answer.Answers.OfType<SoaRecord>().Single().Serial;
    }

    private async Task PointAsync(string name, string address, int ttl = 300)
    {
        using var client = TestPlace.Client(_linode.Address, Token);
        var zone = (await (await client.GetAsync("domains")).JsonAsync())["data"]![0]!["id"]!;
        var records = (await (await client.GetAsync($"domains/{zone}/records")).JsonAsync())["data"]!.AsArray();
        var id = records.Single(record => (string?)record!["name"] == name)!["id"];
        using var body = new JsonObject { ["target"] = address, ["ttl_sec"] = ttl }.Json();
        using var answer = await client.PutAsync($"domains/{zone}/records/{id}", body);
        Assert.That(answer.IsSuccessStatusCode, $"PUT answered {answer.StatusCode}");
    }

    private async Task<byte[]> AskRawAsync(byte[] query)
    {
        using var socket = new UdpClient(AddressFamily.InterNetwork);
        await socket.SendAsync(query, _first.EndPoint);
        return (await socket.ReceiveAsync().WaitAsync(Patience.Limit)).Buffer;
    }

    private static byte[] Query(string name, byte type)
    {
        var labels = name.Split('.').SelectMany(label => (byte[])[(byte)label.Length, .. System.Text.Encoding.ASCII.GetBytes(label)]);
        return [0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, .. labels, 0, 0, type, 0, 1];
    }
}
