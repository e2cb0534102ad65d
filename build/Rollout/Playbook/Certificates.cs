using System.Text.Json.Nodes;
using Rollout.Cluster;
using Rollout.Traffic;

namespace Rollout.Playbook;

/// <summary>
/// The TLS secrets of the candidate's production hosts. HTTP-01 cannot succeed for a name that points at the other slot (platform contract, section
/// 8.4): they are live's, copied, or cert-manager has issued them in the candidate's namespace by DNS-01.
/// </summary>
internal static class Certificates
{
    /// <summary>Below this many days a certificate is told, though it does.</summary>
    public const int SoonDays = 21;

    // cert-manager writes it into each secret that it issues; a copy does not carry it.
    private const string IssuedMark = "cert-manager.io/certificate-name";

    /// <summary>Copies what live has and the candidate lacks, or has an older copy of.</summary>
    /// <param name="rendered">The candidate's chart with the production hosts.</param>
    /// <exception cref="RolloutException">Neither slot has one of the secrets.</exception>
    public static async Task CopyAsync(RolloutRun run, RenderedChart rendered, StepJournal journal, CancellationToken cancellationToken)
    {
        var live = await SecretsAsync(run, run.Live.Namespace, rendered, cancellationToken);
        var candidate = await SecretsAsync(run, run.Candidate.Namespace, rendered, cancellationToken);
        if (live.Keys.Where(name => live[name] is null && candidate[name] is null).ToList() is { Count: > 0 } missing)
        {
            throw new RolloutException(
                $"Secret {string.Join(", ", missing.Select(m => $"{run.Live.Namespace}/{m}"))} does not exist, and {run.Candidate.Namespace} has none of its own.",
                $"Look: kubectl get secrets -n {run.Live.Namespace}");
        }

        var copied = live.Keys.Where(name => IsStale(live[name], candidate[name], [.. HostsOf(run, rendered, name)], run.Time.GetUtcNow())).ToList();
        if (copied.Where(name => candidate[name] is not null).ToList() is { Count: > 0 } replaced)
        {
            await journal.IntendAsync("certificates", new()
            {
                ["before"] = Fingerprints(candidate, replaced),
                ["after"] = Fingerprints(live, replaced),
            });
            run.Console.Note($"certificates that {run.Named(run.Live)} has other ones of by now: {string.Join(", ", replaced)}");
        }

        await SecretCopies.CopyAsync(run.Cluster, run.Live.Namespace, run.Candidate.Namespace, copied, cancellationToken);
    }

    /// <summary>
    /// Whether the candidate's TLS secret is to be replaced by live's: it is not there, it is a copy of what live had before, or it serves worse than
    /// live's would. What cert-manager has issued in the candidate's namespace is never replaced.
    /// </summary>
    /// <param name="hosts">The production hosts that the secret is for.</param>
    internal static bool IsStale(JsonObject? live, JsonObject? candidate, IReadOnlyList<string> hosts, DateTimeOffset now)
    {
        if (live is null || candidate is null)
        {
            return live is not null;
        }

        if (candidate["metadata"]?["annotations"]?[IssuedMark] is not null || JsonNode.DeepEquals(live["data"], candidate["data"]))
        {
            return false;
        }

        var lives = HostCertificate.Read(live["data"] as JsonObject).Certificate;
        if (lives is null || hosts.Any(h => lives.ProblemFor(h, now, TimeSpan.Zero) is not null))
        {
            return false;
        }

        var own = HostCertificate.Read(candidate["data"] as JsonObject).Certificate;
        return own is null || SecretCopies.IsCopy(candidate) || own.Until < lives.Until || hosts.Any(h => own.ProblemFor(h, now, TimeSpan.Zero) is not null);
    }

