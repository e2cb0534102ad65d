using System.Net;
using System.Net.Sockets;

namespace Rollout.Traffic;

/// <summary>
/// The address records of the production hosts in Linode's DNS manager (Linode API v4, "Domains"). Linode has no transaction over
/// records, so <see cref="PointAsync"/> makes one: all hosts move, or those that moved are moved back (invariant 7).
/// </summary>
public sealed class DnsZone : IDisposable
{
    private const int AtOnce = 4;
    private const int LinodeDefaultTtl = 86400;
    private static readonly TimeSpan RestoreTime = TimeSpan.FromMinutes(2);
    private static readonly TimeSpan RestorePause = TimeSpan.FromSeconds(2);

    private readonly LinodeDomains _linode;
    private readonly TimeProvider _time;
    private readonly IProgress<string> _progress;

    /// <param name="api">Base of the API with its version, as in <c>https://api.linode.com/v4</c>.</param>
    /// <param name="token">Scope <c>domains:read_only</c> to read, <c>domains:read_write</c> to point.</param>
    /// <param name="fence">Asked before each write: a run that lost the lock neither goes on with a flip nor takes it back.</param>
    /// <param name="time">Times the pauses between tries and bounds the restoration.</param>
    /// <param name="progress">Told each repeated request and the end of a flip or restoration.</param>
    public DnsZone(Uri api, Secret token, Fence fence, TimeProvider time, IProgress<string> progress)
    {
        _linode = new LinodeDomains(api, token, fence, time, progress);
        _time = time;
        _progress = progress;
    }

    /// <summary>Reads the one A record of each host, in the order given.</summary>
    /// <exception cref="RolloutException">
    /// Some host cannot be flipped by changing one record: it is missing, has several addresses, an AAAA record or a CNAME, or its zone
    /// is unknown, a slave zone or not served. All problems of all hosts are in the one message.
    /// </exception>
    public async Task<IReadOnlyList<HostRecord>> ReadAsync(IReadOnlyCollection<string> hosts, CancellationToken cancellationToken)
    {
        var domains = await _linode.DomainsAsync(cancellationToken);
        var problems = new List<string>();
        var found = new List<HostRecord>();
        var wanted = hosts.Select(Normalise).Distinct().Select(host => (Host: host, Zone: ZoneOf(host, domains))).ToList();
        foreach (var (host, _) in wanted.Where(pair => pair.Zone is null))
        {
            problems.Add($"{host}: no zone of this Linode account contains it (zones: {Listed(domains.Select(domain => domain.Domain))})");
        }

        var records = new Dictionary<long, ILookup<string, LinodeRecord>>();
        foreach (var zone in wanted.Select(pair => pair.Zone).OfType<LinodeDomain>().DistinctBy(zone => zone.Id))
        {
            if (Refusal(zone) is { } refusal)
            {
                problems.Add(refusal);
            }

            var zoneName = Normalise(zone.Domain);
            records[zone.Id] = (await _linode.RecordsAsync(zone.Id, cancellationToken)).ToLookup(record => FullName(record.Name, zoneName));
        }

        foreach (var (host, zone) in wanted)
        {
            if (zone is null)
            {
                continue;
            }

            var here = records[zone.Id][host].ToList();
            if (Refusal(host, here, records[zone.Id]) is { } refusal)
            {
                problems.Add(refusal);
                continue;
            }

            var record = here.Single(record => record.Type == "A");
            found.Add(new HostRecord(host, zone.Id, record.Id, record.Type, Address(record.Target!), EffectiveTtl(record, zone)));
        }

        return problems.Count == 0
            ? found
            : throw new RolloutException(
                $"{problems.Count} problem{(problems.Count == 1 ? string.Empty : "s")} in the DNS zone: {string.Join("; ", problems)}.",
                "A flip changes the target of exactly one A record a host; bring the zone into that shape first.");
    }

