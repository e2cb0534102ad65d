using System.Text.Json.Nodes;

namespace Rehearsal.Tests.Aether;

[Parallelizable(ParallelScope.All)]
public sealed class OmsTests
{
    [Test]
    public async Task An_order_outside_simulation_is_a_real_one()
    {
        await using var stand = await QuietAsync();
        var pod = await stand.StartAsync("oms-service", mounts: stand.Keys("company"));

        var placed = await pod.PostAsync("/oms/place", Order("c1"));

        Assert.That(placed.Status, Is.EqualTo(200), placed.Text);
        Assert.That(placed.Json["transport"]!.ToString(), Is.EqualTo("rest"));
        var order = stand.Exchange.OrdersSince(0).Single();
        Assert.That(placed.Json["exchange_order_id"]!.ToString(), Is.EqualTo(order.TxId));
        var sent = (order.Slot, order.Namespace, order.Account, order.Pair, order.Volume);
        Assert.That(sent, Is.EqualTo(("blue", "aether-blue", "company", "XBTUSD", 0.5m)));
        Assert.That(order.Pod, Is.EqualTo(pod.Start.PodName));
    }

    [Test]
    public async Task A_client_id_orders_once_even_across_processes()
    {
        await using var stand = await QuietAsync();
        var first = await stand.StartAsync("oms-service", mounts: stand.Keys("company"));
        var second = await stand.StartAsync("oms-service", mounts: stand.Keys("company"));

        var placed = await first.PostAsync("/oms/place", Order("c1"));
        var again = await first.PostAsync("/oms/place", Order("c1"));
        var elsewhere = await second.PostAsync("/oms/place", Order("c1"));

        Assert.That(again.Text, Is.EqualTo(placed.Text));
        Assert.That(elsewhere.Json["exchange_order_id"]!.ToString(), Is.EqualTo(placed.Json["exchange_order_id"]!.ToString()));
        Assert.That(stand.Exchange.OrdersSince(0), Has.Count.EqualTo(1));
    }

    [Test]
    public async Task Simulation_mode_and_shadow_orders_reach_no_exchange()
    {
        await using var stand = await QuietAsync();
        var mode = await stand.StartAsync("sim-mode");
        await mode.PostAsync("/sim/enter", new JsonObject { ["reason"] = "probe", ["account_id"] = "company" });
        var pod = await stand.StartAsync("oms-service", mounts: stand.Keys("company", "director-1"));
        var shadow = Order("c2", "director-1");
        shadow["shadow"] = true;

        var simulated = await pod.PostAsync("/oms/place", Order("c1"));
        var shadowed = await pod.PostAsync("/oms/place", shadow, "token-of-director-1");

        Assert.That(simulated.Json["transport"]!.ToString(), Is.EqualTo("simulation"));
        Assert.That(shadowed.Json["transport"]!.ToString(), Is.EqualTo("shadow"));
        Assert.That(stand.Exchange.OrdersSince(0), Is.Empty);
    }

    [Test]
    public async Task Safe_mode_stops_no_order_unless_the_process_is_told_to_obey()
    {
        await using var stand = await QuietAsync();
        var mode = await stand.StartAsync("safe-mode");
        await mode.PostAsync("/safe_mode/enter", new JsonObject { ["reason"] = "freeze" });
        var platform = await stand.StartAsync("oms-service", mounts: stand.Keys("company"));
        var obedient = await stand.StartAsync(
            "oms-service", environment: new() { ["OMS_OBEYS_SAFE_MODE"] = "1" }, mounts: stand.Keys("company"));

        var ignored = await platform.PostAsync("/oms/place", Order("c1"));
        var obeyed = await obedient.PostAsync("/oms/place", Order("c2"));

        Assert.That(ignored.Status, Is.EqualTo(200), ignored.Text);
        Assert.That(obeyed.Status, Is.EqualTo(423), obeyed.Text);
        Assert.That(await obedient.MetricAsync("rejected_intents_total{stage=\"oms\",reason=\"safe_mode\"}"), Is.GreaterThanOrEqualTo(1));
        Assert.That(stand.Exchange.OrdersSince(0), Has.Count.EqualTo(1));
    }

    [TestCase("symbol", "BTC-EUR", 400)]
    [TestCase("symbol", "BTC-USD-PERP", 422)]
    [TestCase("qty", 0, 422)]
    [TestCase("side", "hold", 422)]
    [TestCase("account_id", "director-1", 403)]
    public async Task Bad_orders_are_refused(string field, object value, int status)
    {
        await using var stand = await QuietAsync();
        var pod = await stand.StartAsync("oms-service", mounts: stand.Keys("company"));
        var order = Order("c1");
        order[field] = JsonValue.Create(value);

        var refused = await pod.PostAsync("/oms/place", order);

        Assert.That(refused.Status, Is.EqualTo(status), refused.Text);
        Assert.That(stand.Exchange.OrdersSince(0), Is.Empty);
    }

    [Test]
    public async Task The_openapi_document_tells_which_program_runs()
    {
        await using var stand = await QuietAsync();
        var service = await stand.StartAsync("oms-service");
        var main = await stand.StartAsync("oms-service", environment: new() { ["OMS_PROGRAM"] = "main" });

        var serviceSchemas = (await service.GetAsync("/openapi.json", token: null)).Json["components"]!["schemas"]!.AsObject();
        var mainSchemas = (await main.GetAsync("/openapi.json", token: null)).Json["components"]!["schemas"]!.AsObject();

        Assert.That(serviceSchemas.ContainsKey("OrderPlacementRequest") && !serviceSchemas.ContainsKey("OMSPlaceRequest"), Is.True);
        Assert.That(mainSchemas.ContainsKey("OMSPlaceRequest") && !mainSchemas.ContainsKey("OrderPlacementRequest"), Is.True);
    }

