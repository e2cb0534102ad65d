using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using DnsClient;
using DnsClient.Protocol;

namespace Rollout.Traffic;

/// <summary>
/// A client's view of DNS: an answer is used until its TTL has run out, and only then is asked again, whatever has changed meanwhile. A name
/// server that fails leaves the old answer in use (RFC 8767), and that is counted; a name that has no address any more has none.
/// </summary>
/// <param name="servers"><c>address:port</c> of name servers; one that fails is followed by the next.</param>
public sealed class CachingResolver(IReadOnlyList<string> servers, TimeProvider time)
{
    /// <summary>How long a failed question, or an answer without an address, keeps the next one away.</summary>
    public static readonly TimeSpan RetryPause = TimeSpan.FromSeconds(1);

    private readonly ConcurrentDictionary<string, Entry> _entries = new(StringComparer.OrdinalIgnoreCase);
    private readonly LookupClient _lookup = new(new LookupClientOptions([.. servers.Select(IPEndPoint.Parse)])
    {
        UseCache = false,
        Recursion = false,
        ThrowDnsErrors = false,
        Retries = 1,
        Timeout = TimeSpan.FromSeconds(2),
    });

    private int _questions;
    private int _stale;

    /// <summary>How often the name servers were asked.</summary>
    public int Questions => Volatile.Read(ref _questions);

    /// <summary>How often no name server answered and an answer past its TTL stayed in use.</summary>
    public int Stale => Volatile.Read(ref _stale);

    /// <summary>The host's address; null where it has none, or none was ever heard of.</summary>
    public ValueTask<string?> ResolveAsync(string host, CancellationToken cancellationToken)
    {
        var entry = _entries.GetOrAdd(host, name => new Entry(name));
        Task<string?> asking;
        lock (entry)
        {
            if (entry.Known is { } known && time.GetElapsedTime(known.Asked) < known.Lifetime)
            {
                return ValueTask.FromResult(known.Address);
            }

            // Everybody waits for the one question under way; it belongs to nobody in particular, so nobody's patience ends it.
            asking = entry.Asking ??= AskAsync(entry);
        }

        return new ValueTask<string?>(asking.WaitAsync(cancellationToken));
    }

    private async Task<string?> AskAsync(Entry entry)
    {
        await Task.Yield();
        var asked = time.GetTimestamp();
        Interlocked.Increment(ref _questions);
        var known = await AnswerAsync(entry, asked);
        lock (entry)
        {
            entry.Known = known;
            entry.Asking = null;
        }

        return known.Address;
    }

    private async Task<Known> AnswerAsync(Entry entry, long asked)
    {
        try
        {
            var reply = await _lookup.QueryAsync(entry.Host, QueryType.A);
            if (reply.Header.ResponseCode is DnsHeaderResponseCode.NoError or DnsHeaderResponseCode.NotExistentDomain)
            {
                return reply.Answers.ARecords().FirstOrDefault() is { } record
                    ? new Known(asked, TimeSpan.FromSeconds(record.InitialTimeToLive), record.Address.ToString())
                    : new Known(asked, RetryPause, null);
            }
        }
        catch (Exception failure) when (failure is DnsResponseException or SocketException or IOException or OperationCanceledException)
        {
            // No answer: what was known stays in use.
        }

        if (entry.Known?.Address is not null)
        {
            Interlocked.Increment(ref _stale);
        }

        return new Known(time.GetTimestamp(), RetryPause, entry.Known?.Address);
    }

    /// <param name="Asked">When the question was sent: an answer is never older than it claims.</param>
    private sealed record Known(long Asked, TimeSpan Lifetime, string? Address);

    private sealed class Entry(string host)
    {
        public string Host { get; } = host;

        public Known? Known { get; set; }

        public Task<string?>? Asking { get; set; }
    }
}
