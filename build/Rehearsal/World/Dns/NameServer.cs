using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Rehearsal.World;

/// <summary>
/// One authoritative name server over a <see cref="LinodeApi"/>'s zone, on UDP and TCP at the same loopback port: AA on every
/// answer of the zone, SOA with negative answers, TC when an answer does not fit, REFUSED for other zones. It serves an edit
/// only after a rendering delay of up to 200 ms, another one per server and edit, or of what the fault <c>dns-late</c> says.
/// </summary>
public sealed class NameServer : IAsyncDisposable
{
    private const int NegativeTtl = 300;

    private readonly string _name;
    private readonly Zone _zone;
    private readonly Func<string, string?> _fault;
    private readonly Socket _udp;
    private readonly Socket _tcp;
    private readonly CancellationTokenSource _stopping = new();
    private readonly Task _serving;

    private NameServer(string name, Zone zone, Func<string, string?> fault, Socket udp, Socket tcp)
    {
        _name = name;
        _zone = zone;
        _fault = fault;
        _udp = udp;
        _tcp = tcp;
        EndPoint = (IPEndPoint)udp.LocalEndPoint!;
        _serving = Task.WhenAll(ServeUdpAsync(), ServeTcpAsync());
    }

    public IPEndPoint EndPoint { get; }

