using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using ARSoft.Tools.Net;
using ARSoft.Tools.Net.Dns;
using ARSoft.Tools.Net.Dns.DynamicUpdate;
using Polly;
using Polly.Retry;

namespace Rollout.Traffic;

/// <summary>
/// A name server of one's own as a provider: dynamic update (RFC 2136), signed (TSIG, RFC 8945). All records of a zone change in one
/// message, which the server makes whole or not at all, and only where each record still has the target it is expected to have.
/// Questions are signed too, so that nobody between can say that a record was changed, or was not.
/// </summary>
internal sealed class DynamicUpdate : IDnsProvider
{
    private const int Connections = 8;
    private const int Tries = 6;

    // What a record takes in a message beside the part of its name left of the zone; and how far into a message names may stand that later
    // ones refer to (RFC 1035, section 4.1.4), with some left for the head. The library does not see that limit.
    private const int RecordBytes = 28;
    private const int Reach = 0x3F00;

    private static readonly (string Name, TSigAlgorithm Algorithm)[] Algorithms =
    [
        ("hmac-sha256", TSigAlgorithm.Sha256), ("hmac-sha512", TSigAlgorithm.Sha512), ("hmac-sha1", TSigAlgorithm.Sha1),
    ];

    private readonly string _server;
    private readonly EndPoint _endPoint;
    private readonly TsigKey _key;
    private readonly Fence _fence;
    private readonly TimeProvider _time;
    private readonly ResiliencePipeline _tries;

    /// <param name="server">
    /// The zones' primary: an address or a name, with a port behind a colon where it is not 53. Where zones are signed or transferred from a
    /// hidden primary, that one.
    /// </param>
    /// <param name="keyName">The key's name in the server's configuration.</param>
    /// <param name="algorithm"><c>hmac-sha256</c>, <c>hmac-sha512</c> or <c>hmac-sha1</c>.</param>
    /// <param name="key">The key in base64.</param>
    /// <param name="fence">Asked before each update: a run that lost the lock neither goes on with a flip nor takes it back.</param>
    /// <param name="time">The clock of signatures; times the pauses between tries, and the waiting for an answer.</param>
    /// <param name="progress">Told each repeated message.</param>
    /// <exception cref="RolloutException">A setting is wrong, with exit code 2.</exception>
    public DynamicUpdate(
        string server, string keyName, string algorithm, Secret key, Fence fence, TimeProvider time, IProgress<string> progress)
    {
        _server = server;
        _endPoint = EndPointOf(server);
        _key = KeyOf(keyName, algorithm, key);
        _fence = fence;
        _time = time;
        _tries = new ResiliencePipelineBuilder { TimeProvider = time }
            .AddRetry(new RetryStrategyOptions
            {
                ShouldHandle = new PredicateBuilder().Handle<NoAnswerException>(),
                MaxRetryAttempts = Tries - 1,
                BackoffType = DelayBackoffType.Exponential,
                Delay = TimeSpan.FromMilliseconds(500),
                MaxDelay = TimeSpan.FromSeconds(8),
                UseJitter = true,
                OnRetry = arguments =>
                {
                    progress.Report($"{arguments.Outcome.Exception!.Message}; asking again in {arguments.RetryDelay.TotalSeconds:0.#} s");
                    return ValueTask.CompletedTask;
                },
            })
            .Build();
    }

    /// <summary>One message a zone: there are hardly more zones than that.</summary>
    public int AtOnce => 4;

    public string Editor => $"on the name server {_server}";

    /// <inheritdoc/>
    /// <remarks>
    /// Each zone is also sent an update that changes nothing. It finds, long before the flip, a key that the zone does not take, and
    /// a name that only a wildcard answers for: no question can tell one from a record of its own.
    /// </remarks>
    public async Task<IReadOnlyList<NameRecords>> ReadAsync(IReadOnlyCollection<string> names, CancellationToken cancellationToken)
    {
        try
        {
            return await _tries.ExecuteAsync(async token => await ReadOnceAsync(names, token), cancellationToken);
        }
        catch (NoAnswerException exception)
        {
            throw exception.ToFailure();
        }
    }

    public IReadOnlyList<IReadOnlyList<RecordChange>> Batches(IReadOnlyList<RecordChange> changes) =>
        [.. changes.GroupBy(change => change.Record.Handle).Select(zone => zone.ToList())];

