using System.Text.Json;

namespace Rollout.Monitoring;

/// <summary>How a pod answered the request for its metrics.</summary>
public enum ScrapeOutcome
{
    /// <summary>It answered an exposition.</summary>
    Read,

    /// <summary>It runs and has no metrics page (platform contract, section 2.2).</summary>
    Absent,

    /// <summary>It may run, and what it did is not known.</summary>
    Unreadable,
}

/// <summary>One pod's metrics page at one moment.</summary>
/// <param name="App">The workload: the pod's <c>app</c> label. Metrics carry no slot, so only the scrape tells slots apart.</param>
/// <param name="Incarnation">Changes whenever the pod's process may have begun counting from zero: uid and restart count.</param>
/// <param name="Detail">Why it was not read; empty where it was.</param>
/// <param name="Text">The page; empty where it was not read.</param>
public sealed record PodScrape(string Pod, string App, string Incarnation, ScrapeOutcome Outcome, string Detail, string Text)
{
    private IReadOnlyList<MetricSample>? _samples;

    /// <summary>The page's samples, parsed once; or what a server kept of them.</summary>
    public IReadOnlyList<MetricSample> Samples
    {
        get => _samples ??= PrometheusText.Parse(Text);
        init => _samples = value;
    }
}

/// <summary>
/// Reads <c>/metrics</c> of a namespace's pods through the API server's pod proxy: nothing scrapes the candidate until somebody configures
/// it (platform contract, section 9), and a Service would answer with a pod of its own choice.
/// </summary>
/// <param name="cluster">Speaks to the API server.</param>
/// <param name="port">The only port's name that counts, where a pod's annotations name no number; null: <c>http</c>, <c>metrics</c>, or whatever there is.</param>
public sealed class PodMetrics(HttpClient cluster, string @namespace, TimeProvider time, string? port = null)
{
    private const int Parallel = 16;

    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(5);

    /// <summary>Every pod that may be running. Pods that have ended or not begun are left out; terminating ones still work and are
    /// in.</summary>
    /// <param name="selector">A label selector, as <c>app=oms-service</c>; null takes all pods.</param>
    /// <exception cref="RolloutException">The pods cannot be listed.</exception>
    public async Task<IReadOnlyList<PodScrape>> ScrapeAsync(string? selector, CancellationToken cancellationToken)
    {
        var pods = await ListAsync(selector, cancellationToken);
        var scrapes = new PodScrape[pods.Count];
        await System.Threading.Tasks.Parallel.ForAsync(
            0,
            pods.Count,
            new ParallelOptions { MaxDegreeOfParallelism = Parallel, CancellationToken = cancellationToken },
            async (index, token) => scrapes[index] = await ScrapeAsync(pods[index], token));
        return scrapes;
    }

    private async Task<PodScrape> ScrapeAsync(Target pod, CancellationToken cancellationToken)
    {
        if (pod.Port is not { } number)
        {
            return new PodScrape(pod.Name, pod.App, pod.Incarnation, ScrapeOutcome.Absent, port is null ? "declares no port" : $"declares no port '{port}'", string.Empty);
        }

        var answer = await ProxyAnswer.AskAsync(
            cluster, $"/api/v1/namespaces/{@namespace}/pods/http:{pod.Name}:{number}/proxy{pod.Path}", "*/*", Timeout, time, cancellationToken);
        var page = answer.Code == 200 && !answer.Body.AsSpan().TrimStart().StartsWith("<");
        var outcome = page ? ScrapeOutcome.Read
            : !answer.FromCluster && answer.Code is 200 or 404 or 405 ? ScrapeOutcome.Absent
            : ScrapeOutcome.Unreadable;
        return new PodScrape(
            pod.Name, pod.App, pod.Incarnation, outcome, page ? string.Empty : answer.Describe(), page ? answer.Body : string.Empty);
    }

    private async Task<IReadOnlyList<Target>> ListAsync(string? selector, CancellationToken cancellationToken)
    {
        var path = $"/api/v1/namespaces/{@namespace}/pods" + (selector is null ? "" : $"?labelSelector={Uri.EscapeDataString(selector)}");
        var answer = await ProxyAnswer.AskAsync(cluster, path, "application/json", TimeSpan.FromSeconds(15), time, cancellationToken);
        if (answer.Code != 200)
        {
            throw new RolloutException($"The pods of namespace '{@namespace}' cannot be listed: {answer.Describe()}.");
        }

        using var document = JsonDocument.Parse(answer.Body);
        return [.. document.RootElement.GetProperty("items").EnumerateArray().Select(pod => Target.From(pod, port)).OfType<Target>()];
    }

    private sealed record Target(string Name, string App, string Incarnation, int? Port, string Path)
    {
        public static Target? From(JsonElement pod, string? port)
        {
            var metadata = pod.GetProperty("metadata");
            var phase = Text(pod, "status", "phase");
            if (phase is "Pending" or "Succeeded" or "Failed")
            {
                return null;
            }

            var name = metadata.GetProperty("name").GetString()!;
            var app = Text(metadata, "labels", "app") ?? Text(metadata, "labels", "app.kubernetes.io/name") ?? name;
            var restarts = pod.GetProperty("status").TryGetProperty("containerStatuses", out var containers)
                ? containers.EnumerateArray().Sum(c => c.TryGetProperty("restartCount", out var count) ? count.GetInt32() : 0)
                : 0;
            return new Target(
                name, app, $"{Text(metadata, "uid")}/{restarts}", ChoosePort(pod, metadata, port), Text(
                    metadata, "annotations", "prometheus.io/path") ?? "/metrics");
        }

        // The platform's annotation says 'http', a port name, where scrapers want a number (platform contract, section 9).
        private static int? ChoosePort(JsonElement pod, JsonElement metadata, string? only)
        {
            var ports = pod.GetProperty("spec").GetProperty("containers").EnumerateArray()
                .Where(c => c.TryGetProperty("ports", out _))
                .SelectMany(c => c.GetProperty("ports").EnumerateArray())
                .Select(p => (Name: Text(p, "name"), Number: p.GetProperty("containerPort").GetInt32()))
                .ToList();
            var wanted = Text(metadata, "annotations", "prometheus.io/port");
            if (int.TryParse(wanted, out var number))
            {
                return number;
            }

            if (only is not null)
            {
                return ports.Find(p => p.Name == only) is { Number: > 0 } found ? found.Number : null;
            }

            foreach (var name in new[] { wanted, "http", "metrics" })
            {
                if (name is not null && ports.Find(p => p.Name == name) is { Number: > 0 } named)
                {
                    return named.Number;
                }
            }

            return ports.Count > 0 ? ports[0].Number : null;
        }

        private static string? Text(JsonElement element, params ReadOnlySpan<string> path)
        {
            foreach (var name in path)
            {
                if (element.ValueKind != JsonValueKind.Object || !element.TryGetProperty(name, out element))
                {
                    return null;
                }
            }

            return element.ValueKind == JsonValueKind.String ? element.GetString() : null;
        }
    }
}
