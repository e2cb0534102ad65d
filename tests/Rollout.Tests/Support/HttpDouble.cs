using System.Collections.Concurrent;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Rollout.Tests.Support;

/// <summary>One request as a double saw it.</summary>
internal sealed record Seen(string Method, string Path, string Query, IReadOnlyDictionary<string, string> Headers, byte[] Body)
{
    public string Text => System.Text.Encoding.UTF8.GetString(Body);

    public string? Header(string name) => Headers.TryGetValue(name, out var value) ? value : null;
}

/// <summary>What a double answers.</summary>
internal sealed record Reply(
    int Code, string Body = "", string Type = "application/json", IReadOnlyDictionary<string, string>? Headers = null, byte[]? Bytes = null)
{
    /// <summary>The connection breaks instead.</summary>
    public static readonly Reply Cut = new(-1);

    /// <summary>Nothing comes until the client goes away.</summary>
    public static readonly Reply Stall = new(-2);

    /// <summary>The connection breaks in the middle of this body.</summary>
    public static Reply HalfOf(byte[] body) => new(-3, Bytes: body);
}

/// <summary>An HTTP server on loopback whose one handler answers everything.</summary>
internal sealed class HttpDouble : IAsyncDisposable
{
    private readonly WebApplication _app;

    private HttpDouble(WebApplication app) => _app = app;

    public ConcurrentQueue<Seen> Requests { get; } = new();

    public Uri Address => new(_app.Urls.First());

    public HttpClient Client() => new() { BaseAddress = Address };

    public static async Task<HttpDouble> StartAsync(Func<Seen, Reply> answer)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var app = builder.Build();
        var server = new HttpDouble(app);
        app.Run(async context =>
        {
            using var body = new MemoryStream();
            await context.Request.Body.CopyToAsync(body);
            var seen = new Seen(
                context.Request.Method,
                context.Request.Path.Value!,
                context.Request.QueryString.Value ?? "",
                context.Request.Headers.ToDictionary(h => h.Key, h => h.Value.ToString(), StringComparer.OrdinalIgnoreCase),
                body.ToArray());
            server.Requests.Enqueue(seen);
            var reply = answer(seen);
            if (reply == Reply.Cut)
            {
                context.Abort();
                return;
            }

            if (reply == Reply.Stall)
            {
                await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, context.RequestAborted).ContinueWith(_ => { }, TaskScheduler.Default);
                return;
            }

            if (reply.Code == -3)
            {
                context.Response.ContentLength = reply.Bytes!.Length;
                await context.Response.Body.WriteAsync(reply.Bytes.AsMemory(0, reply.Bytes.Length / 2));
                await context.Response.Body.FlushAsync();
                context.Abort();
                return;
            }

            context.Response.StatusCode = reply.Code;
            context.Response.ContentType = reply.Type;
            foreach (var (name, value) in reply.Headers ?? new Dictionary<string, string>())
            {
                context.Response.Headers[name] = value;
            }

            if (seen.Method != "HEAD")
            {
                await context.Response.Body.WriteAsync(reply.Bytes ?? System.Text.Encoding.UTF8.GetBytes(reply.Body));
            }
        });
        await app.StartAsync();
        return server;
    }

    public async ValueTask DisposeAsync() => await _app.DisposeAsync();
}
