using System.Globalization;
using System.Text.Json.Nodes;

namespace Rehearsal.Tests.Aether;

[Parallelizable(ParallelScope.All)]
public sealed class SafeModeTests
{
    private static readonly JsonObject Ours = new() { ["reason"] = "rollout v2026.11.1" };

    [Test]
    public async Task Enter_answers_the_state_and_stores_it_in_redis()
    {
        await using var stand = await Stand.CreateAsync();
        var pod = await stand.StartAsync("safe-mode");

        var entered = await pod.PostAsync("/safe_mode/enter", Ours.DeepClone());

        Assert.That(entered.Status, Is.EqualTo(200), entered.Text);
        Assert.That(entered.Json["active"]!.GetValue<bool>(), Is.True);
        Assert.That(entered.Json["reason"]!.ToString(), Is.EqualTo("rollout v2026.11.1"));
        Assert.That(entered.Json["actor"]!.ToString(), Is.EqualTo("company"));
        Assert.That(
            DateTimeOffset.Parse(entered.Json["since"]!.ToString(), CultureInfo.InvariantCulture).Offset, Is.EqualTo(TimeSpan.Zero));
        var stored = JsonNode.Parse(stand.Redis.Get(0, "safe-mode:state")!)!;
        Assert.That(stored["active"]!.GetValue<bool>(), Is.True);
        Assert.That(stored["reason"]!.ToString(), Is.EqualTo("rollout v2026.11.1"));
        Assert.That(stored["timestamp"]!.ToString(), Is.EqualTo(entered.Json["since"]!.ToString()));
    }

    [Test]
    public async Task Enter_keeps_the_first_reason_time_and_actor()
    {
        await using var stand = await Stand.CreateAsync();
        var pod = await stand.StartAsync("safe-mode");
        var first = await pod.PostAsync("/safe_mode/enter", Ours.DeepClone());

        var second = await pod.PostAsync("/safe_mode/enter", new JsonObject { ["reason"] = "somebody else" }, "token-of-director-1");

        Assert.That(second.Status, Is.EqualTo(200), second.Text);
        Assert.That(second.Text, Is.EqualTo(first.Text));
    }

    [Test]
    public async Task Enter_without_a_reason_is_400([Values("{}", "{\"reason\": \"   \"}")] string body)
    {
        await using var stand = await Stand.CreateAsync();
        var pod = await stand.StartAsync("safe-mode");

        var refused = await pod.PostAsync("/safe_mode/enter", JsonNode.Parse(body));

        Assert.That(refused.Status, Is.EqualTo(400), refused.Text);
        Assert.That(refused.Detail, Is.EqualTo("reason is required"));
        Assert.That(stand.Redis.Get(0, "safe-mode:state"), Is.Null);
    }

    [Test]
    public async Task Exit_lifts_it_once_and_conflicts_after_that()
    {
        await using var stand = await Stand.CreateAsync();
        var pod = await stand.StartAsync("safe-mode");
        await pod.PostAsync("/safe_mode/enter", Ours.DeepClone());

        var lifted = await pod.PostAsync("/safe_mode/exit");
        var again = await pod.PostAsync("/safe_mode/exit");

        Assert.That(lifted.Status, Is.EqualTo(200), lifted.Text);
        Assert.That(lifted.Json["active"]!.GetValue<bool>(), Is.False);
        Assert.That(again.Status, Is.EqualTo(409));
        Assert.That(again.Detail, Is.EqualTo("Safe mode is not currently active"));
    }

    [Test]
    public async Task Transitions_are_counted_by_slot_and_calls_that_changed_nothing_apart()
    {
        await using var stand = await Stand.CreateAsync();
        var pod = await stand.StartAsync("safe-mode");
        foreach (var call in (string[])["enter", "enter", "exit", "exit", "enter"])
        {
            await pod.PostAsync("/safe_mode/" + call, call == "enter" ? Ours.DeepClone() : null);
        }

        Assert.That(stand.Effects.ToJson().ToJsonString(), Is.EqualTo(
            """{"safe-mode-enter:blue":2,"safe-mode-enter:blue-repeated":1,"safe-mode-exit:blue":1,"safe-mode-exit:blue-repeated":1}"""));
    }

    [Test]
    public async Task Status_needs_no_session_and_there_is_no_log()
    {
        await using var stand = await Stand.CreateAsync();
        var pod = await stand.StartAsync("safe-mode");

        var status = await pod.GetAsync("/safe_mode/status", token: null);
        var log = await pod.GetAsync("/safe_mode/log");

        Assert.That(status.Status, Is.EqualTo(200));
        Assert.That(status.Json["active"]!.GetValue<bool>(), Is.False);
        Assert.That(log.Status, Is.EqualTo(404));
    }

