using Rollout.Monitoring;
using Rollout.Tests.Support;

namespace Rollout.Tests.Monitoring;

[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class RemainingTrafficTests
{
    private static readonly string[] Hosts = ["oms.aether.example.com", "ui.aether.example.com"];
    private static readonly TimeSpan Window = TimeSpan.FromSeconds(2);

    private readonly HastyTime _time = new();
    private KubernetesDouble _cluster = null!;

    [SetUp]
    public async Task StartAsync()
    {
        _cluster = await KubernetesDouble.StartAsync();
        _cluster.Selectors["controller"] = new() { ["app"] = "nginx" };
    }

    [TearDown]
    public async Task StopAsync() => await _cluster.DisposeAsync();

    [Test]
    public async Task Requests_of_production_hosts_are_counted_over_all_controller_pods_and_statuses()
    {
        var looks = 0;
        _time.OnPause = () => looks++;
        Controller("nginx-0", () => Page(("oms.aether.example.com", 100 + (6 * looks)), ("staging.aether.example.com", 70 * looks)));
        Controller("nginx-1", () => Page(("oms.aether.example.com", 5), ("ui.aether.example.com", 2 * looks)));

        var traffic = await MeasureAsync();

        Assert.That(traffic.Problem, Is.Null);
        Assert.That(traffic.PerSecond, Is.EquivalentTo(new Dictionary<string, double> { ["oms.aether.example.com"] = 3, ["ui.aether.example.com"] = 1 }));
        Assert.That(traffic.ToString(), Is.EqualTo("4 requests/s over 2 s, most of them for oms.aether.example.com (3/s), ui.aether.example.com (1/s)"));
    }

    [Test]
    public async Task A_slot_that_nobody_asks_is_told_as_such()
    {
        Controller("nginx-0", () => Page(("oms.aether.example.com", 100)));

        var traffic = await MeasureAsync();

        Assert.That((traffic.Total, traffic.ToString()), Is.EqualTo((0.0, "no request in 2 s")));
    }

    [Test]
    public async Task A_controller_that_restarts_meanwhile_is_counted_from_zero()
    {
        var pod = Controller("nginx-0", () => Page(("oms.aether.example.com", 100)));
        _time.OnPause = () =>
        {
            pod.Restarts = 1;
            pod.Metrics = () => Page(("oms.aether.example.com", 4));
        };

        Assert.That((await MeasureAsync()).Total, Is.EqualTo(2));
    }

    [Test]
    public async Task A_controller_without_metrics_leaves_the_traffic_unknown_and_not_zero()
    {
        Controller("nginx-0", () => null);

        Assert.That((await MeasureAsync()).Problem, Does.StartWith("nginx-0 shows no metrics (HTTP 404"));
    }

    [Test]
    public async Task A_controller_whose_metrics_port_is_off_leaves_the_traffic_unknown()
    {
        _cluster.Pods.Add(new PodDouble { Name = "nginx-0", App = "nginx", Port = "https", Metrics = () => Page() });

        Assert.That((await MeasureAsync()).Problem, Is.EqualTo("nginx-0 shows no metrics (declares no port 'metrics')"));
    }

    [Test]
    public async Task A_controller_that_is_away_at_the_second_look_leaves_the_traffic_unknown()
    {
        Controller("nginx-0", () => Page(("oms.aether.example.com", 100)));
        _time.OnPause = _cluster.Pods.Clear;

        Assert.That((await MeasureAsync()).Problem, Is.EqualTo("the Service ingress/controller has no pods"));
    }

    [Test]
    public async Task A_missing_ingress_Service_leaves_the_traffic_unknown()
    {
        _cluster.Selectors.Clear();

        Assert.That((await MeasureAsync()).Problem, Does.StartWith("the Service ingress/controller cannot be read (").And.Contain("not found"));
    }

    [Test]
    public async Task An_API_server_that_fails_leaves_the_traffic_unknown()
    {
        _cluster.ListFails = true;

        Assert.That((await MeasureAsync()).Problem, Does.Contain("cannot be listed"));
    }

    private PodDouble Controller(string name, Func<string?> metrics)
    {
        var pod = new PodDouble { Name = name, App = "nginx", Port = "metrics", Metrics = metrics };
        _cluster.Pods.Add(pod);
        return pod;
    }

    private static string Page(params (string Host, int Requests)[] hosts) => string.Concat(hosts.Select(host =>
        $"nginx_ingress_controller_requests{{host=\"{host.Host}\",status=\"200\"}} {host.Requests}\n"));

    private Task<SlotTraffic> MeasureAsync() =>
        new RemainingTraffic(_cluster.Client, "ingress/controller", Hosts, _time).MeasureAsync(Window, default);
}
