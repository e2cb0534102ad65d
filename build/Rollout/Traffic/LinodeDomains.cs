using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using Polly;
using Polly.Retry;

namespace Rollout.Traffic;

/// <summary>A zone. <c>TtlSec</c> 0 means 86400.</summary>
internal sealed record LinodeDomain(long Id, string Domain, string Type, string Status, int? TtlSec);

/// <summary>A record. <c>Name</c> is the part left of the zone, empty for the apex; <c>TtlSec</c> 0 means the zone's default.</summary>
internal sealed record LinodeRecord(long Id, string Type, string? Name, string? Target, int? TtlSec);

/// <summary>
/// Linode's DNS manager as a provider (Linode API v4, "Domains"), with Linode's own rules about what to ask again: 408, 429,
/// "Linode busy.", the HTML pages of its front proxy, and 503 outside maintenance.
/// </summary>
internal sealed class LinodeDomains : IDnsProvider
{
    private const int DefaultTtl = 86400;
    private static readonly string[] Types = ["A", "AAAA", "CNAME"];
    private const int PageSize = 500;
    private const int Tries = 8;
    private static readonly TimeSpan AnswerTime = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(60);
    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web)
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
    };

    private readonly string _api;
    private readonly Secret _token;
    private readonly Fence _fence;
    private readonly TimeProvider _time;
    private readonly HttpClient _http;
    private readonly ResiliencePipeline<Reply> _retry;
    private readonly IProgress<string> _progress;
    private readonly ConcurrentDictionary<string, LinodeDomain> _zones = new();
    private readonly ConcurrentDictionary<bool, DateTimeOffset> _resumes = new();

    /// <param name="api">Base of the API with its version, as in <c>https://api.linode.com/v4</c>.</param>
    /// <param name="token">Scope <c>domains:read_only</c> to read, <c>domains:read_write</c> to write.</param>
    /// <param name="fence">Asked before each write: a run that lost the lock neither goes on with a flip nor takes it back.</param>
    /// <param name="time">Times the pauses between tries.</param>
    /// <param name="progress">Told each repeated request.</param>
    public LinodeDomains(Uri api, Secret token, Fence fence, TimeProvider time, IProgress<string> progress)
    {
        _api = api.AbsoluteUri.TrimEnd('/');
        _token = token;
        _fence = fence;
        _time = time;
        _progress = progress;
        _http = new HttpClient(new SocketsHttpHandler
        {
            // A redirect would carry the token, or lose it, somewhere we did not choose.
            AllowAutoRedirect = false,
            ConnectTimeout = TimeSpan.FromSeconds(10),
            PooledConnectionLifetime = TimeSpan.FromMinutes(2),
        })
        {
            Timeout = AnswerTime,
            MaxResponseContentBufferSize = 32 * 1024 * 1024,
        };
        _retry = new ResiliencePipelineBuilder<Reply> { TimeProvider = time }
            .AddRetry(new RetryStrategyOptions<Reply>
            {
                ShouldHandle = arguments => ValueTask.FromResult(arguments.Outcome.Result is { Again: true }),
                MaxRetryAttempts = Tries - 1,
                BackoffType = DelayBackoffType.Exponential,
                Delay = TimeSpan.FromMilliseconds(500),
                MaxDelay = TimeSpan.FromSeconds(15),
                UseJitter = true,
                DelayGenerator = arguments => ValueTask.FromResult(arguments.Outcome.Result?.Wait),
                OnRetry = arguments =>
                {
                    progress.Report($"{arguments.Outcome.Result!.Problem}; asking again in {arguments.RetryDelay.TotalSeconds:0.#} s");
                    return ValueTask.CompletedTask;
                },
            })
            .Build();
    }

    /// <summary>A few: Linode edits a zone one record at a time, and answers "Linode busy." to who presses.</summary>
    public int AtOnce => 4;

    public string Editor => "in Linode's DNS manager";

    public async Task<IReadOnlyList<NameRecords>> ReadAsync(IReadOnlyCollection<string> names, CancellationToken cancellationToken)
    {
        await FindZonesAsync(names, cancellationToken);
        var contents = new Dictionary<long, ILookup<string, LinodeRecord>>();
        foreach (var zone in names.Select(ZoneOf).OfType<LinodeDomain>().DistinctBy(zone => zone.Id).Where(zone => Refusal(zone) is null))
        {
            var domain = Normalise(zone.Domain);
            contents[zone.Id] = (await RecordsAsync(zone.Id, cancellationToken)).ToLookup(record => FullName(record.Name, domain));
        }

        // Only what is wrong is worth the call that lists what would have been right.
        var known = names.All(name => ZoneOf(name) is not null)
            ? string.Empty
            : string.Join(", ", (await DomainsAsync(null, cancellationToken)).Select(zone => zone.Domain)) is { Length: > 0 } list ? list : "none";
        return [.. names.Select(name => ZoneOf(name) switch
        {
            null => new NameRecords(name, [], $"{name}: no zone of this Linode account contains it (zones: {known})"),
            var zone when Refusal(zone) is { } refusal => new NameRecords(name, [], refusal),
            var zone => Describe(name, zone, contents[zone.Id]),
        })];
    }

    public IReadOnlyList<IReadOnlyList<RecordChange>> Batches(IReadOnlyList<RecordChange> changes) =>
        [.. changes.Select(change => new[] { change })];

    public Task WriteAsync(IReadOnlyList<RecordChange> batch, CancellationToken cancellationToken) =>
        SetTargetAsync(batch.Single().Record.Handle, batch.Single().Target, cancellationToken);

    public void Dispose() => _http.Dispose();

    // Zones do not change while a rollout runs; whether one is still served, the name servers tell.
    private async Task FindZonesAsync(IReadOnlyCollection<string> names, CancellationToken cancellationToken)
    {
        var unknown = names.Where(name => ZoneOf(name) is null).ToList();
        if (unknown.Count == 0)
        {
            return;
        }

        var suffixes = unknown.SelectMany(SuffixesOf).Distinct().Select(suffix => new Dictionary<string, string> { ["domain"] = suffix });
        foreach (var zone in await DomainsAsync(Or(suffixes), cancellationToken))
        {
            _zones[Normalise(zone.Domain)] = zone;
        }
    }

    // The zone with the longest name has the record.
    private LinodeDomain? ZoneOf(string name) =>
        SuffixesOf(name).Select(suffix => _zones.GetValueOrDefault(suffix)).FirstOrDefault(zone => zone is not null);

    private static IEnumerable<string> SuffixesOf(string name)
    {
        for (var rest = name; ; rest = rest[(rest.IndexOf('.', StringComparison.Ordinal) + 1)..])
        {
            yield return rest;
            if (!rest.Contains('.', StringComparison.Ordinal))
            {
                yield break;
            }
        }
    }

    private static string? Refusal(LinodeDomain zone) => zone switch
    {
        { Type: "slave" } => $"zone {zone.Domain} is a slave zone: its records are edited at its master, not at Linode",
        { Status: not "active" } => $"zone {zone.Domain} has the status {zone.Status}: only an active zone is served",
        _ => null,
    };

    private static NameRecords Describe(string name, LinodeDomain zone, ILookup<string, LinodeRecord> contents)
    {
        var records = contents[name].Select(record => new ZoneRecord(
            record.Type,
            record.Type == "CNAME" ? Normalise(record.Target ?? string.Empty) : record.Target ?? string.Empty,
            EffectiveTtl(record, zone),
            $"{zone.Id}/records/{record.Id}")).ToList();
        var wildcard = $"*.{name[(name.IndexOf('.', StringComparison.Ordinal) + 1)..]}";
        return new NameRecords(name, records, Wildcard: contents[wildcard].Any() ? wildcard : null);
    }

    private static int EffectiveTtl(LinodeRecord record, LinodeDomain zone) => (record.TtlSec, zone.TtlSec) switch
    {
        ( > 0 and var own, _) => own,
        (_, > 0 and var common) => common,
        _ => DefaultTtl,
    };

    private static string Normalise(string name) => name.Trim().TrimEnd('.').ToLowerInvariant();

    private static string FullName(string? name, string zone)
    {
        var normal = Normalise(name ?? string.Empty);
        return normal is "" or "@" ? zone
            : normal == zone || normal.EndsWith("." + zone, StringComparison.Ordinal) ? normal
            : $"{normal}.{zone}";
    }

    private Task<IReadOnlyList<LinodeDomain>> DomainsAsync(string? filter, CancellationToken cancellationToken) =>
        ListAsync<LinodeDomain>("/domains", filter, domain => domain.Id, cancellationToken);

    private Task<IReadOnlyList<LinodeRecord>> RecordsAsync(long zoneId, CancellationToken cancellationToken) =>
        ListAsync<LinodeRecord>(
            $"/domains/{zoneId}/records",
            Or(Types.Select(type => new Dictionary<string, string> { ["type"] = type })),
            record => record.Id,
            cancellationToken);

    private static string Or(IEnumerable<Dictionary<string, string>> alternatives) =>
        JsonSerializer.Serialize(new Dictionary<string, object> { ["+or"] = alternatives });

    /// <summary>
    /// Writes the record's target, and nothing else of it. A write under way is not cut off by cancellation, only by its time limit:
    /// cutting it off would leave it unknown whether it took effect.
    /// </summary>
    /// <exception cref="RolloutException">
    /// Linode refused, or gave no definite answer in all tries; exit code 5: the fence refused, and nothing was written.
    /// </exception>
    private async Task SetTargetAsync(string handle, string target, CancellationToken cancellationToken)
    {
        var path = $"/domains/{handle}";
        var doubtful = false;
        var reply = await _retry.ExecuteAsync(
            async token =>
            {
                token.ThrowIfCancellationRequested();
                await HonourLimitAsync(isList: false, token);
                if (doubtful)
                {
                    var read = await AttemptAsync(HttpMethod.Get, path, null, token);
                    if (read.Problem is not null || IsTarget(Record(read), target))
                    {
                        return read;
                    }
                }

                await _fence(CancellationToken.None);
                var write = await AttemptAsync(HttpMethod.Put, path, new { target }, CancellationToken.None);
                doubtful |= write.Doubtful;
                return write;
            },
            cancellationToken);
        var written = Record(Accept(reply));
        if (!IsTarget(written, target))
        {
            throw new RolloutException($"Linode accepted the target {target} but says {written.Target ?? "nothing"}");
        }
    }

    // An IPv6 address has many spellings.
    private static bool IsTarget(LinodeRecord record, string target) =>
        record.Target == target || (IPAddress.TryParse(record.Target, out var said) && IPAddress.TryParse(target, out var wanted) && said.Equals(wanted));

    private async Task<IReadOnlyList<T>> ListAsync<T>(string path, string? filter, Func<T, long> id, CancellationToken cancellationToken)
    {
        const int rounds = 3;
        for (var round = 0; round < rounds; round++)
        {
            var found = new Dictionary<long, T>();
            var pages = 1;
            int? results = null;
            var steady = true;
            for (var page = 1; page <= pages; page++)
            {
                var where = $"{path}?page={page}&page_size={PageSize}";
                var reply = Accept(await _retry.ExecuteAsync(
                    async token =>
                    {
                        await HonourLimitAsync(isList: true, token);
                        return await AttemptAsync(HttpMethod.Get, where, null, token, filter);
                    },
                    cancellationToken));
                var answer = Deserialize<Listing<T>>(reply);
                foreach (var item in answer.Data)
                {
                    found[id(item)] = item;
                }

                steady &= results is null || results == answer.Results;
                results = answer.Results;
                pages = answer.Pages;
            }

            // Items added or removed between two pages shift the rest, so that one may be on neither page.
            if (steady && (results is null || results == found.Count))
            {
                return [.. found.Values];
            }
        }

        throw new RolloutException($"The list {path} of the Linode API changed while it was read, {rounds} times in a row.");
    }

    private async Task<Reply> AttemptAsync(HttpMethod method, string path, object? body, CancellationToken cancellationToken, string? filter = null)
    {
        var isList = path.Contains('?', StringComparison.Ordinal);
        using var request = new HttpRequestMessage(method, _api + path);
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", _token.Reveal());
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("application/json"));
        if (filter is not null)
        {
            request.Headers.Add("X-Filter", filter);
        }

        if (body is not null)
        {
            request.Content = JsonContent.Create(body);
        }

        try
        {
            using var response = await _http.SendAsync(request, cancellationToken);
            var text = await response.Content.ReadAsStringAsync(cancellationToken);
            NoteLimit(response, isList);
            return Judge(response, text);
        }
        catch (HttpRequestException exception)
        {
            var again = exception.HttpRequestError != HttpRequestError.SecureConnectionError;
            return new Reply($"The Linode API at {_api} gave no answer: {Innermost(exception)}") { Again = again, Doubtful = true };
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            var problem = $"The Linode API at {_api} gave no answer within {AnswerTime.TotalSeconds:0} s";
            return new Reply(problem) { Again = true, Doubtful = true };
        }
    }

    // The allowance is counted by class: lists, and everything else (Linode API v4, "Rate limits").
    private async Task HonourLimitAsync(bool isList, CancellationToken cancellationToken)
    {
        var wait = _resumes.TryGetValue(isList, out var resume) ? resume - _time.GetUtcNow() : TimeSpan.Zero;
        if (wait > TimeSpan.Zero)
        {
            _progress.Report($"Linode's rate limit is used up; going on in {wait.TotalSeconds:0.#} s");
            await Waiting.PauseAsync(wait, _time, cancellationToken);
        }
    }

    // Whoever is told to wait, or that this call was the last one allowed, holds back the calls beside it too.
    private void NoteLimit(HttpResponseMessage response, bool isList)
    {
        var isUsedUp = response.Headers.TryGetValues("X-RateLimit-Remaining", out var values) && values.First() == "0";
        var wait = response.StatusCode == HttpStatusCode.TooManyRequests ? AskedToWait(response) : isUsedUp ? UntilReset(response) : null;
        if (wait is { } pause && pause <= LongestWait)
        {
            _resumes[isList] = _time.GetUtcNow() + pause;
        }
    }

    private Reply Judge(HttpResponseMessage response, string text)
    {
        var status = response.StatusCode;
        var json = Parse(text);
        if (response.IsSuccessStatusCode)
        {
            return json is null
                ? new Reply($"Linode answered {(int)status} with something that is not JSON") { Again = true, Doubtful = true }
                : new Reply(null) { Body = json };
        }

        var reasons = Reasons(json);
        var problem = $"Linode answered {(int)status} {response.ReasonPhrase}".TrimEnd()
            + (reasons.Length > 0 ? $": {reasons}" : json is null && text.Length > 0 ? " with a page that is not JSON" : string.Empty);
        var again = status switch
        {
            HttpStatusCode.RequestTimeout or HttpStatusCode.TooManyRequests
                or HttpStatusCode.BadGateway or HttpStatusCode.GatewayTimeout => true,
            HttpStatusCode.ServiceUnavailable => !response.Headers.Contains("X-Maintenance-Mode"),
            HttpStatusCode.BadRequest => json is null || reasons.Contains("Linode busy", StringComparison.OrdinalIgnoreCase),
            _ => false,
        };
        if (status == HttpStatusCode.ServiceUnavailable && !again)
        {
            problem += " (maintenance)";
        }

        var wait = again ? AskedToWait(response) : null;
        if (wait > LongestWait)
        {
            again = false;
            problem += $" and asks to wait {wait.Value.TotalSeconds:0} s, more than the {LongestWait.TotalSeconds:0} s a flip may wait";
        }

        return new Reply(problem)
        {
            Status = status,
            Again = again,
            Wait = wait,
            Doubtful = (int)status >= 500 || status == HttpStatusCode.RequestTimeout,
        };
    }

    private TimeSpan? AskedToWait(HttpResponseMessage response)
    {
        TimeSpan? wait = response.Headers.RetryAfter switch
        {
            { Delta: { } delta } => delta,
            { Date: { } date } => date - _time.GetUtcNow(),
            _ => response.StatusCode == HttpStatusCode.TooManyRequests ? UntilReset(response) : null,
        };
        return wait < TimeSpan.Zero ? TimeSpan.Zero : wait;
    }

    private TimeSpan? UntilReset(HttpResponseMessage response) =>
        response.Headers.TryGetValues("X-RateLimit-Reset", out var values)
            && long.TryParse(values.First(), NumberStyles.None, CultureInfo.InvariantCulture, out var seconds)
            ? DateTimeOffset.FromUnixTimeSeconds(seconds) - _time.GetUtcNow()
            : null;

    private static Reply Accept(Reply reply)
    {
        if (reply.Problem is null)
        {
            return reply;
        }

        var hint = reply.Status switch
        {
            HttpStatusCode.Unauthorized => "The Linode token is unknown or expired; create one with the scope domains:read_write.",
            HttpStatusCode.Forbidden => "The Linode token lacks a scope: domains:read_only to look, domains:read_write to flip.",
            _ => null,
        };
        throw new RolloutException(reply.Problem, hint);
    }

    private static LinodeRecord Record(Reply reply) => Deserialize<LinodeRecord>(reply);

    private static T Deserialize<T>(Reply reply)
    {
        try
        {
            return reply.Body!.Value.Deserialize<T>(Json) ?? throw new RolloutException("Linode answered null where an object belongs");
        }
        catch (JsonException exception)
        {
            throw new RolloutException($"Linode's answer has another shape than its API: {exception.Message}", innerException: exception);
        }
    }

    private static JsonElement? Parse(string text)
    {
        try
        {
            return JsonSerializer.Deserialize<JsonElement>(text);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static string Reasons(JsonElement? json)
    {
        if (json is not { ValueKind: JsonValueKind.Object } answer
            || !answer.TryGetProperty("errors", out var errors)
            || errors.ValueKind != JsonValueKind.Array)
        {
            return string.Empty;
        }

        return string.Join("; ", errors.EnumerateArray().Select(error =>
        {
            var reason = Text(error, "reason") ?? error.ToString();
            return Text(error, "field") is { } field ? $"{field}: {reason}" : reason;
        }));
    }

    private static string? Text(JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String
            ? value.GetString()
            : null;

    private static string Innermost(Exception exception)
    {
        while (exception.InnerException is { } inner)
        {
            exception = inner;
        }

        return exception.Message;
    }

    private sealed record Listing<T>(IReadOnlyList<T> Data, int Pages, int? Results);

    /// <summary>What one request came to: a body, or a problem in words.</summary>
    private sealed record Reply(string? Problem)
    {
        public JsonElement? Body { get; init; }

        public HttpStatusCode? Status { get; init; }

        /// <summary>Whether Linode's rules allow the same request again.</summary>
        public bool Again { get; init; }

        /// <summary>How long Linode asked to wait before it.</summary>
        public TimeSpan? Wait { get; init; }

        /// <summary>A write may have taken effect although no success was reported.</summary>
        public bool Doubtful { get; init; }
    }
}
