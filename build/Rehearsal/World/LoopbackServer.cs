using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;

namespace Rehearsal.World;

/// <summary>Kestrel on sockets already bound to kept ports, with one handler: no configuration, no console, no environment.</summary>
internal sealed class LoopbackServer : IAsyncDisposable
{
    private readonly WebApplication _application;

    private LoopbackServer(WebApplication application)
    {
        _application = application;
    }

    public IServiceProvider Services => _application.Services;

    /// <summary>A plain HTTP server on the kept port of this name.</summary>
    public static async Task<(LoopbackServer Server, Uri Address)> StartAsync(
        KeptPorts ports, string name, RequestDelegate handler, CancellationToken cancellationToken)
    {
        var socket = ports.ClaimTcp(name, IPAddress.Loopback);
        var address = new Uri($"http://{socket.LocalEndPoint}/");
        var server = await StartAsync([(socket, _ => { })], handler, _ => { }, cancellationToken);
        return (server, address);
    }

    public static async Task<LoopbackServer> StartAsync(
        IReadOnlyList<(Socket Socket, Action<ListenOptions> Listen)> sockets,
        RequestDelegate handler,
        Action<IServiceCollection> services,
        CancellationToken cancellationToken)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Services.AddLogging();
        services(builder.Services);
        builder.WebHost.UseKestrelCore().UseKestrelHttpsConfiguration();
        builder.WebHost.UseSockets(options =>
            options.CreateBoundListenSocket = endPoint => sockets.First(entry => endPoint.Equals(entry.Socket.LocalEndPoint)).Socket);
        builder.WebHost.ConfigureKestrel(options =>
        {
            options.AddServerHeader = false;
            options.Limits.MaxRequestBodySize = 64 * 1024 * 1024;
            foreach (var (socket, listen) in sockets)
            {
                options.Listen((IPEndPoint)socket.LocalEndPoint!, listen);
            }
        });

        // A world that stops must not wait for clients that keep a watch or an idle connection open.
        builder.Services.Configure<Microsoft.Extensions.Hosting.HostOptions>(options => options.ShutdownTimeout = TimeSpan.FromMilliseconds(
            500));

        var application = builder.Build();
        application.Run(handler);
        await application.StartAsync(cancellationToken);
        return new LoopbackServer(application);
    }

    public async ValueTask DisposeAsync()
    {
        await _application.StopAsync();
        await _application.DisposeAsync();
    }
}
