using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;

namespace Rollout.Monitoring;

/// <summary>What looking for a trace came to.</summary>
public enum TraceState
{
    /// <summary>The trace is there.</summary>
    Found,

    /// <summary>The store answers and does not have it.</summary>
    NotFound,

    /// <summary>There is no store that answers: nothing is known.</summary>
    Off,
}

/// <summary>One lookup.</summary>
/// <param name="TraceId">Hexadecimal; null where none was found.</param>
/// <param name="Trace">The trace as the store gave it; null where none was found.</param>
/// <param name="Message">A sentence for people.</param>
public sealed record TraceLookup(TraceState State, string? TraceId, string? Trace, string Message);

/// <summary>One trace that is worth a look.</summary>
/// <param name="Why"><c>failing</c> or <c>slow</c>.</param>
/// <param name="Trace">The whole trace; null where the store no longer had it or it is too large.</param>
public sealed record TraceSummary(
    string TraceId, string Service, string Name, DateTimeOffset Start, TimeSpan Duration, string Why, string? Trace);

/// <summary>What there was to keep.</summary>
/// <param name="State"><see cref="TraceState.Off"/> where no store answered: then an empty list means nothing.</param>
public sealed record TraceHarvest(TraceState State, IReadOnlyList<TraceSummary> Traces, string Message);

/// <summary>
/// Tempo's query API. Traces arrive late (the store flushes about every half minute) and leave after 48 hours, so lookups are retried and a
/// rollback keeps what it wants to read later.
/// </summary>
/// <param name="api">Tempo's address, without <c>/api</c>.</param>
public sealed class TraceStore(Uri api, TimeProvider time) : IDisposable
{
    private const int PerKind = 20;
    private const int LargestTrace = 4 * 1024 * 1024;

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan Slow = TimeSpan.FromSeconds(1);

    private readonly HttpClient _http = new() { Timeout = TimeSpan.FromSeconds(15), MaxResponseContentBufferSize = LargestTrace };

    /// <summary>Finds the trace of a request that carried this <c>x-request-id</c>, waiting for it to arrive.</summary>
    /// <param name="timeout">How long to look; at least one look is made.</param>
    public async Task<TraceLookup> FindByRequestIdAsync(string requestId, TimeSpan timeout, CancellationToken cancellationToken)
    {
        var start = time.GetTimestamp();
        while (true)
        {
            var now = time.GetUtcNow();
            var found = await SearchAsync(
                $"{{ span.request.id = {Quote(requestId)} }}",
                now - TimeSpan.FromHours(1),
                now + TimeSpan.FromMinutes(1),
                1,
                cancellationToken);
            var trace = found.Traces.Count > 0 ? await ReadAsync(found.Traces[0].TraceId, cancellationToken) : null;
            if (trace is not null)
            {
                return new TraceLookup(
                    TraceState.Found, found.Traces[0].TraceId, trace, $"request '{requestId}' is traced as {found.Traces[0].TraceId}");
            }

            if (time.GetElapsedTime(start) >= timeout)
            {
                return found.Off is { } reason
                    ? new TraceLookup(TraceState.Off, null, null, $"traces are off: {reason}")
                    : new TraceLookup(
                        TraceState.NotFound, null, null, $"request '{requestId}' left no trace within {timeout.TotalSeconds:0.#} s");
            }

            await Waiting.PauseAsync(Pause, time, cancellationToken);
        }
    }

