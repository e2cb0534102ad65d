using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Time.Testing;
using Rehearsal.Cluster;

namespace Rehearsal.Tests.Cluster;

/// <summary>
/// Fault <c>cluster-unreliable</c>: every way to fail is met, each as a real server's, and an answered failure was not applied.
/// </summary>
public sealed class UnreliabilityTests
{
    private const string Maps = "/api/v1/namespaces/test/configmaps";

    private TestCluster _cluster = null!;
    private FakeTimeProvider _clock = null!;
    private string? _fault;

    [SetUp]
    public async Task StartAsync()
    {
        _fault = null;
        _clock = new FakeTimeProvider(TimeProvider.System.GetUtcNow());
        _cluster = await TestCluster.StartAsync(
            fault: name => name == "cluster-unreliable" ? Volatile.Read(ref _fault) : null, time: _clock);
    }

    [TearDown]
    public async Task StopAsync() => await _cluster.DisposeAsync();

    [Test]
    public async Task Writes_fail_in_every_way_and_only_a_lost_answer_was_applied()
    {
        Volatile.Write(ref _fault, "3:1");
        var seen = new List<(string Outcome, bool Applied)>();
        for (var i = 0; i < 40; i++)
        {
            var outcome = await CreateAsync($"m{i}");
            seen.Add((outcome, _cluster.Store.Get(new ObjectKey("", "configmaps", "test", $"m{i}")) is not null));
        }

        Assert.That(
            seen.Select(s => s.Outcome).Distinct(),
            Is.EquivalentTo(new[] { "409 Conflict", "429 TooManyRequests", "500 ", "503 ServiceUnavailable", "cut" }));
        Assert.That(seen.Where(s => s.Outcome != "cut").Select(s => s.Applied), Has.None.True, "an answered failure");
        Assert.That(seen.Where(s => s.Outcome == "cut").Select(s => s.Applied).Distinct(), Has.Exactly(2).Items, "resets and lost answers");
    }

    [Test]
    public async Task Reads_fail_too_but_not_with_a_conflict()
    {
        Volatile.Write(ref _fault, "3:1");
        var seen = new HashSet<string>();
        for (var i = 0; i < 30; i++)
        {
            seen.Add(await OutcomeAsync(() => _cluster.Client.GetAsync(Maps)));
        }

        Assert.That(seen, Is.EquivalentTo(new[] { "429 TooManyRequests", "500 ", "503 ServiceUnavailable", "cut" }));
    }

    [Test]
    public async Task A_busy_server_says_when_to_come_again()
    {
        // This seed draws a busy server first.
        Volatile.Write(ref _fault, "18:1");
        using var answer = await _cluster.Client.GetAsync(Maps);
        Assert.That(answer.StatusCode, Is.EqualTo(HttpStatusCode.TooManyRequests));
        Assert.That(answer.Headers.RetryAfter?.Delta, Is.EqualTo(TimeSpan.FromSeconds(1)));
    }

    [Test]
    public async Task A_hanging_write_is_cut_after_15_seconds_and_not_applied()
    {
        // This seed draws a hang first.
        Volatile.Write(ref _fault, "4:1");
        var begun = _clock.GetUtcNow();
        Assert.That(await CreateAsync("m"), Is.EqualTo("cut"));
        Assert.That(_clock.GetUtcNow() - begun, Is.GreaterThanOrEqualTo(TimeSpan.FromSeconds(15)));
        Assert.That(_cluster.Store.Get(new ObjectKey("", "configmaps", "test", "m")), Is.Null);
    }

    [Test]
    public async Task The_same_seed_draws_the_same_failures_and_the_rate_how_many()
    {
        async Task<List<string>> TwentyAsync(string setting)
        {
            Volatile.Write(ref _fault, new string(setting.AsSpan()));
            var outcomes = new List<string>();
            for (var i = 0; i < 20; i++)
            {
                outcomes.Add(await OutcomeAsync(() => _cluster.Client.GetAsync(Maps)));
            }

            return outcomes;
        }

        var first = await TwentyAsync("11:0.5");
        Assert.That(await TwentyAsync("11:0.5"), Is.EqualTo(first));
        Assert.That(first.Count(outcome => outcome == "200"), Is.InRange(4, 16), string.Join(", ", first));
        Assert.That(await TwentyAsync("11:0"), Is.All.EqualTo("200"));
    }

    [TestCase("1:1:torture", "torture/1.0")]
    [TestCase("1:1", ApiServer.OwnAgent + "1")]
    public async Task A_spared_client_and_the_worlds_own_meet_no_failure(string setting, string agent)
    {
        Volatile.Write(ref _fault, setting);
        for (var i = 0; i < 10; i++)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, Maps);
            request.Headers.TryAddWithoutValidation("User-Agent", agent);
            using var answer = await _cluster.Client.SendAsync(request);
            Assert.That(answer.StatusCode, Is.EqualTo(HttpStatusCode.OK));
        }
    }

    private Task<string> CreateAsync(string name) => OutcomeAsync(async () =>
    {
        var map = new JsonObject { ["metadata"] = new JsonObject { ["name"] = name } };
        using var body = new StringContent(map.ToJsonString(), Encoding.UTF8, "application/json");
        return await _cluster.Client.PostAsync(Maps, body);
    });

    // A hang is over when the server's clock says so.
    private async Task<string> OutcomeAsync(Func<Task<HttpResponseMessage>> call)
    {
        try
        {
            var calling = call();
            while (!calling.IsCompleted)
            {
                await Task.WhenAny(calling, Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System));
                _clock.Advance(TimeSpan.FromSeconds(1));
            }

            using var answer = await calling;
            var status = JsonNode.Parse(await answer.Content.ReadAsStringAsync())!;
            return answer.IsSuccessStatusCode ? $"{(int)answer.StatusCode}" : $"{(int)answer.StatusCode} {(string?)status["reason"]}";
        }
        catch (HttpRequestException)
        {
            return "cut";
        }
    }
}
