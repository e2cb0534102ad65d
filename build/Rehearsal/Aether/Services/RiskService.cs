using System.Text.Json.Nodes;
using Npgsql;
using Rehearsal.Aether.Http;
using Rehearsal.Aether.Metrics;
using Rehearsal.Aether.Stores;

namespace Rehearsal.Aether.Services;

/// <summary>Risk validation: it refuses on <c>kill_switch</c> of the account's risk configuration, and not on <c>safe_mode</c>.</summary>
internal sealed class RiskService(Pod pod) : AetherService(pod)
{
    private static readonly BodySchema Request = new(
        "RiskValidationRequest", new("account_id", "string"), new("intent", "object"), new("portfolio_state", "object"));

    private static readonly BodySchema Order = new(
        "PolicyDecisionRequest",
        new("account_id", "string"),
        new("order_id", "string"),
        new("instrument", "string"),
        new("side", "string", Allowed: ["BUY", "SELL"]),
        new("quantity", "number", Positive: true),
        new("price", "number", Positive: true),
        new("fee", "object"));

    private readonly AccountStore _accounts = new(pod);
    private readonly Metric _latency = pod.Metrics.Histogram(
        "risk_latency_ms", "Risk validation latency in ms.", MetricRegistry.Milliseconds);
    private readonly Metric _market = pod.Metrics.Gauge("risk_marketdata_latest_timestamp_seconds", "Time of the newest market data.");
    private readonly Metric _rejected = pod.Metrics.Counter("rejected_intents_total", "Rejected intents.", "stage", "reason");

    public override IEnumerable<(string Name, Func<CancellationToken, Task> Look)> Checks
    {
        get
        {
            yield return ("timescale", ct => _accounts.PingAsync(Pod.Accounts[0], ct));
        }
    }

    public override void Observe(TimeSpan elapsed, bool failed)
    {
        _latency.Observe(elapsed.TotalMilliseconds);
        _market.Set(ServiceProcess.Unix(Pod.Time.GetUtcNow()));
    }

    /// <summary>A body for <c>/risk/validate</c>: the order stands inside the policy decision it came from.</summary>
    public static JsonObject RequestFor(
        string account, string orderId, string instrument, string side, JsonNode quantity, JsonNode price) => new()
        {
            ["account_id"] = account,
            ["intent"] = new JsonObject
            {
                ["policy_decision"] = new JsonObject
                {
                    ["request"] = new JsonObject
                    {
                        ["account_id"] = account,
                        ["order_id"] = orderId,
                        ["instrument"] = instrument,
                        ["side"] = side.ToUpperInvariant(),
                        ["quantity"] = quantity,
                        ["price"] = price,
                        ["fee"] = Fee(),
                    },
                },
                ["metrics"] = new JsonObject(),
            },
            ["portfolio_state"] = new JsonObject { ["nav"] = 1_000_000, ["loss_to_date"] = 0, ["fee_to_date"] = 0 },
        };

    public override void Map(RouteTable routes) => routes.Post("/risk/validate", Request, ValidateAsync);

    private static JsonObject Fee() => new() { ["currency"] = "USD", ["maker"] = 0.0016m, ["taker"] = 0.0026m };

    private async Task<Answer> ValidateAsync(Call call)
    {
        var clock = Pod.Time.GetTimestamp();
        var session = await Authentication.RequireAdminAsync(call);
        Authentication.RequireSameAccount(session, call.Text("account_id"));
        var order = (call.Body["intent"] as JsonObject)?["policy_decision"]?["request"] as JsonObject ?? [];
        Order.Check(order);
        Authentication.RequireSameAccount(session, order["account_id"]!.GetValue<string>());
        var reasons = new JsonArray();
        if ((await _accounts.ReadRiskConfigAsync(session.Account, call.Aborted))["kill_switch"]?.GetValue<bool>() == true)
        {
            reasons.Add("Risk kill switch engaged for account");
            _rejected.Add(1, "risk", "kill_switch");
        }

        var valid = reasons.Count == 0;
        var price = order["price"]!.GetValue<decimal>();
        var direction = order["side"]!.GetValue<string>() == "BUY" ? 1 : -1;
        var answer = new JsonObject
        {
            ["valid"] = valid,
            ["reasons"] = reasons,
            ["fee"] = Fee(),
            ["take_profit"] = decimal.Round(price * (1 + (0.02m * direction)), 2),
            ["stop_loss"] = decimal.Round(price * (1 - (0.01m * direction)), 2),
        };
        try
        {
            var seen = new JsonObject { ["instrument"] = order["instrument"]!.DeepClone(), ["valid"] = valid };
            await _accounts.AddEventAsync(session.Account, "risk_validated", seen, call.Aborted);
        }
        catch (NpgsqlException failure)
        {
            Pod.Log($"ERROR:    validation event not written: {failure.Message}");
        }

        _latency.Observe(Pod.Time.GetElapsedTime(clock).TotalMilliseconds);
        return Answer.Ok(answer);
    }
}

/// <summary>Policy decisions: a spread worth its costs is approved.</summary>
internal sealed class PolicyService(Pod pod) : AetherService(pod)
{
    private readonly Metric _latency = pod.Metrics.Histogram(
        "policy_latency_ms", "Policy decision latency in ms.", MetricRegistry.Milliseconds);

    public override IEnumerable<(string Name, Func<CancellationToken, Task> Look)> Checks
    {
        get
        {
            if (Pod.Env("SESSION_REDIS_URL") is { } url)
            {
                yield return ("session_store", ct => LookAtRedisAsync(url, ct));
            }
        }
    }

    public override void Observe(TimeSpan elapsed, bool failed) => _latency.Observe(elapsed.TotalMilliseconds);

    public override void Map(RouteTable routes)
    {
        var body = new BodySchema(
            "PolicyDecisionRequest",
            new("account_id", "string"),
            new("instrument", "string"),
            new("expected_edge_bps", "number"),
            new("cost_bps", "number"));
        routes.Post("/policy/decide", body, async call =>
        {
            var clock = Pod.Time.GetTimestamp();
            var session = await Authentication.RequireAdminAsync(call);
            Authentication.RequireSameAccount(session, call.Text("account_id"));
            var edge = call.Body["expected_edge_bps"]!.GetValue<decimal>() - call.Body["cost_bps"]!.GetValue<decimal>();
            _latency.Observe(Pod.Time.GetElapsedTime(clock).TotalMilliseconds);
            return Answer.Ok(new JsonObject { ["approved"] = edge > 0, ["net_edge_bps"] = edge });
        });
    }
}
