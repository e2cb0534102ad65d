using System.Net;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;

namespace Rehearsal.Cluster;

/// <summary>
/// A Kubernetes API server over an <see cref="ObjectStore"/> that kubectl and helm use through TLS and a bearer token. Holds no
/// containers: what needs a node goes through <see cref="ApiServerOptions.Node"/>.
/// </summary>
public sealed class ApiServer : IAsyncDisposable
{
    /// <summary>How the User-Agent of the world's own clients begins: they are spared where the server is unreliable.</summary>
    public const string OwnAgent = "rehearsal-world/";

    // Followed logs and running commands end only when their connection is cut.
    private static readonly TimeSpan StopPatience = TimeSpan.FromSeconds(2);

    private readonly WebApplication _application;
    private readonly ApiRouter _router;
    private readonly CancellationTokenSource _stopping;
    private readonly Task _namespaces;
    private readonly TimeProvider _time;

    private ApiServer(
        WebApplication application,
        ApiRouter router,
        CancellationTokenSource stopping,
        Task namespaces,
        TimeProvider time,
        Uri address,
        string token,
        string authority,
        string authorityPath)
    {
        _application = application;
        _router = router;
        _stopping = stopping;
        _namespaces = namespaces;
        _time = time;
        Address = address;
        Token = token;
        CertificateAuthority = authority;
        CertificateAuthorityPath = authorityPath;
    }

    /// <summary>Where the server listens, with the port the operating system chose if none was given.</summary>
    public Uri Address { get; }

    /// <summary>The administrator's bearer token.</summary>
    public string Token { get; }

    /// <summary>The authority that signed the server's certificate, as PEM text.</summary>
    public string CertificateAuthority { get; }

    /// <summary>The file that holds <see cref="CertificateAuthority"/>.</summary>
    public string CertificateAuthorityPath { get; }

    /// <summary>Starts listening; when it returns, requests are answered and the initial namespaces exist.</summary>
    public static async Task<ApiServer> StartAsync(ApiServerOptions options, ObjectStore store, TimeProvider time, CancellationToken ct)
    {
        Directory.CreateDirectory(options.Directory);
        var token = options.Token ?? LoadToken(options.Directory);
        var (certificate, authority) = Certificates.LoadOrCreate(options.Directory, options.Host, time);
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().UseKestrelHttpsConfiguration().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = null;
            kestrel.Limits.MinRequestBodyDataRate = null;
            kestrel.Limits.MinResponseDataRate = null;
            // A waiting client holds one stream for each watch, all on one connection.
            kestrel.Limits.Http2.MaxStreamsPerConnection = 1000;
            kestrel.Listen(IPAddress.Parse(options.Host), options.Port, listen =>
            {
                listen.Protocols = HttpProtocols.Http1AndHttp2;
                listen.UseHttps(certificate);
            });
        });
        var application = builder.Build();
        var stopping = new CancellationTokenSource();
        // The router needs the port; requests that come before it is known wait for it.
        var ready = new TaskCompletionSource<ApiRouter>(TaskCreationOptions.RunContinuationsAsynchronously);
        application.UseWebSockets();
        application.Run(async context => await (await ready.Task).HandleAsync(context));
        try
        {
            await application.StartAsync(ct);
        }
        catch
        {
            await application.DisposeAsync();
            stopping.Dispose();
            throw;
        }

        var listening = application.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First();
        var address = new Uri($"https://{options.Host}:{new Uri(listening).Port}");
        var router = new ApiRouter(token, address.Authority, store, options, time, stopping.Token);
        var namespaces = new NamespaceLifecycle(store, time, authority, options.Complain);
        namespaces.EnsureInitial(address);
        var running = namespaces.RunAsync(stopping.Token);
        ready.SetResult(router);
        return new ApiServer(
            application,
            router,
            stopping,
            running,
            time,
            address,
            token,
            authority,
            Path.GetFullPath(Path.Combine(options.Directory, "ca.crt")));
    }

    /// <summary>Which write of a journal fault <c>cluster-hold</c> holds (its argument), now or within the patience; null: none.</summary>
    public Task<string?> HeldAsync(TimeSpan patience, CancellationToken ct) => _router.Hold.HeldAsync(patience, ct);

    /// <summary>
    /// Writes a kubeconfig (mode 0600) with the authority and the token inside, context <c>rehearsal</c>, and returns its full path.
    /// </summary>
    public string WriteKubeconfig(string path)
    {
        var authority = Convert.ToBase64String(Encoding.UTF8.GetBytes(CertificateAuthority));
        var text = $"""
            apiVersion: v1
            kind: Config
            clusters:
            - name: rehearsal
              cluster:
                server: {Address.ToString().TrimEnd('/')}
                certificate-authority-data: {authority}
            users:
            - name: rehearsal
              user:
                token: {Token}
            contexts:
            - name: rehearsal
              context:
                cluster: rehearsal
                user: rehearsal
                namespace: default
            current-context: rehearsal
            preferences: {"{}"}

            """;
        path = Path.GetFullPath(path);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        Certificates.WriteSecret(path, text.ReplaceLineEndings("\n"));
        return path;
    }

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        try
        {
            await _namespaces;
        }
        catch (OperationCanceledException)
        {
            // Stopped by us.
        }

        using (var patience = new CancellationTokenSource(StopPatience, _time))
        {
            await _application.StopAsync(patience.Token);
        }

        await _application.DisposeAsync();
        _router.Dispose();
        _stopping.Dispose();
    }

    private static string LoadToken(string directory)
    {
        var path = Path.Combine(directory, "token");
        if (!File.Exists(path))
        {
            Certificates.WriteSecret(path, Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(24)));
        }

        return File.ReadAllText(path).Trim();
    }
}
