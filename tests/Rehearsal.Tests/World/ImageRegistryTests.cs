using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using Rehearsal.World;

namespace Rehearsal.Tests.World;

public sealed class ImageRegistryTests
{
    private const string Index = "application/vnd.oci.image.index.v1+json";
    private const string Manifest = "application/vnd.oci.image.manifest.v1+json";

    private TestPlace _place = null!;
    private ImageRegistry _registry = null!;
    private HttpClient _client = null!;

    [SetUp]
    public async Task StartAsync()
    {
        _place = new TestPlace();
        _registry = await ImageRegistry.StartAsync(
            _place.Place,
            new RegistryOptions("registry-secret", ["aether/oms-service", "aether/aether-2-ui"], ["v2026.11.0", "v2026.11.1"]),
            CancellationToken.None);
        _client = TestPlace.Client(new Uri($"http://{_registry.Address}/"), null);
    }

    [TearDown]
    public async Task StopAsync()
    {
        _client.Dispose();
        await _registry.DisposeAsync();
        _place.Dispose();
    }

    [Test]
    public async Task Without_a_token_the_challenge_says_where_to_get_one()
    {
        using var answer = await _client.GetAsync("v2/aether/oms-service/manifests/v2026.11.0");
        Assert.That(answer.StatusCode, Is.EqualTo(HttpStatusCode.Unauthorized));
        var challenge = answer.Headers.WwwAuthenticate.Single();
        Assert.That(challenge.Scheme, Is.EqualTo("Bearer"));
        Assert.That(challenge.Parameter, Does.Contain($"realm=\"http://{_registry.Address}/token\""));
        Assert.That(challenge.Parameter, Does.Contain("scope=\"repository:aether/oms-service:pull\""));
        Assert.That((string?)(await answer.JsonAsync())["errors"]![0]!["code"], Is.EqualTo("UNAUTHORIZED"));
    }

    [Test]
    public async Task A_token_is_for_one_repository_and_for_a_minute()
    {
        var token = await TokenAsync("aether/oms-service");
        using var mine = await AskAsync(HttpMethod.Head, "aether/oms-service", "v2026.11.0", token);
        Assert.That(mine.StatusCode, Is.EqualTo(HttpStatusCode.OK));
        using var other = await AskAsync(HttpMethod.Head, "aether/aether-2-ui", "v2026.11.0", token);
        Assert.That(other.StatusCode, Is.EqualTo(HttpStatusCode.Unauthorized));
        _place.Clock.Advance(TimeSpan.FromSeconds(61));
        using var late = await AskAsync(HttpMethod.Head, "aether/oms-service", "v2026.11.0", token);
        Assert.That(late.StatusCode, Is.EqualTo(HttpStatusCode.Unauthorized));
        Assert.That(late.Headers.WwwAuthenticate.ToString(), Does.Contain("invalid_token"));
    }

    [Test]
    public async Task The_token_endpoint_wants_credentials()
    {
        using var answer = await _client.GetAsync("token?service=rehearsal&scope=repository:aether/oms-service:pull");
        Assert.That(answer.StatusCode, Is.EqualTo(HttpStatusCode.Unauthorized));
    }

    [Test]
    public async Task A_digest_is_the_hash_of_the_exact_body_and_what_a_node_reports()
    {
        var token = await TokenAsync("aether/oms-service");
        using var answer = await AskAsync(HttpMethod.Get, "aether/oms-service", "v2026.11.1", token);
        var digest = answer.Headers.GetValues("Docker-Content-Digest").Single();
        Assert.That(digest, Is.EqualTo("sha256:" + Convert.ToHexStringLower(SHA256.HashData(await answer.Content.ReadAsByteArrayAsync()))));
        Assert.That(digest, Is.EqualTo(_registry.Digest("aether/oms-service", "v2026.11.1")));
        Assert.That(digest, Is.Not.EqualTo(_registry.Digest("aether/oms-service", "v2026.11.0")));
        using var byDigest = await AskAsync(HttpMethod.Head, "aether/oms-service", digest, token);
        Assert.That(byDigest.StatusCode, Is.EqualTo(HttpStatusCode.OK));
    }

