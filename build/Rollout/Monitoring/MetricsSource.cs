namespace Rollout.Monitoring;

/// <summary>A slot's counters at one moment.</summary>
public sealed record Reading(DateTimeOffset At, IReadOnlyList<PodScrape> Pods);

/// <summary>Where a watch gets a slot's counters from. Every source gives raw counters of pods, so that one series and one judge do for all.</summary>
public interface IMetricsSource
{
    /// <summary>As <c>watch-samples.json</c> names it.</summary>
    string Name { get; }

    /// <summary>What is asked, by the judge's metric; <c>{service}</c> stands for a workload.</summary>
    IReadOnlyDictionary<string, string> Queries { get; }

    /// <summary>Whether what could not be read at one moment is read at a later one.</summary>
    bool CatchesUp { get; }

    /// <summary>The readings since the last call, oldest first; none where nothing is new.</summary>
    /// <exception cref="RolloutException">Nothing could be read; why is in words.</exception>
    Task<IReadOnlyList<Reading>> ReadAsync(CancellationToken cancellationToken);
}

/// <summary>Our own scraping of every pod.</summary>
public sealed class ScrapeSource(PodMetrics pods, TimeProvider time) : IMetricsSource
{
    public string Name => "scrape";

    public bool CatchesUp => false;

    public IReadOnlyDictionary<string, string> Queries { get; } = new Dictionary<string, string>
    {
        ["requests"] = "/metrics of {service}: http_request_duration_seconds_count",
        ["error ratio"] = "/metrics of {service}: http_request_duration_seconds_count{status_code=~\"5..\"} over all",
        ["p95"] = "/metrics of {service}: http_request_duration_seconds_bucket",
        ["p99"] = "/metrics of {service}: http_request_duration_seconds_bucket",
        ["orders"] = "/metrics of {service}: trades_submitted_total",
    };

    public async Task<IReadOnlyList<Reading>> ReadAsync(CancellationToken cancellationToken)
    {
        var seen = await pods.ScrapeAsync(null, cancellationToken);
        return [new Reading(time.GetUtcNow(), seen)];
    }
}
