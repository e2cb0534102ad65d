using System.Globalization;
using System.IO.Compression;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Rollout.Monitoring;

/// <summary>What one service did in one interval of a watch. What is not known is null, never 0.</summary>
/// <param name="At">The interval's end.</param>
/// <param name="Requests">How many requests were answered in it.</param>
/// <param name="Errors">How many of them with status 5xx.</param>
/// <param name="P50">Seconds; null where the interval has no usable histogram.</param>
/// <param name="Orders">How many trades were submitted in it; null for services that submit none.</param>
/// <param name="Buckets">How many requests fell into each bucket alone, by its upper bound in seconds; null where there is no histogram.</param>
public sealed record IntervalSample(
    [property: JsonPropertyName("at")] DateTimeOffset At,
    [property: JsonPropertyName("requests")] double? Requests,
    [property: JsonPropertyName("errors")] double? Errors,
    [property: JsonPropertyName("p50")] double? P50 = null,
    [property: JsonPropertyName("p95")] double? P95 = null,
    [property: JsonPropertyName("p99")] double? P99 = null,
    [property: JsonPropertyName("orders")] double? Orders = null,
    [property: JsonPropertyName("buckets")] IReadOnlyDictionary<string, double>? Buckets = null)
{
    /// <summary>The interval's histogram, cumulative; empty where there is none.</summary>
    [JsonIgnore]
    public HistogramIncrease Histogram => HistogramIncrease.Of(Buckets is null ? [] : [Buckets]);

    /// <summary>An interval from what its counters grew by.</summary>
    internal static IntervalSample From(DateTimeOffset at, double? requests, double? errors, double? orders, IReadOnlyDictionary<string, double>? buckets)
    {
        var histogram = HistogramIncrease.Of(buckets is null ? [] : [buckets]);
        return new IntervalSample(at, requests, errors, Known(0.5), Known(0.95), Known(0.99), orders, buckets);

        double? Known(double quantile) => histogram.Quantile(quantile) is var value && double.IsFinite(value) ? Math.Round(value, 6) : null;
    }
}

/// <summary>A service that is less healthy than live's.</summary>
/// <param name="Looks">In so many looks in a row.</param>
/// <param name="Why">A sentence.</param>
public sealed record UnhealthyService([property: JsonPropertyName("looks")] int Looks, [property: JsonPropertyName("why")] string Why);

/// <summary>
/// A watch as per-interval numbers: what a scrape of the pods and a Prometheus server both come to, what the judge sees, and what is kept as
/// <c>watch-samples.json</c>. Reading it survives missing fields, null and unknown ones.
/// </summary>
public sealed record WatchSamples
{
    private static readonly JsonSerializerOptions Options = new()
    {
        DefaultIgnoreCondition = JsonIgnoreCondition.Never,
        NumberHandling = JsonNumberHandling.AllowReadingFromString,
    };

    [JsonPropertyName("version")]
    public int Version { get; init; } = 1;

    [JsonPropertyName("slot")]
    public string Slot { get; init; } = string.Empty;

    /// <summary><c>live</c> or <c>candidate</c>.</summary>
    [JsonPropertyName("role")]
    public string Role { get; init; } = string.Empty;

    /// <summary><c>scrape</c> or <c>prometheus</c>.</summary>
    [JsonPropertyName("source")]
    public string Source { get; init; } = "scrape";

    [JsonPropertyName("from")]
    public DateTimeOffset? From { get; init; }

    [JsonPropertyName("to")]
    public DateTimeOffset? To { get; init; }

    [JsonPropertyName("intervalSeconds")]
    public double IntervalSeconds { get; init; }

    /// <summary>How many times the source was read; the first reading makes no interval.</summary>
    [JsonPropertyName("readings")]
    public int Readings { get; init; }

    /// <summary>Intervals by service, oldest first.</summary>
    [JsonPropertyName("services")]
    public IReadOnlyDictionary<string, IReadOnlyList<IntervalSample>> Services { get; init; } = new Dictionary<string, IReadOnlyList<IntervalSample>>();

    /// <summary>Pods of a service that ran and could not be read, one entry each time.</summary>
    [JsonPropertyName("gaps")]
    public IReadOnlyDictionary<string, IReadOnlyList<string>> Gaps { get; init; } = new Dictionary<string, IReadOnlyList<string>>();

    /// <summary>How often a pod of a service was read.</summary>
    [JsonPropertyName("reads")]
    public IReadOnlyDictionary<string, int> Reads { get; init; } = new Dictionary<string, int>();

    /// <summary>What makes the numbers doubtful: values that no counter has, a server's warnings, readings that failed.</summary>
    [JsonPropertyName("problems")]
    public IReadOnlyList<string> Problems { get; init; } = [];

    /// <summary>Why the watch ended before it had seen what it waited for; null where it did not.</summary>
    [JsonPropertyName("incomplete")]
    public string? Incomplete { get; init; }

    /// <summary>Why the scaling controller, which was read all the while, is known to stand still; null where it is not.</summary>
    [JsonPropertyName("stalled")]
    public string? Stalled { get; init; }

    /// <summary>The services that were less healthy than live's in the newest look.</summary>
    [JsonPropertyName("unhealthy")]
    public IReadOnlyDictionary<string, UnhealthyService> Unhealthy { get; init; } = new Dictionary<string, UnhealthyService>();

