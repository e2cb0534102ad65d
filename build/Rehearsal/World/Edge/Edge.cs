using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using System.Threading.Channels;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.DependencyInjection;
using Yarp.ReverseProxy.Forwarder;

namespace Rehearsal.World;

/// <summary>What an <see cref="Edge"/> is started with.</summary>
/// <param name="Slot"><c>blue</c> or <c>green</c>: the name its faults and counters go by.</param>
/// <param name="IngressClass">It serves the Ingresses of this class and no others.</param>
/// <param name="Address">Its own loopback address, standing for the slot's load balancer.</param>
/// <param name="Cluster">A client with the API server as base address, trusting it, with credentials.</param>
public sealed record EdgeOptions(string Slot, string IngressClass, IPAddress Address, HttpClient Cluster);

/// <summary>How often a host was asked for at one slot's edge.</summary>
/// <param name="Requests">All requests, probes included.</param>
/// <param name="Probes">Those that carried an <c>x-request-id</c> beginning with <c>rollout-</c>: nobody's traffic.</param>
/// <param name="Last">When the last one came that was no probe; null when none did.</param>
public sealed record EdgeTraffic(long Requests, long Probes, DateTimeOffset? Last);

/// <summary>
/// The ingress controller of one slot. Behaves as ingress-nginx does with snippets allowed and HSTS (with preload) configured at the
/// controller: watches Ingress, Service, Endpoints and Secret, ends TLS by SNI, forwards to ready endpoints, sets the headers of
/// <c>configuration-snippet</c>, redirects plain HTTP where the host has TLS, ignores annotations ingress-nginx does not know
/// (<c>hsts*</c>), answers 404 under its own certificate for hosts it has no Ingress for, and writes its address into the status.
/// </summary>
public sealed class Edge : IAsyncDisposable
{
    private const int Tries = 3;
    private const string Hsts = "max-age=31536000; includeSubDomains; preload";

    private static readonly ForwarderRequestConfig Forwarding = new() { ActivityTimeout = TimeSpan.FromSeconds(60) };

    private readonly EdgeOptions _options;
    private readonly Place _place;
    private readonly SslCertificate _fake;
    private readonly SslCertificates _certificates = new();
    private readonly ConcurrentDictionary<string, EdgeTraffic> _traffic = new(StringComparer.OrdinalIgnoreCase);
    private readonly CancellationTokenSource _stopping = new();
    private readonly Channel<bool> _dirty = Channel.CreateBounded<bool>(
        new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private readonly HttpMessageInvoker _upstream;
    private readonly HttpTransformer _transformer = new EdgeTransformer();
    private readonly ClusterWatch _ingresses;
    private readonly ClusterWatch _services;
    private readonly ClusterWatch _endpoints;
    private readonly ClusterWatch _secrets;
    private volatile IngressTable _table = IngressTable.Empty;
    private LoopbackServer? _server;
    private IHttpForwarder? _forwarder;
    private Task _watching = Task.CompletedTask;

    private Edge(Place place, EdgeOptions options)
    {
        _place = place;
        _options = options;
        _fake = new SslCertificate(CertificateAuthority.Fake(place.Time.GetUtcNow()), []);
        _upstream = new HttpMessageInvoker(new SocketsHttpHandler
        {
            UseProxy = false,
            AllowAutoRedirect = false,
            UseCookies = false,
            AutomaticDecompression = DecompressionMethods.None,
            ConnectTimeout = TimeSpan.FromSeconds(2),
        });
        void Changed() => _dirty.Writer.TryWrite(true);
        _ingresses = new ClusterWatch(options.Cluster, "apis/networking.k8s.io/v1/ingresses", place.Time, Changed);
        _services = new ClusterWatch(options.Cluster, "api/v1/services", place.Time, Changed);
        _endpoints = new ClusterWatch(options.Cluster, "api/v1/endpoints", place.Time, Changed);
        _secrets = new ClusterWatch(options.Cluster, "api/v1/secrets", place.Time, Changed);
    }

    public string Slot => _options.Slot;

    public int HttpsPort { get; private set; }

    public int HttpPort { get; private set; }

    /// <summary>Counts since the start of this process, by host; hosts without an Ingress are counted too.</summary>
    public IReadOnlyDictionary<string, EdgeTraffic> Traffic => _traffic;

    /// <summary>Listens at once, on the ports all edges of a world share; routes appear as the cluster is read.</summary>
    public static async Task<Edge> StartAsync(Place place, EdgeOptions options, CancellationToken cancellationToken)
    {
        var edge = new Edge(place, options);
        var https = place.Ports.ClaimTcp("edge-https", options.Address);
        var http = place.Ports.ClaimTcp("edge-http", options.Address);
        edge.HttpsPort = ((IPEndPoint)https.LocalEndPoint!).Port;
        edge.HttpPort = ((IPEndPoint)http.LocalEndPoint!).Port;
        edge._server = await LoopbackServer.StartAsync(
            [
                (https, listen =>
                {
                    listen.Protocols = HttpProtocols.Http1AndHttp2;
                    listen.UseHttps(new TlsHandshakeCallbackOptions
                    {
                        OnConnection = handshake => edge.ChooseCertificate(handshake.ClientHelloInfo),
                    });
                }),
                (http, listen => listen.Protocols = HttpProtocols.Http1),
            ],
            edge.ServeAsync,
            services => services.AddHttpForwarder(),
            cancellationToken);
        edge._forwarder = edge._server.Services.GetRequiredService<IHttpForwarder>();
        edge._watching = Task.WhenAll(
            edge._ingresses.RunAsync(edge._stopping.Token),
            edge._services.RunAsync(edge._stopping.Token),
            edge._endpoints.RunAsync(edge._stopping.Token),
            edge._secrets.RunAsync(edge._stopping.Token),
            edge.RebuildAsync());
        return edge;
    }

    /// <summary>True when a request for this host's root would reach a ready endpoint.</summary>
    public bool Serves(string host)
    {
        return _table.Find(host, "/") is { Endpoints.Count: > 0 };
    }

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        await _watching;
        if (_server is not null)
        {
            await _server.DisposeAsync();
        }

        _upstream.Dispose();
        _stopping.Dispose();
    }

