using System.Text;
using System.Text.Json.Nodes;
using Rollout.Cluster;

namespace Rollout.Tests.Cluster;

[Parallelizable(ParallelScope.All)]
public sealed class SecretShapeTests
{
    private static readonly SecretShape Shape = new(SecretShape.SamplesIn(JsonNode.Parse("""
        {"managedSecrets":{"placeholder":"hold-my-place"},"dependencies":{"redis":{"password":"aether-redis","port":6379}},
        "global":{"allow":{"secretName":"platform-account-allowlists","secretKey":"admins"}},"users":[{"name":"ops","apiKey":"published-1234"}]}
        """)!.AsObject()));

    [TestCase("changeme")]
    [TestCase("CHANGE_ME")]
    [TestCase("Change-Me-123")]
    [TestCase("REPLACE_ME")]
    [TestCase("replace with real token")]
    [TestCase("<your password>")]
    [TestCase("<api-key>")]
    [TestCase("your-api-key-here")]
    [TestCase("xxx")]
    [TestCase("XXXXXXXX")]
    [TestCase("***")]
    [TestCase("example")]
    [TestCase("exampleSecret1")]
    [TestCase("todo")]
    [TestCase("TODO: set before production")]
    [TestCase("dummy")]
    [TestCase("dummy-token")]
    [TestCase("${DB_PASSWORD}")]
    [TestCase("{{ .Values.password }}")]
    [TestCase("__PASSWORD__")]
    [TestCase("\"placeholder\"\n")]
    [TestCase("Y2hhbmdlbWU=", Description = "changeme in base64, encoded once more by whoever wrote the Secret")]
    [TestCase("postgresql://aether:change-me@db.internal:5432/aether")]
    [TestCase("postgresql://aether:password@db.internal:5432/aether")]
    [TestCase("redis://:dummy@redis.internal:6379/0")]
    [TestCase("Host=db.internal;Username=aether;Password=CHANGEME")]
    [TestCase("host=db.internal password=changeme dbname=aether")]
    [TestCase("{\"api_key\":\"k4Zp0x9QwL\",\"api_secret\":\"CHANGE_ME\"}")]
    [TestCase("USER=aether\nTOKEN=changeme\n")]
    [TestCase("hold-my-place", Description = "the chart's own")]
    [TestCase("redis://:aether-redis@redis.internal:6379/0")]
    [TestCase("published-1234")]
    public void A_value_that_only_holds_a_place_is_recognised(string value) => Assert.That(Shape.IsPlaceholder(value), Is.True);

    [TestCase("disable")]
    [TestCase("company,director-1,director-2")]
    [TestCase("admins")]
    [TestCase("platform-account-allowlists")]
    [TestCase("4f0c3b1e9a7d4f0c3b1e9a7d4f0c3b1e9a7d4f0c3b1e9a7d")]
    [TestCase("Zm9vYmFyQ0hBTkdF+xxxQkV0b2RvZHVtbXk/9w==")]
    [TestCase("exchange-metrics-reader")]
    [TestCase("correct horse battery staple")]
    [TestCase("the-key-to-production")]
    [TestCase("postgresql://aether:4f0c3b1e9a7d@db.example.internal:5432/todo")]
    [TestCase("redis://127.0.0.1:6379/0")]
    [TestCase("Host=db.internal;Username=example;Password=4f0c3b1e9a7d")]
    [TestCase("{\"api_key\":\"k4Zp0x9QwL\",\"api_secret\":\"q8Lm2/zz==\"}")]
    [TestCase("-----BEGIN PRIVATE KEY-----\nxxx\n-----END PRIVATE KEY-----\n")]
    [TestCase("true")]
    [TestCase("6379")]
    public void A_value_that_may_be_real_is_let_pass(string value) => Assert.That(Shape.IsPlaceholder(value), Is.False);