    public async Task WriteAsync(IReadOnlyList<RecordChange> batch, CancellationToken cancellationToken)
    {
        var state = string.Empty;
        try
        {
            await _tries.ExecuteAsync(
                async token =>
                {
                    // Before the first try for what no prerequisite covers, the TTL; before another because the last may have taken effect.
                    var pending = Pending(batch, await RecordsAsync(batch, token));
                    if (pending.Count == 0)
                    {
                        return;
                    }

                    await _fence(CancellationToken.None);
                    await UpdateAsync(batch, pending, now => state = now);
                },
                cancellationToken);
        }
        catch (NoAnswerException exception)
        {
            throw exception.ToFailure(state);
        }
    }

    public void Dispose()
    {
        // Connections live no longer than a call.
    }

    private async Task<IReadOnlyList<NameRecords>> ReadOnceAsync(IReadOnlyCollection<string> names, CancellationToken cancellationToken)
    {
        var looks = await LookAsync(names, cancellationToken);
        if (looks.Count > 0 && looks.All(look => look.IsUnsigned))
        {
            throw Refusal(looks[0].Refusal, null);
        }

        var found = new Dictionary<string, NameRecords>();
        foreach (var zone in looks.GroupBy(look => look.Problem is null ? look.Zone : null))
        {
            foreach (var name in zone.Key is null
                ? zone.Select(look => new NameRecords(look.Name, look.Records, look.Problem))
                : await TryZoneAsync(zone.Key, [.. zone], cancellationToken))
            {
                found[name.Name] = name;
            }
        }

        return [.. names.Select(name => found[name])];
    }

    private async Task UpdateAsync(IReadOnlyList<RecordChange> batch, IReadOnlyList<RecordChange> pending, Action<string> note)
    {
        var zone = batch[0].Record.Handle;
        var update = new DnsUpdateMessage { ZoneName = DomainName.Parse(zone) };
        foreach (var change in batch)
        {
            update.Prequisites.Add(Expected(change, pending.Contains(change) ? change.Record.Target : change.Target));
        }

        foreach (var change in pending)
        {
            var record = Record(change.Record, change.Target);
            update.Updates.Add(new DeleteAllRecordsUpdate(record.Name, record.RecordType));
            update.Updates.Add(new AddRecordUpdate(record));
        }

        using var connection = Connect();
        note($"; whether the records of the zone {zone} have changed is unknown");
        var reply = Believed(await connection.UpdateAsync(update, CancellationToken.None), $"the zone {zone}");
        switch (reply.Code)
        {
            case ReturnCode.NoError:
                note($" after it had accepted the update of the zone {zone}");
                break;

            // Somebody was faster than the question before; or an earlier try came late.
            case ReturnCode.NXRRSet or ReturnCode.NxDomain:
                var still = Pending(batch, await RecordsAsync(batch, CancellationToken.None));
                if (still.Count > 0)
                {
                    throw await ContradictionAsync(connection, zone, still);
                }

                return;

            default:
                throw Refusal(reply.Code, zone);
        }

        var now = await RecordsAsync(batch, CancellationToken.None);
        var strays = batch
            .Where(change => !Is(now[change], change, change.Target))
            .Select(change => $"{Named(change)} {Words(now[change])}")
            .ToList();
        if (strays.Count > 0)
        {
            throw new RolloutException(
                $"The name server {_server} accepted the update of the zone {zone}, but {string.Join("; ", strays)}.",
                "Either somebody else changed the records at the same moment, or the server named is not the primary of the zone.");
        }
    }

    /// <summary>The changes yet to be made.</summary>
    /// <exception cref="RolloutException">Some record is neither as expected nor as wanted.</exception>
    private static List<RecordChange> Pending(
        IReadOnlyList<RecordChange> batch, IReadOnlyDictionary<RecordChange, IReadOnlyList<ZoneRecord>> now)
    {
        var edits = batch
            .Where(change => !Is(now[change], change, change.Record.Target) && !Is(now[change], change, change.Target))
            .Select(change => $"{Named(change)} {Words(now[change])}, not {change.Record.Target} with a TTL of {change.Record.TtlSeconds} s")
            .ToList();
        var made = batch.Where(change => Is(now[change], change, change.Target)).ToList();
        return edits.Count == 0
            ? [.. batch.Except(made)]
            : throw new RolloutException(
                $"Somebody else changed the zone {batch[0].Record.Handle} since it was read: {string.Join("; ", edits)}. "
                    + (made.Count == 0 ? "Nothing was written." : $"{made.Count} of the {batch.Count} records are as wanted already."),
                "Find out who edits the zone; then put the records back, or start the rollout anew from the records as they are.");
    }

