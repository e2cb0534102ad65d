using System.Collections.Concurrent;
using System.Globalization;
using System.IO.Enumeration;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;

namespace Rehearsal.World;

/// <summary>
/// A small Redis: strings with expiry in 16 logical databases behind one password, publish and subscribe, as far as
/// StackExchange.Redis and the platform use it. Anything else is refused as an unknown command, by name. Every write is in
/// <c>redis.json</c> before it is answered.
/// </summary>
public sealed class RedisDouble : IAsyncDisposable
{
    private readonly Place _place;
    private readonly string _password;
    private readonly Socket _listener;
    private readonly CancellationTokenSource _stopping = new();
    private readonly ConcurrentDictionary<long, RespConnection> _connections = new();
    private readonly Lock _lock = new();
    private readonly RedisKeys _keys;
    private readonly Task _serving;
    private long _lastConnection;

    private RedisDouble(Place place, string password)
    {
        _place = place;
        _password = password;
        _keys = new RedisKeys(Path.Combine(place.Directory, "redis.json"), place.Time);
        _listener = place.Ports.ClaimTcp("redis", IPAddress.Loopback);
        _listener.Listen(256);
        Address = (IPEndPoint)_listener.LocalEndPoint!;
        _serving = AcceptAsync();
    }

    public IPEndPoint Address { get; }

    public static RedisDouble Start(Place place, string password)
    {
        return new RedisDouble(place, password);
    }

    /// <summary>Writes a key from inside the world (seeding), without a connection; without a lifetime it is kept for ever.</summary>
    public void Set(int database, string key, string value, TimeSpan? lifetime = null)
    {
        lock (_lock)
        {
            _keys.Set(database, key, Encoding.UTF8.GetBytes(value), After(lifetime));
        }
    }

