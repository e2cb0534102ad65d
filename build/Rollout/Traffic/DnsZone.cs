using System.Net;
using System.Net.Sockets;

namespace Rollout.Traffic;

/// <summary>
/// The address records that send the production hosts' clients to a slot: an A record a host, an AAAA record beside it where there is
/// one, or in CNAME mode those of the one name that all hosts are aliases of. No provider has a transaction over all of them, so
/// <see cref="PointAsync"/> makes one: all move, or those that moved are moved back (invariant 7).
/// </summary>
public sealed class DnsZone : IDisposable
{
    private static readonly TimeSpan RestoreTime = TimeSpan.FromMinutes(2);
    private static readonly TimeSpan RestorePause = TimeSpan.FromSeconds(2);

    private readonly IDnsProvider _provider;
    private readonly string? _alias;
    private readonly TimeProvider _time;
    private readonly IProgress<string> _progress;

    /// <param name="provider">Where the records are edited.</param>
    /// <param name="alias">The one name that all hosts are CNAMEs of; null: each host has records of its own.</param>
    /// <param name="time">Times the pauses between tries and bounds the restoration.</param>
    /// <param name="progress">Told the end of a flip or restoration.</param>
    internal DnsZone(IDnsProvider provider, string? alias, TimeProvider time, IProgress<string> progress)
    {
        _provider = provider;
        _alias = alias is null ? null : Normalise(alias);
        _time = time;
        _progress = progress;
    }

    /// <summary>Reads the records that a flip would change: by host in the order given, A before AAAA.</summary>
    /// <exception cref="RolloutException">
    /// Some host cannot be flipped by changing one record of a type: it is missing, a round robin, an alias where it should not be or
    /// none where it should, or its zone cannot be edited. All problems of all hosts are in the one message.
    /// </exception>
    public async Task<IReadOnlyList<HostRecord>> ReadAsync(IReadOnlyCollection<string> hosts, CancellationToken cancellationToken)
    {
        var names = hosts.Select(Normalise).Distinct().ToList();
        if (_alias is not null && !names.Contains(_alias))
        {
            names.Add(_alias);
        }

        var problems = new List<string>();
        var found = new List<HostRecord>();
        foreach (var name in await _provider.ReadAsync(names, cancellationToken))
        {
            var refusal = name.Problem ?? (_alias is null || name.Name == _alias ? Refusal(name) : RefusalOfAlias(name, _alias));
            if (refusal is not null)
            {
                problems.Add(refusal);
            }
            else if (_alias is null || name.Name == _alias)
            {
                found.AddRange(name.Records
                    .OrderBy(record => record.Type, StringComparer.Ordinal)
                    .Select(record => new HostRecord(name.Name, record.Type, Address(record.Target), record.TtlSeconds, record.Handle)));
            }
        }

        problems = [.. problems.Distinct()];
        return problems.Count == 0
            ? found
            : throw new RolloutException(
                $"{problems.Count} problem{(problems.Count == 1 ? string.Empty : "s")} in the DNS zone: {string.Join("; ", problems)}.",
                _alias is null
                    ? "A flip changes the target of exactly one A record a host, and of one AAAA record where there is one; bring the zone into that shape first."
                    : $"Dns.Alias says that every host is a CNAME of {_alias}, whose one A record a flip changes; bring the zone into that shape, or leave Dns.Alias empty.");
    }

