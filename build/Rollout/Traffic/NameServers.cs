using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using DnsClient;
using DnsClient.Protocol;

namespace Rollout.Traffic;

/// <summary>
/// The authoritative name servers of the production hosts, each asked directly, past every cache: recursion off, the AA flag
/// required, over UDP and over TCP (RFC 1035, sections 4.1.1 and 4.2).
/// </summary>
/// <param name="servers">
/// <c>address:port</c>, <c>name:port</c> or either without the port; all addresses of a name are asked. Empty means the servers that the
/// NS records of the hosts' zones name.
/// </param>
/// <param name="time">Times the pauses between rounds.</param>
/// <param name="progress">Told every two seconds of a wait who answers what.</param>
/// <param name="alias">The one name that all hosts are CNAMEs of; null: each host has records of its own.</param>
/// <param name="resolver">Where names of servers and NS records are looked up; null is the machine's own resolver.</param>
public sealed class NameServers(
    IReadOnlyList<string> servers, TimeProvider time, IProgress<string> progress, string? alias = null, IPEndPoint? resolver = null)
{
    private const int AtOnce = 16;
    private const int QuickRounds = 20;
    private static readonly TimeSpan QuickPause = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan FurtherPause = TimeSpan.FromMilliseconds(1750);

    private readonly string? _alias = alias?.Trim().TrimEnd('.').ToLowerInvariant();

    /// <summary>
    /// Waits until every server answers every host with exactly this address, over UDP and TCP. Where a host is an alias into another
    /// zone, its servers need only say so, and that zone's servers are asked for the address.
    /// </summary>
    /// <param name="hosts">The production hosts.</param>
    /// <param name="address">What is to be answered; AAAA records are asked for only where it has an IPv6 address.</param>
    /// <param name="timeout">For how long.</param>
    /// <param name="cancellationToken">Stops the wait.</param>
    /// <exception cref="RolloutException">
    /// The time is up, and the message says which server answers what; or no server could be found.
    /// </exception>
    public async Task WaitUntilAllAnswerAsync(
        IReadOnlyCollection<string> hosts, SlotAddress address, TimeSpan timeout, CancellationToken cancellationToken)
    {
        var v4 = await QuestionsAsync(hosts, cancellationToken);
        IReadOnlyList<Question> everything = address.V6 is null ? v4 : [.. v4, .. v4.Select(question => question with { Type = QueryType.AAAA })];
        var pending = everything;
        var rounds = 0;
        await Waiting.UntilAsync(
            $"all name servers to answer {address} for {hosts.Count} hosts",
            async token =>
            {
                // Trading is frozen meanwhile, so the first seconds are worth many questions; a provider that renders by the minute is not.
                if (rounds++ > QuickRounds)
                {
                    await Task.Delay(FurtherPause, time, token);
                }

                var wrong = Wrong(await AskAsync(pending, token), address);
                if (wrong.Count == 0)
                {
                    // Only a round in which all are right at once counts; what was asked a moment ago over UDP is not asked again.
                    var rest = everything.Except(pending).Concat(everything.Select(question => question with { Tcp = true })).ToList();
                    wrong = Wrong(await AskAsync(rest, token), address);
                }

                pending = [.. wrong.Select(answer => answer.Question with { Tcp = false }).Distinct()];
                return wrong;
            },
            wrong => wrong.Count == 0,
            Describe,
            timeout,
            QuickPause,
            time,
            progress,
            cancellationToken);
    }

    /// <summary>
    /// What the servers say now, one try each. The value is the address where all servers that answer agree; otherwise the differing
    /// answers with <c> | </c> between them, and words where there is no address.
    /// </summary>
    /// <exception cref="RolloutException">No server could be found.</exception>
    public async Task<IReadOnlyDictionary<string, string>> AnswersAsync(
        IReadOnlyCollection<string> hosts, CancellationToken cancellationToken)
    {
        var answers = await AskAsync(await QuestionsAsync(hosts, cancellationToken), cancellationToken);
        return answers
            .GroupBy(answer => answer.Question.Host)
            .ToDictionary(
                group => group.Key,
                group => string.Join(" | ", (group.Any(answer => answer.Replied) ? group.Where(answer => answer.Replied) : group)
                    .Select(answer => answer.Words)
                    .Distinct()));
    }

    private async Task<IReadOnlyList<Question>> QuestionsAsync(IReadOnlyCollection<string> hosts, CancellationToken cancellationToken)
    {
        var names = hosts.Select(host => host.Trim().TrimEnd('.').ToLowerInvariant()).Concat(_alias is null ? [] : [_alias]).Distinct().ToList();
        var known = new Dictionary<string, IReadOnlyList<Authority>>();
        var questions = new List<Question>();
        foreach (var host in names)
        {
            var authorities = servers.Count > 0
                ? await RememberAsync(string.Empty, () => ResolveAsync(servers, cancellationToken))
                : await DiscoverAsync(host);
            questions.AddRange(authorities.Select(authority => new Question(authority, host, QueryType.A, Tcp: false)));
        }

        return questions;

        async Task<IReadOnlyList<Authority>> RememberAsync(string key, Func<Task<IReadOnlyList<Authority>>> find)
        {
            if (!known.TryGetValue(key, out var found))
            {
                known[key] = found = await find();
            }

            return found;
        }

        async Task<IReadOnlyList<Authority>> DiscoverAsync(string host)
        {
            var lookup = Resolver();
            var labels = host.Split('.');
            for (var i = 0; i < labels.Length - 1; i++)
            {
                var zone = string.Join('.', labels[i..]);
                var found = await RememberAsync(zone, async () =>
                    await ResolveAsync(await NameServersOfAsync(lookup, zone, cancellationToken), cancellationToken));
                if (found.Count > 0)
                {
                    return found;
                }
            }

            throw new RolloutException(
                $"No NS records were found for {host} or any zone above it.",
                "Name the servers in the settings, or check the machine's resolver.");
        }
    }

    private static async Task<IReadOnlyList<string>> NameServersOfAsync(
        LookupClient lookup, string zone, CancellationToken cancellationToken)
    {
        try
        {
            var answer = await lookup.QueryAsync(zone, QueryType.NS, QueryClass.IN, cancellationToken);
            return [.. answer.Answers
                .NsRecords()
                .Where(record => Plain(record.DomainName) == zone)
                .Select(record => Plain(record.NSDName))];
        }
        catch (DnsResponseException exception)
        {
            throw new RolloutException(
                $"The name servers of {zone} could not be looked up: {exception.Message}.", innerException: exception);
        }
    }

    private async Task<IReadOnlyList<Authority>> ResolveAsync(IReadOnlyList<string> names, CancellationToken cancellationToken)
    {
        var found = new List<Authority>();
        foreach (var name in names)
        {
            if (IPEndPoint.TryParse(name, out var endPoint))
            {
                found.Add(new Authority(name, new IPEndPoint(endPoint.Address, endPoint.Port == 0 ? 53 : endPoint.Port)));
                continue;
            }

            var colon = name.LastIndexOf(':');
            var port = colon < 0
                ? 53
                : int.TryParse(name[(colon + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : 0;
            if (port is < 1 or > 65535)
            {
                throw new RolloutException(
                    $"The name server '{name}' is neither a name nor an address with a port.", exitCode: ExitCode.BadSettings);
            }

            var addresses = await AddressesAsync(colon < 0 ? name : name[..colon], cancellationToken);
            var endPoints = addresses.Select(address => new IPEndPoint(address, port)).ToList();

            // A machine without IPv6 cannot ask a server's IPv6 address, and need not: it is the same server.
            var reachable = endPoints.Where(HasRoute).ToList();
            found.AddRange((reachable.Count > 0 ? reachable : endPoints).Select(address => new Authority($"{name} ({address})", address)));
        }

        return found;
    }

    private async Task<IReadOnlyList<IPAddress>> AddressesAsync(string name, CancellationToken cancellationToken)
    {
        try
        {
            if (resolver is null)
            {
                return await Dns.GetHostAddressesAsync(name, cancellationToken);
            }

            var lookup = Resolver();
            var v4 = await lookup.QueryAsync(name, QueryType.A, QueryClass.IN, cancellationToken);
            var v6 = await lookup.QueryAsync(name, QueryType.AAAA, QueryClass.IN, cancellationToken);
            IReadOnlyList<IPAddress> addresses =
                [.. v4.Answers.Concat(v6.Answers).OfType<AddressRecord>().Select(record => record.Address)];
            return addresses.Count > 0 ? addresses : throw new RolloutException($"The name server {name} has no address.");
        }
        catch (Exception exception) when (exception is SocketException or DnsResponseException)
        {
            throw new RolloutException(
                $"The address of the name server {name} could not be found: {exception.Message}.", innerException: exception);
        }
    }

    private LookupClient Resolver() => new(resolver is null
        ? new LookupClientOptions { UseCache = false }
        : new LookupClientOptions(resolver) { UseCache = false });

    private static bool HasRoute(IPEndPoint endPoint)
    {
        try
        {
            using var socket = new Socket(endPoint.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
            socket.Connect(endPoint);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private static async Task<IReadOnlyList<Answer>> AskAsync(IReadOnlyList<Question> questions, CancellationToken cancellationToken)
    {
        var answers = new ConcurrentDictionary<Question, Answer>();
        var options = new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = cancellationToken };
        await Parallel.ForEachAsync(questions, options, async (question, token) => answers[question] = await AskAsync(question, token));
        return [.. questions.Select(question => answers[question])];
    }

    private static async Task<Answer> AskAsync(Question question, CancellationToken cancellationToken)
    {
        try
        {
            var client = question.Tcp ? question.Authority.Tcp : question.Authority.Udp;
            var reply = await client.QueryAsync(question.Host, question.Type, QueryClass.IN, cancellationToken);
            var addresses = reply.Answers.OfType<AddressRecord>().Select(record => record.Address.ToString()).ToList();
            if (reply.Header.ResponseCode != DnsHeaderResponseCode.NoError)
            {
                return new Answer(question, true, false, Words(reply.Header.ResponseCode));
            }

            var words = addresses.Count > 0 ? string.Join(" and ", addresses)
                : reply.Answers.CnameRecords().LastOrDefault() is { } leads ? $"an alias of {Plain(leads.CanonicalName)}"
                : "no address";
            return reply.Header.HasAuthorityAnswer
                ? new Answer(question, true, true, words)
                : new Answer(question, true, false, $"{words}, but without authority");
        }
        catch (Exception exception) when (exception is DnsResponseException or SocketException or IOException or OperationCanceledException)
        {
            cancellationToken.ThrowIfCancellationRequested();
            return new Answer(question, false, false, "no answer");
        }
    }

    private static string Words(DnsHeaderResponseCode code) => code switch
    {
        DnsHeaderResponseCode.NotExistentDomain => "no such name (NXDOMAIN)",
        DnsHeaderResponseCode.ServerFailure => "failure (SERVFAIL)",
        DnsHeaderResponseCode.Refused => "refusal (REFUSED)",
        _ => $"error {code}",
    };

    // A host without an AAAA record leaves no client behind; one with another address does.
    private List<Answer> Wrong(IReadOnlyList<Answer> answers, SlotAddress address) =>
        [.. answers.Where(answer => !answer.Authoritative || !(answer.Words == address.TargetOf(answer.Question.Type.ToString())
            || (_alias is not null && answer.Question.Host != _alias && answer.Words == $"an alias of {_alias}")
            || (answer.Question.Type == QueryType.AAAA && answer.Words == "no address")))];

    private static string Describe(IReadOnlyList<Answer> wrong)
    {
        const int named = 4;
        return string.Join("; ", wrong
            .GroupBy(answer => (answer.Question.Authority.Name, answer.Question.Tcp, answer.Words))
            .Select(group =>
            {
                var hosts = group.Select(answer => answer.Question.Host).ToList();
                var more = hosts.Count > named ? $" and {hosts.Count - named} more" : string.Empty;
                return $"{group.Key.Name} gives {group.Key.Words}{(group.Key.Tcp ? " over TCP" : string.Empty)} for "
                    + $"{string.Join(", ", hosts.Take(named))}{more}";
            }));
    }

    private static string Plain(DnsString name) => name.Value.TrimEnd('.').ToLowerInvariant();

    private sealed record Question(Authority Authority, string Host, QueryType Type, bool Tcp);

    /// <param name="Question">What was asked of whom.</param>
    /// <param name="Replied">A DNS message came back.</param>
    /// <param name="Authoritative">It is free of errors and has the AA flag.</param>
    /// <param name="Words">The addresses, or what there was instead.</param>
    private sealed record Answer(Question Question, bool Replied, bool Authoritative, string Words);

    private sealed class Authority(string name, IPEndPoint endPoint)
    {
        public string Name { get; } = name;

        public LookupClient Udp { get; } = Client(endPoint, tcp: false);

        public LookupClient Tcp { get; } = Client(endPoint, tcp: true);

        private static LookupClient Client(IPEndPoint endPoint, bool tcp) => new(new LookupClientOptions(endPoint)
        {
            UseCache = false,
            Recursion = false,
            UseTcpOnly = tcp,
            UseTcpFallback = true,
            ThrowDnsErrors = false,
            ContinueOnDnsError = false,
            ContinueOnEmptyResponse = false,
            Retries = 1,
            Timeout = TimeSpan.FromSeconds(2),
        });
    }
}