    // Which records the server thinks of, it does not say: it has to be asked one by one.
    private async Task<RolloutException> ContradictionAsync(TsigConnection connection, string zone, IReadOnlyList<RecordChange> pending)
    {
        var refused = new List<string>();
        foreach (var change in pending)
        {
            var question = new DnsUpdateMessage { ZoneName = DomainName.Parse(zone), Prequisites = { Expected(change, change.Record.Target) } };
            if (Believed(await connection.UpdateAsync(question, CancellationToken.None), $"the zone {zone}").Code is ReturnCode.NXRRSet or ReturnCode.NxDomain)
            {
                refused.Add(Named(change));
            }
        }

        return new RolloutException(
            $"The name server {_server} refused to update the zone {zone}: {(refused.Count == 0 ? "a record" : string.Join(", ", refused))} "
                + "did not have the target that it answers with. Nothing was written.",
            "Where a wildcard answers for a name, give it a record of its own; where somebody edits the zone right now, run the same command again.");
    }

    /// <summary>The records of a zone's names, and a problem where the zone would take no update of them.</summary>
    private async Task<IReadOnlyList<NameRecords>> TryZoneAsync(string zone, IReadOnlyList<Look> looks, CancellationToken cancellationToken)
    {
        if (looks.Sum(look => look.Records.Count * (look.Name.Length - zone.Length + RecordBytes)) > Reach)
        {
            var problem = $"the zone {zone} has {looks.Sum(look => look.Records.Count)} records of hosts, too many for one update";
            return [.. looks.Select(look => new NameRecords(look.Name, look.Records, problem))];
        }

        using var connection = Connect();
        var holders = looks.Where(look => look.Records.Count > 0).Select(look => look.Name).ToList();
        var code = await TryAsync(holders);
        if (code is not ReturnCode.NoError and not ReturnCode.NxDomain)
        {
            var refusal = Refusal(code, zone);
            return [.. looks.Select(look => new NameRecords(look.Name, look.Records, refusal.Message.TrimEnd('.')))];
        }

        var found = new List<NameRecords>();
        foreach (var look in looks)
        {
            var isOwn = look.Records.Count > 0 && (code == ReturnCode.NoError || await IsInUseAsync(look.Name));
            found.Add(isOwn
                ? new NameRecords(look.Name, look.Records)
                : new NameRecords(look.Name, [], Wildcard: look.Records.Count > 0 ? await WildcardAsync(look.Name) : null));
        }

        return found;

        async Task<string?> WildcardAsync(string name)
        {
            while (name != zone)
            {
                name = Parent(name);
                if (await IsInUseAsync($"*.{name}"))
                {
                    return $"*.{name}";
                }
            }

            return null;
        }

        async Task<bool> IsInUseAsync(string name) => await TryAsync([name]) == ReturnCode.NoError;

        async Task<ReturnCode> TryAsync(IEnumerable<string> names)
        {
            var update = new DnsUpdateMessage { ZoneName = DomainName.Parse(zone) };
            update.Prequisites.AddRange(names.Select(name => new NameIsInUsePrequisite(DomainName.Parse(name))));
            return Believed(await connection.UpdateAsync(update, cancellationToken), $"the zone {zone}").Code;
        }
    }

    private async Task<IReadOnlyDictionary<RecordChange, IReadOnlyList<ZoneRecord>>> RecordsAsync(
        IReadOnlyList<RecordChange> batch, CancellationToken cancellationToken)
    {
        var looks = (await LookAsync([.. batch.Select(change => change.Record.Host).Distinct()], cancellationToken))
            .ToDictionary(look => look.Name);
        if (looks.Values.Select(look => look.Problem).OfType<string>().Distinct().ToList() is { Count: > 0 } problems)
        {
            throw new RolloutException(
                $"The records of the zone {batch[0].Record.Handle} cannot be read: {string.Join("; ", problems)}.",
                "Since they were read before, the name server's configuration has changed; its log says how.");
        }

        return batch.ToDictionary(
            change => change,
            change => (IReadOnlyList<ZoneRecord>)[.. looks[change.Record.Host].Records.Where(record => record.Type == change.Record.Type)]);
    }