    /// <summary>
    /// Points every host to an address, or none. Records that already point there are not written, so a flip that was cut off can be
    /// repeated with the records as they were before it. Returns when the provider says so; the name servers follow in their time
    /// (<see cref="NameServers"/>).
    /// </summary>
    /// <param name="hosts">The production hosts.</param>
    /// <param name="to">Where they are to point.</param>
    /// <param name="intend">
    /// Called with the records as they are, before anything is written (invariant 3). Gives the records as they were before this flip
    /// began: what the zone is compared with, and restored to on failure.
    /// </param>
    /// <param name="cancellationToken">Stops the flip; the hosts already moved are moved back before this returns.</param>
    /// <returns>The records as they were before, and how many had to be written.</returns>
    /// <exception cref="RolloutException">
    /// Nothing was written (somebody else changed a record), or all hosts are back where they were before, with
    /// <see cref="ExitCode.Interrupted"/> when cancelled; with <see cref="ExitCode.Held"/> some are not, and the message says where
    /// each is.
    /// </exception>
    public async Task<(IReadOnlyList<HostRecord> Before, int Written)> PointAsync(
        IReadOnlyCollection<string> hosts,
        SlotAddress to,
        Func<IReadOnlyList<HostRecord>, Task<IReadOnlyList<HostRecord>>> intend,
        CancellationToken cancellationToken)
    {
        to = Checked(to);
        var seen = await ReadAsync(hosts, cancellationToken);
        RefuseStrandedClients(seen, to);
        var before = await intend(seen);
        RefuseForeignEdits(before, seen, to);
        var targets = seen.ToDictionary(Key, record => record.Target);
        var pending = before.Where(record => targets[Key(record)] != to.TargetOf(record.Type)).ToList();
        var changes = pending.Select(record => new RecordChange(record with { Target = targets[Key(record)] }, to.TargetOf(record.Type))).ToList();
        var attempted = new List<RecordChange>();
        var failures = await WriteAsync(changes, to, attempted, cancellationToken);
        if (failures.Count == 0 && !cancellationToken.IsCancellationRequested)
        {
            failures = await ReadBackAsync(hosts, to, cancellationToken);
        }

        if (failures.Count == 0 && !cancellationToken.IsCancellationRequested)
        {
            _progress.Report($"{Hosts(before)} point to {to} ({pending.Count} record{(pending.Count == 1 ? string.Empty : "s")} written)");
            return (before, pending.Count);
        }

        var interrupted = failures.Count == 0;
        var cause = interrupted ? $"Pointing {Hosts(before)} to {to} was interrupted" : string.Join("; ", failures);
        var old = before.ToDictionary(Key);
        var moved = Enumerable.Reverse(attempted)
            .Select(change => old[Key(change.Record)])
            .Concat(before.Except(pending).Reverse())
            .Where(record => record.Target != to.TargetOf(record.Type))
            .ToList();
        await RestoreAsync(before, moved, to, cause);
        throw new RolloutException(
            $"{cause}. {Everyone(before)} {Before(before)} again.",
            exitCode: interrupted ? ExitCode.Interrupted : ExitCode.Failed);
    }

    public void Dispose() => _provider.Dispose();

    private static SlotAddress Checked(SlotAddress to)
    {
        if (!IPAddress.TryParse(to.V4, out var v4) || v4.AddressFamily != AddressFamily.InterNetwork)
        {
            throw new RolloutException($"'{to.V4}' is not an IPv4 address, and an A record takes nothing else.");
        }

        IPAddress? v6 = null;
        if (to.V6 is not null && (!IPAddress.TryParse(to.V6, out v6) || v6.AddressFamily != AddressFamily.InterNetworkV6))
        {
            throw new RolloutException($"'{to.V6}' is not an IPv6 address, and an AAAA record takes nothing else.");
        }

        return new SlotAddress(v4.ToString(), v6?.ToString());
    }

    /// <summary>Says why these records cannot follow to an address; returns where they can.</summary>
    /// <exception cref="RolloutException">Hosts have AAAA records and the slot has no IPv6 address.</exception>
    internal static void RefuseStrandedClients(IReadOnlyList<HostRecord> records, SlotAddress to)
    {
        var stranded = records.Where(record => record.Type == "AAAA" && to.V6 is null).ToList();
        if (stranded.Count > 0)
        {
            throw new RolloutException(
                $"{string.Join(", ", stranded.Take(4).Select(record => $"{record.Host} has an AAAA record ({record.Target})"))}"
                    + $"{(stranded.Count > 4 ? $" and {stranded.Count - 4} more" : string.Empty)}, and the slot at {to} has no IPv6 address: IPv6 clients would stay behind. Nothing was written.",
                "Give both slots' load balancers an IPv6 address, or remove the AAAA records well before the rollout.");
        }
    }

    private static void RefuseForeignEdits(IReadOnlyList<HostRecord> before, IReadOnlyList<HostRecord> seen, SlotAddress to)
    {
        var now = seen.ToDictionary(Key);
        var edits = new List<string>();
        foreach (var expected in before)
        {
            var what = Named(expected);
            if (!now.Remove(Key(expected), out var found))
            {
                edits.Add($"{what} is gone");
            }
            else if (found.Handle != expected.Handle)
            {
                edits.Add($"{what} is record {found.Handle}, not {expected.Handle}");
            }
            else if (found.Target != expected.Target && found.Target != to.TargetOf(found.Type))
            {
                edits.Add($"{what} points to {found.Target}, not {expected.Target}");
            }
            else if (found.TtlSeconds != expected.TtlSeconds)
            {
                edits.Add($"{what} has a TTL of {found.TtlSeconds} s, not {expected.TtlSeconds} s");
            }
        }

        edits.AddRange(now.Values.Select(record => $"{Named(record)} is new"));
        if (edits.Count > 0)
        {
            throw new RolloutException(
                $"Somebody else changed the DNS zone since it was read: {string.Join("; ", edits)}. Nothing was written.",
                "Find out who edits the zone; then put the records back, or start the rollout anew from the records as they are.");
        }
    }

