using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rollout.Monitoring;

/// <summary>What looking for a trace came to.</summary>
public enum TraceState
{
    /// <summary>The trace is there.</summary>
    Found,

    /// <summary>The store answers and does not have it: tracing is off, whatever variables are set.</summary>
    Off,

    /// <summary>No store answered as one does: nothing is known, neither good nor bad.</summary>
    Unknown,
}

/// <summary>Which query API a store of traces has.</summary>
public enum TraceStoreKind
{
    /// <summary>Grafana Tempo: TraceQL.</summary>
    Tempo,

    /// <summary>The JSON API of Jaeger's user interface, which other stores speak too.</summary>
    Jaeger,
}

/// <summary>One lookup.</summary>
/// <param name="TraceId">Hexadecimal; null where none was found.</param>
/// <param name="Trace">The trace as the store gave it; null where none was found, or its spans were not to be had in time.</param>
/// <param name="Message">A sentence for people.</param>
public sealed record TraceLookup(TraceState State, string? TraceId, string? Trace, string Message);

/// <summary>One trace that is worth a look.</summary>
/// <param name="Service">The service that was asked for: the one that failed or was slow.</param>
/// <param name="Why"><c>failing</c> or <c>slow</c>.</param>
/// <param name="Trace">The whole trace; null where the store no longer had it or it is too large.</param>
public sealed record TraceSummary(
    string TraceId, string Service, string Name, DateTimeOffset Start, TimeSpan Duration, string Why, string? Trace)
{
    /// <summary>Whether the store says that it gave a part only.</summary>
    public bool IsPartial { get; init; }
}

/// <summary>What there was to keep.</summary>
/// <param name="State"><see cref="TraceState.Unknown"/> where no store answered: then an empty list means nothing.</param>
public sealed record TraceHarvest(TraceState State, IReadOnlyList<TraceSummary> Traces, string Message)
{
    /// <summary>For evidence; what services wrote into their spans is in it as they wrote it.</summary>
    public JsonObject ToJson() => new()
    {
        ["message"] = Message,
        ["traces"] = new JsonArray([.. Traces.Select(t => new JsonObject
        {
            ["traceId"] = t.TraceId,
            ["service"] = t.Service,
            ["name"] = t.Name,
            ["why"] = t.Why,
            ["start"] = t.Start.ToString("O"),
            ["ms"] = t.Duration.TotalMilliseconds,
            ["partial"] = t.IsPartial,
            ["trace"] = t.Trace is null ? null : JsonNode.Parse(t.Trace),
        })]),
    };
}

/// <summary>
/// A store of traces, read. Traces arrive late (Tempo flushes about every half minute) and leave after 48 hours, so lookups are retried and a
/// rollback keeps what it wants to read later. A page of a proxy in front, an error and silence are told from "there is none".
/// </summary>
public sealed class TraceStore : IDisposable
{
    private const int PerService = 5;
    private const int Services = 60;
    private const int Parallel = 8;
    private const int Whole = 60;
    private const long LargestHarvest = 16 * 1024 * 1024;

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(500);

    private readonly TimeProvider _time;
    private readonly TraceHttp _http;
    private readonly ITraceApi _api;

    /// <param name="api">The store's address, without <c>/api</c>.</param>
    /// <param name="tenant">Sent as <c>X-Scope-OrgID</c>; null where the store has one tenant.</param>
    /// <param name="callLimit">How long one call may take; null: ten seconds.</param>
    public TraceStore(Uri api, TimeProvider time, TraceStoreKind kind = TraceStoreKind.Tempo, string? tenant = null, TimeSpan? callLimit = null)
    {
        _time = time;
        _http = new TraceHttp(api, tenant, callLimit ?? TimeSpan.FromSeconds(10));
        _api = kind == TraceStoreKind.Jaeger ? new JaegerApi(_http) : new TempoApi(_http);
    }

    /// <summary>What is slow whoever it is: the platform's widest objective for one request (docs/slo.md, OMS p95).</summary>
    public static TimeSpan Slow { get; } = TimeSpan.FromMilliseconds(500);

