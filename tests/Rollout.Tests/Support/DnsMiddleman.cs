using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

namespace Rollout.Tests.Support;

/// <summary>
/// Stands between a client and a name server on TCP, passes questions on and answers back, and does to the answers of updates what a
/// bad line or a liar does.
/// </summary>
internal sealed class DnsMiddleman : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stop = new();
    private readonly int _server;
    private readonly Task _accepting;
    private int _updates;

    /// <param name="server">The name server's port.</param>
    public DnsMiddleman(int server)
    {
        _server = server;
        _listener.Start();
        _accepting = AcceptAsync();
    }

    public string Address => $"127.0.0.1:{((IPEndPoint)_listener.LocalEndpoint).Port}";

    /// <summary>What a client gets instead of the server's answer to a message; null: the line is cut.</summary>
    public Func<byte[], byte[], byte[]?> Answer { get; set; } = (_, answer) => answer;

    /// <summary>Called before a message is passed on; where it gives a task, the message waits for it.</summary>
    public Func<byte[], Task> Before { get; set; } = _ => Task.CompletedTask;

    /// <summary>How many updates came that change something.</summary>
    public int Updates => _updates;

    /// <summary>Whether a message is an update with an update section (RFC 2136, section 2).</summary>
    public static bool IsUpdate(byte[] message) => (message[2] >> 3 & 15) == 5 && BinaryPrimitives.ReadUInt16BigEndian(message.AsSpan(8)) > 0;

    /// <summary>Whether a message carries a signature: the only further record that is ever sent.</summary>
    public static bool IsSigned(byte[] message) => BinaryPrimitives.ReadUInt16BigEndian(message.AsSpan(10)) > 0;

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _accepting;
        _listener.Stop();
        _stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        var serving = new List<Task>();
        try
        {
            while (true)
            {
                serving.Add(ServeAsync(await _listener.AcceptTcpClientAsync(_stop.Token)));
            }
        }
        catch (OperationCanceledException)
        {
            // The test is over.
        }

        await Task.WhenAll(serving);
    }

    private async Task ServeAsync(TcpClient accepted)
    {
        using var client = accepted;
        using var server = new TcpClient();
        try
        {
            await server.ConnectAsync(IPAddress.Loopback, _server, _stop.Token);
            while (true)
            {
                var message = await ReceiveAsync(client);
                if (IsUpdate(message))
                {
                    Interlocked.Increment(ref _updates);
                }

                await Before(message).WaitAsync(_stop.Token);
                await SendAsync(server, message);
                if (Answer(message, await ReceiveAsync(server)) is not { } answer)
                {
                    return;
                }

                await SendAsync(client, answer);
            }
        }
        catch (Exception exception) when (exception is IOException or SocketException or OperationCanceledException)
        {
            // One of the two hung up, or the test is over.
        }
    }

    private async Task<byte[]> ReceiveAsync(TcpClient from)
    {
        var length = new byte[2];
        await from.GetStream().ReadExactlyAsync(length, _stop.Token);
        var message = new byte[BinaryPrimitives.ReadUInt16BigEndian(length)];
        await from.GetStream().ReadExactlyAsync(message, _stop.Token);
        return message;
    }

    private async Task SendAsync(TcpClient to, byte[] message)
    {
        var framed = new byte[message.Length + 2];
        BinaryPrimitives.WriteUInt16BigEndian(framed, (ushort)message.Length);
        message.CopyTo(framed, 2);
        await to.GetStream().WriteAsync(framed, _stop.Token);
    }
}