    /// <summary>What was asked, by metric; for whoever looks into a verdict.</summary>
    [JsonPropertyName("queries")]
    public IReadOnlyDictionary<string, string> Queries { get; init; } = new Dictionary<string, string>();

    /// <summary>What was concluded; null in a baseline.</summary>
    [JsonPropertyName("verdict")]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public Judgement? Verdict { get; init; }

    /// <summary>The intervals of a service; none where it is unknown.</summary>
    public IReadOnlyList<IntervalSample> Of(string service) => Services.TryGetValue(service, out var found) ? found : [];

    /// <summary>The file's text.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, Options);

    /// <summary>Reads a file's text.</summary>
    /// <exception cref="RolloutException">Exit code 2: it is no such file.</exception>
    public static WatchSamples FromJson(string text, string where)
    {
        try
        {
            var read = JsonSerializer.Deserialize<WatchSamples>(text, Options) ?? throw new JsonException("It is null.");
            return read.Version is 1
                ? read.WithoutHoles()
                : throw new JsonException($"It has version {read.Version}; this program knows 1.");
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException or NotSupportedException)
        {
            throw new RolloutException(
                $"{where} is no watch-samples.json: {exception.Message}", "A whole file of a step's evidence is wanted, as 3.1 and 3.3 keep it.", ExitCode.BadSettings, exception);
        }
    }

    /// <summary>The watch as base64 of compressed JSON, for the journal: neighbouring intervals are joined until it is short enough.</summary>
    /// <param name="limit">The most characters it may have.</param>
    public string ToText(int limit = 40_000)
    {
        var samples = this with { Verdict = null };
        while (true)
        {
            using var bytes = new MemoryStream();
            using (var zip = new BrotliStream(bytes, CompressionLevel.Optimal))
            {
                zip.Write(Encoding.UTF8.GetBytes(samples.ToJson()));
            }

            var text = Convert.ToBase64String(bytes.ToArray());
            if (text.Length <= limit || samples.Services.Values.All(s => s.Count <= 4))
            {
                return text;
            }

            samples = samples with
            {
                IntervalSeconds = samples.IntervalSeconds * 2,
                Services = samples.Services.ToDictionary(s => s.Key, s => (IReadOnlyList<IntervalSample>)[.. s.Value.Chunk(2).Select(Join)]),
            };
        }
    }

    /// <summary>Reads what <see cref="ToText"/> made.</summary>
    /// <exception cref="RolloutException">Exit code 4: the text is no watch.</exception>
    public static WatchSamples FromText(string text)
    {
        try
        {
            using var zip = new BrotliStream(new MemoryStream(Convert.FromBase64String(text)), CompressionMode.Decompress);
            using var reader = new StreamReader(zip, Encoding.UTF8);
            return FromJson(reader.ReadToEnd(), "the stored baseline");
        }
        catch (Exception exception) when (exception is FormatException or InvalidDataException or InvalidOperationException or RolloutException)
        {
            throw new RolloutException(
                $"The stored baseline cannot be read: {exception.Message}",
                "It is in the journal, in the entry of 3.1's baseline; a rollout that an older version of the suite began is finished with that version.",
                ExitCode.Held,
                exception);
        }
    }

    /// <summary>Several intervals as one.</summary>
    internal static IntervalSample Join(IReadOnlyList<IntervalSample> parts)
    {
        var buckets = parts.Where(p => p.Buckets is not null).SelectMany(p => p.Buckets!).GroupBy(b => b.Key).ToDictionary(b => b.Key, b => b.Sum(v => v.Value));
        var joined = IntervalSample.From(
            parts[^1].At, Sum(p => p.Requests), Sum(p => p.Errors), Sum(p => p.Orders), parts.Any(p => p.Buckets is not null) ? buckets : null);
        return joined.Buckets is not null ? joined : joined with { P50 = Median(p => p.P50), P95 = Median(p => p.P95), P99 = Median(p => p.P99) };

        double? Sum(Func<IntervalSample, double?> of) => parts.Any(p => of(p) is not null) ? parts.Sum(p => of(p) ?? 0) : null;

        double? Median(Func<IntervalSample, double?> of) =>
            parts.Select(of).OfType<double>().Order().ToList() is { Count: > 0 } known ? known[known.Count / 2] : null;
    }

    // A file written by somebody else may say null where a list belongs.
    private WatchSamples WithoutHoles() => this with
    {
        Services = (Services ?? new Dictionary<string, IReadOnlyList<IntervalSample>>())
            .ToDictionary(s => s.Key, s => (IReadOnlyList<IntervalSample>)[.. (s.Value ?? []).Where(i => i is not null)]),
        Gaps = Gaps ?? new Dictionary<string, IReadOnlyList<string>>(),
        Reads = Reads ?? new Dictionary<string, int>(),
        Problems = Problems ?? [],
        Queries = Queries ?? new Dictionary<string, string>(),
        Readings = Readings > 0 ? Readings : 1 + (Services?.Values.Select(s => s?.Count ?? 0).DefaultIfEmpty(-1).Max() ?? -1),
    };

    internal static string Bound(double bound) => double.IsPositiveInfinity(bound) ? "+Inf" : bound.ToString("R", CultureInfo.InvariantCulture);
}
