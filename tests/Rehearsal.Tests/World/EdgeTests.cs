using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Rehearsal.World;

namespace Rehearsal.Tests.World;

public sealed class EdgeTests
{
    private const string Oms = "oms.aether.example.com";
    private const string Snippet =
        """
        more_set_headers "X-Frame-Options: DENY";
        more_set_headers "Content-Security-Policy: default-src 'self'; frame-ancestors 'none'";
        """;

    private TestPlace _place = null!;
    private TinyCluster _cluster = null!;
    private HttpClient _clusterClient = null!;
    private CertificateAuthority _authority = null!;
    private Edge _edge = null!;
    private Backend _first = null!;
    private Backend _second = null!;

    [SetUp]
    public async Task StartAsync()
    {
        _place = new TestPlace();
        _cluster = await TinyCluster.StartAsync();
        _clusterClient = new HttpClient { BaseAddress = _cluster.Address, Timeout = Timeout.InfiniteTimeSpan };
        _authority = CertificateAuthority.Open(_place.Directory, TimeProvider.System);
        _first = await Backend.StartAsync("first");
        _second = await Backend.StartAsync("second");
        _cluster.Put("services", "aether-blue", "oms-service", new JsonObject
        {
            ["spec"] = new JsonObject
            {
                ["ports"] = new JsonArray(new JsonObject { ["name"] = "http", ["port"] = 80, ["targetPort"] = "http" }),
            },
        });
        PutEndpoints(_first, _second);
        PutCertificate("oms-tls", Oms);
        _cluster.Put("ingresses", "aether-blue", "oms", Ingress("nginx-blue", Oms, "oms-tls", Snippet));
        _edge = await Edge.StartAsync(
            _place.LivePlace,
            new EdgeOptions("blue", "nginx-blue", IPAddress.Parse("127.20.0.10"), _clusterClient),
            CancellationToken.None);
        await UntilAsync(() => _edge.Serves(Oms), "the Ingress is served");
    }

    [TearDown]
    public async Task StopAsync()
    {
        await _edge.DisposeAsync();
        await _first.DisposeAsync();
        await _second.DisposeAsync();
        _authority.Dispose();
        _clusterClient.Dispose();
        await _cluster.DisposeAsync();
        _place.Dispose();
    }

    [Test]
    public async Task A_host_is_served_under_its_own_certificate_by_all_ready_endpoints_in_turn()
    {
        var served = new HashSet<string>();
        await UntilAsync(
            async () =>
            {
                var answer = await GetAsync(Oms);
                Assert.That(answer.Status, Is.EqualTo(HttpStatusCode.OK));
                Assert.That(answer.Certificate!.MatchesHostname(Oms), "the certificate covers the host");
                served.Add(answer.Body);
                return served.Count == 2;
            },
            "both endpoints have answered");
        Assert.That(served, Is.EquivalentTo(new[] { $"first host={Oms} proto=https", $"second host={Oms} proto=https" }));
    }

    [Test]
    public async Task Headers_of_the_snippet_and_HSTS_are_on_the_wire_and_replace_the_services_own()
    {
        var answer = await GetAsync(Oms);
        Assert.That(answer.Headers["X-Frame-Options"], Is.EqualTo("DENY"));
        Assert.That(answer.Headers["Content-Security-Policy"], Is.EqualTo("default-src 'self'; frame-ancestors 'none'"));
        Assert.That(answer.Headers["Strict-Transport-Security"], Is.EqualTo("max-age=31536000; includeSubDomains; preload"));
    }

    [Test]
    public async Task An_Ingress_without_snippet_has_none_of_the_headers_but_HSTS()
    {
        PutCertificate("ui-tls", "ui.aether.example.com");
        _cluster.Put("ingresses", "aether-blue", "ui", Ingress("nginx-blue", "ui.aether.example.com", "ui-tls", null));
        await UntilAsync(() => _edge.Serves("ui.aether.example.com"), "the second Ingress is served");
        var answer = await GetAsync("ui.aether.example.com");
        Assert.That(answer.Headers.Keys, Does.Not.Contain("Content-Security-Policy"));
        Assert.That(answer.Headers.Keys, Does.Contain("Strict-Transport-Security"));
        Assert.That(answer.Headers["X-Frame-Options"], Is.EqualTo("SAMEORIGIN"), "what the service itself sends");
    }

