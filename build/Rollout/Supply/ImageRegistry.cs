using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Polly;
using Polly.Retry;

namespace Rollout.Supply;

/// <summary>What a reference stands for.</summary>
/// <param name="Digest">Of the manifest or index that the registry gave.</param>
/// <param name="PlatformDigest">Where it is an index: of its manifest for <c>linux/amd64</c>, which a kubelet may report in its place.</param>
public sealed record ResolvedImage(string Digest, string? PlatformDigest);

/// <summary>
/// Image registries by the OCI distribution specification: does a tag exist, and which bytes does it stand for now. Safe to be called
/// for many images at once; a token is asked for once and used for every image it opens.
/// </summary>
/// <param name="token">
/// <c>user:password</c>, or a token alone, which is sent as the password of the user <c>token</c>. It goes to the registry or to
/// the token service the
/// registry names, where that is of the same site. Null asks as anybody.
/// </param>
/// <param name="time">Judges the age of tokens and times repeated requests.</param>
public sealed class ImageRegistry(Secret? token, TimeProvider time) : IDisposable
{
    private const int LargestManifest = 8 * 1024 * 1024;
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(30);
    private static readonly string[] ManifestTypes =
    [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    ];

    private static readonly string[] QueryNames = ["service", "scope"];
    private static readonly string[] TokenNames = ["token", "access_token"];

    private readonly ConcurrentDictionary<string, RegistryTokens> _registries = new();
    private readonly HttpClient _http = new(new SocketsHttpHandler { ConnectTimeout = TimeSpan.FromSeconds(10) })
    {
        Timeout = TimeSpan.FromSeconds(30),
        MaxResponseContentBufferSize = LargestManifest,
    };

    private readonly ResiliencePipeline<Answer> _retry = new ResiliencePipelineBuilder<Answer> { TimeProvider = time }
        .AddRetry(new RetryStrategyOptions<Answer>
        {
            ShouldHandle = arguments => ValueTask.FromResult(arguments.Outcome.Result is { Again: true }),
            MaxRetryAttempts = 3,
            BackoffType = DelayBackoffType.Exponential,
            Delay = TimeSpan.FromMilliseconds(500),
            UseJitter = true,
            DelayGenerator = arguments => ValueTask.FromResult(arguments.Outcome.Result?.Wait),
        })
        .Build();

    /// <summary>
    /// The digests, <c>sha256:…</c>, of the manifest or index that the reference stands for, computed from the registry's own bytes and
    /// compared with what the registry claims. An index must offer <c>linux/amd64</c>.
    /// </summary>
    /// <exception cref="RolloutException">
    /// The tag is missing, access is denied, the registry is unreachable, or its bytes contradict its digest.
    /// </exception>
    public async Task<ResolvedImage> ResolveAsync(ImageReference image, CancellationToken cancellationToken)
    {
        var wanted = image.Digest ?? image.Tag;
        var head = await AskAsync(image, HttpMethod.Head, wanted, cancellationToken);

        // Tags move: having the digest, the bytes are asked for by it. A refused HEAD has no body to say why, so it is asked again too.
        var claimed = image.Digest ?? (head.Status == HttpStatusCode.OK ? head.Digest : null);
        var get = await AskAsync(image, HttpMethod.Get, claimed ?? wanted, cancellationToken);
        if (get.Status != HttpStatusCode.OK)
        {
            throw Refusal(image, get);
        }

        var actual = "sha256:" + Convert.ToHexStringLower(SHA256.HashData(get.Body));
        claimed ??= get.Digest;
        if (claimed is not null && claimed != actual)
        {
            throw new RolloutException(
                $"Image {image}: the registry says {claimed}, but its bytes are {actual}.",
                "Something between the registry and this machine changes manifests; roll nothing out until it is found.");
        }

        return new ResolvedImage(actual, PlatformDigest(image, get.Body));
    }

    public void Dispose()
    {
        _http.Dispose();
        foreach (var tokens in _registries.Values)
        {
            tokens.Dispose();
        }
    }

