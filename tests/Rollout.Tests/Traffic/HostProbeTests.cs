using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Time.Testing;
using Rollout.Traffic;

namespace Rollout.Tests.Traffic;

[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class HostProbeTests
{
    private const string Host = "oms.aether.example.com";
    private static readonly DateTimeOffset Now = new(2026, 11, 2, 9, 0, 0, TimeSpan.Zero);

    private readonly FakeTimeProvider _time = new(Now);
    private readonly TestAuthority _authority = new("Aether test authority");
    private readonly string _authorityFile = Path.GetTempFileName();

    [SetUp]
    public void WriteAuthority() => File.WriteAllText(_authorityFile, _authority.Pem);

    [TearDown]
    public void Clean()
    {
        _authority.Dispose();
        File.Delete(_authorityFile);
    }

    [Test]
    public async Task A_probe_carries_the_hosts_name_in_SNI_and_Host_and_reports_what_it_saw()
    {
        await using var edge = await ServeAsync(Host, context =>
        {
            context.Response.StatusCode = 401;
            context.Response.Headers["X-Frame-Options"] = "DENY";
            context.Response.Headers.Append("Set-Cookie", "a=1");
            context.Response.Headers.Append("Set-Cookie", "b=2");
            return context.Response.WriteAsync("who are you");
        });

        var seen = await Probe(edge).ProbeAsync(Host, "/healthz", "127.0.0.1", default);

        Assert.That(seen.Error, Is.Null);
        Assert.That(seen, Has.Property(nameof(seen.Status)).EqualTo(401));
        Assert.That(seen.Headers["x-frame-options"], Is.EqualTo("DENY"));
        Assert.That(seen.Headers["Set-Cookie"], Is.EqualTo("a=1, b=2"));
        Assert.That(seen.CertificateSubject, Is.EqualTo($"CN={Host}"));
        Assert.That(seen.CertificateExpires, Is.EqualTo(Now.AddDays(90)));
        Assert.That(seen.Path, Is.EqualTo("/healthz"));
        Assert.That(seen.Certificate!.Names, Is.EqualTo(new[] { Host }));
        Assert.That(edge.ServerNames, Is.EqualTo(new[] { Host }));
        Assert.That(edge.Hosts, Is.EqualTo(new[] { Host }));
    }

    [Test]
    public async Task A_redirect_is_reported_and_not_followed()
    {
        await using var edge = await ServeAsync(Host, context =>
        {
            context.Response.Redirect("https://elsewhere.test/");
            return Task.CompletedTask;
        });

        var seen = await Probe(edge).ProbeAsync(Host, "/", "127.0.0.1", default);

        Assert.That((seen.Status, seen.Headers["Location"]), Is.EqualTo((302, "https://elsewhere.test/")));
    }

    [Test]
    public async Task A_certificate_for_another_host_is_a_mismatch()
    {
        await using var edge = await ServeAsync("ingress.local");

        var seen = await Probe(edge).ProbeAsync(Host, "/", "127.0.0.1", default);

        Assert.That(seen.Status, Is.Null);
        Assert.That(seen.Error, Is.EqualTo($"the certificate (CN=ingress.local) is for ingress.local, not for {Host}"));
        Assert.That(seen.CertificateSubject, Is.EqualTo("CN=ingress.local"));
        Assert.That(edge.Hosts, Is.Empty, "no request may follow a certificate that was refused");
    }

    [Test]
    public async Task A_certificate_of_a_stranger_is_untrusted()
    {
        using var stranger = new TestAuthority("Stranger");
        using var certificate = stranger.Issue(Host, Now.AddDays(-1), Now.AddDays(90));
        await using var edge = await EdgeDouble.StartAsync(certificate, _ => Task.CompletedTask);

        var seen = await Probe(edge).ProbeAsync(Host, "/", "127.0.0.1", default);

        Assert.That(seen.Error, Is.EqualTo(
            $"the certificate (CN={Host}) is not signed by an authority that is trusted here (issuer: CN=Stranger)"));
    }

    [Test]
    public async Task Without_an_authority_of_its_own_the_machines_are_asked()
    {
        await using var edge = await ServeAsync(Host);

        var seen = await new HostProbe(edge.Port, null, _time).ProbeAsync(Host, "/", "127.0.0.1", default);

        Assert.That(seen.Error, Does.Contain("is not signed by an authority that is trusted here (issuer: CN=Aether test authority)"));
    }

    [Test]
    public async Task An_expired_certificate_is_told_by_its_date()
    {
        await using var edge = await ServeAsync(Host);
        _time.Advance(TimeSpan.FromDays(91));

        var seen = await Probe(edge).ProbeAsync(Host, "/", "127.0.0.1", default);

        Assert.That(seen.Error, Is.EqualTo($"the certificate (CN={Host}) expired at 2027-01-31 09:00:00Z"));
    }

    [Test]
    public async Task A_certificate_of_the_future_is_told_by_its_date()
    {
        using var certificate = _authority.Issue(Host, Now.AddDays(3), Now.AddDays(90));
        await using var edge = await EdgeDouble.StartAsync(certificate, _ => Task.CompletedTask);

        var seen = await Probe(edge).ProbeAsync(Host, "/", "127.0.0.1", default);

        Assert.That(seen.Error, Is.EqualTo($"the certificate (CN={Host}) is not valid before 2026-11-05 09:00:00Z"));
    }

    [Test]
    public async Task All_that_is_wrong_with_a_certificate_is_told()
    {
        using var stranger = new TestAuthority("Stranger");
        using var certificate = stranger.Issue("ingress.local", Now.AddDays(-9), Now.AddDays(-1));
        await using var edge = await EdgeDouble.StartAsync(certificate, _ => Task.CompletedTask);

        var seen = await Probe(edge).ProbeAsync(Host, "/", "127.0.0.1", default);

        Assert.That(seen.Error, Does.Contain("not for oms").And.Contain("expired at").And.Contain("not signed by"));
    }

    [Test]
    public async Task A_closed_port_is_an_error_in_words()
    {
        var seen = await new HostProbe(1, _authorityFile, _time).ProbeAsync(Host, "/", "127.0.0.1", default);

        Assert.That(seen.Error, Is.EqualTo("127.0.0.1:1 cannot be reached: Connection refused"));
    }

    [Test]
    public async Task A_server_that_speaks_no_TLS_is_an_error_in_words()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var port = ((IPEndPoint)listener.LocalEndpoint).Port;
        var serving = Task.Run(async () =>
        {
            using var client = await listener.AcceptTcpClientAsync();
            await client.GetStream().WriteAsync("HTTP/1.1 400 Bad Request\r\n\r\n"u8.ToArray());
        });

        var seen = await new HostProbe(port, _authorityFile, _time).ProbeAsync(Host, "/", "127.0.0.1", default);

        await serving;
        Assert.That(
            seen.Error,
            Does.StartWith($"the TLS handshake with 127.0.0.1:{port} failed: ").Or.StartWith($"127.0.0.1:{port} gave no HTTP answer: "));
    }

    [Test]
    public async Task An_authority_that_cannot_be_read_is_a_wrong_setting()
    {
        var failure = (await Assert.ThrowsAsync<RolloutException>(
            () => new HostProbe(443, "/nowhere/ca.crt", _time).ProbeAsync(Host, "/", "127.0.0.1", default)))!;

        Assert.That(failure.Message, Does.StartWith("The certificate authority '/nowhere/ca.crt' cannot be read: "));
        Assert.That(failure.ExitCode, Is.EqualTo(ExitCode.BadSettings));
    }

    [Test]
    public async Task Cancellation_ends_a_probe()
    {
        using var stop = new CancellationTokenSource();
        await using var edge = await ServeAsync(Host, async context =>
        {
            await stop.CancelAsync();
            await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, context.RequestAborted)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        });

        await Assert.ThatAsync(
            () => Probe(edge).ProbeAsync(Host, "/", "127.0.0.1", stop.Token), Throws.InstanceOf<OperationCanceledException>());
    }

    private HostProbe Probe(EdgeDouble edge) => new(edge.Port, _authorityFile, _time);

    private Task<EdgeDouble> ServeAsync(string certificateHost, Func<HttpContext, Task>? answer = null) =>
        EdgeDouble.StartAsync(_authority.Issue(certificateHost, Now.AddDays(-1), Now.AddDays(90)), answer ?? (_ => Task.CompletedTask));
}
