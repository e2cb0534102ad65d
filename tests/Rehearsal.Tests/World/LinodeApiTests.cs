using System.Net;
using System.Text.Json.Nodes;
using Rehearsal.World;

namespace Rehearsal.Tests.World;

public sealed class LinodeApiTests
{
    private const string Token = "linode-secret";
    private static readonly string[] Hosts = ["auth", "oms", "risk", .. Enumerable.Range(1, 40).Select(n => $"host{n}")];

    private TestPlace _place = null!;
    private LinodeApi _linode = null!;
    private HttpClient _client = null!;

    [SetUp]
    public async Task StartAsync()
    {
        _place = new TestPlace();
        _linode = await LinodeApi.StartAsync(_place.Place, Options(), CancellationToken.None);
        _client = TestPlace.Client(_linode.Address, Token);
    }

    [TearDown]
    public async Task StopAsync()
    {
        _client.Dispose();
        await _linode.DisposeAsync();
        _place.Dispose();
    }

    [Test]
    public async Task A_wrong_token_is_refused_with_Linodes_error_shape()
    {
        using var stranger = TestPlace.Client(_linode.Address, "wrong");
        using var answer = await stranger.GetAsync("domains");
        Assert.That(answer.StatusCode, Is.EqualTo(HttpStatusCode.Unauthorized));
        Assert.That((string?)(await answer.JsonAsync())["errors"]![0]!["reason"], Is.EqualTo("Invalid Token"));
    }

    [Test]
    public async Task Domains_are_found_by_filter_and_other_fields_cannot_be_filtered_on()
    {
        var found = await SendAsync(HttpMethod.Get, "domains", filter: """{"domain":"aether.example.com"}""");
        Assert.That((int)found.Body["results"]!, Is.EqualTo(1));
        Assert.That((string?)found.Body["data"]![0]!["status"], Is.EqualTo("active"));
        var refused = await SendAsync(HttpMethod.Get, "domains", filter: """{"soa_email":"x"}""");
        Assert.That(refused.Status, Is.EqualTo(HttpStatusCode.BadRequest));
    }

    [Test]
    public async Task Records_come_in_pages_that_have_to_be_read_all()
    {
        var zone = await ZoneAsync();
        var first = await SendAsync(HttpMethod.Get, $"domains/{zone}/records?page_size=25");
        var last = await SendAsync(HttpMethod.Get, $"domains/{zone}/records?page_size=25&page=2");
        Assert.That((int)first.Body["pages"]!, Is.EqualTo(2));
        Assert.That(first.Body["data"]!.AsArray(), Has.Count.EqualTo(25));
        Assert.That(first.Body["data"]!.AsArray().Count + last.Body["data"]!.AsArray().Count, Is.EqualTo((int)first.Body["results"]!));
        Assert.That(
            (await SendAsync(HttpMethod.Get, $"domains/{zone}/records?page_size=10")).Status, Is.EqualTo(HttpStatusCode.BadRequest));
        Assert.That((await SendAsync(HttpMethod.Get, $"domains/{zone}/records?page=9")).Status, Is.EqualTo(HttpStatusCode.NotFound));
    }

    [Test]
    public async Task Filters_combine()
    {
        var zone = await ZoneAsync();
        var either = await SendAsync(
            HttpMethod.Get,
            $"domains/{zone}/records",
            filter: """{"+or":[{"name":"oms"},{"name":"risk"}],"type":"A","+order_by":"name","+order":"desc"}""");
        Assert.That(either.Body["data"]!.AsArray().Select(record => (string?)record!["name"]), Is.EqualTo(new[] { "risk", "oms" }));
    }

    [TestCase(0, 0)]
    [TestCase(300, 300)]
    [TestCase(60, 30)]
    [TestCase(1000, 300)]
    [TestCase(3000, 3600)]
    [TestCase(9999999, 2419200)]
    public async Task A_TTL_is_rounded_to_the_nearest_value_on_the_list(int written, int kept)
    {
        var (zone, record) = await RecordAsync("oms");
        var changed = await SendAsync(HttpMethod.Put, $"domains/{zone}/records/{record}", new JsonObject { ["ttl_sec"] = written });
        Assert.That((int)changed.Body["ttl_sec"]!, Is.EqualTo(kept));
        var read = await SendAsync(HttpMethod.Get, $"domains/{zone}/records/{record}");
        Assert.That((int)read.Body["ttl_sec"]!, Is.EqualTo(kept));
    }

