using System.Text.Json;

namespace Rollout.Tests.Support;

/// <summary>A pod of the double; its page is asked for at every scrape.</summary>
internal sealed class PodDouble
{
    public required string Name { get; init; }

    public required string App { get; init; }

    public string Phase { get; set; } = "Running";

    /// <summary>The name of its only port.</summary>
    public string Port { get; init; } = "http";

    public int Restarts { get; set; }

    /// <summary>Null answers as a service without the page; throwing answers as a pod that cannot be reached.</summary>
    public required Func<string?> Metrics { get; set; }

    public object ToObject() => new
    {
        metadata = new
        {
            name = Name,
            uid = "uid-" + Name,
            labels = new { app = App },
            annotations = new Dictionary<string, string> { ["prometheus.io/port"] = Port },
        },
        spec = new { containers = new[] { new { name = App, ports = new[] { new { name = Port, containerPort = 8000 } } } } },
        status = new { phase = Phase, containerStatuses = new[] { new { restartCount = Restarts } } },
    };
}

/// <summary>
/// As much of the API server as reading a slot needs: the pod list, the pod and service proxies, endpoints; and the services themselves,
/// which are asked directly when a path is none of the API's. Like the real one it never hands an Authorization header on.
/// </summary>
internal sealed class KubernetesDouble : IAsyncDisposable
{
    private HttpDouble _http = null!;

    public List<PodDouble> Pods { get; } = [];

    /// <summary>Labels by which a Service selects its pods, by its name; a Service that is not in it does not exist.</summary>
    public Dictionary<string, Dictionary<string, string>> Selectors { get; } = [];

    /// <summary>Service name and path to answer; null is the API server's 503 for a Service without endpoints.</summary>
    public Func<string, Seen, Reply?> Service { get; set; } = (_, _) => null;

    /// <summary>Answers calls that reach a service itself, by the path alone.</summary>
    public Func<Seen, Reply> Direct { get; set; } = _ => new Reply(404, """{"detail":"Not Found"}""");

    /// <summary>Whether the pod list fails.</summary>
    public bool ListFails { get; set; }

    public HttpClient Client { get; private set; } = null!;

    public IEnumerable<Seen> Requests => _http.Requests;

    public static async Task<KubernetesDouble> StartAsync()
    {
        var cluster = new KubernetesDouble();
        cluster._http = await HttpDouble.StartAsync(cluster.Answer);
        cluster.Client = cluster._http.Client();
        return cluster;
    }

    public Task<Uri> RouteAsync(string service, CancellationToken cancellationToken) => Task.FromResult(_http.Address);

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await _http.DisposeAsync();
    }

    private static Reply Status(int code, string message) =>
        new(code, JsonSerializer.Serialize(new { kind = "Status", apiVersion = "v1", status = "Failure", message, code }));

    private Reply Answer(Seen seen)
    {
        var parts = seen.Path.Split('/', StringSplitOptions.RemoveEmptyEntries);
        if (parts is not ["api", "v1", "namespaces", _, var resource, ..])
        {
            return Direct(seen);
        }

        if (seen.Header("Authorization") is not null)
        {
            return Status(401, "Unauthorized");
        }

        if (resource == "pods" && parts.Length == 5)
        {
            var app = Uri.UnescapeDataString(seen.Query) is { Length: > 0 } query ? query.Split("app=")[^1] : null;
            return ListFails
                ? Status(500, "etcdserver: request timed out")
                : new Reply(
                    200, JsonSerializer.Serialize(new { items = Pods.Where(p => app is null || p.App == app).Select(p => p.ToObject()) }));
        }

        if (resource == "services" && parts.Length == 6)
        {
            return Selectors.TryGetValue(parts[5], out var selector)
                ? new Reply(200, JsonSerializer.Serialize(new { spec = new { selector } }))
                : Status(404, $"services \"{parts[5]}\" not found");
        }

        var name = parts[5].Split(':')[1];
        if (resource == "pods")
        {
            try
            {
                var page = Pods.Single(p => p.Name == name).Metrics();
                return page is null ? new Reply(404, """{"detail":"Not Found"}""") : new Reply(200, page, "text/plain");
            }
            catch (InvalidOperationException)
            {
                return Status(500, "error trying to reach service: dial tcp: connect: connection refused");
            }
        }

        return Service(name, seen with { Path = "/" + string.Join('/', parts[7..]) })
            ?? Status(503, $"no endpoints available for service \"{name}\"");
    }
}
