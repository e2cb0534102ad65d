using System.Collections.Concurrent;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Rollout.Tests.Traffic;

/// <summary>A certificate authority: a test's own, or that of a world.</summary>
internal sealed class TestAuthority : IDisposable
{
    private readonly X509Certificate2 _certificate;

    public TestAuthority(string name)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        _certificate = request.CreateSelfSigned(DateTimeOffset.UnixEpoch.AddYears(30), DateTimeOffset.UnixEpoch.AddYears(100));
    }

    /// <param name="certificate">PEM file; <paramref name="key"/> is the file of its key.</param>
    public TestAuthority(string certificate, string key) => _certificate = X509Certificate2.CreateFromPemFile(certificate, key);

    public string Pem => _certificate.ExportCertificatePem();

    /// <param name="host">The subject and the first name; <paramref name="more"/> are the others.</param>
    public X509Certificate2 Issue(string host, DateTimeOffset from, DateTimeOffset until, params string[] more)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={host}", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        foreach (var name in more.Prepend(host))
        {
            names.AddDnsName(name);
        }

        request.CertificateExtensions.Add(names.Build());
        using var issued = request.Create(_certificate, from, until, RandomNumberGenerator.GetBytes(8));
        return issued.CopyWithPrivateKey(key);
    }

    /// <summary>The <c>data</c> of a TLS secret.</summary>
    public JsonObject Secret(X509Certificate2 issued, X509Certificate2? keyOf = null) => new()
    {
        ["tls.crt"] = Encoded($"{issued.ExportCertificatePem()}\n{Pem}\n"),
        ["tls.key"] = Encoded((keyOf ?? issued).GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem()),
    };

    public void Dispose() => _certificate.Dispose();

    private static string Encoded(string text) => Convert.ToBase64String(Encoding.ASCII.GetBytes(text));
}

/// <summary>An ingress: TLS with one certificate, and the same answer to every request.</summary>
internal sealed class EdgeDouble : IAsyncDisposable
{
    private readonly WebApplication _app;

    private EdgeDouble(WebApplication app) => _app = app;

    public int Port { get; private set; }

    public ConcurrentQueue<string?> ServerNames { get; } = new();

    public ConcurrentQueue<string> Hosts { get; } = new();

    /// <param name="like">An edge whose port this one has too, on the next loopback address: the other slot.</param>
    public static async Task<EdgeDouble> StartAsync(X509Certificate2 certificate, Func<HttpContext, Task> answer, EdgeDouble? like = null)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        EdgeDouble? edge = null;
        builder.WebHost.UseKestrelHttpsConfiguration();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Parse(like is null ? "127.0.0.1" : "127.0.0.2"), like?.Port ?? 0, listen => listen.UseHttps(https =>
            https.ServerCertificateSelector = (_, name) =>
            {
                edge!.ServerNames.Enqueue(name);
                return certificate;
            })));
        edge = new EdgeDouble(builder.Build());
        edge._app.Run(async context =>
        {
            edge.Hosts.Enqueue(context.Request.Host.Value!);
            await answer(context);
        });
        await edge._app.StartAsync();
        var addresses = edge._app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!;
        edge.Port = new Uri(addresses.Addresses.Single()).Port;
        return edge;
    }

    public async ValueTask DisposeAsync()
    {
        await _app.StopAsync(new CancellationToken(canceled: true));
        await _app.DisposeAsync();
    }
}
