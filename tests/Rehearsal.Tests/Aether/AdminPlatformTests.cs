using System.Globalization;
using System.Text.Json.Nodes;
using Rehearsal.Aether.Stores;

namespace Rehearsal.Tests.Aether;

[Parallelizable(ParallelScope.All)]
public sealed class AdminPlatformTests
{
    private const string Secret = "JBSWY3DPEHPK3PXP";

    [Test]
    public async Task A_login_opens_a_session_that_its_slot_accepts()
    {
        await using var stand = await AdministeredAsync();
        var pod = await stand.StartAsync("admin-platform", environment: new() { ["SESSION_TTL_MINUTES"] = "30" });

        var session = await pod.PostAsync("/auth/login", Login(stand));

        Assert.That(session.Status, Is.EqualTo(200), session.Text);
        Assert.That(session.Json["admin_id"]!.ToString(), Is.EqualTo("company"));
        var expires = DateTimeOffset.Parse(session.Json["expires_at"]!.ToString(), CultureInfo.InvariantCulture);
        Assert.That(expires - stand.Time.GetUtcNow(), Is.InRange(TimeSpan.FromMinutes(25), TimeSpan.FromMinutes(30)));
        Assert.That((await pod.GetAsync("/infra/scaling/status", session.Json["token"]!.ToString())).Status, Is.EqualTo(200));
    }

    [Test]
    public async Task A_refused_login_says_which_of_three_reasons()
    {
        await using var stand = await AdministeredAsync();
        var pod = await stand.StartAsync("admin-platform");

        var unknown = await pod.PostAsync("/auth/login", Login(stand, email: "nobody@aether.example.com"));
        var password = await pod.PostAsync("/auth/login", Login(stand, password: "guess"));
        var code = await pod.PostAsync("/auth/login", Login(stand, code: "000"));
        var address = await pod.PostAsync("/auth/login", Login(stand, ip: "127.0.0.9"));

        Assert.That((unknown.Status, unknown.Detail), Is.EqualTo((401, "invalid credentials")));
        Assert.That((password.Status, password.Detail), Is.EqualTo((401, "invalid credentials")));
        Assert.That((code.Status, code.Detail), Is.EqualTo((401, "mfa_required")));
        Assert.That((address.Status, address.Detail), Is.EqualTo((401, "ip_not_allowed")));
    }

    [Test]
    public void A_code_is_tolerated_for_one_step_and_no_more()
    {
        var now = DateTimeOffset.FromUnixTimeSeconds(1_111_111_109);

        // The last six digits of RFC 6238's test vector for this time, whose secret is "12345678901234567890".
        Assert.That(AdministratorStore.Code("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", now), Is.EqualTo("081804"));
        Assert.That(AdministratorStore.VerifyCode(Secret, AdministratorStore.Code(Secret, now.AddSeconds(-30)), now), Is.True);
        Assert.That(AdministratorStore.VerifyCode(Secret, AdministratorStore.Code(Secret, now.AddSeconds(-90)), now), Is.False);
    }

    [Test]
    public async Task The_scaling_status_counts_the_oms_of_its_own_namespace_and_shows_no_evaluation()
    {
        await using var stand = await Stand.CreateAsync();
        await stand.StartAsync("oms-service", "green");
        var own = await stand.StartAsync("admin-platform", "green");
        var foreign = await stand.StartAsync("admin-platform", "green", new() { ["OMS_DEPLOYMENT_NAMESPACE"] = "" });

        var status = await own.GetAsync("/infra/scaling/status");

        Assert.That(
            status.Json.AsObject().Select(field => field.Key), Is.EquivalentTo(new[] { "oms_replicas", "gpu_nodes", "pending_jobs" }));
        Assert.That(status.Json["oms_replicas"]!.GetValue<int>(), Is.EqualTo(1));
        Assert.That((await foreign.GetAsync("/infra/scaling/status")).Json["oms_replicas"]!.GetValue<int>(), Is.Zero,
            "namespace aether, by default");
    }

    [Test]
    public async Task The_scaling_status_is_503_without_a_controller()
    {
        await using var stand = await Stand.CreateAsync();
        var pod = await stand.StartAsync("admin-platform", environment: new() { ["SCALING_CONTROLLER_ENABLED"] = "false" });

        Assert.That((await pod.GetAsync("/infra/scaling/status")).Status, Is.EqualTo(503));
    }

    [Test]
    public async Task Evaluations_come_no_faster_than_every_five_seconds_and_begin_again_with_the_process()
    {
        var time = new HurriedTime(50);
        await using var stand = await Stand.CreateAsync(time);
        var pod = await stand.StartAsync("admin-platform", environment: new() { ["SCALING_CHECK_INTERVAL"] = "1" });

        await Stand.UntilAsync("three evaluations", async () => await pod.MetricAsync("scaling_evaluations_total") >= 3);
        var lived = (time.GetUtcNow() - DateTimeOffset.UnixEpoch).TotalSeconds - await pod.MetricAsync("process_start_time_seconds");
        stand.Faults["scaling-stalled"] = "blue";
        var restarted = await stand.StartAsync("admin-platform", environment: new() { ["SCALING_CHECK_INTERVAL"] = "1" });

        Assert.That(lived, Is.GreaterThanOrEqualTo(10));
        Assert.That(await restarted.MetricAsync("scaling_evaluations_total"), Is.Zero);
    }

    [Test]
    public async Task A_stalled_controller_counts_nothing_and_goes_on_when_the_fault_is_lifted()
    {
        await using var stand = await Stand.CreateAsync(new HurriedTime(50));
        stand.Faults["scaling-stalled"] = "blue";
        var pod = await stand.StartAsync("admin-platform", environment: new() { ["SCALING_CHECK_INTERVAL"] = "5" });
        var other = await stand.StartAsync("admin-platform", "green", new() { ["SCALING_CHECK_INTERVAL"] = "5" });

        await Stand.UntilAsync("the other slot evaluates", async () => await other.MetricAsync("scaling_evaluations_total") >= 3);
        Assert.That(await pod.MetricAsync("scaling_evaluations_total"), Is.Zero);

        stand.Faults.Clear();
        await Stand.UntilAsync("an evaluation", async () => await pod.MetricAsync("scaling_evaluations_total") >= 1);
    }

    [Test]
    public async Task The_process_does_not_start_without_its_database()
    {
        await using var stand = await Stand.CreateAsync();

        var pod = await stand.LaunchAsync(
            "admin-platform", environment: new() { ["ADMIN_POSTGRES_DSN"] = "postgresql://postgres@127.0.0.1:1/aether" });

        Assert.That(await pod.Completion, Is.EqualTo(1));
        Assert.That(pod.Log, Does.Contain("administrator repository"));
    }

    private static async Task<Stand> AdministeredAsync()
    {
        var stand = await Stand.CreateAsync();
        await stand.WithDatabaseAsync();
        await new AdministratorStore(stand.Database).UpsertAsync(
            new("ada@aether.example.com", "company", AdministratorStore.HashPassword("correct horse"), Secret, ["127.0.0.1"]),
            CancellationToken.None);
        return stand;
    }

    private static JsonObject Login(
        Stand stand,
        string email = "ada@aether.example.com",
        string password = "correct horse",
        string? code = null,
        string ip = "127.0.0.1") => new()
        {
            ["email"] = email,
            ["password"] = password,
            ["mfa_code"] = code ?? AdministratorStore.Code(Secret, stand.Time.GetUtcNow()),
            ["ip_address"] = ip,
        };
}