    private async Task<List<string>> WriteAsync(
        IReadOnlyList<RecordChange> changes, SlotAddress to, List<RecordChange> attempted, CancellationToken cancellationToken)
    {
        var failures = new List<string>();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var options = new ParallelOptions { MaxDegreeOfParallelism = _provider.AtOnce, CancellationToken = stop.Token };
        try
        {
            await Parallel.ForEachAsync(_provider.Batches(changes), options, async (batch, token) =>
            {
                lock (attempted)
                {
                    attempted.AddRange(batch);
                }

                try
                {
                    await _provider.WriteAsync(batch, token);
                }
                catch (Exception exception) when (
                    (!token.IsCancellationRequested || exception is not OperationCanceledException) && exception is not RolloutException { ExitCode: ExitCode.Refused })
                {
                    // Whatever it is, even a fault of our own: the hosts already moved must be moved back.
                    lock (failures)
                    {
                        failures.Add($"{Named(batch)} could not be pointed to {(batch.Count == 1 ? batch[0].Target : to)}: {exception.Message.TrimEnd('.')}");
                    }

                    await stop.CancelAsync();
                }
            });
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // A failure or the caller stopped the loop; which of the two, the list of failures tells.
        }

        return failures;
    }

    private async Task<List<string>> ReadBackAsync(IReadOnlyCollection<string> hosts, SlotAddress to, CancellationToken cancellationToken)
    {
        try
        {
            return [.. (await ReadAsync(hosts, cancellationToken))
                .Where(record => to.V6 is null && record.Type == "AAAA" || record.Target != to.TargetOf(record.Type))
                .Select(record => $"{Named(record)} reads {record.Target} after {to} was written")];
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            return [];
        }
        catch (Exception exception)
        {
            // As above: no exception may leave hosts moved.
            return [$"The hosts could not be read back: {exception.Message.TrimEnd('.')}"];
        }
    }

    /// <summary>Moves back what points to the new address; a third target is somebody else's and stays.</summary>
    private async Task RestoreAsync(IReadOnlyList<HostRecord> before, List<HostRecord> newestFirst, SlotAddress from, string cause)
    {
        if (newestFirst.Count == 0)
        {
            return;
        }

        _progress.Report($"moving {newestFirst.Count} record{(newestFirst.Count == 1 ? string.Empty : "s")} back");
        using var bound = new CancellationTokenSource(RestoreTime, _time);
        Dictionary<(string Host, string Type), string>? targets = null;
        var trouble = string.Empty;
        try
        {
            for (var round = 0; ; round++)
            {
                if (round > 1)
                {
                    await Waiting.PauseAsync(RestorePause, _time, bound.Token);
                }

                try
                {
                    targets = await TargetsAsync(newestFirst, bound.Token);
                }
                catch (RolloutException exception)
                {
                    // Without a reading, writing the old value is still right: it is what the record had before us.
                    targets = null;
                    trouble = exception.Message;
                }

                var todo = newestFirst
                    .Where(record => targets is null || targets.GetValueOrDefault(Key(record)) == from.TargetOf(record.Type))
                    .Select(record => new RecordChange(record with { Target = from.TargetOf(record.Type) }, record.Target))
                    .ToList();
                if (todo.Count == 0)
                {
                    break;
                }

                var options = new ParallelOptions { MaxDegreeOfParallelism = _provider.AtOnce, CancellationToken = bound.Token };
                var troubles = new List<string>();
                await Parallel.ForEachAsync(_provider.Batches(todo), options, async (batch, token) =>
                {
                    try
                    {
                        await _provider.WriteAsync(batch, token);
                    }
                    catch (RolloutException exception) when (exception.ExitCode != ExitCode.Refused)
                    {
                        lock (troubles)
                        {
                            troubles.Add($"{Named(batch)}: {exception.Message.TrimEnd('.')}");
                        }
                    }
                });
                if (troubles.Count > 0)
                {
                    trouble = string.Join("; ", troubles);
                }
            }
        }
        catch (OperationCanceledException) when (bound.IsCancellationRequested)
        {
            trouble = trouble.Length > 0 ? trouble : "the time was up";
        }

        var strays = newestFirst.Where(record => targets?.GetValueOrDefault(Key(record)) != record.Target).ToList();
        if (strays.Count == 0)
        {
            _progress.Report($"{Everyone(before)} {Before(before)} again");
            return;
        }

        var where = strays
            .GroupBy(record => targets is null
                ? "in an unknown place"
                : targets.TryGetValue(Key(record), out var target) ? $"at {target}" : "gone")
            .Select(group => $"{group.Key}: {string.Join(", ", group.Select(record => $"{Named(record)} (before: {record.Target})"))}");
        throw new RolloutException(
            $"{cause}. Moving the hosts back is incomplete{(trouble.Length > 0 ? $" ({trouble.TrimEnd('.')})" : string.Empty)}; "
                + $"{string.Join("; ", where)}. The other {before.Count - strays.Count} of {before.Count} {(before.All(record => record.Type == "A") ? "hosts" : "records")} {Before(before)}.",
            $"Point these hosts by hand {_provider.Editor} to the address given as before, then run the same command again.",
            ExitCode.Held);
    }