    [Test]
    public async Task A_restart_keeps_the_freeze_and_forgets_the_actor()
    {
        await using var stand = await Stand.CreateAsync();
        await using (var first = await stand.StartAsync("safe-mode"))
        {
            await first.PostAsync("/safe_mode/enter", Ours.DeepClone());
        }

        var restarted = await stand.StartAsync("safe-mode");
        var status = await restarted.GetAsync("/safe_mode/status", token: null);

        Assert.That(status.Json["active"]!.GetValue<bool>(), Is.True);
        Assert.That(status.Json["reason"]!.ToString(), Is.EqualTo("rollout v2026.11.1"));
        Assert.That(status.Json["actor"], Is.Null);
    }

    [Test]
    public async Task A_restart_without_its_redis_fails_open()
    {
        await using var stand = await Stand.CreateAsync();
        await using (var first = await stand.StartAsync("safe-mode"))
        {
            await first.PostAsync("/safe_mode/enter", Ours.DeepClone());
        }

        var restarted = await stand.StartAsync("safe-mode", environment: new() { ["SAFE_MODE_REDIS_URL"] = "redis://:x@127.0.0.1:1/0" });
        var status = await restarted.GetAsync("/safe_mode/status", token: null);

        Assert.That(status.Status, Is.EqualTo(200));
        Assert.That(status.Json["active"]!.GetValue<bool>(), Is.False);
        Assert.That(restarted.Log, Does.Contain("Failed to load safe mode state"));
    }

    [Test]
    public async Task The_state_is_read_once_at_first_use_so_replicas_do_not_see_each_other()
    {
        await using var stand = await Stand.CreateAsync();
        var looked = await stand.StartAsync("safe-mode");
        var fresh = await stand.StartAsync("safe-mode");
        await looked.GetAsync("/safe_mode/status");

        stand.Redis.Set(0, "safe-mode:state", """{"active": true, "reason": "seeded", "timestamp": "2026-11-23T10:00:00+00:00"}""");

        Assert.That((await looked.GetAsync("/safe_mode/status")).Json["active"]!.GetValue<bool>(), Is.False, "has read already");
        Assert.That((await fresh.GetAsync("/safe_mode/status")).Json["active"]!.GetValue<bool>(), Is.True, "reads now");
    }

    [Test]
    public async Task Slots_with_separate_databases_of_redis_are_frozen_separately_and_with_one_together()
    {
        await using var stand = await Stand.CreateAsync();
        await (await stand.StartAsync("safe-mode")).PostAsync("/safe_mode/enter", Ours.DeepClone());

        var separate = await stand.StartAsync("safe-mode", "green");
        var shared = await stand.StartAsync("safe-mode", "green", new() { ["SAFE_MODE_REDIS_URL"] = stand.RedisUrl(0) });

        Assert.That((await separate.GetAsync("/safe_mode/status")).Json["active"]!.GetValue<bool>(), Is.False);
        Assert.That((await shared.GetAsync("/safe_mode/status")).Json["active"]!.GetValue<bool>(), Is.True);
    }

    [Test]
    public async Task The_first_entry_marks_every_managed_account_and_later_ones_only_repeat_flag_and_audit()
    {
        await using var stand = await Stand.CreateAsync();
        await stand.WithDatabaseAsync();
        var pod = await stand.StartAsync("safe-mode");

        await pod.PostAsync("/safe_mode/enter", Ours.DeepClone());
        await pod.PostAsync("/safe_mode/enter", Ours.DeepClone());

        foreach (var schema in new[] { "acct_company", "acct_director_1", "acct_director_2" })
        {
            Assert.That(
                await stand.AskDatabaseAsync<bool>($"SELECT (config->>'safe_mode')::boolean FROM {schema}.risk_configs"), Is.True, schema);
            Assert.That(await stand.CountAsync($"{schema}.events WHERE event_type = 'safe_mode_engaged'"), Is.EqualTo(1), schema);
        }

        Assert.That(await stand.CountAsync("audit_log WHERE action = 'safe_mode.enter'"), Is.EqualTo(2));
        Assert.That(await pod.MetricAsync("safe_mode_triggers_total{service=\"safe-mode\",reason=\"rollout v2026.11.1\"}"), Is.EqualTo(1));
    }

    [Test]
    public async Task Exit_clears_the_flag_that_both_slots_share()
    {
        await using var stand = await Stand.CreateAsync();
        await stand.WithDatabaseAsync();
        var blue = await stand.StartAsync("safe-mode");
        var green = await stand.StartAsync("safe-mode", "green");
        await blue.PostAsync("/safe_mode/enter", Ours.DeepClone());
        await green.PostAsync("/safe_mode/enter", Ours.DeepClone());

        await green.PostAsync("/safe_mode/exit");

        Assert.That(await stand.AskDatabaseAsync<bool>("SELECT (config->>'safe_mode')::boolean FROM acct_company.risk_configs"), Is.False);
        Assert.That((await blue.GetAsync("/safe_mode/status")).Json["active"]!.GetValue<bool>(), Is.True);
        Assert.That(await stand.CountAsync("acct_company.events WHERE event_type = 'safe_mode_released'"),
            Is.EqualTo(1));
    }