    [Test]
    public async Task A_host_of_another_class_is_404_under_the_controllers_own_certificate()
    {
        _cluster.Put("ingresses", "aether-green", "oms", Ingress("nginx-green", "green.aether.example.com", "oms-tls", Snippet));
        var answer = await GetAsync("green.aether.example.com");
        Assert.That(answer.Status, Is.EqualTo(HttpStatusCode.NotFound));
        Assert.That(answer.Certificate!.Subject, Does.Contain("Kubernetes Ingress Controller Fake Certificate"));
    }

    [Test]
    public async Task A_changed_host_is_served_under_its_certificate_and_the_one_before_no_more()
    {
        await GetAsync(Oms);
        PutCertificate("late-tls", "late.aether.example.com");
        _cluster.Put("ingresses", "aether-blue", "oms", Ingress("nginx-blue", "late.aether.example.com", "late-tls", Snippet));
        await UntilAsync(() => _edge.Serves("late.aether.example.com"), "the changed Ingress is served");
        Assert.That(_edge.Serves(Oms), Is.False, "the host that the Ingress no longer names");
        await UntilAsync(
            async () => (await GetAsync("late.aether.example.com")).Certificate!.MatchesHostname("late.aether.example.com"),
            "its certificate is shown, which another watch tells of");
    }

    [Test]
    public async Task A_certificate_that_does_not_cover_the_host_is_not_shown()
    {
        PutCertificate("oms-tls", "other.example.com");
        await UntilAsync(
            async () => (await GetAsync(Oms)).Certificate!.Subject.Contains("Fake", StringComparison.Ordinal),
            "the fake certificate is shown");
    }

    [Test]
    public async Task Without_ready_endpoints_the_answer_is_503_and_a_dead_one_is_passed_over()
    {
        await _second.DisposeAsync();
        for (var call = 0; call < 4; call++)
        {
            Assert.That((await GetAsync(Oms)).Body, Does.StartWith("first"), "while the dead endpoint is still listed");
        }

        for (var call = 0; call < 4; call++)
        {
            Assert.That((await GetAsync(Oms, order: "{}")).Body, Does.StartWith("first"), "a POST too, where nothing of it was sent");
        }

        PutEndpoints();
        await UntilAsync(() => !_edge.Serves(Oms), "the endpoints are gone");
        var answer = await GetAsync(Oms);
        Assert.That(answer.Status, Is.EqualTo(HttpStatusCode.ServiceUnavailable));
        Assert.That(answer.Headers["X-Frame-Options"], Is.EqualTo("DENY"));
    }