    private async Task<Dictionary<(string Host, string Type), string>> TargetsAsync(
        IReadOnlyList<HostRecord> records, CancellationToken cancellationToken)
    {
        var names = await _provider.ReadAsync([.. records.Select(record => record.Host).Distinct()], cancellationToken);
        return names
            .SelectMany(name => name.Records.GroupBy(record => (name.Name, record.Type)))
            .ToDictionary(group => group.Key, group => string.Join(" and ", group.Select(record => Address(record.Target))));
    }

    private static string? Refusal(NameRecords name)
    {
        var problems = name.Records
            .Where(record => record.Type == "CNAME")
            .Select(alias => $"is an alias (CNAME) of {alias.Target}")
            .ToList();
        foreach (var type in new[] { "A", "AAAA" })
        {
            var targets = name.Records.Where(record => record.Type == type).Select(record => record.Target).ToList();
            if (targets.Count > 1)
            {
                problems.Add($"has {targets.Count} {type} records ({string.Join(", ", targets)}): a round robin cannot be flipped");
            }
            else if (targets is [var target] && !IPAddress.TryParse(target, out _))
            {
                problems.Add($"has the target '{target}', which is not an address");
            }
            else if (type == "A" && targets.Count == 0 && problems.Count == 0)
            {
                problems.Add(name.Wildcard is { } wildcard ? $"has no A record of its own, only the wildcard {wildcard}" : "has no A record");
            }
        }

        return problems.Count == 0 ? null : $"{name.Name} {string.Join(" and ", problems)}";
    }

    private static string? RefusalOfAlias(NameRecords name, string alias) => name.Records switch
    {
        [{ Type: "CNAME", Target: var target }] when target == alias => null,
        [] => $"{name.Name} has no record, and should be an alias (CNAME) of {alias}",
        var records => $"{name.Name} has {string.Join(" and ", records.Select(record => $"{record.Type} {record.Target}"))}, and should be an alias (CNAME) of {alias}",
    };

    private static (string Host, string Type) Key(HostRecord record) => (record.Host, record.Type);

    private static string Named(HostRecord record) => record.Type == "AAAA" ? $"the AAAA record of {record.Host}" : record.Host;

    private static string Named(IReadOnlyList<RecordChange> batch) => batch.Count == 1
        ? Named(batch[0].Record)
        : $"{batch.Select(change => change.Record.Host).Distinct().Count()} hosts ({string.Join(", ", batch.Take(3).Select(change => Named(change.Record)))}{(batch.Count > 3 ? ", …" : string.Empty)})";

    private static string Normalise(string name) => name.Trim().TrimEnd('.').ToLowerInvariant();

    private static string Address(string target) => IPAddress.TryParse(target, out var address) ? address.ToString() : target;

    private static string Hosts(IReadOnlyList<HostRecord> records)
    {
        var hosts = records.Select(record => record.Host).Distinct().ToList();
        return hosts.Count == 1 ? hosts[0] : $"{hosts.Count} hosts";
    }

    private static string Everyone(IReadOnlyList<HostRecord> records) => Hosts(records) is var hosts && hosts.Contains(' ', StringComparison.Ordinal) ? $"All {hosts}" : hosts;

    private static string Before(IReadOnlyList<HostRecord> records)
    {
        var isOne = records.Select(record => record.Host).Distinct().Count() == 1;
        var verb = isOne ? "points" : "point";
        return records.Select(record => record.Target).Distinct().ToList() is [var one]
            ? $"{verb} to {one}"
            : $"{verb} where {(isOne ? "it" : "they")} did before";
    }
}
