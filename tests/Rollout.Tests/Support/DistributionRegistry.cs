using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;

namespace Rollout.Tests.Support;

/// <summary>How a <see cref="DistributionRegistry"/> is guarded.</summary>
internal enum RegistryGuard
{
    None,
    Basic,
    Token,
}

/// <summary>The CNCF's own Distribution registry (Debian: <c>docker-registry</c>) on loopback, with everything it writes in a private directory.</summary>
internal sealed class DistributionRegistry : IAsyncDisposable
{
    public const string Password = "correct-horse";
    private const string PasswordHash = "$2b$04$cIHA0HCZI2B5fzb55xhvSOExG4b0.kv3OMZcz0vyN4wK3EXPvt2pO";
    private const string Service = "registry, of tests";
    private const string Issuer = "test-issuer";

    private readonly string _directory = Directory.CreateTempSubdirectory("rollout-registry-").FullName;
    private readonly RSA _key = RSA.Create(2048);
    private Process _process = null!;
    private HttpDouble? _tokens;
    private string _certificate = "";

    /// <summary>Host and port, as in an image's name.</summary>
    public string Authority { get; private set; } = "";

    /// <summary>How long the tokens that are given are good for.</summary>
    public TimeSpan TokenLifetime { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>How many tokens were given.</summary>
    public int TokensGiven { get; private set; }

    public static bool IsInstalled => File.Exists("/usr/bin/docker-registry");

    public static async Task<DistributionRegistry> StartAsync(RegistryGuard guard = RegistryGuard.None)
    {
        var registry = new DistributionRegistry();
        try
        {
            await registry.BeginAsync(guard);
            return registry;
        }
        catch
        {
            await registry.DisposeAsync();
            throw;
        }
    }

    /// <summary>Pushes an image of one layer, and returns its manifest's digest and size.</summary>
    /// <param name="tag">Null pushes it by its digest only, as the parts of an index are.</param>
    public async Task<(string Digest, int Size)> PushAsync(string repository, string? tag, string content)
    {
        using var client = Client();
        var blob = Encoding.UTF8.GetBytes(content);
        var config = Encoding.UTF8.GetBytes("{}");
        foreach (var part in new[] { blob, config })
        {
            using var begun = await client.PostAsync(Absolute($"/v2/{repository}/blobs/uploads/"), null);
            begun.EnsureSuccessStatusCode();
            var location = new Uri(new Uri($"http://{Authority}"), begun.Headers.Location!);
            using var body = new ByteArrayContent(part);
            using var stored = await client.PutAsync($"{location}{(location.Query.Length > 0 ? "&" : "?")}digest={DigestOf(part)}", body);
            stored.EnsureSuccessStatusCode();
        }

        var manifest = JsonSerializer.Serialize(new
        {
            schemaVersion = 2,
            mediaType = "application/vnd.oci.image.manifest.v1+json",
            config = new { mediaType = "application/vnd.oci.image.config.v1+json", digest = DigestOf(config), size = config.Length },
            layers = new[] { new { mediaType = "application/vnd.oci.image.layer.v1.tar", digest = DigestOf(blob), size = blob.Length } },
        });
        return await PutManifestAsync(client, repository, tag, manifest, "application/vnd.oci.image.manifest.v1+json");
    }

    /// <summary>Pushes an index of images that are there.</summary>
    public async Task<string> PushIndexAsync(string repository, string tag, params (string Digest, int Size, string Architecture)[] images)
    {
        using var client = Client();
        var index = JsonSerializer.Serialize(new
        {
            schemaVersion = 2,
            mediaType = "application/vnd.oci.image.index.v1+json",
            manifests = images.Select(i => new
            {
                mediaType = "application/vnd.oci.image.manifest.v1+json",
                digest = i.Digest,
                size = i.Size,
                platform = new { os = "linux", architecture = i.Architecture },
            }),
        });
        return (await PutManifestAsync(client, repository, tag, index, "application/vnd.oci.image.index.v1+json")).Digest;
    }

    public async ValueTask DisposeAsync()
    {
        if (_process is { HasExited: false })
        {
            _process.Kill();
            await _process.WaitForExitAsync();
        }

        _process?.Dispose();
        _key.Dispose();
        if (_tokens is not null)
        {
            await _tokens.DisposeAsync();
        }

        Directory.Delete(_directory, recursive: true);
    }

    private static string DigestOf(byte[] bytes) => "sha256:" + Convert.ToHexStringLower(SHA256.HashData(bytes));

    private static string Base64Url(byte[] bytes) => Convert.ToBase64String(bytes).TrimEnd('=').Replace('+', '-').Replace('/', '_');

    private static string Base64Url(object json) => Base64Url(JsonSerializer.SerializeToUtf8Bytes(json));

    private async Task<(string Digest, int Size)> PutManifestAsync(HttpClient client, string repository, string? tag, string manifest, string type)
    {
        var bytes = Encoding.UTF8.GetBytes(manifest);
        using var body = new ByteArrayContent(bytes);
        body.Headers.ContentType = new MediaTypeHeaderValue(type);
        using var stored = await client.PutAsync(Absolute($"/v2/{repository}/manifests/{tag ?? DigestOf(bytes)}"), body);
        Assert.That(stored.IsSuccessStatusCode, Is.True, await stored.Content.ReadAsStringAsync());
        return (DigestOf(bytes), bytes.Length);
    }

    // Whoever pushes has every right, by a token of its own where the registry asks for one.
    private HttpClient Client()
    {
        var client = new HttpClient();
        client.DefaultRequestHeaders.Authorization = _tokens is not null
            ? new AuthenticationHeaderValue("Bearer", Token("*", ["pull", "push"], TimeSpan.FromMinutes(5)))
            : new AuthenticationHeaderValue("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes($"rollout:{Password}")));
        return client;
    }

    private Uri Absolute(string path) => new($"http://{Authority}{path}");

    private async Task BeginAsync(RegistryGuard guard)
    {
        Authority = $"127.0.0.1:{FreePort()}";
        var auth = guard switch
        {
            RegistryGuard.Basic => $"auth:\n  htpasswd:\n    realm: tests\n    path: {_directory}/htpasswd\n",
            RegistryGuard.Token => await BeginTokensAsync(),
            _ => "",
        };
        await File.WriteAllTextAsync(Path.Combine(_directory, "htpasswd"), $"rollout:{PasswordHash}\n");
        await File.WriteAllTextAsync(
            Path.Combine(_directory, "config.yml"),
            $"version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {_directory}/store\nhttp:\n  addr: {Authority}\n{auth}");
        _process = Process.Start(new ProcessStartInfo(
            "/bin/sh", ["-c", "exec docker-registry serve \"$0/config.yml\" >\"$0/log\" 2>&1", _directory]))!;
        var begun = TimeProvider.System.GetTimestamp();
        using var client = new HttpClient();
        while (true)
        {
            try
            {
                using var answer = await client.GetAsync(Absolute("/v2/"));
                return;
            }
            catch (HttpRequestException) when (!_process.HasExited && TimeProvider.System.GetElapsedTime(begun) < TimeSpan.FromSeconds(30))
            {
                await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System, CancellationToken.None);
            }
        }
    }

    private async Task<string> BeginTokensAsync()
    {
        var request = new CertificateRequest("CN=test-issuer", _key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        using var certificate = request.CreateSelfSigned(TimeProvider.System.GetUtcNow().AddHours(-1), TimeProvider.System.GetUtcNow().AddDays(1));
        _certificate = Convert.ToBase64String(certificate.RawData);
        await File.WriteAllTextAsync(Path.Combine(_directory, "issuer.pem"), certificate.ExportCertificatePem());
        _tokens = await HttpDouble.StartAsync(seen =>
        {
            TokensGiven++;
            var query = seen.Query.TrimStart('?').Split('&').Select(p => p.Split('=')).ToDictionary(p => p[0], p => Uri.UnescapeDataString(p[1]));
            return query["service"] == Service && query["scope"].Split(':') is ["repository", var name, "pull"]
                ? new Reply(200, JsonSerializer.Serialize(new { token = Token(name, ["pull"], TokenLifetime), expires_in = 300 }))
                : new Reply(400);
        });
        return $"auth:\n  token:\n    realm: {_tokens.Address}token\n    service: \"{Service}\"\n    issuer: {Issuer}\n    rootcertbundle: {_directory}/issuer.pem\n";
    }

    private string Token(string repository, string[] actions, TimeSpan lifetime)
    {
        var now = TimeProvider.System.GetUtcNow();
        var names = repository == "*" ? ["aether/oms", "aether/ui"] : new[] { repository };
        var header = Base64Url(new { typ = "JWT", alg = "RS256", x5c = new[] { _certificate } });
        var claims = Base64Url(new
        {
            iss = Issuer,
            sub = "tests",
            aud = Service,
            exp = (now + lifetime).ToUnixTimeSeconds(),
            nbf = now.AddMinutes(-5).ToUnixTimeSeconds(),
            iat = now.ToUnixTimeSeconds(),
            jti = Guid.NewGuid().ToString(),
            access = names.Select(name => new { type = "repository", name, actions }),
        });
        var signature = _key.SignData(Encoding.ASCII.GetBytes($"{header}.{claims}"), HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        return $"{header}.{claims}.{Base64Url(signature)}";
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