    private async Task RebuildAsync()
    {
        try
        {
            await Task.WhenAll(_ingresses.Listed, _services.Listed, _endpoints.Listed, _secrets.Listed).WaitAsync(_stopping.Token);
            do
            {
                _table = IngressTable.Build(_options.IngressClass, _ingresses.Objects, _services, _endpoints, _secrets, _certificates);
                await PublishAddressAsync();
            }
            while (await _dirty.Reader.WaitToReadAsync(_stopping.Token) && _dirty.Reader.TryRead(out _));
        }
        catch (OperationCanceledException)
        {
            // The edge stops.
        }
    }

    private async Task PublishAddressAsync()
    {
        var address = _options.Address.ToString();
        foreach (var ingress in _table.Ingresses)
        {
            var known = ingress["status"]?["loadBalancer"]?["ingress"]?.AsArray();
            if (known is [{ } only] && (string?)only["ip"] == address)
            {
                continue;
            }

            var metadata = ingress["metadata"]!;
            var (@namespace, name) = ((string)metadata["namespace"]!, (string)metadata["name"]!);
            var path = $"apis/networking.k8s.io/v1/namespaces/{@namespace}/ingresses/{name}/status";
            var status = new JsonObject
            {
                ["status"] = new JsonObject
                {
                    ["loadBalancer"] = new JsonObject { ["ingress"] = new JsonArray(new JsonObject { ["ip"] = address }) },
                },
            };
            using var patch = new StringContent(status.ToJsonString(), Encoding.UTF8, "application/merge-patch+json");
            try
            {
                using var answer = await _options.Cluster.PatchAsync(path, patch, _stopping.Token);
            }
            catch (HttpRequestException)
            {
                // Whatever made it fail shows as a change later, and the address is written then.
            }
        }
    }

    private ValueTask<SslServerAuthenticationOptions> ChooseCertificate(SslClientHelloInfo hello)
    {
        var certificate = IsFaulty("edge-wrong-certificate", hello.ServerName) ? null : _table.Certificate(hello.ServerName);
        return ValueTask.FromResult(new SslServerAuthenticationOptions
        {
            ServerCertificateContext = (certificate ?? _fake).Context,
            ApplicationProtocols = [SslApplicationProtocol.Http2, SslApplicationProtocol.Http11],
        });
    }

    private async Task ServeAsync(HttpContext context)
    {
        var host = context.Request.Host.Host;
        Count(host, context.Request);
        var route = _table.Find(host, context.Request.Path.Value!);
        if (route is null || IsFaulty("edge-not-found", host))
        {
            await context.AnswerTextAsync(
                404, "<html><head><title>404 Not Found</title></head><body><h1>404 Not Found</h1></body></html>\r\n", "text/html");
            return;
        }

        if (!context.Request.IsHttps && route.RedirectsToHttps)
        {
            context.Response.StatusCode = StatusCodes.Status308PermanentRedirect;
            context.Response.Headers.Location = $"https://{host}:{HttpsPort}{context.Request.Path}{context.Request.QueryString}";
            return;
        }

        SetHeaders(context, route, host);
        await ForwardAsync(context, route);
    }