    /// <summary>
    /// Points every host of <paramref name="current"/> to <paramref name="address"/>, or none. Records that already point there are
    /// not written, so a flip that was cut off can be repeated with the records as they were before it. Returns when the API says
    /// so; the name servers follow within a minute or two (<see cref="NameServers"/>).
    /// </summary>
    /// <param name="current">
    /// The records as the journal has them: what the zone is compared with before, and restored to on failure.
    /// </param>
    /// <param name="address">An IPv4 address.</param>
    /// <param name="cancellationToken">Stops the flip; the hosts already moved are moved back before this returns.</param>
    /// <exception cref="RolloutException">
    /// Nothing was written (somebody else changed a record), or all hosts are back where <paramref name="current"/> says, with
    /// <see cref="ExitCode.Interrupted"/> when cancelled; with <see cref="ExitCode.Held"/> some are not, and the message says where
    /// each is.
    /// </exception>
    public async Task PointAsync(IReadOnlyList<HostRecord> current, string address, CancellationToken cancellationToken)
    {
        if (!IPAddress.TryParse(address, out var parsed) || parsed.AddressFamily != AddressFamily.InterNetwork)
        {
            throw new RolloutException($"'{address}' is not an IPv4 address, and an A record takes nothing else.");
        }

        address = parsed.ToString();
        var seen = await ReadAsync([.. current.Select(record => record.Host)], cancellationToken);
        RefuseForeignEdits(current, seen, address);
        var targets = seen.ToDictionary(record => record.RecordId, record => record.Target);
        var pending = current.Where(record => targets[record.RecordId] != address).ToList();
        var attempted = new List<HostRecord>();
        var failures = await WriteAsync(pending, address, attempted, cancellationToken);
        if (failures.Count == 0 && !cancellationToken.IsCancellationRequested)
        {
            failures = await ReadBackAsync(current, address, cancellationToken);
        }

        if (failures.Count == 0 && !cancellationToken.IsCancellationRequested)
        {
            _progress.Report($"{current.Count} hosts point to {address} ({pending.Count} written)");
            return;
        }

        var interrupted = failures.Count == 0;
        var cause = interrupted ? $"Pointing {current.Count} hosts to {address} was interrupted" : string.Join("; ", failures);
        var moved = Enumerable.Reverse(attempted)
            .Concat(current.Except(pending).Reverse())
            .Where(record => record.Target != address)
            .ToList();
        await RestoreAsync(current, moved, address, cause);
        throw new RolloutException(
            $"{cause}. {Everyone(current)} {Before(current)} again.",
            exitCode: interrupted ? ExitCode.Interrupted : ExitCode.Failed);
    }

    public void Dispose() => _linode.Dispose();

    private static void RefuseForeignEdits(IReadOnlyList<HostRecord> current, IReadOnlyList<HostRecord> seen, string address)
    {
        var byHost = seen.ToDictionary(record => record.Host);
        var edits = new List<string>();
        foreach (var expected in current)
        {
            var now = byHost[Normalise(expected.Host)];
            if (now.RecordId != expected.RecordId)
            {
                edits.Add($"{expected.Host} is record {now.RecordId}, not {expected.RecordId}");
            }
            else if (now.Target != expected.Target && now.Target != address)
            {
                edits.Add($"{expected.Host} points to {now.Target}, not {expected.Target}");
            }
            else if (now.TtlSeconds != expected.TtlSeconds)
            {
                edits.Add($"{expected.Host} has a TTL of {now.TtlSeconds} s, not {expected.TtlSeconds} s");
            }
        }

        if (edits.Count > 0)
        {
            throw new RolloutException(
                $"Somebody else changed the DNS zone since it was read: {string.Join("; ", edits)}. Nothing was written.",
                "Find out who edits the zone; then put the records back, or start the rollout anew from the records as they are.");
        }
    }

