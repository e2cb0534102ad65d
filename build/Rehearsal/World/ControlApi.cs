using System.Globalization;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Rehearsal.World;

/// <summary>
/// What a <see cref="ControlApi"/> gives access to, with a Bearer token on every call. The exchange's log is a file of JSON lines,
/// each with a rising <c>seq</c>.
/// </summary>
public sealed record ControlOptions(string Token, Faults Faults, IReadOnlyList<Edge> Edges, string ExchangeLog)
{
    public Effects Effects { get; init; } = new();

    /// <summary>Which write of a journal is held (the argument of <c>cluster-hold</c>), now or within the patience; null: none.</summary>
    public Func<TimeSpan, CancellationToken, Task<string?>> Held { get; init; } = (_, _) => Task.FromResult<string?>(null);
}

/// <summary>
/// How a drill or a test steers a world from outside: <c>GET|DELETE /faults</c>, <c>PUT|DELETE /faults/NAME</c> (the body is the
/// argument), <c>GET /exchange/log?after=SEQ</c> (every order that reached the exchange, as JSON lines), <c>GET /edge/requests</c>
/// (by slot and host), <c>GET /effects</c> (what took place, by name), <c>GET /cluster/held?wait=SECONDS</c> (204 when nothing is held by
/// then).
/// </summary>
public sealed class ControlApi : IAsyncDisposable
{
    private readonly ControlOptions _options;
    private LoopbackServer? _server;

    private ControlApi(ControlOptions options)
    {
        _options = options;
        Address = new Uri("about:blank");
    }

    public Uri Address { get; private set; }

    public static async Task<ControlApi> StartAsync(Place place, ControlOptions options, CancellationToken cancellationToken)
    {
        var control = new ControlApi(options);
        (control._server, control.Address) = await LoopbackServer.StartAsync(
            place.Ports, "control", control.AnswerAsync, cancellationToken);
        return control;
    }

    public ValueTask DisposeAsync()
    {
        return _server?.DisposeAsync() ?? ValueTask.CompletedTask;
    }

    private async Task AnswerAsync(HttpContext context)
    {
        if (!context.Request.HasToken(_options.Token))
        {
            await context.AnswerTextAsync(401, "The control token of world.json is needed.\n");
            return;
        }

        switch (context.Request.Method, context.Request.Segments())
        {
            case ("GET", ["faults"]):
                await context.AnswerAsync(
                    200, new JsonObject(_options.Faults.All().Select(on => KeyValuePair.Create(on.Key, (JsonNode?)on.Value))));
                break;
            case ("DELETE", ["faults"]):
                _options.Faults.ClearAll();
                context.Response.StatusCode = 204;
                break;
            case ("PUT", ["faults", var name]):
                await SetFaultAsync(context, name);
                break;
            case ("DELETE", ["faults", var name]):
                context.Response.StatusCode = _options.Faults.Clear(name) ? 204 : 404;
                break;
            case ("GET", ["edge", "requests"]):
                await context.AnswerAsync(200, Traffic());
                break;
            case ("GET", ["exchange", "log"]):
                await CopyExchangeLogAsync(context);
                break;
            case ("GET", ["effects"]):
                await context.AnswerAsync(200, _options.Effects.ToJson());
                break;
            case ("GET", ["cluster", "held"]):
                await TellHeldAsync(context);
                break;
            default:
                await context.AnswerTextAsync(
                    404, "There are /faults, /faults/NAME, /edge/requests, /exchange/log, /effects and /cluster/held.\n");
                break;
        }
    }

    private async Task SetFaultAsync(HttpContext context, string name)
    {
        using var body = new StreamReader(context.Request.Body);
        try
        {
            _options.Faults.Set(name, (await body.ReadToEndAsync(context.RequestAborted)).Trim());
            context.Response.StatusCode = 204;
        }
        catch (ArgumentException unknown)
        {
            await context.AnswerTextAsync(404, unknown.Message + "\n");
        }
    }

    private async Task TellHeldAsync(HttpContext context)
    {
        var isNumber = double.TryParse(context.Request.Query["wait"], CultureInfo.InvariantCulture, out var seconds);
        var patience = TimeSpan.FromSeconds(isNumber ? Math.Clamp(seconds, 0, 3600) : 0);
        if (await _options.Held(patience, context.RequestAborted) is { } held)
        {
            await context.AnswerAsync(200, new JsonObject { ["held"] = held });
        }
        else
        {
            context.Response.StatusCode = 204;
        }
    }

    private JsonObject Traffic()
    {
        return new JsonObject(_options.Edges.Select(edge => KeyValuePair.Create(
            edge.Slot,
            (JsonNode?)new JsonObject(edge.Traffic.Select(host => KeyValuePair.Create(
                host.Key,
                (JsonNode?)new JsonObject
                {
                    ["requests"] = host.Value.Requests,
                    ["probes"] = host.Value.Probes,
                    ["last"] = host.Value.Last?.ToString("O", CultureInfo.InvariantCulture),
                }))))));
    }

    private async Task CopyExchangeLogAsync(HttpContext context)
    {
        var after = long.TryParse(context.Request.Query["after"], CultureInfo.InvariantCulture, out var seq) ? seq : 0;
        context.Response.ContentType = "application/x-ndjson";
        if (!File.Exists(_options.ExchangeLog))
        {
            return;
        }

        await using var file = new FileStream(_options.ExchangeLog, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        using var lines = new StreamReader(file);
        while (await lines.ReadLineAsync(context.RequestAborted) is { } line)
        {
            if (SequenceOf(line) > after)
            {
                await context.Response.WriteAsync(line + "\n", context.RequestAborted);
            }
        }
    }

    // The last line may be half written at this moment; it is complete at the next call.
    private static long SequenceOf(string line)
    {
        try
        {
            return (long?)JsonNode.Parse(line)?["seq"] ?? 0;
        }
        catch (System.Text.Json.JsonException)
        {
            return 0;
        }
    }
}
