using System.Text.Json;
using Rollout.Environments;
using Rollout.Traffic;

namespace Rollout.Playbook;

/// <summary>What 2.5, 3.1, 3.2 and 5.2 want to see of a slot's edge.</summary>
internal static class Edges
{
    /// <summary>Whether the edge knows the host: TLS holds, and the answer is neither the edge's own 404 nor a failing backend.</summary>
    public static bool IsServed(HostProbeResult probe) => probe.Error is null && probe.Status is { } status && status < 500 && !IsUnknownHost(probe);

    public static string Describe(HostProbeResult probe) => probe.Error is not null
        ? $"{probe.Host} at {probe.Address}: {probe.Error}"
        : $"{probe.Host} at {probe.Address} answered {probe.Status}{(IsUnknownHost(probe) ? " from the default backend: the edge does not serve this host" : string.Empty)}";

    /// <summary>
    /// Asks the slot's address for every production host with SNI and compares each host's hardened headers with those that its Ingress sets.
    /// </summary>
    /// <exception cref="RolloutException">A host is not served or lacks a header; every difference is named.</exception>
    public static async Task RequireAsync(RolloutRun run, SlotPlace slot, CancellationToken cancellationToken)
    {
        var address = await run.AddressAsync(slot, cancellationToken);
        var expected = await ExpectedHeadersAsync(run, slot, cancellationToken);
        await Waiting.UntilAsync(
            $"all production hosts at {address}",
            async token =>
            {
                var probes = await Task.WhenAll(run.Hosts.Select(h => run.Probe.ProbeAsync(h, "/", address, token)));
                return probes.SelectMany(p => IsServed(p)
                    ? HardenedHeaders.Compare(p.Host, expected.GetValueOrDefault(p.Host) ?? new Dictionary<string, string>(), p)
                    : [Describe(p)]).ToList();
            },
            problems => problems.Count == 0,
            problems => string.Join("; ", problems.Take(5)),
            TimeSpan.FromSeconds(15),
            TimeSpan.FromMilliseconds(250),
            run.Time,
            run.Console.Progress,
            cancellationToken);
        run.Console.Note($"{run.Hosts.Count} production hosts answer at {address} with their headers and certificates");
    }

    private static async Task<Dictionary<string, IReadOnlyDictionary<string, string>>> ExpectedHeadersAsync(
        RolloutRun run, SlotPlace slot, CancellationToken cancellationToken)
    {
        var headers = new Dictionary<string, IReadOnlyDictionary<string, string>>(StringComparer.OrdinalIgnoreCase);
        foreach (var ingress in await run.Cluster.ListAsync($"/apis/networking.k8s.io/v1/namespaces/{slot.Namespace}/ingresses", cancellationToken))
        {
            using var document = JsonDocument.Parse(ingress.ToJsonString());
            foreach (var host in Cluster.RenderedChart.HostsOf(ingress))
            {
                headers[host] = HardenedHeaders.FromIngress(document.RootElement);
            }
        }

        return headers;
    }

    // Aether's services answer 404 to "/" in JSON; an ingress controller's default backend does not.
    private static bool IsUnknownHost(HostProbeResult probe) =>
        probe.Status == 404 && probe.Headers.GetValueOrDefault("content-type")?.Contains("json", StringComparison.OrdinalIgnoreCase) != true;
}