    [Test]
    public async Task The_other_program_ignores_simulation_and_answers_a_repeated_order_id_from_its_cache()
    {
        await using var stand = await QuietAsync();
        var mode = await stand.StartAsync("sim-mode");
        await mode.PostAsync("/sim/enter", new JsonObject { ["reason"] = "probe", ["account_id"] = "company" });
        var pod = await stand.StartAsync("oms-service", environment: new() { ["OMS_PROGRAM"] = "main" }, mounts: stand.Keys("company"));
        var order = JsonNode.Parse("""
            {"account_id": "company", "order_id": "o1", "instrument": "BTC-USD", "side": "BUY", "quantity": 1, "price": 64000,
             "fee": {"currency": "USD", "maker": 1, "taker": 2}}
            """)!;

        var placed = await pod.PostAsync("/oms/place", order.DeepClone());
        var again = await pod.PostAsync("/oms/place", order.DeepClone());

        Assert.That(placed.Json["accepted"]!.GetValue<bool>(), Is.True, placed.Text);
        Assert.That(again.Text, Is.EqualTo(placed.Text));
        Assert.That(stand.Exchange.OrdersSince(0), Has.Count.EqualTo(1));
        Assert.That((await pod.GetAsync("/oms/warm_start/status")).Status, Is.EqualTo(404));
    }

    [Test]
    public async Task Reads_answer_with_keys_and_fail_without_them()
    {
        await using var stand = await QuietAsync();
        var with = await stand.StartAsync("oms-service", mounts: stand.Keys("company"));
        var without = await stand.StartAsync("oms-service");

        var balances = await with.GetAsync("/oms/accounts/company/balances");
        var trades = await with.GetAsync("/oms/accounts/company/trades");

        Assert.That(balances.Json["balances"]!["ZUSD"], Is.Not.Null, balances.Text);
        Assert.That(trades.Json["trades"]!.AsArray(), Is.Not.Empty);
        Assert.That((await with.GetAsync("/oms/accounts/director-1/balances")).Status, Is.EqualTo(403));
        Assert.That((await without.GetAsync("/oms/accounts/company/balances")).Status, Is.EqualTo(503));
        foreach (var path in new[] { "/oms/warm_start/status", "/oms/routing/status", "/oms/rate_limits/status" })
        {
            Assert.That((await without.GetAsync(path, token: null)).Status, Is.EqualTo(200), path);
        }
    }

    [Test]
    public async Task Keys_of_another_shape_are_no_keys()
    {
        await using var stand = await QuietAsync();
        var mounts = stand.Keys("company");
        var file = Path.Join(mounts["/var/run/aether/kraken/company"], "credentials.json");
        await File.WriteAllTextAsync(file, """{"apiKey": "key-company", "apiSecret": "x"}""");

        var pod = await stand.StartAsync("oms-service", mounts: mounts);

        Assert.That((await pod.GetAsync("/oms/routing/status", token: null)).Json["accounts"]!.AsArray(), Is.Empty);
        Assert.That(pod.Log, Does.Contain("no api_key"));
    }

    [Test]
    public async Task A_drained_process_answers_503_but_for_drain_paths_and_documents_and_only_a_restart_undoes_it()
    {
        await using var stand = await QuietAsync();
        var pod = await stand.StartAsync("oms-service");

        var started = await pod.PostAsync("/ops/drain/start", token: null);

        Assert.That(started.Json["draining"]!.GetValue<bool>(), Is.True);
        Assert.That((await pod.GetAsync("/healthz", token: null)).Status, Is.EqualTo(503));
        Assert.That((await pod.GetAsync("/oms/routing/status", token: null)).Status, Is.EqualTo(503));
        Assert.That((await pod.GetAsync("/ops/drain/status", token: null)).Status, Is.EqualTo(200));
        Assert.That((await pod.GetAsync("/openapi.json", token: null)).Status, Is.EqualTo(200));
        Assert.That((await pod.PostAsync("/ops/drain/stop", token: null)).Status, Is.EqualTo(404), "there is no undrain");
    }

    [Test]
    public async Task Placing_and_cancelling_leave_their_mark_in_trail_b()
    {
        await using var stand = await QuietAsync();
        var pod = await stand.StartAsync("oms-service", mounts: stand.Keys("company"));
        var order = Order("c1");
        order["type"] = "limit";
        order["limit_px"] = 50_000;
        await pod.PostAsync("/oms/place", order);

        var cancelled = await pod.PostAsync("/oms/cancel", new JsonObject { ["account_id"] = "company", ["client_id"] = "c1" });

        Assert.That(cancelled.Status, Is.EqualTo(200), cancelled.Text);
        foreach (var action in new[] { "oms.order.placed", "oms.order.cancelled" })
        {
            Assert.That(
                await stand.CountAsync($"acct_company.audit_logs WHERE payload->>'action' = '{action}' AND payload->>'target' = 'c1'"),
                Is.EqualTo(1),
                action);
        }
    }

    private static JsonObject Order(string clientId, string account = "company") => new()
    {
        ["account_id"] = account,
        ["client_id"] = clientId,
        ["symbol"] = "BTC-USD",
        ["side"] = "buy",
        ["type"] = "market",
        ["qty"] = 0.5,
    };

    /// <summary>A world in which no OMS sends orders by itself.</summary>
    private static async Task<Stand> QuietAsync()
    {
        var stand = await Stand.CreateAsync();
        await stand.WithDatabaseAsync();
        stand.Faults["orders-stopped"] = "";
        return stand;
    }
}
