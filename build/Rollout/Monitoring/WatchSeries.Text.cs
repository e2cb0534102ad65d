using System.IO.Compression;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Rollout.Monitoring;

/// <content>A watch as one compressed text: the baseline of live is measured by one run and judged against by another, on another
/// machine.</content>
public sealed partial class WatchSeries
{
    /// <summary>The whole watch as base64 of gzipped JSON.</summary>
    public string ToText()
    {
        var stored = new Stored(
            Scrapes,
            Failures,
            From,
            To,
            Incomplete,
            [.. _oddities],
            [.. _services.Select(s => new StoredService(
                s.Key,
                s.Value.Reads,
                s.Value.Gaps,
                [.. s.Value.Growth.SelectMany(p => p.Value.Values.Select(g => new StoredGrowth(
                    p.Key, g.Sample.Name, new Dictionary<string, string>(g.Sample.Labels), g.Amount)))]))]);
        using var bytes = new MemoryStream();
        using (var zip = new GZipStream(bytes, CompressionLevel.Optimal))
        {
            JsonSerializer.Serialize(zip, stored);
        }

        return Convert.ToBase64String(bytes.ToArray());
    }

    /// <summary>Reads what <see cref="ToText"/> made; it can be judged, and not be added to.</summary>
    /// <exception cref="RolloutException">The text is no watch.</exception>
    public static WatchSeries FromText(string text)
    {
        try
        {
            using var zip = new GZipStream(new MemoryStream(Convert.FromBase64String(text)), CompressionMode.Decompress);
            var stored = JsonSerializer.Deserialize<Stored>(zip) ?? throw new JsonException("It is null.");
            var series = new WatchSeries
            {
                Scrapes = stored.Scrapes,
                Failures = stored.Failures,
                From = stored.From,
                To = stored.To,
                Incomplete = stored.Incomplete,
            };
            series._oddities.UnionWith(stored.Oddities);
            foreach (var (name, reads, gaps, growth) in stored.Services)
            {
                var service = series._services[name] = new Service { Reads = reads };
                service.Gaps.AddRange(gaps);
                foreach (var (pod, metric, labels, amount) in growth)
                {
                    var sample = new MetricSample(metric, labels, amount);
                    service.GrowthOf(pod)[sample.Series] = new Growth(sample) { Amount = amount };
                }
            }

            return series;
        }
        catch (Exception exception) when (exception is FormatException or InvalidDataException or JsonException)
        {
            throw new RolloutException(
                $"The stored baseline cannot be read: {exception.Message}",
                "It is in the journal, in the entry of 3.1's baseline.",
                ExitCode.Held,
                exception);
        }
    }

    private sealed record Stored(
        [property: JsonPropertyName("scrapes")] int Scrapes,
        [property: JsonPropertyName("failures")] int Failures,
        [property: JsonPropertyName("from")] DateTimeOffset? From,
        [property: JsonPropertyName("to")] DateTimeOffset? To,
        [property: JsonPropertyName("incomplete")] string? Incomplete,
        [property: JsonPropertyName("oddities")] IReadOnlyList<string> Oddities,
        [property: JsonPropertyName("services")] IReadOnlyList<StoredService> Services);

    private sealed record StoredService(
        [property: JsonPropertyName("name")] string Name,
        [property: JsonPropertyName("reads")] int Reads,
        [property: JsonPropertyName("gaps")] IReadOnlyList<string> Gaps,
        [property: JsonPropertyName("growth")] IReadOnlyList<StoredGrowth> Growth);

    private sealed record StoredGrowth(
        [property: JsonPropertyName("pod")] string Pod,
        [property: JsonPropertyName("metric")] string Metric,
        [property: JsonPropertyName("labels")] Dictionary<string, string> Labels,
        [property: JsonPropertyName("amount")] double Amount);
}
