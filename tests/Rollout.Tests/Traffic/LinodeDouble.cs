using System.Collections.Concurrent;
using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Rollout.Tests.Traffic;

/// <param name="Number">Counts the writes from 1; 0 for reads.</param>
internal sealed record LinodeCall(string Method, string Path, long RecordId, int Number, string Body);

/// <summary>How a call is answered instead of properly.</summary>
public sealed record Reaction(int Status, string Body, string ContentType = "application/json")
{
    public Dictionary<string, string> Headers { get; init; } = [];

    public Reaction WithHeader(string name, string value) =>
        this with { Headers = new Dictionary<string, string>(Headers) { [name] = value } };

    public bool TakesEffect { get; init; }

    public bool Cut { get; init; }

    public static Reaction Error(int status, string reason) =>
        new(status, JsonSerializer.Serialize(new { errors = new[] { new { reason } } }));

    public static Reaction Page(int status) => new(status, "<html><body>proxy</body></html>", "text/html");

    public static Reaction LostAnswer() => new(0, string.Empty) { TakesEffect = true, Cut = true };
}

/// <summary>Linode's Domains API, as much of it as a flip meets.</summary>
internal sealed class LinodeDouble : IAsyncDisposable
{
    public const string Token = "linode-token-1234";

    private readonly WebApplication _app;
    private readonly List<JsonObject> _domains = [];
    private readonly List<(long Zone, JsonObject Record)> _records = [];
    private int _writes;
    private long _nextId = 1000;

    private LinodeDouble(WebApplication app)
    {
        _app = app;
        app.Run(AnswerAsync);
    }

    public Uri Api { get; private set; } = null!;

    public int LargestPage { get; set; } = 500;

    public ConcurrentQueue<LinodeCall> Calls { get; } = new();

    /// <summary>Asked before every call; null answers properly.</summary>
    public Func<LinodeCall, Reaction?> Misbehave { get; set; } = _ => null;

    /// <summary>Called after a call took effect and before it is answered.</summary>
    public Action<LinodeCall> AfterEffect { get; set; } = _ => { };

    public IEnumerable<LinodeCall> Writes => Calls.Where(call => call.Method == "PUT");

    public static async Task<LinodeDouble> StartAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        var linode = new LinodeDouble(builder.Build());
        await linode._app.StartAsync();
        var addresses = linode._app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!;
        linode.Api = new Uri(addresses.Addresses.Single() + "/v4");
        return linode;
    }

    public void AddZone(long id, string domain, string type = "master", string status = "active", int ttl = 0) =>
        _domains.Add(new JsonObject { ["id"] = id, ["domain"] = domain, ["type"] = type, ["status"] = status, ["ttl_sec"] = ttl });

    public long AddRecord(long zone, string type, string name, string target, int ttl = 300)
    {
        lock (_records)
        {
            _records.Add((zone, new JsonObject
            {
                ["id"] = ++_nextId,
                ["type"] = type,
                ["name"] = name,
                ["target"] = target,
                ["ttl_sec"] = ttl,
                ["priority"] = 0,
                ["tag"] = null,
            }));
            return _nextId;
        }
    }

    public void Remove(long id)
    {
        lock (_records)
        {
            _records.RemoveAll(entry => (long)entry.Record["id"]! == id);
        }
    }

    public void SetTarget(long id, string target)
    {
        lock (_records)
        {
            _records.Single(entry => (long)entry.Record["id"]! == id).Record["target"] = target;
        }
    }

    /// <summary>The addresses of all A records, in the order they were added.</summary>
    public IReadOnlyList<string> Targets()
    {
        lock (_records)
        {
            return [.. _records.Where(entry => (string?)entry.Record["type"] == "A").Select(entry => (string)entry.Record["target"]!)];
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _app.StopAsync(new CancellationToken(canceled: true));
        await _app.DisposeAsync();
    }

    private async Task AnswerAsync(HttpContext context)
    {
        var request = context.Request;
        using var reader = new StreamReader(request.Body);
        var body = await reader.ReadToEndAsync();
        var parts = request.Path.Value!.Split('/', StringSplitOptions.RemoveEmptyEntries);
        var recordId = parts is ["v4", "domains", _, "records", var last]
            ? long.Parse(last, System.Globalization.CultureInfo.InvariantCulture)
            : 0;
        var call = new LinodeCall(
            request.Method, request.Path + request.QueryString, recordId,
            request.Method == "PUT" ? Interlocked.Increment(ref _writes) : 0, body);
        Calls.Enqueue(call);
        var reaction = request.Headers.Authorization == $"Bearer {Token}" ? Misbehave(call) : Reaction.Error(401, "Invalid Token");
        if (reaction is null or { TakesEffect: true } && call.Method == "PUT")
        {
            SetTarget(recordId, (string)JsonNode.Parse(body)!["target"]!);
        }

        AfterEffect(call);
        if (reaction is { Cut: true })
        {
            context.Abort();
            return;
        }

        foreach (var (name, value) in reaction?.Headers ?? [])
        {
            context.Response.Headers[name] = value;
        }

        context.Response.StatusCode = reaction?.Status ?? 200;
        context.Response.ContentType = reaction?.ContentType ?? "application/json";
        await context.Response.WriteAsync(reaction?.Body ?? Answer(context, parts, recordId));
    }

    private string Answer(HttpContext context, string[] parts, long recordId)
    {
        lock (_records)
        {
            switch (parts)
            {
                case ["v4", "domains"]:
                    return Page(context, _domains, LargestPage);
                case ["v4", "domains", var zone, "records"]:
                    return Page(context, [.. _records.Where(entry => $"{entry.Zone}" == zone).Select(entry => entry.Record)], LargestPage);
                case ["v4", "domains", _, "records", _] when _records.Any(entry => (long)entry.Record["id"]! == recordId):
                    return _records.Single(entry => (long)entry.Record["id"]! == recordId).Record.ToJsonString();
                default:
                    context.Response.StatusCode = 404;
                    return """{"errors":[{"reason":"Not found"}]}""";
            }
        }
    }

    private static string Page(HttpContext context, List<JsonObject> all, int largest)
    {
        var items = all.Where(item => IsWanted(item, context.Request.Headers["X-Filter"])).ToList();
        var page = int.Parse(context.Request.Query["page"].ToString(), System.Globalization.CultureInfo.InvariantCulture);
        var size = Math.Min(largest,
            int.Parse(context.Request.Query["page_size"].ToString(), System.Globalization.CultureInfo.InvariantCulture));
        return new JsonObject
        {
            ["data"] = new JsonArray([.. items.Skip((page - 1) * size).Take(size).Select(item => item.DeepClone())]),
            ["page"] = page,
            ["pages"] = Math.Max(1, (items.Count + size - 1) / size),
            ["results"] = items.Count,
        }.ToJsonString();
    }

    // Of Linode's filter language, what a flip uses: alternatives, each an exact value of one field.
    private static bool IsWanted(JsonObject item, string? filter) => filter is null
        || JsonNode.Parse(filter)!["+or"]!.AsArray().Any(alternative =>
            alternative!.AsObject().All(field => string.Equals((string?)item[field.Key], (string?)field.Value, StringComparison.OrdinalIgnoreCase)));
}
