using System.Text.Json.Nodes;
using Rollout.Traffic;

namespace Rollout.Tests.Traffic;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class HostCertificateTests : IDisposable
{
    private const string Host = "oms.aether.example.com";
    private static readonly DateTimeOffset Now = new(2026, 11, 2, 9, 0, 0, TimeSpan.Zero);
    private static readonly TimeSpan Week = TimeSpan.FromDays(7);

    private readonly TestAuthority _authority = new("Aether test authority");

    public void Dispose() => _authority.Dispose();

    [Test]
    public void A_TLS_secrets_certificate_is_read_with_its_names_and_dates()
    {
        using var issued = _authority.Issue(Host, Now.AddDays(-1), Now.AddDays(90), "oms.staging.aether.example.com");
        var (certificate, problem) = HostCertificate.Read(_authority.Secret(issued));
        Assert.That(problem, Is.Null);
        Assert.That(certificate, Has.Property(nameof(HostCertificate.Subject)).EqualTo($"CN={Host}"));
        Assert.That(certificate, Has.Property(nameof(HostCertificate.Issuer)).EqualTo("CN=Aether test authority"));
        Assert.That(certificate!.Names, Is.EqualTo(new[] { Host, "oms.staging.aether.example.com" }));
        Assert.That((certificate.From, certificate.Until), Is.EqualTo((Now.AddDays(-1), Now.AddDays(90))));
        Assert.That(certificate.Fingerprint, Is.EqualTo(HostCertificate.Of(issued).Fingerprint).And.Match("^[0-9a-f]{64}$"));
        Assert.That(certificate.ProblemFor(Host, Now, Week), Is.Null);
    }

    [Test]
    public void A_key_of_another_certificate_is_a_problem()
    {
        using var issued = _authority.Issue(Host, Now, Now.AddDays(90));
        using var other = _authority.Issue(Host, Now, Now.AddDays(90));
        var (certificate, problem) = HostCertificate.Read(_authority.Secret(issued, keyOf: other));
        Assert.That(certificate, Is.Null);
        Assert.That(problem, Does.StartWith("holds no certificate with its key: "));
    }

    [TestCase("""{}""", "has no tls.crt")]
    [TestCase("""{"tls.crt":""}""", "has no tls.crt")]
    [TestCase("""{"tls.crt":"no base64!"}""", "has no tls.crt")]
    [TestCase("""{"tls.crt":"YQ=="}""", "has no tls.key")]
    [TestCase("""{"tls.crt":"YQ==","tls.key":"YQ=="}""", "holds no certificate with its key: ")]
    public void A_secret_that_holds_none_is_a_problem_in_words(string data, string says)
    {
        var (certificate, problem) = HostCertificate.Read(JsonNode.Parse(data)!.AsObject());
        Assert.That(certificate, Is.Null);
        Assert.That(problem, Does.StartWith(says));
    }

    [TestCase("oms.aether.example.com", true)]
    [TestCase("OMS.Aether.example.com", true)]
    [TestCase("a.wild.example.com", true)]
    [TestCase("a.b.wild.example.com", false)]
    [TestCase("wild.example.com", false)]
    [TestCase("fees.aether.example.com", false)]
    public void A_certificate_covers_its_names_and_a_wildcard_one_label(string host, bool covers)
    {
        using var issued = _authority.Issue(Host, Now, Now.AddDays(90), "*.wild.example.com");
        Assert.That(HostCertificate.Of(issued).Covers(host), Is.EqualTo(covers));
    }

    [TestCase(-9, -1, "expired at 2026-11-01 09:00 UTC (issuer CN=Aether test authority)")]
    [TestCase(-9, 0, "expired at 2026-11-02 09:00 UTC (issuer CN=Aether test authority)")]
    [TestCase(-9, 3, "expires at 2026-11-05 09:00 UTC, in 72 h 0 min (issuer CN=Aether test authority); it must be valid for 7 days more")]
    [TestCase(1, 90, "is not valid before 2026-11-03 09:00 UTC")]
    [TestCase(-9, 7, null)]
    public void The_dates_are_judged_with_a_margin(int from, int until, string? says)
    {
        using var issued = _authority.Issue(Host, Now.AddDays(from), Now.AddDays(until));
        Assert.That(HostCertificate.Of(issued).ProblemFor(Host, Now, Week), Is.EqualTo(says));
    }

    [Test]
    public void A_certificate_for_other_hosts_is_a_problem_that_names_them()
    {
        using var issued = _authority.Issue("fees.aether.example.com", Now.AddDays(-1), Now.AddDays(90));
        Assert.That(HostCertificate.Of(issued).ProblemFor(Host, Now, Week), Is.EqualTo($"is for fees.aether.example.com, not for {Host}"));
    }
}
