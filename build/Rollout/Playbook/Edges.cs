using System.Text.Json;
using System.Text.Json.Nodes;
using Rollout.Cluster;
using Rollout.Environments;
using Rollout.Traffic;

namespace Rollout.Playbook;

/// <summary>What 3.1, 3.2 and 5.3 want to see of a slot's edge.</summary>
internal static class Edges
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(15);

    // Nobody trades meanwhile; it is enough for an edge that is just reloading.
    private static readonly TimeSpan PatienceInFreeze = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(250);

    /// <summary>Aether's services answer 404 to the first; each has the second, unless it was switched off (platform contract, section 2.2).</summary>
    private static readonly string[] Paths = ["/", "/openapi.json"];

    /// <summary>Whether the edge knows the host: TLS holds, and the answer is neither the edge's own 404 nor a failing backend.</summary>
    public static bool IsServed(HostProbeResult probe) => probe.Error is null && probe.Status is { } status && status < 500 && !IsUnknownHost(probe);

    public static string Describe(HostProbeResult probe) => probe.Error is not null
        ? $"{probe.Host} at {probe.Address}: {probe.Error}"
        : $"{probe.Host} at {probe.Address} answered {probe.Status}{(IsUnknownHost(probe) ? " from the default backend: the edge does not serve this host" : string.Empty)}";

    /// <summary>
    /// Whether clients could be sent to the candidate now: for every production host an Ingress of the candidate's class with a valid certificate of its
    /// own, answers no worse than live's to the same requests, every header that its rendered Ingress promises and every hardened header that live sends;
    /// and every Deployment at live's size. No record is written and nothing is frozen before this holds.
    /// </summary>
    /// <param name="tells">Whether warnings and what changes on purpose are printed: once in a rollout is enough.</param>
    /// <exception cref="RolloutException">Something of that is missing; every problem is named.</exception>
    public static async Task RequireReadyAsync(RolloutRun run, CancellationToken cancellationToken, bool tells = false)
    {
        var places = await Task.WhenAll(run.AddressAsync(run.Live, cancellationToken), run.AddressAsync(run.Candidate, cancellationToken));
        var patience = run.Progress.FrozenSince is null ? Patience : PatienceInFreeze;
        var start = run.Time.GetTimestamp();

        // What helm installed, not what somebody may have made of it since: the wire is held against the promise.
        var manifest = run.Deployment.ManifestAsync(run.Settings["Chart.ReleaseName"]!, run.Candidate.Namespace);
        var seen = await Waiting.UntilAsync(
            $"{run.Named(run.Candidate)} to be ready for clients",
            token => LookAsync(run, manifest, places[0], places[1], token),
            findings => findings.Problems.Count == 0 || run.Time.GetElapsedTime(start) >= patience - Interval,
            findings => string.Join("; ", findings.Problems.Take(3)),
            patience,
            Interval,
            run.Time,
            run.Console.Progress,
            cancellationToken);
        if (seen.Problems.Count > 0)
        {
            throw new RolloutException(
                $"{run.Named(run.Candidate)} is not ready for clients; no record was changed. {seen.Problems.Count} {(seen.Problems.Count == 1 ? "thing is" : "things are")} wrong:\n  - {string.Join("\n  - ", seen.Problems)}",
                $"Mend {(seen.Problems.Count == 1 ? "it" : "them")} and run the same command again. What each host shows: curl -sv --resolve HOST:{run.Surroundings.HttpsPort}:{places[1]} https://HOST:{run.Surroundings.HttpsPort}/");
        }

        foreach (var warning in tells ? seen.Warnings : [])
        {
            run.Console.Warning(warning);
        }

        foreach (var note in tells ? seen.Notes : [])
        {
            run.Console.Note(note);
        }

        run.Console.Note($"{run.Hosts.Count} production hosts answer at {places[1]} as they do at {places[0]}, with their headers and certificates; every Deployment has {run.Named(run.Live)}'s size");
    }

    /// <summary>
    /// Asks the slot's address for every production host with SNI and compares each host's hardened headers with those that its Ingress sets.
    /// </summary>
    /// <exception cref="RolloutException">A host is not served or lacks a header; every difference is named.</exception>
    public static async Task RequireAsync(RolloutRun run, SlotPlace slot, CancellationToken cancellationToken)
    {
        var address = await run.AddressAsync(slot, cancellationToken);
        var ingresses = await run.Cluster.ListAsync($"/apis/networking.k8s.io/v1/namespaces/{slot.Namespace}/ingresses", cancellationToken);
        await Waiting.UntilAsync(
            $"all production hosts at {address}",
            async token =>
            {
                var probes = await Task.WhenAll(run.Hosts.Select(h => run.Probe.ProbeAsync(h, "/", address, token)));
                return probes.SelectMany(p => IsServed(p)
                    ? HardenedHeaders.Compare(p.Host, Promised(p.Host, ingresses), p)
                    : [Describe(p)]).ToList();
            },
            problems => problems.Count == 0,
            problems => string.Join("; ", problems.Take(5)),
            Patience,
            Interval,
            run.Time,
            run.Console.Progress,
            cancellationToken);
        run.Console.Note($"{run.Hosts.Count} production hosts answer at {address} with their headers and certificates");
    }

    /// <summary>How the candidate's answer to a request is worse than live's, in words; null where it is not. Where live does not answer, nothing is worse.</summary>
    internal static string? WorseThanLive(HostProbeResult live, HostProbeResult candidate)
    {
        if (live.Status is not { } expected || candidate.Status == expected)
        {
            return null;
        }

        var isWorse = candidate.Status is not { } status || status / 100 > Math.Max(expected / 100, 3) || (status == 404 && expected < 500);
        return isWorse
            ? $"{candidate.Host} at {candidate.Address}: {candidate.Path} {(candidate.Error is { } error ? $"failed ({error})" : $"answered {candidate.Status}")}, expected {expected} as live answers"
            : null;
    }

    private static async Task<Findings> LookAsync(
        RolloutRun run, Task<RenderedChart?> installed, string liveAddress, string address, CancellationToken cancellationToken)
    {
        // All at once: in 3.2 nobody trades while this looks.
        var live = Task.WhenAll(run.Hosts.Select(h => AskAsync(h, liveAddress)));
        var candidate = Task.WhenAll(run.Hosts.Select(h => AskAsync(h, address)));
        var missing = Replicas.MissingAsync(run, cancellationToken);
        var rendered = await installed
            ?? throw new RolloutException($"helm has no release {run.Settings["Chart.ReleaseName"]} in {run.Candidate.Namespace}.", $"Look: helm list -n {run.Candidate.Namespace} --all");
        var secrets = await Certificates.SecretsAsync(run, run.Candidate.Namespace, rendered, cancellationToken);
        var findings = new Findings();
        var without = new List<string>();
        foreach (var (host, index) in run.Hosts.Select((h, i) => (h, i)))
        {
            var promised = Promised(host, rendered.IngressesOf(host));
            if (!promised.Keys.Any(HardenedHeaders.IsHardening))
            {
                without.Add(host);
            }

            JudgeIngress(run, host, rendered, findings);
            JudgeCertificate(run, host, rendered, secrets, (await candidate)[index][0], findings);
            JudgeAnswers(host, promised, (await live)[index], (await candidate)[index], findings);
        }

        if (without.Count > 0)
        {
            findings.Notes.Add($"no Ingress promises a hardened header for {string.Join(", ", without)}; what live sends there is sent by the candidate too");
        }

        findings.Problems.AddRange(await missing);
        return findings;

        Task<HostProbeResult[]> AskAsync(string host, string at) => Task.WhenAll(Paths.Select(p => run.Probe.ProbeAsync(host, p, at, cancellationToken)));
    }

    private static void JudgeIngress(RolloutRun run, string host, RenderedChart rendered, Findings findings)
    {
        var classes = rendered.IngressesOf(host).Select(RenderedChart.ClassOf).ToList();
        if (classes.Count == 0)
        {
            findings.Problems.Add($"{host}: no Ingress of {run.Named(run.Candidate)} serves it");
        }
        else if (classes.FirstOrDefault(c => c != run.Candidate.IngressClass) is { } other)
        {
            findings.Problems.Add($"{host}: its Ingress has class {other}, expected {run.Candidate.IngressClass}, the class of {run.Named(run.Candidate)}");
        }
    }

    private static void JudgeCertificate(
        RolloutRun run,
        string host,
        RenderedChart rendered,
        IReadOnlyDictionary<string, JsonObject?> secrets,
        HostProbeResult probe,
        Findings findings)
    {
        var days = run.Settings.WholeNumber("Traffic.CertificateDays");
        var now = run.Time.GetUtcNow();
        var (problem, warning, certificate) = Certificates.Judge(host, rendered, run.Candidate.Namespace, secrets, days, now);
        if (problem is not null)
        {
            findings.Problems.Add(problem);
        }

        if (warning is not null)
        {
            findings.Warnings.Add(warning);
        }

        // What is presented is what clients get; where it is not trusted the probe has an error already.
        if (probe.Error is null && probe.Certificate is { } presented && presented.Fingerprint != certificate?.Fingerprint)
        {
            if (presented.ProblemFor(host, now, TimeSpan.FromDays(days)) is { } wire)
            {
                findings.Problems.Add($"{host} at {probe.Address}: the certificate presented ({presented.Subject}) {wire}");
            }
            else
            {
                findings.Warnings.Add($"{host} at {probe.Address}: the certificate presented ({presented.Subject}, until {presented.Until:yyyy-MM-dd HH:mm} UTC) is not the one of its TLS secret");
            }
        }
    }

    private static void JudgeAnswers(
        string host, IReadOnlyDictionary<string, string> promised, HostProbeResult[] live, HostProbeResult[] candidate, Findings findings)
    {
        var (first, lives) = (candidate[0], live[0]);
        if (!IsServed(first))
        {
            findings.Problems.Add($"{Describe(first)}{(lives.Status is { } status ? $", expected {status} as live answers" : string.Empty)}");
            return;
        }

        findings.Problems.AddRange(live.Zip(candidate).Select(p => WorseThanLive(p.First, p.Second)).OfType<string>());
        findings.Problems.AddRange(HardenedHeaders.Compare(host, promised, first));
        var (problems, warnings, differences) = HardenedHeaders.CompareWithLive(host, promised, lives, first);
        findings.Problems.AddRange(problems);
        findings.Warnings.AddRange(warnings);
        findings.Notes.AddRange(differences);
        if (lives.Error is not null)
        {
            findings.Warnings.Add($"{Describe(lives)}; there is nothing to compare the candidate with");
        }
    }

    /// <summary>The headers that the host's Ingresses set.</summary>
    internal static Dictionary<string, string> Promised(string host, IEnumerable<JsonObject> ingresses)
    {
        var headers = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        foreach (var ingress in ingresses.Where(i => RenderedChart.HostsOf(i).Contains(host, StringComparer.OrdinalIgnoreCase)))
        {
            using var document = JsonDocument.Parse(ingress.ToJsonString());
            foreach (var (name, value) in HardenedHeaders.FromIngress(document.RootElement))
            {
                headers[name] = value;
            }
        }

        return headers;
    }

    // Aether's services answer 404 to "/" in JSON; an ingress controller's default backend does not.
    private static bool IsUnknownHost(HostProbeResult probe) =>
        probe.Status == 404 && probe.Headers.GetValueOrDefault("content-type")?.Contains("json", StringComparison.OrdinalIgnoreCase) != true;

    /// <summary>What a look at the candidate came to.</summary>
    private sealed record Findings
    {
        public List<string> Problems { get; } = [];

        public List<string> Warnings { get; } = [];

        public List<string> Notes { get; } = [];
    }
}
