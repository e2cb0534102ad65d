using System.Text.Json;
using Rollout.Traffic;

namespace Rollout.Tests.Traffic;

[Parallelizable(ParallelScope.All)]
public sealed class HardenedHeadersTests
{
    private const string Host = "oms.aether.example.com";
    private const string Snippet = """
        # hardened, see 8.4
        more_set_headers "Content-Security-Policy: default-src 'self'; frame-ancestors 'none'";
        more_set_headers 'Referrer-Policy: no-referrer' "X-Content-Type-Options: nosniff";
        more_set_headers -s '200 404' -t text/html "X-Frame-Options: DENY";
        more_set_headers "X-XSS-Protection: 1; mode=block"; more_set_headers "Server:";
        more_set_headers "X-Quoted: say \"hi\"";
        proxy_set_header X-Other "X-Not: this";
        """;

    [Test]
    public void The_snippets_headers_are_read_with_their_quotes_options_and_semicolons()
    {
        Assert.That(HardenedHeaders.FromIngress(Ingress(Snippet)), Is.EquivalentTo(new Dictionary<string, string>
        {
            ["Content-Security-Policy"] = "default-src 'self'; frame-ancestors 'none'",
            ["Referrer-Policy"] = "no-referrer",
            ["X-Content-Type-Options"] = "nosniff",
            ["X-Frame-Options"] = "DENY",
            ["X-XSS-Protection"] = "1; mode=block",
            ["Server"] = string.Empty,
            ["X-Quoted"] = "say \"hi\"",
        }));
    }

    [TestCase("""{"metadata":{"name":"ui"}}""")]
    [TestCase("""{"metadata":{"annotations":{"other":"more_set_headers \"A: b\";"}}}""")]
    [TestCase("""{}""")]
    public void An_ingress_without_the_snippet_promises_nothing(string ingress)
    {
        Assert.That(HardenedHeaders.FromIngress(JsonSerializer.Deserialize<JsonElement>(ingress)), Is.Empty);
    }

    [Test]
    public void Headers_that_are_as_promised_give_no_difference()
    {
        var expected = HardenedHeaders.FromIngress(Ingress(Snippet));
        var seen = Seen(expected
            .Where(header => header.Value.Length > 0)
            .ToDictionary(header => header.Key.ToLowerInvariant(), header => header.Value));

        Assert.That(HardenedHeaders.Compare(Host, expected, seen), Is.Empty);
    }

    [Test]
    public void Each_difference_names_host_header_and_both_values()
    {
        var expected = HardenedHeaders.FromIngress(Ingress("""
            more_set_headers "X-Frame-Options: DENY" "Referrer-Policy: no-referrer" "Server:" "X-Host: $host" "X-Gone: $host";
            """));
        var seen = Seen(new() { ["X-Frame-Options"] = "SAMEORIGIN", ["Server"] = "nginx", ["X-Host"] = "anything" });

        Assert.That(HardenedHeaders.Compare(Host, expected, seen), Is.EquivalentTo(new[]
        {
            $"{Host} at 127.20.0.20: header X-Frame-Options is 'SAMEORIGIN', expected 'DENY'.",
            $"{Host} at 127.20.0.20: header Referrer-Policy is absent, expected 'no-referrer'.",
            $"{Host} at 127.20.0.20: header Server is 'nginx', expected absent.",
            $"{Host} at 127.20.0.20: header X-Gone is absent, expected '$host'.",
        }));
    }

    [Test]
    public void A_probe_without_an_answer_is_one_difference()
    {
        var seen = Seen([]) with { Status = null, Error = "127.20.0.20:443 cannot be reached: Connection refused" };

        Assert.That(HardenedHeaders.Compare(Host, new Dictionary<string, string> { ["A"] = "b" }, seen), Is.EqualTo(new[]
        {
            $"{Host} at 127.20.0.20: no headers were seen, because 127.20.0.20:443 cannot be reached: Connection refused.",
        }));
    }

    [Test]
    public void A_hardened_header_that_live_sends_must_be_sent_with_the_same_value()
    {
        var live = Seen(new()
        {
            ["Strict-Transport-Security"] = "max-age=31536000",
            ["Cross-Origin-Opener-Policy"] = "same-origin",
            ["Permissions-Policy"] = "camera=()",
            ["Content-Type"] = "text/html",
            ["X-Request-Id"] = "1",
        });
        var candidate = Seen(new() { ["Strict-Transport-Security"] = "max-age=60", ["permissions-policy"] = "camera=()", ["Content-Type"] = "application/json" });

        var found = HardenedHeaders.CompareWithLive(Host, new Dictionary<string, string>(), live, candidate);

        Assert.That(found.Problems, Is.EqualTo(new[]
        {
            $"{Host} at 127.20.0.20: header Cross-Origin-Opener-Policy is absent, expected 'same-origin' as live sends it.",
            $"{Host} at 127.20.0.20: header Strict-Transport-Security is 'max-age=60', expected 'max-age=31536000' as live sends it.",
        }));
        Assert.That(found.Warnings.Concat(found.Differences), Is.Empty);
    }

    [Test]
    public void What_the_candidates_Ingress_promises_otherwise_is_told_and_what_it_takes_away_is_warned_of()
    {
        var promised = HardenedHeaders.FromIngress(Ingress("""
            more_set_headers "X-Frame-Options: SAMEORIGIN" "Referrer-Policy: no-referrer" "X-XSS-Protection:" "Permissions-Policy: $policy";
            """));
        var live = Seen(new() { ["X-Frame-Options"] = "DENY", ["Referrer-Policy"] = "no-referrer", ["X-XSS-Protection"] = "1; mode=block", ["Permissions-Policy"] = "camera=()" });

        var found = HardenedHeaders.CompareWithLive(Host, promised, live, Seen(new() { ["X-Frame-Options"] = "SAMEORIGIN" }));

        Assert.Multiple(() =>
        {
            Assert.That(found.Problems, Is.Empty, "whether a promise is kept is the other comparison's matter");
            Assert.That(found.Differences, Is.EqualTo(new[] { $"{Host}: header X-Frame-Options will be 'SAMEORIGIN', live sends 'DENY'." }));
            Assert.That(found.Warnings, Is.EqualTo(new[] { $"{Host}: the candidate's Ingress takes away header X-XSS-Protection, which live sends as '1; mode=block'." }));
        });
    }

    [Test]
    public void A_nonce_is_another_one_in_each_answer_and_no_difference()
    {
        var (live, candidate) = (Seen(new() { ["Content-Security-Policy"] = "script-src 'nonce-abc='" }), Seen(new() { ["Content-Security-Policy"] = "script-src 'nonce-xyz'" }));
        Assert.That(HardenedHeaders.CompareWithLive(Host, new Dictionary<string, string>(), live, candidate).Problems, Is.Empty);
    }

    [Test]
    public void Where_live_does_not_answer_there_is_nothing_to_compare_with()
    {
        var live = Seen(new() { ["X-Frame-Options"] = "DENY" }) with { Status = null, Error = "away" };
        Assert.That(HardenedHeaders.CompareWithLive(Host, new Dictionary<string, string>(), live, Seen([])).Problems, Is.Empty);
    }

    private static JsonElement Ingress(string snippet) => JsonSerializer.SerializeToElement(new
    {
        metadata = new { annotations = new Dictionary<string, string> { ["nginx.ingress.kubernetes.io/configuration-snippet"] = snippet } },
    });

    private static HostProbeResult Seen(Dictionary<string, string> headers) => new(
        Host, "127.20.0.20", 200, new Dictionary<string, string>(headers, StringComparer.OrdinalIgnoreCase), null);
}
