using System.Globalization;
using System.Text.Json.Nodes;

namespace Rehearsal.World;

/// <summary>
/// One record as Linode keeps it: <see cref="Name"/> is relative to the zone, empty for the apex; a TTL of 0 means the zone's own.
/// </summary>
public sealed record DnsRecord(
    long Id, string Type, string Name, string Target, int Ttl, int Priority, DateTimeOffset Created, DateTimeOffset Updated);

/// <summary>The zone as name servers serve it after one edit.</summary>
internal sealed record ZoneVersion(uint Serial, DateTimeOffset EditedAt, IReadOnlyList<DnsRecord> Records);

/// <summary>
/// The records of one zone and their history. Name servers do not see an edit at once: each asks for the newest version whose
/// rendering delay has passed, so "late" needs no timers and ends by itself.
/// </summary>
internal sealed class Zone
{
    private const int KeptVersions = 512;

    // The values Linode's schemas list; others are rounded to the nearest of them.
    private static readonly int[] Ttls =
        [0, 30, 120, 300, 3600, 7200, 14400, 28800, 57600, 86400, 172800, 345600, 604800, 1209600, 2419200];

    private readonly Lock _lock = new();
    private readonly TimeProvider _time;
    private readonly string? _file;
    private readonly List<ZoneVersion> _versions = [];
    private long _lastId;

    public Zone(
        long id,
        string domain,
        int ttl,
        TimeProvider time,
        string? file,
        Func<IReadOnlyList<(string Type, string Name, string Target, int Ttl)>> initial)
    {
        Id = id;
        Domain = domain;
        Ttl = ttl;
        _time = time;
        _file = file;
        _lastId = id * 10;
        if (file is not null && StateFile.Read(file) is JsonObject kept)
        {
            Restore(kept);
        }
        else
        {
            var now = time.GetUtcNow();
            _versions.Add(new ZoneVersion(
                2026110100,
                DateTimeOffset.UnixEpoch,
                [
                    .. initial().Select(record =>
                        new DnsRecord(++_lastId, record.Type, record.Name, record.Target, record.Ttl, 0, now, now)),
                ]));
            Save();
        }
    }

    public long Id { get; }

    public string Domain { get; }

    /// <summary>What a record's TTL of 0 stands for, in seconds.</summary>
    public int Ttl { get; }

    public IReadOnlyList<DnsRecord> Records
    {
        get
        {
            lock (_lock)
            {
                return _versions[^1].Records;
            }
        }
    }

    public static int RoundTtl(int seconds)
    {
        return Ttls.MinBy(value => Math.Abs((long)value - seconds));
    }

    /// <summary>The newest version that was edited at least this long ago, the oldest one known otherwise.</summary>
    public ZoneVersion ServedAfter(Func<uint, TimeSpan> delayOfSerial)
    {
        var now = _time.GetUtcNow();
        lock (_lock)
        {
            for (var i = _versions.Count - 1; i > 0; i--)
            {
                if (_versions[i].EditedAt + delayOfSerial(_versions[i].Serial) <= now)
                {
                    return _versions[i];
                }
            }

            return _versions[0];
        }
    }

    public DnsRecord Add(Func<long, DateTimeOffset, DnsRecord> make)
    {
        lock (_lock)
        {
            var now = _time.GetUtcNow();
            var record = make(++_lastId, now);
            Edit([.. _versions[^1].Records, record], now);
            return record;
        }
    }

    /// <summary>Null when there is no such record.</summary>
    public DnsRecord? Change(long id, Func<DnsRecord, DateTimeOffset, DnsRecord> change)
    {
        lock (_lock)
        {
            var now = _time.GetUtcNow();
            var old = _versions[^1].Records.FirstOrDefault(record => record.Id == id);
            if (old is null)
            {
                return null;
            }

            var changed = change(old, now);
            Edit([.. _versions[^1].Records.Select(record => record.Id == id ? changed : record)], now);
            return changed;
        }
    }

    public bool Remove(long id)
    {
        lock (_lock)
        {
            var left = _versions[^1].Records.Where(record => record.Id != id).ToList();
            if (left.Count == _versions[^1].Records.Count)
            {
                return false;
            }

            Edit(left, _time.GetUtcNow());
            return true;
        }
    }

    private void Edit(IReadOnlyList<DnsRecord> records, DateTimeOffset now)
    {
        _versions.Add(new ZoneVersion(_versions[^1].Serial + 1, now, records));
        if (_versions.Count > KeptVersions)
        {
            _versions.RemoveAt(0);
        }

        Save();
    }

    private void Save()
    {
        if (_file is null)
        {
            return;
        }

        var newest = _versions[^1];
        StateFile.Write(_file, new JsonObject
        {
            ["serial"] = newest.Serial,
            ["lastId"] = _lastId,
            ["records"] = new JsonArray([.. newest.Records.Select(record => (JsonNode)new JsonObject
            {
                ["id"] = record.Id,
                ["type"] = record.Type,
                ["name"] = record.Name,
                ["target"] = record.Target,
                ["ttl"] = record.Ttl,
                ["priority"] = record.Priority,
                ["created"] = record.Created.ToString("O", CultureInfo.InvariantCulture),
                ["updated"] = record.Updated.ToString("O", CultureInfo.InvariantCulture),
            })]),
        });
    }

    private void Restore(JsonObject kept)
    {
        _lastId = (long)kept["lastId"]!;
        var records = kept["records"]!.AsArray().Select(record => new DnsRecord(
            (long)record!["id"]!,
            (string)record["type"]!,
            (string)record["name"]!,
            (string)record["target"]!,
            (int)record["ttl"]!,
            (int)record["priority"]!,
            DateTimeOffset.Parse((string)record["created"]!, CultureInfo.InvariantCulture),
            DateTimeOffset.Parse((string)record["updated"]!, CultureInfo.InvariantCulture)));
        _versions.Add(new ZoneVersion((uint)kept["serial"]!, DateTimeOffset.UnixEpoch, [.. records]));
    }
}
