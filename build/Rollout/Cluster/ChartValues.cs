using System.Text.Json.Nodes;

namespace Rollout.Cluster;

/// <summary>
/// The values that the rollout itself adds on top of the checkout's overlays. They are computed whole each time, so that no upgrade reverts
/// what an earlier step set; lists are extended, never replaced (platform contract, section 8.3).
/// </summary>
public sealed record ChartValues
{
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

    /// <summary>Variables for every service, as <c>PROMETHEUS_EXPORTER_PORT</c>.</summary>
    public IReadOnlyDictionary<string, string> Environment { get; init; } = new Dictionary<string, string>();

    /// <summary>The values file's content. JSON is YAML.</summary>
    /// <param name="layers">The chart's own values and the overlays, in Helm's order.</param>
    public string ToValuesFile(IEnumerable<JsonObject> layers)
    {
        var merged = new JsonObject();
        foreach (var layer in layers)
        {
            Merge(merged, layer);
        }

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
