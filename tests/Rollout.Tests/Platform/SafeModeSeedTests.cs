using System.Text.Json;
using Rollout.Platform;
using Rollout.Tests.Support;

namespace Rollout.Tests.Platform;

[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class SafeModeSeedTests
{
    private static readonly DateTimeOffset Since = new(2026, 11, 23, 12, 34, 56, TimeSpan.FromHours(2));

    private readonly RedisDouble _redis = RedisDouble.Start("redis-password");

    private string Connection => $"127.0.0.1:{_redis.Port},password=redis-password,defaultDatabase=1";

    [TearDown]
    public async Task StopAsync() => await _redis.DisposeAsync();

    [Test]
    public async Task The_state_is_what_the_platform_reads_at_its_start()
    {
        var status = await SafeModeSeed.SeedAsync(Connection, "rollout v1", Since, CancellationToken.None);
        Assert.That(status.IsFor("rollout v1"), Is.True);
        var stored = JsonDocument.Parse(_redis.Values[(1, "safe-mode:state")]).RootElement;
        Assert.That(stored.GetProperty("active").GetBoolean(), Is.True);
        Assert.That(stored.GetProperty("reason").GetString(), Is.EqualTo("rollout v1"));
        Assert.That(stored.GetProperty("timestamp").GetString(), Is.EqualTo("2026-11-23T10:34:56.000000+00:00"));
        Assert.That((await SafeModeSeed.ReadAsync(Connection, CancellationToken.None))!.Since, Is.EqualTo(Since));
    }

    [Test]
    public async Task A_url_is_understood_too()
    {
        await SafeModeSeed.SeedAsync($"redis://:redis-password@127.0.0.1:{_redis.Port}/3", "rollout v1", Since, CancellationToken.None);
        Assert.That(_redis.Values.Keys, Is.EqualTo(new[] { (3, "safe-mode:state") }));
    }

    [Test]
    public async Task An_active_state_keeps_its_reason()
    {
        _redis.Values[(1, "safe-mode:state")] = """{"active":true,"reason":"somebody else","timestamp":null}""";
        var status = await SafeModeSeed.SeedAsync(Connection, "rollout v1", Since, CancellationToken.None);
        Assert.That(status.IsFor("rollout v1"), Is.False);
        Assert.That(status.Reason, Is.EqualTo("somebody else"));
    }

    [TestCase("""{"active":false,"reason":"old","timestamp":null}""")]
    [TestCase("not json")]
    [TestCase("[]")]
    public async Task An_inactive_or_broken_state_is_replaced(string state)
    {
        _redis.Values[(1, "safe-mode:state")] = state;
        Assert.That((await SafeModeSeed.SeedAsync(Connection, "rollout v1", Since, CancellationToken.None)).IsFor("rollout v1"), Is.True);
    }

    [Test]
    public async Task A_store_that_forgets_is_found_out()
    {
        _redis.Forgets = true;
        var exception = (
            await Assert.ThrowsAsync<RolloutException>(
                () => SafeModeSeed.SeedAsync(Connection, "rollout v1", Since, CancellationToken.None)))!;
        Assert.That(exception.Message, Does.Contain("does not hold it"));
    }

    [Test]
    public async Task A_store_that_is_away_is_named_without_its_password()
    {
        var port = _redis.Port;
        await _redis.DisposeAsync();
        var connection = $"127.0.0.1:{port},password=s3cret,defaultDatabase=1";
        var exception = (await Assert.ThrowsAsync<RolloutException>(() => SafeModeSeed.ReadAsync(connection, CancellationToken.None)))!;
        Assert.That(exception.Message, Does.Contain($"127.0.0.1:{port} (database 1)").And.Not.Contain("s3cret"));
    }

    [Test]
    public async Task A_session_tells_whose_it_is_and_how_long_it_lives()
    {
        _redis.Values[(1, "raw-token")] = """{"account_id":"company","expires_at":"2026-11-23T13:00:00+00:00"}""";
        var session = await SafeModeSeed.ReadSessionAsync(Connection, new Secret("raw-token"), CancellationToken.None);
        Assert.That(session, Is.EqualTo(new StoredSession("company", new DateTimeOffset(2026, 11, 23, 13, 0, 0, TimeSpan.Zero))));
        Assert.That(await SafeModeSeed.ReadSessionAsync(Connection, new Secret("unknown"), CancellationToken.None), Is.Null);
    }
}
