using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Rehearsal.Tests.Aether;

/// <summary>As much of Redis as the stand-in uses, so that these tests need nothing but their own project.</summary>
internal sealed class MiniRedis : IAsyncDisposable
{
    public const string Password = "s3cret";

    private readonly ConcurrentDictionary<(int Database, string Key), string> _values = new();
    private readonly ConcurrentDictionary<Socket, byte> _open = new();
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly Task _accepting;

    public MiniRedis()
    {
        _listener.Start();
        _accepting = AcceptAsync();
    }

    public string this[int database, string key]
    {
        get => _values[(database, key)];
        set => _values[(database, key)] = value;
    }

    public bool Has(int database, string key) => _values.ContainsKey((database, key));

    public string Url(int database) => string.Create(
        CultureInfo.InvariantCulture, $"redis://:{Password}@127.0.0.1:{((IPEndPoint)_listener.LocalEndpoint).Port}/{database}");

    public async ValueTask DisposeAsync()
    {
        _listener.Stop();
        foreach (var socket in _open.Keys)
        {
            socket.Dispose();
        }

        await _accepting;
    }

    private static string Bulk(string? value) => value is null ? "$-1\r\n" : $"${value.Length}\r\n{value}\r\n";

    private static async Task<List<string>?> ReadAsync(StreamReader reader)
    {
        if (await reader.ReadLineAsync() is not { } header)
        {
            return null;
        }

        var words = new List<string>();
        for (var left = int.Parse(header[1..], CultureInfo.InvariantCulture); left > 0; left--)
        {
            var length = int.Parse((await reader.ReadLineAsync())![1..], CultureInfo.InvariantCulture);
            var buffer = new char[length + 2];
            await reader.ReadBlockAsync(buffer);
            words.Add(new string(buffer, 0, length));
        }

        return words;
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                var socket = await _listener.AcceptSocketAsync();
                _open[socket] = 0;
                _ = ServeAsync(socket);
            }
        }
        catch (Exception stopped) when (stopped is SocketException or ObjectDisposedException)
        {
            // The test is over.
        }
    }

    private async Task ServeAsync(Socket socket)
    {
        try
        {
            await using var stream = new NetworkStream(socket, ownsSocket: true);

            // Latin-1 keeps bytes and characters one to one, so that lengths are right.
            using var reader = new StreamReader(stream, Encoding.Latin1);
            var database = 0;
            var known = false;
            while (await ReadAsync(reader) is { } words)
            {
                var name = words[0].ToUpperInvariant();
                if (name == "SELECT")
                {
                    database = int.Parse(words[1], CultureInfo.InvariantCulture);
                }

                known |= name == "AUTH" && words[^1] == Password;

                // HELLO is newer than what is imitated here: clients then go on with AUTH and RESP 2.
                var reply = known || name is "AUTH" or "HELLO"
                    ? Answer(name, words, database, known)
                    : "-NOAUTH Authentication required.\r\n";
                await stream.WriteAsync(Encoding.Latin1.GetBytes(reply));
            }
        }
        catch (Exception gone) when (gone is IOException or ObjectDisposedException)
        {
            // The client or the test is gone.
        }
        finally
        {
            _open.TryRemove(socket, out _);
        }
    }

    private string Answer(string name, List<string> words, int database, bool known)
    {
        switch (name)
        {
            case "AUTH":
                return known ? "+OK\r\n" : "-WRONGPASS invalid username-password pair\r\n";
            case "SELECT" or "CLIENT":
                return "+OK\r\n";
            case "PING":
                return "+PONG\r\n";
            case "ECHO":
                return Bulk(words[1]);
            case "INFO":
                return Bulk("# Server\r\nredis_version:7.2.0\r\nredis_mode:standalone\r\nrole:master\r\n");
            case "GET":
                return Bulk(_values.GetValueOrDefault((database, words[1])));
            case "SETEX":
                _values[(database, words[1])] = words[3];
                return "+OK\r\n";
            case "SET":
                _values[(database, words[1])] = words[2];
                return "+OK\r\n";
            default:
                return $"-ERR unknown command '{name}'\r\n";
        }
    }
}
