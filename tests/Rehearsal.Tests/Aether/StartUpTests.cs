using Rehearsal.Aether;

namespace Rehearsal.Tests.Aether;

[Parallelizable(ParallelScope.All)]
public sealed class StartUpTests
{
    private static readonly string[] Workloads =
    [
        "auth-service", "account-service", "behavior-service", "advisor-service", "benchmark-service", "capital-allocator",
        "capital-flow-service",
        "config-service", "fees-service", "volatility-service", "seasonality-service", "oms-service", "override-service", "policy-service",
        "hitl-service",
        "risk-service", "strategy-orchestrator", "secrets-service", "universe-service", "marketdata-ingestor", "kraken-ws-ingest",
        "aether-2-ui",
        "admin-platform", "safe-mode", "sim-mode", "sequencer", "kill-switch",
    ];

    [Test]
    public async Task Two_whole_stacks_run_in_one_process()
    {
        await using var stand = await Stand.CreateAsync();
        await stand.WithDatabaseAsync();
        var pods = new List<RunningPod>();
        foreach (var slot in new[] { "blue", "green" })
        {
            foreach (var workload in Workloads.Append("oms-service"))
            {
                pods.Add(await stand.LaunchAsync(workload, slot));
            }
        }

        await Task.WhenAll(pods.Select(pod => pod.ListensAsync()));

        Assert.That(pods, Has.Count.EqualTo(56));
        Assert.That(pods.Where(pod => pod.Completion.IsCompleted).Select(pod => pod.Start.PodName), Is.Empty);
    }

    [Test]
    public void Images_of_the_platform_are_known_and_no_others()
    {
        Assert.That(Workloads, Is.All.Matches<string>(
            workload => AetherStandIn.Knows($"127.0.0.1:5000/aether/{workload}:v1@sha256:{new string('a', 64)}")));
        Assert.That(AetherStandIn.Knows("docker.io/library/nginx:1.29"), Is.False);
    }

    [Test]
    public async Task A_program_that_is_not_in_the_image_ends_with_127()
    {
        await using var stand = await Stand.CreateAsync();

        var pod = await stand.LaunchAsync("nginx");

        Assert.That(await pod.Completion, Is.EqualTo(127));
    }

    [Test]
    public async Task A_slow_start_delays_listening()
    {
        var time = new HurriedTime(20);
        await using var stand = await Stand.CreateAsync(time);
        stand.Faults["slow-start"] = "10000";
        var launched = time.GetUtcNow();

        await stand.StartAsync("fees-service");

        Assert.That(time.GetUtcNow() - launched, Is.GreaterThanOrEqualTo(TimeSpan.FromSeconds(10)));
    }

    [Test]
    public async Task A_pod_that_is_never_ready_refuses_connections_until_the_fault_is_lifted()
    {
        await using var stand = await Stand.CreateAsync();
        stand.Faults["never-ready"] = "green:fees-service";
        var held = await stand.LaunchAsync("fees-service", "green");
        await stand.StartAsync("fees-service");
        await stand.StartAsync("volatility-service", "green");

        Assert.That(async () => await held.GetAsync("/readyz"), Throws.InstanceOf<HttpRequestException>());

        stand.Faults.Clear();
        await held.ListensAsync();
    }

    [Test]
    public async Task A_stopped_pod_ends_with_0_and_frees_its_address()
    {
        await using var stand = await Stand.CreateAsync();
        var pod = await stand.StartAsync("fees-service");

        await pod.DisposeAsync();
        var again = await stand.StandIn.StartAsync(pod.Start, CancellationToken.None);

        Assert.That(await pod.Completion, Is.Zero);
        await using (again)
        {
            using var http = new HttpClient();
            await Stand.UntilAsync("the address answers again", async () =>
            {
                try
                {
                    return (await http.GetAsync(new Uri($"http://{pod.Start.PodIp}:8000/readyz"))).IsSuccessStatusCode;
                }
                catch (HttpRequestException)
                {
                    return false;
                }
            });
        }
    }

    [Test]
    public async Task A_pod_goes_on_answering_until_uvicorn_has_seen_its_signal()
    {
        var time = new HeldTime(TimeSpan.FromMilliseconds(100));
        await using var stand = await Stand.CreateAsync(time);
        var pod = await stand.StartAsync("fees-service");
        using var http = new HttpClient();
        var ending = pod.DisposeAsync();
        Assert.That((await http.GetAsync(new Uri($"http://{pod.Start.PodIp}:8000/readyz"))).IsSuccessStatusCode, "a request that was on its way");
        time.Release();
        await ending;
        await Assert.ThrowsAsync<HttpRequestException>(() => http.GetAsync(new Uri($"http://{pod.Start.PodIp}:8000/readyz")));
    }

    [Test]
    public async Task An_address_that_is_taken_ends_the_process_with_1()
    {
        await using var stand = await Stand.CreateAsync();
        var pod = await stand.StartAsync("fees-service");

        await using var second = await stand.StandIn.StartAsync(pod.Start, CancellationToken.None);

        Assert.That(await second.Completion, Is.EqualTo(1));
    }

    [Test]
    public async Task Insecure_defaults_leave_state_where_the_platform_leaves_it()
    {
        await using var stand = await Stand.CreateAsync();
        var insecure = new Dictionary<string, string>
        {
            ["ACCOUNTS_ALLOW_INSECURE_DEFAULTS"] = "1",
            ["AETHER_ALLOW_INSECURE_TEST_DEFAULTS"] = "1",
            ["AETHER_STATE_DIR"] = "/var/lib/aether/state",
        };
        var accounts = await stand.StartAsync("account-service", environment: insecure);
        var allocator = await stand.StartAsync("capital-allocator", environment: insecure);
        var hardened = await stand.StartAsync("account-service");

        Assert.That(File.Exists(accounts.Start.RootDirectory + "/var/lib/aether/state/accounts/encryption.key"), Is.True);
        Assert.That(File.Exists(allocator.Start.RootDirectory + "/app/.aether_state/capital_allocator/allocations.json"), Is.True,
            "it ignores AETHER_STATE_DIR");
        Assert.That(Directory.EnumerateFileSystemEntries(hardened.Start.RootDirectory), Is.Empty);
    }

    [Test]
    public async Task Every_service_describes_itself()
    {
        await using var stand = await Stand.CreateAsync();
        await stand.WithDatabaseAsync();
        var pods = await Task.WhenAll(
            Workloads.Where(workload => workload != "aether-2-ui").Select(workload => stand.LaunchAsync(workload)));
        await Task.WhenAll(pods.Select(pod => pod.ListensAsync()));

        var documents = await Task.WhenAll(pods.Select(async pod => (await pod.GetAsync("/openapi.json", token: null)).Json));

        Assert.That(documents.Select(document => document["info"]!["title"]!.ToString()), Is.Unique);
        Assert.That(documents.Select(document => document["info"]!["version"]!.ToString()), Is.All.EqualTo("v2026.11.0"));
        Assert.That(
            documents.SelectMany(document => document["paths"]!.AsObject().Select(path => path.Key)), Has.None.StartsWith("/internal"));
    }
}
