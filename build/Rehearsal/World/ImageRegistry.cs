using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Rehearsal.World;

/// <summary>
/// What an <see cref="ImageRegistry"/> holds: every repository (such as <c>aether/oms-service</c>) has every tag. The token is the
/// password of the Basic credentials its token endpoint wants, with any user name.
/// </summary>
public sealed record RegistryOptions(string Token, IReadOnlyList<string> Repositories, IReadOnlyList<string> Tags);

/// <summary>
/// An OCI distribution registry, read-only: Bearer challenge with tokens bound to a repository that expire after a minute, content
/// negotiation between an index and its platform manifest (another digest), errors in the specification's codes
/// (opencontainers/distribution-spec). Repositories whose name ends in <c>-service</c> hold indexes, the others single manifests;
/// digests depend on repository and tag only, so they are the same in every world.
/// </summary>
public sealed class ImageRegistry : IAsyncDisposable
{
    private const string Index = "application/vnd.oci.image.index.v1+json";
    private const string Manifest = "application/vnd.oci.image.manifest.v1+json";
    private static readonly TimeSpan TokenLifetime = TimeSpan.FromSeconds(60);

    private readonly Place _place;
    private readonly RegistryOptions _options;
    private readonly ConcurrentDictionary<string, (string Repository, DateTimeOffset Expires)> _tokens = new(StringComparer.Ordinal);
    private LoopbackServer? _server;

    private ImageRegistry(Place place, RegistryOptions options)
    {
        _place = place;
        _options = options;
        Address = "";
    }

    /// <summary><c>HOST:PORT</c>, as it stands in front of a repository's name.</summary>
    public string Address { get; private set; }

    public static async Task<ImageRegistry> StartAsync(Place place, RegistryOptions options, CancellationToken cancellationToken)
    {
        var registry = new ImageRegistry(place, options);
        (registry._server, var address) = await LoopbackServer.StartAsync(place.Ports, "registry", registry.AnswerAsync, cancellationToken);
        registry.Address = address.Authority;
        return registry;
    }

    public ValueTask DisposeAsync()
    {
        return _server?.DisposeAsync() ?? ValueTask.CompletedTask;
    }

    /// <summary>
    /// The digest a node would report for an image it pulled, null when the registry lacks it. Faults do not act here:
    /// a node that has the image does not ask.
    /// </summary>
    public string? Digest(string repository, string tag)
    {
        return _options.Repositories.Contains(repository) && _options.Tags.Contains(tag) ? DigestOf(Top(repository, tag).Body) : null;
    }

    private async Task AnswerAsync(HttpContext context)
    {
        if (_place.Fault("registry-down") is not null)
        {
            await context.AnswerTextAsync(503, "upstream connect error or disconnect/reset before headers");
            return;
        }

        var segments = context.Request.Segments();
        if (segments is ["token"])
        {
            await IssueTokenAsync(context);
            return;
        }

        if (!HttpMethods.IsGet(context.Request.Method) && !HttpMethods.IsHead(context.Request.Method))
        {
            await RefuseAsync(context, 405, "UNSUPPORTED", "The registry is read-only.");
            return;
        }

        switch (segments)
        {
            case ["v2"]:
                if (await IsAllowedAsync(context, null))
                {
                    await context.AnswerAsync(200, new JsonObject());
                }

                break;
            case ["v2", .. var name, "manifests", var reference]:
                if (await IsAllowedAsync(context, string.Join('/', name)))
                {
                    await AnswerManifestAsync(context, string.Join('/', name), reference);
                }

                break;
            case ["v2", .. var name, "tags", "list"]:
                if (await IsAllowedAsync(context, string.Join('/', name)))
                {
                    await AnswerTagsAsync(context, string.Join('/', name));
                }

                break;
            default:
                await RefuseAsync(context, 404, "UNSUPPORTED", "No such route.");
                break;
        }
    }

