using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json.Nodes;
using Rollout.Cluster;

namespace Rollout.Tests.Cluster;

[Parallelizable(ParallelScope.All)]
public sealed class SecretShapesTests
{
    [TestCase("")]
    [TestCase("  \n")]
    [TestCase("change-me")]
    [TestCase("CHANGEME")]
    [TestCase("change_me\n")]
    [TestCase("replace-with-real-token")]
    [TestCase("TODO")]
    [TestCase("xxxxxxxx")]
    [TestCase("***")]
    [TestCase("<your token>")]
    [TestCase("${DATABASE_URL}")]
    [TestCase("{{ .Values.password }}")]
    [TestCase("your-api-key")]
    [TestCase("postgresql://aether:change-me@aether-postgresql:5432/aether")]
    [TestCase("postgresql://aether:s3cr3t@db.example.com/aether")]
    [TestCase("redis://localhost:6379/0")]
    [TestCase("postgresql://u:p@127.0.0.1/aether")]
    public void What_can_be_no_value_is_told_without_it(string value)
    {
        var problem = ProblemsOf(Secret(("dsn", value))).Single();
        Assert.That(problem, Does.StartWith("has a key dsn that "));
        Assert.That(value.Trim().Length == 0 || !problem.Contains(value.Trim(), StringComparison.OrdinalIgnoreCase), problem);
    }

    [TestCase("aether")]
    [TestCase("changed-mesh-7")]
    [TestCase("a,b,c")]
    [TestCase("{\"accounts\":[]}")]
    [TestCase("postgresql://aether:changed-mesh@timescale.databases:5432/aether?sslmode=require")]
    [TestCase("require")]
    public void What_may_be_meant_is_left_alone(string value) => Assert.That(ProblemsOf(Secret(("dsn", value))), Is.Empty);

    [Test]
    public void In_a_rehearsal_everything_is_on_this_machine() =>
        Assert.That(SecretShapes.ProblemsOf(Secret(("dsn", "postgresql://u:p@127.0.0.1/aether")), null, loopbackAllowed: true), Is.Empty);

    [Test]
    public void Only_the_keys_that_are_read_count()
    {
        var secret = Secret(("dsn", "postgresql://u:p@db/aether"), ("unused", "change-me"));
        Assert.That(SecretShapes.ProblemsOf(secret, new HashSet<string> { "dsn" }, false), Is.Empty);
        Assert.That(SecretShapes.ProblemsOf(secret, null, false), Is.EqualTo(new[] { "has a key unused that holds a placeholder" }));
    }

    [Test]
    public void A_key_that_is_not_its_certificates_is_told()
    {
        using var one = RSA.Create(2048);
        using var other = RSA.Create(2048);
        var request = new CertificateRequest("CN=oms.test", one, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        using var certificate = request.CreateSelfSigned(DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddYears(100));
        JsonObject Pair(RSA key) => Typed("kubernetes.io/tls", ("tls.crt", certificate.ExportCertificatePem()), ("tls.key", key.ExportPkcs8PrivateKeyPem()));
        Assert.That(ProblemsOf(Pair(one)), Is.Empty);
        Assert.That(ProblemsOf(Pair(other)), Is.EqualTo(new[] { "has a tls.key that is not its certificate's" }));
        Assert.That(ProblemsOf(Typed("kubernetes.io/tls", ("tls.crt", "no certificate"), ("tls.key", "no key"))), Has.Count.EqualTo(1));
    }

    [TestCase("""{"auths":{"registry.test":{"auth":"eA=="}}}""", true)]
    [TestCase("""{"auths":{}}""", false)]
    [TestCase("""{"registry.test":{}}""", false)]
    [TestCase("not json", false)]
    [TestCase("[]", false)]
    public void Pull_credentials_name_registries(string json, bool isWell) => Assert.That(
        ProblemsOf(Typed("kubernetes.io/dockerconfigjson", (".dockerconfigjson", json))), isWell ? Is.Empty : Is.EqualTo(new[] { "has no .dockerconfigjson with registries in auths" }));

    [Test]
    public void What_is_no_base64_is_told() =>
        Assert.That(ProblemsOf(new JsonObject { ["data"] = new JsonObject { ["dsn"] = "%%%" } }), Is.EqualTo(new[] { "has a key dsn that is no base64" }));

    private static IReadOnlyList<string> ProblemsOf(JsonObject secret) => SecretShapes.ProblemsOf(secret, null, loopbackAllowed: false);

    private static JsonObject Secret(params (string Key, string Value)[] data) => Typed("Opaque", data);

    private static JsonObject Typed(string type, params (string Key, string Value)[] data) => new()
    {
        ["type"] = type,
        ["data"] = new JsonObject(data.Select(d => KeyValuePair.Create(d.Key, (JsonNode?)JsonValue.Create(Convert.ToBase64String(Encoding.UTF8.GetBytes(d.Value)))))),
    };
}