    /// <summary>Reads a key from inside the world; null when absent or expired.</summary>
    public string? Get(int database, string key)
    {
        lock (_lock)
        {
            return _keys.Get(database, key) is { } entry ? Encoding.UTF8.GetString(entry.Value) : null;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        _listener.Dispose();
        await _serving;
        _stopping.Dispose();
    }

    private async Task AcceptAsync()
    {
        var serving = new List<Task>();
        try
        {
            while (true)
            {
                var client = await _listener.AcceptAsync(_stopping.Token);
                client.NoDelay = true;
                serving.RemoveAll(task => task.IsCompleted);
                serving.Add(ServeAsync(client));
            }
        }
        catch (Exception stopped) when (stopped is OperationCanceledException or ObjectDisposedException or SocketException)
        {
            await Task.WhenAll(serving);
        }
    }

    private async Task ServeAsync(Socket client)
    {
        await using var connection = new RespConnection(
            new NetworkStream(client, ownsSocket: true), Interlocked.Increment(ref _lastConnection));
        _connections[connection.Id] = connection;
        try
        {
            await connection.ServeAsync(command => Answer(connection, command), _stopping.Token);
        }
        catch (Exception ended) when (ended is IOException or InvalidDataException or OperationCanceledException or ObjectDisposedException)
        {
            // The client left or broke the protocol, which Redis answers by closing, or the world stops.
        }
        finally
        {
            _connections.TryRemove(connection.Id, out _);
        }
    }

    private bool Answer(RespConnection client, byte[][] command)
    {
        var name = Encoding.ASCII.GetString(command[0]).ToUpperInvariant();
        var arguments = command.Skip(1).Select(Encoding.UTF8.GetString).ToArray();
        if (!client.IsAuthenticated && name is not ("AUTH" or "HELLO" or "QUIT"))
        {
            client.Error("NOAUTH Authentication required.");
            return true;
        }

        try
        {
            lock (_lock)
            {
                AnswerConnection(client, name, arguments, command);
            }
        }
        catch (Exception wrong) when (wrong is IndexOutOfRangeException or FormatException or OverflowException)
        {
            client.Error(wrong is IndexOutOfRangeException
                ? $"ERR wrong number of arguments for '{name.ToLowerInvariant()}' command"
                : "ERR value is not an integer or out of range");
        }

        return name != "QUIT";
    }

    private void AnswerConnection(RespConnection client, string name, string[] a, byte[][] raw)
    {
        switch (name)
        {
            case "AUTH":
                Authenticate(client, a[^1]);
                break;
            case "HELLO":
                Hello(client, a);
                break;
            case "QUIT":
                client.Ok();
                break;
            case "PING" when a.Length == 0:
                client.Simple("PONG");
                break;
            case "PING" or "ECHO":
                client.Bulk(raw[1]);
                break;
            case "SELECT":
                Select(client, a[0]);
                break;
            case "CLIENT":
                AnswerClient(client, a);
                break;
            case "INFO":
                client.Bulk(
                    "# Server\r\nredis_version:7.2.0\r\nredis_mode:standalone\r\n# Replication\r\nrole:master\r\nconnected_slaves:0\r\n");
                break;
            case "ROLE":
                client.Array(3);
                client.Bulk("master");
                client.Integer(0);
                client.Array(0);
                break;
            case "CONFIG" when a[0].Equals("GET", StringComparison.OrdinalIgnoreCase):
                AnswerConfiguration(client, a[1]);
                break;
            case "COMMAND":
                client.Array(0);
                break;
            case "TIME":
                var microseconds = (_place.Time.GetUtcNow() - DateTimeOffset.UnixEpoch).Ticks / 10;
                client.Array(2);
                client.Bulk((microseconds / 1_000_000).ToString(CultureInfo.InvariantCulture));
                client.Bulk((microseconds % 1_000_000).ToString(CultureInfo.InvariantCulture));
                break;
            case "SUBSCRIBE" or "UNSUBSCRIBE" or "PSUBSCRIBE" or "PUNSUBSCRIBE":
                RedisChannels.Subscribe(client, name, a);
                break;
            case "PUBLISH":
                client.Integer(RedisChannels.Publish(_connections.Values, a[0], raw[2], _stopping.Token));
                break;
            default:
                AnswerKeys(client, name, a, raw);
                break;
        }
    }

    private void AnswerKeys(RespConnection client, string name, string[] a, byte[][] raw)
    {
        var database = client.Database;
        switch (name)
        {
            case "GET":
                Value(client, _keys.Get(database, a[0]));
                break;
            case "MGET":
                client.Array(a.Length);
                System.Array.ForEach(a, key => Value(client, _keys.Get(database, key)));
                break;
            case "SET":
                SetWithOptions(client, a, raw[2]);
                break;
            case "SETEX" or "PSETEX":
                _keys.Set(
                    database,
                    a[0],
                    raw[3],
                    After(name == "SETEX" ? TimeSpan.FromSeconds(Number(a[1])) : TimeSpan.FromMilliseconds(Number(a[1]))));
                client.Ok();
                break;
            case "SETNX":
                var isNew = _keys.Get(database, a[0]) is null;
                if (isNew)
                {
                    _keys.Set(database, a[0], raw[2], null);
                }

                client.Integer(isNew ? 1 : 0);
                break;
            case "GETDEL":
                Value(client, _keys.Get(database, a[0]));
                _keys.Remove(database, [a[0]]);
                break;
            case "INCR" or "INCRBY" or "DECR":
                var by = name == "INCR" ? 1 : name == "DECR" ? -1 : Number(a[1]);
                var old = _keys.Get(database, a[0]);
                var sum = (old is null ? 0 : Number(Encoding.UTF8.GetString(old.Value))) + by;
                _keys.Set(database, a[0], Encoding.UTF8.GetBytes(sum.ToString(CultureInfo.InvariantCulture)), old?.Expires);
                client.Integer(sum);
                break;
            case "DEL" or "UNLINK":
                client.Integer(_keys.Remove(database, a));
                break;
            case "EXISTS":
                client.Integer(a.Count(key => _keys.Get(database, key) is not null));
                break;
            case "TYPE":
                client.Simple(_keys.Get(database, a[0]) is null ? "none" : "string");
                break;
            case "TTL" or "PTTL":
                client.Integer(TimeToLive(database, a[0], name == "TTL"));
                break;
            case "EXPIRE" or "PEXPIRE":
                client.Integer(Expire(
                    database, a[0], name == "EXPIRE" ? TimeSpan.FromSeconds(Number(a[1])) : TimeSpan.FromMilliseconds(Number(a[1]))));
                break;
            case "PERSIST":
                client.Integer(Expire(database, a[0], null));
                break;
            case "KEYS":
                Keys(client, _keys.Matching(database, a[0]));
                break;
            case "SCAN":
                // One round holds everything, so the cursor that is handed back is always the last.
                var at = System.Array.FindIndex(a, word => word.Equals("MATCH", StringComparison.OrdinalIgnoreCase));
                client.Array(2);
                client.Bulk("0");
                Keys(client, _keys.Matching(database, at < 0 ? "*" : a[at + 1]));
                break;
            case "DBSIZE":
                client.Integer(_keys.Matching(database, "*").Count);
                break;
            case "FLUSHDB":
                _keys.Remove(database, _keys.Matching(database, "*"));
                client.Ok();
                break;
            default:
                client.Error($"ERR unknown command '{name.ToLowerInvariant()}'");
                break;
        }
    }

    private bool Authenticate(RespConnection client, string password)
    {
        client.IsAuthenticated = password == _password;
        if (client.IsAuthenticated)
        {
            client.Ok();
        }
        else
        {
            client.Error("WRONGPASS invalid username-password pair or user is disabled.");
        }

        return client.IsAuthenticated;
    }

    private void Hello(RespConnection client, string[] a)
    {
        var auth = System.Array.FindIndex(a, word => word.Equals("AUTH", StringComparison.OrdinalIgnoreCase));
        if (auth >= 0)
        {
            client.IsAuthenticated = a[auth + 2] == _password;
            if (!client.IsAuthenticated)
            {
                client.Error("WRONGPASS invalid username-password pair or user is disabled.");
                return;
            }
        }

        if (!client.IsAuthenticated)
        {
            client.Error("NOAUTH HELLO must be called with the client already authenticated, or with AUTH <user> <pass>");
            return;
        }

        if (a.Length > 0 && a[0] is not ("2" or "3"))
        {
            client.Error("NOPROTO unsupported protocol version");
            return;
        }

        client.IsResp3 = a.Length > 0 ? a[0] == "3" : client.IsResp3;
        (string Name, object Value)[] facts =
        [
            ("server", "redis"),
            ("version", "7.2.0"),
            ("proto", client.IsResp3 ? 3L : 2L),
            ("id", client.Id),
            ("mode", "standalone"),
            ("role", "master"),
        ];
        client.Map(facts.Length + 1);
        foreach (var (name, value) in facts)
        {
            client.Bulk(name);
            if (value is long number)
            {
                client.Integer(number);
            }
            else
            {
                client.Bulk((string)value);
            }
        }

        client.Bulk("modules");
        client.Array(0);
    }

    private static void Select(RespConnection client, string index)
    {
        var database = Number(index);
        if (database is < 0 or >= RedisKeys.Databases)
        {
            client.Error("ERR DB index is out of range");
            return;
        }

        client.Database = (int)database;
        client.Ok();
    }

    private void AnswerClient(RespConnection client, string[] a)
    {
        switch (a[0].ToUpperInvariant())
        {
            case "SETNAME":
                client.Name = a[1];
                client.Ok();
                break;
            case "GETNAME":
                client.Bulk(client.Name);
                break;
            case "ID":
                client.Integer(client.Id);
                break;
            case "SETINFO" or "NO-EVICT" or "NO-TOUCH":
                client.Ok();
                break;
            case "LIST":
                client.Bulk(string.Concat(_connections.Values.Select(other => $"id={other.Id} name={other.Name} db={other.Database}\n")));
                break;
            default:
                client.Error($"ERR unknown subcommand '{a[0]}'. Try CLIENT HELP.");
                break;
        }
    }

    private static void AnswerConfiguration(RespConnection client, string pattern)
    {
        (string Name, string Value)[] known =
        [
            ("databases", RedisKeys.Databases.ToString(CultureInfo.InvariantCulture)),
            ("timeout", "0"),
            ("slave-read-only", "yes"),
        ];
        var asked = known.Where(setting => FileSystemName.MatchesSimpleExpression(pattern, setting.Name)).ToArray();
        client.Map(asked.Length);
        foreach (var (name, value) in asked)
        {
            client.Bulk(name);
            client.Bulk(value);
        }
    }

    private void SetWithOptions(RespConnection client, string[] a, byte[] value)
    {
        var database = client.Database;
        var old = _keys.Get(database, a[0]);
        DateTimeOffset? expires = null;
        bool onlyNew = false, onlyOld = false, answersOld = false;
        for (var i = 2; i < a.Length; i++)
        {
            switch (a[i].ToUpperInvariant())
            {
                case "EX":
                    expires = _place.Time.GetUtcNow() + TimeSpan.FromSeconds(Number(a[++i]));
                    break;
                case "PX":
                    expires = _place.Time.GetUtcNow() + TimeSpan.FromMilliseconds(Number(a[++i]));
                    break;
                case "EXAT":
                    expires = DateTimeOffset.FromUnixTimeSeconds(Number(a[++i]));
                    break;
                case "PXAT":
                    expires = DateTimeOffset.FromUnixTimeMilliseconds(Number(a[++i]));
                    break;
                case "KEEPTTL":
                    expires = old?.Expires;
                    break;
                case "NX":
                    onlyNew = true;
                    break;
                case "XX":
                    onlyOld = true;
                    break;
                case "GET":
                    answersOld = true;
                    break;
                default:
                    client.Error("ERR syntax error");
                    return;
            }
        }

        var isWritten = !(onlyNew && old is not null) && !(onlyOld && old is null);
        if (isWritten)
        {
            _keys.Set(database, a[0], value, expires);
        }

        if (answersOld)
        {
            Value(client, old);
        }
        else if (isWritten)
        {
            client.Ok();
        }
        else
        {
            client.Null();
        }
    }

    private static void Value(RespConnection client, RedisEntry? entry)
    {
        if (entry is null)
        {
            client.Null();
        }
        else
        {
            client.Bulk(entry.Value);
        }
    }

    private static void Keys(RespConnection client, List<string> keys)
    {
        client.Array(keys.Count);
        keys.ForEach(client.Bulk);
    }

    private long TimeToLive(int database, string key, bool inSeconds)
    {
        return _keys.Get(database, key) switch
        {
            null => -2,
            { Expires: null } => -1,
            var entry => (long)Math.Round((entry.Expires.Value - _place.Time.GetUtcNow()).TotalMilliseconds / (inSeconds ? 1000 : 1)),
        };
    }

    private int Expire(int database, string key, TimeSpan? lifetime)
    {
        if (_keys.Get(database, key) is not { } entry)
        {
            return 0;
        }

        _keys.Set(database, key, entry.Value, After(lifetime));
        return 1;
    }

    private DateTimeOffset? After(TimeSpan? lifetime)
    {
        return _place.Time.GetUtcNow() + lifetime;
    }

    private static long Number(string text)
    {
        return long.Parse(text, CultureInfo.InvariantCulture);
    }
}
