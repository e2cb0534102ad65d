using System.Collections.Concurrent;
using System.Globalization;
using Npgsql;
using Rehearsal.Aether.Metrics;
using Rehearsal.Aether.Stores;

namespace Rehearsal.Aether.Orders;

/// <summary>
/// The orders an OMS process sends by itself: one per account every 100 ms, as the platform trades on its own. This is what
/// makes two writers visible, so nothing but the switches of the platform, a drain, missing keys or the end of the process stops it.
/// </summary>
internal sealed class OrderFlow(Pod pod, ExchangeClient exchange, TradingSwitches switches, OrderMetrics metrics, Func<bool> draining)
{
    private const int RestingEvery = 50;
    private const int RecordedEvery = 10;
    private const int TracedEvery = 25;

    private static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan RecordPace = TimeSpan.FromSeconds(1);

    private readonly ConcurrentQueue<Recorded> _unrecorded = new();
    private long _sent;

    /// <summary>Real orders the exchange accepted from this process.</summary>
    public long Sent => Interlocked.Read(ref _sent);

    public async Task RunAsync(CancellationToken ct)
    {
        if (exchange.Accounts.Count == 0)
        {
            pod.Log("WARNING:  no exchange credentials; no orders will be sent");
            return;
        }

        pod.Log($"INFO:     trading for {string.Join(", ", exchange.Accounts)}");
        await Task.WhenAll([.. exchange.Accounts.Select(account => TradeAsync(account, ct)), RecordAsync(ct)]);
    }

    private static decimal Price(string pair, long number)
    {
        var middle = pair == "XBTUSD" ? 64_000m : 3_100m;
        return decimal.Round(middle * (1 + ((decimal)Math.Sin(number / 40d) / 200)), 1);
    }

    private async Task TradeAsync(string account, CancellationToken ct)
    {
        using var timer = new PeriodicTimer(Pace, pod.Time);
        var pair = account == "company" ? "XBTUSD" : "ETHUSD";
        string? resting = null;
        for (var number = 0L; await timer.WaitForNextTickAsync(ct); number++)
        {
            if (draining() || pod.Struck("orders-stopped"))
            {
                continue;
            }

            var rests = number % RestingEvery == RestingEvery - 1;
            var order = new NewOrder(
                pair,
                number % 2 == 0 ? "buy" : "sell",
                rests ? "limit" : "market",
                0.001m,
                rests ? Price(pair, number) * (number % 2 == 0 ? 0.9m : 1.1m) : Price(pair, number),
                string.Create(CultureInfo.InvariantCulture, $"{pod.Start.PodName}-{account}-{pod.Time.GetUtcNow().UtcTicks:x}"));
            var placed = await PlaceAsync(account, order, number, ct);
            if (placed is not null && rests)
            {
                if (resting is not null)
                {
                    await CancelAsync(account, resting, ct);
                }

                resting = placed;
            }
        }
    }

    /// <summary>The exchange's order id of a real order; null when it was simulated, halted, or failed.</summary>
    private async Task<string?> PlaceAsync(string account, NewOrder order, long number, CancellationToken ct)
    {
        var start = pod.Time.GetUtcNow();
        var clock = pod.Time.GetTimestamp();
        if (pod.Delay is { } milliseconds)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(milliseconds), pod.Time, ct);
        }

        try
        {
            return await SendAsync(account, order, number, start, clock, ct);
        }
        catch (SwitchUnknownException)
        {
            metrics.Failed("sim_mode");
        }
        catch (ExchangeException failure)
        {
            metrics.Failed(failure.Reason);
        }

        return null;
    }

    private async Task<string?> SendAsync(
        string account, NewOrder order, long number, DateTimeOffset start, long clock, CancellationToken ct)
    {
        if (await switches.HaltedAsync(ct))
        {
            metrics.Rejected("safe_mode");
            return null;
        }

        if (pod.Amount("errors") is { } ratio && Random.Shared.NextDouble() < ratio)
        {
            metrics.Failed("upstream");
            return null;
        }

        if (await switches.SimulatedAsync(account, ct))
        {
            metrics.Placed(account, order.Pair, "simulation", pod.Time.GetElapsedTime(clock));
            Record(account, order, "SIM-" + order.ClientId, "filled", number, simulated: true);
            return null;
        }

        var id = await exchange.AddOrderAsync(account, order, ct);
        Interlocked.Increment(ref _sent);
        var elapsed = pod.Time.GetElapsedTime(clock);
        metrics.Placed(account, order.Pair, "rest", elapsed);
        Record(account, order, id, order.Type == "limit" ? "open" : "filled", number, simulated: false);
        if (pod.TraceEndpoint is { } traces && number % TracedEvery == 0)
        {
            const string url = "http://oms-service/oms/place";
            var trace = Guid.NewGuid().ToString("N");
            pod.World.Spans.Export(traces, new Span(pod.Workload, trace, null, order.ClientId, "POST", url, 200, start, elapsed));
        }

        return id;
    }

    private async Task CancelAsync(string account, string orderId, CancellationToken ct)
    {
        try
        {
            await exchange.CancelOrderAsync(account, orderId, ct);
            _unrecorded.Enqueue(new Recorded(account, OrderRecord.Cancelled(orderId), Ack: true, Simulated: false));
        }
        catch (ExchangeException failure)
        {
            pod.Log($"WARNING:  order {orderId} of {account} could not be cancelled: {failure.Message}");
        }
    }

    /// <summary>
    /// Every resting order goes into the account's history, of the filled ones one in ten: a rehearsal lasts longer than its disk.
    /// </summary>
    private void Record(string account, NewOrder order, string id, string status, long number, bool simulated)
    {
        if (status == "open" || number % RecordedEvery == 0)
        {
            var record = new OrderRecord(id, order.ClientId, order.Pair, order.Side, order.Volume, order.Price, status);
            _unrecorded.Enqueue(new Recorded(account, record, Ack: status == "open", simulated));
        }
    }

    private async Task RecordAsync(CancellationToken ct)
    {
        var store = new AccountStore(pod);
        using var timer = new PeriodicTimer(RecordPace, pod.Time);
        while (await timer.WaitForNextTickAsync(ct))
        {
            var records = new List<Recorded>();
            while (_unrecorded.TryDequeue(out var record))
            {
                records.Add(record);
            }

            var groups = records.Where(record => store.Configured(record.Account)).GroupBy(record => (record.Account, record.Simulated));
            foreach (var group in groups)
            {
                try
                {
                    await store.AddOrdersAsync(
                        group.Key.Account,
                        [.. group.Where(record => record.Ack).Select(record => record.Order)],
                        [.. group.Where(record => !record.Ack).Select(record => record.Order)],
                        group.Key.Simulated,
                        ct);
                }
                catch (NpgsqlException failure)
                {
                    pod.Log($"ERROR:    {group.Count()} orders of {group.Key.Account} not recorded: {failure.Message}");
                }
            }
        }
    }

    private sealed record Recorded(string Account, OrderRecord Order, bool Ack, bool Simulated);
}
