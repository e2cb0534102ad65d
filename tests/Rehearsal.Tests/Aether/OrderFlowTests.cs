using System.Text.Json.Nodes;

namespace Rehearsal.Tests.Aether;

[Parallelizable(ParallelScope.All)]
public sealed class OrderFlowTests
{
    [Test]
    public async Task Every_running_oms_with_keys_trades_by_itself_so_two_writers_are_seen()
    {
        await using var stand = await StandWithDatabaseAsync();
        await stand.StartAsync("oms-service", "blue", mounts: stand.Keys("company", "director-1"));
        await stand.StartAsync("oms-service", "green", mounts: stand.Keys("company", "director-1"));

        await Stand.UntilAsync("orders of both slots and both accounts", () => stand.Exchange.OrdersSince(0)
            .Select(order => (order.Slot, order.Account)).Distinct().Count() == 4);

        Assert.That(stand.Exchange.OrdersSince(0).Select(order => order.Account), Has.None.EqualTo("director-2"), "it has no keys");
    }

    [Test]
    public async Task Without_keys_nothing_is_sent()
    {
        await using var stand = await StandWithDatabaseAsync();
        var pod = await stand.StartAsync("oms-service", "green");
        var witness = await stand.StartAsync("oms-service", "blue", mounts: stand.Keys("company"));

        await Stand.UntilAsync("the witness sends", () => stand.Exchange.OrdersSince(0).Count > 10);

        Assert.That(stand.Exchange.OrdersSince(0).Select(order => order.Pod), Is.All.EqualTo(witness.Start.PodName));
        Assert.That(pod.Log, Does.Contain("no exchange credentials"));
    }

    [Test]
    public async Task Simulation_mode_stops_an_account_within_two_seconds_and_lets_it_go_again()
    {
        await using var stand = await StandWithDatabaseAsync();
        var mode = await stand.StartAsync("sim-mode");
        var pod = await stand.StartAsync("oms-service", mounts: stand.Keys("company", "director-1"));
        await Stand.UntilAsync("company trades", () => stand.Exchange.OrdersSince(0).Any(order => order.Account == "company"));

        await mode.PostAsync("/sim/enter", new JsonObject { ["reason"] = "freeze", ["account_id"] = "company" });
        var entered = stand.Time.GetUtcNow();
        await Stand.UntilAsync("company is simulated", async () => await pod.MetricAsync(Orders("company", "simulation")) >= 20);

        var late = stand.Exchange.OrdersSince(0).Where(
            order => order.Account == "company" && order.Time > entered + TimeSpan.FromSeconds(4));
        Assert.That(late, Is.Empty, "the state is cached for two seconds; two more are for a busy machine");
        Assert.That(stand.Exchange.OrdersSince(0)[^1].Account, Is.EqualTo("director-1"), "the other account goes on");

        var sent = stand.Exchange.OrdersSince(0).Count(order => order.Account == "company");
        await mode.PostAsync("/sim/exit?account_id=company");
        await Stand.UntilAsync(
            "company trades again", () => stand.Exchange.OrdersSince(0).Count(order => order.Account == "company") > sent);
    }

    [Test]
    public async Task Safe_mode_alone_stops_nothing()
    {
        await using var stand = await StandWithDatabaseAsync();
        var mode = await stand.StartAsync("safe-mode");
        await stand.StartAsync("oms-service", mounts: stand.Keys("company"));

        await mode.PostAsync("/safe_mode/enter", new JsonObject { ["reason"] = "freeze" });
        var sent = stand.Exchange.OrdersSince(0).Count;

        await Stand.UntilAsync("orders although safe mode is active", () => stand.Exchange.OrdersSince(0).Count > sent + 30);
    }

    [Test]
    public async Task An_oms_can_be_made_to_ignore_simulation()
    {
        await using var stand = await StandWithDatabaseAsync();
        var mode = await stand.StartAsync("sim-mode");
        await mode.PostAsync("/sim/enter", new JsonObject { ["reason"] = "freeze", ["account_id"] = "company" });
        stand.Faults["oms-ignores-simulation"] = "blue";
        await stand.StartAsync("oms-service", mounts: stand.Keys("company"));

        await Stand.UntilAsync("orders although simulation is active", () => stand.Exchange.OrdersSince(0).Count > 5);
    }

