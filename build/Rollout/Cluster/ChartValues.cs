using System.Text.Json.Nodes;

namespace Rollout.Cluster;

/// <summary>
/// The values that the rollout itself adds on top of the checkout's overlays. They are computed whole each time, so that no upgrade reverts
/// what an earlier step set; lists are extended, never replaced (platform contract, section 8.3).
/// </summary>
public sealed record ChartValues
{
    private const string ReplicaCount = "replicaCount";

    /// <summary>Image repository to <c>TAG@sha256:…</c>.</summary>
    public IReadOnlyDictionary<string, string> Pins { get; init; } = new Dictionary<string, string>();

    /// <summary>Whether the production hosts are served beside the staging hosts.</summary>
    public bool ServesProduction { get; init; }

    /// <summary>Whether the staging hosts are served.</summary>
    public bool ServesStaging { get; init; } = true;

    /// <summary>Whether the pods get the exchange keys: the enforced fence of a candidate (platform contract, section 3.4).</summary>
    public bool HasExchangeKeys { get; init; }

    /// <summary>Changes when the exchange keys do, so that their readers restart.</summary>
    public string ExchangeKeysChecksum { get; init; } = string.Empty;

    /// <summary>
    /// Replicas by the path of the value that sets them, as in <c>backendServices.oms.replicaCount</c>: what makes a slot larger than its overlays do.
    /// </summary>
    public IReadOnlyDictionary<string, int> Replicas { get; init; } = new Dictionary<string, int>();

    /// <summary>Variables for every service, as <c>PROMETHEUS_EXPORTER_PORT</c>.</summary>
    public IReadOnlyDictionary<string, string> Environment { get; init; } = new Dictionary<string, string>();

    /// <summary>
    /// The path of every value that may set a workload's replicas: where the values have a <c>replicaCount</c>, or leave it to the chart's default.
    /// Which Deployment is whose is in the chart's templates alone: <see cref="RenderedChart.SizedBy"/> finds it out.
    /// </summary>
    /// <param name="layers">The chart's own values and the overlays, in Helm's order.</param>
    public static IReadOnlyList<string> ReplicaPaths(IEnumerable<JsonObject> layers)
    {
        var paths = new List<string>();
        Collect(MergedOf(layers), string.Empty);
        return paths;

        void Collect(JsonObject from, string path)
        {
            // What the platform's schema demands of a workload.
            if (from.ContainsKey(ReplicaCount) || (from["image"] is JsonObject image && image.ContainsKey("repository") && from["resources"] is JsonObject))
            {
                paths.Add(path + ReplicaCount);
            }

            // A key with a dot in it has no path, as in helm's own --set.
            foreach (var (key, value) in from.Where(p => !p.Key.Contains('.', StringComparison.Ordinal)))
            {
                if (value is JsonObject child)
                {
                    Collect(child, $"{path}{key}.");
                }
            }
        }
    }

    /// <summary>The values file's content. JSON is YAML.</summary>
    /// <param name="layers">The chart's own values and the overlays, in Helm's order.</param>
    public string ToValuesFile(IEnumerable<JsonObject> layers)
    {
        var merged = MergedOf(layers);
        var values = new JsonObject
        {
            ["global"] = new JsonObject
            {
                ["hosts"] = new JsonObject { ["production"] = ServesProduction, ["staging"] = ServesStaging },
                ["krakenSecrets"] = new JsonObject { ["enabled"] = HasExchangeKeys, ["checksum"] = ExchangeKeysChecksum },
                ["env"] = ExtendedEnvironment(merged),
            },
        };
        Pin(merged, values);
        foreach (var (path, replicas) in Replicas)
        {
            Set(values, path.Split('.'), replicas);
        }

        return values.ToJsonString(new System.Text.Json.JsonSerializerOptions { WriteIndented = true });
    }

    private JsonArray ExtendedEnvironment(JsonObject merged)
    {
        var list = merged["global"]?["env"] is JsonArray there ? (JsonArray)there.DeepClone() : [];
        foreach (var (name, value) in Environment)
        {
            foreach (var old in list.OfType<JsonObject>().Where(e => e["name"]?.GetValue<string>() == name).ToList())
            {
                list.Remove(old);
            }

            list.Add(new JsonObject { ["name"] = name, ["value"] = value });
        }

        return list;
    }

    // Wherever the values name an image, its tag is replaced by the pinned one.
    private void Pin(JsonObject from, JsonObject into)
    {
        foreach (var (key, value) in from)
        {
            if (value is not JsonObject child)
            {
                continue;
            }

            if (key == "image" && child["repository"]?.GetValue<string>() is { } repository && FindPin(repository) is { } pin)
            {
                into["image"] = new JsonObject { ["tag"] = pin };
                continue;
            }

            var inner = into[key] as JsonObject ?? [];
            Pin(child, inner);
            if (inner.Count > 0 && !into.ContainsKey(key))
            {
                into[key] = inner;
            }
        }
    }

    private string? FindPin(string repository) =>
        Pins.FirstOrDefault(p => p.Key == repository || p.Key.EndsWith("/" + repository, StringComparison.Ordinal)).Value;

    private static void Set(JsonObject into, string[] path, int value)
    {
        foreach (var key in path[..^1])
        {
            if (into[key] is not JsonObject inner)
            {
                into[key] = inner = [];
            }

            into = inner;
        }

        into[path[^1]] = value;
    }

    private static JsonObject MergedOf(IEnumerable<JsonObject> layers)
    {
        var merged = new JsonObject();
        foreach (var layer in layers)
        {
            Merge(merged, layer);
        }

        return merged;
    }

    private static void Merge(JsonObject into, JsonObject layer)
    {
        foreach (var (key, value) in layer)
        {
            if (value is JsonObject child && into[key] is JsonObject there)
            {
                Merge(there, child);
            }
            else
            {
                into[key] = value?.DeepClone();
            }
        }
    }
}
