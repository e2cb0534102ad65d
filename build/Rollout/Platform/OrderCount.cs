using Rollout.Monitoring;

namespace Rollout.Platform;

/// <summary>What one OMS pod counted since its process began.</summary>
/// <param name="Incarnation">Changes when the pod's process may have begun counting again.</param>
/// <param name="Real">Orders sent to the exchange.</param>
/// <param name="Simulated">Orders filled by the simulator.</param>
/// <param name="RealByAccount">Real orders by the metric's <c>account_segment</c>.</param>
public sealed record PodOrders(
    string Pod, string Incarnation, double Real, double Simulated, IReadOnlyDictionary<string, double> RealByAccount);

/// <summary>The orders of one slot's OMS, pod by pod, as its own metrics tell them.</summary>
/// <param name="Unreadable">Pods of which it is not known what they send, with the reason. They prove nothing, so they forbid every
/// proof.</param>
public sealed record OrderCount(IReadOnlyList<PodOrders> Pods, IReadOnlyList<string> Unreadable)
{
    internal const string Metric = "oms_order_latency_seconds";

    public double Real => Pods.Sum(p => p.Real);

    public double Simulated => Pods.Sum(p => p.Simulated);

    /// <summary>Real orders of all pods by account segment.</summary>
    public IReadOnlyDictionary<string, double> RealByAccount =>
        Pods.SelectMany(p => p.RealByAccount).GroupBy(a => a.Key, StringComparer.Ordinal).ToDictionary(
            g => g.Key, g => g.Sum(a => a.Value), StringComparer.Ordinal);

    /// <summary>Whether every pod was read, and there was one: no pod at all more likely means a wrong label than a stack without
    /// OMS.</summary>
    public bool Complete => Unreadable.Count == 0 && Pods.Count > 0;

    public string Describe()
    {
        var known = Pods.Count == 0 ? "no OMS pod was read" : $"{Real:0} real and {Simulated:0} simulated orders in {Pods.Count} pods";
        return Unreadable.Count == 0 ? known : $"{known}, not readable: {string.Join("; ", Unreadable)}";
    }

    internal static OrderCount From(IReadOnlyList<PodScrape> scrapes)
    {
        var pods = new List<PodOrders>();
        var unreadable = new List<string>();
        foreach (var scrape in scrapes)
        {
            if (scrape.Outcome != ScrapeOutcome.Read)
            {
                unreadable.Add($"{scrape.Pod} ({(scrape.Outcome == ScrapeOutcome.Absent ? "has no metrics page" : scrape.Detail)})");
            }
            else if (!PrometheusText.Declares(scrape.Text, Metric) && !PrometheusText.Declares(scrape.Text, Metric + "_count"))
            {
                unreadable.Add($"{scrape.Pod} (its metrics do not know {Metric})");
            }
            else
            {
                pods.Add(Count(scrape));
            }
        }

        return new OrderCount(pods, unreadable);
    }

    private static PodOrders Count(PodScrape scrape)
    {
        var counts = scrape.Samples.Where(
            s => s.Name == Metric + "_count" && double.IsFinite(s.Value)).ToLookup(s => s.Label("transport") == "simulation");
        return new PodOrders(
            scrape.Pod,
            scrape.Incarnation,
            counts[false].Sum(s => s.Value),
            counts[true].Sum(s => s.Value),
            counts[false].GroupBy(s => s.Label("account_segment"), StringComparer.Ordinal).ToDictionary(
                g => g.Key, g => g.Sum(s => s.Value), StringComparer.Ordinal));
    }
}

/// <summary>
/// How long no real order was seen. The time begins again with every order, with every pod that comes, goes or restarts (it was not watched
/// all the time) and with every pod that cannot be read.
/// </summary>
internal sealed class OrderQuiet
{
    private OrderCount? _last;
    private TimeSpan? _since;

    /// <param name="before">When the reading of <paramref name="now"/> began.</param>
    /// <param name="after">When it had ended: an order during the reading may be in it or not.</param>
    /// <returns>For how long it has been quiet; null where that is not known.</returns>
    public TimeSpan? Observe(OrderCount now, TimeSpan before, TimeSpan after)
    {
        var quiet = now.Complete && _last is not null && Same(_last, now);
        _last = now;
        if (!quiet)
        {
            _since = now.Complete ? after : null;
            return now.Complete ? TimeSpan.Zero : null;
        }

        _since ??= after;
        return before > _since ? before - _since : TimeSpan.Zero;
    }

    private static bool Same(OrderCount last, OrderCount now) =>
        last.Complete
        && last.Pods.Count == now.Pods.Count
        && now.Pods.All(p => last.Pods.Any(l => l.Pod == p.Pod && l.Incarnation == p.Incarnation && l.Real.Equals(p.Real)));
}

/// <summary>How many real orders were sent since the first look; what a pod had counted when it was first seen is history.</summary>
internal sealed class OrderFlow
{
    // Each OMS process reads its switch every 2 s (platform contract, section 4.2); one that is silent for twice that has read it.
    private static readonly TimeSpan SwitchIsRead = TimeSpan.FromSeconds(4);

    private readonly Dictionary<string, PodOrders> _last = new(StringComparer.Ordinal);
    private readonly Dictionary<string, TimeSpan> _simulating = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, double> _byAccount = new(StringComparer.Ordinal);

    public double Sent { get; private set; }

    /// <summary>Pods that may still simulate what clients order: they did when last seen to do anything, and that is not long ago.</summary>
    public IReadOnlyCollection<string> Simulating => _simulating.Keys;

    /// <param name="at">When the look ended, on any clock.</param>
    public void Observe(OrderCount now, TimeSpan at)
    {
        foreach (var pod in now.Pods)
        {
            var known = _last.GetValueOrDefault(pod.Pod) is { } seen && seen.Incarnation == pod.Incarnation ? seen : null;
            if (pod.Simulated > (known?.Simulated ?? 0))
            {
                _simulating[pod.Pod] = at;
            }
            else if (pod.Real > (known?.Real ?? 0) || at - _simulating.GetValueOrDefault(pod.Pod) >= SwitchIsRead)
            {
                _simulating.Remove(pod.Pod);
            }

            if (_last.TryGetValue(pod.Pod, out var before))
            {
                var restarted = before.Incarnation != pod.Incarnation || pod.Real < before.Real;
                Sent += pod.Real - (restarted ? 0 : before.Real);
                foreach (var (account, count) in pod.RealByAccount)
                {
                    var grown = count - (restarted ? 0 : before.RealByAccount.GetValueOrDefault(account));
                    _byAccount[account] = _byAccount.GetValueOrDefault(account) + grown;
                }
            }

            _last[pod.Pod] = pod;
        }

        foreach (var gone in _simulating.Keys.Where(name => now.Complete && now.Pods.All(pod => pod.Pod != name)).ToList())
        {
            _simulating.Remove(gone);
        }
    }

    public string Describe() =>
        $"{Sent:0} real orders" + (_byAccount.Count == 0 ? "" : $" ({string.Join(", ", _byAccount.Select(a => $"{a.Key} {a.Value:0}"))})")
        + (_simulating.Count == 0 ? "" : $", {string.Join(", ", _simulating.Keys.Order(StringComparer.Ordinal))} still simulates");
}