    private async Task IssueTokenAsync(HttpContext context)
    {
        if (!HasCredentials(context.Request))
        {
            context.Response.Headers.WWWAuthenticate = "Basic realm=\"rehearsal\"";
            await RefuseAsync(context, 401, "UNAUTHORIZED", "incorrect username or password");
            return;
        }

        // One repository and pull is all that anybody asks of a read-only registry; other scopes yield a token that opens nothing.
        var scope = context.Request.Query["scope"].FirstOrDefault() ?? "";
        var repository = scope.Split(':') is ["repository", var name, _] ? name : "";
        var token = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(24));
        var now = _place.Time.GetUtcNow();
        foreach (var (expired, _) in _tokens.Where(entry => entry.Value.Expires < now))
        {
            _tokens.TryRemove(expired, out _);
        }

        _tokens[token] = (repository, now + TokenLifetime);
        await context.AnswerAsync(200, new JsonObject
        {
            ["token"] = token,
            ["access_token"] = token,
            ["expires_in"] = (int)TokenLifetime.TotalSeconds,
            ["issued_at"] = now.ToString("yyyy-MM-ddTHH:mm:ssZ", System.Globalization.CultureInfo.InvariantCulture),
        });
    }

    private bool HasCredentials(HttpRequest request)
    {
        if (request.Headers.Authorization.FirstOrDefault() is not { } header
            || !header.StartsWith("Basic ", StringComparison.OrdinalIgnoreCase))
        {
            return false;
        }

        Span<byte> decoded = stackalloc byte[512];
        return Convert.TryFromBase64String(header["Basic ".Length..].Trim(), decoded, out var length)
            && Encoding.UTF8.GetString(decoded[..length]).Split(':', 2) is [_, var password]
            && CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(password), Encoding.UTF8.GetBytes(_options.Token));
    }

    private async Task<bool> IsAllowedAsync(HttpContext context, string? repository)
    {
        var header = context.Request.Headers.Authorization.FirstOrDefault() ?? "";
        var token = header.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase) ? header["Bearer ".Length..].Trim() : "";
        var isKnown = _tokens.TryGetValue(token, out var grant);
        var isExpired = isKnown && grant.Expires <= _place.Time.GetUtcNow();
        if (isKnown && !isExpired && (repository is null || grant.Repository == repository))
        {
            return true;
        }

        var scope = repository is null ? "" : $",scope=\"repository:{repository}:pull\"";
        var error = isExpired ? ",error=\"invalid_token\"" : isKnown ? ",error=\"insufficient_scope\"" : "";
        context.Response.Headers.WWWAuthenticate = $"Bearer realm=\"http://{Address}/token\",service=\"rehearsal\"{scope}{error}";
        await RefuseAsync(context, 401, "UNAUTHORIZED", "authentication required");
        return false;
    }

    private async Task AnswerManifestAsync(HttpContext context, string repository, string reference)
    {
        if (!_options.Repositories.Contains(repository))
        {
            await RefuseAsync(context, 404, "NAME_UNKNOWN", "repository name not known to registry");
            return;
        }

        if (Find(repository, reference, string.Join(',', context.Request.Headers.Accept.ToArray())) is not { } found)
        {
            await RefuseAsync(context, 404, "MANIFEST_UNKNOWN", "manifest unknown");
            return;
        }

        context.Response.ContentType = found.MediaType;
        context.Response.ContentLength = found.Body.Length;
        if (_place.Fault("registry-no-digest") is null)
        {
            context.Response.Headers["Docker-Content-Digest"] = DigestOf(found.Body);
        }

        if (HttpMethods.IsGet(context.Request.Method))
        {
            await context.Response.Body.WriteAsync(found.Body, context.RequestAborted);
        }
    }

    private (string MediaType, byte[] Body)? Find(string repository, string reference, string accept)
    {
        bool Accepts(string mediaType) => accept.Length == 0 || accept.Contains("*/*", StringComparison.Ordinal) || accept.Contains(
            mediaType, StringComparison.Ordinal);
        if (reference.StartsWith("sha256:", StringComparison.Ordinal))
        {
            var all = _options.Tags.SelectMany(tag =>
                new[] { Top(repository, tag), Platform(repository, tag, "amd64"), Platform(repository, tag, "arm64") });
            return all.Cast<(string MediaType, byte[] Body)?>().FirstOrDefault(candidate => DigestOf(candidate!.Value.Body) == reference);
        }

        if (!_options.Tags.Contains(reference) || _place.Fault("registry-missing-tag") == repository)
        {
            return null;
        }

        // A client that does not name the index type gets the platform's manifest instead, which has another digest.
        var top = Top(repository, reference);
        var platform = Platform(repository, reference, "amd64");
        return Accepts(top.MediaType) ? top : Accepts(platform.MediaType) ? platform : null;
    }

    private async Task AnswerTagsAsync(HttpContext context, string repository)
    {
        if (!_options.Repositories.Contains(repository))
        {
            await RefuseAsync(context, 404, "NAME_UNKNOWN", "repository name not known to registry");
            return;
        }

        var tags = _place.Fault("registry-missing-tag") == repository
            ? []
            : _options.Tags.Order(StringComparer.Ordinal).Select(tag => (JsonNode)tag);
        await context.AnswerAsync(200, new JsonObject { ["name"] = repository, ["tags"] = new JsonArray([.. tags]) });
    }

    private static (string MediaType, byte[] Body) Top(string repository, string tag)
    {
        if (!repository.EndsWith("-service", StringComparison.Ordinal))
        {
            return Platform(repository, tag, "amd64");
        }

        var manifests = new JsonArray();
        foreach (var architecture in (string[])["amd64", "arm64"])
        {
            var body = Platform(repository, tag, architecture).Body;
            manifests.Add(new JsonObject
            {
                ["mediaType"] = Manifest,
                ["digest"] = DigestOf(body),
                ["size"] = body.Length,
                ["platform"] = new JsonObject { ["architecture"] = architecture, ["os"] = "linux" },
            });
        }

        return (Index, Bytes(new JsonObject { ["schemaVersion"] = 2, ["mediaType"] = Index, ["manifests"] = manifests }));
    }

    private static (string MediaType, byte[] Body) Platform(string repository, string tag, string architecture)
    {
        JsonObject Blob(string mediaType, string part) => new()
        {
            ["mediaType"] = mediaType,
            ["digest"] = DigestOf(Encoding.UTF8.GetBytes($"{repository}:{tag}/{architecture}/{part}")),
            ["size"] = 1024,
        };
        return (Manifest, Bytes(new JsonObject
        {
            ["schemaVersion"] = 2,
            ["mediaType"] = Manifest,
            ["config"] = Blob("application/vnd.oci.image.config.v1+json", "config"),
            ["layers"] = new JsonArray(Blob("application/vnd.oci.image.layer.v1.tar+gzip", "layer")),
            ["annotations"] = new JsonObject { ["org.opencontainers.image.version"] = tag },
        }));
    }

    private static byte[] Bytes(JsonObject json)
    {
        return Encoding.UTF8.GetBytes(json.ToJsonString());
    }

    private static string DigestOf(byte[] body)
    {
        return "sha256:" + Convert.ToHexStringLower(SHA256.HashData(body));
    }

    private static Task RefuseAsync(HttpContext context, int status, string code, string message)
    {
        if (HttpMethods.IsHead(context.Request.Method))
        {
            context.Response.StatusCode = status;
            return Task.CompletedTask;
        }

        return context.AnswerAsync(status, new JsonObject
        {
            ["errors"] = new JsonArray(new JsonObject { ["code"] = code, ["message"] = message, ["detail"] = null }),
        });
    }
}