    [Test]
    public void Keys_that_are_missing_empty_or_hold_a_place_are_named_and_no_value_is()
    {
        var secret = Secret("Opaque", ("blank", " \n"), ("real", "4f0c3b1e9a7d"), ("held", "postgresql://aether:changeme@db/aether"));
        var problems = Shape.ProblemsOf(secret, ["real", "absent", "blank", "held"]);
        Assert.That(problems, Is.EqualTo(new[] { "has no key absent", "has nothing in its key blank", "has a placeholder in its key held" }));
        Assert.That(Shape.ProblemsOf(secret, ["real"]), Is.Empty, "what nobody reads harms nobody");
        Assert.That(Shape.ProblemsOf(secret, null), Has.Count.EqualTo(2), "whoever reads the whole Secret reads all keys");
        Assert.That(Shape.ProblemsOf(Secret("Opaque"), null), Is.EqualTo(new[] { "holds nothing" }));
    }

    [Test]
    public void A_Secret_that_a_chart_renders_is_read_as_it_is_written() => Assert.That(
        Shape.ProblemsOf(JsonNode.Parse("""{"type":"Opaque","stringData":{"dsn":"postgresql://aether:change-me@aether-postgresql/aether","sslmode":"require"}}""")!.AsObject(), ["dsn", "sslmode"]),
        Is.EqualTo(new[] { "has a placeholder in its key dsn" }));

    [TestCase("""{"auths":{"registry.example.com":{"auth":"dXNlcjpwdw=="}}}""", "")]
    [TestCase("""{"auths":{"registry.example.com":{"username":"u","password":"4f0c"}}}""", "")]
    [TestCase("""{"auths":{"registry.example.com":{"auth":""}}}""", "has no login for registry.example.com in its .dockerconfigjson")]
    [TestCase("""{"auths":{}}""", "is of type kubernetes.io/dockerconfigjson and holds no JSON with auths in its .dockerconfigjson")]
    [TestCase("user:pw", "is of type kubernetes.io/dockerconfigjson and holds no JSON with auths in its .dockerconfigjson")]
    public void A_pull_secret_must_be_what_a_kubelet_reads(string config, string problem) =>
        Assert.That(string.Join(";", Shape.ProblemsOf(Secret("kubernetes.io/dockerconfigjson", (".dockerconfigjson", config)), [".dockerconfigjson"])), Is.EqualTo(problem));

    [TestCase("kubernetes.io/basic-auth", "other", "x", "is of type kubernetes.io/basic-auth and has neither username nor password")]
    [TestCase("kubernetes.io/basic-auth", "username", "ops", "")]
    [TestCase("kubernetes.io/ssh-auth", "ssh-privatekey", "abc", "is of type kubernetes.io/ssh-auth and holds no private key")]
    [TestCase("kubernetes.io/ssh-auth", "ssh-privatekey", "-----BEGIN OPENSSH PRIVATE KEY-----\nAA\n-----END OPENSSH PRIVATE KEY-----", "")]
    public void A_Secret_holds_what_its_type_says(string type, string key, string value, string problem) =>
        Assert.That(string.Join(";", Shape.ProblemsOf(Secret(type, (key, value)), null)), Is.EqualTo(problem));

    [TestCase("""{"api_key":"k","api_secret":"s"}""", null)]
    [TestCase("""{"apiKey":"k","apiSecret":"s"}""", "has a credentials.json with apiKey or apiSecret, where the platform reads api_key and api_secret")]
    [TestCase("""{"api_key":"k","api_secret":" "}""", "has a credentials.json without api_secret")]
    [TestCase("""{"api_key":7}""", "has a credentials.json without api_key and api_secret")]
    [TestCase("""["k","s"]""", "has a credentials.json that is no JSON object")]
    [TestCase("api_key=k", "has a credentials.json that is no JSON object")]
    public void Exchange_keys_are_what_the_platform_reads(string file, string? problem) =>
        Assert.That(ExchangeKeys.ProblemOf(Secret("Opaque", ("credentials.json", file))["data"]!.AsObject()), Is.EqualTo(problem));

    [Test]
    public void Exchange_keys_that_are_not_there_are_missed() =>
        Assert.That(ExchangeKeys.ProblemOf(Secret("Opaque", ("other", "x"))["data"]!.AsObject()), Is.EqualTo("has no credentials.json"));

    private static JsonObject Secret(string type, params (string Key, string Value)[] data) => new()
    {
        ["type"] = type,
        ["data"] = new JsonObject(data.Select(d => KeyValuePair.Create(d.Key, (JsonNode?)Convert.ToBase64String(Encoding.UTF8.GetBytes(d.Value))))),
    };
}
