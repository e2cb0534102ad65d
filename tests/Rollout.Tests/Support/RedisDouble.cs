using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Rollout.Tests.Support;

/// <summary>As much of Redis (RESP2, with a password) as reading and writing strings needs.</summary>
internal sealed class RedisDouble : IAsyncDisposable
{
    // One byte a character: clients echo random bytes to see that nothing is changed on the way.
    private static readonly Encoding Wire = Encoding.Latin1;

    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentBag<Task> _clients = [];
    private readonly string _password;
    private Task _accepting = Task.CompletedTask;

    private RedisDouble(string password) => _password = password;

    /// <summary>Database number and key to value.</summary>
    public ConcurrentDictionary<(int Database, string Key), string> Values { get; } = new();

    /// <summary>Whether writes are acknowledged and dropped.</summary>
    public bool Forgets { get; set; }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    public static RedisDouble Start(string password)
    {
        var redis = new RedisDouble(password);
        redis._listener.Start();
        redis._accepting = redis.AcceptAsync();
        return redis;
    }

    public async ValueTask DisposeAsync()
    {
        if (_stop.IsCancellationRequested)
        {
            return;
        }

        await _stop.CancelAsync();
        _listener.Stop();
        await _accepting;
        await Task.WhenAll(_clients);
    }

    private async Task AcceptAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                _clients.Add(ServeAsync(await _listener.AcceptTcpClientAsync(_stop.Token)));
            }
            catch (Exception exception) when (exception is OperationCanceledException or SocketException or ObjectDisposedException)
            {
                return;
            }
        }
    }

    private async Task ServeAsync(TcpClient client)
    {
        using (client)
        {
            var stream = client.GetStream();
            var database = 0;
            var known = false;
            try
            {
                while (await ReadCommandAsync(stream) is { } command)
                {
                    var reply = command[0].ToUpperInvariant() switch
                    {
                        "AUTH" => (known = command[^1] == _password)
                            ? "+OK\r\n"
                            : "-WRONGPASS invalid username-password pair or user is disabled.\r\n",
                        "HELLO" => "-ERR unknown command 'HELLO'\r\n",
                        _ when !known => "-NOAUTH Authentication required.\r\n",
                        "SELECT" =>
                            (database = int.Parse(command[1], System.Globalization.CultureInfo.InvariantCulture)) >= 0 ? "+OK\r\n" : "",
                        "PING" => "+PONG\r\n",
                        "ECHO" => Bulk(command[1]),
                        "INFO" => Bulk("redis_version:7.2.0\r\nredis_mode:standalone\r\nrole:master\r\n"),
                        "CLIENT" => command[1].Equals("ID", StringComparison.OrdinalIgnoreCase) ? ":1\r\n" : "+OK\r\n",
                        "SUBSCRIBE" => $"*3\r\n{Bulk("subscribe")}{Bulk(command[1])}:1\r\n",
                        "GET" => Values.TryGetValue((database, command[1]), out var value) ? Bulk(value) : "$-1\r\n",
                        "SET" => Set(database, command[1], command[2]),
                        _ => $"-ERR unknown command '{command[0]}'\r\n",
                    };
                    await stream.WriteAsync(Wire.GetBytes(reply), _stop.Token);
                }
            }
            catch (Exception exception) when (exception is IOException or OperationCanceledException)
            {
                // The client left, or the test is over.
            }
        }
    }

    private static string Bulk(string text) => $"${Wire.GetByteCount(text)}\r\n{text}\r\n";

    private string Set(int database, string key, string value)
    {
        if (!Forgets)
        {
            Values[(database, key)] = value;
        }

        return "+OK\r\n";
    }

    private async Task<List<string>?> ReadCommandAsync(NetworkStream stream)
    {
        if (await ReadLineAsync(stream) is not { } head)
        {
            return null;
        }

        var command = new List<string>();
        for (var i = int.Parse(head[1..], System.Globalization.CultureInfo.InvariantCulture); i > 0; i--)
        {
            var length = int.Parse((await ReadLineAsync(stream))![1..], System.Globalization.CultureInfo.InvariantCulture);
            var bytes = new byte[length + 2];
            await stream.ReadExactlyAsync(bytes, _stop.Token);
            command.Add(Wire.GetString(bytes, 0, length));
        }

        return command;
    }

    private async Task<string?> ReadLineAsync(NetworkStream stream)
    {
        var line = new StringBuilder();
        var one = new byte[1];
        while (await stream.ReadAsync(one, _stop.Token) == 1)
        {
            if (one[0] == '\n')
            {
                return line.ToString().TrimEnd('\r');
            }

            line.Append((char)one[0]);
        }

        return null;
    }
}
