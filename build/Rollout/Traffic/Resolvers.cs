using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using DnsClient;
using DnsClient.Protocol;

namespace Rollout.Traffic;

/// <summary>What a caching resolver says of a host.</summary>
/// <param name="Host">The production name.</param>
/// <param name="Resolver">Which resolver, as <c>address:port</c>.</param>
/// <param name="Address">The IPv4 address that it sends clients to; null where it gives none.</param>
/// <param name="TtlSeconds">For how long it will go on saying so.</param>
/// <param name="Problem">Why there is no address, in words; null where there is one.</param>
public sealed record CachedAnswer(string Host, string Resolver, string? Address, int TtlSeconds, string? Problem);

/// <summary>
/// Caching resolvers, asked as clients ask them. One shows only what one cache holds (RFC 2181 lets it keep an answer for its TTL), so
/// what they say informs and gates nothing; <see cref="NameServers"/> gates.
/// </summary>
/// <param name="resolvers"><c>address[:port]</c>; empty means the machine's own.</param>
public sealed class Resolvers(IReadOnlyList<string> resolvers)
{
    private const int AtOnce = 16;

    /// <summary>Asks every resolver for every host, one try each.</summary>
    /// <exception cref="RolloutException">A resolver is no address.</exception>
    public async Task<IReadOnlyList<CachedAnswer>> AskAsync(IReadOnlyCollection<string> hosts, CancellationToken cancellationToken)
    {
        var asked = Clients().SelectMany(resolver => hosts.Select(host => (resolver.Name, resolver.Client, Host: host))).ToList();
        var answers = new ConcurrentDictionary<(string, string), CachedAnswer>();
        var options = new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = cancellationToken };
        await Parallel.ForEachAsync(asked, options, async (question, token) =>
            answers[(question.Name, question.Host)] = await AskAsync(question.Name, question.Client, question.Host, token));
        return [.. asked.Select(question => answers[(question.Name, question.Host)])];
    }

    private List<(string Name, LookupClient Client)> Clients()
    {
        if (resolvers.Count == 0)
        {
            return [("this machine's resolver", new LookupClient(Options(new LookupClientOptions())))];
        }

        return [.. resolvers.Select(text => IPEndPoint.TryParse(text, out var endPoint)
            ? (text, new LookupClient(Options(new LookupClientOptions(new IPEndPoint(endPoint.Address, endPoint.Port == 0 ? 53 : endPoint.Port)))))
            : throw new RolloutException(
                $"The resolver '{text}' is no address.", "Dns.Resolvers takes addresses, each with a port where it is not 53.", ExitCode.BadSettings))];
    }

    private static LookupClientOptions Options(LookupClientOptions options)
    {
        options.UseCache = false;
        options.ThrowDnsErrors = false;
        options.Retries = 1;
        options.Timeout = TimeSpan.FromSeconds(2);
        return options;
    }

    private static async Task<CachedAnswer> AskAsync(string name, LookupClient client, string host, CancellationToken cancellationToken)
    {
        try
        {
            var reply = await client.QueryAsync(host, QueryType.A, QueryClass.IN, cancellationToken);
            var records = reply.Answers.ARecords().ToList();
            return records.Count > 0
                ? new CachedAnswer(host, name, records[0].Address.ToString(), reply.Answers.Min(record => record.TimeToLive), null)
                : new CachedAnswer(host, name, null, 0, reply.HasError ? reply.Header.ResponseCode.ToString() : "no address");
        }
        catch (Exception exception) when (exception is DnsResponseException or SocketException or IOException or OperationCanceledException)
        {
            cancellationToken.ThrowIfCancellationRequested();
            return new CachedAnswer(host, name, null, 0, "no answer");
        }
    }
}
