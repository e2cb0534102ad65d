using System.Globalization;
using System.Text.Json;

namespace Rollout.Monitoring;

/// <summary>
/// A slot's counters out of a Prometheus server: raw samples of the slot's namespace by range query, never <c>rate()</c> or
/// <c>increase()</c>, which extrapolate; growth is counted as for our own scrapes. Whatever is no clean answer (a warning behind Thanos or
/// Mimir, HTML of a proxy, 503, nothing at all) is told in words and is no data.
/// </summary>
/// <param name="server">Its base address is the server's; no time-out of its own.</param>
/// <param name="namespace">The slot's; the scrape configuration must keep it as the label <c>namespace</c>, and the pod as <c>pod</c>.</param>
/// <param name="interval">How far apart readings are to be; no closer than the server scrapes.</param>
/// <param name="workloads">The workload of a pod; null where the pod is unknown.</param>
public sealed class PrometheusSource(
    HttpClient server, string @namespace, TimeSpan interval, TimeProvider time, Func<string, string?>? workloads = null) : IMetricsSource
{
    /// <summary>As <c>watch-samples.json</c> names it.</summary>
    public const string SourceName = "prometheus";

    // Prometheus refuses more points per series (bad_data).
    private const int MostPoints = 11_000;

    private const string Metrics = "http_request_duration_seconds_bucket|http_request_duration_seconds_count|trades_submitted_total|scaling_evaluations_total";

    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);

    private DateTimeOffset? _next;
    private TimeSpan _step = interval;

    public string Name => SourceName;

    public bool CatchesUp => true;

    public IReadOnlyDictionary<string, string> Queries => new Dictionary<string, string>
    {
        ["requests"] = $"http_request_duration_seconds_count{{namespace=\"{@namespace}\"}} of {{service}}, every {_step.TotalSeconds:0.###} s",
        ["error ratio"] = $"http_request_duration_seconds_count{{namespace=\"{@namespace}\"}} of {{service}} by status_code, every {_step.TotalSeconds:0.###} s",
        ["p95"] = $"http_request_duration_seconds_bucket{{namespace=\"{@namespace}\"}} of {{service}}, every {_step.TotalSeconds:0.###} s",
        ["p99"] = $"http_request_duration_seconds_bucket{{namespace=\"{@namespace}\"}} of {{service}}, every {_step.TotalSeconds:0.###} s",
        ["orders"] = $"trades_submitted_total{{namespace=\"{@namespace}\"}} of {{service}}, every {_step.TotalSeconds:0.###} s",
    };

    private string Expression => $"{{__name__=~\"{Metrics}\",namespace=\"{@namespace}\"}}";

    /// <summary>Whether the server scrapes pods of the slot, by its targets. What it says while it does not answer is an exception.</summary>
    /// <exception cref="RolloutException">The server gave no clean answer.</exception>
    public async Task<bool> ScrapesAsync(CancellationToken cancellationToken)
    {
        using var answer = await AskAsync("api/v1/targets?state=active", cancellationToken);
        var found = false;
        if (answer.RootElement.GetProperty("data").TryGetProperty("activeTargets", out var targets) && targets.ValueKind == JsonValueKind.Array)
        {
            foreach (var target in targets.EnumerateArray().Where(IsOurs))
            {
                found = true;
                if (target.TryGetProperty("scrapeInterval", out var text) && Duration(text.GetString()) is { } every && every > _step)
                {
                    // More often than it is scraped, a counter only seems to stand still.
                    _step = every;
                }
            }
        }

        return found;
    }

    public async Task<IReadOnlyList<Reading>> ReadAsync(CancellationToken cancellationToken)
    {
        var now = time.GetUtcNow();
        if (_next is null)
        {
            if (!await ScrapesAsync(cancellationToken))
            {
                throw new RolloutException($"Prometheus scrapes no pod of namespace '{@namespace}'");
            }

            _next = now;
        }

        if (now < _next)
        {
            return [];
        }

        var points = Math.Min((int)((now - _next.Value) / _step), MostPoints - 1);
        var end = _next.Value + (points * _step);
        var up = await UpAsync(end, cancellationToken);
        var readings = await RangeAsync(_next.Value, end, up, cancellationToken);
        _next = end + _step;
        return readings;
    }

    // up tells a target that is down from a counter that does not grow: both answer the last value.
    private async Task<Dictionary<string, bool>> UpAsync(DateTimeOffset at, CancellationToken cancellationToken)
    {
        using var answer = await AskAsync($"api/v1/query?query={Uri.EscapeDataString($"up{{namespace=\"{@namespace}\"}}")}&time={Seconds(at)}", cancellationToken);
        var up = new Dictionary<string, bool>(StringComparer.Ordinal);
        foreach (var series in Result(answer, "vector"))
        {
            up[Label(series, "pod") ?? Label(series, "instance") ?? "?"] = Number(series.GetProperty("value")[1]) == 1;
        }

        if (up.Count == 0)
        {
            throw new RolloutException($"Prometheus has no up{{namespace=\"{@namespace}\"}}: it scrapes no pod of that namespace");
        }

        return up;
    }

    private async Task<IReadOnlyList<Reading>> RangeAsync(DateTimeOffset from, DateTimeOffset to, Dictionary<string, bool> up, CancellationToken cancellationToken)
    {
        using var answer = await AskAsync(
            $"api/v1/query_range?query={Uri.EscapeDataString(Expression)}&start={Seconds(from)}&end={Seconds(to)}&step={_step.TotalSeconds.ToString("0.###", CultureInfo.InvariantCulture)}",
            cancellationToken);
        var moments = new SortedDictionary<int, Dictionary<string, List<MetricSample>>>();
        var apps = new Dictionary<string, string>(StringComparer.Ordinal);
        for (var i = 0; from + (i * _step) <= to; i++)
        {
            moments[i] = new Dictionary<string, List<MetricSample>>(StringComparer.Ordinal);
        }

        foreach (var series in Result(answer, "matrix"))
        {
            var labels = series.GetProperty("metric").EnumerateObject().ToDictionary(l => l.Name, l => l.Value.GetString() ?? string.Empty);
            var pod = labels.GetValueOrDefault("pod") ?? labels.GetValueOrDefault("instance") ?? "?";
            apps[pod] = workloads?.Invoke(pod) ?? labels.GetValueOrDefault("app") ?? labels.GetValueOrDefault("service") ?? apps.GetValueOrDefault(pod, pod);
            var name = labels.GetValueOrDefault("__name__", string.Empty);
            var kept = labels.Where(l => l.Key is not ("__name__" or "namespace" or "pod" or "instance" or "job" or "app")).ToDictionary();
            foreach (var value in series.GetProperty("values").EnumerateArray())
            {
                var index = (int)Math.Round((DateTimeOffset.UnixEpoch.AddSeconds(value[0].GetDouble()) - from) / _step);
                if (moments.TryGetValue(index, out var moment))
                {
                    if (!moment.TryGetValue(pod, out var samples))
                    {
                        moment[pod] = samples = [];
                    }

                    samples.Add(new MetricSample(name, kept, Number(value[1])));
                }
            }
        }

        return
        [
            .. moments.Select(moment => new Reading(
                from + (moment.Key * _step),
                [
                    // A target that is down keeps its last values for five minutes: they are no reading.
                    .. moment.Value.Where(p => up.GetValueOrDefault(p.Key, true)).Select(p => new PodScrape(p.Key, apps[p.Key], p.Key, ScrapeOutcome.Read, string.Empty, string.Empty) { Samples = p.Value }),
                    .. up.Where(u => !u.Value).Select(u => new PodScrape(u.Key, Workload(u.Key, apps), u.Key, ScrapeOutcome.Unreadable, "Prometheus says up = 0", string.Empty)),
                ])),
        ];
    }

    private string Workload(string pod, Dictionary<string, string> apps) => workloads?.Invoke(pod) ?? apps.GetValueOrDefault(pod, pod);

    private bool IsOurs(JsonElement target) =>
        target.TryGetProperty("labels", out var labels) && labels.TryGetProperty("namespace", out var name) && name.ValueEquals(@namespace);

    private async Task<JsonDocument> AskAsync(string path, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        var answer = await ProxyAnswer.SendAsync(server, request, Timeout, time, cancellationToken);
        var body = answer.Body.Trim();
        if (answer.Code == 0)
        {
            throw new RolloutException($"Prometheus does not answer: {body}");
        }

        if (body.StartsWith('<'))
        {
            throw new RolloutException($"Something in front of Prometheus answers HTTP {answer.Code} with HTML");
        }

        JsonDocument document;
        try
        {
            document = JsonDocument.Parse(body);
        }
        catch (JsonException)
        {
            throw new RolloutException(
                body.Length == 0 ? $"Prometheus answers HTTP {answer.Code} and nothing" : $"Prometheus answers HTTP {answer.Code} with what is no JSON: {(body.Length > 100 ? body[..100] + "…" : body)}");
        }

        var root = document.RootElement;
        var problem = root.ValueKind != JsonValueKind.Object || !root.TryGetProperty("status", out var status) ? $"HTTP {answer.Code} without a status"
            : !status.ValueEquals("success") || answer.Code != 200 ? $"HTTP {answer.Code}: {Text(root, "errorType")} {Text(root, "error")}".Trim()
            : root.TryGetProperty("warnings", out var warnings) && warnings.ValueKind == JsonValueKind.Array && warnings.GetArrayLength() > 0
                ? $"a partial answer: {string.Join("; ", warnings.EnumerateArray().Take(3).Select(w => w.ToString()))}"
            : !root.TryGetProperty("data", out var data) || data.ValueKind != JsonValueKind.Object ? "no data"
            : null;
        if (problem is not null)
        {
            document.Dispose();
            throw new RolloutException($"Prometheus answers {problem}");
        }

        return document;
    }

    private static List<JsonElement> Result(JsonDocument answer, string type)
    {
        var data = answer.RootElement.GetProperty("data");
        return data.TryGetProperty("resultType", out var found) && found.ValueEquals(type) && data.TryGetProperty("result", out var result) && result.ValueKind == JsonValueKind.Array
            ? [.. result.EnumerateArray()]
            : throw new RolloutException($"Prometheus answers no {type}");
    }

    private static string? Label(JsonElement series, string name) =>
        series.TryGetProperty("metric", out var metric) && metric.TryGetProperty(name, out var label) ? label.GetString() : null;

    // Values are strings, NaN, +Inf and -Inf among them; what is no number is NaN, and the series names it as a problem.
    private static double Number(JsonElement value) => value.GetString() switch
    {
        "+Inf" => double.PositiveInfinity,
        "-Inf" => double.NegativeInfinity,
        var text => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) ? number : double.NaN,
    };

    private static string? Text(JsonElement root, string name) => root.TryGetProperty(name, out var text) && text.ValueKind == JsonValueKind.String ? text.GetString() : null;

    private static string Seconds(DateTimeOffset at) => (at.ToUnixTimeMilliseconds() / 1000.0).ToString("0.###", CultureInfo.InvariantCulture);

    // As 15s, 1m, 1m30s, 500ms.
    private static TimeSpan? Duration(string? text)
    {
        var (sum, number) = (TimeSpan.Zero, 0.0);
        for (var i = 0; i < text?.Length;)
        {
            var begin = i;
            while (i < text.Length && (char.IsDigit(text[i]) || text[i] == '.'))
            {
                i++;
            }

            if (!double.TryParse(text[begin..i], CultureInfo.InvariantCulture, out number))
            {
                return null;
            }

            begin = i;
            while (i < text.Length && char.IsLetter(text[i]))
            {
                i++;
            }

            switch (text[begin..i])
            {
                case "ms": sum += TimeSpan.FromMilliseconds(number); break;
                case "s": sum += TimeSpan.FromSeconds(number); break;
                case "m": sum += TimeSpan.FromMinutes(number); break;
                case "h": sum += TimeSpan.FromHours(number); break;
                default: return null;
            }
        }

        return sum > TimeSpan.Zero ? sum : null;
    }
}
