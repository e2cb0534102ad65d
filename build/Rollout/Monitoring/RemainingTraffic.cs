using System.Text.Json;

namespace Rollout.Monitoring;

/// <summary>What clients still asked of a slot in a while.</summary>
/// <param name="PerSecond">Requests a second, by production host; hosts that were not asked are not in it.</param>
/// <param name="Window">For how long it was counted.</param>
/// <param name="Problem">Why it is not known, in words; null where it is.</param>
public sealed record SlotTraffic(IReadOnlyDictionary<string, double> PerSecond, TimeSpan Window, string? Problem)
{
    /// <summary>Requests a second over all production hosts.</summary>
    public double Total => PerSecond.Values.Sum();

    public override string ToString() => Problem is not null
        ? $"an unknown number of requests: {Problem}"
        : Total == 0
            ? $"no request in {Window.TotalSeconds:0} s"
            : $"{Total:0.##} requests/s over {Window.TotalSeconds:0} s, most of them for {string.Join(", ", PerSecond.OrderByDescending(host => host.Value).Take(3).Select(host => $"{host.Key} ({host.Value:0.##}/s)"))}";
}

/// <summary>
/// The traffic that a slot still gets after clients were sent away: resolvers with a floor, JVMs and open connections never ask DNS again.
/// It is counted at the slot's ingress controller (ingress-nginx's <c>nginx_ingress_controller_requests</c>), where neither the kubelet's
/// probes nor the services' calls among themselves pass; the services' own <c>http_request_duration_seconds</c> has no label that would
/// tell these from clients.
/// </summary>
/// <param name="cluster">Speaks to the API server.</param>
/// <param name="ingressService">The ingress controller's Service, <c>NAMESPACE/NAME</c>; the pods behind it are read.</param>
/// <param name="hosts">The production hosts; what is asked for other names is nobody's.</param>
public sealed class RemainingTraffic(HttpClient cluster, string ingressService, IReadOnlyCollection<string> hosts, TimeProvider time)
{
    private const string Requests = "nginx_ingress_controller_requests";

    /// <summary>Counts for a while.</summary>
    public async Task<SlotTraffic> MeasureAsync(TimeSpan window, CancellationToken cancellationToken)
    {
        var count = await BeginAsync(cancellationToken);
        await Waiting.PauseAsync(window, time, cancellationToken);
        return await count(cancellationToken);
    }

    /// <summary>Looks a first time; what it returns looks a second time, whenever it is called, and gives the traffic in between.</summary>
    public async Task<Func<CancellationToken, Task<SlotTraffic>>> BeginAsync(CancellationToken cancellationToken)
    {
        var (first, problem) = await LookAsync(cancellationToken);
        var start = time.GetTimestamp();
        return async token =>
        {
            var (last, later) = await LookAsync(token);
            var window = time.GetElapsedTime(start);
            return (problem ?? later) is { } why
                ? new SlotTraffic(new Dictionary<string, double>(), window, why)
                : new SlotTraffic(Rates(first, last, window), window, null);
        };
    }

    private Dictionary<string, double> Rates(IReadOnlyList<PodScrape> first, IReadOnlyList<PodScrape> last, TimeSpan window)
    {
        var before = first.ToDictionary(scrape => scrape.Incarnation, Counts);
        return last
            .SelectMany(scrape => Counts(scrape).Select(count =>
            {
                // A controller that began anew counts from zero.
                var then = before.GetValueOrDefault(scrape.Incarnation)?.GetValueOrDefault(count.Key) ?? 0;
                return (Host: count.Key, Asked: count.Value >= then ? count.Value - then : count.Value);
            }))
            .Where(host => host.Asked > 0)
            .GroupBy(host => host.Host)
            .ToDictionary(group => group.Key, group => group.Sum(host => host.Asked) / window.TotalSeconds);
    }

    private Dictionary<string, double> Counts(PodScrape scrape) => scrape.Samples
        .Where(sample => sample.Name == Requests && hosts.Contains(sample.Label("host")))
        .GroupBy(sample => sample.Label("host"))
        .ToDictionary(group => group.Key, group => group.Sum(sample => sample.Value));

    private async Task<(IReadOnlyList<PodScrape> Scrapes, string? Problem)> LookAsync(CancellationToken cancellationToken)
    {
        var (@namespace, name) = (ingressService[..ingressService.IndexOf('/', StringComparison.Ordinal)], ingressService[(ingressService.IndexOf('/', StringComparison.Ordinal) + 1)..]);
        var answer = await ProxyAnswer.AskAsync(cluster, $"/api/v1/namespaces/{@namespace}/services/{name}", "application/json", TimeSpan.FromSeconds(15), time, cancellationToken);
        if (answer.Code != 200)
        {
            return ([], $"the Service {ingressService} cannot be read ({answer.Describe()})");
        }

        using var service = JsonDocument.Parse(answer.Body);
        if (!service.RootElement.GetProperty("spec").TryGetProperty("selector", out var selector) || selector.ValueKind != JsonValueKind.Object)
        {
            return ([], $"the Service {ingressService} selects no pods");
        }

        var labels = string.Join(',', selector.EnumerateObject().Select(label => $"{label.Name}={label.Value.GetString()}"));
        try
        {
            var scrapes = await new PodMetrics(cluster, @namespace, time, "metrics").ScrapeAsync(labels, cancellationToken);
            return scrapes.FirstOrDefault(scrape => scrape.Outcome != ScrapeOutcome.Read) is { } silent
                ? (scrapes, $"{silent.Pod} shows no metrics ({silent.Detail})")
                : (scrapes, scrapes.Count == 0 ? $"the Service {ingressService} has no pods" : null);
        }
        catch (RolloutException exception)
        {
            return ([], exception.Message.TrimEnd('.'));
        }
    }
}