    private async Task<List<string>> WriteAsync(
        IReadOnlyList<HostRecord> pending, string address, List<HostRecord> attempted, CancellationToken cancellationToken)
    {
        var failures = new List<string>();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var options = new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = stop.Token };
        try
        {
            await Parallel.ForEachAsync(pending, options, async (record, token) =>
            {
                lock (attempted)
                {
                    attempted.Add(record);
                }

                try
                {
                    await _linode.SetTargetAsync(record.ZoneId, record.RecordId, address, token);
                }
                catch (Exception exception) when (
                    (!token.IsCancellationRequested || exception is not OperationCanceledException) && exception is not RolloutException { ExitCode: ExitCode.Refused })
                {
                    // Whatever it is, even a fault of our own: the hosts already moved must be moved back.
                    lock (failures)
                    {
                        failures.Add($"{record.Host} could not be pointed to {address}: {exception.Message.TrimEnd('.')}");
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

    private async Task<List<string>> ReadBackAsync(IReadOnlyList<HostRecord> current, string address, CancellationToken cancellationToken)
    {
        try
        {
            var seen = await ReadAsync([.. current.Select(record => record.Host)], cancellationToken);
            return [.. seen
                .Where(record => record.Target != address)
                .Select(record => $"{record.Host} reads {record.Target} after {address} was written")];
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

    /// <summary>Moves back what points to <paramref name="address"/>; a third target is somebody else's and stays.</summary>
    private async Task RestoreAsync(IReadOnlyList<HostRecord> current, List<HostRecord> newestFirst, string address, string cause)
    {
        if (newestFirst.Count == 0)
        {
            return;
        }

        _progress.Report($"moving {newestFirst.Count} hosts back");
        using var bound = new CancellationTokenSource(RestoreTime, _time);
        Dictionary<long, string>? targets = null;
        var trouble = string.Empty;
        try
        {
            for (var round = 0; ; round++)
            {
                if (round > 1)
                {
                    await Task.Delay(RestorePause, _time, bound.Token);
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

                var todo = newestFirst.Where(record => targets is null || targets.GetValueOrDefault(record.RecordId) == address).ToList();
                if (todo.Count == 0)
                {
                    break;
                }

                var options = new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = bound.Token };
                var troubles = new List<string>();
                await Parallel.ForEachAsync(todo, options, async (record, token) =>
                {
                    try
                    {
                        await _linode.SetTargetAsync(record.ZoneId, record.RecordId, record.Target, token);
                    }
                    catch (RolloutException exception) when (exception.ExitCode != ExitCode.Refused)
                    {
                        lock (troubles)
                        {
                            troubles.Add($"{record.Host}: {exception.Message.TrimEnd('.')}");
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

        var strays = newestFirst.Where(record => targets?.GetValueOrDefault(record.RecordId) != record.Target).ToList();
        if (strays.Count == 0)
        {
            _progress.Report($"{Everyone(current)} {Before(current)} again");
            return;
        }

        var where = strays
            .GroupBy(record => targets is null
                ? "in an unknown place"
                : targets.TryGetValue(record.RecordId, out var target) ? $"at {target}" : "gone")
            .Select(group => $"{group.Key}: {string.Join(", ", group.Select(record => $"{record.Host} (before: {record.Target})"))}");
        throw new RolloutException(
            $"{cause}. Moving the hosts back is incomplete{(trouble.Length > 0 ? $" ({trouble.TrimEnd('.')})" : string.Empty)}; "
                + $"{string.Join("; ", where)}. The other {current.Count - strays.Count} of {current.Count} hosts {Before(current)}.",
            "Point these hosts by hand in Linode's DNS manager to the address given as before, then run the same command again.",
            ExitCode.Held);
    }

    private async Task<Dictionary<long, string>> TargetsAsync(IReadOnlyList<HostRecord> records, CancellationToken cancellationToken)
    {
        var targets = new Dictionary<long, string>();
        foreach (var zone in records.Select(record => record.ZoneId).Distinct())
        {
            foreach (var record in await _linode.RecordsAsync(zone, cancellationToken))
            {
                targets[record.Id] = Address(record.Target ?? string.Empty);
            }
        }

        return targets;
    }

    private static LinodeDomain? ZoneOf(string host, IReadOnlyList<LinodeDomain> domains) =>
        domains
            .Where(domain => host == Normalise(domain.Domain) || host.EndsWith("." + Normalise(domain.Domain), StringComparison.Ordinal))
            .MaxBy(domain => domain.Domain.Length);

    private static string? Refusal(LinodeDomain zone) => zone switch
    {
        { Type: "slave" } => $"zone {zone.Domain} is a slave zone: its records are edited at its master, not at Linode",
        { Status: not "active" } => $"zone {zone.Domain} has the status {zone.Status}: only an active zone is served",
        _ => null,
    };

    private static string? Refusal(string host, List<LinodeRecord> here, ILookup<string, LinodeRecord> zone)
    {
        var addresses = here.Where(record => record.Type == "A").Select(record => record.Target).ToList();
        var problems = new List<string>();
        foreach (var alias in here.Where(record => record.Type == "CNAME"))
        {
            problems.Add($"is an alias (CNAME) of {alias.Target}");
        }

        if (here.Any(record => record.Type == "AAAA"))
        {
            problems.Add($"has an AAAA record ({Listed(here.Where(record => record.Type == "AAAA").Select(record => record.Target!))}): "
                + "IPv6 clients would stay behind");
        }

        if (addresses.Count > 1)
        {
            problems.Add($"has {addresses.Count} A records ({Listed(addresses!)}): a round robin cannot be flipped");
        }
        else if (addresses.Count == 0 && problems.Count == 0)
        {
            var parent = host[(host.IndexOf('.', StringComparison.Ordinal) + 1)..];
            problems.Add(zone[$"*.{parent}"].Any() ? $"has no A record of its own, only the wildcard *.{parent}" : "has no A record");
        }
        else if (addresses is [var target] && !IPAddress.TryParse(target, out _))
        {
            problems.Add($"has the target '{target}', which is not an address");
        }

        return problems.Count == 0 ? null : $"{host} {string.Join(" and ", problems)}";
    }

    private static int EffectiveTtl(LinodeRecord record, LinodeDomain zone) => (record.TtlSec, zone.TtlSec) switch
    {
        ( > 0 and var own, _) => own,
        (_, > 0 and var common) => common,
        _ => LinodeDefaultTtl,
    };

    private static string Normalise(string name) => name.Trim().TrimEnd('.').ToLowerInvariant();

    private static string FullName(string? name, string zone)
    {
        var normal = Normalise(name ?? string.Empty);
        return normal is "" or "@" ? zone
            : normal == zone || normal.EndsWith("." + zone, StringComparison.Ordinal) ? normal
            : $"{normal}.{zone}";
    }

    private static string Address(string target) => IPAddress.TryParse(target, out var address) ? address.ToString() : target;

    private static string Listed(IEnumerable<string> names) => string.Join(", ", names) is { Length: > 0 } list ? list : "none";

    private static string Everyone(IReadOnlyList<HostRecord> current) => current.Count == 1 ? "The one host" : $"All {current.Count} hosts";

    private static string Before(IReadOnlyList<HostRecord> current)
    {
        var verb = current.Count == 1 ? "points" : "point";
        return current.Select(record => record.Target).Distinct().ToList() is [var one]
            ? $"{verb} to {one}"
            : $"{verb} where they did before";
    }
}
