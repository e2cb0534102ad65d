using System.Globalization;
using System.Text.Json.Nodes;
using Npgsql;
using Rehearsal.Aether.Audit;
using Rehearsal.Aether.Http;
using Rehearsal.Aether.Orders;
using Rehearsal.Aether.Stores;

namespace Rehearsal.Aether.Services;

/// <summary>
/// The order management system. By default the program <c>services/oms/oms_service.py</c>, which honours simulation mode; with
/// <c>OMS_PROGRAM=main</c> its sibling <c>services/oms/main.py</c>, which ignores it. Neither asks safe mode. Which one runs, only
/// <c>/openapi.json</c> tells.
/// </summary>
internal sealed class OmsService : AetherService, IDisposable
{
    private readonly ExchangeClient _exchange;
    private readonly TradingSwitches _switches;
    private readonly OrderMetrics _metrics;
    private readonly OrderFlow _flow;
    private readonly AccountStore _accounts;
    private readonly AuditTrail _audit;
    private readonly bool _main;
    private readonly SemaphoreSlim _turn = new(1);
    private readonly Dictionary<string, JsonObject> _placed = [];
    private DateTimeOffset? _drainingSince;

    public OmsService(Pod pod)
        : base(pod)
    {
        _exchange = new ExchangeClient(pod);
        _switches = new TradingSwitches(pod);
        _metrics = new OrderMetrics(pod);
        _flow = new OrderFlow(pod, _exchange, _switches, _metrics, () => Draining);
        _accounts = new AccountStore(pod);
        _audit = new AuditTrail(pod);
        _main = pod.Env("OMS_PROGRAM") == "main";
    }

    public override bool Draining => _drainingSince is not null;

    public override IEnumerable<(string Name, Func<CancellationToken, Task> Look)> Checks
    {
        get
        {
            yield return ("timescale", ct => _accounts.PingAsync(Pod.Accounts[0], ct));
            if (SimulationStore.Dsn(Pod) is { } dsn && !_main)
            {
                yield return ("sim_mode", ct => LookAtDatabaseAsync(dsn, ct));
            }
        }
    }

    public override Task RunAsync(CancellationToken ct) => _flow.RunAsync(ct);

    public override void Map(RouteTable routes)
    {
        routes.Post("/ops/drain/start", null, _ =>
        {
            _drainingSince ??= Pod.Time.GetUtcNow();
            return Task.FromResult(Answer.Ok(DrainStatus()));
        });
        routes.Get("/ops/drain/status", _ => Answer.Ok(DrainStatus()));
        routes.Get("/oms/accounts/{account_id}/balances", BalancesAsync);
        routes.Get("/oms/accounts/{account_id}/trades", TradesAsync);
        routes.Get("/internal/flow", _ => Answer.Ok(new JsonObject { ["sent"] = _flow.Sent }), documented: false);
        routes.Post("/internal/orders/cancel", OmsBodies.CancelMany, CancelManyAsync, documented: false);
        if (_main)
        {
            routes.Post("/oms/place", OmsBodies.Main, PlaceMainAsync);
            return;
        }

        routes.Post("/oms/place", OmsBodies.Service, PlaceAsync);
        routes.Post("/oms/cancel", OmsBodies.Cancel, CancelAsync);
        routes.Get(
            "/oms/warm_start/status", _ => Answer.Ok(new JsonObject { ["status"] = "complete", ["orders_reconciled"] = _flow.Sent }));
        routes.Get("/oms/routing/status", _ => Answer.Ok(new JsonObject
        {
            ["venue"] = "kraken",
            ["accounts"] = Strings(_exchange.Accounts),
            ["transport"] = "rest",
        }));
        routes.Get("/oms/rate_limits/status", _ => Answer.Ok(new JsonObject
        {
            ["accounts"] = Strings(_exchange.Accounts),
            ["throttled"] = false,
        }));
    }

    public void Dispose()
    {
        _switches.Dispose();
        _audit.Dispose();
        _turn.Dispose();
    }

