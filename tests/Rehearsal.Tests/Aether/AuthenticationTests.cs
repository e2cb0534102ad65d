using System.Text.Json.Nodes;

namespace Rehearsal.Tests.Aether;

[Parallelizable(ParallelScope.All)]
public sealed class AuthenticationTests
{
    private const string Guarded = "/infra/scaling/status";
    private static readonly Dictionary<string, string> NoDatabase = new() { ["ADMIN_POSTGRES_DSN"] = "" };

    [Test]
    public async Task A_session_of_the_slots_own_redis_is_accepted_with_and_without_the_word_bearer()
    {
        await using var stand = await Stand.CreateAsync();
        var pod = await stand.StartAsync("admin-platform", environment: NoDatabase);

        var with = await pod.GetAsync(Guarded);
        var without = await pod.GetAsync(Guarded, token: null, ("Authorization", Stand.AdminToken));

        Assert.That(with.Status, Is.EqualTo(200), with.Text);
        Assert.That(without.Status, Is.EqualTo(200), without.Text);
    }

    [Test]
    public async Task A_missing_empty_or_unknown_token_is_401([Values("", "Bearer", "Bearer   ", "Bearer nobody")] string header)
    {
        await using var stand = await Stand.CreateAsync();
        var pod = await stand.StartAsync("admin-platform", environment: NoDatabase);

        var refused = await (header.Length == 0 ? pod.GetAsync(Guarded, null) : pod.GetAsync(Guarded, null, ("Authorization", header)));

        Assert.That(refused.Status, Is.EqualTo(401), refused.Text);
    }

    [Test]
    public async Task A_session_dies_at_its_expiry()
    {
        var time = new MovableTime();
        await using var stand = await Stand.CreateAsync(time);
        stand.AddSession("short", "company", TimeSpan.FromMinutes(60));
        var pod = await stand.StartAsync("admin-platform", environment: NoDatabase);
        var before = await pod.GetAsync(Guarded, "short");

        time.Ahead = TimeSpan.FromMinutes(61);
        var after = await pod.GetAsync(Guarded, "short");

        Assert.That(before.Status, Is.EqualTo(200), before.Text);
        Assert.That(after.Status, Is.EqualTo(401), after.Text);
    }

    [Test]
    public async Task A_session_of_one_slot_is_unknown_to_the_other()
    {
        await using var stand = await Stand.CreateAsync();
        stand.Redis.Set(0, "only-blue", stand.Redis.Get(0, Stand.AdminToken)!);
        var blue = await stand.StartAsync("admin-platform", environment: NoDatabase);
        var green = await stand.StartAsync("admin-platform", "green", NoDatabase);

        Assert.That((await blue.GetAsync(Guarded, "only-blue")).Status, Is.EqualTo(200));
        Assert.That((await green.GetAsync(Guarded, "only-blue")).Status, Is.EqualTo(401));
    }

    [Test]
    public async Task The_account_header_must_be_the_sessions_whatever_its_case()
    {
        await using var stand = await Stand.CreateAsync();
        var pod = await stand.StartAsync("admin-platform", environment: NoDatabase);

        var same = await pod.GetAsync(Guarded, Stand.AdminToken, ("X-Account-ID", "COMPANY"));
        var other = await pod.GetAsync(Guarded, Stand.AdminToken, ("X-Account-ID", "director-1"));

        Assert.That(same.Status, Is.EqualTo(200), same.Text);
        Assert.That(other.Status, Is.EqualTo(403), other.Text);
    }

    [Test]
    public async Task An_account_outside_the_allowlist_is_403()
    {
        await using var stand = await Stand.CreateAsync();
        stand.AddSession("stranger", "auditor");
        var pod = await stand.StartAsync("admin-platform", environment: NoDatabase);

        Assert.That((await pod.GetAsync(Guarded, "stranger")).Status, Is.EqualTo(403));
    }

    [Test]
    public async Task Both_allowlists_must_be_configured([Values("ADMIN_ALLOWLIST", "DIRECTOR_ALLOWLIST")] string missing)
    {
        await using var stand = await Stand.CreateAsync();
        var pod = await stand.StartAsync("admin-platform", environment: new(NoDatabase) { [missing] = "" });

        Assert.That((await pod.GetAsync(Guarded)).Status, Is.EqualTo(500));
    }

    [Test]
    public async Task Without_a_session_store_every_admin_call_is_500(
        [Values("safe-mode", "kill-switch", "override-service", "sequencer")] string workload)
    {
        await using var stand = await Stand.CreateAsync();
        var pod = await stand.StartAsync(workload, environment: new() { ["SESSION_REDIS_URL"] = "" });
        var (path, body) = workload switch
        {
            "safe-mode" => ("/safe_mode/exit", null),
            "kill-switch" => ("/risk/kill?account_id=company", null),
            "override-service" => ("/override/trade", """{"intent_id": "i", "decision": "approve", "reason": "r"}"""),
            _ => ("/sequencer/submit_intent", """{"intent": {}}"""),
        };

        var refused = await pod.PostAsync(path, body is null ? null : JsonNode.Parse(body));

        Assert.That(refused.Status, Is.EqualTo(500), refused.Text);
        Assert.That(refused.Detail, Is.EqualTo("Authentication session store is not configured."));
    }

    [Test]
    public async Task The_session_store_can_vanish_from_one_slot()
    {
        await using var stand = await Stand.CreateAsync();
        var blue = await stand.StartAsync("admin-platform", environment: NoDatabase);
        var green = await stand.StartAsync("admin-platform", "green", NoDatabase);
        stand.Faults["session-store-missing"] = "green";

        Assert.That((await blue.GetAsync(Guarded)).Status, Is.EqualTo(200));
        Assert.That((await green.GetAsync(Guarded)).Status, Is.EqualTo(500));
    }

    [Test]
    public async Task A_rotation_of_keys_wants_two_directors_and_a_second_factor()
    {
        await using var stand = await Stand.CreateAsync();
        var pod = await stand.StartAsync("secrets-service");
        var body = new JsonObject { ["account_id"] = "company" };
        Task<Reply> RotateAsync(string approvals, string factor) => pod.PostAsync(
            "/secrets/kraken/rotate", body.DeepClone(), Stand.AdminToken, ("X-Director-Approvals", approvals), ("X-MFA-Token", factor));

        Assert.That((await RotateAsync("token-of-director-1,token-of-director-2", "verified")).Status, Is.EqualTo(200));
        Assert.That(
            (await RotateAsync("token-of-director-1,token-of-director-1", "verified")).Status, Is.EqualTo(403), "one director twice");
        Assert.That(
            (await RotateAsync("token-of-director-1," + Stand.AdminToken, "verified")).Status, Is.EqualTo(403), "company is no director");
        Assert.That((await RotateAsync("token-of-director-1,token-of-director-2", "unverified")).Status, Is.EqualTo(401));
    }
}
