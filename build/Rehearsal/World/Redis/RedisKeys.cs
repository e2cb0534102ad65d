using System.Globalization;
using System.IO.Enumeration;
using System.Text.Json.Nodes;

namespace Rehearsal.World;

internal sealed record RedisEntry(byte[] Value, DateTimeOffset? Expires);

/// <summary>
/// The keys of all logical databases, with their expiry, written to a file at every change. Not thread-safe: its owner serialises,
/// as Redis does.
/// </summary>
internal sealed class RedisKeys
{
    public const int Databases = 16;

    private readonly string _file;
    private readonly TimeProvider _time;
    private readonly Dictionary<string, RedisEntry>[] _data =
        [.. Enumerable.Range(0, Databases).Select(_ => new Dictionary<string, RedisEntry>(StringComparer.Ordinal))];

    public RedisKeys(string file, TimeProvider time)
    {
        _file = file;
        _time = time;
        foreach (var (database, keys) in StateFile.Read(file) as JsonObject ?? [])
        {
            foreach (var (key, entry) in keys!.AsObject())
            {
                DateTimeOffset? expires = (string?)entry!["expires"] is { } moment
                    ? DateTimeOffset.Parse(moment, CultureInfo.InvariantCulture)
                    : null;
                _data[int.Parse(database, CultureInfo.InvariantCulture)][key] = new RedisEntry(
                    Convert.FromBase64String((string)entry["value"]!), expires);
            }
        }
    }

    /// <summary>Null when absent or expired.</summary>
    public RedisEntry? Get(int database, string key)
    {
        if (!_data[database].TryGetValue(key, out var entry))
        {
            return null;
        }

        if (entry.Expires <= _time.GetUtcNow())
        {
            _data[database].Remove(key);
            return null;
        }

        return entry;
    }

    /// <summary>Keys that match a glob.</summary>
    public List<string> Matching(int database, string pattern)
    {
        return
        [
            .. _data[database].Keys.ToList().Where(key =>
                Get(database, key) is not null && FileSystemName.MatchesSimpleExpression(pattern, key, ignoreCase: false)),
        ];
    }

    public void Set(int database, string key, byte[] value, DateTimeOffset? expires)
    {
        _data[database][key] = new RedisEntry(value, expires);
        Save();
    }

    public int Remove(int database, IEnumerable<string> keys)
    {
        var removed = keys.Count(key => Get(database, key) is not null && _data[database].Remove(key));
        if (removed > 0)
        {
            Save();
        }

        return removed;
    }

    private void Save()
    {
        var state = new JsonObject();
        for (var database = 0; database < Databases; database++)
        {
            if (_data[database].Count == 0)
            {
                continue;
            }

            var keys = new JsonObject();
            foreach (var (key, entry) in _data[database])
            {
                keys[key] = new JsonObject
                {
                    ["value"] = Convert.ToBase64String(entry.Value),
                    ["expires"] = entry.Expires?.ToString("O", CultureInfo.InvariantCulture),
                };
            }

            state[database.ToString(CultureInfo.InvariantCulture)] = keys;
        }

        StateFile.Write(_file, state);
    }
}