    /// <summary>What 3.1 would refuse, or warn of, if it copied live's certificates now: a sentence for each host.</summary>
    public static async Task<IReadOnlyList<string>> OutlookAsync(RolloutRun run, RenderedChart rendered, CancellationToken cancellationToken)
    {
        var live = await SecretsAsync(run, run.Live.Namespace, rendered, cancellationToken);
        var candidate = await SecretsAsync(run, run.Candidate.Namespace, rendered, cancellationToken);
        var days = run.Settings.WholeNumber("Traffic.CertificateDays");
        return [.. run.Hosts
            .Select(host =>
            {
                var stays = rendered.TlsSecretOf(host) is { } name && !IsStale(live[name], candidate[name], [host], run.Time.GetUtcNow()) && candidate[name] is not null;
                return Judge(host, rendered, (stays ? run.Candidate : run.Live).Namespace, stays ? candidate : live, days, run.Time.GetUtcNow());
            })
            .Select(j => j.Problem ?? j.Warning).OfType<string>().Distinct()];
    }

    /// <summary>The TLS secrets that the production hosts' Ingresses name, as a namespace has them; null where it lacks one.</summary>
    public static async Task<IReadOnlyDictionary<string, JsonObject?>> SecretsAsync(
        RolloutRun run, string @namespace, RenderedChart rendered, CancellationToken cancellationToken)
    {
        var names = NamesOf(run, rendered);
        var found = await Task.WhenAll(names.Select(n => run.Cluster.GetAsync($"/api/v1/namespaces/{@namespace}/secrets/{n}", cancellationToken)));
        return names.Zip(found).ToDictionary(p => p.First, p => p.Second as JsonObject);
    }

    /// <summary>The names of these secrets, sorted.</summary>
    public static IReadOnlyList<string> NamesOf(RolloutRun run, RenderedChart rendered) =>
        [.. run.Hosts.Select(rendered.TlsSecretOf).OfType<string>().Distinct().Order(StringComparer.Ordinal)];

    /// <summary>What is wrong with the certificate that a host's Ingress names, and what is worth a warning; nulls where nothing is.</summary>
    /// <param name="secrets">As <see cref="SecretsAsync"/> found them in the namespace.</param>
    internal static (string? Problem, string? Warning, HostCertificate? Certificate) Judge(
        string host, RenderedChart rendered, string @namespace, IReadOnlyDictionary<string, JsonObject?> secrets, int days, DateTimeOffset now)
    {
        if (rendered.TlsSecretOf(host) is not { } name)
        {
            return ($"{host}: no Ingress names a TLS secret for it", null, null);
        }

        var secret = $"{@namespace}/{name}";
        if (secrets.GetValueOrDefault(name) is not { } found)
        {
            return ($"{host}: its TLS secret {secret} does not exist", null, null);
        }

        var (certificate, unreadable) = HostCertificate.Read(found["data"] as JsonObject);
        if (certificate is null)
        {
            return ($"{host}: its TLS secret {secret} {unreadable}", null, null);
        }

        if (certificate.ProblemFor(host, now, TimeSpan.FromDays(days)) is { } problem)
        {
            var issued = found["metadata"]?["annotations"]?[IssuedMark]?.GetValue<string>();
            var mend = issued is not null ? $"renew certificate {issued} there by DNS-01" : "renew live's, which 3.1 copies, or issue one there by DNS-01";
            return ($"{host}: the certificate in {secret} {problem}; {mend}", null, certificate);
        }

        return (null, certificate.Until - now < TimeSpan.FromDays(SoonDays) ? $"{host}: the certificate in {secret} expires at {certificate.Until:yyyy-MM-dd HH:mm} UTC" : null, certificate);
    }

    private static IEnumerable<string> HostsOf(RolloutRun run, RenderedChart rendered, string secret) => run.Hosts.Where(h => rendered.TlsSecretOf(h) == secret);

    private static JsonObject Fingerprints(IReadOnlyDictionary<string, JsonObject?> secrets, IEnumerable<string> names) => new(names.Select(n =>
        KeyValuePair.Create(n, (JsonNode?)JsonValue.Create(HostCertificate.Read(secrets[n]?["data"] as JsonObject).Certificate?.Fingerprint))));
}
