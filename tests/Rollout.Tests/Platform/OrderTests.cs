using Rollout.Platform;
using Rollout.Tests.Support;

namespace Rollout.Tests.Platform;

[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class OrderTests
{
    private readonly HastyTime _time = new();
    private readonly Reports _reports = new();
    private readonly Dictionary<string, (int Real, int Simulated)> _counts = new() { ["oms-0"] = (100, 0), ["oms-1"] = (50, 0) };
    private KubernetesDouble _cluster = null!;
    private AetherStack _stack = null!;
    private int _pauses;

    [SetUp]
    public async Task StartAsync()
    {
        _cluster = await KubernetesDouble.StartAsync();
        AddPod("oms-0");
        AddPod("oms-1");
        _cluster.Pods.Add(new PodDouble { Name = "risk-0", App = "risk-service", Metrics = () => "" });
        _stack = new AetherStack("blue", "aether-blue", _cluster.Client, new ServiceNames(), null, ["company"], _time, _reports);
    }

    [TearDown]
    public async Task StopAsync() => await _cluster.DisposeAsync();

    [Test]
    public async Task Real_and_simulated_orders_are_told_apart()
    {
        _counts["oms-1"] = (50, 30);
        var count = await _stack.OrdersAsync(CancellationToken.None);
        Assert.That((count.Real, count.Simulated, count.Complete), Is.EqualTo((150.0, 30.0, true)));
        Assert.That(count.RealByAccount, Is.EqualTo(new Dictionary<string, double> { ["company"] = 150 }));
        Assert.That(count.Pods.Select(p => p.Pod), Is.EqualTo(new[] { "oms-0", "oms-1" }));
    }

    [Test]
    public async Task Simulated_orders_are_quiet()
    {
        OnPause(() => _counts["oms-0"] = (100, _counts["oms-0"].Simulated + 1));
        var count = await _stack.WaitUntilOrdersStopAsync(TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(20), CancellationToken.None);
        Assert.That(count.Real, Is.EqualTo(150));
        Assert.That(_pauses, Is.EqualTo(8), "two seconds of quiet in steps of a quarter second");
    }

    [Test]
    public async Task One_late_order_of_one_pod_begins_the_quiet_time_again()
    {
        OnPause(() => _counts["oms-1"] = (_pauses == 7 ? 51 : _counts["oms-1"].Real, 0));
        await _stack.WaitUntilOrdersStopAsync(TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(20), CancellationToken.None);
        Assert.That(_pauses, Is.EqualTo(7 + 8));
    }

    [Test]
    public async Task Orders_that_go_on_are_never_quiet()
    {
        OnPause(() => _counts["oms-1"] = (_counts["oms-1"].Real + 1, 0));
        var exception = (
            await Assert.ThrowsAsync<RolloutException>(
                () => _stack.WaitUntilOrdersStopAsync(TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(10), CancellationToken.None)))!;
        Assert.That(exception.Message, Does.Contain("orders of blue to stop").And.Contain("no order for 0.0 of 2.0 s"));
        Assert.That(_reports.Lines, Is.Not.Empty, "a wait over two seconds says what it waits for");
    }

    [Test]
    public async Task A_pod_that_cannot_be_read_proves_nothing()
    {
        _cluster.Pods[1].Metrics = () => throw new InvalidOperationException();
        var exception = (
            await Assert.ThrowsAsync<RolloutException>(
                () => _stack.WaitUntilOrdersStopAsync(TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(10), CancellationToken.None)))!;
        Assert.That(exception.Message, Does.Contain("not proven").And.Contain("oms-1"));
    }

    [Test]
    public async Task A_page_that_does_not_know_orders_proves_nothing()
    {
        _cluster.Pods[1].Metrics = () => "up 1\n";
        var exception = (
            await Assert.ThrowsAsync<RolloutException>(
                () => _stack.WaitUntilOrdersStopAsync(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(5), CancellationToken.None)))!;
        Assert.That(exception.Message, Does.Contain("oms-1 (its metrics do not know oms_order_latency_seconds)"));
    }

    [Test]
    public async Task No_pod_at_all_proves_nothing()
    {
        _cluster.Pods.Clear();
        await Assert.ThrowsAsync<RolloutException>(
            () => _stack.WaitUntilOrdersStopAsync(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(5), CancellationToken.None));
    }

    [Test]
    public async Task A_pod_that_never_ordered_is_quiet()
    {
        _cluster.Pods[1].Metrics = () => "# TYPE oms_order_latency_seconds histogram\n";
        var count = await _stack.WaitUntilOrdersStopAsync(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(5), CancellationToken.None);
        Assert.That(count.Real, Is.EqualTo(100));
    }

    [Test]
    public async Task A_restarted_pod_is_watched_from_its_beginning()
    {
        OnPause(() =>
        {
            if (_pauses == 6)
            {
                _cluster.Pods[0].Restarts = 1;
                _counts["oms-0"] = (100, 0);
            }
        });
        await _stack.WaitUntilOrdersStopAsync(TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(20), CancellationToken.None);
        Assert.That(_pauses, Is.EqualTo(6 + 8), "a new process with the same count is not the old one");
    }

    [Test]
    public async Task Pods_that_come_and_go_begin_the_quiet_time_again()
    {
        OnPause(() =>
        {
            if (_pauses == 3)
            {
                AddPod("oms-2");
            }
            else if (_pauses == 6)
            {
                _cluster.Pods.RemoveAll(p => p.Name == "oms-2");
            }
        });
        await _stack.WaitUntilOrdersStopAsync(TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(20), CancellationToken.None);
        Assert.That(_pauses, Is.EqualTo(6 + 8));
    }

    [Test]
    public async Task A_pending_pod_sends_nothing()
    {
        AddPod("oms-2");
        _cluster.Pods[^1].Phase = "Pending";
        Assert.That((await _stack.OrdersAsync(CancellationToken.None)).Pods, Has.Count.EqualTo(2));
    }

    [Test]
    public async Task A_failing_API_server_does_not_end_the_wait()
    {
        // Three tries with two pauses between them; the quiet time begins anew after that.
        OnPause(() => _cluster.ListFails = _pauses is >= 2 and <= 4);
        await _stack.WaitUntilOrdersStopAsync(TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(20), CancellationToken.None);
        Assert.That(_pauses, Is.EqualTo(5 + 8));
    }

    [Test]
    public async Task Orders_flow_when_one_was_sent_since_the_first_look()
    {
        OnPause(() => _counts["oms-0"] = (_pauses < 5 ? 100 : 104, 0));
        await _stack.WaitUntilOrdersFlowAsync(TimeSpan.FromSeconds(10), CancellationToken.None);
        Assert.That(_reports.Lines[^1], Is.EqualTo("blue trades: 4 real orders (company 4) since the first look"));
    }

    [Test]
    public async Task Simulated_orders_do_not_flow()
    {
        OnPause(() => _counts["oms-0"] = (100, _pauses));
        var exception = (
            await Assert.ThrowsAsync<RolloutException>(
                () => _stack.WaitUntilOrdersFlowAsync(TimeSpan.FromSeconds(5), CancellationToken.None)))!;
        Assert.That(exception.Message, Does.Contain("0 real orders").And.Contain("simulated orders in 2 pods"));
    }

    [Test]
    public async Task Orders_do_not_flow_before_every_pod_has_read_its_switch()
    {
        OnPause(() =>
        {
            _counts["oms-0"] = (100 + _pauses, 0);
            _counts["oms-1"] = _pauses < 8 ? (0, 50 + _pauses) : (_pauses - 7, 57);
        });

        await _stack.WaitUntilOrdersFlowAsync(TimeSpan.FromSeconds(10), CancellationToken.None);

        Assert.That(_pauses, Is.EqualTo(8), "not while oms-1 still simulates");
    }

    [Test]
    public async Task A_pod_that_has_no_orders_at_all_does_not_keep_orders_from_flowing()
    {
        _counts["oms-1"] = (0, 50);
        OnPause(() => _counts["oms-0"] = (100 + _pauses, 0));

        await _stack.WaitUntilOrdersFlowAsync(TimeSpan.FromSeconds(10), CancellationToken.None);

        Assert.That(_pauses, Is.EqualTo(16), "4 s of silence in looks of 250 ms");
    }

    [Test]
    public async Task History_that_becomes_readable_is_no_flow()
    {
        var page = _cluster.Pods[1].Metrics;
        _cluster.Pods[1].Metrics = () => throw new InvalidOperationException();
        OnPause(() => _cluster.Pods[1].Metrics = page);
        await Assert.ThrowsAsync<RolloutException>(() => _stack.WaitUntilOrdersFlowAsync(TimeSpan.FromSeconds(3), CancellationToken.None));
    }

    private void OnPause(Action change) => _time.OnPause = () =>
    {
        _pauses++;
        change();
    };

    private void AddPod(string name)
    {
        _counts.TryAdd(name, (0, 0));
        _cluster.Pods.Add(new PodDouble
        {
            Name = name,
            App = "oms-service",
            Metrics = () => $$"""
                # TYPE oms_order_latency_seconds histogram
                oms_order_latency_seconds_count{account_segment="company",symbol_tier="major",transport="rest"} {{_counts[name].Real}}
                oms_order_latency_seconds_count{account_segment="company",transport="simulation"} {{_counts[name].Simulated}}

                """,
        });
    }
}
