using System.Text.Json;

namespace Rollout.Monitoring;

/// <summary>
/// What came back for one request through the API server's service or pod proxy. A missing service, a service without endpoints and a
/// refused connection are answered by the API server itself, with a <c>Status</c> object, and a broken connection to it by kubectl proxy: those say
/// nothing about the service's own health.
/// </summary>
/// <param name="Code">HTTP status; 0 where nothing answered.</param>
/// <param name="FromCluster">Whether the API server or the network answered, instead of the service.</param>
/// <param name="Body">The body, or what went wrong where there is none.</param>
public sealed record ProxyAnswer(int Code, bool FromCluster, string Body, string? ContentType)
{
    /// <summary>Whether the cluster was busy or broken at that moment and nothing of the service answered: asking again may get another answer.</summary>
    public bool IsPassing => Code is 0 or 429 || (FromCluster && Code >= 500);

    /// <summary>
    /// A GET, asked again a moment later where the API server was busy or broken: a hole of a moment must decide neither over a watch nor over a fence.
    /// </summary>
    public static async Task<ProxyAnswer> AskAsync(HttpClient client, string path, string accept, TimeSpan timeout, TimeProvider time, CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, path);
            request.Headers.Accept.ParseAdd(accept);
            var answer = await SendAsync(client, request, timeout, time, cancellationToken);
            if (!answer.IsPassing || attempt == Tries)
            {
                return answer;
            }

            await Waiting.PauseAsync(Pause, time, cancellationToken);
        }
    }

    private const int Tries = 3;
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(150);

    /// <summary>One attempt, bounded in time; a broken connection and a time-out are answers with code 0, not exceptions.</summary>
    /// <param name="request">Sent once; its <c>x-request-id</c>, if any, comes back as the span attribute <c>request.id</c>.</param>
    public static async Task<ProxyAnswer> SendAsync(
        HttpClient client, HttpRequestMessage request, TimeSpan timeout, TimeProvider time, CancellationToken cancellationToken)
    {
        using var clock = new CancellationTokenSource(timeout, time);
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(clock.Token, cancellationToken);
        try
        {
            using var response = await client.SendAsync(request, deadline.Token);
            var body = await response.Content.ReadAsStringAsync(deadline.Token);
            var type = response.Content.Headers.ContentType?.MediaType;
            var refused = (int)response.StatusCode >= 400 && (StatusMessage(body) is not null || IsOfTheProxy((int)response.StatusCode, type, body));
            return new ProxyAnswer((int)response.StatusCode, refused, refused ? StatusMessage(body) ?? body.Trim() : body, type);
        }
        catch (HttpRequestException exception)
        {
            return new ProxyAnswer(0, true, exception.InnerException?.Message ?? exception.Message, null);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return new ProxyAnswer(0, true, $"no answer within {timeout.TotalSeconds:0.#} s", null);
        }
    }

    /// <summary>The answer in a few words, for messages.</summary>
    public string Describe()
    {
        var text = Body.Length > 300 ? Body[..300] + "…" : Body;
        return Code == 0 ? text : $"HTTP {Code}{(FromCluster ? " from the API server" : "")}: {text.Trim()}";
    }

    // kubectl proxy answers 500 with the error of its own connection to the API server, as Go words it. A service's 500 in plain text says other things.
    private static bool IsOfTheProxy(int code, string? type, string body) =>
        code == 500 && type == "text/plain" && body.Length < 1000 && ConnectionErrors.Any(e => body.Contains(e, StringComparison.Ordinal));

    private static readonly string[] ConnectionErrors =
    [
        "stream error: stream ID", "http2: ", "net/http: ", "dial tcp ", "read tcp ", "write tcp ", "connection reset by peer", "unexpected EOF", ": EOF", "tls: ",
        "i/o timeout", "context deadline exceeded", "context canceled",
    ];

    private static string? StatusMessage(string body)
    {
        // Older servers say this one in plain text.
        if (body.StartsWith("Error trying to reach service", StringComparison.Ordinal))
        {
            return body;
        }

        if (!body.StartsWith('{') || !body.Contains("\"Status\"", StringComparison.Ordinal))
        {
            return null;
        }

        try
        {
            using var document = JsonDocument.Parse(body);
            var root = document.RootElement;
            return root.TryGetProperty("kind", out var kind) && kind.ValueEquals("Status")
                && root.TryGetProperty("apiVersion", out var version) && version.ValueEquals("v1")
                ? root.TryGetProperty("message", out var message) ? message.GetString() ?? body : body
                : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