    private async Task<Answer> AskAsync(ImageReference image, HttpMethod method, string reference, CancellationToken cancellationToken)
    {
        var tokens = _registries.GetOrAdd(image.Registry, _ => new RegistryTokens(time));
        var uri = new Uri($"{BaseAddress(image.Registry)}v2/{image.Repository}/manifests/{reference}");
        var authorization = tokens.Find(image.Repository);
        var answer = await SendAsync(image, method, uri, authorization, cancellationToken);
        if (authorization is not null && answer.Status is HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden or HttpStatusCode.NotFound
            && answer.Challenges.Count == 0)
        {
            // A token asked for another image proves nothing about this one.
            answer = await SendAsync(image, method, uri, null, cancellationToken);
        }

        if (answer.Status != HttpStatusCode.Unauthorized)
        {
            return answer;
        }

        var granted = await AuthorizeAsync(image, tokens, answer.Challenges, authorization, cancellationToken);
        return granted is null ? answer : await SendAsync(image, method, uri, granted, cancellationToken);
    }

    private async Task<AuthenticationHeaderValue?> AuthorizeAsync(
        ImageReference image,
        RegistryTokens tokens,
        IReadOnlyList<AuthenticationHeaderValue> challenges,
        AuthenticationHeaderValue? refused,
        CancellationToken cancellationToken)
    {
        var bearer = challenges.FirstOrDefault(challenge => challenge.Scheme.Equals("Bearer", StringComparison.OrdinalIgnoreCase));
        if (bearer is null)
        {
            return token is not null && challenges.Any(challenge => challenge.Scheme.Equals("Basic", StringComparison.OrdinalIgnoreCase))
                ? tokens.Keep(image.Repository, Credentials(token), lifetime: null)
                : null;
        }

        var parameters = RegistryTokens.Parameters(bearer.Parameter ?? string.Empty);
        if (!parameters.TryGetValue("realm", out var realm) || !Uri.TryCreate(realm, UriKind.Absolute, out var realmUri))
        {
            throw new RolloutException($"Registry {image.Registry} asks for a token without saying where ('{bearer}').");
        }

        if (realmUri.Scheme != Uri.UriSchemeHttps && !realmUri.IsLoopback)
        {
            throw new RolloutException(
                $"Registry {image.Registry} sends to {realmUri} for a token, which is not HTTPS; nothing was sent there.");
        }

        return await tokens.OnceAsync(
            image.Repository,
            refused,
            async () =>
            {
                var query = QueryNames
                    .Where(parameters.ContainsKey)
                    .Select(name => $"{name}={Uri.EscapeDataString(parameters[name])}");
                var separator = realmUri.Query.Length > 0 ? "&" : "?";
                var credentials = token is not null && SameSite(image.Registry, realmUri) ? Credentials(token) : null;
                var answer = await SendAsync(
                    image,
                    HttpMethod.Get,
                    new Uri(realmUri.AbsoluteUri + separator + string.Join('&', query)),
                    credentials,
                    cancellationToken);
                return answer.Status == HttpStatusCode.OK
                    ? Granted(image, realmUri, answer.Body)
                    : throw new RolloutException(
                        $"Image {image}: {realmUri.Host} gave no token (HTTP {(int)answer.Status}{Reason(answer)}). "
                            + "Access is denied or the repository is missing; "
                            + "a registry does not say which.",
                        credentials is null && token is not null
                            ? $"The registry token was not sent, because {realmUri.Host} is of another site than {image.Registry}."
                            : "Check the registry token and the image's name.");
            },
            cancellationToken);
    }

    private static (AuthenticationHeaderValue Header, TimeSpan Lifetime) Granted(ImageReference image, Uri realm, byte[] body)
    {
        try
        {
            using var json = JsonDocument.Parse(body);
            var root = json.RootElement;
            var value = TokenNames
                .Select(name => root.TryGetProperty(name, out var found) ? found.GetString() : null)
                .FirstOrDefault(found => !string.IsNullOrEmpty(found));
            if (value is not null)
            {
                // The token specification: a token without a lifetime is good for 60 s.
                var seconds = root.TryGetProperty("expires_in", out var expires) && expires.TryGetInt32(out var given) ? given : 60;
                return (new AuthenticationHeaderValue("Bearer", value), TimeSpan.FromSeconds(seconds * 0.9));
            }
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            // Not the JSON of a token answer; said below.
        }

        throw new RolloutException($"Image {image}: {realm.Host} answered without a token.");
    }

