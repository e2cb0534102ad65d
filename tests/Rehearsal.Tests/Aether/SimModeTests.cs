using System.Text.Json.Nodes;

namespace Rehearsal.Tests.Aether;

[Parallelizable(ParallelScope.All)]
public sealed class SimModeTests
{
    [Test]
    public async Task Enter_and_exit_answer_the_accounts_status_with_the_actor()
    {
        await using var stand = await StandWithDatabaseAsync();
        var pod = await stand.StartAsync("sim-mode");

        var entered = await pod.PostAsync("/sim/enter", Enter("director-1"));
        var left = await pod.PostAsync("/sim/exit?account_id=director-1");

        Assert.That(entered.Status, Is.EqualTo(200), entered.Text);
        Assert.That(entered.Json["account_id"]!.ToString(), Is.EqualTo("director-1"));
        Assert.That(entered.Json["active"]!.GetValue<bool>(), Is.True);
        Assert.That(entered.Json["reason"]!.ToString(), Is.EqualTo("rollout"));
        Assert.That(entered.Json["actor"]!.ToString(), Is.EqualTo("company"));
        Assert.That(left.Status, Is.EqualTo(200), left.Text);
        Assert.That(left.Json["active"]!.GetValue<bool>(), Is.False);
    }

    [Test]
    public async Task Both_directions_conflict_when_there_is_nothing_to_do()
    {
        await using var stand = await StandWithDatabaseAsync();
        var pod = await stand.StartAsync("sim-mode");

        Assert.That((await pod.PostAsync("/sim/exit?account_id=company")).Status, Is.EqualTo(409), "never entered");
        Assert.That((await pod.PostAsync("/sim/enter", Enter("company"))).Status, Is.EqualTo(200));
        Assert.That((await pod.PostAsync("/sim/enter", Enter("company"))).Status, Is.EqualTo(409), "entered twice");
        Assert.That((await pod.PostAsync("/sim/exit?account_id=company")).Status, Is.EqualTo(200));
        Assert.That((await pod.PostAsync("/sim/exit?account_id=company")).Status, Is.EqualTo(409), "left twice");
        Assert.That(
            stand.Effects.ToJson().ToJsonString(),
            Is.EqualTo("""{"sim-enter:blue":1,"sim-enter:blue-repeated":1,"sim-exit:blue":1,"sim-exit:blue-repeated":2}"""));
    }

    [Test]
    public async Task An_unknown_account_is_404_and_none_means_the_sessions()
    {
        await using var stand = await StandWithDatabaseAsync();
        var pod = await stand.StartAsync("sim-mode");

        Assert.That((await pod.PostAsync("/sim/enter", Enter("nobody"))).Status, Is.EqualTo(404));
        Assert.That((await pod.PostAsync("/sim/exit?account_id=nobody")).Status, Is.EqualTo(404));
        Assert.That((await pod.PostAsync("/sim/enter", new JsonObject())).Status, Is.EqualTo(422), "a reason is required");
        var own = await pod.PostAsync("/sim/enter", new JsonObject { ["reason"] = "rollout" });
        Assert.That(own.Json["account_id"]!.ToString(), Is.EqualTo("company"));
    }

    [Test]
    public async Task Status_needs_no_session_and_lists_every_account()
    {
        await using var stand = await StandWithDatabaseAsync();
        var pod = await stand.StartAsync("sim-mode");
        await pod.PostAsync("/sim/enter", Enter("director-2"));

        var all = await pod.GetAsync("/sim/status", token: null);
        var one = await pod.GetAsync("/sim/status?account_id=company", token: null);

        Assert.That(all.Json["active"]!.GetValue<bool>(), Is.True);
        Assert.That(
            all.Json["accounts"]!.AsArray().Select(account => $"{account!["account_id"]} {account["active"]}"),
            Is.EqualTo(new[] { "company false", "director-1 false", "director-2 true" }));
        Assert.That(one.Json["active"]!.GetValue<bool>(), Is.False);
    }

    [Test]
    public async Task The_state_belongs_to_the_database_so_slots_may_share_it()
    {
        await using var stand = await StandWithDatabaseAsync();
        var blue = await stand.StartAsync("sim-mode");
        await blue.PostAsync("/sim/enter", Enter("company"));

        var sharing = await stand.StartAsync("sim-mode", "green");
        var own = await Stand.PreparedDatabaseAsync();
        var separate = await stand.StartAsync("sim-mode", "green", new() { ["SIM_MODE_DATABASE_URL"] = own });

        Assert.That((await sharing.GetAsync("/sim/status", token: null)).Json["active"]!.GetValue<bool>(), Is.True);
        Assert.That((await separate.GetAsync("/sim/status", token: null)).Json["active"]!.GetValue<bool>(), Is.False);
    }

    [Test]
    public async Task Every_transition_is_audited_and_refused_ones_are_not()
    {
        await using var stand = await StandWithDatabaseAsync();
        var pod = await stand.StartAsync("sim-mode");

        await pod.PostAsync("/sim/enter", Enter("company"));
        await pod.PostAsync("/sim/enter", Enter("company"));

        Assert.That(await stand.CountAsync("audit_log WHERE action = 'sim_mode.transition' AND entity = 'company'"), Is.EqualTo(1));
    }

    private static JsonObject Enter(string account) => new() { ["reason"] = "rollout", ["account_id"] = account };

    private static async Task<Stand> StandWithDatabaseAsync()
    {
        var stand = await Stand.CreateAsync();
        await stand.WithDatabaseAsync();
        return stand;
    }
}
