using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rollout.Cluster;

/// <summary>
/// The exchange keys of a slot: with them its OMS can send orders, without them it cannot, whatever it believes. Withholding them is the
/// fence that the cluster enforces (platform contract, section 3.4).
/// </summary>
public static class ExchangeKeys
{
    private const string File = "credentials.json";
    private static readonly string[] Names = ["api_key", "api_secret"];

    /// <summary>The Secret that holds an account's keys.</summary>
    public static string SecretOf(string account) => $"kraken-keys-{account}";

    /// <summary>
    /// What keeps the platform from reading a Secret's data as a key file, in words that follow on the Secret's name and quote nothing; null where nothing does.
    /// </summary>
    public static string? ProblemOf(JsonObject data)
    {
        if (data[File] is not JsonValue encoded || !encoded.TryGetValue<string>(out var text))
        {
            return $"has no {File}";
        }

        try
        {
            if (JsonNode.Parse(Convert.FromBase64String(text)) is not JsonObject keys)
            {
                return $"has a {File} that is no JSON object";
            }

            var missing = Names.Where(name => keys[name] is not JsonValue key || !key.TryGetValue<string>(out var value) || string.IsNullOrWhiteSpace(value)).ToList();
            return missing.Count == 0 ? null
                : keys.ContainsKey("apiKey") || keys.ContainsKey("apiSecret") ? $"has a {File} with apiKey or apiSecret, where the platform reads {string.Join(" and ", Names)}"
                : $"has a {File} without {string.Join(" and ", missing)}";
        }
        catch (Exception exception) when (exception is FormatException or JsonException)
        {
            return $"has a {File} that is no JSON object";
        }
    }

    /// <summary>The accounts whose keys are in a namespace.</summary>
    public static async Task<IReadOnlyList<string>> PresentAsync(
        KubernetesCluster cluster, string @namespace, IReadOnlyList<string> accounts, CancellationToken cancellationToken)
    {
        var names = (await cluster.ListAsync($"/api/v1/namespaces/{@namespace}/secrets", cancellationToken))
            .Select(s => s["metadata"]!["name"]!.GetValue<string>()).ToHashSet();
        return [.. accounts.Where(a => names.Contains(SecretOf(a)))];
    }

    /// <summary>Takes the keys out of a namespace; pods that have read them must be restarted by the caller.</summary>
    public static async Task WithholdAsync(KubernetesCluster cluster, string @namespace, IReadOnlyList<string> accounts, CancellationToken cancellationToken)
    {
        foreach (var account in accounts)
        {
            await cluster.DeleteAsync($"/api/v1/namespaces/{@namespace}/secrets/{SecretOf(account)}", cancellationToken);
        }
    }

    /// <summary>Copies the keys from one namespace to another, through memory only.</summary>
    public static Task CopyAsync(KubernetesCluster cluster, string from, string to, IReadOnlyList<string> accounts, CancellationToken cancellationToken) =>
        SecretCopies.CopyAsync(cluster, from, to, [.. accounts.Select(SecretOf)], cancellationToken);
}

/// <summary>Secrets that a slot gets from the other one.</summary>
public static class SecretCopies
{
    private const string ManagedBy = "app.kubernetes.io/managed-by";
    private const string Us = "aether-rollout";

    /// <summary>Whether a Secret is such a copy.</summary>
    public static bool IsCopy(JsonObject secret) => secret["metadata"]?["labels"]?[ManagedBy]?.GetValue<string>() == Us;

    /// <summary>Copies secrets by name, through memory only; one that the source lacks is an error.</summary>
    /// <exception cref="RolloutException">The source namespace has no such secret.</exception>
    public static async Task CopyAsync(KubernetesCluster cluster, string from, string to, IReadOnlyList<string> names, CancellationToken cancellationToken)
    {
        var secrets = (await cluster.ListAsync($"/api/v1/namespaces/{from}/secrets", cancellationToken))
            .ToDictionary(s => s["metadata"]!["name"]!.GetValue<string>());
        foreach (var name in names)
        {
            if (!secrets.TryGetValue(name, out var secret))
            {
                throw new RolloutException($"Secret {from}/{name} does not exist.", $"Look: kubectl get secrets -n {from}");
            }

            await cluster.ApplyAsync(
                $"/api/v1/namespaces/{to}/secrets",
                new JsonObject
                {
                    ["apiVersion"] = "v1",
                    ["kind"] = "Secret",
                    ["metadata"] = new JsonObject
                    {
                        ["name"] = name,
                        ["namespace"] = to,
                        ["labels"] = new JsonObject { [ManagedBy] = Us },
                    },
                    ["type"] = secret["type"]?.DeepClone(),
                    ["data"] = secret["data"]?.DeepClone(),
                },
                cancellationToken);
        }
    }
}
