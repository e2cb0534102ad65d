using System.Text.Json.Nodes;
using Rollout.Cluster;
using Rollout.Traffic;

namespace Rollout.Playbook;

/// <summary>
/// 2.5's own smoke test: the candidate through its staging hosts, as a client would meet it. What live sends at the production host of the same Ingress is the
/// measure, so that what 3.1 would refuse is known hours before the freeze.
/// </summary>
internal static class StagingHosts
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(250);

    /// <summary>Aether's services answer 404 to the first; each has the second, unless it was switched off (platform contract, section 2.2).</summary>
    private static readonly string[] Paths = ["/", "/openapi.json"];

    /// <summary>
    /// Whether every staging host answers at the candidate's address, with a certificate that clients trust, no worse than live, with every header that its
    /// Ingress promises and every hardened one that live sends.
    /// </summary>
    /// <exception cref="RolloutException">Something of that is missing; every problem is named.</exception>
    public static async Task RequireAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var hosts = (await run.RenderAsync(run.Candidate, run.CandidateValues, "candidate", cancellationToken)).Hosts.Except(run.Hosts).ToList();
        var places = await Task.WhenAll(run.AddressAsync(run.Live, cancellationToken), run.AddressAsync(run.Candidate, cancellationToken));
        var ingresses = await Task.WhenAll(new[] { run.Live, run.Candidate }.Select(s => run.Cluster.ListAsync($"/apis/networking.k8s.io/v1/namespaces/{s.Namespace}/ingresses", cancellationToken)));
        var twins = hosts.ToDictionary(h => h, h => TwinOf(h, ingresses[1], ingresses[0], run.Hosts));
        var start = run.Time.GetTimestamp();
        var seen = await Waiting.UntilAsync(
            "the staging hosts to answer",
            token => LookAsync(token),
            found => found.Problems.Count == 0 || run.Time.GetElapsedTime(start) >= Patience - Interval,
            found => string.Join("; ", found.Problems.Take(3)),
            Patience,
            Interval,
            run.Time,
            run.Console.Progress,
            cancellationToken);
        foreach (var warning in seen.Warnings)
        {
            run.Console.Warning(warning);
        }

        if (seen.Problems.Count > 0)
        {
            throw new RolloutException(
                $"{run.Named(run.Candidate)} does not answer on its staging hosts as clients need it. {seen.Problems.Count} {(seen.Problems.Count == 1 ? "thing is" : "things are")} wrong:\n  - {string.Join("\n  - ", seen.Problems)}",
                $"Mend {(seen.Problems.Count == 1 ? "it" : "them")} and run the same command again. What each host shows: curl -sv --resolve HOST:{run.Surroundings.HttpsPort}:{places[1]} https://HOST:{run.Surroundings.HttpsPort}/");
        }

        run.Console.Note($"{hosts.Count} staging hosts answer at {places[1]} with their headers and certificates, no worse than {run.Named(run.Live)}");

        async Task<Findings> LookAsync(CancellationToken token)
        {
            var found = new Findings();
            var answers = await Task.WhenAll(hosts.Select(async host => (
                Live: twins[host] is { } twin ? await AskAsync(twin, places[0], token) : null,
                Candidate: await AskAsync(host, places[1], token))));
            foreach (var (host, (live, candidate)) in hosts.Zip(answers))
            {
                Judge(host, Edges.Promised(host, ingresses[1]), live, candidate, run.Settings.WholeNumber("Traffic.CertificateDays"), run.Time.GetUtcNow(), found);
            }

            return found;
        }

        Task<HostProbeResult[]> AskAsync(string host, string at, CancellationToken token) => Task.WhenAll(Paths.Select(p => run.Probe.ProbeAsync(host, p, at, token)));
    }

    /// <summary>The production host that live's Ingress of the same name serves; null where there is none, as for a service that is new.</summary>
    internal static string? TwinOf(string host, IEnumerable<JsonObject> candidate, IEnumerable<JsonObject> live, IReadOnlyList<string> production)
    {
        var names = candidate.Where(i => RenderedChart.HostsOf(i).Contains(host, StringComparer.OrdinalIgnoreCase)).Select(RenderedChart.NameOf).ToHashSet(StringComparer.Ordinal);
        return live.Where(i => names.Contains(RenderedChart.NameOf(i))).SelectMany(RenderedChart.HostsOf).FirstOrDefault(h => production.Contains(h, StringComparer.OrdinalIgnoreCase));
    }

    /// <summary>Judges one host.</summary>
    /// <param name="promised">The headers that its Ingress sets.</param>
    /// <param name="live">Live's answers to the same requests at its twin; null where it has none.</param>
    internal static void Judge(
        string host, IReadOnlyDictionary<string, string> promised, HostProbeResult[]? live, HostProbeResult[] candidate, int days, DateTimeOffset now, Findings found)
    {
        if (candidate.FirstOrDefault(a => a.Error is not null) is { } failed)
        {
            found.Problems.Add(Edges.Describe(failed));
            return;
        }

        if (!Edges.IsServed(candidate[0]))
        {
            found.Problems.Add(Edges.Describe(candidate[0]));
            return;
        }

        // Whether it is trusted and for this host was seen at the handshake. Production's certificates are 3.1's matter.
        if (candidate[0].Certificate?.ProblemFor(host, now, TimeSpan.FromDays(days)) is { } soon)
        {
            found.Warnings.Add($"{host} at {candidate[0].Address}: the certificate {soon}");
        }

        found.Problems.AddRange(HardenedHeaders.Compare(host, promised, candidate[0]));
        if (live is not null)
        {
            found.Problems.AddRange(live.Zip(candidate).Select(p => Edges.WorseThanLive(p.First, p.Second)).OfType<string>());
            var (problems, warnings, _) = HardenedHeaders.CompareWithLive(host, promised, live[0], candidate[0]);
            found.Problems.AddRange(problems);
            found.Warnings.AddRange(warnings);
        }
    }
}