    /// <summary>Finds the trace of a request that carried this <c>x-request-id</c>, waiting for it to arrive.</summary>
    /// <param name="service">The service that was asked; Jaeger looks in one service's traces only.</param>
    /// <param name="timeout">How long to look; at least one look is made.</param>
    public async Task<TraceLookup> FindByRequestIdAsync(string requestId, string service, TimeSpan timeout, CancellationToken cancellationToken)
    {
        var start = _time.GetTimestamp();
        while (true)
        {
            var now = _time.GetUtcNow();
            var found = await _api.SearchAsync(
                new TraceQuery(service, RequestId: requestId), now - TimeSpan.FromHours(1), now + TimeSpan.FromMinutes(1), 1, cancellationToken);
            string? problem = found.Problem, trace = null;
            var partial = false;
            if (found.Traces.Count > 0)
            {
                // Found by search is not yet readable: 404 until the store has flushed it.
                (trace, partial, problem) = found.Traces[0].Trace is { } whole
                    ? (whole, false, null)
                    : await _api.ReadAsync(found.Traces[0].TraceId, cancellationToken);
                if (trace is not null && !partial)
                {
                    return new TraceLookup(
                        TraceState.Found, found.Traces[0].TraceId, trace, $"request '{requestId}' is traced as {found.Traces[0].TraceId}");
                }
            }

            if (_time.GetElapsedTime(start) >= timeout)
            {
                var within = $"within {timeout.TotalSeconds:0.#} s";
                return found.Traces.Count > 0
                    ? new TraceLookup(
                        TraceState.Found,
                        found.Traces[0].TraceId,
                        trace,
                        $"request '{requestId}' is traced as {found.Traces[0].TraceId}, {(partial ? "of which the store gave a part only" : $"whose spans were not to be read {within}{(problem is null ? "" : $": {problem}")}")}")
                    : problem is not null
                        ? new TraceLookup(TraceState.Unknown, null, null, $"whether request '{requestId}' is traced is not known: {problem}")
                        : new TraceLookup(TraceState.Off, null, null, $"request '{requestId}' left no trace {within}: tracing is off");
            }

            await Waiting.PauseAsync(Pause, _time, cancellationToken);
        }
    }

    /// <summary>
    /// The traces of a window that failed (an error status, or a 5xx answer) or took longer than <see cref="Slow"/>: at most five of each kind for each service,
    /// the slowest first, each once and the first sixty whole.
    /// </summary>
    /// <param name="services">Whom to ask for where the store does not list its services.</param>
    public async Task<TraceHarvest> HarvestAsync(IReadOnlyList<string> services, DateTimeOffset from, DateTimeOffset to, CancellationToken cancellationToken)
    {
        var (listed, problem) = await _api.ServicesAsync(from, to, cancellationToken);
        if (problem is not null)
        {
            return new TraceHarvest(TraceState.Unknown, [], $"which traces there are is not known: {problem}");
        }

        // Rollouts' own traces are long by nature.
        var asked = (listed.Count > 0 ? listed : services).Where(s => s != RolloutTrace.ServiceName).Distinct().Order(StringComparer.Ordinal).ToList();
        var found = new List<(TraceSummary Trace, int Rank)>[Math.Min(asked.Count, Services)];
        var problems = new string?[found.Length];
        await System.Threading.Tasks.Parallel.ForAsync(
            0,
            found.Length,
            new ParallelOptions { MaxDegreeOfParallelism = Parallel, CancellationToken = cancellationToken },
            async (index, token) =>
            {
                var failing = await _api.SearchAsync(new TraceQuery(asked[index], Failing: true), from, to, PerService * 4, token);
                var slow = await _api.SearchAsync(new TraceQuery(asked[index], LongerThan: Slow), from, to, PerService * 4, token);
                problems[index] = failing.Problem ?? slow.Problem;
                found[index] =
                [
                    .. Best(failing.Traces, "failing", asked[index]),
                    .. Best(slow.Traces, "slow", asked[index]),
                ];
            });

        var kept = new List<TraceSummary>();
        long bytes = 0;
        var unread = 0;
        foreach (var (trace, _) in found.SelectMany(f => f).OrderBy(f => f.Trace.Why, StringComparer.Ordinal).ThenBy(f => f.Rank))
        {
            if (kept.Any(k => k.TraceId == trace.TraceId))
            {
                continue;
            }

            var whole = trace;
            if (bytes < LargestHarvest && kept.Count < Whole && trace.Trace is null)
            {
                var (text, partial, _) = await _api.ReadAsync(trace.TraceId, cancellationToken);
                whole = trace with { Trace = text, IsPartial = partial };
            }

            whole = bytes + (whole.Trace?.Length ?? 0) > LargestHarvest ? whole with { Trace = null } : whole;
            bytes += whole.Trace?.Length ?? 0;
            unread += whole.Trace is null ? 1 : 0;
            kept.Add(whole);
        }

        var silent = problems.FirstOrDefault(p => p is not null);
        var message = $"{kept.Count(k => k.Why == "failing")} failing and {kept.Count(k => k.Why == "slow")} slow traces of {found.Length} services between {from:u} and {to:u}"
            + (asked.Count > found.Length ? $"; {asked.Count - found.Length} services were left out" : "")
            + (unread > 0 ? $"; {unread} without their spans" : "")
            + (kept.Any(k => k.IsPartial) ? $"; {kept.Count(k => k.IsPartial)} in part" : "")
            + (silent is null ? "" : $"; {problems.Count(p => p is not null)} services could not be asked: {silent}");
        return new TraceHarvest(
            kept.Count > 0 ? TraceState.Found : silent is not null ? TraceState.Unknown : TraceState.Off, kept, message);
    }

