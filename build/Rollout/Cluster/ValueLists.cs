using System.Text.Json.Nodes;

namespace Rollout.Cluster;

/// <summary>An entry that a list had in one values file and lost in a later one.</summary>
/// <param name="Path">The list, as in <c>backendServices.oms.env</c>.</param>
/// <param name="Entry">Its name; <c>envFrom:secretRef/NAME</c> for an import, <c>entry 3</c> where it has no name that can be shown.</param>
/// <param name="From">The file that has it.</param>
/// <param name="By">The file that gives the list anew, without it.</param>
public sealed record LostEntry(string Path, string Entry, string From, string By);

/// <summary>
/// The lists of a chart's values, file over file as helm lays them: helm merges maps and replaces lists, so a file that names one entry of a list takes
/// all others away (platform contract, section 8.3). A list that is set to null is taken away on purpose and is not counted.
/// </summary>
public sealed class ValueLists
{
    private readonly Dictionary<string, (string File, List<(string Id, string Shown)> Entries)> _current = [];
    private readonly Dictionary<(string Path, string Id), LostEntry> _lost = [];

    private ValueLists()
    {
    }

    /// <summary>What is in none of the lists in the end, although a file gives it; sorted by list.</summary>
    public IReadOnlyList<LostEntry> Lost => [.. _lost.Values.OrderBy(l => l.Path, StringComparer.Ordinal).ThenBy(l => l.Entry, StringComparer.Ordinal)];

    /// <summary>What these lists lose and the others keep.</summary>
    public IReadOnlyList<LostEntry> LostUnlike(ValueLists others) =>
        [.. _lost.Where(l => others._current.TryGetValue(l.Key.Path, out var list) && list.Entries.Any(e => e.Id == l.Key.Id)).Select(l => l.Value)
            .OrderBy(l => l.Path, StringComparer.Ordinal).ThenBy(l => l.Entry, StringComparer.Ordinal)];

    /// <summary>Reads values files.</summary>
    /// <param name="layers">The chart's own values and the overlays, in Helm's order, each with a name for people.</param>
    public static ValueLists Of(IEnumerable<(string File, JsonObject Values)> layers)
    {
        var lists = new ValueLists();
        foreach (var (file, values) in layers)
        {
            lists.Lay(file, values, string.Empty);
        }

        return lists;
    }

    private void Lay(string file, JsonObject from, string path)
    {
        foreach (var (key, value) in from)
        {
            switch (value)
            {
                case JsonObject child:
                    Lay(file, child, $"{path}{key}.");
                    break;
                case JsonArray list:
                    Replace(path + key, file, [.. list.Select((item, index) => Identify(key, item, index))]);
                    break;
                case null:
                    Forget(path + key);
                    break;
            }
        }
    }

    private void Replace(string path, string file, List<(string Id, string Shown)> entries)
    {
        if (_current.TryGetValue(path, out var before))
        {
            foreach (var (id, shown) in before.Entries.Where(e => entries.All(n => n.Id != e.Id)))
            {
                _lost[(path, id)] = new LostEntry(path, shown, before.File, file);
            }
        }

        foreach (var (id, _) in entries)
        {
            _lost.Remove((path, id));
        }

        _current[path] = (file, entries);
    }

    private void Forget(string path)
    {
        bool IsIn(string list) => list == path || list.StartsWith(path + ".", StringComparison.Ordinal);

        foreach (var list in _current.Keys.Where(IsIn).ToList())
        {
            _current.Remove(list);
        }

        foreach (var lost in _lost.Keys.Where(l => IsIn(l.Path)).ToList())
        {
            _lost.Remove(lost);
        }
    }

    // A variable is the same whatever its value is; what has no name is told by what it holds, and shown by its place, since it may hold anything.
    private static (string Id, string Shown) Identify(string list, JsonNode? item, int index)
    {
        if (item is JsonObject named)
        {
            if (named["name"] is JsonValue name)
            {
                return (name.ToString(), name.ToString());
            }

            if (list == "envFrom" && named.FirstOrDefault(p => p.Value is JsonObject) is { Value: JsonObject source } import)
            {
                var shown = $"envFrom:{import.Key}/{source["name"]}";
                return (shown, shown);
            }
        }

        var text = item?.ToJsonString() ?? "null";
        return item is JsonValue plain && plain.ToString() is var word && word.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_' or '/')
            ? (text, word)
            : (text, $"entry {index + 1}");
    }
}
