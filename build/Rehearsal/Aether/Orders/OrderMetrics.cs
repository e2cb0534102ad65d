using Rehearsal.Aether.Metrics;

namespace Rehearsal.Aether.Orders;

/// <summary>What the OMS counts about orders, real and simulated.</summary>
internal sealed class OrderMetrics(Pod pod)
{
    private readonly Metric _latency = pod.Metrics.Histogram(
        "oms_order_latency_seconds", "Order latency by account segment, symbol tier and transport.", MetricRegistry.OrderSeconds,
        "service", "account_segment", "symbol_tier", "transport");

    private readonly Metric _submit = pod.Metrics.Histogram(
        "oms_submit_latency", "Order submission latency in ms.", MetricRegistry.Milliseconds);
    private readonly Metric _last = pod.Metrics.Gauge("oms_latency_ms", "Latency of the last order in ms.");
    private readonly Metric _trades = pod.Metrics.Counter("trades_submitted_total", "Trades submitted to the exchange.");
    private readonly Metric _requests = pod.Metrics.Counter("order_gateway_requests_total", "Requests to the order gateway.");
    private readonly Metric _failures = pod.Metrics.Counter(
        "order_gateway_request_errors_total", "Failed requests to the order gateway.", "reason");
    private readonly Metric _errors = pod.Metrics.Counter("oms_errors_total", "OMS errors.");
    private readonly Metric _rejected = pod.Metrics.Counter("rejected_intents_total", "Rejected intents.", "stage", "reason");
    private readonly Metric _unauthorized = pod.Metrics.Counter("oms_auth_failures_total", "Refused callers.");

    public void Placed(string account, string pair, string transport, TimeSpan elapsed)
    {
        if (transport == "rest")
        {
            _requests.Add(1);
            _trades.Add(1);
        }

        var tier = pair.StartsWith("XBT", StringComparison.Ordinal) || pair.StartsWith("ETH", StringComparison.Ordinal) ? "major" : "alt";
        _latency.Observe(elapsed.TotalSeconds, pod.Workload, account, tier, transport);
        _submit.Observe(elapsed.TotalMilliseconds);
        _last.Set(elapsed.TotalMilliseconds);
    }

    public void Failed(string reason)
    {
        _requests.Add(1);
        _failures.Add(1, reason);
        _errors.Add(1);
    }

    public void Rejected(string reason) => _rejected.Add(1, "oms", reason);

    public void Unauthorized() => _unauthorized.Add(1);
}