    [Test]
    public async Task A_PUT_changes_the_given_fields_only_and_never_the_type()
    {
        var (zone, record) = await RecordAsync("oms");
        var changed = await SendAsync(HttpMethod.Put, $"domains/{zone}/records/{record}", new JsonObject { ["target"] = "192.0.2.20" });
        Assert.That((string?)changed.Body["name"], Is.EqualTo("oms"));
        Assert.That((int)changed.Body["ttl_sec"]!, Is.EqualTo(5), "not rounded, since it was not written");
        var refused = await SendAsync(HttpMethod.Put, $"domains/{zone}/records/{record}", new JsonObject { ["type"] = "TXT" });
        Assert.That(refused.Status, Is.EqualTo(HttpStatusCode.BadRequest));
        Assert.That((string?)refused.Body["errors"]![0]!["field"], Is.EqualTo("type"));
    }

    [Test]
    public async Task A_full_name_inside_the_zone_is_shortened_and_a_CNAME_stands_alone()
    {
        var zone = await ZoneAsync();
        var made = await SendAsync(
            HttpMethod.Post,
            $"domains/{zone}/records",
            new JsonObject { ["type"] = "A", ["name"] = "live.aether.example.com", ["target"] = "192.0.2.1" });
        Assert.That((string?)made.Body["name"], Is.EqualTo("live"));
        var refused = await SendAsync(
            HttpMethod.Post,
            $"domains/{zone}/records",
            new JsonObject { ["type"] = "CNAME", ["name"] = "oms", ["target"] = "live.aether.example.com" });
        Assert.That(refused.Status, Is.EqualTo(HttpStatusCode.BadRequest));
    }

    [Test]
    public async Task Several_problems_are_told_at_once()
    {
        var zone = await ZoneAsync();
        var refused = await SendAsync(
            HttpMethod.Post,
            $"domains/{zone}/records",
            new JsonObject { ["type"] = "A", ["name"] = new string('x', 101), ["target"] = "nonsense" });
        Assert.That(
            refused.Body["errors"]!.AsArray().Select(error => (string?)error!["field"]), Is.EquivalentTo(new[] { "name", "target" }));
    }

    [Test]
    public async Task The_Nth_write_is_refused_and_the_fault_counts_anew_when_set_again()
    {
        var (zone, record) = await RecordAsync("oms");
        for (var round = 0; round < 2; round++)
        {
            _place.Faults.Set("linode-refuse-record", "2");
            var answers = new List<HttpStatusCode>();
            for (var write = 1; write <= 3; write++)
            {
                answers.Add((await SendAsync(HttpMethod.Put, $"domains/{zone}/records/{record}", Target($"192.0.2.{write}"))).Status);
            }

            Assert.That(answers, Is.EqualTo(new[] { HttpStatusCode.OK, HttpStatusCode.BadRequest, HttpStatusCode.OK }), $"round {round}");
        }
    }

    [Test]
    public async Task A_lost_answer_has_taken_effect()
    {
        var (zone, record) = await RecordAsync("oms");
        _place.Faults.Set("linode-lost-answer", "1");
        Assert.That(
            async () => await SendAsync(HttpMethod.Put, $"domains/{zone}/records/{record}", Target("192.0.2.99")),
            Throws.InstanceOf<HttpRequestException>());
        var read = await SendAsync(HttpMethod.Get, $"domains/{zone}/records/{record}");
        Assert.That((string?)read.Body["target"], Is.EqualTo("192.0.2.99"));
    }

    [Test]
    public async Task Busy_is_a_400_and_down_is_a_502_that_is_no_JSON()
    {
        _place.Faults.Set("linode-busy", "1");
        var busy = await SendAsync(HttpMethod.Get, "domains");
        Assert.That(busy.Status, Is.EqualTo(HttpStatusCode.BadRequest));
        Assert.That((string?)busy.Body["errors"]![0]!["reason"], Is.EqualTo("Linode busy."));
        Assert.That((await SendAsync(HttpMethod.Get, "domains")).Status, Is.EqualTo(HttpStatusCode.OK), "the second call");

        _place.Faults.Set("linode-down", "");
        using var down = await _client.GetAsync("domains");
        Assert.That(down.StatusCode, Is.EqualTo(HttpStatusCode.BadGateway));
        Assert.That(down.Content.Headers.ContentType!.MediaType, Is.EqualTo("text/html"));
    }

