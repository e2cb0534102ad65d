using System.Text.Json.Nodes;

namespace Rollout.Cluster;

/// <summary>An entry that a values file drops by setting its list anew.</summary>
/// <param name="File">The one that sets the list.</param>
/// <param name="Path">The list, as <c>backendServices.auth.env</c>.</param>
/// <param name="Entry">The entry's name, or its text where it has none.</param>
public sealed record LostEntry(string File, string Path, string Entry);

/// <summary>Helm merges maps and replaces lists whole (helm#3486), so a file that sets one entry of a list takes all others out.</summary>
public static class OverlayLists
{
    /// <summary>What later files drop from the lists of earlier ones.</summary>
    /// <param name="layers">In Helm's order, the chart's own values first.</param>
    public static IReadOnlyList<LostEntry> Lost(IReadOnlyList<(string File, JsonObject Values)> layers)
    {
        var lost = new List<LostEntry>();
        var merged = new JsonObject();
        foreach (var (file, values) in layers)
        {
            Merge(merged, values, file, [], lost);
        }

        // What a later file puts back is not lost.
        return [.. lost.Where(l => !Entries(At(merged, l.Path)).Contains(l.Entry)).Distinct()];
    }

    private static void Merge(JsonObject into, JsonObject from, string file, IReadOnlyList<string> path, List<LostEntry> lost)
    {
        foreach (var (key, value) in from)
        {
            IReadOnlyList<string> here = [.. path, key];
            switch (into[key], value)
            {
                case (JsonObject below, JsonObject above):
                    Merge(below, above, file, here, lost);
                    continue;
                case (JsonArray below, JsonArray or null):
                    lost.AddRange(Entries(below).Except(Entries(value)).Select(e => new LostEntry(file, string.Join('.', here), e)));
                    break;
            }

            into[key] = value?.DeepClone();
        }
    }

    private static JsonNode? At(JsonNode root, string path) => path.Split('.').Aggregate((JsonNode?)root, (node, key) => (node as JsonObject)?[key]);

    private static HashSet<string> Entries(JsonNode? list) =>
        list is not JsonArray array ? [] : [.. array.Select(e => e is JsonObject { } entry && entry["name"] is JsonValue name ? name.ToString() : e?.ToJsonString() ?? "null")];
}
