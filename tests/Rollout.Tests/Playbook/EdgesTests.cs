using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;
using Rollout.Cluster;
using Rollout.Playbook;
using Rollout.Tests.Traffic;
using Rollout.Traffic;

namespace Rollout.Tests.Playbook;

/// <summary>What is decided about a candidate's edge, without an edge.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class EdgesTests : IDisposable
{
    private const string Host = "oms.aether.example.com";
    private static readonly DateTimeOffset Now = new(2026, 11, 2, 9, 0, 0, TimeSpan.Zero);

    private static readonly RenderedChart Chart = RenderedChart.Parse($$"""
        kind: Ingress
        spec: { tls: [{ hosts: [{{Host}}], secretName: oms-tls }], rules: [{ host: {{Host}} }] }
        ---
        kind: Ingress
        spec: { rules: [{ host: bare.aether.example.com }] }
        """);

    private readonly TestAuthority _authority = new("Aether test authority");

    public void Dispose() => _authority.Dispose();

    [TestCase(200, 200, false)]
    [TestCase(404, 404, false)]
    [TestCase(404, 200, false)]
    [TestCase(200, 302, false)]
    [TestCase(401, 403, false)]
    [TestCase(503, 503, false)]
    [TestCase(503, 404, false)]
    [TestCase(200, 404, true)]
    [TestCase(302, 404, true)]
    [TestCase(401, 404, true)]
    [TestCase(200, 401, true)]
    [TestCase(404, 500, true)]
    [TestCase(200, 503, true)]
    [TestCase(null, 404, false)]
    [TestCase(200, null, true)]
    public void An_answer_is_worse_than_lives_where_clients_would_lose_something(int? live, int? candidate, bool isWorse)
    {
        var worse = Edges.WorseThanLive(Answer(live, "127.20.0.10"), Answer(candidate, "127.20.0.20"));
        Assert.That(worse, isWorse ? Does.StartWith($"{Host} at 127.20.0.20: /openapi.json ").And.EndsWith($"expected {live} as live answers") : Is.Null);
    }

    [Test]
    public void A_certificate_that_live_has_and_the_candidate_has_not_is_copied() => Assert.Multiple(() =>
    {
        Assert.That(IsStale(Secret(90), null));
        Assert.That(IsStale(null, Secret(90)), Is.False);
        Assert.That(IsStale(null, null), Is.False);
    });

    [Test]
    public void A_copy_is_replaced_when_live_has_another_certificate_by_now()
    {
        var old = Secret(90, copied: true);
        var same = old.DeepClone().AsObject();
        Assert.Multiple(() =>
        {
            Assert.That(IsStale(same, old), Is.False, "nothing has changed");
            Assert.That(IsStale(Secret(120), old), "renewed");
            Assert.That(IsStale(Secret(60), old), "issued anew, for a shorter time");
            Assert.That(IsStale(Secret(-1), old), Is.False, "an expired one is no renewal");
            Assert.That(IsStale(Secret(90, "fees.aether.example.com"), old), Is.False, "nor is one for another host");
        });
    }

    [Test]
    public void A_secret_that_somebody_else_put_there_stays_while_it_serves_better() => Assert.Multiple(() =>
    {
        Assert.That(IsStale(Secret(60), Secret(90)), Is.False);
        Assert.That(IsStale(Secret(90), Secret(60)), "live's lasts longer");
        Assert.That(IsStale(Secret(60), Secret(90, "fees.aether.example.com")), "it does not cover the host");
        Assert.That(IsStale(Secret(60), new JsonObject { ["data"] = new JsonObject() }), "it is none");
    });

    [Test]
    public void What_cert_manager_has_issued_for_the_candidate_is_never_replaced()
    {
        var issued = Secret(3, copied: true);
        issued["metadata"]!["annotations"] = new JsonObject { ["cert-manager.io/certificate-name"] = "oms" };
        Assert.That(IsStale(Secret(90), issued), Is.False);
    }

    [Test]
    public void Each_thing_that_is_wrong_with_a_hosts_certificate_is_told_with_what_to_do()
    {
        var issued = Secret(3);
        issued["metadata"]!["annotations"] = new JsonObject { ["cert-manager.io/certificate-name"] = "oms-green" };
        Assert.Multiple(() =>
        {
            Assert.That(Judge(Secret(90)).Problem, Is.Null);
            Assert.That(Judge(Secret(90)).Warning, Is.Null);
            Assert.That(Judge(Secret(20)).Problem, Is.Null);
            Assert.That(Judge(Secret(20)).Warning, Is.EqualTo($"{Host}: the certificate in aether-green/oms-tls expires at 2026-11-22 09:00 UTC"));
            Assert.That(Judge(Secret(3)).Problem, Does.StartWith($"{Host}: the certificate in aether-green/oms-tls expires at 2026-11-05 09:00 UTC, in 72 h 0 min").And.EndsWith("; renew live's, which 3.1 copies, or issue one there by DNS-01"));
            Assert.That(Judge(issued).Problem, Does.EndWith("; renew certificate oms-green there by DNS-01"));
            Assert.That(Judge(Secret(90, "fees.aether.example.com")).Problem, Does.Contain($"is for fees.aether.example.com, not for {Host}"));
            Assert.That(Judge(new JsonObject { ["data"] = new JsonObject() }).Problem, Is.EqualTo($"{Host}: its TLS secret aether-green/oms-tls has no tls.crt"));
            Assert.That(Judge(null).Problem, Is.EqualTo($"{Host}: its TLS secret aether-green/oms-tls does not exist"));
            Assert.That(Judge(Secret(90), "bare.aether.example.com").Problem, Is.EqualTo("bare.aether.example.com: no Ingress names a TLS secret for it"));
        });
    }

    private static HostProbeResult Answer(int? status, string address) =>
        new(Host, address, status, new Dictionary<string, string>(), status is null ? "away" : null) { Path = "/openapi.json" };

    private static bool IsStale(JsonObject? live, JsonObject? candidate) => Certificates.IsStale(live, candidate, [Host], Now);

    private static (string? Problem, string? Warning, HostCertificate? Certificate) Judge(JsonObject? secret, string host = Host) =>
        Certificates.Judge(host, Chart, "aether-green", new Dictionary<string, JsonObject?> { ["oms-tls"] = secret }, 7, Now);

    private JsonObject Secret(int days, string host = Host, bool copied = false)
    {
        using X509Certificate2 issued = _authority.Issue(host, Now.AddDays(-30), Now.AddDays(days));
        return new JsonObject
        {
            ["metadata"] = new JsonObject { ["labels"] = copied ? new JsonObject { ["app.kubernetes.io/managed-by"] = "aether-rollout" } : null },
            ["data"] = _authority.Secret(issued),
        };
    }
}