    public void Dispose() => _http.Dispose();

    private static IEnumerable<(TraceSummary Trace, int Rank)> Best(IReadOnlyList<TraceSummary> traces, string why, string service) => traces
        .OrderByDescending(t => t.Duration).Take(PerService).Select((t, rank) => (t with { Why = why, Service = service }, rank));
}

/// <summary>What traces to look for in one service; one of the three is given.</summary>
internal sealed record TraceQuery(string Service, string? RequestId = null, bool Failing = false, TimeSpan? LongerThan = null);

/// <summary>What a search gave.</summary>
/// <param name="Problem">Why it says nothing; null where it is an answer.</param>
internal sealed record TraceSearch(IReadOnlyList<TraceSummary> Traces, string? Problem);

/// <summary>One kind of store.</summary>
internal interface ITraceApi
{
    Task<TraceSearch> SearchAsync(TraceQuery query, DateTimeOffset from, DateTimeOffset to, int limit, CancellationToken cancellationToken);

    /// <summary>One whole trace. Without a problem and without a trace there is none, or not yet.</summary>
    Task<(string? Trace, bool IsPartial, string? Problem)> ReadAsync(string traceId, CancellationToken cancellationToken);

    /// <summary>The services that sent spans; none where the store does not list them.</summary>
    Task<(IReadOnlyList<string> Services, string? Problem)> ServicesAsync(DateTimeOffset from, DateTimeOffset to, CancellationToken cancellationToken);
}

/// <summary>A store's answers, bounded in time and size; what is no answer of a store is a problem in words.</summary>
internal sealed class TraceHttp : IDisposable
{
    private const int Largest = 4 * 1024 * 1024;

    private readonly Uri _api;
    private readonly HttpClient _http;

    public TraceHttp(Uri api, string? tenant, TimeSpan limit)
    {
        _api = new Uri(api.AbsoluteUri.TrimEnd('/') + "/");
        _http = new HttpClient { Timeout = limit, MaxResponseContentBufferSize = Largest };
        _http.DefaultRequestHeaders.Accept.ParseAdd("application/json");
        if (tenant is not null)
        {
            _http.DefaultRequestHeaders.Add("X-Scope-OrgID", tenant);
        }
    }

