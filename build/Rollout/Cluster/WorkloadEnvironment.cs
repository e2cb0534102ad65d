using System.Text.Json.Nodes;

namespace Rollout.Cluster;

/// <summary>
/// The variables of one workload's containers, to see that none was lost: Helm replaces lists, so an overlay that names one variable wipes the others
/// (platform contract, section 8.3). Whole imports (<c>envFrom</c>) count as one variable each.
/// </summary>
/// <param name="Workload">The object's name.</param>
/// <param name="Variables">Name to plain value, of all containers; null where the value comes from elsewhere.</param>
public sealed record WorkloadEnvironment(string Workload, IReadOnlyDictionary<string, string?> Variables)
{
    /// <summary>From a Deployment or the like.</summary>
    public static WorkloadEnvironment From(JsonObject workload)
    {
        var variables = new SortedDictionary<string, string?>(StringComparer.Ordinal);
        var pod = workload["spec"]?["template"]?["spec"];
        foreach (var container in Items(pod?["initContainers"]).Concat(Items(pod?["containers"])))
        {
            foreach (var variable in Items(container["env"]))
            {
                if (variable["name"]?.GetValue<string>() is { } name)
                {
                    variables[name] = variable["valueFrom"] is null ? variable["value"]?.ToString() ?? string.Empty : null;
                }
            }

            foreach (var import in Items(container["envFrom"]))
            {
                var (kind, source) = import.FirstOrDefault(p => p.Value is JsonObject);
                variables[$"envFrom:{kind}/{source?["name"]}"] = null;
            }
        }

        return new WorkloadEnvironment(workload["metadata"]!["name"]!.GetValue<string>(), variables);
    }

    /// <summary>What the other one has and this one lacks.</summary>
    public IReadOnlyList<string> Lacks(WorkloadEnvironment other) =>
        [.. other.Variables.Keys.Where(name => !Variables.ContainsKey(name)).Order(StringComparer.Ordinal)];

    private static IEnumerable<JsonObject> Items(JsonNode? node) => node is JsonArray list ? list.OfType<JsonObject>() : [];
}
