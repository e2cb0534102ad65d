using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Http;

namespace Rehearsal.World;

/// <summary>
/// What the pod of an <see cref="Edge"/> shows on ingress-nginx's metrics port: <c>nginx_ingress_controller_requests</c> by host, and
/// <c>/healthz</c>. The edge itself serves on the slot's load balancer address, wherever its pod is.
/// </summary>
public sealed class EdgeMetrics : IAsyncDisposable
{
    /// <summary>ingress-nginx's own default.</summary>
    public const int Port = 10254;

    private readonly LoopbackServer _server;

    private EdgeMetrics(LoopbackServer server)
    {
        _server = server;
    }

    /// <param name="address">The pod's.</param>
    /// <param name="edge">Asked at each scrape; null while the edge is not up yet.</param>
    /// <param name="namespace">The pod's namespace, for the labels.</param>
    /// <param name="pod">The pod's name, for the labels.</param>
    /// <param name="cancellationToken">Stops the start.</param>
    public static async Task<EdgeMetrics> StartAsync(
        IPAddress address, Func<Edge?> edge, string @namespace, string pod, CancellationToken cancellationToken)
    {
        var socket = KeptPorts.Bind(new IPEndPoint(address, Port), SocketType.Stream, ProtocolType.Tcp);
        return new EdgeMetrics(await LoopbackServer.StartAsync(
            [(socket, _ => { })],
            context => AnswerAsync(context, edge(), @namespace, pod),
            _ => { },
            cancellationToken));
    }

    public ValueTask DisposeAsync()
    {
        return _server.DisposeAsync();
    }

    private static Task AnswerAsync(HttpContext context, Edge? edge, string @namespace, string pod)
    {
        return context.Request.Path.Value switch
        {
            "/healthz" => context.AnswerTextAsync(edge is null ? 503 : 200, edge is null ? "starting" : "ok"),
            "/metrics" => context.AnswerTextAsync(200, Exposition(edge, @namespace, pod), "text/plain; version=0.0.4; charset=utf-8"),
            _ => context.AnswerTextAsync(404, "404 page not found\n"),
        };
    }

    private static string Exposition(Edge? edge, string @namespace, string pod)
    {
        var text = new StringBuilder();
        text.Append("# HELP nginx_ingress_controller_requests The total number of client requests\n");
        text.Append("# TYPE nginx_ingress_controller_requests counter\n");
        foreach (var (host, traffic) in edge?.Traffic ?? new Dictionary<string, EdgeTraffic>())
        {
            text.Append(
                CultureInfo.InvariantCulture,
                $"nginx_ingress_controller_requests{{controller_class=\"k8s.io/ingress-nginx\",controller_namespace=\"{@namespace}\",controller_pod=\"{pod}\",host=\"{host}\"}} {traffic.Requests}\n");
        }

        return text.ToString();
    }
}
