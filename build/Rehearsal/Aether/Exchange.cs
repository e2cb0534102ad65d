using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using Rehearsal.Aether.Http;

namespace Rehearsal.Aether;

/// <summary>One order the exchange accepted.</summary>
/// <param name="Seq">Counts all orders from 1, without gaps; also the line of the log.</param>
/// <param name="Time">When it was received.</param>
/// <param name="Slot">Of the sender, by the last word of its namespace.</param>
public sealed record ExchangeOrder(
    long Seq,
    DateTimeOffset Time,
    string Slot,
    string Namespace,
    string Pod,
    string Account,
    string Pair,
    string Side,
    decimal Volume,
    string TxId);

/// <param name="Directory">Where <c>exchange.jsonl</c> and the resting orders are kept.</param>
/// <param name="Port">0 for any.</param>
/// <param name="AccountsByKey">API key → account; other keys are refused.</param>
/// <param name="ControlToken">Bearer token of <c>GET /log</c>.</param>
public sealed record ExchangeOptions(string Directory, int Port, IReadOnlyDictionary<string, string> AccountsByKey, string ControlToken);

/// <summary>
/// The exchange. Its log is the truth about who traded when: each order is stamped and written, in one order, before it is answered.
/// The private calls take JSON and an <c>API-Key</c> header; errors come as the real one's do, with status 200.
/// </summary>
public sealed class Exchange : IAsyncDisposable
{
    private readonly ExchangeOptions _options;
    private readonly TimeProvider _time;
    private readonly HttpHub _hub;
    private readonly ExchangeBook _book;
    private HttpBinding? _binding;

    private Exchange(ExchangeOptions options, TimeProvider time, HttpHub hub, ExchangeBook book)
    {
        _options = options;
        _time = time;
        _hub = hub;
        _book = book;
    }

    public Uri Address => new(string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{_binding!.EndPoint.Port}"));

    /// <summary>Reads back what an earlier exchange left in the directory, then listens on loopback.</summary>
    /// <exception cref="System.Net.Sockets.SocketException">The port is taken.</exception>
    public static async Task<Exchange> StartAsync(ExchangeOptions options, TimeProvider time, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(time);
        var book = ExchangeBook.Open(options.Directory);
        var exchange = new Exchange(options, time, await HttpHub.StartAsync(time, ct), book);
        try
        {
            exchange._binding = exchange._hub.Bind(new IPEndPoint(IPAddress.Loopback, options.Port), exchange.HandleAsync);
            return exchange;
        }
        catch
        {
            await exchange.DisposeAsync();
            throw;
        }
    }

    /// <summary>The orders after <paramref name="seq"/>, in order of receipt.</summary>
    public IReadOnlyList<ExchangeOrder> OrdersSince(long seq) => [.. _book.LinesSince(seq).Select(ExchangeBook.Parse)];

    public async ValueTask DisposeAsync()
    {
        if (_binding is not null)
        {
            await _binding.DisposeAsync();
        }

        await _hub.DisposeAsync();
        _book.Dispose();
    }

    private static async Task WriteAsync(HttpContext context, int status, string contentType, string text)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        context.Response.StatusCode = status;
        context.Response.ContentType = contentType;
        context.Response.ContentLength = bytes.Length;
        await context.Response.Body.WriteAsync(bytes, context.RequestAborted);
    }

    private static JsonObject Result(JsonObject result) => new() { ["error"] = new JsonArray(), ["result"] = result };

    private static JsonObject Error(string error) => new() { ["error"] = new JsonArray(error) };

    private static (string Namespace, string Pod) Sender(HttpContext context)
    {
        var parts = context.Request.Headers.UserAgent.ToString().Split('/');
        return parts is ["aether-oms", var name, var pod] ? (name, pod) : ("", "");
    }

    private async Task HandleAsync(HttpContext context)
    {
        var path = context.Request.Path.Value ?? "/";
        if (path == "/log")
        {
            await ServeLogAsync(context);
            return;
        }

        if (!HttpMethods.IsPost(context.Request.Method) || !path.StartsWith("/0/private/", StringComparison.Ordinal))
        {
            await WriteAsync(context, 404, "application/json", Error("EGeneral:Unknown method").ToJsonString());
            return;
        }

        JsonObject? body = null;
        try
        {
            body = await JsonNode.ParseAsync(context.Request.Body, cancellationToken: context.RequestAborted) as JsonObject;
        }
        catch (JsonException)
        {
            // Answered below, as any body that is not an object.
        }

        var answer = !_options.AccountsByKey.TryGetValue(context.Request.Headers["API-Key"].ToString(), out var account)
            ? Error("EAPI:Invalid key")
            : body is null ? Error("EGeneral:Invalid arguments")
            : path["/0/private/".Length..] switch
            {
                "AddOrder" => AddOrder(context, account, body),
                "CancelOrder" => CancelOrder(account, body),
                "OpenOrders" => Result(new JsonObject { ["open"] = _book.OpenOrders(account) }),
                "Balance" => Result(_book.Balance(account)),
                _ => Error("EGeneral:Unknown method"),
            };
        await WriteAsync(context, 200, "application/json", answer.ToJsonString());
    }

    private JsonObject AddOrder(HttpContext context, string account, JsonObject body)
    {
        var pair = Text(body, "pair");
        var side = Text(body, "type");
        var type = Text(body, "ordertype");
        if (pair.Length == 0 || side is not ("buy" or "sell") || type is not ("market" or "limit")
            || !decimal.TryParse(Text(body, "volume"), NumberStyles.Number, CultureInfo.InvariantCulture, out var volume) || volume <= 0)
        {
            return Error("EGeneral:Invalid arguments");
        }

        var price = decimal.TryParse(Text(body, "price"), NumberStyles.Number, CultureInfo.InvariantCulture, out var set) ? set : 0;
        var (name, pod) = Sender(context);
        var id = _book.Add(_time, name, pod, account, pair, side, volume, price, rests: type == "limit");
        return Result(new JsonObject
        {
            ["descr"] = new JsonObject { ["order"] = string.Create(CultureInfo.InvariantCulture, $"{side} {volume} {pair} @ {type}") },
            ["txid"] = new JsonArray(id),
        });

        static string Text(JsonObject body, string field) => body[field]?.ToString() ?? "";
    }

    private JsonObject CancelOrder(string account, JsonObject body) => _book.Cancel(account, body["txid"]?.ToString() ?? "")
        ? Result(new JsonObject { ["count"] = 1 })
        : Error("EOrder:Unknown order");

    private async Task ServeLogAsync(HttpContext context)
    {
        if (context.Request.Headers.Authorization.ToString() != $"Bearer {_options.ControlToken}")
        {
            await WriteAsync(context, 401, "application/json", Error("EAPI:Invalid key").ToJsonString());
            return;
        }

        _ = long.TryParse(context.Request.Query["after"], CultureInfo.InvariantCulture, out var after);
        var text = new StringBuilder();
        foreach (var line in _book.LinesSince(after))
        {
            text.Append(line).Append('\n');
        }

        await WriteAsync(context, 200, "application/x-ndjson", text.ToString());
    }
}
