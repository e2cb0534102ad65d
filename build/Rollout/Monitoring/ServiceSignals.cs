using System.Globalization;
using System.Text.Json.Nodes;

namespace Rollout.Monitoring;

/// <summary>What one pod's exporter port answered.</summary>
/// <param name="Workload">The pod's <c>app</c> label, or its name.</param>
/// <param name="Samples">How many samples its page has; 0 where it was not read.</param>
/// <param name="Detail">Why it was not read; empty where it was.</param>
public sealed record ExporterPage(string Pod, string Workload, int Port, int Samples, string Detail)
{
    public bool IsRead => Detail.Length == 0;
}

/// <summary>How a service answered a probe that carried a request id.</summary>
/// <param name="Code">HTTP status; 0 where nothing answered.</param>
/// <param name="IsInstrumented">Whether the answer carries <c>x-request-id</c>, as that of every instrumented service does (platform contract, section 2.2).</param>
/// <param name="Detail">What was seen, in words.</param>
public sealed record TracedProbe(string Service, string RequestId, int Code, bool IsInstrumented, string Detail);

/// <summary>
/// What a slot's services send, asked of themselves through the API server's proxy: the page of the exporter port that a variable opened, which is in no Service
/// and no scrape configuration, and answers to requests whose traces are looked for afterwards.
/// </summary>
/// <param name="cluster">Speaks to the API server.</param>
public sealed class ServiceSignals(HttpClient cluster, string @namespace, TimeProvider time)
{
    private const int Parallel = 16;

    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(5);

    /// <summary>Reads the exporter's page of every running pod that has <c>PROMETHEUS_EXPORTER_PORT</c>.</summary>
    /// <exception cref="RolloutException">The pods cannot be listed.</exception>
    public async Task<IReadOnlyList<ExporterPage>> ExporterPagesAsync(CancellationToken cancellationToken)
    {
        var answer = await ProxyAnswer.AskAsync(cluster, $"/api/v1/namespaces/{@namespace}/pods", "application/json", TimeSpan.FromSeconds(15), time, cancellationToken);
        if (answer.Code != 200 || JsonNode.Parse(answer.Body)?["items"] is not JsonArray pods)
        {
            throw new RolloutException($"The pods of namespace '{@namespace}' cannot be listed: {answer.Describe()}.");
        }

        var exporting = pods.OfType<JsonObject>()
            .Where(p => p["metadata"]?["deletionTimestamp"] is null && p["status"]?["phase"]?.GetValue<string>() == "Running")
            .Select(p => (Name: p["metadata"]!["name"]!.GetValue<string>(), Workload: p["metadata"]!["labels"]?["app"]?.GetValue<string>(), Port: PortOf(p)))
            .Where(p => p.Port is not null)
            .ToList();
        var pages = new ExporterPage[exporting.Count];
        await System.Threading.Tasks.Parallel.ForAsync(
            0,
            exporting.Count,
            new ParallelOptions { MaxDegreeOfParallelism = Parallel, CancellationToken = cancellationToken },
            async (index, token) =>
            {
                var (name, workload, port) = exporting[index];
                var page = await ProxyAnswer.AskAsync(
                    cluster, $"/api/v1/namespaces/{@namespace}/pods/http:{name}:{port}/proxy/metrics", "*/*", Limit, time, token);
                var samples = page.Code == 200 && !page.Body.AsSpan().TrimStart().StartsWith("<") ? PrometheusText.Parse(page.Body).Count : 0;
                var detail = samples > 0 ? string.Empty : page.Code == 200 ? "its page has no sample" : page.Describe();
                pages[index] = new ExporterPage(name, workload ?? name, port!.Value, samples, detail);
            });
        return pages;
    }

    /// <summary>Asks each service once, at <c>/healthz</c>; one that has no such page leaves a trace all the same.</summary>
    /// <param name="services">Name and port.</param>
    /// <param name="requestId">The request id for the Nth service, counted from 0.</param>
    public async Task<IReadOnlyList<TracedProbe>> ProbeAsync(
        IReadOnlyList<(string Name, string Port)> services, Func<int, string> requestId, CancellationToken cancellationToken)
    {
        var probes = new TracedProbe[services.Count];
        await System.Threading.Tasks.Parallel.ForAsync(
            0,
            services.Count,
            new ParallelOptions { MaxDegreeOfParallelism = Parallel, CancellationToken = cancellationToken },
            async (index, token) => probes[index] = await ProbeAsync(services[index].Name, services[index].Port, requestId(index), token));
        return probes;
    }

    private async Task<TracedProbe> ProbeAsync(string service, string port, string requestId, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, $"/api/v1/namespaces/{@namespace}/services/http:{service}:{port}/proxy/healthz");
        request.Headers.Add("x-request-id", requestId);
        using var clock = new CancellationTokenSource(Limit, time);
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(clock.Token, cancellationToken);
        try
        {
            using var response = await cluster.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, deadline.Token);
            var echoed = response.Headers.TryGetValues("x-request-id", out var values) && values.Contains(requestId);
            return new TracedProbe(service, requestId, (int)response.StatusCode, echoed, $"HTTP {(int)response.StatusCode}");
        }
        catch (HttpRequestException exception)
        {
            return new TracedProbe(service, requestId, 0, false, exception.InnerException?.Message ?? exception.Message);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return new TracedProbe(service, requestId, 0, false, $"no answer within {Limit.TotalSeconds:0} s");
        }
    }

    private static int? PortOf(JsonObject pod) => (pod["spec"]?["containers"] as JsonArray ?? [])
        .SelectMany(c => c?["env"] as JsonArray ?? [])
        .Where(e => e?["name"]?.GetValue<string>() == "PROMETHEUS_EXPORTER_PORT")
        .Select(e => int.TryParse(e?["value"]?.ToString(), NumberStyles.None, CultureInfo.InvariantCulture, out var port) ? port : (int?)null)
        .FirstOrDefault(port => port is not null);
}