    private JsonObject DrainStatus() => new()
    {
        ["draining"] = Draining,
        ["since"] = _drainingSince is { } since ? AuditTrail.IsoTime(since) : null,
    };

    private async Task<Session> AuthorizeAsync(Call call, string? account)
    {
        try
        {
            var session = await Authentication.RequireAdminAsync(call);
            Authentication.RequireSameAccount(session, account);
            return session;
        }
        catch (Refusal)
        {
            _metrics.Unauthorized();
            throw;
        }
    }

    private async Task<Answer> PlaceAsync(Call call)
    {
        var account = call.Text("account_id")!;
        var session = await AuthorizeAsync(call, account);
        var clientId = call.Text("client_id")!;
        await _turn.WaitAsync(call.Aborted);
        try
        {
            if (await EarlierAsync(session.Account, clientId, call.Aborted) is { } earlier)
            {
                return Answer.Ok(earlier);
            }

            var order = ReadOrder(call, call.Text("symbol")!, "qty", "limit_px", clientId);
            var transport = await TransportAsync(session.Account, call);
            var id = await SendAsync(session.Account, order, transport, call.Aborted);
            var result = new JsonObject
            {
                ["account_id"] = session.Account,
                ["client_id"] = clientId,
                ["exchange_order_id"] = id,
                ["status"] = transport == "rest" && order.Type == "limit" ? "open" : "filled",
                ["filled_qty"] = transport == "rest" && order.Type == "limit" ? 0 : order.Volume,
                ["avg_price"] = order.Price,
                ["transport"] = transport,
                ["errors"] = null,
            };
            _placed[$"{session.Account}/{clientId}"] = result;
            await AuditAsync(session.Account, "oms.order.placed", clientId, result);
            return Answer.Ok(result.DeepClone());
        }
        finally
        {
            _turn.Release();
        }
    }

    private async Task<string> TransportAsync(string account, Call call)
    {
        try
        {
            if (await _switches.HaltedAsync(call.Aborted))
            {
                _metrics.Rejected("safe_mode");
                throw new Refusal(423, "Safe mode is active; new intents are rejected.");
            }

            return call.Body["shadow"]?.GetValue<bool>() == true ? "shadow"
                : await _switches.SimulatedAsync(account, call.Aborted) ? "simulation"
                : "rest";
        }
        catch (SwitchUnknownException failure)
        {
            _metrics.Failed("sim_mode");
            throw new Refusal(503, $"Simulation mode is not known: {failure.Message}");
        }
    }

