using System.Text.Json.Nodes;
using Rollout.Cluster;
using Rollout.Traffic;

namespace Rollout.Playbook;

/// <summary>
/// Whether every secret that the candidate will want is there and is what its readers take: 2.1 copies live's, so live's are looked at, and those that the chart
/// makes itself. Messages name secret and key, never a value.
/// </summary>
internal static class SecretChecks
{
    private const string Certificate = "tls.crt";
    private static readonly string[] Pair = [Certificate, "tls.key"];

    public static async Task LookAsync(RolloutRun run, RenderedChart rendered, Findings found, CancellationToken cancellationToken)
    {
        var live = ByName(await run.Cluster.ListAsync($"/api/v1/namespaces/{run.Live.Namespace}/secrets", cancellationToken));
        var made = ByName(rendered.Objects.Where(o => o["kind"]?.GetValue<string>() == "Secret" && o["metadata"]?["name"] is JsonValue));
        var issued = await IssuedAsync(run, rendered, live, cancellationToken);
        var shape = new SecretShape(SecretShape.SamplesIn((await run.LayersAsync(run.Candidate, cancellationToken))[0]));
        var keys = run.Settings.List("Platform.Accounts").ToDictionary(ExchangeKeys.SecretOf);
        foreach (var secret in rendered.Secrets.GroupBy(s => s.Secret).Where(s => !keys.ContainsKey(s.Key)))
        {
            if (made.TryGetValue(secret.Key, out var own))
            {
                Judge($"secret {secret.Key}, which the chart makes,", own, secret);
            }
            else if (issued.TryGetValue(secret.Key, out own))
            {
                Judge($"secret {run.Candidate.Namespace}/{secret.Key}", own, secret);
            }
            else if (live.TryGetValue(secret.Key, out own))
            {
                Judge($"secret {run.Live.Namespace}/{secret.Key}", own, secret);
            }
            else if (secret.All(s => s.IsOptional))
            {
                found.Warnings.Add($"secret {run.Live.Namespace}/{secret.Key} does not exist; it is optional, so pods start without it, as {run.Named(run.Live)}'s do");
            }
            else
            {
                found.Problems.Add($"secret {run.Live.Namespace}/{secret.Key} does not exist");
            }
        }

        // Pods start without them, and read them once: nobody else would notice.
        foreach (var (name, account) in keys)
        {
            if (!live.TryGetValue(name, out var own))
            {
                found.Problems.Add($"secret {run.Live.Namespace}/{name} does not exist: {account} could not trade");
                continue;
            }

            var problems = ExchangeKeys.ProblemOf(own["data"] as JsonObject ?? []) is { } unreadable ? [unreadable] : shape.ProblemsOf(own, null);
            found.Problems.AddRange(problems.Select(p => $"secret {run.Live.Namespace}/{name} {p}"));
        }

        foreach (var shared in keys.Keys.Where(live.ContainsKey).GroupBy(n => live[n]["data"]?["credentials.json"]?.ToString()).Where(g => g.Key is not null && g.Count() > 1))
        {
            found.Problems.Add($"secrets {string.Join(" and ", shared.Select(n => $"{run.Live.Namespace}/{n}"))} hold the same exchange keys: one account would trade for the other");
        }

        void Judge(string named, JsonObject secret, IEnumerable<SecretReference> references)
        {
            var content = SecretShape.ContentOf(secret);
            var isCertificate = secret["type"]?.GetValue<string>() == "kubernetes.io/tls" || references.Any(r => r.Key == Certificate);
            if (isCertificate && HostCertificate.Read(Encoded(content)).Problem is { } unreadable)
            {
                found.Problems.Add($"{named} {unreadable}");
            }

            var wanted = references.Any(r => r.Key is null) && !isCertificate ? null : references
                .Where(r => r.Key is not null && !(r.IsOptional && !content.ContainsKey(r.Key)) && !(isCertificate && Pair.Contains(r.Key))).Select(r => r.Key!).Distinct().ToList();
            found.Problems.AddRange(shape.ProblemsOf(secret, wanted).Select(p => $"{named} {p}"));
        }
    }

    // The TLS secrets of the candidate's own that 2.1 and 3.1 leave as they are.
    private static async Task<Dictionary<string, JsonObject>> IssuedAsync(
        RolloutRun run, RenderedChart rendered, Dictionary<string, JsonObject> live, CancellationToken cancellationToken)
    {
        var own = await Certificates.SecretsAsync(run, run.Candidate.Namespace, rendered, cancellationToken);
        return own.Where(s => s.Value is not null && !Certificates.IsStale(
                live.GetValueOrDefault(s.Key), s.Value, [.. run.Hosts.Where(h => rendered.TlsSecretOf(h) == s.Key)], run.Time.GetUtcNow()))
            .ToDictionary(s => s.Key, s => s.Value!);
    }

    private static JsonObject Encoded(IReadOnlyDictionary<string, byte[]?> content) => new(content.Where(c => c.Value is not null)
        .Select(c => KeyValuePair.Create(c.Key, (JsonNode?)JsonValue.Create(Convert.ToBase64String(c.Value!)))));

    private static Dictionary<string, JsonObject> ByName(IEnumerable<JsonObject> objects) =>
        objects.GroupBy(o => o["metadata"]!["name"]!.GetValue<string>()).ToDictionary(g => g.Key, g => g.First());
}