    [Test]
    public async Task Draining_and_the_end_of_the_process_stop_the_flow()
    {
        await using var stand = await StandWithDatabaseAsync();
        var drained = await stand.StartAsync("oms-service", mounts: stand.Keys("company"));
        var stopped = await stand.StartAsync("oms-service", mounts: stand.Keys("director-1"));
        await Stand.UntilAsync("both trade", () => stand.Exchange.OrdersSince(0).Select(order => order.Account).Distinct().Count() == 2);

        await drained.PostAsync("/ops/drain/start", token: null);
        await stopped.DisposeAsync();
        var gone = stand.Time.GetUtcNow();
        var witness = await stand.StartAsync("oms-service", mounts: stand.Keys("director-2"));
        await Stand.UntilAsync("the witness trades", () => Sent("director-2") > 5);

        // What was on its way when the drain began has arrived by now; whoever still traded would do so as often as the witness.
        var sent = Sent("company");
        await Stand.UntilAsync("the witness goes on trading", () => Sent("director-2") > 15);
        Assert.That(Sent("company"), Is.EqualTo(sent), "orders of the drained");
        Assert.That(stand.Exchange.OrdersSince(0).Where(order => order.Account == "director-1" && order.Time > gone), Is.Empty);
        Assert.That(await stopped.Completion, Is.Zero);
        Assert.That(witness.Log, Does.Contain("trading for director-2"));

        int Sent(string account) => stand.Exchange.OrdersSince(0).Count(order => order.Account == account);
    }

    [Test]
    public async Task Orders_are_counted_with_their_transport_and_recorded_in_the_accounts_history()
    {
        await using var stand = await StandWithDatabaseAsync();
        var pod = await stand.StartAsync("oms-service", mounts: stand.Keys("company"));

        await Stand.UntilAsync("a recorded fill", async () =>
            await stand.CountAsync("acct_company.fills WHERE NOT order_id LIKE 'OSEED%'") > 0);

        var text = (await pod.GetAsync("/metrics", token: null)).Text;
        Assert.That(text, Does.Contain("""
            oms_order_latency_seconds_bucket{service="oms-service",account_segment="company",symbol_tier="major",transport="rest",le="0.15"}
            """));
        Assert.That(await pod.MetricAsync("trades_submitted_total"), Is.GreaterThan(0));
        Assert.That(await pod.MetricAsync("order_gateway_requests_total"), Is.GreaterThan(0));
        Assert.That(text, Does.Contain("# TYPE oms_latency_ms gauge").And.Not.Contain("oms_latency_ms_bucket"));
    }

    [Test]
    public async Task Where_simulation_mode_cannot_be_looked_up_orders_fail()
    {
        await using var stand = await StandWithDatabaseAsync();
        var blind = new Dictionary<string, string> { ["SIM_MODE_DATABASE_URL"] = "postgresql://postgres@127.0.0.1:1/sim" };
        var pod = await stand.StartAsync("oms-service", environment: blind, mounts: stand.Keys("company"));

        const string failures = "order_gateway_request_errors_total{reason=\"sim_mode\"}";
        await Stand.UntilAsync("failed orders", async () => await pod.MetricAsync(failures) > 2);

        Assert.That(stand.Exchange.OrdersSince(0), Is.Empty);
    }

    [Test]
    public async Task Injected_latency_is_part_of_an_orders_latency()
    {
        await using var stand = await StandWithDatabaseAsync();
        stand.Faults["latency"] = "blue:200";
        var pod = await stand.StartAsync("oms-service", mounts: stand.Keys("company"));

        await Stand.UntilAsync("orders", async () => await pod.MetricAsync(Orders("company", "rest")) > 2);

        Assert.That(await pod.MetricAsync("oms_submit_latency_bucket{le=\"150.0\"}"), Is.Zero);
    }

    [Test]
    public async Task Errors_of_the_gateway_are_counted_by_reason()
    {
        await using var stand = await StandWithDatabaseAsync();
        stand.Faults["errors"] = "blue:1";
        var pod = await stand.StartAsync("oms-service", mounts: stand.Keys("company"));

        await Stand.UntilAsync("errors", async () => await pod.MetricAsync("order_gateway_request_errors_total{reason=\"upstream\"}") > 2);

        Assert.That(stand.Exchange.OrdersSince(0), Is.Empty);
    }

    [Test]
    public async Task The_sequencer_succeeds_only_while_the_oms_of_its_namespace_really_trades()
    {
        await using var stand = await StandWithDatabaseAsync();
        var blue = await stand.StartAsync("sequencer");
        var green = await stand.StartAsync("sequencer", "green");
        await stand.StartAsync("oms-service", "blue", mounts: stand.Keys("company"));
        await stand.StartAsync("oms-service", "green");

        await Stand.UntilAsync("runs in blue", async () => await SuccessAsync(blue) >= 3);

        Assert.That(await SuccessAsync(green), Is.Zero);
        var runs = (await blue.GetAsync("/sequencer/status", token: null)).Json["runs"]!.AsArray();
        Assert.That(runs.Select(run => run!["run_id"]!.ToString()), Is.Unique);

        static async Task<int> SuccessAsync(RunningPod pod) =>
            (await pod.GetAsync("/sequencer/status", token: null)).Json["stats"]!["success"]!.GetValue<int>();
    }

    private static string Orders(string account, string transport) => $$"""
        oms_order_latency_seconds_count{service="oms-service",account_segment="{{account}}",symbol_tier="major",transport="{{transport}}"}
        """;

    private static async Task<Stand> StandWithDatabaseAsync()
    {
        var stand = await Stand.CreateAsync();
        await stand.WithDatabaseAsync();
        return stand;
    }
}