    private async Task<IReadOnlyList<Look>> LookAsync(IReadOnlyCollection<string> names, CancellationToken cancellationToken)
    {
        var looks = new ConcurrentDictionary<string, Look>();
        var options = new ParallelOptions { MaxDegreeOfParallelism = Connections, CancellationToken = cancellationToken };
        await Parallel.ForEachAsync(names.Chunk(1 + (names.Count / Connections)), options, async (some, token) =>
        {
            using var connection = Connect();
            foreach (var name in some)
            {
                looks[name] = await LookAsync(connection, name, token);
            }
        });
        return [.. names.Select(name => looks[name])];
    }

    private async Task<Look> LookAsync(TsigConnection connection, string name, CancellationToken cancellationToken)
    {
        var look = await LookAsync(connection, name, signed: true, cancellationToken);
        if (!look.IsUnsigned)
        {
            return look;
        }

        // Knot DNS refuses so even questions to a zone that does not take the key: what anybody may see tells at least which zone that is.
        var seen = await LookAsync(connection, name, signed: false, cancellationToken);
        return seen with { Problem = seen.Problem ?? Refusal(look.Refusal, seen.Zone).Message.TrimEnd('.'), Refusal = look.Refusal };
    }

    private async Task<Look> LookAsync(TsigConnection connection, string name, bool signed, CancellationToken cancellationToken)
    {
        string? zone = null;
        for (var at = name; zone is null;)
        {
            var reply = await AskAsync(at, RecordType.Soa);
            if (Problem(name, reply) is { } problem)
            {
                return new Look(name, null, [], problem, reply.Code);
            }

            var message = reply.Message!;
            var isAlias = message.AnswerRecords.OfType<CNameRecord>().Any(alias => TsigKey.Plain(alias.Name) == at);
            if (isAlias && at.Contains('.', StringComparison.Ordinal))
            {
                // The answer is about where the alias leads; an alias is never a zone's own name.
                at = Parent(at);
                continue;
            }

            zone = message.AnswerRecords.Concat(message.AuthorityRecords)
                .OfType<SoaRecord>()
                .Select(record => TsigKey.Plain(record.Name))
                .FirstOrDefault(found => at == found || at.EndsWith("." + found, StringComparison.Ordinal));
            if (zone is null)
            {
                return new Look(name, null, [], $"{name}: the name server {_server} does not say which zone it belongs to");
            }
        }

        var records = new List<ZoneRecord>();
        foreach (var type in new[] { RecordType.A, RecordType.Aaaa })
        {
            var reply = await AskAsync(name, type);
            if (Problem(name, reply) is { } problem)
            {
                return new Look(name, null, [], problem, reply.Code);
            }

            records.AddRange(reply.Message!.AnswerRecords.Where(record => TsigKey.Plain(record.Name) == name).Select(record => record switch
            {
                ARecord v4 => new ZoneRecord("A", v4.Address.ToString(), v4.TimeToLive, zone),
                AaaaRecord v6 => new ZoneRecord("AAAA", v6.Address.ToString(), v6.TimeToLive, zone),
                CNameRecord alias => new ZoneRecord("CNAME", TsigKey.Plain(alias.CanonicalName), alias.TimeToLive, zone),
                _ => null,
            }).OfType<ZoneRecord>());
        }

        // An alias is in the answers to both questions.
        return new Look(name, zone, [.. records.Distinct()]);

        async Task<Reply<DnsMessage>> AskAsync(string at, RecordType type) =>
            Believed(await connection.AskAsync(at, type, signed, cancellationToken), at, signed);
    }

    private string? Problem(string name, Reply<DnsMessage> reply) => reply switch
    {
        { Code: ReturnCode.Refused or ReturnCode.NotAuthoritive } =>
            $"{name}: no zone of the name server {_server} contains it (it answers {Words(reply.Code)})",
        { Code: not ReturnCode.NoError and not ReturnCode.NxDomain } => $"{name}: the name server {_server} answers {Words(reply.Code)}",
        { Message.IsAuthoritiveAnswer: false } =>
            $"{name}: the name server {_server} is not an authority for it"
                + (string.Join(", ", reply.Message!.AuthorityRecords.OfType<NsRecord>().Select(record => TsigKey.Plain(record.NameServer))) is { Length: > 0 } others
                    ? $", but names {others}"
                    : string.Empty),
        _ => null,
    };

