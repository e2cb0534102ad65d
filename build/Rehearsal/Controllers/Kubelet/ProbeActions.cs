using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;

namespace Rehearsal.Controllers;

/// <summary>What probes and lifecycle hooks do: a real GET, a real connection, a real process.</summary>
internal sealed class ProbeActions(TimeProvider time) : IDisposable
{
    private const string TimedOut = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";

    private readonly HttpClient _http = new(new SocketsHttpHandler
    {
        AllowAutoRedirect = false,
        UseCookies = false,
        UseProxy = false,
        PooledConnectionLifetime = TimeSpan.Zero,
        ActivityHeadersPropagator = null,
#pragma warning disable CA5359 // Probes do not check certificates (Kubernetes documents it), since they go by address.
        SslOptions = { RemoteCertificateValidationCallback = (_, _, _, _) => true },
#pragma warning restore CA5359
    })
    { Timeout = Timeout.InfiniteTimeSpan };

    /// <returns>Null when it succeeded, else what went wrong, in a kubelet's words.</returns>
    public async Task<string?> TryAsync(
        JsonObject action, JsonObject container, ContainerPlace place, string podIp, TimeSpan timeout, CancellationToken cancellation)
    {
        using var timer = new CancellationTokenSource(timeout, time);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(timer.Token, cancellation);
        try
        {
            if (action["httpGet"] is JsonObject get)
            {
                return await GetAsync(get, container, podIp, limit.Token);
            }

            if (action["tcpSocket"] is JsonObject socket)
            {
                return await ConnectAsync(socket, container, podIp, limit.Token);
            }

            if (action["exec"] is JsonObject exec)
            {
                return await ExecuteAsync(exec, place, limit.Token);
            }

            if (action["sleep"] is JsonObject sleep)
            {
                await Task.Delay(TimeSpan.FromSeconds(sleep.Number("seconds") ?? 0), time, limit.Token);
                return null;
            }

            var kinds = string.Join(", ", action.Where(pair => pair.Value is JsonObject).Select(pair => pair.Key));
            return "the rehearsal does not implement this kind of probe: " + kinds;
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return action["httpGet"] is JsonObject get ? $"Get \"{Address(get, container, podIp)}\": {TimedOut}" : "command timed out";
        }
    }

    public void Dispose() => _http.Dispose();

    private static int Port(JsonNode? port, JsonObject container) =>
        port.Number() ?? container.Items("ports").FirstOrDefault(entry => entry.Text("name") == port.Text()).Number("containerPort") ?? 0;

    private static Uri Address(JsonObject get, JsonObject container, string podIp)
    {
        var path = get.Text("path") is { Length: > 0 } given ? given : "/";
        var scheme = (get.Text("scheme") ?? "HTTP").ToLowerInvariant();
        return new Uri($"{scheme}://{get.Text("host") ?? podIp}:{Port(get["port"], container)}{(path.StartsWith('/') ? "" : "/")}{path}");
    }

    private async Task<string?> GetAsync(JsonObject get, JsonObject container, string podIp, CancellationToken cancellation)
    {
        var address = Address(get, container, podIp);
        using var request = new HttpRequestMessage(HttpMethod.Get, address);
        request.Headers.TryAddWithoutValidation("User-Agent", "kube-probe/1.35");
        foreach (var header in get.Items("httpHeaders"))
        {
            request.Headers.Remove(header.Text("name") ?? "");
            request.Headers.TryAddWithoutValidation(header.Text("name") ?? "", header.Text("value"));
        }

        try
        {
            using var response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellation);
            var status = (int)response.StatusCode;
            return status is >= 200 and < 400 ? null : $"HTTP probe failed with statuscode: {status}";
        }
        catch (HttpRequestException failure)
        {
            return failure.InnerException is SocketException { SocketErrorCode: SocketError.ConnectionRefused }
                ? $"Get \"{address}\": dial tcp {address.Authority}: connect: connection refused"
                : $"Get \"{address}\": {failure.InnerException?.Message ?? failure.Message}";
        }
    }

    private static async Task<string?> ConnectAsync(JsonObject socket, JsonObject container, string podIp, CancellationToken cancellation)
    {
        var host = socket.Text("host") ?? podIp;
        var port = Port(socket["port"], container);
        using var client = new TcpClient();
        try
        {
            await client.ConnectAsync(host, port, cancellation);
            return null;
        }
        catch (SocketException failure)
        {
            var why = failure.SocketErrorCode == SocketError.ConnectionRefused ? "connection refused" : failure.Message;
            return $"dial tcp {host}:{port}: connect: {why}";
        }
    }

    private static async Task<string?> ExecuteAsync(JsonObject exec, ContainerPlace place, CancellationToken cancellation)
    {
        using var output = new MemoryStream();
        var code = await ContainerExec.RunAsync(place, exec.Strings("command").ToList(), null, output, output, cancellation);
        if (code == 0)
        {
            return null;
        }

        var text = Encoding.UTF8.GetString(output.ToArray()).Trim();
        return text.Length > 0 ? text : $"command exited with {code}";
    }
}
