using System.Collections.Concurrent;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;

namespace Rollout.Tests.Supply;

internal sealed record HttpCall(string Method, string Path, string Query, string Authorization, string Accept)
{
    public override string ToString() => $"{Method} {Path}{Query}";
}

/// <summary>An HTTP server on loopback that answers as a test says and keeps what it was asked.</summary>
internal sealed class HttpDouble : IAsyncDisposable
{
    private readonly WebApplication _app;

    private HttpDouble(WebApplication app) => _app = app;

    public Uri Address { get; private set; } = null!;

    public ConcurrentQueue<HttpCall> Calls { get; } = new();

    public static async Task<HttpDouble> StartAsync(Func<HttpCall, HttpContext, Task> answer)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        var server = new HttpDouble(builder.Build());
        server._app.Run(async context =>
        {
            var request = context.Request;
            var call = new HttpCall(
                request.Method, request.Path.Value!, request.QueryString.Value!,
                request.Headers.Authorization.ToString(), request.Headers.Accept.ToString());
            server.Calls.Enqueue(call);
            await answer(call, context);
        });
        await server._app.StartAsync();
        server.Address = new Uri(
            server._app.Services.GetRequiredService<IServer>()
            .Features.Get<IServerAddressesFeature>()!
            .Addresses.Single());
        return server;
    }

    public async ValueTask DisposeAsync()
    {
        await _app.StopAsync(new CancellationToken(canceled: true));
        await _app.DisposeAsync();
    }
}

/// <summary>A clock that runs to the end of every pause as soon as somebody pauses.</summary>
internal sealed class SkippingTime() : FakeTimeProvider(new DateTimeOffset(2026, 11, 2, 9, 0, 0, TimeSpan.Zero))
{
    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = base.CreateTimer(callback, state, dueTime, period);
        if (dueTime >= TimeSpan.Zero)
        {
            ThreadPool.QueueUserWorkItem(_ => Advance(dueTime));
        }

        return timer;
    }
}

internal sealed class Lines : IProgress<string>
{
    public ConcurrentQueue<string> All { get; } = new();

    public void Report(string value) => All.Enqueue(value);
}