    /// <summary>GET; 404 is no problem and no body.</summary>
    public async Task<(JsonElement? Json, string? Text, string? Problem)> GetAsync(string path, CancellationToken cancellationToken)
    {
        try
        {
            using var response = await _http.GetAsync(new Uri(_api, path), cancellationToken);
            var text = await response.Content.ReadAsStringAsync(cancellationToken);
            if (text.AsSpan().TrimStart().StartsWith("<"))
            {
                return (null, null, $"{Name} answers HTTP {(int)response.StatusCode} with a page that is no store's");
            }

            if (response.StatusCode == System.Net.HttpStatusCode.NotFound)
            {
                return (null, null, null);
            }

            if (!response.IsSuccessStatusCode)
            {
                return (null, null, $"{Name} answers HTTP {(int)response.StatusCode}");
            }

            using var document = JsonDocument.Parse(text);
            return document.RootElement.ValueKind == JsonValueKind.Object
                ? (document.RootElement.Clone(), text, null)
                : (null, null, $"{Name} answers JSON that is no object");
        }
        catch (JsonException)
        {
            return (null, null, $"{Name} answers something that is no JSON");
        }
        catch (HttpRequestException exception)
        {
            return (null, null, $"{Name} does not answer: {exception.InnerException?.Message ?? exception.Message}");
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return (null, null, $"{Name} does not answer within {_http.Timeout.TotalSeconds:0.#} s");
        }
    }

    public void Dispose() => _http.Dispose();

    public static string Text(JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out var value)
            ? value.ValueKind == JsonValueKind.String ? value.GetString()! : value.GetRawText()
            : string.Empty;

    public static IEnumerable<JsonElement> Items(JsonElement? element, string name) =>
        element is { ValueKind: JsonValueKind.Object } map && map.TryGetProperty(name, out var list) && list.ValueKind == JsonValueKind.Array
            ? list.EnumerateArray()
            : [];

    private string Name => $"the trace store at {_api.Host}:{_api.Port}";
}

/// <summary>Grafana Tempo (grafana/tempo, api_docs): times in seconds, and without a window only what is recent is searched.</summary>
internal sealed class TempoApi(TraceHttp http) : ITraceApi
{
    public async Task<TraceSearch> SearchAsync(TraceQuery query, DateTimeOffset from, DateTimeOffset to, int limit, CancellationToken cancellationToken)
    {
        // The span attribute is the platform's own name, found whichever service answered.
        var ql = query.RequestId is { } id ? $"{{ span.request.id = {Quote(id)} }}"
            : query.Failing ? $"{{ resource.service.name = {Quote(query.Service)} && (status = error || span.http.status_code >= 500) }}"
            : $"{{ resource.service.name = {Quote(query.Service)} && duration > {query.LongerThan!.Value.TotalMilliseconds:0}ms }}";
        var path = $"api/search?q={Uri.EscapeDataString(ql)}&limit={limit}&{Window(from, to)}";
        var (json, _, problem) = await http.GetAsync(path, cancellationToken);
        return json is null
            ? new TraceSearch([], problem ?? "the trace store has no /api/search: is it Tempo?")
            : new TraceSearch([.. TraceHttp.Items(json, "traces").Select(Summary).Where(t => t.TraceId.Length > 0)], null);
    }

    public async Task<(string? Trace, bool IsPartial, string? Problem)> ReadAsync(string traceId, CancellationToken cancellationToken)
    {
        var id = Uri.EscapeDataString(traceId);
        var (json, text, problem) = await http.GetAsync($"api/v2/traces/{id}", cancellationToken);
        if (json is not null)
        {
            return (text, string.Equals(TraceHttp.Text(json.Value, "status"), "PARTIAL", StringComparison.OrdinalIgnoreCase), null);
        }

        // Older versions have the first form only, and answer 404 to the second.
        return problem is null ? await FirstFormAsync() : (null, false, problem);

        async Task<(string? Trace, bool IsPartial, string? Problem)> FirstFormAsync()
        {
            var (_, first, why) = await http.GetAsync($"api/traces/{id}", cancellationToken);
            return (first, false, why);
        }
    }

    public async Task<(IReadOnlyList<string> Services, string? Problem)> ServicesAsync(DateTimeOffset from, DateTimeOffset to, CancellationToken cancellationToken)
    {
        var (json, _, problem) = await http.GetAsync($"api/v2/search/tag/resource.service.name/values?{Window(from, to)}", cancellationToken);
        return ([.. TraceHttp.Items(json, "tagValues").Select(v => TraceHttp.Text(v, "value")).Where(v => v.Length > 0)], problem);
    }

    private static string Window(DateTimeOffset from, DateTimeOffset to) => $"start={from.ToUnixTimeSeconds()}&end={to.ToUnixTimeSeconds() + 1}";

