using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using System.Threading.Channels;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;

namespace Rehearsal.Tests.World;

/// <summary>As much of a Kubernetes API as an ingress controller needs: list, watch and the status patch, for any kind.</summary>
internal sealed class TinyCluster : IAsyncDisposable
{
    private readonly WebApplication _application;
    private readonly Lock _lock = new();
    private readonly Dictionary<string, JsonObject> _objects = [];
    private readonly List<(string Kind, long Version, string Line)> _changes = [];
    private readonly List<(string Kind, Channel<string> Changes)> _watchers = [];
    private long _version = 100;
    private long _compacted;

    private TinyCluster(WebApplication application)
    {
        _application = application;
        application.Run(AnswerAsync);
    }

    public Uri Address => new(_application.Urls.First());

    /// <summary>Every status patch: path and body.</summary>
    public ConcurrentQueue<(string Path, string Body)> Patches { get; } = new();

    public static async Task<TinyCluster> StartAsync()
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(options => options.Listen(IPAddress.Loopback, 0));
        var cluster = new TinyCluster(builder.Build());
        await cluster._application.StartAsync();
        return cluster;
    }

    public void Put(string kind, string @namespace, string name, JsonObject body)
    {
        lock (_lock)
        {
            var key = $"{kind}/{@namespace}/{name}";
            var type = _objects.ContainsKey(key) ? "MODIFIED" : "ADDED";
            var metadata = body["metadata"] as JsonObject ?? [];
            body["metadata"] = null;
            metadata["namespace"] = @namespace;
            metadata["name"] = name;
            metadata["uid"] = key;
            metadata["resourceVersion"] = (++_version).ToString(CultureInfo.InvariantCulture);
            body["metadata"] = metadata;
            _objects[key] = body;
            Tell(kind, type, body);
        }
    }

    public void Delete(string kind, string @namespace, string name)
    {
        lock (_lock)
        {
            _objects.Remove($"{kind}/{@namespace}/{name}", out var body);
            body!["metadata"]!["resourceVersion"] = (++_version).ToString(CultureInfo.InvariantCulture);
            Tell(kind, "DELETED", body);
        }
    }

    /// <summary>Forgets all changes: every watch ends with 410 Gone in the stream, and none can begin before this moment.</summary>
    public void Compact()
    {
        lock (_lock)
        {
            _compacted = ++_version;
            _changes.Clear();
            foreach (var (_, changes) in _watchers)
            {
                changes.Writer.TryWrite("""{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}""");
                changes.Writer.Complete();
            }

            _watchers.Clear();
        }
    }

    public ValueTask DisposeAsync()
    {
        lock (_lock)
        {
            _watchers.ForEach(watcher => watcher.Changes.Writer.TryComplete());
        }

        return _application.DisposeAsync();
    }

    private void Tell(string kind, string type, JsonObject body)
    {
        var line = new JsonObject { ["type"] = type, ["object"] = body.DeepClone() }.ToJsonString();
        _changes.Add((kind, _version, line));
        foreach (var (_, changes) in _watchers.Where(watcher => watcher.Kind == kind))
        {
            changes.Writer.TryWrite(line);
        }
    }

    private async Task AnswerAsync(HttpContext context)
    {
        var kind = context.Request.Path.Value!.Split('/')[^1];
        if (HttpMethods.IsPatch(context.Request.Method))
        {
            using var body = new StreamReader(context.Request.Body);
            Patches.Enqueue((context.Request.Path.Value!, await body.ReadToEndAsync()));
            return;
        }

        if (context.Request.Query["watch"] != "true")
        {
            string list;
            lock (_lock)
            {
                list = new JsonObject
                {
                    ["metadata"] = new JsonObject { ["resourceVersion"] = _version.ToString(CultureInfo.InvariantCulture) },
                    ["items"] = new JsonArray([.. OfKind(kind).Select(item => item.DeepClone())]),
                }.ToJsonString();
            }

            await context.Response.WriteAsync(list);
            return;
        }

        var watch = Channel.CreateUnbounded<string>();
        lock (_lock)
        {
            var since = long.Parse(context.Request.Query["resourceVersion"]!, CultureInfo.InvariantCulture);
            if (since < _compacted)
            {
                context.Response.StatusCode = StatusCodes.Status410Gone;
                return;
            }

            foreach (var missed in _changes.Where(change => change.Kind == kind && change.Version > since))
            {
                watch.Writer.TryWrite(missed.Line);
            }

            _watchers.Add((kind, watch));
        }

        await context.Response.Body.FlushAsync();
        try
        {
            await foreach (var line in watch.Reader.ReadAllAsync(context.RequestAborted))
            {
                await context.Response.WriteAsync(line + "\n");
                await context.Response.Body.FlushAsync();
            }
        }
        catch (OperationCanceledException)
        {
            // The watcher left.
        }
    }

    private IEnumerable<JsonObject> OfKind(string kind)
    {
        return _objects.Where(entry => entry.Key.StartsWith(kind + "/", StringComparison.Ordinal)).Select(entry => entry.Value);
    }
}