    /// <summary>Lets through what the server itself said. A refusal may be anybody's: it is believed, and changes nothing.</summary>
    /// <exception cref="NoAnswerException">There is nothing that could be believed, and another try may help.</exception>
    /// <exception cref="RolloutException">Neither the first nor another try can succeed.</exception>
    private Reply<T> Believed<T>(Reply<T> reply, string subject, bool signed = true)
        where T : DnsMessageBase => reply switch
        {
            { Silence: { } silence } => throw new NoAnswerException(
                $"The name server {_server} gave no answer: {silence}",
                "Dns.UpdateServer names the primary of the zones; it has to be reachable from here over TCP."),
            { Code: ReturnCode.ServerFailure } => throw new NoAnswerException(
                $"The name server {_server} answered SERVFAIL for {subject}",
                "The name server's log says what it lacks: often a zone that is not loaded, or a disk that is full."),
            { Code: ReturnCode.BadSig } => throw new RolloutException(
                $"The name server {_server} answered BADSIG: its key '{_key.Name}' is another than ours.",
                "Secrets.DnsUpdateKey has to be the key in base64 as the server's configuration has it, and Dns.UpdateAlgorithm its algorithm."),
            { Code: ReturnCode.BadTime } => throw new RolloutException(
                $"The name server {_server} answered BADTIME: {Clocks(reply.ServerTime)}.",
                "Set the clock of this machine, or of the server (NTP): signatures are good for 5 minutes."),
            { IsSigned: false, Code: ReturnCode.NoError or ReturnCode.NxDomain or ReturnCode.NXRRSet } when signed => throw new RolloutException(
                $"The answer of the name server {_server} ({Words(reply.Code)}) is not signed with the key '{_key.Name}', so it may be anybody's.",
                "Something between this machine and the server answers in its stead, or the server signs with another key than Secrets.DnsUpdateKey."),
            _ => reply,
        };

    private RolloutException Refusal(ReturnCode code, string? zone)
    {
        var (what, hint) = code switch
        {
            ReturnCode.BadKey => (
                $"it does not know the key '{_key.Name}' or does not let it update{(zone is null ? string.Empty : " this zone")}",
                "Dns.UpdateServer has to be the zone's primary, Dns.UpdateKeyName and Dns.UpdateAlgorithm as in its configuration, "
                    + "and the zone has to let the key update it."),
            ReturnCode.Refused => (
                $"it does not let the key '{_key.Name}' make this update",
                "The zone's update policy on the server has to let the key change the hosts' A and AAAA records."),
            ReturnCode.NotAuthoritive => (
                $"it is not the primary, or does not take the key '{_key.Name}'",
                "Dns.UpdateServer has to be where the zone is edited, not a secondary; Dns.UpdateKeyName, Dns.UpdateAlgorithm and "
                    + "Secrets.DnsUpdateKey have to be as in its configuration."),
            ReturnCode.NotImplemented => ("it takes no dynamic updates", "Name a server that does (RFC 2136), or edit the zone where Dns.Provider says."),
            _ => ("it does not accept the update", "The name server's log says why."),
        };
        var where = zone is null ? string.Empty : $" for the zone {zone}";
        return new RolloutException($"The name server {_server} answered {Words(code)}{where}: {what}.", hint);
    }

    private string Clocks(DateTimeOffset? server)
    {
        var now = _time.GetUtcNow();
        return server is null
            ? $"its clock and this machine's ({now:u}) are more than 5 minutes apart"
            : $"its clock says {server:u}, this machine's {now:u}, {Waiting.Words((now - server.Value).Duration())} apart";
    }

    private static bool Is(IReadOnlyList<ZoneRecord> now, RecordChange change, string target) =>
        now is [var one] && one.TtlSeconds == change.Record.TtlSeconds && one.Target == Target(target);

    private static string Words(IReadOnlyList<ZoneRecord> records) => records switch
    {
        [] => "is gone",
        [var one] => $"has {one.Target} with a TTL of {one.TtlSeconds} s",
        _ => $"has {string.Join(" and ", records.Select(record => record.Target))}",
    };

    private static string Words(ReturnCode code) => code switch
    {
        ReturnCode.NoError => "NOERROR",
        ReturnCode.FormatError => "FORMERR",
        ReturnCode.ServerFailure => "SERVFAIL",
        ReturnCode.NotImplemented => "NOTIMP",
        ReturnCode.NotAuthoritive => "NOTAUTH",
        _ => code.ToString().ToUpperInvariant(),
    };

