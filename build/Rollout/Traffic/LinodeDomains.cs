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
/// The calls of the Linode API v4 that a flip needs, with Linode's own rules about what to ask again: 408, 429, "Linode busy.",
/// the HTML pages of its front proxy, and 503 outside maintenance.
/// </summary>
internal sealed class LinodeDomains : IDisposable
{
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

    /// <param name="fence">Asked before each write.</param>
    public LinodeDomains(Uri api, Secret token, Fence fence, TimeProvider time, IProgress<string> progress)
    {
        _api = api.AbsoluteUri.TrimEnd('/');
        _token = token;
        _fence = fence;
        _time = time;
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

    public Task<IReadOnlyList<LinodeDomain>> DomainsAsync(CancellationToken cancellationToken) =>
        ListAsync<LinodeDomain>("/domains", domain => domain.Id, cancellationToken);

    public Task<IReadOnlyList<LinodeRecord>> RecordsAsync(long zoneId, CancellationToken cancellationToken) =>
        ListAsync<LinodeRecord>($"/domains/{zoneId}/records", record => record.Id, cancellationToken);

    /// <summary>
    /// Writes the record's target, and nothing else of it. A write under way is not cut off by cancellation, only by its time limit:
    /// cutting it off would leave it unknown whether it took effect.
    /// </summary>
    /// <exception cref="RolloutException">
    /// Linode refused, or gave no definite answer in all tries; exit code 5: the fence refused, and nothing was written.
    /// </exception>
    public async Task SetTargetAsync(long zoneId, long recordId, string target, CancellationToken cancellationToken)
    {
        var path = $"/domains/{zoneId}/records/{recordId}";
        var doubtful = false;
        var reply = await _retry.ExecuteAsync(
            async token =>
            {
                token.ThrowIfCancellationRequested();
                if (doubtful)
                {
                    var read = await AttemptAsync(HttpMethod.Get, path, null, token);
                    if (read.Problem is not null || Record(read).Target == target)
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
        var written = Record(Accept(reply)).Target;
        if (written != target)
        {
            throw new RolloutException($"Linode accepted the target {target} but says {written ?? "nothing"}");
        }
    }

    public void Dispose() => _http.Dispose();

    private async Task<IReadOnlyList<T>> ListAsync<T>(string path, Func<T, long> id, CancellationToken cancellationToken)
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
                    async token => await AttemptAsync(HttpMethod.Get, where, null, token), cancellationToken));
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

    private async Task<Reply> AttemptAsync(HttpMethod method, string path, object? body, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(method, _api + path);
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", _token.Reveal());
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("application/json"));
        if (body is not null)
        {
            request.Content = JsonContent.Create(body);
        }

        try
        {
            using var response = await _http.SendAsync(request, cancellationToken);
            var text = await response.Content.ReadAsStringAsync(cancellationToken);
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
        var now = _time.GetUtcNow();
        TimeSpan? wait = response.Headers.RetryAfter switch
        {
            { Delta: { } delta } => delta,
            { Date: { } date } => date - now,
            _ => null,
        };
        if (wait is null
            && response.StatusCode == HttpStatusCode.TooManyRequests
            && response.Headers.TryGetValues("X-RateLimit-Reset", out var values)
            && long.TryParse(values.First(), NumberStyles.None, CultureInfo.InvariantCulture, out var seconds))
        {
            wait = DateTimeOffset.FromUnixTimeSeconds(seconds) - now;
        }

        return wait < TimeSpan.Zero ? TimeSpan.Zero : wait;
    }

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
