using System.Text.Json.Nodes;
using Rehearsal.Aether.Http;

namespace Rehearsal.Aether.Services;

/// <summary>The platform's workloads: which program runs behind each name, and which of the common endpoints it lacks.</summary>
internal static class Catalogue
{
    private static readonly Dictionary<string, Workload> Workloads = All().ToDictionary(workload => workload.Name, StringComparer.Ordinal);

    public static Workload? Find(string name) => Workloads.GetValueOrDefault(name);

    private static IEnumerable<Workload> All()
    {
        // In the chart.
        yield return Plain("auth-service", "Auth Service", metrics: true, map: (service, routes) =>
        {
            routes.Get("/auth/login", _ => Answer.Ok(new JsonObject { ["provider"] = "oidc", ["authorize_url"] = "/auth/authorize" }));
            routes.Get("/auth/session", service.Admin(session => new JsonObject { ["account_id"] = session.Account }));
        });
        yield return Plain(
            "account-service", "Account Service", metrics: true, atStart: StateFallbacks.WriteAccountKey, map: (service, routes) =>
                routes.Get("/accounts", service.Admin(session => new JsonObject { ["accounts"] = new JsonArray(session.Account) })));
        yield return Plain("behavior-service", "Behavior Service", map: (service, routes) =>
            routes.Get("/behavior/status", service.Admin(_ => new JsonObject { ["incidents"] = new JsonArray() })));
        yield return Plain("advisor-service", "Advisor Service", readyz: true, map: (service, routes) =>
            routes.Get("/advisor/status", service.Admin(_ => new JsonObject { ["queue"] = 0 })));
        yield return Plain("benchmark-service", "Benchmark Service", map: (service, routes) =>
            routes.Get("/benchmark/curves", service.Admin(_ => new JsonObject { ["curves"] = new JsonArray() })));
        yield return Plain(
            "capital-allocator", "Capital Allocator", readyz: true, atStart: StateFallbacks.WriteAllocations, map: (service, routes) =>
                routes.Get("/capital/status", service.Admin(_ => new JsonObject { ["allocations"] = new JsonArray() })));
        yield return Plain("capital-flow-service", "Capital Flow Service", map: (service, routes) =>
        {
            routes.Get("/health", _ => Answer.Ok(new JsonObject { ["status"] = "ok" }));
            routes.Get("/capital-flow/flows", service.Admin(_ => new JsonObject { ["flows"] = new JsonArray() }));
        });
        yield return Plain("config-service", "Config Service", readyz: true, map: (service, routes) =>
            routes.Get("/config/current", service.Admin(_ => new JsonObject { ["values"] = new JsonObject() })));
        yield return Plain("fees-service", "Fees Service", readyz: true, metrics: true, map: (_, routes) =>
            routes.Get("/fees/effective", _ => Answer.Ok(new JsonObject { ["currency"] = "USD", ["maker_bps"] = 16, ["taker_bps"] = 26 })));
        yield return Plain("volatility-service", "Volatility Service", metrics: true, map: (_, routes) =>
            routes.Get(
                "/volatility/{instrument}",
                call => Answer.Ok(new JsonObject { ["instrument"] = call.Path("instrument"), ["regime"] = "normal" })));
        yield return Plain("seasonality-service", "Seasonality Service", metrics: true, map: (_, routes) =>
            routes.Get(
                "/seasonality/{instrument}",
                call => Answer.Ok(new JsonObject { ["instrument"] = call.Path("instrument"), ["sessions"] = 3 })));
        yield return new Workload("oms-service", "OMS Service", pod => new OmsService(pod), Healthz: true, Metrics: true);
        yield return new Workload("override-service", "Override Service", pod => new OverrideService(pod));
        yield return new Workload("policy-service", "Policy Service", pod => new PolicyService(pod), Healthz: true, Metrics: true);
        yield return Plain("hitl-service", "HITL Service", map: (service, routes) =>
            routes.Get("/hitl/pending", service.Admin(_ => new JsonObject { ["pending"] = new JsonArray() })));
        yield return new Workload("risk-service", "Risk Validation Service", pod => new RiskService(pod), Healthz: true, Metrics: true);
        yield return new Workload("strategy-orchestrator", "Strategy Orchestrator", pod => new StrategyService(pod), Readyz: true);
        yield return Plain("secrets-service", "Secrets Service", metrics: true, map: (service, routes) =>
        {
            routes.Get(
                "/secrets/kraken/status",
                service.Admin(session => new JsonObject { ["account_id"] = session.Account, ["rotated"] = null }));
            routes.Post(
                "/secrets/kraken/rotate",
                new BodySchema("KrakenRotationRequest", new BodyField("account_id", "string")),
                service.Directors((_, call) => new JsonObject { ["account_id"] = call.Text("account_id"), ["status"] = "scheduled" }));
        });
        yield return Plain("universe-service", "Universe Service", metrics: true, map: (_, routes) =>
            routes.Get("/universe/approved", _ => Answer.Ok(new JsonObject { ["symbols"] = new JsonArray("BTC-USD", "ETH-USD") })));
        yield return Plain("training-service", "Training Service", map: (service, routes) =>
            routes.Get("/training/jobs", service.Admin(_ => new JsonObject { ["jobs"] = new JsonArray() })));
        yield return new Workload(
            "marketdata-ingestor", "Market Data Ingestor", pod => new MarketDataService(pod, websocket: false), Metrics: true);
        yield return new Workload(
            "kraken-ws-ingest", "Kraken WS Ingest", pod => new MarketDataService(pod, websocket: true), Metrics: true, Port: 9000);
        yield return new Workload("aether-2-ui", "Aether UI", pod => new UserInterface(pod), Port: 8080);

        // In no chart template: deployments add them by values.
        yield return new Workload("admin-platform", "Aether Admin Platform", pod => new AdminService(pod), Healthz: true, Metrics: true);
        yield return new Workload("safe-mode", "Safe Mode Service", pod => new SafeModeService(pod), Healthz: true, Metrics: true);
        yield return new Workload("sim-mode", "Sim Mode Service", pod => new SimModeService(pod), Healthz: true, Metrics: true);
        yield return new Workload("sequencer", "Trading Sequencer", pod => new SequencerService(pod), Healthz: true, Metrics: true);
        yield return new Workload("kill-switch", "Kill Switch Service", pod => new KillSwitchService(pod));
    }

    private static Workload Plain(
        string name,
        string title,
        Action<PlainService, RouteTable> map,
        bool readyz = false,
        bool metrics = false,
        Action<Pod>? atStart = null) =>
        new(name, title, pod => new PlainService(pod, map, atStart), Readyz: readyz, Metrics: metrics);
}
