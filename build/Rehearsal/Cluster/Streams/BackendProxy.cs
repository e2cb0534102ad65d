using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Rehearsal.Cluster;

/// <summary>
/// <c>services/[SCHEME:]NAME[:PORT]/proxy/…</c> and <c>pods/[SCHEME:]NAME[:PORT]/proxy/…</c>: passes any HTTP request on to the pod's
/// own address, body and headers included, and the backend's answer back.
/// </summary>
internal sealed class BackendProxy(ObjectStore store, NodeStreams? node) : IDisposable
{
    private static readonly string[] HopByHop =
    [
        "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
        "Authorization", "Host",
    ];

    private readonly HttpMessageInvoker _client = new(
        new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            UseProxy = false,
            UseCookies = false,
            AutomaticDecompression = DecompressionMethods.None,
        });

    public async Task ForwardAsync(ApiRequest request)
    {
        var incoming = request.Context.Request;
        if (incoming.Headers.Upgrade.Count > 0)
        {
            throw ApiException.NotImplemented("protocol upgrades through the proxy subresource");
        }

        var target = request.Type.Name switch
        {
            "services" => ServiceTarget(request),
            "pods" => PodTarget(request),
            _ => throw ApiException.UnknownPath(),
        };
        if (request.Rest.Length == 0 && HttpMethods.IsGet(incoming.Method))
        {
            request.Context.Response.StatusCode = StatusCodes.Status301MovedPermanently;
            request.Context.Response.Headers.Location = incoming.Path.Value + "/" + incoming.QueryString.Value;
            return;
        }

        using var outgoing = new HttpRequestMessage(
            new HttpMethod(incoming.Method),
            new Uri(target, (request.Rest.Length == 0 ? "/" : request.Rest) + incoming.QueryString.Value));
        if (incoming.ContentLength > 0 || incoming.Headers.TransferEncoding.Count > 0)
        {
            outgoing.Content = new StreamContent(incoming.Body);
        }

        foreach (var (name, values) in incoming.Headers)
        {
            if (HopByHop.Contains(name, StringComparer.OrdinalIgnoreCase) || name.StartsWith(':'))
            {
                continue;
            }

            if (!outgoing.Headers.TryAddWithoutValidation(name, values.AsEnumerable()))
            {
                outgoing.Content?.Headers.TryAddWithoutValidation(name, values.AsEnumerable());
            }
        }

        HttpResponseMessage answer;
        try
        {
            answer = await _client.SendAsync(outgoing, request.Aborted);
        }
        catch (HttpRequestException failure)
        {
            var why = failure.InnerException is SocketException { SocketErrorCode: SocketError.ConnectionRefused }
                ? $"dial tcp {target.Host}:{target.Port}: connect: connection refused"
                : failure.Message;
            throw new ApiException(500, null, "error trying to reach service: " + why);
        }

        using (answer)
        {
            await CopyAsync(answer, request.Context);
        }
    }

    public void Dispose() => _client.Dispose();

    private static async Task CopyAsync(HttpResponseMessage answer, HttpContext context)
    {
        var response = context.Response;
        response.StatusCode = (int)answer.StatusCode;
        foreach (var (name, values) in answer.Headers.Concat(answer.Content.Headers))
        {
            if (!HopByHop.Contains(name, StringComparer.OrdinalIgnoreCase))
            {
                response.Headers.Append(name, values.ToArray());
            }
        }

        await using var body = await answer.Content.ReadAsStreamAsync(context.RequestAborted);
        var chunk = new byte[16 * 1024];
        int read;
        while ((read = await body.ReadAsync(chunk, context.RequestAborted)) > 0)
        {
            await response.Body.WriteAsync(chunk.AsMemory(0, read), context.RequestAborted);
            await response.Body.FlushAsync(context.RequestAborted);
        }
    }

    private static ApiException Unavailable(string message) => new(503, "ServiceUnavailable", message);

    /// <summary>Splits <c>[SCHEME:]NAME[:PORT]</c>.</summary>
    private static (string Scheme, string Name, string Port) Split(string text) => text.Split(':') switch
    {
        [var name] => ("http", name, ""),
        [var name, var port] => ("http", name, port),
        ["http" or "https" or "", var name, var port] =>
            (text.StartsWith("https", StringComparison.Ordinal) ? "https" : "http", name, port),
        _ => throw ApiException.BadRequest($"invalid service request \"{text}\""),
    };

    private Uri ServiceTarget(ApiRequest request)
    {
        var (scheme, name, port) = Split(request.Name!);
        var service = store.Get(new ObjectKey("", "services", request.Namespace, name))
            ?? throw ApiException.NotFound("", "services", name);
        if (long.TryParse(port, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
        {
            var found = service.At("spec").Objects("ports").FirstOrDefault(item => item.Number("port") == number)
                ?? throw Unavailable($"no service port {port} found for service \"{name}\"");
            port = found.Text("name") ?? "";
        }

        var candidates = Endpoints(request.Namespace!, name, port).ToList();
        if (candidates.Count == 0)
        {
            throw Unavailable($"no endpoints available for service \"{request.Name}\"");
        }

        var (address, targetPort, pod) = candidates[Random.Shared.Next(candidates.Count)];
        return (pod is null ? null : node?.ProxyAddress?.Invoke(request.Namespace!, pod, targetPort))
            ?? new Uri($"{scheme}://{address}:{targetPort}");
    }

    /// <summary>Ready addresses behind a service's port, out of its Endpoints, or else its EndpointSlices.</summary>
    private IEnumerable<(string Address, int Port, string? Pod)> Endpoints(string @namespace, string service, string port)
    {
        if (store.Get(new ObjectKey("", "endpoints", @namespace, service)) is { } endpoints)
        {
            return endpoints.Objects("subsets")
                .SelectMany(subset => subset.Objects("ports").Where(item => (item.Text("name") ?? "") == port)
                .SelectMany(
                    item => subset.Objects("addresses")
                        .Select(address => (address.Text("ip")!, (int)item.Number("port")!, address.At("targetRef").Text("name")))));
        }

        return store.List("discovery.k8s.io", "endpointslices", @namespace)
            .Where(slice => slice.At("metadata", "labels").Text("kubernetes.io/service-name") == service)
            .SelectMany(slice => slice.Objects("ports").Where(item => (item.Text("name") ?? "") == port)
                .SelectMany(
                    item => slice.Objects("endpoints")
                        .Where(point => point.At("conditions")?["ready"] is null || point.At("conditions").Flag("ready"))
                    .SelectMany(
                        point => point.List("addresses")
                            .Select(
                                address => (address!.GetValue<string>(), (int)item.Number("port")!, point.At("targetRef").Text("name"))))));
    }

    private Uri PodTarget(ApiRequest request)
    {
        var (scheme, name, port) = Split(request.Name!);
        var pod = store.Get(new ObjectKey("", "pods", request.Namespace, name)) ?? throw ApiException.NotFound("", "pods", name);
        var number = PodPort(pod, port);
        if (node?.ProxyAddress?.Invoke(request.Namespace!, name, number) is { } given)
        {
            return given;
        }

        var address = pod.At("status").Text("podIP") ?? throw Unavailable($"pod {name} does not have an IP address yet");
        return new Uri($"{scheme}://{address}:{number}");
    }

    private static int PodPort(JsonObject pod, string port)
    {
        var ports = pod.At("spec").Objects("containers").SelectMany(container => container.Objects("ports"));
        if (port.Length == 0)
        {
            return (int)(ports.FirstOrDefault().Number("containerPort") ?? 80);
        }

        return int.TryParse(port, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            ? number
            : (int)(
                ports.FirstOrDefault(item => item.Text("name") == port).Number("containerPort")
                    ?? throw Unavailable($"pod has no port \"{port}\""));
    }
}