    // Set just before the answer leaves, because they replace what the service sent under the same name.
    private void SetHeaders(HttpContext context, IngressRoute route, string host)
    {
        var headers = new List<(string Name, string Value)>(route.Headers);
        if (context.Request.IsHttps)
        {
            headers.Add(("Strict-Transport-Security", Hsts));
        }

        if (headers.Count > 0 && IsFaulty("edge-missing-header", host))
        {
            headers.RemoveAt(0);
        }

        context.Response.OnStarting(() =>
        {
            foreach (var (name, value) in headers)
            {
                context.Response.Headers[name] = value;
            }

            return Task.CompletedTask;
        });
    }

    // As ingress-nginx (proxy-next-upstream "error timeout", three tries): each try asks the table of that moment for an endpoint that this
    // request has not failed at. What may not be sent twice is tried again only where no connection came about.
    private async Task ForwardAsync(HttpContext context, IngressRoute route)
    {
        var isRepeatable = HttpMethods.IsGet(context.Request.Method) || HttpMethods.IsHead(context.Request.Method);
        var failed = new List<string>();
        for (var attempt = 1; route.NextEndpoint(failed) is { } endpoint; attempt++)
        {
            var error = await _forwarder!.SendAsync(context, endpoint, _upstream, Forwarding, _transformer);
            if (error is not (ForwarderError.Request or ForwarderError.RequestTimedOut) || context.Response.HasStarted || attempt == Tries
                || !(isRepeatable || WasNeverSent(context)))
            {
                return;
            }

            failed.Add(endpoint);
            context.Response.StatusCode = StatusCodes.Status200OK;
            route = _table.Find(context.Request.Host.Host, context.Request.Path.Value!) ?? route;
        }

        await context.AnswerTextAsync(503, "<html><head><title>503 Service Temporarily Unavailable</title></head></html>\r\n", "text/html");
    }

    private static bool WasNeverSent(HttpContext context) =>
        context.GetForwarderErrorFeature()?.Exception is HttpRequestException { HttpRequestError: HttpRequestError.ConnectionError };

    private bool IsFaulty(string fault, string? host)
    {
        return _place.Fault(fault) is { } argument
            && argument.Split(':') is [var slot, var faultyHost]
            && slot == _options.Slot
            && (faultyHost == "*" || string.Equals(faultyHost, host, StringComparison.OrdinalIgnoreCase));
    }

    private void Count(string host, HttpRequest request)
    {
        var isProbe = request.Headers["x-request-id"].FirstOrDefault()?.StartsWith("rollout-", StringComparison.Ordinal) == true;
        var now = _place.Time.GetUtcNow();
        _traffic.AddOrUpdate(
            host,
            _ => new EdgeTraffic(1, isProbe ? 1 : 0, isProbe ? null : now),
            (_, sum) => new EdgeTraffic(sum.Requests + 1, sum.Probes + (isProbe ? 1 : 0), isProbe ? sum.Last : now));
    }

    private sealed class EdgeTransformer : HttpTransformer
    {
        public override async ValueTask TransformRequestAsync(
            HttpContext httpContext, HttpRequestMessage proxyRequest, string destinationPrefix, CancellationToken cancellationToken)
        {
            await Default.TransformRequestAsync(httpContext, proxyRequest, destinationPrefix, cancellationToken);
            var client = httpContext.Connection.RemoteIpAddress?.ToString() ?? "";
            Set("X-Real-IP", client);
            Set("X-Forwarded-For", client);
            Set("X-Forwarded-Host", httpContext.Request.Host.Value ?? "");
            Set("X-Forwarded-Proto", httpContext.Request.Scheme);
            Set("X-Forwarded-Port", httpContext.Connection.LocalPort.ToString(CultureInfo.InvariantCulture));
            if (!proxyRequest.Headers.Contains("X-Request-ID"))
            {
                Set("X-Request-ID", Guid.NewGuid().ToString("N"));
            }

            proxyRequest.Headers.Host = httpContext.Request.Host.Value;

            void Set(string name, string value)
            {
                proxyRequest.Headers.Remove(name);
                proxyRequest.Headers.TryAddWithoutValidation(name, value);
            }
        }
    }
}