    [Test]
    public async Task However_many_ask_at_once_each_tries_every_endpoint_before_one_again()
    {
        await _second.DisposeAsync();
        var answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => GetAsync(Oms)));
        Assert.That(answers.Select(a => a.Status), Is.All.EqualTo(HttpStatusCode.OK));
    }

    [Test]
    public async Task Plain_HTTP_is_redirected()
    {
        using var client = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false, UseProxy = false });
        using var request = new HttpRequestMessage(HttpMethod.Get, $"http://127.20.0.10:{_edge.HttpPort}/metrics?x=1");
        request.Headers.Host = Oms;
        using var answer = await client.SendAsync(request);
        Assert.That(answer.StatusCode, Is.EqualTo(HttpStatusCode.PermanentRedirect));
        Assert.That(answer.Headers.Location!.ToString(), Is.EqualTo($"https://{Oms}:{_edge.HttpsPort}/metrics?x=1"));
    }

    [Test]
    public async Task Its_address_is_written_into_the_status_once()
    {
        await UntilAsync(() => !_cluster.Patches.IsEmpty, "a status patch");
        Assert.That(_cluster.Patches.TryPeek(out var patch));
        Assert.That(patch.Path, Is.EqualTo("/apis/networking.k8s.io/v1/namespaces/aether-blue/ingresses/oms/status"));
        Assert.That((string?)JsonNode.Parse(patch.Body)!["status"]!["loadBalancer"]!["ingress"]![0]!["ip"], Is.EqualTo("127.20.0.10"));
    }

    [Test]
    public async Task It_lists_again_when_its_watch_is_too_old()
    {
        _cluster.Compact();
        _cluster.Delete("ingresses", "aether-blue", "oms");
        await UntilAsync(() => !_edge.Serves(Oms), "the deletion that no watch told");
    }

    [Test]
    public async Task Faults_act_on_their_slot_and_host_only()
    {
        _place.Faults.Set("edge-not-found", $"green:{Oms}");
        Assert.That((await GetAsync(Oms)).Status, Is.EqualTo(HttpStatusCode.OK), "another slot's fault");
        _place.Faults.Set("edge-not-found", $"blue:{Oms}");
        Assert.That((await GetAsync(Oms)).Status, Is.EqualTo(HttpStatusCode.NotFound));
        _place.Faults.ClearAll();
        _place.Faults.Set("edge-missing-header", $"blue:{Oms}");
        var incomplete = await GetAsync(Oms);
        Assert.That(incomplete.Headers["X-Frame-Options"], Is.EqualTo("SAMEORIGIN"), "the first header of the snippet is missing");
        Assert.That(incomplete.Headers.Keys, Does.Contain("Content-Security-Policy"));
        _place.Faults.Set("edge-wrong-certificate", $"blue:{Oms}");
        Assert.That((await GetAsync(Oms)).Certificate!.Subject, Does.Contain("Fake"));
    }

    [Test]
    public async Task Requests_are_counted_by_host_and_probes_apart()
    {
        await GetAsync(Oms);
        await GetAsync(Oms, "rollout-v2026.11.1-3.2-1");
        await GetAsync("unknown.example.com");
        Assert.That(_edge.Traffic[Oms], Has.Property("Requests").EqualTo(2).And.Property("Probes").EqualTo(1));
        Assert.That(_edge.Traffic["unknown.example.com"].Requests, Is.EqualTo(1));
    }

    private static JsonObject Ingress(string ingressClass, string host, string secret, string? snippet)
    {
        var annotations = new JsonObject
        {
            ["nginx.ingress.kubernetes.io/force-ssl-redirect"] = "true",
            ["nginx.ingress.kubernetes.io/hsts-max-age"] = "1",
        };
        if (snippet is not null)
        {
            annotations["nginx.ingress.kubernetes.io/configuration-snippet"] = snippet;
        }

        return new JsonObject
        {
            ["metadata"] = new JsonObject { ["annotations"] = annotations },
            ["spec"] = new JsonObject
            {
                ["ingressClassName"] = ingressClass,
                ["tls"] = new JsonArray(new JsonObject { ["secretName"] = secret, ["hosts"] = new JsonArray(host) }),
                ["rules"] = new JsonArray(new JsonObject
                {
                    ["host"] = host,
                    ["http"] = new JsonObject
                    {
                        ["paths"] = new JsonArray(new JsonObject
                        {
                            ["path"] = "/",
                            ["pathType"] = "Prefix",
                            ["backend"] = new JsonObject
                            {
                                ["service"] = new JsonObject { ["name"] = "oms-service", ["port"] = new JsonObject { ["number"] = 80 } },
                            },
                        }),
                    },
                }),
            },
        };
    }

    private void PutCertificate(string secret, string host)
    {
        var issued = _authority.Issue(host);
        _cluster.Put("secrets", "aether-blue", secret, new JsonObject
        {
            ["type"] = "kubernetes.io/tls",
            ["data"] = new JsonObject
            {
                ["tls.crt"] = Convert.ToBase64String(Encoding.UTF8.GetBytes(issued.CertificatePem)),
                ["tls.key"] = Convert.ToBase64String(Encoding.UTF8.GetBytes(issued.KeyPem)),
            },
        });
    }

    private void PutEndpoints(params Backend[] ready)
    {
        _cluster.Put("endpoints", "aether-blue", "oms-service", new JsonObject
        {
            ["subsets"] = new JsonArray(
            [
                .. ready.Select(backend => new JsonObject
                {
                    ["addresses"] = new JsonArray(new JsonObject { ["ip"] = "127.0.0.1" }),
                    ["ports"] = new JsonArray(new JsonObject { ["name"] = "http", ["port"] = backend.Port }),
                }),
            ]),
        });
    }

    private static Task UntilAsync(Func<bool> condition, string what)
    {
        return UntilAsync(() => Task.FromResult(condition()), what);
    }

    private static async Task UntilAsync(Func<Task<bool>> condition, string what)
    {
        using var limit = new CancellationTokenSource(Patience.Limit);
        while (!await condition())
        {
            Assert.That(limit.IsCancellationRequested, Is.False, $"waited in vain until {what}");
            await Task.Delay(TimeSpan.FromMilliseconds(5), TimeProvider.System);
        }
    }

    private async Task<(HttpStatusCode Status, Dictionary<string, string> Headers, string Body, X509Certificate2? Certificate)> GetAsync(
        string host, string? requestId = null, string? order = null)
    {
        X509Certificate2? seen = null;
        using var client = new HttpClient(new SocketsHttpHandler
        {
            UseProxy = false,
            ConnectCallback = async (_, cancellationToken) =>
            {
                var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
                await socket.ConnectAsync(IPAddress.Parse("127.20.0.10"), _edge.HttpsPort, cancellationToken);
                return new NetworkStream(socket, ownsSocket: true);
            },
            SslOptions = new SslClientAuthenticationOptions
            {
                RemoteCertificateValidationCallback = (_, certificate, _, _) =>
                {
                    // Which certificate it was is what the tests look at, so every one is let through.
                    seen = X509CertificateLoader.LoadCertificate(certificate!.GetRawCertData());
                    return seen.RawData.Length > 0;
                },
            },
        });
        using var request = new HttpRequestMessage(order is null ? HttpMethod.Get : HttpMethod.Post, $"https://{host}/");
        request.Content = order is null ? null : new StringContent(order);
        if (requestId is not null)
        {
            request.Headers.Add("x-request-id", requestId);
        }

        using var answer = await client.SendAsync(request);
        return (
            answer.StatusCode,
            answer.Headers.ToDictionary(header => header.Key, header => string.Join(',', header.Value), StringComparer.OrdinalIgnoreCase),
            await answer.Content.ReadAsStringAsync(),
            seen);
    }

    private sealed class Backend : IAsyncDisposable
    {
        private readonly WebApplication _application;
        private int _isDisposed;

        private Backend(WebApplication application)
        {
            _application = application;
        }

        public int Port => new Uri(_application.Urls.First()).Port;

        public static async Task<Backend> StartAsync(string name)
        {
            var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
            builder.WebHost.UseKestrelCore().ConfigureKestrel(options => options.Listen(IPAddress.Loopback, 0));
            var application = builder.Build();
            application.Run(context =>
            {
                context.Response.Headers.XFrameOptions = "SAMEORIGIN";
                return context.Response.WriteAsync(
                    $"{name} host={context.Request.Host} proto={context.Request.Headers["X-Forwarded-Proto"]}");
            });
            await application.StartAsync();
            return new Backend(application);
        }

        public async ValueTask DisposeAsync()
        {
            if (Interlocked.Exchange(ref _isDisposed, 1) == 0)
            {
                await _application.StopAsync();
                await _application.DisposeAsync();
            }
        }
    }
}