    private async Task<Answer> PlaceMainAsync(Call call)
    {
        var session = await AuthorizeAsync(call, call.Text("account_id"));
        var orderId = call.Text("order_id")!;
        await _turn.WaitAsync(call.Aborted);
        try
        {
            // The ack cache: the same order_id is answered from it and sends no second order.
            if (_placed.GetValueOrDefault($"{session.Account}/{orderId}") is { } earlier)
            {
                return Answer.Ok(earlier.DeepClone());
            }

            var order = ReadOrder(call, call.Text("instrument")!, "quantity", "price", orderId);
            var id = await SendAsync(session.Account, order, "rest", call.Aborted);
            var result = new JsonObject
            {
                ["accepted"] = true,
                ["routed_venue"] = "kraken",
                ["fee"] = call.Body["fee"]!.DeepClone(),
                ["exchange_order_id"] = id,
                ["kraken_status"] = "ok",
                ["errors"] = null,
            };
            _placed[$"{session.Account}/{orderId}"] = result;
            return Answer.Ok(result.DeepClone());
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>The result of an earlier order with the same client id, from this process or, by the account's history, another.</summary>
    private async Task<JsonNode?> EarlierAsync(string account, string clientId, CancellationToken ct)
    {
        if (_placed.GetValueOrDefault($"{account}/{clientId}") is { } here)
        {
            return here.DeepClone();
        }

        try
        {
            return await _accounts.FindByClientIdAsync(account, clientId, ct) is { } found
                ? new JsonObject
                {
                    ["account_id"] = account,
                    ["client_id"] = clientId,
                    ["exchange_order_id"] = found.OrderId,
                    ["status"] = found.Status,
                    ["transport"] = found.OrderId.StartsWith("SIM-", StringComparison.Ordinal) ? "simulation" : "rest",
                    ["errors"] = null,
                }
                : null;
        }
        catch (Exception failure) when (failure is NpgsqlException or InvalidOperationException)
        {
            Pod.Log($"WARNING:  idempotency is limited to this process: {failure.Message}");
            return null;
        }
    }

    private static NewOrder ReadOrder(Call call, string symbol, string quantity, string price, string clientId)
    {
        var parts = symbol.ToUpperInvariant().Split('-', '/');
        if (parts.Length != 2 || parts[1] is "PERP" or "FUT" or "SWAP")
        {
            throw new Refusal(422, "Only spot market instruments are supported.");
        }

        if (parts[1] != "USD")
        {
            throw new Refusal(400, "Only USD-quoted spot instruments are supported.");
        }

        var type = call.Text("type")?.ToLowerInvariant() ?? "limit";
        var limit = call.Body[price]?.GetValue<decimal>();
        return type == "limit" && limit is null
            ? throw new Refusal(400, "limit_px is required for limit orders")
            : new NewOrder(
                (parts[0] == "BTC" ? "XBT" : parts[0]) + parts[1],
                call.Text("side")!.ToLowerInvariant(),
                type,
                call.Body[quantity]!.GetValue<decimal>(),
                limit ?? 0,
                clientId);
    }

    private async Task<string> SendAsync(string account, NewOrder order, string transport, CancellationToken ct)
    {
        var clock = Pod.Time.GetTimestamp();
        var id = string.Create(CultureInfo.InvariantCulture, $"{(transport == "shadow" ? "SHADOW" : "SIM")}-{order.ClientId}");
        if (transport == "rest")
        {
            try
            {
                id = await _exchange.AddOrderAsync(account, order, ct);
            }
            catch (ExchangeException failure)
            {
                _metrics.Failed(failure.Reason);
                throw new Refusal(failure.Reason == "credentials" ? 503 : 502, failure.Message);
            }
        }

        _metrics.Placed(account, order.Pair, transport, Pod.Time.GetElapsedTime(clock));
        try
        {
            // Written before the answer: the client id is the idempotency key for other processes too.
            var status = transport == "rest" && order.Type == "limit" ? "open" : "filled";
            var ack = new OrderRecord(id, order.ClientId, order.Pair, order.Side, order.Volume, order.Price, status);
            await _accounts.AddOrdersAsync(account, [ack], status == "filled" ? [ack] : [], transport != "rest", CancellationToken.None);
        }
        catch (Exception failure) when (failure is NpgsqlException or InvalidOperationException)
        {
            Pod.Log($"ERROR:    order {id} not recorded: {failure.Message}");
        }

        return id;
    }

    private async Task<Answer> CancelAsync(Call call)
    {
        var account = call.Text("account_id")!;
        var session = await AuthorizeAsync(call, account);
        var clientId = call.Text("client_id")!;
        var id = call.Text("exchange_order_id") ?? (await _accounts.FindByClientIdAsync(session.Account, clientId, call.Aborted))?.OrderId
            ?? throw new Refusal(404, "Unknown order");
        if (!await CancelOneAsync(session.Account, id))
        {
            throw new Refusal(409, "Order is no longer open");
        }

        var result = new JsonObject
        {
            ["account_id"] = session.Account,
            ["client_id"] = clientId,
            ["exchange_order_id"] = id,
            ["status"] = "cancelled",
        };
        await AuditAsync(session.Account, "oms.order.cancelled", clientId, result);
        return Answer.Ok(result);
    }

    private async Task<Answer> CancelManyAsync(Call call)
    {
        var account = call.Text("account_id")!;
        var cancelled = new JsonArray();
        foreach (var id in (call.Body["order_ids"] as JsonArray ?? []).Select(node => node!.ToString()))
        {
            if (await CancelOneAsync(account, id))
            {
                cancelled.Add(id);
            }
        }

        return Answer.Ok(new JsonObject { ["cancelled"] = cancelled });
    }

    private async Task<bool> CancelOneAsync(string account, string id)
    {
        try
        {
            await _exchange.CancelOrderAsync(account, id, CancellationToken.None);
            await _accounts.AddOrdersAsync(account, [OrderRecord.Cancelled(id)], [], simulated: false, CancellationToken.None);
            return true;
        }
        catch (Exception failure) when (failure is ExchangeException or NpgsqlException or InvalidOperationException)
        {
            Pod.Log($"WARNING:  order {id} of {account} not cancelled: {failure.Message}");
            return false;
        }
    }

    private async Task<Answer> BalancesAsync(Call call)
    {
        var session = await AuthorizeAsync(call, call.Path("account_id"));
        try
        {
            var balances = await _exchange.BalanceAsync(session.Account, call.Aborted);
            return Answer.Ok(new JsonObject { ["account_id"] = session.Account, ["balances"] = balances });
        }
        catch (ExchangeException failure)
        {
            throw new Refusal(failure.Reason == "credentials" ? 503 : 502, failure.Message);
        }
    }

    private async Task<Answer> TradesAsync(Call call)
    {
        var session = await AuthorizeAsync(call, call.Path("account_id"));
        if (!_exchange.CanTrade(session.Account))
        {
            throw new Refusal(503, $"no exchange credentials for account {session.Account}");
        }

        return Answer.Ok(new JsonObject
        {
            ["account_id"] = session.Account,
            ["trades"] = await _accounts.FillsAsync(session.Account, 50, call.Aborted),
        });
    }

    private Task AuditAsync(string account, string action, string clientId, JsonObject after) => _audit.RecordForAccountAsync(
        account,
        account,
        action,
        clientId,
        new JsonObject
        {
            ["before"] = null,
            ["after"] = after.DeepClone(),
            ["correlation_id"] = clientId,
            ["entry_id"] = Guid.NewGuid().ToString(),
            ["account_id"] = account,
        },
        CancellationToken.None);
}

/// <summary>The bodies by which the two programs are told apart.</summary>
internal static class OmsBodies
{
    public static readonly BodySchema Service = new(
        "OrderPlacementRequest",
        new("account_id", "string"),
        new("client_id", "string"),
        new("symbol", "string"),
        new("side", "string", Allowed: ["buy", "sell"]),
        new("type", "string", Allowed: ["market", "limit"]),
        new("qty", "number", Positive: true),
        new("limit_px", "number", Required: false, Positive: true),
        new("tif", "string", Required: false),
        new("flags", "array", Required: false),
        new("post_only", "boolean", Required: false),
        new("reduce_only", "boolean", Required: false),
        new("shadow", "boolean", Required: false),
        new("take_profit", "number", Required: false),
        new("stop_loss", "number", Required: false),
        new("trailing_offset", "number", Required: false),
        new("pre_trade_mid_px", "number", Required: false));

    public static readonly BodySchema Cancel = new(
        "OrderCancelRequest", new("account_id", "string"), new("client_id", "string"), new("exchange_order_id", "string", Required: false));

    public static readonly BodySchema CancelMany = new("CancelOrders", new("account_id", "string"), new("order_ids", "array"));

    public static readonly BodySchema Main = new(
        "OMSPlaceRequest",
        new("account_id", "string"),
        new("order_id", "string"),
        new("instrument", "string"),
        new("side", "string", Allowed: ["BUY", "SELL"]),
        new("quantity", "number", Positive: true),
        new("price", "number", Positive: true),
        new("fee", "object"),
        new("post_only", "boolean", Required: false),
        new("reduce_only", "boolean", Required: false),
        new("time_in_force", "string", Required: false, Allowed: ["GTC", "IOC", "GTD"]),
        new("expire_time", "string", Required: false),
        new("take_profit", "number", Required: false),
        new("stop_loss", "number", Required: false));
}
