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

    private static JsonElement Ingress(string snippet) => JsonSerializer.SerializeToElement(new
    {
        metadata = new { annotations = new Dictionary<string, string> { ["nginx.ingress.kubernetes.io/configuration-snippet"] = snippet } },
    });

    private static HostProbeResult Seen(Dictionary<string, string> headers) => new(
        Host, "127.20.0.20", 200, new Dictionary<string, string>(headers, StringComparer.OrdinalIgnoreCase), $"CN={Host}", null, null);
}