    [Test]
    public async Task Who_does_not_accept_an_index_gets_another_digest()
    {
        var token = await TokenAsync("aether/oms-service");
        using var index = await AskAsync(HttpMethod.Head, "aether/oms-service", "v2026.11.0", token);
        using var manifest = await AskAsync(HttpMethod.Head, "aether/oms-service", "v2026.11.0", token, Manifest);
        using var neither = await AskAsync(
            HttpMethod.Head, "aether/oms-service", "v2026.11.0", token, "application/vnd.docker.distribution.manifest.v2+json");
        Assert.That(index.Content.Headers.ContentType!.MediaType, Is.EqualTo(Index));
        Assert.That(manifest.Content.Headers.ContentType!.MediaType, Is.EqualTo(Manifest));
        Assert.That(manifest.Headers.GetValues("Docker-Content-Digest"), Is.Not.EqualTo(index.Headers.GetValues("Docker-Content-Digest")));
        Assert.That(neither.StatusCode, Is.EqualTo(HttpStatusCode.NotFound));
    }

    [Test]
    public async Task A_single_manifest_is_served_too()
    {
        using var answer = await AskAsync(HttpMethod.Head, "aether/aether-2-ui", "v2026.11.0", await TokenAsync("aether/aether-2-ui"));
        Assert.That(answer.Content.Headers.ContentType!.MediaType, Is.EqualTo(Manifest));
    }

    [Test]
    public async Task What_is_missing_has_the_specifications_codes()
    {
        var token = await TokenAsync("aether/oms-service");
        using var tag = await AskAsync(HttpMethod.Get, "aether/oms-service", "v1", token);
        Assert.That((string?)(await tag.JsonAsync())["errors"]![0]!["code"], Is.EqualTo("MANIFEST_UNKNOWN"));
        using var name = await AskAsync(HttpMethod.Get, "aether/nothing", "v1", await TokenAsync("aether/nothing"));
        Assert.That((string?)(await name.JsonAsync())["errors"]![0]!["code"], Is.EqualTo("NAME_UNKNOWN"));
        using var head = await AskAsync(HttpMethod.Head, "aether/oms-service", "v1", token);
        Assert.That((head.StatusCode, (await head.Content.ReadAsByteArrayAsync()).Length), Is.EqualTo((HttpStatusCode.NotFound, 0)));
    }

    [Test]
    public async Task Faults_take_a_tag_the_digest_header_or_the_whole_registry_away()
    {
        var token = await TokenAsync("aether/oms-service");
        _place.Faults.Set("registry-no-digest", "");
        using (var answer = await AskAsync(HttpMethod.Head, "aether/oms-service", "v2026.11.0", token))
        {
            Assert.That(answer.Headers.Contains("Docker-Content-Digest"), Is.False);
        }

        _place.Faults.Set("registry-missing-tag", "aether/oms-service");
        using (var answer = await AskAsync(HttpMethod.Head, "aether/oms-service", "v2026.11.0", token))
        {
            Assert.That(answer.StatusCode, Is.EqualTo(HttpStatusCode.NotFound));
        }

        _place.Faults.Set("registry-down", "");
        using (var answer = await AskAsync(HttpMethod.Head, "aether/oms-service", "v2026.11.0", token))
        {
            Assert.That(answer.StatusCode, Is.EqualTo(HttpStatusCode.ServiceUnavailable));
        }
    }

    private async Task<string> TokenAsync(string repository)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, $"token?service=rehearsal&scope=repository:{repository}:pull");
        request.Headers.Authorization = new AuthenticationHeaderValue(
            "Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes("any:registry-secret")));
        using var answer = await _client.SendAsync(request);
        return (string)(await answer.JsonAsync())["token"]!;
    }

    private async Task<HttpResponseMessage> AskAsync(
        HttpMethod method, string repository, string reference, string token, string accept = Index + "," + Manifest)
    {
        using var request = new HttpRequestMessage(method, $"v2/{repository}/manifests/{reference}");
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        request.Headers.TryAddWithoutValidation("Accept", accept);
        return await _client.SendAsync(request);
    }
}