    /// <summary>Serves as <c>ns1</c> or <c>ns2</c>: the name it has in NS records (before <c>.linode.com</c>) and in faults.</summary>
    public static NameServer Start(Place place, string name, LinodeApi linode)
    {
        var (udp, tcp) = place.Ports.Claim("dns-" + name, port =>
        {
            var endPoint = new IPEndPoint(IPAddress.Loopback, port);
            var datagrams = KeptPorts.Bind(endPoint, SocketType.Dgram, ProtocolType.Udp);
            try
            {
                return (datagrams, KeptPorts.Bind(endPoint, SocketType.Stream, ProtocolType.Tcp));
            }
            catch
            {
                datagrams.Dispose();
                throw;
            }
        });
        tcp.Listen(64);
        return new NameServer(name, linode.Served, place.Fault, udp, tcp);
    }

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        _udp.Dispose();
        _tcp.Dispose();
        await _serving;
        _stopping.Dispose();
    }

    internal static int DefaultTtl(Zone zone)
    {
        return zone.Ttl == 0 ? 86400 : zone.Ttl;
    }

    /// <summary>How long after an edit this server serves it.</summary>
    internal static TimeSpan RenderingDelay(Func<string, string?> fault, string name, uint serial)
    {
        if (fault("dns-late") is { } late)
        {
            var parts = late.Split(':');
            if ((parts.Length == 1 || parts[0] == name) && double.TryParse(parts[^1], CultureInfo.InvariantCulture, out var seconds))
            {
                return TimeSpan.FromSeconds(seconds);
            }
        }

        // Scattered over 0-200 ms, but the same whenever it is asked again.
        var scatter = ((serial * 2654435761u) ^ (name[^1] * 40503u)) % 200;
        return TimeSpan.FromMilliseconds(scatter);
    }

    private async Task ServeUdpAsync()
    {
        var buffer = new byte[4096];
        while (!_stopping.IsCancellationRequested)
        {
            try
            {
                var received = await _udp.ReceiveFromAsync(buffer, new IPEndPoint(IPAddress.Any, 0), _stopping.Token);
                if (DnsQuery.Parse(buffer.AsSpan(0, received.ReceivedBytes)) is { } query)
                {
                    await _udp.SendToAsync(Answer(query).ToBytes(query.MaximumSize), received.RemoteEndPoint, _stopping.Token);
                }
            }
            catch (SocketException) when (!_stopping.IsCancellationRequested)
            {
                // An asker that closed its port shows here as "connection refused"; the next one is served all the same.
            }
            catch (Exception stopped) when (stopped is OperationCanceledException or ObjectDisposedException or SocketException)
            {
                return;
            }
        }
    }

    private async Task ServeTcpAsync()
    {
        var connections = new List<Task>();
        try
        {
            while (true)
            {
                var connection = await _tcp.AcceptAsync(_stopping.Token);
                connections.RemoveAll(task => task.IsCompleted);
                connections.Add(ServeConnectionAsync(connection));
            }
        }
        catch (Exception stopped) when (stopped is OperationCanceledException or ObjectDisposedException or SocketException)
        {
            await Task.WhenAll(connections);
        }
    }

    private async Task ServeConnectionAsync(Socket connection)
    {
        try
        {
            await using var stream = new NetworkStream(connection, ownsSocket: true);
            var length = new byte[2];
            while (true)
            {
                await stream.ReadExactlyAsync(length, _stopping.Token);
                var message = new byte[BinaryPrimitives.ReadUInt16BigEndian(length)];
                await stream.ReadExactlyAsync(message, _stopping.Token);
                if (DnsQuery.Parse(message) is not { } query)
                {
                    return;
                }

                var answer = Answer(query).ToBytes(ushort.MaxValue);
                BinaryPrimitives.WriteUInt16BigEndian(length, (ushort)answer.Length);
                await stream.WriteAsync((byte[])[.. length, .. answer], _stopping.Token);
            }
        }
        catch (Exception ended) when (ended is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // The asker hung up, or the server stops.
        }
    }

    private DnsAnswer Answer(DnsQuery query)
    {
        var answer = new DnsAnswer(query);
        var name = query.Name.ToLowerInvariant();
        if (query.OperationCode != 0)
        {
            answer.Code = DnsCode.NotImplemented;
            return answer;
        }

        if (query.EdnsVersion > 0)
        {
            answer.Code = DnsCode.BadVersion;
            return answer;
        }

        if (query.Class != 1 || (name != _zone.Domain && !name.EndsWith("." + _zone.Domain, StringComparison.Ordinal)))
        {
            answer.Code = DnsCode.Refused;
            return answer;
        }

        answer.Authoritative = true;
        var version = _zone.ServedAfter(serial => RenderingDelay(_fault, _name, serial));
        var found = AnswerFromZone(answer, query, version);
        if (!found)
        {
            answer.Authority(_zone.Domain, DnsType.SOA, NegativeTtl, StartOfAuthority(version));
        }

        return answer;
    }

    private bool AnswerFromZone(DnsAnswer answer, DnsQuery query, ZoneVersion version)
    {
        // A CNAME is followed inside the zone, as authoritative servers do; more than eight in a row is a loop.
        var owner = query.Name;
        for (var hop = 0; hop < 8; hop++)
        {
            var relative = LinodeRecord.Shorten(owner, _zone.Domain);
            var records = version.Records.Where(record => record.Name == relative).ToList();
            if (records.FirstOrDefault(record => record.Type == "CNAME") is { } alias && query.Type is not (DnsType.CNAME or DnsType.ANY))
            {
                Write(answer, owner, alias);
                owner = alias.Target.TrimEnd('.');
                if (!owner.EndsWith("." + _zone.Domain, StringComparison.OrdinalIgnoreCase))
                {
                    return true;
                }

                continue;
            }

            var wanted = records.Where(record => query.Type == DnsType.ANY || record.Type == query.Type.ToString()).ToList();
            wanted.ForEach(record => Write(answer, owner, record));
            var isApex = relative.Length == 0;
            if (isApex && query.Type is DnsType.SOA or DnsType.ANY)
            {
                answer.Answer(_zone.Domain, DnsType.SOA, DefaultTtl(_zone), StartOfAuthority(version));
            }

            if (isApex && query.Type is DnsType.NS or DnsType.ANY)
            {
                answer.Answer(_zone.Domain, DnsType.NS, DefaultTtl(_zone), DnsAnswer.Name("ns1.linode.com"));
                answer.Answer(_zone.Domain, DnsType.NS, DefaultTtl(_zone), DnsAnswer.Name("ns2.linode.com"));
            }

            // A name between existing names (RFC 8020) exists although it has no record of its own.
            var exists = isApex || records.Count > 0
                || version.Records.Any(record => record.Name.EndsWith("." + relative, StringComparison.Ordinal));
            answer.Code = exists ? DnsCode.NoError : DnsCode.NameError;
            return wanted.Count > 0 || (isApex && query.Type is DnsType.SOA or DnsType.NS or DnsType.ANY);
        }

        return true;
    }

    private void Write(DnsAnswer answer, string owner, DnsRecord record)
    {
        var ttl = record.Ttl == 0 ? DefaultTtl(_zone) : record.Ttl;
        switch (record.Type)
        {
            case "A":
                answer.Answer(owner, DnsType.A, ttl, DnsAnswer.Address(record.Target));
                break;
            case "AAAA":
                answer.Answer(owner, DnsType.AAAA, ttl, DnsAnswer.Address(record.Target));
                break;
            case "TXT":
                answer.Answer(owner, DnsType.TXT, ttl, DnsAnswer.Text(record.Target));
                break;
            case "MX":
                answer.Answer(owner, DnsType.MX, ttl, DnsAnswer.MailExchange(record.Priority, record.Target));
                break;
            case "CNAME" or "NS" or "PTR":
                answer.Answer(owner, Enum.Parse<DnsType>(record.Type), ttl, DnsAnswer.Name(record.Target));
                break;
            default:
                // SRV and CAA are kept by the API and not served: no host of the platform has one.
                break;
        }
    }

    private byte[] StartOfAuthority(ZoneVersion version)
    {
        return DnsAnswer.StartOfAuthority("ns1.linode.com", "hostmaster." + _zone.Domain, version.Serial, NegativeTtl);
    }
}