    /// <summary>Traces with a 5xx answer and traces longer than a second, at most twenty of each, whole.</summary>
    public async Task<TraceHarvest> SlowAndFailingAsync(DateTimeOffset from, DateTimeOffset to, CancellationToken cancellationToken)
    {
        var failing = await SearchAsync("{ span.http.status_code >= 500 }", from, to, PerKind, cancellationToken);
        var slow = await SearchAsync($"{{ duration > {Slow.TotalMilliseconds:0}ms }}", from, to, PerKind, cancellationToken);
        if ((failing.Off ?? slow.Off) is { } reason)
        {
            return new TraceHarvest(TraceState.Off, [], $"traces are off: {reason}");
        }

        var kept = new List<TraceSummary>();
        foreach (var (found, why) in failing.Traces.Select(t => (t, "failing")).Concat(slow.Traces.Select(t => (t, "slow"))))
        {
            if (kept.All(k => k.TraceId != found.TraceId))
            {
                kept.Add(found with { Why = why, Trace = await ReadAsync(found.TraceId, cancellationToken) });
            }
        }

        return new TraceHarvest(
            kept.Count > 0 ? TraceState.Found : TraceState.NotFound,
            kept,
            $"{failing.Traces.Count} failing and {slow.Traces.Count} slow traces between {from:O} and {to:O}");
    }

    public void Dispose() => _http.Dispose();

    private static string Quote(string text) =>
        "\"" + text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal) + "\"";

    private static TraceSummary Summary(JsonElement trace) => new(
        Text(trace, "traceID"),
        Text(trace, "rootServiceName"),
        Text(trace, "rootTraceName"),
        DateTimeOffset.UnixEpoch.AddTicks(
            long.TryParse(Text(trace, "startTimeUnixNano"), CultureInfo.InvariantCulture, out var nanoseconds) ? nanoseconds / 100 : 0),
        TimeSpan.FromMilliseconds(
            trace.TryGetProperty("durationMs", out var duration) && duration.TryGetDouble(out var milliseconds) ? milliseconds : 0),
        string.Empty,
        null);

    private static string Text(JsonElement element, string name) =>
        element.TryGetProperty(name, out var value)
            ? value.ValueKind == JsonValueKind.String
            ? value.GetString()!
            : value.GetRawText()
            : string.Empty;

    private async Task<(IReadOnlyList<TraceSummary> Traces, string? Off)> SearchAsync(
        string query, DateTimeOffset from, DateTimeOffset to, int limit, CancellationToken cancellationToken)
    {
        // Seconds, and only a window: without one Tempo searches what is recent only.
        var window = $"start={from.ToUnixTimeSeconds()}&end={to.ToUnixTimeSeconds() + 1}";
        var path = $"api/search?q={Uri.EscapeDataString(query)}&limit={limit}&{window}";
        try
        {
            using var response = await _http.GetAsync(Relative(path), cancellationToken);
            if (!response.IsSuccessStatusCode)
            {
                return ([], $"the store at {api} answers HTTP {(int)response.StatusCode} to a search");
            }

            var body = await response.Content.ReadFromJsonAsync<JsonElement>(cancellationToken);
            return body.ValueKind == JsonValueKind.Object
                && body.TryGetProperty("traces", out var traces)
                && traces.ValueKind == JsonValueKind.Array
                ? ([.. traces.EnumerateArray().Select(Summary).Where(t => t.TraceId.Length > 0)], null)
                : ([], null);
        }
        catch (Exception exception) when (
            exception is HttpRequestException or JsonException
                || (exception is TaskCanceledException && !cancellationToken.IsCancellationRequested))
        {
            return ([], $"the store at {api} does not answer: {exception.InnerException?.Message ?? exception.Message}");
        }
    }

    private async Task<string?> ReadAsync(string traceId, CancellationToken cancellationToken)
    {
        try
        {
            using var response = await _http.GetAsync(Relative($"api/traces/{Uri.EscapeDataString(traceId)}"), cancellationToken);
            return response.IsSuccessStatusCode ? await response.Content.ReadAsStringAsync(cancellationToken) : null;
        }
        catch (Exception exception) when (
            exception is HttpRequestException || (exception is TaskCanceledException && !cancellationToken.IsCancellationRequested))
        {
            return null;
        }
    }

    private Uri Relative(string path) => new(new Uri(api.AbsoluteUri.TrimEnd('/') + "/"), path);
}