    [Test]
    public async Task Only_company_is_managed_by_default()
    {
        await using var stand = await Stand.CreateAsync();
        await stand.WithDatabaseAsync();
        var pod = await stand.StartAsync("safe-mode", environment: new() { ["SAFE_MODE_ACCOUNTS"] = "" });

        await pod.PostAsync("/safe_mode/enter", Ours.DeepClone());

        Assert.That(await stand.CountAsync("acct_company.risk_configs"), Is.EqualTo(1));
        Assert.That(await stand.CountAsync("acct_director_1.risk_configs"), Is.Zero);
    }

    [Test]
    public async Task Booting_with_a_seeded_state_writes_the_flag_and_cancels_nothing()
    {
        await using var stand = await Stand.CreateAsync();
        await stand.WithDatabaseAsync();
        stand.Redis.Set(1, "safe-mode:state", """{"active": true, "reason": "seeded", "timestamp": "2026-11-23T10:00:00+00:00"}""");
        var pod = await stand.StartAsync("safe-mode", "green");

        var status = await pod.GetAsync("/safe_mode/status");

        Assert.That(status.Json["reason"]!.ToString(), Is.EqualTo("seeded"));
        Assert.That(await stand.AskDatabaseAsync<bool>("SELECT (config->>'safe_mode')::boolean FROM acct_company.risk_configs"), Is.True);
        Assert.That(pod.Log, Does.Not.Contain("cancel"));
        Assert.That(
            await stand.CountAsync("acct_company.events WHERE event_type = 'safe_mode_engaged'"), Is.Zero);
    }

    [Test]
    public async Task The_first_entry_on_the_candidate_cancels_the_live_stacks_orders()
    {
        await using var stand = await Stand.CreateAsync();
        await stand.WithDatabaseAsync();
        var live = await stand.StartAsync(
            "oms-service", "blue", new() { ["EXCHANGE_URL"] = stand.Exchange.Address.ToString() }, stand.Keys("company"));
        var resting = await live.PostAsync("/oms/place", JsonNode.Parse("""
            {"account_id": "company", "client_id": "c1", "symbol": "BTC-USD", "side": "buy", "type": "limit", "qty": 1, "limit_px": 50000}
            """));
        Assert.That(resting.Json["status"]!.ToString(), Is.EqualTo("open"), resting.Text);
        stand.Faults["orders-stopped"] = "";
        await stand.StartAsync("oms-service", "green", mounts: stand.Keys("company"));
        var candidate = await stand.StartAsync("safe-mode", "green");

        await candidate.PostAsync("/safe_mode/enter", Ours.DeepClone());

        var id = resting.Json["exchange_order_id"]!.ToString();
        Assert.That(
            await stand.AskDatabaseAsync<string>(
                $"SELECT status FROM acct_company.acks WHERE order_id = '{id}' ORDER BY recorded_at DESC, id DESC LIMIT 1"),
            Is.EqualTo("cancelled"));
    }

    [Test]
    public async Task Without_a_redis_address_the_process_does_not_start()
    {
        await using var stand = await Stand.CreateAsync();

        var pod = await stand.LaunchAsync("safe-mode", environment: new() { ["SAFE_MODE_REDIS_URL"] = "" });

        Assert.That(await pod.Completion, Is.EqualTo(1));
        Assert.That(pod.Log, Does.Contain("SAFE_MODE_REDIS_URL"));
    }

    [Test]
    public async Task Insecure_defaults_keep_the_state_in_a_file()
    {
        await using var stand = await Stand.CreateAsync();
        var mount = Path.Join(stand.Directory, "state");
        var environment = new Dictionary<string, string>
        {
            ["SAFE_MODE_REDIS_URL"] = "",
            ["AETHER_ALLOW_INSECURE_TEST_DEFAULTS"] = "1",
            ["AETHER_STATE_DIR"] = "/var/lib/aether/state",
        };
        var mounts = new Dictionary<string, string> { ["/var/lib/aether/state"] = mount };
        await using (var pod = await stand.StartAsync("safe-mode", environment: environment, mounts: mounts, readOnlyRoot: true))
        {
            await pod.PostAsync("/safe_mode/enter", Ours.DeepClone());
        }

        var file = JsonNode.Parse(await File.ReadAllTextAsync(Path.Join(mount, "safe_mode", "state.json")))!;
        Assert.That(JsonNode.Parse(file["safe-mode:state"]!.GetValue<string>())!["reason"]!.ToString(), Is.EqualTo("rollout v2026.11.1"));
        var restarted = await stand.StartAsync("safe-mode", environment: environment, mounts: mounts);
        Assert.That((await restarted.GetAsync("/safe_mode/status")).Json["active"]!.GetValue<bool>(), Is.True);
    }
}
