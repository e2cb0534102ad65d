using System.Net;
using System.Text.Json.Nodes;
using Rehearsal.Aether.Services;

namespace Rehearsal.Tests.Aether;

[Parallelizable(ParallelScope.All)]
public sealed class GovernanceTests
{
    [Test]
    public async Task A_kill_engages_flag_event_metric_and_audit()
    {
        await using var stand = await StandWithDatabaseAsync();
        var pod = await stand.StartAsync("kill-switch", environment: new() { ["PROMETHEUS_EXPORTER_PORT"] = "9464" });

        var killed = await pod.PostAsync("/risk/kill?account_id=director-1&reason_code=latency_stall");

        Assert.That(killed.Status, Is.EqualTo(200), killed.Text);
        Assert.That(killed.Json["status"]!.ToString(), Is.EqualTo("ok"));
        Assert.That(killed.Json["reason_code"]!.ToString(), Is.EqualTo("latency_stall"));
        Assert.That(killed.Json["failed_channels"]!.AsArray(), Is.Empty);
        Assert.That(
            await stand.AskDatabaseAsync<bool>("SELECT (config->>'kill_switch')::boolean FROM acct_director_1.risk_configs"), Is.True);
        Assert.That(await stand.CountAsync("acct_director_1.events WHERE event_type = 'kill_switch_engaged'"), Is.EqualTo(1));
        Assert.That(await stand.CountAsync("audit_log WHERE action = 'kill_switch.triggered' AND entity = 'director-1'"), Is.EqualTo(1));
        using var http = new HttpClient();
        var exposed = await http.GetStringAsync(new Uri($"http://{pod.Start.PodIp}:9464/metrics"));
        Assert.That(exposed, Does.Contain("kill_switch_state{account_id=\"director-1\"} 1.0"));
    }

    [Test]
    public async Task A_kill_whose_alarm_fails_is_207_partial()
    {
        await using var stand = await StandWithDatabaseAsync();
        var pod = await stand.StartAsync("kill-switch", environment: new() { ["KILL_SWITCH_WEBHOOK_URL"] = "http://127.0.0.1:1/" });

        var killed = await pod.PostAsync("/risk/kill?account_id=company");

        Assert.That(killed.Code, Is.EqualTo(HttpStatusCode.MultiStatus), killed.Text);
        Assert.That(killed.Json["status"]!.ToString(), Is.EqualTo("partial"));
        Assert.That(killed.Json["reason_code"]!.ToString(), Is.EqualTo("loss_cap_breach"), "the default");
        Assert.That(killed.Json["failed_channels"]!.AsArray().Single()!.ToString(), Is.EqualTo("webhook"));
    }

    [TestCase("/risk/kill", 422)]
    [TestCase("/risk/kill?account_id=", 400)]
    [TestCase("/risk/kill?account_id=company&reason_code=boredom", 422)]
    public async Task A_bad_kill_is_refused(string path, int status)
    {
        await using var stand = await StandWithDatabaseAsync();
        var pod = await stand.StartAsync("kill-switch");

        Assert.That((await pod.PostAsync(path)).Status, Is.EqualTo(status));
    }

    [Test]
    public async Task Kill_events_live_in_the_process_and_there_is_no_release()
    {
        await using var stand = await StandWithDatabaseAsync();
        var pod = await stand.StartAsync("kill-switch");
        await pod.PostAsync("/risk/kill?account_id=company");
        await pod.PostAsync("/risk/kill?account_id=director-1");

        var restarted = await stand.StartAsync("kill-switch");

        Assert.That((await pod.GetAsync("/risk/kill_events?account_id=company")).Json.AsArray(), Has.Count.EqualTo(1));
        Assert.That(
            (await pod.GetAsync("/risk/kill_events?limit=1")).Json[0]!["account_id"]!.ToString(), Is.EqualTo("director-1"), "newest first");
        Assert.That((await pod.GetAsync("/risk/kill_events?limit=101")).Status, Is.EqualTo(422));
        Assert.That((await restarted.GetAsync("/risk/kill_events")).Json.AsArray(), Is.Empty);
        Assert.That((await pod.PostAsync("/risk/release?account_id=company")).Status, Is.EqualTo(404));
    }

    [Test]
    public async Task An_override_is_201_and_in_its_table_and_both_trails()
    {
        await using var stand = await StandWithDatabaseAsync();
        var pod = await stand.StartAsync("override-service");

        var decided = await pod.PostAsync(
            "/override/trade", new JsonObject { ["intent_id"] = "i-1", ["decision"] = "approve", ["reason"] = "looks right" });
        var history = await pod.GetAsync("/override/history?account_id=company");

        Assert.That(decided.Status, Is.EqualTo(201), decided.Text);
        Assert.That(decided.Json["actor"]!.ToString(), Is.EqualTo("company"));
        Assert.That(history.Json.AsArray().Single()!["intent_id"]!.ToString(), Is.EqualTo("i-1"));
        Assert.That(
            await stand.AskDatabaseAsync<string>("SELECT decision FROM override_log WHERE intent_id = 'i-1'"), Is.EqualTo("approve"));
        Assert.That(await stand.CountAsync("audit_log WHERE action = 'override.human_decision' AND entity = 'i-1'"), Is.EqualTo(1));
        Assert.That(
            await stand.CountAsync("acct_company.audit_logs WHERE payload->>'action' = 'override.human_decision'"), Is.EqualTo(1));
    }

