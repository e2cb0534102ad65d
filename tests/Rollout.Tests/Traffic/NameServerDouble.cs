using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Rollout.Tests.Traffic;

/// <param name="Type">1 A, 2 NS, 5 CNAME, 28 AAAA (RFC 1035, section 3.2.2).</param>
internal sealed record DnsQuestion(string Name, ushort Type, bool Tcp, bool RecursionDesired);

internal sealed record DnsReply(params IReadOnlyList<string> Data)
{
    /// <summary>Each datum's type; null is the question's, or CNAME for a name where an address was asked for.</summary>
    public ushort? Type { get; init; }

    public byte ResponseCode { get; init; }

    public bool Authoritative { get; init; } = true;

    public bool Truncated { get; init; }
}

/// <summary>A DNS server over UDP and TCP on one loopback port; a null answer is silence.</summary>
internal sealed class NameServerDouble : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly UdpClient _udp;
    private readonly TcpListener _tcp;
    private readonly Task _serving;

    public NameServerDouble(Func<DnsQuestion, DnsReply?> answer)
    {
        (_udp, _tcp) = Listen();
        Answer = answer;
        _serving = Task.WhenAll(ServeUdpAsync(), ServeTcpAsync());
    }

    public Func<DnsQuestion, DnsReply?> Answer { get; set; }

    public IPEndPoint EndPoint => (IPEndPoint)_udp.Client.LocalEndPoint!;

    public ConcurrentQueue<DnsQuestion> Questions { get; } = new();

    public override string ToString() => EndPoint.ToString();

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _serving.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _udp.Dispose();
        _tcp.Dispose();
        _stop.Dispose();
    }

    private static (UdpClient Udp, TcpListener Tcp) Listen()
    {
        while (true)
        {
            var tcp = new TcpListener(IPAddress.Loopback, 0);
            tcp.Start();
            try
            {
                return (new UdpClient((IPEndPoint)tcp.LocalEndpoint), tcp);
            }
            catch (SocketException)
            {
                // That port is another's over UDP.
                tcp.Dispose();
            }
        }
    }

    private async Task ServeUdpAsync()
    {
        while (true)
        {
            var message = await _udp.ReceiveAsync(_stop.Token);
            if (Reply(message.Buffer, tcp: false) is { } reply)
            {
                await _udp.SendAsync(reply, message.RemoteEndPoint, _stop.Token);
            }
        }
    }

    private async Task ServeTcpAsync()
    {
        while (true)
        {
            var client = await _tcp.AcceptTcpClientAsync(_stop.Token);
            _ = ServeAsync(client);
        }

        async Task ServeAsync(TcpClient client)
        {
            using var connection = client;
            var stream = client.GetStream();
            var length = new byte[2];
            try
            {
                while (true)
                {
                    await stream.ReadExactlyAsync(length, _stop.Token);
                    var message = new byte[BinaryPrimitives.ReadUInt16BigEndian(length)];
                    await stream.ReadExactlyAsync(message, _stop.Token);
                    if (Reply(message, tcp: true) is { } reply)
                    {
                        BinaryPrimitives.WriteUInt16BigEndian(length, (ushort)reply.Length);
                        await stream.WriteAsync((byte[])[.. length, .. reply], _stop.Token);
                    }
                }
            }
            catch (Exception exception) when (exception is IOException or OperationCanceledException)
            {
                // The client has heard enough.
            }
        }
    }

    private byte[]? Reply(byte[] query, bool tcp)
    {
        var labels = new List<string>();
        var i = 12;
        for (; query[i] != 0; i += query[i] + 1)
        {
            labels.Add(Encoding.ASCII.GetString(query, i + 1, query[i]));
        }

        var end = i + 5;
        var type = BinaryPrimitives.ReadUInt16BigEndian(query.AsSpan(i + 1));
        var question = new DnsQuestion(string.Join('.', labels), type, tcp, (query[2] & 1) != 0);
        Questions.Enqueue(question);
        if (Answer(question) is not { } answer)
        {
            return null;
        }

        var reply = new List<byte>(query[..2])
        {
            (byte)(0x80 | (answer.Authoritative ? 4 : 0) | (answer.Truncated ? 2 : 0) | (query[2] & 1)),
            answer.ResponseCode,
            0, 1, 0, (byte)answer.Data.Count, 0, 0, 0, 0,
        };
        reply.AddRange(query[12..end]);
        foreach (var datum in answer.Data)
        {
            var data = IPAddress.TryParse(datum, out var address)
                ? address.GetAddressBytes()
                : [.. datum.Split('.').SelectMany(label => Encoding.ASCII.GetBytes(label).Prepend((byte)label.Length)), 0];
            var answerType = answer.Type ?? (address is null && type is 1 or 28 ? (ushort)5 : type);
            reply.AddRange([0xC0, 12, (byte)(answerType >> 8), (byte)answerType, 0, 1, 0, 0, 0, 60, 0, (byte)data.Length, .. data]);
        }

        return [.. reply];
    }
}
