namespace Rehearsal.Tests.Aether;

[Parallelizable(ParallelScope.All)]
public sealed class HealthTests
{
    [Test]
    public async Task Healthz_is_ok_where_the_platform_has_it(
        [Values("admin-platform", "policy-service", "risk-service", "safe-mode", "sim-mode", "oms-service")] string workload)
    {
        await using var stand = await Stand.CreateAsync();
        await stand.WithDatabaseAsync();
        var pod = await stand.StartAsync(workload);

        var health = await pod.GetAsync("/healthz", token: null);

        Assert.That(health.Status, Is.EqualTo(200));
        Assert.That(health.Json["status"]!.ToString(), Is.EqualTo("ok"), health.Text);
        Assert.That(health.Json["checks"]!.AsObject(), Is.Not.Empty);
    }

    [Test]
    public async Task Healthz_is_404_where_the_platform_lacks_it([Values(
        "auth-service", "account-service", "behavior-service", "advisor-service", "benchmark-service", "capital-allocator",
        "capital-flow-service",
        "config-service", "fees-service", "volatility-service", "seasonality-service", "override-service", "hitl-service",
        "strategy-orchestrator",
        "secrets-service", "universe-service", "training-service", "marketdata-ingestor", "kraken-ws-ingest", "aether-2-ui",
        "kill-switch")] string workload)
    {
        await using var stand = await Stand.CreateAsync();
        var pod = await stand.StartAsync(workload);

        Assert.That((await pod.GetAsync("/healthz", token: null)).Status, Is.EqualTo(404));
    }

    [Test]
    public async Task Readyz_is_there_and_nowhere_else(
        [Values("advisor-service", "capital-allocator", "config-service", "fees-service", "strategy-orchestrator")] string workload)
    {
        await using var stand = await Stand.CreateAsync();
        var pod = await stand.StartAsync(workload);
        var other = await stand.StartAsync("oms-service");

        var ready = await pod.GetAsync("/readyz", token: null);
        stand.Faults["health-error"] = $"blue:{workload}";
        var sick = await pod.GetAsync("/readyz", token: null);

        Assert.That(ready.Status, Is.EqualTo(200));
        Assert.That(sick.Status, Is.EqualTo(503));
        Assert.That(sick.Json["status"]!.ToString(), Is.EqualTo("error"));
        Assert.That((await other.GetAsync("/readyz", token: null)).Status, Is.EqualTo(404));
    }

    [Test]
    public async Task Capital_flow_has_health_instead()
    {
        await using var stand = await Stand.CreateAsync();
        var pod = await stand.StartAsync("capital-flow-service");

        Assert.That((await pod.GetAsync("/health", token: null)).Status, Is.EqualTo(200));
    }

    [Test]
    public async Task A_sick_service_still_answers_200_and_only_the_body_tells()
    {
        await using var stand = await Stand.CreateAsync();
        await stand.WithDatabaseAsync();
        var blue = await stand.StartAsync("risk-service");
        var green = await stand.StartAsync("risk-service", "green");
        stand.Faults["health-error"] = "green:risk-service";

        var sick = await green.GetAsync("/healthz", token: null);
        var well = await blue.GetAsync("/healthz", token: null);

        Assert.That(sick.Status, Is.EqualTo(200));
        Assert.That(sick.Json["status"]!.ToString(), Is.EqualTo("error"));
        Assert.That(sick.Json["checks"]!["dependency"]!["error"]!.ToString(), Is.Not.Empty);
        Assert.That(well.Json["status"]!.ToString(), Is.EqualTo("ok"));
    }

    [Test]
    public async Task The_checks_look_at_what_the_service_depends_on()
    {
        await using var stand = await Stand.CreateAsync();
        var pod = await stand.StartAsync(
        "oms-service", environment: new() { ["TIMESCALE_DSN"] = "postgresql://postgres@127.0.0.1:1/aether" });

        var health = await pod.GetAsync("/healthz", token: null);

        Assert.That(health.Status, Is.EqualTo(200));
        Assert.That(health.Json["checks"]!["timescale"]!["status"]!.ToString(), Is.EqualTo("error"));
    }

    [Test]
    public async Task Health_can_flap()
    {
        var time = new MovableTime();
        await using var stand = await Stand.CreateAsync(time);
        var pod = await stand.StartAsync("fees-service");
        stand.Faults["health-error"] = "blue:fees-service:flap";

        var seen = new HashSet<int>();
        for (var turn = 0; turn < 4; turn++)
        {
            seen.Add((await pod.GetAsync("/readyz", token: null)).Status);
            time.Ahead += TimeSpan.FromSeconds(5);
        }

        Assert.That(seen, Is.EquivalentTo(new[] { 200, 503 }));
    }

    [Test]
    public async Task The_user_interface_sends_no_hardened_header()
    {
        await using var stand = await Stand.CreateAsync();
        var pod = await stand.StartAsync("aether-2-ui");

        using var page = await pod.Http.GetAsync(new Uri("/", UriKind.Relative));
        using var script = await pod.Http.GetAsync(new Uri("/assets/app.js", UriKind.Relative));

        Assert.That(page.Content.Headers.ContentType!.MediaType, Is.EqualTo("text/html"));
        Assert.That(page.Headers.Select(header => header.Key), Is.SubsetOf(new[] { "Date" }));
        Assert.That(await script.Content.ReadAsStringAsync(), Does.Contain("https://risk.aether.example.com"));
    }
}
