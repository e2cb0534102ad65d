using System.Text.Json.Nodes;

namespace Rollout.Investigation;

/// <summary>One thing in which two stacks differ.</summary>
/// <param name="What"><c>image</c>, <c>replicas</c>, <c>variable</c>, <c>configuration</c> or <c>workload</c>.</param>
/// <param name="Live">As live has it; null where it has none.</param>
/// <param name="Candidate">As the candidate has it; null where it has none.</param>
public sealed record StackDifference(string Workload, string What, string? Live, string? Candidate)
{
    public override string ToString() => $"{Workload}: {What} {Live ?? "(none)"} → {Candidate ?? "(none)"}";
}

/// <summary>
/// What is different between the two slots' Deployments. Values of variables are compared and never shown, and
/// what is the slot's own (its name, its namespace) differs by design and is left out.
/// </summary>
public static class StackDifferences
{
    /// <param name="liveOwn">What stands for live itself in its objects, as <c>blue</c>; the longest first.</param>
    public static IReadOnlyList<StackDifference> Between(
        IEnumerable<JsonObject> live, IReadOnlyList<string> liveOwn, IEnumerable<JsonObject> candidate, IReadOnlyList<string> candidateOwn)
    {
        var old = live.ToDictionary(Name);
        var @new = candidate.ToDictionary(Name);
        var found = new List<StackDifference>();
        foreach (var name in old.Keys.Union(@new.Keys).Order(StringComparer.Ordinal))
        {
            if (!old.TryGetValue(name, out var before) || !@new.TryGetValue(name, out var after))
            {
                found.Add(new StackDifference(name, "workload", old.ContainsKey(name) ? "there" : null, @new.ContainsKey(name) ? "there" : null));
                continue;
            }

            Compare(name, "replicas", before["spec"]?["replicas"]?.ToString(), after["spec"]?["replicas"]?.ToString());
            var (ours, theirs) = (Containers(before), Containers(after));
            foreach (var container in ours.Keys.Union(theirs.Keys).Order(StringComparer.Ordinal))
            {
                var (left, right) = (ours.GetValueOrDefault(container), theirs.GetValueOrDefault(container));
                Compare(name, "image", left?["image"]?.ToString(), right?["image"]?.ToString());
                var (had, has) = (Variables(left, liveOwn), Variables(right, candidateOwn));
                foreach (var variable in had.Keys.Union(has.Keys).Order(StringComparer.Ordinal))
                {
                    var (first, second) = (had.GetValueOrDefault(variable), has.GetValueOrDefault(variable));
                    if (first != second)
                    {
                        // A value may be a secret; that it is another one tells enough.
                        found.Add(new StackDifference(name, "variable", first is null ? null : variable, second is null ? null : first is null ? variable : $"{variable}, another value"));
                    }
                }
            }

            var (marks, newMarks) = (Checksums(before), Checksums(after));
            foreach (var mark in marks.Keys.Union(newMarks.Keys).Order(StringComparer.Ordinal))
            {
                Compare(name, "configuration", Shown(marks, mark), Shown(newMarks, mark));
            }
        }

        return found;

        void Compare(string workload, string what, string? before, string? after)
        {
            if (before != after)
            {
                found.Add(new StackDifference(workload, what, before, after));
            }
        }

        static string? Shown(IReadOnlyDictionary<string, string> marks, string mark) => marks.TryGetValue(mark, out var value) ? $"{mark} {value}" : null;
    }

    private static string Name(JsonObject item) => item["metadata"]!["name"]!.GetValue<string>();

    private static Dictionary<string, JsonObject> Containers(JsonObject workload)
    {
        var pod = workload["spec"]?["template"]?["spec"];
        return (pod?["initContainers"] as JsonArray ?? []).Concat(pod?["containers"] as JsonArray ?? []).OfType<JsonObject>()
            .GroupBy(c => c["name"]?.ToString() ?? string.Empty).ToDictionary(g => g.Key, g => g.First());
    }

    private static Dictionary<string, string> Variables(JsonObject? container, IReadOnlyList<string> own)
    {
        var variables = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var variable in (container?["env"] as JsonArray ?? []).OfType<JsonObject>())
        {
            if (variable["name"]?.ToString() is { } name)
            {
                variables[name] = variable["valueFrom"] is JsonObject source ? $"from {Neutral(source.ToJsonString(), own)}" : $"value {Neutral(variable["value"]?.ToString() ?? string.Empty, own)}";
            }
        }

        foreach (var import in (container?["envFrom"] as JsonArray ?? []).OfType<JsonObject>())
        {
            variables[$"envFrom {Neutral(import.ToJsonString(), own)}"] = "imported";
        }

        return variables;
    }

    private static Dictionary<string, string> Checksums(JsonObject workload) =>
        (workload["spec"]?["template"]?["metadata"]?["annotations"] as JsonObject ?? [])
        .Where(a => a.Key.StartsWith("checksum/", StringComparison.Ordinal))
        .ToDictionary(a => a.Key, a => a.Value?.ToString() is { Length: > 12 } sum ? sum[..12] : a.Value?.ToString() ?? string.Empty);

    private static string Neutral(string text, IReadOnlyList<string> own) => own.Aggregate(text, (now, name) => now.Replace(name, "SLOT", StringComparison.Ordinal));
}
