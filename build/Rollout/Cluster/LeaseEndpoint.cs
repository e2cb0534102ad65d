using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rollout.Cluster;

/// <summary>An instant by both clocks: one stops while the machine sleeps, the other may be set.</summary>
internal readonly record struct Moment(long Timestamp, DateTimeOffset Wall)
{
    public static Moment Now(TimeProvider time) => new(time.GetTimestamp(), time.GetUtcNow());

    /// <summary>How long ago this was, by the clock that says more.</summary>
    public TimeSpan Age(TimeProvider time)
    {
        var (ticked, shown) = (time.GetElapsedTime(Timestamp), time.GetUtcNow() - Wall);
        return ticked > shown ? ticked : shown;
    }

    /// <summary>Whether less than this has passed, by both clocks; a clock that was set back proves nothing.</summary>
    public bool IsWithin(TimeSpan span, TimeProvider time) => time.GetElapsedTime(Timestamp) < span && (time.GetUtcNow() - Wall).Duration() < span;
}

internal enum LeaseAnswerKind
{
    /// <summary>Read or written; the Lease is as stored now.</summary>
    Stored,

    /// <summary>There is none.</summary>
    Absent,

    /// <summary>Somebody wrote in between; nothing was written.</summary>
    Conflict,

    /// <summary>The server will not, however often it is asked.</summary>
    Refused,

    /// <summary>No answer that says anything; a write may have been done or not.</summary>
    Unclear,
}

/// <param name="Sent">When the request that this answers was sent, which is before the server acted on it.</param>
/// <param name="Problem">In words, where nothing was read or written.</param>
internal sealed record LeaseAnswer(LeaseAnswerKind Kind, Moment Sent, JsonObject? Lease = null, string? Problem = null)
{
    /// <summary>Whether the same request may be sent again.</summary>
    public bool Again { get; init; }

    /// <summary>How long the server asked to wait before that.</summary>
    public TimeSpan? Wait { get; init; }
}

/// <summary>
/// The one Lease as the API server keeps it. Each request has a time limit and is repeated a few times: a write carries the version that it
/// replaces, so its repetition changes nothing where it arrived the first time.
/// </summary>
/// <param name="patience">How long one request may take.</param>
internal sealed class LeaseEndpoint(HttpClient http, string @namespace, TimeSpan patience, TimeProvider time)
{
    public const string Name = "aether-rollout";
    private const int Tries = 4;
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(5);
    private static readonly JsonDocumentOptions Strict = new() { AllowDuplicateProperties = false };

    /// <summary>The Lease's address at the API server.</summary>
    public string Path { get; } = $"/apis/coordination.k8s.io/v1/namespaces/{@namespace}/leases/{Name}";

    public Task<LeaseAnswer> ReadAsync(CancellationToken cancellationToken) => SendAsync(HttpMethod.Get, Path, null, cancellationToken);

    /// <summary>Replaces the version that the Lease carries, or creates the Lease where it carries none, and its namespace where that is missing.</summary>
    public async Task<LeaseAnswer> WriteAsync(JsonObject lease, CancellationToken cancellationToken)
    {
        if (lease["metadata"]?["resourceVersion"] is not null)
        {
            return await SendAsync(HttpMethod.Put, Path, lease, cancellationToken);
        }

        var collection = Path[..Path.LastIndexOf('/')];
        var created = await SendAsync(HttpMethod.Post, collection, lease, cancellationToken);
        if (created.Kind != LeaseAnswerKind.Absent)
        {
            return created;
        }

        var made = await SendAsync(HttpMethod.Post, "/api/v1/namespaces", Namespace(), cancellationToken);
        return made.Kind is LeaseAnswerKind.Stored or LeaseAnswerKind.Conflict ? await SendAsync(HttpMethod.Post, collection, lease, cancellationToken) : made;
    }

    private JsonObject Namespace() => new()
    {
        ["apiVersion"] = "v1",
        ["kind"] = "Namespace",
        ["metadata"] = new JsonObject { ["name"] = @namespace, ["labels"] = new JsonObject { ["app.kubernetes.io/managed-by"] = "aether-rollout" } },
    };

    private async Task<LeaseAnswer> SendAsync(HttpMethod method, string path, JsonObject? body, CancellationToken cancellationToken)
    {
        var pause = FirstPause;
        for (var attempt = 1; ; attempt++, pause *= 2)
        {
            var answer = await AttemptAsync(method, path, body, cancellationToken);
            if (!answer.Again || attempt == Tries)
            {
                return answer;
            }

            await Task.Delay(answer.Wait ?? pause, time, cancellationToken);
        }
    }

    private async Task<LeaseAnswer> AttemptAsync(HttpMethod method, string path, JsonObject? body, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        using var request = new HttpRequestMessage(method, new Uri(path, UriKind.Relative));
        request.Headers.Accept.ParseAdd("application/json");
        if (body is not null)
        {
            request.Content = new StringContent(body.ToJsonString(), Encoding.UTF8, new MediaTypeHeaderValue("application/json"));
        }

        using var limit = new CancellationTokenSource(patience, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken);
        var sent = Moment.Now(time);
        string problem;
        try
        {
            using var response = await http.SendAsync(request, either.Token);
            return Judge(response, await response.Content.ReadAsStringAsync(either.Token), sent, $"{method} {path}");
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            problem = $"no answer within {patience.TotalSeconds:0.#} s";
        }
        catch (Exception exception) when (exception is HttpRequestException or IOException)
        {
            problem = exception.Message;
        }

        return new LeaseAnswer(LeaseAnswerKind.Unclear, sent, Problem: $"The cluster did not answer {method} {path}: {problem}.") { Again = true };
    }

    private static LeaseAnswer Judge(HttpResponseMessage response, string text, Moment sent, string request)
    {
        var json = Parse(text);
        if (response.IsSuccessStatusCode)
        {
            // A proxy in front may answer 200 with a page of its own.
            return json?["metadata"] is JsonObject metadata && metadata["resourceVersion"] is JsonValue version && version.GetValueKind() == JsonValueKind.String
                ? new LeaseAnswer(LeaseAnswerKind.Stored, sent, json)
                : new LeaseAnswer(LeaseAnswerKind.Unclear, sent, Problem: $"The cluster answered {request} with something that is no stored object.") { Again = true };
        }

        var said = json is not null && json["message"] is JsonValue message && message.TryGetValue<string>(out var words) ? words : Shortened(text);
        var kind = response.StatusCode switch
        {
            HttpStatusCode.NotFound => LeaseAnswerKind.Absent,
            HttpStatusCode.Conflict => LeaseAnswerKind.Conflict,
            HttpStatusCode.RequestTimeout or HttpStatusCode.TooManyRequests => LeaseAnswerKind.Unclear,
            >= HttpStatusCode.InternalServerError => LeaseAnswerKind.Unclear,
            _ => LeaseAnswerKind.Refused,
        };
        var wait = response.Headers.RetryAfter?.Delta;
        return new LeaseAnswer(kind, sent, Problem: $"The cluster answered {(int)response.StatusCode} to {request}: {said}")
        {
            Again = kind == LeaseAnswerKind.Unclear,
            Wait = wait > LongestWait ? LongestWait : wait,
        };
    }

    private static JsonObject? Parse(string text)
    {
        try
        {
            return JsonNode.Parse(text, documentOptions: Strict) as JsonObject;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static string Shortened(string text) => text.Length > 300 ? text[..300] + "…" : text;
}
