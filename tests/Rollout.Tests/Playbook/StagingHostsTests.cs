using Rollout.Cluster;
using Rollout.Playbook;
using Rollout.Traffic;

namespace Rollout.Tests.Playbook;

/// <summary>What is decided about a candidate's staging hosts, without an edge.</summary>
[Parallelizable(ParallelScope.All)]
public sealed class StagingHostsTests
{
    private const string Production = "oms.aether.example.com";
    private const string Staging = "oms.staging.aether.example.com";
    private static readonly DateTimeOffset Now = new(2026, 11, 2, 9, 0, 0, TimeSpan.Zero);
    private static readonly Dictionary<string, string> Sent = new(StringComparer.OrdinalIgnoreCase) { ["X-Frame-Options"] = "DENY", ["Strict-Transport-Security"] = "max-age=31536000" };

    [Test]
    public void A_host_is_measured_by_the_production_host_of_the_same_Ingress()
    {
        var live = Ingresses("oms-service", Production, "fees-service", "fees.aether.example.com");
        var candidate = Ingresses("oms-service", Staging, "fresh-service", "fresh.staging.aether.example.com");
        Assert.That(TwinOf(Staging), Is.EqualTo(Production));
        Assert.That(TwinOf("fresh.staging.aether.example.com"), Is.Null);

        string? TwinOf(string host) => StagingHosts.TwinOf(host, candidate.Ingresses, live.Ingresses, [Production, "fees.aether.example.com"]);
    }

    [Test]
    public void A_host_that_answers_as_live_does_is_fine() => Assert.That(Judge(Answer(200, Sent), Answer(200, Sent)).Problems, Is.Empty);

    [TestCase("X-Frame-Options", "header X-Frame-Options is absent, expected 'DENY'")]
    [TestCase("Strict-Transport-Security", "header Strict-Transport-Security is absent, expected 'max-age=31536000' as live sends it")]
    public void A_hardened_header_that_is_promised_or_sent_by_live_is_wanted(string missing, string says)
    {
        var found = Judge(Answer(200, Sent), Answer(200, Sent.Where(h => h.Key != missing).ToDictionary(StringComparer.OrdinalIgnoreCase)));
        Assert.That(found.Problems, Has.Count.EqualTo(1).And.Some.Contains($"{Staging} at 127.20.0.20: {says}"));
    }

    [TestCase(200, 500)]
    [TestCase(200, 401)]
    public void An_answer_that_is_worse_than_lives_is_told(int live, int candidate) =>
        Assert.That(Judge(Answer(live, Sent), Answer(200, Sent), second: candidate).Problems.Single(), Is.EqualTo($"{Staging} at 127.20.0.20: /openapi.json answered {candidate}, expected {live} as live answers"));

    [Test]
    public void A_certificate_that_is_not_trusted_is_told() => Assert.That(
        Judge(Answer(200, Sent), Answer(null, Sent, "the certificate is not trusted")).Problems, Is.EqualTo(new[] { $"{Staging} at 127.20.0.20: the certificate is not trusted" }));

    [Test]
    public void A_host_without_a_twin_must_be_served_and_keep_its_own_promises()
    {
        var found = new Findings();
        StagingHosts.Judge(Staging, new Dictionary<string, string> { ["X-Frame-Options"] = "SAMEORIGIN" }, null, [Answer(200, Sent), Answer(200, Sent)], 7, Now, found);
        Assert.That(found.Problems.Single(), Does.Contain("X-Frame-Options is 'DENY', expected 'SAMEORIGIN'"));
    }

    private static Findings Judge(HostProbeResult live, HostProbeResult candidate, int? second = null)
    {
        var found = new Findings();
        var contract = candidate with { Path = "/openapi.json", Status = second ?? candidate.Status };
        StagingHosts.Judge(
            Staging, new Dictionary<string, string> { ["X-Frame-Options"] = "DENY" }, [live, live with { Path = "/openapi.json" }], [candidate, contract], 7, Now, found);
        return found;
    }

    private static HostProbeResult Answer(int? status, Dictionary<string, string> headers, string? error = null) => new(Staging, "127.20.0.20", status, headers, error) { Path = "/" };

    private static RenderedChart Ingresses(string first, string firstHost, string second, string secondHost) => RenderedChart.Parse($$"""
        kind: Ingress
        metadata: { name: {{first}} }
        spec: { rules: [{ host: {{firstHost}} }] }
        ---
        kind: Ingress
        metadata: { name: {{second}} }
        spec: { rules: [{ host: {{secondHost}} }] }
        """);
}