    private static string Quote(string text) =>
        "\"" + text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal) + "\"";

    private static TraceSummary Summary(JsonElement trace) => new(
        TraceHttp.Text(trace, "traceID"),
        TraceHttp.Text(trace, "rootServiceName"),
        TraceHttp.Text(trace, "rootTraceName"),
        DateTimeOffset.UnixEpoch.AddTicks(
            long.TryParse(TraceHttp.Text(trace, "startTimeUnixNano"), CultureInfo.InvariantCulture, out var nanoseconds) ? nanoseconds / 100 : 0),
        TimeSpan.FromMilliseconds(double.TryParse(TraceHttp.Text(trace, "durationMs"), CultureInfo.InvariantCulture, out var milliseconds) ? milliseconds : 0),
        string.Empty,
        null);
}

/// <summary>Jaeger's first JSON API (jaegertracing/jaeger, port 16686): times in microseconds, a service is required, an answer holds whole traces.</summary>
internal sealed class JaegerApi(TraceHttp http) : ITraceApi
{
    public async Task<TraceSearch> SearchAsync(TraceQuery query, DateTimeOffset from, DateTimeOffset to, int limit, CancellationToken cancellationToken)
    {
        // Tags are compared as text and one by one, so the kinds of failure are asked for one after the other.
        string[] tags = query.RequestId is { } id ? [Tag("request.id", id)] : query.Failing ? [Tag("error", "true"), Tag("http.status_code", "500"), Tag("http.status_code", "503")] : [string.Empty];
        var longer = query.LongerThan is { } least ? $"&minDuration={least.TotalMilliseconds:0}ms" : string.Empty;
        var found = new List<TraceSummary>();
        foreach (var tag in tags)
        {
            var path = $"api/traces?service={Uri.EscapeDataString(query.Service)}&start={Microseconds(from)}&end={Microseconds(to)}&limit={limit}{longer}{tag}";
            var (json, _, problem) = await http.GetAsync(path, cancellationToken);
            if (json is null)
            {
                // An unknown service is 404 in some stores that speak this API.
                return new TraceSearch([], problem);
            }

            found.AddRange(TraceHttp.Items(json, "data").Select(Summary).Where(t => t.TraceId.Length > 0 && found.All(f => f.TraceId != t.TraceId)));
        }

        return new TraceSearch(found, null);
    }

    public async Task<(string? Trace, bool IsPartial, string? Problem)> ReadAsync(string traceId, CancellationToken cancellationToken)
    {
        var (_, text, problem) = await http.GetAsync($"api/traces/{Uri.EscapeDataString(traceId)}", cancellationToken);
        return (text, false, problem);
    }

    public async Task<(IReadOnlyList<string> Services, string? Problem)> ServicesAsync(DateTimeOffset from, DateTimeOffset to, CancellationToken cancellationToken)
    {
        var (json, _, problem) = await http.GetAsync("api/services", cancellationToken);
        return ([.. TraceHttp.Items(json, "data").Where(v => v.ValueKind == JsonValueKind.String).Select(v => v.GetString()!)], problem);
    }

    private static string Tag(string name, string value) =>
        "&tags=" + Uri.EscapeDataString(JsonSerializer.Serialize(new Dictionary<string, string> { [name] = value }));

    private static long Microseconds(DateTimeOffset at) => (at - DateTimeOffset.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond;

    private static TraceSummary Summary(JsonElement trace)
    {
        var spans = TraceHttp.Items(trace, "spans").ToList();
        var start = spans.Count == 0 ? 0 : spans.Min(s => Number(s, "startTime"));
        var end = spans.Count == 0 ? 0 : spans.Max(s => Number(s, "startTime") + Number(s, "duration"));
        var root = spans.MinBy(s => Number(s, "startTime"));
        return new TraceSummary(
            TraceHttp.Text(trace, "traceID"),
            string.Empty,
            TraceHttp.Text(root, "operationName"),
            DateTimeOffset.UnixEpoch.AddMicroseconds(start),
            TimeSpan.FromMicroseconds(end - start),
            string.Empty,
            trace.GetRawText());
    }

    private static long Number(JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out var number) ? number : 0;
}
