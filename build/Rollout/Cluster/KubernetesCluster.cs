using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Rollout.Journal;

namespace Rollout.Cluster;

/// <summary>A Helm release's revision.</summary>
/// <param name="Status"><c>deployed</c>, <c>failed</c>, <c>pending-install</c>, …</param>
/// <param name="Begun">When helm began it.</param>
/// <param name="Secret">The Secret that helm keeps it in.</param>
public sealed record HelmRevision(int Number, string Status, DateTimeOffset Begun, string Secret)
{
    /// <summary>Whether helm is at work on it, or was killed while it was.</summary>
    public bool IsPending => Status.StartsWith("pending-", StringComparison.Ordinal);
}

/// <summary>
/// The cluster as the rollout reads it: one <c>kubectl proxy</c> on a Unix socket in a private directory serves the whole run, so that
/// kubectl alone holds credentials and a read costs no process.
/// </summary>
public sealed class KubernetesCluster : IAsyncDisposable
{
    // Our end of the pipe closes when this process ends, however it ends: a proxy with credentials must not outlive the run.
    private const string DiesWithUs = "exec 3<&0; \"$@\" & child=$!; (cat <&3 >/dev/null; kill $child) 2>/dev/null & wait $child";

    private const string NotListening = "kubectl proxy does not listen yet";

    private readonly Process _proxy;
    private readonly DirectoryInfo _directory;
    private readonly SocketsHttpHandler _handler;

    private KubernetesCluster(Process proxy, DirectoryInfo directory, SocketsHttpHandler handler)
    {
        _proxy = proxy;
        _directory = directory;
        _handler = handler;
        Http = new HttpClient(handler, disposeHandler: false) { BaseAddress = new Uri("http://localhost/"), Timeout = TimeSpan.FromSeconds(30) };
    }

    /// <summary>Speaks to the API server; paths are the API's own, as <c>/api/v1/namespaces</c>.</summary>
    public HttpClient Http { get; }

