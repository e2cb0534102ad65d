using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Rehearsal.Aether.Http;
using Rehearsal.Aether.Metrics;

namespace Rehearsal.Aether.Services;

/// <summary>A service that a rollout only probes: its reads, and nothing a rollout depends on.</summary>
internal sealed class PlainService(Pod pod, Action<PlainService, RouteTable> map, Action<Pod>? atStart = null) : AetherService(pod)
{
    public override Task StartAsync(CancellationToken ct)
    {
        atStart?.Invoke(Pod);
        return Task.CompletedTask;
    }

    public override void Map(RouteTable routes) => map(this, routes);

    /// <summary>A read for any signed-in administrator.</summary>
    public Func<Call, Task<Answer>> Admin(Func<Session, JsonNode> read) =>
        async call => Answer.Ok(read(await Authentication.RequireAdminAsync(call)));

    /// <summary>A change that wants a second factor and two directors.</summary>
    public Func<Call, Task<Answer>> Directors(Func<Session, Call, JsonNode> change) => async call =>
    {
        var session = await Authentication.RequireDirectorApprovalsAsync(call);
        Authentication.RequireSecondFactor(call);
        return Answer.Ok(change(session, call));
    };
}

/// <summary>State that only insecure-default fallbacks write; a hardened deployment has none of it (section 6).</summary>
internal static class StateFallbacks
{
    public static void WriteAccountKey(Pod pod)
    {
        if (pod.Env("ACCOUNT_ENCRYPTION_KEY") is not null || !pod.Enabled("ACCOUNTS_ALLOW_INSECURE_DEFAULTS"))
        {
            return;
        }

        var file = (pod.Env("AETHER_STATE_DIR") ?? ".aether_state") + "/accounts/encryption.key";
        if (!File.Exists(pod.HostPath(file)))
        {
            // A Fernet key is 32 bytes in URL-safe base64.
            var key = Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)).Replace('+', '-').Replace('/', '_');
            File.WriteAllText(pod.WritablePath(file), key);
        }
    }

    public static void WriteAllocations(Pod pod)
    {
        if (!pod.Enabled("AETHER_ALLOW_INSECURE_TEST_DEFAULTS"))
        {
            return;
        }

        // Hard coded on the platform: AETHER_STATE_DIR does not move it.
        const string allocations = ".aether_state/capital_allocator/allocations.json";
        if (!File.Exists(pod.HostPath(allocations)))
        {
            var share = 1m / pod.Accounts.Count;
            File.WriteAllText(pod.WritablePath(allocations), new JsonObject
            {
                ["allocations"] = new JsonArray([.. pod.Accounts.Select(account => new JsonObject
                {
                    ["account_id"] = account,
                    ["share"] = new JsonObject { ["__aether_type__"] = "decimal", ["value"] = decimal.Round(share, 6).ToString() },
                })]),
            }.ToJsonString());
        }
    }
}

/// <summary>The market data pipelines, which no freeze reaches.</summary>
internal sealed class MarketDataService : AetherService
{
    private static readonly double[] DeliveryBounds = [0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1];

    private readonly Metric _ticks;
    private readonly Metric? _delivery;

    public MarketDataService(Pod pod, bool websocket)
        : base(pod)
    {
        _ticks = pod.Metrics.Counter("marketdata_ticks_total", "Ticks published.");
        _delivery = websocket
            ? pod.Metrics.Histogram("ws_delivery_latency_seconds", "Delivery latency of websocket messages.", DeliveryBounds)
            : null;
    }

    public override void Observe(TimeSpan elapsed, bool failed)
    {
        if (!failed)
        {
            _ticks.Add(1);
            _delivery?.Observe(elapsed.TotalSeconds);
        }
    }

    public override void Map(RouteTable routes)
    {
    }
}

/// <summary>The user interface: static files, no headers of its own, and an API address baked into its script.</summary>
internal sealed class UserInterface(Pod pod) : AetherService(pod)
{
    public override void Map(RouteTable routes)
    {
        var page = $"""
            <!doctype html><html lang="en"><head><meta charset="utf-8"><title>Aether</title><script src="/assets/app.js"></script></head>
            <body data-release="{Pod.Release}"><div id="root"></div></body></html>
            """;
        routes.Get("/", _ => Answer.Plain(page, "text/html; charset=utf-8"), documented: false);
        routes.Get("/index.html", _ => Answer.Plain(page, "text/html; charset=utf-8"), documented: false);
        const string script = "window.AETHER_API = \"https://risk.aether.example.com\";\n";
        routes.Get("/assets/app.js", _ => Answer.Plain(script, "text/javascript"), documented: false);
    }
}