    [Test]
    public async Task A_decision_is_approve_or_reject()
    {
        await using var stand = await StandWithDatabaseAsync();
        var pod = await stand.StartAsync("override-service");

        var refused = await pod.PostAsync(
            "/override/trade", new JsonObject { ["intent_id"] = "i-1", ["decision"] = "perhaps", ["reason"] = "r" });

        Assert.That(refused.Status, Is.EqualTo(422), refused.Text);
        Assert.That(refused.Json["detail"]![0]!["loc"]![1]!.ToString(), Is.EqualTo("decision"));
    }

    [Test]
    public async Task Risk_refuses_on_the_kill_switch_and_not_on_safe_mode()
    {
        await using var stand = await StandWithDatabaseAsync();
        var risk = await stand.StartAsync("risk-service");
        var safe = await stand.StartAsync("safe-mode");
        var kill = await stand.StartAsync("kill-switch");

        await safe.PostAsync("/safe_mode/enter", new JsonObject { ["reason"] = "freeze" });
        var frozen = await risk.PostAsync("/risk/validate", Intent());
        await kill.PostAsync("/risk/kill?account_id=company");
        var killed = await risk.PostAsync("/risk/validate", Intent());

        Assert.That(frozen.Json["valid"]!.GetValue<bool>(), Is.True, frozen.Text);
        Assert.That(frozen.Json.AsObject().Select(field => field.Key), Is.EquivalentTo(
            new[] { "valid", "reasons", "fee", "take_profit", "stop_loss" }));
        Assert.That(
            (frozen.Json["take_profit"]!.GetValue<decimal>(), frozen.Json["stop_loss"]!.GetValue<decimal>()), Is.EqualTo((10200m, 9900m)));
        Assert.That((await risk.PostAsync("/risk/validate", Intent("HOLD"))).Status, Is.EqualTo(422));
        Assert.That((await risk.PostAsync("/risk/validate", Intent(), "token-of-director-1")).Status, Is.EqualTo(403), "another account's");
        Assert.That(killed.Json["valid"]!.GetValue<bool>(), Is.False);
        Assert.That(killed.Json["reasons"]![0]!.ToString(), Is.EqualTo("Risk kill switch engaged for account"));
        Assert.That(
            await stand.CountAsync("acct_company.events WHERE event_type = 'risk_validated' AND payload ? 'instrument'"), Is.EqualTo(2));
    }

    [Test]
    public async Task The_orchestrator_routes_an_intent_to_risk()
    {
        await using var stand = await StandWithDatabaseAsync();
        await stand.StartAsync("risk-service");
        var pod = await stand.StartAsync("strategy-orchestrator");
        Task<Reply> RouteAsync(string strategy, JsonObject request) =>
            pod.PostAsync("/strategy/intent", new JsonObject { ["strategy_name"] = strategy, ["request"] = request });

        Assert.That((await RouteAsync("momentum", Intent())).Json["valid"]!.GetValue<bool>(), Is.True);
        Assert.That((await RouteAsync("astrology", Intent())).Status, Is.EqualTo(404), "unknown");
        Assert.That((await RouteAsync("grid", Intent())).Status, Is.EqualTo(404), "disabled");
        Assert.That((await RouteAsync("momentum", [])).Status, Is.EqualTo(400), "invalid");
    }

    [Test]
    public async Task A_submitted_intent_runs_through_risk_and_the_oms()
    {
        await using var stand = await StandWithDatabaseAsync();
        stand.Faults["orders-stopped"] = "";
        await stand.StartAsync("risk-service");
        await stand.StartAsync("oms-service", mounts: stand.Keys("company"));
        var pod = await stand.StartAsync("sequencer");
        Task<Reply> SubmitAsync(string intent) => pod.PostAsync("/sequencer/submit_intent", JsonNode.Parse($$"""{"intent": {{intent}}}"""));

        var run = await SubmitAsync("""{"account_id": "company", "instrument": "BTC-USD", "side": "BUY"}""");

        Assert.That(run.Status, Is.EqualTo(200), run.Text);
        Assert.That(run.Json["status"]!.ToString(), Is.EqualTo("success"));
        Assert.That(run.Json["fill_event"]!["transport"]!.ToString(), Is.EqualTo("rest"));
        Assert.That(run.Json["stage_latencies_ms"]!.AsObject().Select(stage => stage.Key), Is.EqualTo(new[] { "risk", "oms" }));
        Assert.That((await pod.GetAsync("/sequencer/status")).Json["stats"]!["success"]!.GetValue<int>(), Is.EqualTo(1));
        Assert.That((await SubmitAsync("""{"account_id": "company"}""")).Status, Is.EqualTo(400));
        var foreign = await SubmitAsync("""{"account_id": "director-1", "instrument": "BTC-USD", "side": "BUY"}""");
        Assert.That(foreign.Status, Is.EqualTo(403), foreign.Text);
    }

    [Test]
    public async Task An_intent_times_out_where_a_stage_is_missing()
    {
        await using var stand = await StandWithDatabaseAsync();
        var pod = await stand.StartAsync("sequencer", environment: new() { ["RISK_SERVICE_URL"] = "http://127.0.0.1:1" });

        var late = await pod.PostAsync("/sequencer/submit_intent", JsonNode.Parse("""
            {"intent": {"account_id": "company", "instrument": "BTC-USD", "side": "BUY"}}
            """));

        Assert.That(late.Status, Is.EqualTo(504), late.Text);
    }

    private static JsonObject Intent(string side = "BUY") => RiskService.RequestFor("company", "o1", "BTC-USD", side, 0.1, 10000);

    private static async Task<Stand> StandWithDatabaseAsync()
    {
        var stand = await Stand.CreateAsync();
        await stand.WithDatabaseAsync();
        return stand;
    }
}
