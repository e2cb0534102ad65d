using System.Net.Sockets;
using System.Text;
using Rehearsal.World;
using StackExchange.Redis;

namespace Rehearsal.Tests.World;

public sealed class RedisDoubleTests
{
    private TestPlace _place = null!;
    private RedisDouble _redis = null!;

    [SetUp]
    public void Start()
    {
        _place = new TestPlace();
        _redis = RedisDouble.Start(_place.Place, "secret");
    }

    [TearDown]
    public async Task StopAsync()
    {
        await _redis.DisposeAsync();
        _place.Dispose();
    }

    [Test]
    public async Task StackExchange_Redis_reads_and_writes_in_both_protocols(
        [Values(RedisProtocol.Resp2, RedisProtocol.Resp3)] RedisProtocol protocol)
    {
        await using var client = await ConnectAsync(protocol);
        var database = client.GetDatabase();
        await database.StringSetAsync("safe-mode:state", """{"active":true}""");
        Assert.That((string?)await database.StringGetAsync("safe-mode:state"), Is.EqualTo("""{"active":true}"""));
        Assert.That(await database.KeyExistsAsync("nothing"), Is.False);
        Assert.That((string?)await database.StringGetAsync("nothing"), Is.Null);
        Assert.That(await database.StringSetAsync("safe-mode:state", "x", when: When.NotExists), Is.False, "SET NX of an existing key");
        Assert.That(await database.KeyDeleteAsync("safe-mode:state"), Is.True);
        Assert.That(await database.PingAsync(), Is.GreaterThanOrEqualTo(TimeSpan.Zero));
    }

    [Test]
    public async Task Logical_databases_are_apart()
    {
        await using var client = await ConnectAsync();
        await client.GetDatabase(0).StringSetAsync("slot", "blue");
        await client.GetDatabase(1).StringSetAsync("slot", "green");
        Assert.That((string?)await client.GetDatabase(0).StringGetAsync("slot"), Is.EqualTo("blue"));
        Assert.That(_redis.Get(1, "slot"), Is.EqualTo("green"));
    }

    [Test]
    public async Task Keys_expire()
    {
        await using var client = await ConnectAsync();
        var database = client.GetDatabase();
        await database.StringSetAsync("session", "{}", TimeSpan.FromMinutes(60));
        Assert.That(await database.KeyTimeToLiveAsync("session"), Is.EqualTo(TimeSpan.FromMinutes(60)));
        _place.Clock.Advance(TimeSpan.FromMinutes(61));
        Assert.That(await database.KeyExistsAsync("session"), Is.False);
    }

    [Test]
    public async Task A_message_reaches_its_subscribers([Values(RedisProtocol.Resp2, RedisProtocol.Resp3)] RedisProtocol protocol)
    {
        await using var client = await ConnectAsync(protocol);
        var heard = new TaskCompletionSource<string?>();
        await client.GetSubscriber().SubscribeAsync(RedisChannel.Literal("ops.safe_mode"), (_, message) => heard.TrySetResult(message));
        await client.GetSubscriber().PublishAsync(RedisChannel.Literal("ops.safe_mode"), "entered");
        Assert.That(await heard.Task.WaitAsync(Patience.Limit), Is.EqualTo("entered"));
    }

    [Test]
    public void A_wrong_password_is_refused()
    {
        var options = ConfigurationOptions.Parse($"{_redis.Address},password=wrong,connectRetry=0,connectTimeout=2000");
        Assert.That(async () => await ConnectionMultiplexer.ConnectAsync(options), Throws.InstanceOf<RedisConnectionException>());
    }

    [Test]
    public async Task What_was_written_is_there_after_a_restart()
    {
        await using (var client = await ConnectAsync())
        {
            await client.GetDatabase(1).StringSetAsync("token", "\u0001binary\u00e9", TimeSpan.FromMinutes(5));
        }

        var address = _redis.Address;
        await _redis.DisposeAsync();
        _redis = RedisDouble.Start(_place.Place, "secret");
        Assert.That(_redis.Address, Is.EqualTo(address));
        Assert.That(_redis.Get(1, "token"), Is.EqualTo("\u0001binary\u00e9"));
    }

    [Test]
    public async Task Commands_may_be_pipelined_and_cut_anywhere()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(_redis.Address);
        var bytes = Encoding.ASCII.GetBytes(
            "*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n" +
            "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\nline\n\r\n" +
            "*2\r\n$3\r\nGET\r\n$1\r\na\r\n" +
            "PING\r\n" +
            "*1\r\n$5\r\nNOPE!\r\n");
        foreach (var piece in bytes.Chunk(7))
        {
            await socket.SendAsync(piece);
        }

        const string expected = "+OK\r\n+OK\r\n$5\r\nline\n\r\n+PONG\r\n-ERR unknown command 'nope!'\r\n";
        var answer = new byte[expected.Length];
        await using var stream = new NetworkStream(socket);
        await stream.ReadExactlyAsync(answer).AsTask().WaitAsync(Patience.Limit);
        Assert.That(Encoding.ASCII.GetString(answer), Is.EqualTo(expected));
    }

    private Task<ConnectionMultiplexer> ConnectAsync(RedisProtocol protocol = RedisProtocol.Resp2)
    {
        var options = ConfigurationOptions.Parse($"{_redis.Address},password=secret");
        options.Protocol = protocol;
        return ConnectionMultiplexer.ConnectAsync(options);
    }
}