    private async Task<Answer> SendAsync(
        ImageReference image, HttpMethod method, Uri uri, AuthenticationHeaderValue? authorization, CancellationToken cancellationToken)
    {
        var answer = await _retry.ExecuteAsync(
            async attempt =>
            {
                using var request = new HttpRequestMessage(method, uri);
                request.Headers.Authorization = authorization;
                request.Headers.UserAgent.ParseAdd("aether-rollout");
                foreach (var type in ManifestTypes)
                {
                    request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue(type));
                }

                try
                {
                    using var response = await _http.SendAsync(request, attempt);
                    return await ReadAsync(response, attempt);
                }
                catch (HttpRequestException exception)
                {
                    var again = exception.HttpRequestError != HttpRequestError.SecureConnectionError;
                    return new Answer { Unreachable = Innermost(exception), Again = again };
                }
                catch (OperationCanceledException) when (!attempt.IsCancellationRequested)
                {
                    return new Answer { Unreachable = $"no answer within {_http.Timeout.TotalSeconds:0} s", Again = true };
                }
            },
            cancellationToken);
        return answer.Unreachable is null
            ? answer
            : throw new RolloutException($"Image {image}: {uri.Authority} is unreachable: {answer.Unreachable}.");
    }

    private async Task<Answer> ReadAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        var wait = response.Headers.RetryAfter switch
        {
            { Delta: { } delta } => delta,
            { Date: { } date } => date - time.GetUtcNow(),
            _ => (TimeSpan?)null,
        };
        var digest = response.Headers.TryGetValues("Docker-Content-Digest", out var values) ? values.First().Trim() : null;
        return new Answer
        {
            Status = response.StatusCode,
            Body = await response.Content.ReadAsByteArrayAsync(cancellationToken),

            // Another algorithm than the one we compute cannot be compared; then the bytes alone count.
            Digest = digest is not null && ImageReference.DigestGrammar().IsMatch(digest) ? digest : null,
            Challenges = [.. response.Headers.WwwAuthenticate],
            Again = response.StatusCode is HttpStatusCode.TooManyRequests
                or HttpStatusCode.RequestTimeout or >= HttpStatusCode.InternalServerError
                && !(wait > LongestWait),
            Wait = wait < TimeSpan.Zero ? TimeSpan.Zero : wait,
        };
    }

    private static RolloutException Refusal(ImageReference image, Answer answer)
    {
        var code = Errors(answer).FirstOrDefault().Code;
        return answer.Status switch
        {
            HttpStatusCode.NotFound when code == "NAME_UNKNOWN" => new RolloutException(
                $"Image {image}: {image.Registry} knows no repository {image.Repository}, "
                    + $"or hides it; a registry does not say which{Reason(answer)}.",
                "Check the image's name, and whether the registry token may read it."),
            HttpStatusCode.NotFound => new RolloutException(
                $"Image {image}: {(image.Digest is null ? $"the tag {image.Tag}" : "the digest")} "
                    + $"is missing in {image.Registry}/{image.Repository}{Reason(answer)}.",
                "Build and push the image for this release first."),
            HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden => new RolloutException(
                $"Image {image}: access is denied or the image is missing; "
                    + $"a registry does not say which (HTTP {(int)answer.Status}{Reason(answer)}).",
                "Check the registry token and the image's name."),
            HttpStatusCode.TooManyRequests => new RolloutException(
                $"Image {image}: {image.Registry} limits the number of requests{Reason(answer)}.",
                "Wait, or give a registry token with a larger limit."),
            _ => new RolloutException($"Image {image}: {image.Registry} answered HTTP {(int)answer.Status}{Reason(answer)}."),
        };
    }

    private static string? PlatformDigest(ImageReference image, byte[] manifest)
    {
        try
        {
            using var json = JsonDocument.Parse(manifest);
            if (json.RootElement.ValueKind != JsonValueKind.Object
                || !json.RootElement.TryGetProperty("manifests", out var manifests)
                || manifests.ValueKind != JsonValueKind.Array)
            {
                return null;
            }

            var platforms = manifests.EnumerateArray()
                .Where(entry => entry.TryGetProperty("platform", out _))
                .Select(entry => (Name: $"{Text(entry.GetProperty("platform"), "os")}/{Text(entry.GetProperty("platform"), "architecture")}", Digest: Text(entry, "digest")))
                .ToList();
            return platforms.Count == 0 || platforms.Any(p => p.Name == "linux/amd64")
                ? platforms.FirstOrDefault(p => p.Name == "linux/amd64").Digest
                : throw new RolloutException($"Image {image} is not built for linux/amd64, only for {string.Join(", ", platforms.Select(p => p.Name).Distinct())}.");
        }
        catch (JsonException exception)
        {
            throw new RolloutException(
                $"Image {image}: the registry's manifest is not JSON: {exception.Message}", innerException: exception);
        }
    }

    private static List<(string? Code, string? Message)> Errors(Answer answer)
    {
        try
        {
            using var json = JsonDocument.Parse(answer.Body);
            return json.RootElement.ValueKind == JsonValueKind.Object
                && json.RootElement.TryGetProperty("errors", out var errors)
                && errors.ValueKind == JsonValueKind.Array
                    ? [.. errors.EnumerateArray().Select(error => (Text(error, "code"), Text(error, "message")))]
                    : [];
        }
        catch (JsonException)
        {
            return [];
        }
    }

    private static string Reason(Answer answer)
    {
        var errors = Errors(answer);
        return errors.Count == 0 ? string.Empty : ": " + string.Join("; ", errors.Select(error => $"{error.Code} {error.Message}".Trim()));
    }

    private static string? Text(JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String
            ? value.GetString()
            : null;

    private static AuthenticationHeaderValue Credentials(Secret token)
    {
        var value = token.Reveal();
        var pair = value.Contains(':', StringComparison.Ordinal) ? value : "token:" + value;
        return new AuthenticationHeaderValue("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes(pair)));
    }

    private static Uri BaseAddress(string registry)
    {
        var host = registry == "docker.io" ? "registry-1.docker.io" : registry;
        var secure = new Uri($"https://{host}/");
        return secure.IsLoopback ? new Uri($"http://{host}/") : secure;
    }

    /// <summary>
    /// Whether the registry's credentials may be sent to this token service: its own host, or one under the same parent domain.
    /// </summary>
    private static bool SameSite(string registry, Uri realm)
    {
        var own = BaseAddress(registry);
        if (own.IsLoopback || own.HostNameType != UriHostNameType.Dns)
        {
            return own.Host == realm.Host;
        }

        var parent = own.Host[(own.Host.IndexOf('.', StringComparison.Ordinal) + 1)..];
        return realm.Host == own.Host
            || realm.Host.EndsWith("." + own.Host, StringComparison.Ordinal)
            || (parent.Contains('.', StringComparison.Ordinal)
                && (realm.Host == parent || realm.Host.EndsWith("." + parent, StringComparison.Ordinal)));
    }

    private static string Innermost(Exception exception)
    {
        while (exception.InnerException is { } inner)
        {
            exception = inner;
        }

        return exception.Message.TrimEnd('.');
    }

    private sealed record Answer
    {
        public HttpStatusCode Status { get; init; }

        public byte[] Body { get; init; } = [];

        public string? Digest { get; init; }

        public IReadOnlyList<AuthenticationHeaderValue> Challenges { get; init; } = [];

        public string? Unreachable { get; init; }

        public bool Again { get; init; }

        public TimeSpan? Wait { get; init; }
    }
}