    /// <summary>Starts the proxy and asks the server for its version.</summary>
    /// <param name="kubectl">Path of kubectl.</param>
    /// <param name="kubeconfig">Null is kubectl's own default.</param>
    /// <exception cref="RolloutException">The cluster does not answer.</exception>
    public static async Task<KubernetesCluster> ConnectAsync(
        string kubectl, string? kubeconfig, string? context, TimeProvider time, IProgress<string> progress, CancellationToken cancellationToken)
    {
        var directory = Directory.CreateTempSubdirectory("aether-rollout-");
        var socket = Path.Combine(directory.FullName, "proxy.sock");
        var start = new ProcessStartInfo("/bin/sh") { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add(DiesWithUs);
        start.ArgumentList.Add("proxy");
        start.ArgumentList.Add(kubectl);
        start.ArgumentList.Add("proxy");
        start.ArgumentList.Add($"--unix-socket={socket}");
        if (context is not null)
        {
            start.ArgumentList.Add($"--context={context}");
        }

        if (kubeconfig is not null)
        {
            start.Environment["KUBECONFIG"] = kubeconfig;
        }

        var proxy = Process.Start(start)!;
        var said = new StringBuilder();
        proxy.ErrorDataReceived += (_, line) => said.Append(line.Data).Append(line.Data is null ? string.Empty : "\n");
        proxy.OutputDataReceived += (_, _) => { };
        proxy.BeginErrorReadLine();
        proxy.BeginOutputReadLine();
        var handler = new SocketsHttpHandler
        {
            PooledConnectionLifetime = TimeSpan.FromMinutes(5),
            MaxConnectionsPerServer = 64,
            ConnectCallback = async (_, token) =>
            {
                var connection = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                try
                {
                    await connection.ConnectAsync(new UnixDomainSocketEndPoint(socket), token);
                    return new NetworkStream(connection, ownsSocket: true);
                }
                catch
                {
                    connection.Dispose();
                    throw;
                }
            },
        };
        var cluster = new KubernetesCluster(proxy, directory, handler);
        try
        {
            var problem = await Waiting.UntilAsync(
                "kubectl proxy",
                async token => proxy.HasExited ? said.ToString().Trim() : await cluster.ProblemAsync(token),
                seen => seen != NotListening || proxy.HasExited,
                seen => seen ?? string.Empty,
                TimeSpan.FromSeconds(15),
                TimeSpan.FromMilliseconds(10),
                time,
                progress,
                cancellationToken);
            return problem is null
                ? cluster
                : throw new RolloutException(
                    $"The cluster ({(context is null ? "current context" : $"context {context}")}{(kubeconfig is null ? string.Empty : $" of {kubeconfig}")}) does not answer: {problem}{(said.Length == 0 || problem == said.ToString().Trim() ? string.Empty : $" ({said.ToString().Trim()})")}",
                    $"Try: kubectl{(context is null ? string.Empty : $" --context={context}")} version");
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>Reads one object or list; null where it does not exist.</summary>
    /// <exception cref="RolloutException">The server refused; status, reason and message are in the text.</exception>
    public async Task<JsonNode?> GetAsync(string path, CancellationToken cancellationToken)
    {
        using var answer = await SendAsync(HttpMethod.Get, path, null, null, cancellationToken);
        if (answer.StatusCode == HttpStatusCode.NotFound)
        {
            return null;
        }

        await RequireAsync(answer, "GET", path, cancellationToken);
        return await ReadAsync(answer, cancellationToken);
    }

    /// <summary>The items of a list; empty where the resource does not exist.</summary>
    public async Task<IReadOnlyList<JsonObject>> ListAsync(string path, CancellationToken cancellationToken) =>
        await GetAsync(path, cancellationToken) is { } list && list["items"] is JsonArray items ? [.. items.OfType<JsonObject>()] : [];

    /// <summary>Creates an object, or replaces the one that is there with the same name.</summary>
    public async Task ApplyAsync(string collection, JsonObject value, CancellationToken cancellationToken)
    {
        var name = value["metadata"]!["name"]!.GetValue<string>();
        using var created = await SendAsync(HttpMethod.Post, collection, value, "application/json", cancellationToken);
        if (created.StatusCode == HttpStatusCode.Conflict)
        {
            using var patched = await SendAsync(HttpMethod.Patch, $"{collection}/{name}", value, "application/merge-patch+json", cancellationToken);
            await RequireAsync(patched, "PATCH", $"{collection}/{name}", cancellationToken);
            return;
        }

        await RequireAsync(created, "POST", collection, cancellationToken);
    }

    /// <summary>Deletes an object; one that is gone already is fine.</summary>
    public async Task DeleteAsync(string path, CancellationToken cancellationToken)
    {
        using var answer = await SendAsync(HttpMethod.Delete, path, null, null, cancellationToken);
        if (answer.StatusCode != HttpStatusCode.NotFound)
        {
            await RequireAsync(answer, "DELETE", path, cancellationToken);
        }
    }

    /// <summary>The load balancer address of a Service; null while it has none.</summary>
    /// <param name="service"><c>NAMESPACE/NAME</c>.</param>
    public async Task<string?> LoadBalancerAddressAsync(string service, CancellationToken cancellationToken)
    {
        var (@namespace, name) = (service[..service.IndexOf('/', StringComparison.Ordinal)], service[(service.IndexOf('/', StringComparison.Ordinal) + 1)..]);
        var found = await GetAsync($"/api/v1/namespaces/{@namespace}/services/{name}", cancellationToken);
        return found?["status"]?["loadBalancer"]?["ingress"]?[0]?["ip"]?.GetValue<string>();
    }

    /// <summary>The newest revision of a Helm release, by the Secret that helm keeps it in; null where there is none.</summary>
    public async Task<HelmRevision?> HelmRevisionAsync(string @namespace, string release, CancellationToken cancellationToken) =>
        (await ListAsync($"/api/v1/namespaces/{@namespace}/secrets?labelSelector=owner%3Dhelm%2Cname%3D{release}", cancellationToken))
            .Select(s => (Name: s["metadata"]!["name"]!.GetValue<string>(), Labels: s["metadata"]!["labels"]!, Made: s["metadata"]!["creationTimestamp"]!.GetValue<string>()))
            .Select(s => new HelmRevision(
                int.Parse(s.Labels["version"]!.GetValue<string>(), System.Globalization.CultureInfo.InvariantCulture),
                s.Labels["status"]!.GetValue<string>(),
                DateTimeOffset.Parse(s.Made, System.Globalization.CultureInfo.InvariantCulture),
                s.Name))
            .MaxBy(r => r.Number);

    /// <summary>Reads a release's journal: the ConfigMap <c>rollout-RELEASE</c>.</summary>
    public async Task<StoredJournal> ReadJournalAsync(string @namespace, string release, CancellationToken cancellationToken)
    {
        var found = await GetAsync($"/api/v1/namespaces/{@namespace}/configmaps/{JournalName(release)}", cancellationToken);
        return found is null
            ? new StoredJournal(string.Empty, null)
            : new StoredJournal(
                found["data"]?["journal.jsonl"]?.GetValue<string>() ?? string.Empty,
                found["metadata"]!["resourceVersion"]!.GetValue<string>());
    }

    /// <summary>Writes a release's journal if nobody wrote since <paramref name="version"/>; null when somebody did.</summary>
    public async Task<string?> WriteJournalAsync(string @namespace, string release, string text, string? version, CancellationToken cancellationToken)
    {
        var collection = $"/api/v1/namespaces/{@namespace}/configmaps";
        var map = new JsonObject
        {
            ["apiVersion"] = "v1",
            ["kind"] = "ConfigMap",
            ["metadata"] = new JsonObject
            {
                ["name"] = JournalName(release),
                ["namespace"] = @namespace,
                ["labels"] = new JsonObject { ["app.kubernetes.io/managed-by"] = "aether-rollout" },
                ["annotations"] = new JsonObject { ["aether.io/release"] = release },
            },
            ["data"] = new JsonObject { ["journal.jsonl"] = text },
        };
        if (version is not null)
        {
            map["metadata"]!["resourceVersion"] = version;
        }

        using var answer = version is null
            ? await SendAsync(HttpMethod.Post, collection, map, "application/json", cancellationToken)
            : await SendAsync(HttpMethod.Put, $"{collection}/{JournalName(release)}", map, "application/json", cancellationToken);
        if (answer.StatusCode == HttpStatusCode.Conflict)
        {
            return null;
        }

        await RequireAsync(answer, version is null ? "POST" : "PUT", collection, cancellationToken);
        return (await ReadAsync(answer, cancellationToken))!["metadata"]!["resourceVersion"]!.GetValue<string>();
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        _handler.Dispose();
        if (!_proxy.HasExited)
        {
            _proxy.Kill(entireProcessTree: true);
            await _proxy.WaitForExitAsync();
        }

        _proxy.Dispose();
        _directory.Delete(recursive: true);
    }

    // The socket's file is there before anybody listens behind it.
    private async Task<string?> ProblemAsync(CancellationToken cancellationToken)
    {
        try
        {
            using var answer = await Http.GetAsync(new Uri("/version", UriKind.Relative), cancellationToken);
            return answer.IsSuccessStatusCode ? null : $"{(int)answer.StatusCode} to GET /version";
        }
        catch (HttpRequestException exception) when (exception.InnerException is SocketException)
        {
            return NotListening;
        }
        catch (HttpRequestException exception)
        {
            return exception.Message;
        }
    }

    // Names of ConfigMaps are lower case; a tag may not be.
    private static string JournalName(string release) => "rollout-" + release.ToLowerInvariant().Replace('_', '-');

    private static async Task<JsonNode?> ReadAsync(HttpResponseMessage answer, CancellationToken cancellationToken)
    {
        await using var stream = await answer.Content.ReadAsStreamAsync(cancellationToken);
        return await JsonNode.ParseAsync(stream, cancellationToken: cancellationToken);
    }

    private static async Task RequireAsync(HttpResponseMessage answer, string method, string path, CancellationToken cancellationToken)
    {
        if (answer.IsSuccessStatusCode)
        {
            return;
        }

        var body = await answer.Content.ReadAsStringAsync(cancellationToken);
        string? message = null;
        try
        {
            message = JsonNode.Parse(body)?["message"]?.GetValue<string>();
        }
        catch (JsonException)
        {
            // A proxy in front may answer with anything; the text itself is then the message.
        }

        throw new RolloutException($"The cluster answered {(int)answer.StatusCode} to {method} {path}: {message ?? (body.Length > 300 ? body[..300] + "…" : body)}");
    }

    private async Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, JsonObject? body, string? type, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(method, new Uri(path, UriKind.Relative));
        if (body is not null)
        {
            request.Content = new StringContent(body.ToJsonString(), Encoding.UTF8);
            request.Content.Headers.ContentType = new MediaTypeHeaderValue(type!);
        }

        request.Headers.Accept.ParseAdd("application/json");
        try
        {
            return await Http.SendAsync(request, cancellationToken);
        }
        catch (Exception exception) when ((exception is HttpRequestException or TaskCanceledException) && !cancellationToken.IsCancellationRequested)
        {
            throw new RolloutException($"The cluster did not answer {method} {path}: {exception.Message}", "The same command resumes.", ExitCode.Failed, exception);
        }
    }
}
