using Rollout.Platform;
using Rollout.Tests.Support;

namespace Rollout.Tests.Platform;

[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class SnapshotTests
{
    private KubernetesDouble _cluster = null!;
    private AetherStack _stack = null!;

    [SetUp]
    public async Task StartAsync()
    {
        _cluster = await KubernetesDouble.StartAsync();
        _stack = new AetherStack("green", "aether-green", _cluster.Client, new ServiceNames(), null, [], new HastyTime(), new Reports());
    }

    [TearDown]
    public async Task StopAsync() => await _cluster.DisposeAsync();

    [TestCase(200, """{"status":"ok","checks":{"db":{"status":"ok"}}}""", Health.Ok, "")]
    [TestCase(200, """{"status":"error","checks":{"db":{"status":"error","error":"no"},"k":{"status":"ok"}}}""", Health.Error, "db: no")]
    [TestCase(200, """{"status":"ok","checks":{"db":{"status":"error"}}}""", Health.Error, "db: error")]
    [TestCase(200, """{"status":"degraded"}""", Health.Error, "status: degraded")]
    [TestCase(404, """{"detail":"Not Found"}""", Health.Absent, "")]
    [TestCase(200, "<html>the user interface</html>", Health.Absent, "")]
    [TestCase(200, "[]", Health.Absent, "")]
    [TestCase(503, """{"detail":"draining"}""", Health.Error, "HTTP 503")]
    [TestCase(500, "oops", Health.Error, "HTTP 500")]
    [TestCase(503, """{"kind":"Status","apiVersion":"v1","message":"no endpoints available","code":503}""", Health.Unreachable, "")]
    [TestCase(404, """{"kind":"Status","apiVersion":"v1","message":"services \"x\" not found","code":404}""", Health.Unreachable, "")]
    [TestCase(503, "Error trying to reach service: 'dial tcp 10.0.0.1:8000: connect: connection refused'", Health.Unreachable, "")]
    [TestCase(-1, "", Health.Unreachable, "")]
    public async Task Health_has_four_outcomes(int code, string body, Health health, string failing)
    {
        _cluster.Service = (_, seen) => seen.Path != "/healthz" ? new Reply(404) : code < 0 ? Reply.Cut : new Reply(code, body);
        var snapshot = (await SnapshotAsync("x"))[0];
        Assert.That((snapshot.Health, string.Join(",", snapshot.FailingChecks)), Is.EqualTo((health, failing)), snapshot.Detail);
        Assert.That(snapshot.Detail, health is Health.Ok or Health.Error ? Is.Empty : Is.Not.Empty);
    }

    [TestCase("stream error: stream ID 5; INTERNAL_ERROR; received from peer\n", Health.Unreachable)]
    [TestCase("read tcp 127.0.0.1:50000->127.0.0.1:6443: read: connection reset by peer\n", Health.Unreachable)]
    [TestCase("Internal Server Error", Health.Error)]
    public async Task A_broken_connection_of_kubectl_proxy_is_not_the_services_failure(string body, Health health)
    {
        _cluster.Service = (_, seen) => seen.Path != "/healthz" ? new Reply(404) : new Reply(500, body, "text/plain; charset=utf-8");
        Assert.That((await SnapshotAsync("x"))[0].Health, Is.EqualTo(health));
    }

    [Test]
    public async Task Metrics_are_kept_where_there_are_any()
    {
        _cluster.Service = (service, seen) => seen.Path == "/metrics"
            ? service == "ui" ? new Reply(200, "<html></html>", "text/html") : new Reply(200, "up 1\n", "text/plain")
            : new Reply(200, """{"status":"ok"}""");
        var snapshots = await SnapshotAsync("oms", "ui");
        Assert.That(snapshots.Select(s => s.Metrics), Is.EqualTo(new[] { "up 1\n", null }));
    }

    [Test]
    public async Task Requests_can_be_found_again_by_their_id()
    {
        _cluster.Service = (_, _) => new Reply(200, """{"status":"ok"}""");
        var snapshots = await SnapshotAsync("a", "b");
        Assert.That(snapshots.Select(s => s.RequestId), Is.EqualTo(new[] { "rollout-v1-1.3-1", "rollout-v1-1.3-2" }));
        Assert.That(
            _cluster.Requests.Where(r => r.Path.Contains(":b:", StringComparison.Ordinal)).Select(r => r.Header("x-request-id")),
            Is.All.EqualTo("rollout-v1-1.3-2"));
    }

    [Test]
    public async Task Forty_services_are_asked_at_most_sixteen_at_a_time_and_answered_in_order()
    {
        var now = 0;
        var most = 0;
        _cluster.Service = (_, seen) =>
        {
            most = Math.Max(most, Interlocked.Increment(ref now));
            Thread.SpinWait(20000);
            Interlocked.Decrement(ref now);
            return new Reply(200, """{"status":"ok"}""");
        };
        var names = Enumerable.Range(0, 40).Select(i => $"s{i}").ToArray();
        var snapshots = await SnapshotAsync(names);
        Assert.That(snapshots.Select(s => s.Service.Name), Is.EqualTo(names));
        Assert.That(most, Is.InRange(1, 16));
    }

    [TestCase(Health.Ok, Health.Ok, "", "", null)]
    [TestCase(Health.Absent, Health.Absent, "", "", null)]
    [TestCase(Health.Absent, Health.Ok, "", "", null)]
    [TestCase(Health.Error, Health.Error, "db: refused", "db: timed out", null)]
    [TestCase(Health.Unreachable, Health.Error, "", "db: refused", null)]
    [TestCase(Health.Error, Health.Ok, "db: refused", "", null)]
    [TestCase(Health.Ok, Health.Error, "", "db: refused", "oms is in error (db: refused); on live it is ok.")]
    [TestCase(Health.Ok, Health.Absent, "", "", "oms is without a health page; on live it is ok.")]
    [TestCase(Health.Error, Health.Error, "db: refused", "db: refused,kafka: away", "oms fails kafka: away; on live these checks pass.")]
    [TestCase(Health.Error, Health.Absent, "db: refused", "", "oms is without a health page; on live it is in error (db: refused).")]
    [TestCase(Health.Absent, Health.Unreachable, "", "", "oms is unreachable (gone); on live it is without a health page.")]
    public void The_candidate_is_compared_with_live(
        Health live, Health candidate, string liveChecks, string candidateChecks, string? sentence)
    {
        var sentences = AetherStack.NoWorseThan([Snapshot("oms", live, liveChecks)], [Snapshot("oms", candidate, candidateChecks)]);
        Assert.That(sentences, sentence is null ? Is.Empty : Is.EqualTo(new[] { sentence }));
    }

    [Test]
    public void Missing_services_missing_metrics_and_sick_newcomers_are_worse()
    {
        var sentences = AetherStack.NoWorseThan(
            [Snapshot("a", Health.Ok, ""), Snapshot("b", Health.Ok, "", "up 1"), Snapshot("c", Health.Unreachable, "")],
            [Snapshot("b", Health.Ok, ""), Snapshot("new", Health.Unreachable, ""), Snapshot("newer", Health.Ok, "")]);
        Assert.That(sentences, Is.EqualTo(new[]
        {
            "b shows no /metrics; on live it does.",
            "new is unreachable (gone); live has no such service.",
            "a is missing; live has it.",
        }));
    }

    private static ServiceSnapshot Snapshot(string name, Health health, string checks, string? metrics = null) => new(
        new ServiceEndpoint(name, "80"), health, checks.Split(',', StringSplitOptions.RemoveEmptyEntries), health == Health.Unreachable
            ? "gone"
            : "", null, metrics, "id");

    private Task<IReadOnlyList<ServiceSnapshot>> SnapshotAsync(params string[] names) =>
        _stack.SnapshotAsync([.. names.Select(n => new ServiceEndpoint(n, "80"))], "rollout-v1-1.3", CancellationToken.None);
}
