using System.Text.Json;
using Rollout.Platform;
using Rollout.Tests.Support;

namespace Rollout.Tests.Platform;

[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class AetherStackTests
{
    private const string Reason = "rollout v2026.11.1: live is frozen";
    private static readonly string[] Accounts = ["company", "director-1"];

    private readonly HastyTime _time = new();
    private readonly Reports _reports = new();
    private readonly SafeModeDouble _safeMode = new();
    private readonly Dictionary<string, string> _simulated = [];
    private KubernetesDouble _cluster = null!;
    private AetherStack _stack = null!;

    [SetUp]
    public async Task StartAsync()
    {
        _cluster = await KubernetesDouble.StartAsync();
        _cluster.Direct = seen => seen.Path.StartsWith("/sim/", StringComparison.Ordinal) ? Simulate(seen) : _safeMode.Answer(seen);
        _cluster.Service = (service, seen) => service switch
        {
            "safe-mode" => _safeMode.Answer(seen),
            "sim-mode" => Simulate(seen),
            _ => null,
        };
        _stack = Stack(new Secret("session-of-blue"));
    }

    [TearDown]
    public async Task StopAsync() => await _cluster.DisposeAsync();

    [Test]
    public async Task A_session_never_passes_the_API_server()
    {
        await _stack.PreflightAsync(CancellationToken.None);
        var call = _cluster.Requests.Single(r => r.Header("Authorization") is not null);
        Assert.That(call.Path, Is.EqualTo("/safe_mode/enter"), "the API server would take the header off, and see the token");
        Assert.That(call.Header("Authorization"), Is.EqualTo("Bearer session-of-blue"));
        Assert.That(_safeMode.Active, Is.False, "a preflight changes nothing");
    }

    [TestCase(401, """{"detail":"Session expired"}""", "expired in blue")]
    [TestCase(403, """{"detail":"Account is not authorised"}""", "ADMIN_ALLOWLIST")]
    [TestCase(500, """{"detail":"Authentication session store is not configured."}""", "SESSION_REDIS_URL")]
    [TestCase(500, """{"detail":"Admin allowlist is not configured"}""", "DIRECTOR_ALLOWLIST")]
    [TestCase(404, """{"detail":"Not Found"}""", "check the service names")]
    public async Task A_refused_preflight_says_what_to_do(int code, string body, string hint)
    {
        _cluster.Direct = _ => new Reply(code, body);
        var exception = (await Assert.ThrowsAsync<RolloutException>(() => _stack.PreflightAsync(CancellationToken.None)))!;
        Assert.That(exception.Hint, Does.Contain(hint));
        Assert.That(exception.Message, Does.Contain($"HTTP {code}").And.Not.Contain("session-of-blue"));
    }

    [Test]
    public async Task A_platform_that_accepts_a_blank_reason_holds_the_run()
    {
        _cluster.Direct = _ => new Reply(200, """{"active":true}""");
        Assert.That(
            (await Assert.ThrowsAsync<RolloutException>(() => _stack.PreflightAsync(CancellationToken.None)))!.ExitCode,
            Is.EqualTo(ExitCode.Held));
    }

    [Test]
    public async Task Without_session_or_route_nothing_is_sent()
    {
        await Assert.ThrowsAsync<RolloutException>(() => Stack(null).PreflightAsync(CancellationToken.None));
        await Assert.ThrowsAsync<RolloutException>(
            () => new AetherStack(
                "blue",
                "aether-blue",
                _cluster.Client,
                new ServiceNames(),
                new Secret("s"),
                Accounts,
                _time,
                _reports).PreflightAsync(CancellationToken.None));
        Assert.That(_cluster.Requests, Is.Empty);
    }

    [Test]
    public async Task Entering_safe_mode_sets_our_reason()
    {
        var status = await _stack.EnterSafeModeAsync(Reason, CancellationToken.None);
        Assert.That(status.Active, Is.True);
        Assert.That(status.IsFor(Reason), Is.True);
        Assert.That(status.Since, Is.EqualTo(SafeModeDouble.Since));
    }

    [Test]
    public async Task Entering_again_makes_no_second_audit_event()
    {
        await _stack.EnterSafeModeAsync(Reason, CancellationToken.None);
        var again = await _stack.EnterSafeModeAsync(Reason, CancellationToken.None);
        Assert.That(again.IsFor(Reason), Is.True);
        Assert.That(_safeMode.Entries, Is.EqualTo(1));
    }

    [Test]
    public async Task Somebody_elses_freeze_is_not_ours()
    {
        _safeMode.Enter("exchange incident");
        var status = await _stack.EnterSafeModeAsync(Reason, CancellationToken.None);
        Assert.That(status.Active, Is.True);
        Assert.That(status.IsFor(Reason), Is.False);
        Assert.That(status.Reason, Is.EqualTo("exchange incident"));
    }

    [Test]
    public async Task A_lost_answer_is_asked_for_again()
    {
        var calls = 0;
        _cluster.Direct = seen => ++calls == 1 ? Lose(_safeMode.Answer(seen)) : _safeMode.Answer(seen);
        Assert.That((await _stack.EnterSafeModeAsync(Reason, CancellationToken.None)).IsFor(Reason), Is.True);
        Assert.That((await _stack.ExitSafeModeAsync(CancellationToken.None)).Active, Is.False);

        static Reply Lose(Reply _) => Reply.Cut;
    }

    [Test]
    public async Task Leaving_twice_is_leaving_once()
    {
        _safeMode.Enter(Reason);
        Assert.That((await _stack.ExitSafeModeAsync(CancellationToken.None)).Active, Is.False);
        Assert.That((await _stack.ExitSafeModeAsync(CancellationToken.None)).Active, Is.False, "409 is the wanted state");
    }

    [Test]
    public async Task Safe_mode_that_says_yes_and_means_no_fails()
    {
        _cluster.Direct = _ => new Reply(200, """{"active":true,"reason":"r"}""");
        Assert.That(
            (await Assert.ThrowsAsync<RolloutException>(() => _stack.EnterSafeModeAsync(Reason, CancellationToken.None)))!.Message,
            Does.Contain("status says inactive"));
    }

    [Test]
    public async Task A_service_that_is_not_there_is_named()
    {
        _cluster.Service = (_, _) => null;
        var exception = (await Assert.ThrowsAsync<RolloutException>(() => _stack.SafeModeStatusAsync(CancellationToken.None)))!;
        Assert.That(exception.Message, Does.Contain("'safe-mode' of blue").And.Contain("no endpoints available"));
    }

    [Test]
    public async Task Simulation_covers_every_account_and_keeps_what_was_there()
    {
        _simulated["company"] = "a test of somebody";
        var status = await _stack.EnterSimulationAsync(Reason, CancellationToken.None);
        Assert.That(status.AllActive, Is.True);
        Assert.That(status.NotFor(Reason).Select(a => a.AccountId), Is.EqualTo(new[] { "company" }));
        Assert.That(_simulated["director-1"], Is.EqualTo(Reason));
    }

    [Test]
    public async Task Only_our_simulations_are_ended()
    {
        _simulated["company"] = "a test of somebody";
        await _stack.EnterSimulationAsync(Reason, CancellationToken.None);
        await _stack.ExitSimulationAsync(Reason, CancellationToken.None);
        Assert.That(_simulated.Keys, Is.EqualTo(new[] { "company" }));
        var none = await _stack.ExitSimulationAsync(CancellationToken.None);
        Assert.That(none.NoneActive, Is.True);
    }

    [Test]
    public async Task An_account_that_the_platform_does_not_know_fails()
    {
        _cluster.Direct = seen => seen.Text.Contains("director-1", StringComparison.Ordinal)
            ? new Reply(404, """{"detail":"Unknown account"}""")
            : Simulate(seen);
        Assert.That(
            (
                await Assert.ThrowsAsync<RolloutException>(
                    () => _stack.EnterSimulationAsync(Reason, CancellationToken.None)))!.Message, Does.Contain("'director-1'"));
    }

    [Test]
    public async Task An_intent_is_judged()
    {
        _cluster.Direct = seen => new Reply(200, """{"valid":false,"reasons":["Risk kill switch engaged for account"],"fee":{}}""");
        var validation = await _stack.ValidateIntentAsync("company", CancellationToken.None);
        Assert.That((validation.Answered, validation.Valid, validation.KillSwitch), Is.EqualTo((true, false, true)));
        var sent = JsonDocument.Parse(_cluster.Requests.Last().Text).RootElement;
        Assert.That(sent.GetProperty("account_id").GetString(), Is.EqualTo("company"));
        Assert.That(
            sent.GetProperty("intent").GetProperty("policy_decision").GetProperty("request").GetProperty("side").GetString(),
            Is.EqualTo("BUY"));
    }

    [Test]
    public async Task Another_accounts_intent_is_not_answered()
    {
        _cluster.Direct = _ => new Reply(403, """{"detail":"Account mismatch between header and payload."}""");
        Assert.That((await _stack.ValidateIntentAsync("director-1", CancellationToken.None)).Answered, Is.False);
    }

    [Test]
    public async Task Intents_flow_when_a_new_run_succeeds_though_the_memory_is_full()
    {
        var run = 0;
        _cluster.Service = (_, _) => new Reply(
            200, $$"""{"runs":[{"run_id":"r{{run / 3}}","status":"success"}],"stats":{"total_runs":200,"success":200,"failed":0} }""");
        _time.OnPause = () => run++;
        var status = await _stack.WaitUntilIntentsFlowAsync(TimeSpan.FromSeconds(30), CancellationToken.None);
        Assert.That(status.SuccessfulRuns, Is.EqualTo(new[] { "r1" }));
    }

    [Test]
    public async Task Intents_that_fail_do_not_flow()
    {
        var run = 0;
        _cluster.Service = (_, _) => new Reply(
            200, $$"""{"runs":[{"run_id":"r{{run}}","status":"failed"}],"stats":{"total_runs":{{run}},"success":0,"failed":{{run}} } }""");
        _time.OnPause = () => run++;
        Assert.That(
            (
                await Assert.ThrowsAsync<RolloutException>(
                    () => _stack.WaitUntilIntentsFlowAsync(
                        TimeSpan.FromSeconds(2), CancellationToken.None)))!.Message, Does.Contain("0 successful"));
    }

    [Test]
    public async Task Reads_are_chosen_by_the_running_OMS()
    {
        _cluster.Service = (_, seen) => seen.Path == "/openapi.json" ? new Reply(200, """{"paths":{"/oms/routing/status":{}}}""")
            : seen.Path == "/oms/routing/status" ? new Reply(200, "{}") : new Reply(500, "{}");
        var check = await _stack.ReadsWorkAsync(CancellationToken.None);
        Assert.That(check.Works, Is.True);
        Assert.That(check.Seen, Is.EqualTo(new[] { "/oms/routing/status: HTTP 200" }));
    }

    [Test]
    public async Task Reads_that_fail_do_not_work()
    {
        _cluster.Service = (_, seen) =>
            seen.Path == "/openapi.json" ? new Reply(200, """{"paths":{"/oms/accounts/{account_id}/balances":{}}}""") : null;
        _cluster.Direct = seen => seen.Path.Contains("director", StringComparison.Ordinal) ? new Reply(500, "{}") : new Reply(200, "{}");
        var check = await _stack.ReadsWorkAsync(CancellationToken.None);
        Assert.That(check.Works, Is.False);
        Assert.That(check.Seen, Has.Count.EqualTo(2));
    }

    [Test]
    public async Task A_contract_is_fetched_and_its_absence_is_no_failure()
    {
        _cluster.Service = (service, _) => service switch
        {
            "risk-service" => new Reply(200, """{"openapi":"3.1.0"}"""),
            "aether-2-ui" => new Reply(200, "<html></html>", "text/html"),
            "kraken-ws-ingest" => new Reply(404, "404 page not found", "text/plain"),
            _ => null,
        };
        Assert.That(
            await _stack.OpenApiAsync(new ServiceEndpoint("risk-service", "80"), CancellationToken.None),
            Is.EqualTo("""{"openapi":"3.1.0"}"""));
        Assert.That(await _stack.OpenApiAsync(new ServiceEndpoint("aether-2-ui", "80"), CancellationToken.None), Is.Null);
        Assert.That(await _stack.OpenApiAsync(new ServiceEndpoint("kraken-ws-ingest", "80"), CancellationToken.None), Is.Null);
        await Assert.ThrowsAsync<RolloutException>(() => _stack.OpenApiAsync(new ServiceEndpoint("gone", "80"), CancellationToken.None));
    }

    [Test]
    public async Task Scaling_evaluations_are_summed_over_the_admin_pods()
    {
        _cluster.Pods.Add(new PodDouble { Name = "admin-0", App = "admin-platform", Metrics = () => "scaling_evaluations_total 7\n" });
        _cluster.Pods.Add(new PodDouble { Name = "admin-1", App = "admin-platform", Metrics = () => "scaling_evaluations_total 2\n" });
        Assert.That(await _stack.ScalingEvaluationsAsync(CancellationToken.None), Is.EqualTo(9));
        _cluster.Pods.Clear();
        await Assert.ThrowsAsync<RolloutException>(() => _stack.ScalingEvaluationsAsync(CancellationToken.None));
    }

    private AetherStack Stack(Secret? session) =>
        new("blue", "aether-blue", _cluster.Client, new ServiceNames(), session, Accounts, _time, _reports, _cluster.RouteAsync);

    // Both directions conflict when there is nothing to change (platform contract, section 4.2).
    private Reply Simulate(Seen seen)
    {
        if (seen.Path == "/sim/status")
        {
            var accounts = Accounts.Select(a => new
            {
                account_id = a,
                active = _simulated.ContainsKey(a),
                reason = _simulated.GetValueOrDefault(a),
                since = "2026-11-23T12:00:00+00:00",
            });
            return new Reply(200, JsonSerializer.Serialize(new { active = _simulated.Count > 0, accounts }));
        }

        if (seen.Path == "/sim/enter")
        {
            var body = JsonDocument.Parse(seen.Text).RootElement;
            return _simulated.TryAdd(body.GetProperty("account_id").GetString()!, body.GetProperty("reason").GetString()!)
                ? new Reply(200, "{}")
                : new Reply(409, """{"detail":"active"}""");
        }

        return _simulated.Remove(seen.Query.Split('=')[1]) ? new Reply(200, "{}") : new Reply(409, """{"detail":"inactive"}""");
    }

    /// <summary>Safe mode as the platform's: the first reason stays, leaving twice conflicts, a blank reason is refused after the session
    /// was accepted.</summary>
    private sealed class SafeModeDouble
    {
        public static readonly DateTimeOffset Since = new(2026, 11, 23, 12, 0, 0, TimeSpan.Zero);

        private string? _reason;

        public bool Active => _reason is not null;

        public int Entries { get; private set; }

        public void Enter(string reason)
        {
            Entries++;
            _reason ??= reason;
        }

        public Reply Answer(Seen seen)
        {
            switch (seen.Path)
            {
                case "/safe_mode/status":
                    return Status();
                case "/safe_mode/enter":
                    var reason = JsonDocument.Parse(seen.Text).RootElement.GetProperty("reason").GetString()!;
                    if (string.IsNullOrWhiteSpace(reason))
                    {
                        return new Reply(400, """{"detail":"reason is required"}""");
                    }

                    Enter(reason);
                    return Status();
                default:
                    if (_reason is null)
                    {
                        return new Reply(409, """{"detail":"Safe mode is not currently active"}""");
                    }

                    _reason = null;
                    return Status();
            }
        }

        private Reply Status() => new(
            200,
            JsonSerializer.Serialize(
                new { active = Active, reason = _reason, since = Active ? Since.ToString("O") : null, actor = "company" }));
    }
}