    private static string Named(RecordChange change) =>
        change.Record.Type == "A" ? change.Record.Host : $"the {change.Record.Type} record of {change.Record.Host}";

    private static RecordExistsValueDependantPrequisite Expected(RecordChange change, string target) => new(Record(change.Record, target));

    private static DnsRecordBase Record(HostRecord record, string target)
    {
        var name = DomainName.Parse(record.Host);
        return record.Type switch
        {
            "A" => new ARecord(name, record.TtlSeconds, IPAddress.Parse(target)),
            "AAAA" => new AaaaRecord(name, record.TtlSeconds, IPAddress.Parse(target)),
            _ => throw new InvalidOperationException($"A flip changes addresses, not {record.Type} records."),
        };
    }

    // An IPv6 address has many spellings.
    private static string Target(string target) => IPAddress.TryParse(target, out var address) ? address.ToString() : target;

    private static string Parent(string name) => name[(name.IndexOf('.', StringComparison.Ordinal) + 1)..];

    private TsigConnection Connect() => new(_endPoint, _key, _time);

    private static EndPoint EndPointOf(string server)
    {
        const int usual = 53;
        if (IPEndPoint.TryParse(server, out var endPoint))
        {
            return new IPEndPoint(endPoint.Address, endPoint.Port == 0 ? usual : endPoint.Port);
        }

        var colon = server.LastIndexOf(':');
        var name = colon < 0 ? server : server[..colon];
        var port = colon < 0
            ? usual
            : int.TryParse(server[(colon + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : 0;
        return port is >= 1 and <= 65535 && Uri.CheckHostName(name) == UriHostNameType.Dns
            ? new DnsEndPoint(name, port)
            : throw new RolloutException(
                $"The name server '{server}' is neither a name nor an address, with a port or without.",
                "Dns.UpdateServer is written as ns0.example.com, 192.0.2.53:5353 or [2001:db8::53]:5353.",
                ExitCode.BadSettings);
    }

    private static TsigKey KeyOf(string name, string algorithm, Secret key)
    {
        var known = Algorithms.Where(one => string.Equals(one.Name, algorithm.Trim().TrimEnd('.'), StringComparison.OrdinalIgnoreCase)).ToList();
        if (known.Count == 0)
        {
            throw new RolloutException(
                $"The algorithm '{algorithm}' is not one that updates can be signed with.",
                $"Dns.UpdateAlgorithm is {string.Join(", ", Algorithms.Select(one => one.Name))}.",
                ExitCode.BadSettings);
        }

        var plain = name.Trim().TrimEnd('.').ToLowerInvariant();
        if (plain.Length == 0 || !DomainName.TryParse(plain, out _))
        {
            throw new RolloutException(
                $"The key name '{name}' is not a name.", "Dns.UpdateKeyName is the key's name as in the server's configuration.", ExitCode.BadSettings);
        }

        var secret = key.Reveal().Trim();
        return secret.Length > 0 && Convert.TryFromBase64String(secret, new byte[secret.Length], out _)
            ? new TsigKey(plain, known[0].Algorithm, new Secret(secret))
            : throw new RolloutException(
                $"The secret of the key '{name}' is not base64.",
                "Secrets.DnsUpdateKey is the secret alone, as tsig-keygen or keymgr -t print it, without name or algorithm.",
                ExitCode.BadSettings);
    }

    /// <summary>What the server has at a name.</summary>
    /// <param name="Name">The name.</param>
    /// <param name="Zone">The zone that holds it; null where this server has none.</param>
    /// <param name="Records">Its address records and aliases, or a wildcard's.</param>
    /// <param name="Problem">Why they could not be changed; null where nothing is known that speaks against it.</param>
    /// <param name="Refusal">The code of the problem, of the signed question first.</param>
    private sealed record Look(
        string Name, string? Zone, IReadOnlyList<ZoneRecord> Records, string? Problem = null, ReturnCode Refusal = ReturnCode.NoError)
    {
        /// <summary>The server did not take our key for a question; PowerDNS says NOTAUTH then.</summary>
        public bool IsUnsigned => Refusal is ReturnCode.BadKey or ReturnCode.NotAuthoritive;
    }

    /// <summary>There is no answer, and another try may bring one.</summary>
    private sealed class NoAnswerException(string message, string hint) : Exception(message)
    {
        public RolloutException ToFailure(string rest = "") => new($"{Message}{rest}.", hint);
    }
}
