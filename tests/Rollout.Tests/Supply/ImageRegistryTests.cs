using System.Net;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;
using Rollout.Supply;

namespace Rollout.Tests.Supply;

[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class ImageRegistryTests
{
    private const string Manifest = """{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[]}""";
    private static readonly string ManifestDigest = DigestOf(Manifest);

    private readonly SkippingTime _time = new();
    private readonly Dictionary<string, int> _tokens = [];
    private HttpDouble _server = null!;
    private ImageRegistry _registry = null!;
    private Func<HttpCall, HttpContext, Task> _answer = null!;
    private string _manifest = Manifest;
    private string? _digestHeader = ManifestDigest;
    private int _lifetime = 300;
    private string? _onlyCredentials;

    [SetUp]
    public async Task Start()
    {
        _answer = ServeAsync;
        _server = await HttpDouble.StartAsync((call, context) => _answer(call, context));
        _registry = new ImageRegistry(null, _time);
    }

    [TearDown]
    public async Task Stop()
    {
        _registry.Dispose();
        await _server.DisposeAsync();
    }

    [Test]
    public async Task A_tag_resolves_to_the_digest_of_its_bytes()
    {
        Assert.That(await ResolveAsync("oms"), Is.EqualTo(ManifestDigest));
        Assert.That(_server.Calls.Select(call => call.ToString()), Is.EqualTo(new[]
        {
            "HEAD /v2/aether/oms/manifests/v1",
            $"GET /v2/aether/oms/manifests/{ManifestDigest}",
        }));
        Assert.That(_server.Calls.First().Accept, Is.EqualTo(
            "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
            + "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"));
    }

    [Test]
    public async Task Without_a_digest_header_the_bytes_are_hashed()
    {
        _digestHeader = null;

        Assert.That(await ResolveAsync("oms"), Is.EqualTo(ManifestDigest));
    }

    [Test]
    public async Task A_registry_that_knows_no_HEAD_is_asked_with_GET()
    {
        _answer = (call, context) => call.Method == "HEAD" ? Refuse(context, 405, "UNSUPPORTED") : ServeAsync(call, context);

        Assert.That(await ResolveAsync("oms"), Is.EqualTo(ManifestDigest));
    }

    [Test]
    public async Task A_digest_that_its_bytes_contradict_is_refused()
    {
        _digestHeader = "sha256:" + new string('0', 64);

        var failure = await RefusalAsync("oms");

        Assert.That(failure.Message, Is.EqualTo(
            $"Image {Image("oms")}: the registry says {_digestHeader}, but its bytes are {ManifestDigest}."));
    }

    [Test]
    public async Task A_pinned_reference_is_checked_by_its_own_digest()
    {
        _digestHeader = null;
        var pinned = Image("oms") with { Digest = ManifestDigest };

        Assert.That((await _registry.ResolveAsync(pinned, default)).Digest, Is.EqualTo(ManifestDigest));

        var other = pinned with { Digest = "sha256:" + new string('1', 64) };
        var failure = (await Assert.ThrowsAsync<RolloutException>(() => _registry.ResolveAsync(other, default)))!;
        Assert.That(failure.Message, Does.Contain($"the registry says {other.Digest}, but its bytes are {ManifestDigest}"));
    }

    [Test]
    public async Task An_index_must_offer_linux_on_amd64()
    {
        _manifest = Index("linux", "amd64");
        _digestHeader = DigestOf(_manifest);
        Assert.That(await ResolveAsync("oms"), Is.EqualTo(_digestHeader));

        _manifest = Index("linux", "arm64");
        _digestHeader = DigestOf(_manifest);
        Assert.That((await RefusalAsync("oms")).Message, Is.EqualTo(
            $"Image {Image("oms")} is not built for linux/amd64, only for linux/arm64."));

        static string Index(string os, string architecture) =>
            $$$"""{"schemaVersion":2,"manifests":[{"digest":"x","platform":{"os":"{{{os}}}","architecture":"{{{architecture}}}"}}]}""";
    }

    [Test]
    public async Task A_bearer_challenge_is_met_and_its_token_used_again()
    {
        RequireTokens(scope => "repository:" + scope + ":pull,push");
        using var registry = new ImageRegistry(new Secret("ci:s3cret"), _time);
        _onlyCredentials = Basic("ci:s3cret");

        await registry.ResolveAsync(Image("oms"), default);
        await registry.ResolveAsync(Image("oms") with { Tag = "v2" }, default);

        var asked = _server.Calls.Where(call => call.Path == "/token").ToList();
        Assert.That(asked, Has.Count.EqualTo(1), "the token serves HEAD and GET of both tags");
        Assert.That(Uri.UnescapeDataString(asked[0].Query), Is.EqualTo("?service=reg, with comma&scope=repository:aether/oms:pull,push"));
        Assert.That(_server.Calls.Where(call => call.Path != "/token").Select(call => call.Authorization), Has.None.StartWith("Basic"));
    }

    [Test]
    public async Task A_token_that_opens_everything_is_asked_for_once_for_all_images()
    {
        RequireTokens(_ => "registry:all");

        await ResolveAsync("oms");
        await ResolveAsync("ui");
        await ResolveAsync("auth");

        Assert.That(_server.Calls.Count(call => call.Path == "/token"), Is.EqualTo(1));
    }

    [Test]
    public async Task Images_resolved_at_once_each_get_a_token_of_their_scope()
    {
        RequireTokens(scope => "repository:" + scope + ":pull");

        var digests = await Task.WhenAll(Enumerable.Range(1, 27).Select(i => ResolveAsync($"service-{i}")));

        Assert.That(digests, Is.All.EqualTo(ManifestDigest));
        Assert.That(_server.Calls.Count(call => call.Path == "/token"), Is.EqualTo(27));
    }

    [Test]
    public async Task A_token_that_has_run_out_is_asked_for_again()
    {
        RequireTokens(scope => "repository:" + scope + ":pull");
        _lifetime = 60;
        await ResolveAsync("oms");

        _time.Advance(TimeSpan.FromSeconds(61));
        await ResolveAsync("oms");

        Assert.That(_server.Calls.Count(call => call.Path == "/token"), Is.EqualTo(2));
    }

    [Test]
    public async Task A_token_withdrawn_by_the_registry_is_asked_for_again()
    {
        RequireTokens(scope => "repository:" + scope + ":pull");
        await ResolveAsync("oms");

        _tokens.Clear();
        await ResolveAsync("oms");

        Assert.That(_server.Calls.Count(call => call.Path == "/token"), Is.EqualTo(2));
    }

    [Test]
    public async Task A_basic_challenge_is_met_with_the_credentials()
    {
        using var registry = new ImageRegistry(new Secret("bare-token"), _time);
        _answer = (call, context) =>
        {
            if (call.Authorization == Basic("token:bare-token"))
            {
                return ServeAsync(call, context);
            }

            context.Response.Headers.WWWAuthenticate = "Basic realm=\"reg\"";
            return Refuse(context, 401, "UNAUTHORIZED");
        };

        Assert.That((await registry.ResolveAsync(Image("oms"), default)).Digest, Is.EqualTo(ManifestDigest));
    }

    [Test]
    public async Task Credentials_are_not_sent_to_another_site()
    {
        using var registry = new ImageRegistry(new Secret("ci:s3cret"), _time);
        await using var elsewhere = await HttpDouble.StartAsync((_, context) => Refuse(context, 401, "UNAUTHORIZED"));
        RequireTokens(scope => scope, realm: $"http://localhost:{elsewhere.Address.Port}/token");

        var failure = (await Assert.ThrowsAsync<RolloutException>(() => registry.ResolveAsync(Image("oms"), default)))!;

        Assert.That(elsewhere.Calls.Single().Authorization, Is.Empty);
        Assert.That(failure.Message, Does.Contain(
            "localhost gave no token (HTTP 401: UNAUTHORIZED said so). Access is denied or the repository is missing"));
        Assert.That(failure.Hint, Does.Contain("was not sent, because localhost is of another site"));
    }

    [Test]
    public async Task A_token_service_without_HTTPS_is_not_asked()
    {
        RequireTokens(scope => scope, realm: "http://tokens.example.com/");

        Assert.That((await RefusalAsync("oms")).Message, Does.EndWith(
            "sends to http://tokens.example.com/ for a token, which is not HTTPS; nothing was sent there."));
    }

    [TestCase(404, "MANIFEST_UNKNOWN", "the tag v1 is missing in {0}/aether/oms: MANIFEST_UNKNOWN said so.")]
    [TestCase(404, "NAME_UNKNOWN", "{0} knows no repository aether/oms, or hides it; a registry does not say which: NAME_UNKNOWN said so.")]
    [TestCase(403, "DENIED", "access is denied or the image is missing; a registry does not say which (HTTP 403: DENIED said so).")]
    [TestCase(401, "UNAUTHORIZED",
        "access is denied or the image is missing; a registry does not say which (HTTP 401: UNAUTHORIZED said so).")]
    [TestCase(429, "TOOMANYREQUESTS", "{0} limits the number of requests: TOOMANYREQUESTS said so.")]
    [TestCase(500, "UNKNOWN", "{0} answered HTTP 500: UNKNOWN said so.")]
    public async Task A_refusal_is_told_in_words(int status, string code, string words)
    {
        _answer = (_, context) => Refuse(context, status, code);

        var expected = string.Format(System.Globalization.CultureInfo.InvariantCulture, words, _server.Address.Authority);
        Assert.That((await RefusalAsync("oms")).Message, Is.EqualTo($"Image {Image("oms")}: {expected}"));
    }

    [Test]
    public async Task Passing_troubles_are_waited_out()
    {
        var troubles = 0;
        _answer = (call, context) =>
        {
            if (++troubles > 3)
            {
                return ServeAsync(call, context);
            }

            context.Response.Headers.RetryAfter = "5";
            return Refuse(context, troubles == 2 ? 503 : 429, "TOOMANYREQUESTS");
        };
        var start = _time.GetUtcNow();

        Assert.That(await ResolveAsync("oms"), Is.EqualTo(ManifestDigest));
        Assert.That(_time.GetUtcNow() - start, Is.EqualTo(TimeSpan.FromSeconds(15)));
    }

    [Test]
    public async Task An_unreachable_registry_is_told()
    {
        var failure = (await Assert.ThrowsAsync<RolloutException>(
            () => _registry.ResolveAsync(ImageReference.Parse("127.0.0.1:1/aether/oms:v1"), default)))!;

        Assert.That(failure.Message, Is.EqualTo("Image 127.0.0.1:1/aether/oms:v1: 127.0.0.1:1 is unreachable: Connection refused."));
    }

    private ImageReference Image(string name) => new(_server.Address.Authority, $"aether/{name}", "v1", null);

    private async Task<string> ResolveAsync(string name) => (await _registry.ResolveAsync(Image(name), default)).Digest;

    private async Task<RolloutException> RefusalAsync(string name) =>
        (await Assert.ThrowsAsync<RolloutException>(() => ResolveAsync(name)))!;

    private Task ServeAsync(HttpCall call, HttpContext context)
    {
        if (_digestHeader is not null)
        {
            context.Response.Headers["Docker-Content-Digest"] = _digestHeader;
        }

        return call.Method == "HEAD" ? Task.CompletedTask : context.Response.WriteAsync(_manifest);
    }

    private static Task Refuse(HttpContext context, int status, string code)
    {
        context.Response.StatusCode = status;
        return context.Request.Method == "HEAD"
            ? Task.CompletedTask
            : context.Response.WriteAsync($$"""{"errors":[{"code":"{{code}}","message":"said so"}]}""");
    }

    /// <summary>Makes the registry demand a token of the scope that a repository's challenge names.</summary>
    private void RequireTokens(Func<string, string> scopeOf, string? realm = null)
    {
        _answer = (call, context) =>
        {
            lock (_tokens)
            {
                if (call.Path == "/token")
                {
                    if (_onlyCredentials is not null && call.Authorization != _onlyCredentials)
                    {
                        return Refuse(context, 401, "UNAUTHORIZED");
                    }

                    var granted = context.Request.Query["scope"].ToString();
                    _tokens[$"Bearer t{_tokens.Count}-{Convert.ToHexString(Encoding.UTF8.GetBytes(granted))}"] = _lifetime;
                    return context.Response.WriteAsync(
                        $$"""{"access_token":"{{_tokens.Keys.Last()["Bearer ".Length..]}}","expires_in":{{_lifetime}}}""");
                }

                var scope = scopeOf(string.Join('/', call.Path.Split('/')[2..^2]));
                var wanted = "-" + Convert.ToHexString(Encoding.UTF8.GetBytes(scope));
                if (_tokens.ContainsKey(call.Authorization) && call.Authorization.EndsWith(wanted, StringComparison.Ordinal))
                {
                    return ServeAsync(call, context);
                }

                context.Response.Headers.WWWAuthenticate =
                    $"Bearer realm=\"{realm ?? _server.Address + "token"}\",service=\"reg, with comma\", scope=\"{scope}\"";
                return Refuse(context, (int)HttpStatusCode.Unauthorized, "UNAUTHORIZED");
            }
        };
    }

    private static string Basic(string pair) => "Basic " + Convert.ToBase64String(Encoding.UTF8.GetBytes(pair));

    private static string DigestOf(string text) => "sha256:" + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));
}
