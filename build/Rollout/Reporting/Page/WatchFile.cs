using System.Globalization;
using System.Text.Json;

namespace Rollout.Reporting.Page;

/// <summary>What one service did in one interval; what is not known is null.</summary>
internal sealed record WatchPoint(DateTimeOffset At, double? Requests, double? Errors, double? P50, double? P95, double? P99);

/// <summary>One metric of one service as it was judged.</summary>
/// <param name="Counts">False for what decides nothing.</param>
internal sealed record WatchMetric(
    string Service, string Metric, string Verdict, double? Observed, double? Baseline, double? Limit, string Reason, string Message, bool Counts, double? PValue, double? Effect, double? Intervals, string Query, string Raw);

/// <summary>A watch's verdict.</summary>
internal sealed record WatchVerdict(string Verdict, string Reason, string Message, string Compared, DateTimeOffset? FirstBad, DateTimeOffset? Decided, IReadOnlyList<WatchMetric> Metrics);

/// <summary>
/// A <c>watch-samples.json</c> as far as it can be read: the page shows what is there and names what is not, so nothing in the file is required.
/// </summary>
/// <param name="Path">In the folder of evidence.</param>
internal sealed record WatchFile(string Path)
{
    public const string Name = "watch-samples.json";

    // The largest watch that the suite itself would keep is a tenth of this.
    private const long Largest = 200_000_000;

    public string Step => Path.Split('/')[0];

    public string Slot { get; init; } = string.Empty;

    public string Role { get; init; } = string.Empty;

    public string Source { get; init; } = string.Empty;

    public double? IntervalSeconds { get; init; }

    public DateTimeOffset? From { get; init; }

    public DateTimeOffset? To { get; init; }

    public IReadOnlyDictionary<string, IReadOnlyList<WatchPoint>> Services { get; init; } = new Dictionary<string, IReadOnlyList<WatchPoint>>();

    /// <summary>What the watch itself says is doubtful.</summary>
    public IReadOnlyList<string> Problems { get; init; } = [];

    public WatchVerdict? Verdict { get; init; }

    /// <summary>Why the file, or a part of it, could not be read; null where all of it could.</summary>
    public string? Broken { get; init; }

    public bool IsBaseline => Role == "live";

    public int Points => Services.Values.Sum(s => s.Count);

    /// <summary>Reads a file; whatever is in it, the answer is a watch.</summary>
    /// <param name="full">Where it lies.</param>
    public static WatchFile Read(string full, string path)
    {
        var nothing = new WatchFile(path);
        try
        {
            using var stream = File.OpenRead(full);
            if (stream.Length > Largest)
            {
                return nothing with { Broken = $"it has {stream.Length / 1_000_000} MB, more than is drawn" };
            }

            using var document = JsonDocument.Parse(stream);
            return document.RootElement.ValueKind == JsonValueKind.Object ? FromRoot(document.RootElement, nothing) : nothing with { Broken = $"it is a JSON {document.RootElement.ValueKind}, not an object" };
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException or IOException or UnauthorizedAccessException)
        {
            return nothing with { Broken = SizeOf(full) is 0 ? "it is empty" : $"it cannot be read: {exception.Message.TrimEnd('.')}" };
        }

        static long SizeOf(string file) => new FileInfo(file) is { Exists: true } info ? info.Length : -1;
    }

    private static WatchFile FromRoot(JsonElement root, WatchFile file)
    {
        var strange = 0;
        var services = new Dictionary<string, IReadOnlyList<WatchPoint>>(StringComparer.Ordinal);
        foreach (var service in Members(root, "services"))
        {
            var points = new List<WatchPoint>();
            foreach (var point in Items(service.Value))
            {
                if (Moment(point, "at") is { } at)
                {
                    points.Add(new WatchPoint(at, Number(point, "requests"), Number(point, "errors"), Number(point, "p50"), Number(point, "p95"), Number(point, "p99")));
                }
                else
                {
                    strange++;
                }
            }

            services[service.Name] = [.. points.OrderBy(p => p.At)];
        }

        var all = services.Values.SelectMany(s => s).Select(p => p.At).ToList();
        return file with
        {
            Slot = Text(root, "slot"),
            Role = Text(root, "role"),
            Source = Text(root, "source"),
            IntervalSeconds = Number(root, "intervalSeconds"),
            From = Moment(root, "from") ?? (all.Count > 0 ? all.Min() : null),
            To = Moment(root, "to") ?? (all.Count > 0 ? all.Max() : null),
            Services = services,
            Problems = [.. Texts(root, "problems"), .. new[] { Text(root, "incomplete"), Text(root, "stalled") }.Where(t => t.Length > 0)],
            Verdict = Member(root, "verdict") is { ValueKind: JsonValueKind.Object } verdict ? VerdictOf(verdict) : null,
            Broken = Member(root, "services") is not { ValueKind: JsonValueKind.Object } ? "it has no services"
                : strange > 0 ? $"{strange} of its samples have no time and are not drawn"
                : null,
        };
    }

    private static WatchVerdict VerdictOf(JsonElement verdict) => new(
        Text(verdict, "verdict"),
        Text(verdict, "reason"),
        Text(verdict, "message"),
        Text(verdict, "compared"),
        Moment(verdict, "firstBad"),
        Moment(verdict, "decided"),
        [
            .. Items(Member(verdict, "metrics")).Where(m => m.ValueKind == JsonValueKind.Object).Select(m => new WatchMetric(
                Text(m, "service"),
                Text(m, "metric"),
                Text(m, "verdict"),
                Number(m, "observed"),
                Number(m, "baseline"),
                Number(m, "limit"),
                Text(m, "reason"),
                Text(m, "message"),
                Member(m, "critical") is not { ValueKind: JsonValueKind.False },
                Number(m, "pValue"),
                Number(m, "effect"),
                Number(m, "intervals"),
                Text(m, "query"),
                Text(m, "raw"))),
        ]);

    private static JsonElement? Member(JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out var member) ? member : null;

    private static JsonElement.ObjectEnumerator Members(JsonElement element, string name) =>
        Member(element, name) is { ValueKind: JsonValueKind.Object } members ? members.EnumerateObject() : default;

    private static JsonElement.ArrayEnumerator Items(JsonElement? element) => element is { ValueKind: JsonValueKind.Array } items ? items.EnumerateArray() : default;

    private static string Text(JsonElement element, string name) => Member(element, name) switch
    {
        { ValueKind: JsonValueKind.String } text => text.GetString()!,
        null or { ValueKind: JsonValueKind.Null or JsonValueKind.Undefined } => string.Empty,
        { } other => other.GetRawText(),
    };

    private static IEnumerable<string> Texts(JsonElement element, string name) =>
        Items(Member(element, name)).Select(i => i.ValueKind == JsonValueKind.String ? i.GetString()! : i.GetRawText());

    private static double? Number(JsonElement element, string name) => Member(element, name) switch
    {
        { ValueKind: JsonValueKind.Number } number when number.TryGetDouble(out var value) && double.IsFinite(value) => value,
        { ValueKind: JsonValueKind.String } text when double.TryParse(text.GetString(), NumberStyles.Float, CultureInfo.InvariantCulture, out var value) && double.IsFinite(value) => value,
        _ => null,
    };

    private static DateTimeOffset? Moment(JsonElement element, string name) =>
        Member(element, name) is { ValueKind: JsonValueKind.String } text && text.TryGetDateTimeOffset(out var at) ? at : null;
}