    [Test]
    public async Task Lists_are_limited_to_200_a_minute_and_say_when_to_come_back()
    {
        HttpResponseMessage? last = null;
        for (var call = 0; call < 201; call++)
        {
            last?.Dispose();
            last = await _client.GetAsync("domains");
        }

        using (last)
        {
            Assert.That(last!.StatusCode, Is.EqualTo(HttpStatusCode.TooManyRequests));
            Assert.That(last.Headers.RetryAfter, Is.Not.Null);
            Assert.That(last.Headers.GetValues("X-RateLimit-Remaining"), Is.EqualTo(new[] { "0" }));
        }

        _place.Clock.Advance(TimeSpan.FromMinutes(1));
        Assert.That((await SendAsync(HttpMethod.Get, "domains")).Status, Is.EqualTo(HttpStatusCode.OK));
    }

    [Test]
    public async Task The_zone_file_shows_an_edit_only_when_it_is_rendered()
    {
        _place.Faults.Set("dns-late", "30");
        var (zone, record) = await RecordAsync("oms");
        await SendAsync(HttpMethod.Put, $"domains/{zone}/records/{record}", Target("192.0.2.77"));
        Assert.That((await SendAsync(HttpMethod.Get, $"domains/{zone}/zone-file")).Body.ToJsonString(), Does.Not.Contain("192.0.2.77"));
        _place.Clock.Advance(TimeSpan.FromSeconds(31));
        Assert.That(
            (await SendAsync(HttpMethod.Get, $"domains/{zone}/zone-file")).Body.ToJsonString(), Does.Contain("oms 5 A 192.0.2.77"));
    }

    [Test]
    public async Task Writes_that_changed_a_target_are_counted_and_others_apart()
    {
        var (zone, record) = await RecordAsync("oms");
        await SendAsync(HttpMethod.Put, $"domains/{zone}/records/{record}", Target("192.0.2.77"));
        await SendAsync(HttpMethod.Put, $"domains/{zone}/records/{record}", Target("192.0.2.77"));
        await SendAsync(HttpMethod.Put, $"domains/{zone}/records/{record}", Target("no address"));
        await SendAsync(HttpMethod.Put, $"domains/{zone}/records/{record}", Target("192.0.2.78"));
        Assert.That(
            _place.Effects.ToJson().ToJsonString(), Is.EqualTo("""{"linode-record-writes":2,"linode-record-writes-repeated":1}"""));
    }

    [Test]
    public async Task A_restarted_double_has_the_same_address_and_the_same_records()
    {
        var (zone, record) = await RecordAsync("oms");
        await SendAsync(HttpMethod.Put, $"domains/{zone}/records/{record}", Target("192.0.2.55"));
        var address = _linode.Address;
        await _linode.DisposeAsync();
        _linode = await LinodeApi.StartAsync(_place.Place, Options(), CancellationToken.None);
        Assert.That(_linode.Address, Is.EqualTo(address));
        Assert.That(
            (string?)(await SendAsync(HttpMethod.Get, $"domains/{zone}/records/{record}")).Body["target"], Is.EqualTo("192.0.2.55"));
    }

    private static LinodeOptions Options()
    {
        return new LinodeOptions(Token, "aether.example.com", Hosts, IPAddress.Parse("192.0.2.10"));
    }

    private static JsonObject Target(string address)
    {
        return new JsonObject { ["target"] = address };
    }

    private async Task<long> ZoneAsync()
    {
        return (long)(await SendAsync(HttpMethod.Get, "domains", filter: """{"domain":"aether.example.com"}""")).Body["data"]![0]!["id"]!;
    }

    private async Task<(long Zone, long Record)> RecordAsync(string name)
    {
        var zone = await ZoneAsync();
        var found = await SendAsync(HttpMethod.Get, $"domains/{zone}/records", filter: new JsonObject { ["name"] = name }.ToJsonString());
        return (zone, (long)found.Body["data"]![0]!["id"]!);
    }

    private async Task<(HttpStatusCode Status, JsonNode Body)> SendAsync(
        HttpMethod method, string path, JsonObject? body = null, string? filter = null)
    {
        using var request = new HttpRequestMessage(method, path) { Content = body?.Json() };
        if (filter is not null)
        {
            request.Headers.Add("X-Filter", filter);
        }

        using var answer = await _client.SendAsync(request);
        return (answer.StatusCode, await answer.JsonAsync());
    }
}
