using System.Text;
using System.Text.Json.Nodes;
using Rollout.Investigation;

namespace Rollout.Tests.Investigation;

[Parallelizable(ParallelScope.All)]
public sealed class SecretMaskTests
{
    [TestCase("correct-horse", "signed in with correct-horse today")]
    [TestCase("with \"quotes\" and \\", """{"log":"with \"quotes\" and \\ seen"}""")]
    [TestCase("p@ss/word+1", "GET /?p=p%40ss%2Fword%2B1")]
    [TestCase("""{"api_key":"AAAA-key","nested":{"api_secret":"BBBB-secret"}}""", "key AAAA-key secret BBBB-secret")]
    [TestCase("postgresql://aether:s3cr3t-pw@db:5432/aether", "password s3cr3t-pw was refused")]
    [TestCase("redis:6379,password=hunter22,ssl=false", "AUTH hunter22")]
    [TestCase("first-line-of-a-long-key\nsecond-line-of-a-long-key", "half of it: second-line-of-a-long-key")]
    [TestCase("correct-horse", "Y29ycmVjdC1ob3JzZQ==")]
    public void A_known_value_is_masked_in_each_of_its_spellings(string value, string text)
    {
        var masked = new SecretMask([value]).Apply(text);
        Assert.That(masked, Does.Contain("***"));
        foreach (var secret in new[] { "correct-horse", "quotes", "ss%2Fword", "AAAA-key", "BBBB-secret", "s3cr3t-pw", "hunter22", "second-line-of", "Y29ycmVjdC1ob3JzZQ" })
        {
            Assert.That(masked, Does.Not.Contain(secret));
        }
    }

    [TestCase("postgres://aether:not-known@db/aether", "not-known")]
    [TestCase("Authorization: Bearer abcdefghijklmnop.q", "abcdefghijklmnop")]
    [TestCase("password=letmein&x=1", "letmein")]
    [TestCase("\"api_secret\": \"zzz-unknown\"", "zzz-unknown")]
    [TestCase("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.sig-part", "eyJzdWIi")]
    [TestCase("-----BEGIN RSA PRIVATE KEY-----\nMIIEunknown\n-----END RSA PRIVATE KEY-----", "MIIEunknown")]
    [TestCase("-----BEGIN PRIVATE KEY-----\nMIIEcutoff", "MIIEcutoff")]
    public void What_looks_like_a_secret_is_masked_unknown(string text, string secret) =>
        Assert.That(new SecretMask([]).Apply(text), Does.Contain("***").And.Not.Contain(secret));

    [TestCase("GET https://oms.aether.example.com/healthz 200 in 12 ms")]
    [TestCase("""{"automountServiceAccountToken":false,"tokens":[123456],"token":123456}""")]
    public void What_is_no_secret_stays(string text) => Assert.That(new SecretMask(["green", "correct-horse"]).Apply(text), Is.EqualTo(text));

    [Test]
    public void Values_come_from_Secrets_and_from_variables_that_are_called_like_one()
    {
        var secret = new JsonObject { ["data"] = new JsonObject { ["password"] = Convert.ToBase64String(Encoding.UTF8.GetBytes("planted-one")), ["tls.crt"] = Convert.ToBase64String(Encoding.UTF8.GetBytes("public-certificate")) } };
        var record = new JsonObject { ["type"] = "helm.sh/release.v1", ["data"] = new JsonObject { ["release"] = "SDRzSUFBQUE=" } };
        Assert.That(SecretMask.ValuesOf([secret, record]), Has.Member("planted-one").And.No.Member("public-certificate").And.No.Member("SDRzSUFBQUE="));
        var pod = JsonNode.Parse("""{"spec":{"containers":[{"env":[{"name":"DB_PASSWORD","value":"planted-two"},{"name":"LOG_LEVEL","value":"debugging"}]}]}}""");
        Assert.That(SecretMask.ValuesOfEnvironment(pod), Is.EqualTo(new[] { "planted-two" }));
    }
}
