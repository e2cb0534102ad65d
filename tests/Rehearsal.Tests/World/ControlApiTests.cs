using System.Net;
using Rehearsal.World;

namespace Rehearsal.Tests.World;

public sealed class ControlApiTests
{
    private TestPlace _place = null!;
    private ControlApi _control = null!;
    private HttpClient _client = null!;
    private TimeSpan? _waited;
    private string? _held;

    [SetUp]
    public async Task StartAsync()
    {
        _place = new TestPlace();
        var log = Path.Combine(_place.Directory, "exchange.jsonl");
        await File.WriteAllTextAsync(log, "{\"seq\":1,\"pod\":\"a\"}\n{\"seq\":2,\"pod\":\"b\"}\n{\"seq\":3,\"po");
        _control = await ControlApi.StartAsync(
            _place.Place, Options(log), CancellationToken.None);
        _client = TestPlace.Client(_control.Address, "control-secret");
    }

    [TearDown]
    public async Task StopAsync()
    {
        _client.Dispose();
        await _control.DisposeAsync();
        _place.Dispose();
    }

    [Test]
    public async Task Faults_are_set_listed_and_cleared_and_survive_a_restart()
    {
        using var argument = new StringContent("ns2:60\n");
        using var set = await _client.PutAsync("faults/dns-late", argument);
        Assert.That(set.StatusCode, Is.EqualTo(HttpStatusCode.NoContent));
        Assert.That(await _client.GetStringAsync("faults"), Is.EqualTo("""{"dns-late":"ns2:60"}"""));
        Assert.That(Faults.Open(_place.Directory).Argument("dns-late"), Is.EqualTo("ns2:60"));
        using var cleared = await _client.DeleteAsync("faults");
        Assert.That(_place.Faults.Argument("dns-late"), Is.Null);
    }

    [Test]
    public async Task An_unknown_fault_is_refused_with_the_known_ones()
    {
        using var argument = new StringContent("");
        using var answer = await _client.PutAsync("faults/dns-lat", argument);
        Assert.That(answer.StatusCode, Is.EqualTo(HttpStatusCode.NotFound));
        Assert.That(await answer.Content.ReadAsStringAsync(), Does.Contain("dns-late"));
    }

    [Test]
    public async Task The_exchange_log_is_given_from_a_sequence_number_on_without_a_half_written_line()
    {
        Assert.That(await _client.GetStringAsync("exchange/log?after=1"), Is.EqualTo("{\"seq\":2,\"pod\":\"b\"}\n"));
    }

    [Test]
    public async Task Effects_are_given_by_name_with_their_counts()
    {
        _place.Effects.Count("sim-enter:blue");
        _place.Effects.Count("linode-record-writes");
        _place.Effects.Count("sim-enter:blue");
        Assert.That(await _client.GetStringAsync("effects"), Is.EqualTo("""{"linode-record-writes":1,"sim-enter:blue":2}"""));
    }

    [Test]
    public async Task What_is_held_is_told_and_204_where_nothing_was_within_the_wait()
    {
        using var nothing = await _client.GetAsync("cluster/held?wait=2.5");
        Assert.That((nothing.StatusCode, _waited), Is.EqualTo((HttpStatusCode.NoContent, TimeSpan.FromSeconds(2.5))));
        _held = "before:FlipDns/records/intent";
        Assert.That(await _client.GetStringAsync("cluster/held"), Is.EqualTo("""{"held":"before:FlipDns/records/intent"}"""));
        Assert.That(_waited, Is.EqualTo(TimeSpan.Zero), "without a wait");
    }

    [Test]
    public async Task Nothing_is_told_without_the_token()
    {
        using var stranger = TestPlace.Client(_control.Address, null);
        using var answer = await stranger.GetAsync("faults");
        Assert.That(answer.StatusCode, Is.EqualTo(HttpStatusCode.Unauthorized));
    }

    private ControlOptions Options(string log)
    {
        return new ControlOptions("control-secret", _place.Faults, [], log)
        {
            Effects = _place.Effects,
            Held = (patience, _) =>
            {
                _waited = patience;
                return Task.FromResult(_held);
            },
        };
    }
}
