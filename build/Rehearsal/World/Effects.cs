using System.Collections.Concurrent;
using System.Text.Json.Nodes;

namespace Rehearsal.World;

/// <summary>
/// Counts what really took place at the doubles since the world's start, by name: a crash test sees here what was done twice. A call that
/// found things as it wanted them counts under the same name with <c>-repeated</c>.
/// </summary>
public sealed class Effects
{
    private readonly ConcurrentDictionary<string, int> _counts = new(StringComparer.Ordinal);

    public void Count(string name)
    {
        _counts.AddOrUpdate(name, 1, (_, before) => before + 1);
    }

    // The dictionary's own copy is one moment; sorting it directly would fail when another call counts a new name meanwhile.
    public JsonObject ToJson()
    {
        return new JsonObject(_counts.ToArray().OrderBy(count => count.Key, StringComparer.Ordinal)
            .Select(count => KeyValuePair.Create(count.Key, (JsonNode?)count.Value)));
    }
}
