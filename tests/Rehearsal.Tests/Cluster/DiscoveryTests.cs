using System.Text.Json.Nodes;

namespace Rehearsal.Tests.Cluster;

public sealed class DiscoveryTests
{
    private const string Aggregated =
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

    private TestCluster _cluster = null!;

    [OneTimeSetUp]
    public async Task StartAsync() => _cluster = await TestCluster.StartAsync();

    [OneTimeTearDown]
    public async Task StopAsync() => await _cluster.DisposeAsync();

    [Test]
    public async Task Every_listed_group_version_answers()
    {
        var groups = (await _cluster.GetAsync("/apis")).Json["groups"]!.AsArray();
        foreach (
            var version in groups.SelectMany(group => group!["versions"]!.AsArray())
                .Select(item => item!["groupVersion"]!.GetValue<string>()))
        {
            var reply = await _cluster.GetAsync("/apis/" + version);
            Assert.That((reply.Code, reply["groupVersion"]), Is.EqualTo((200, version)));
        }
    }

    [Test]
    public async Task Aggregated_discovery_has_its_own_content_type_and_the_same_resources()
    {
        var reply = await _cluster.GetAsync("/apis", Aggregated);
        Assert.That(
            reply.ContentType?.Replace(" ", "", StringComparison.Ordinal),
            Is.EqualTo("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"));
        var apps = reply.Json["items"]!.AsArray().Single(item => Reply.Read(item, "metadata.name") == "apps")!;
        var deployments = apps["versions"]![0]!["resources"]!.AsArray().Single(item => Reply.Read(item, "resource") == "deployments");
        Assert.That(Reply.Read(deployments, "shortNames.0"), Is.EqualTo("deploy"));
        Assert.That(
            deployments!["subresources"]!.AsArray().Select(item => Reply.Read(item, "subresource")),
            Is.EquivalentTo(new[] { "scale", "status" }));
    }

    [Test]
    public async Task OpenApi_says_that_the_server_validates_fields()
    {
        var index = await _cluster.GetAsync("/openapi/v3");
        var address = index.Json["paths"]!["apis/apps/v1"]!["serverRelativeURL"]!.GetValue<string>();
        var document = await _cluster.GetAsync(address);
        var patch = document.Json["paths"]!["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]!["patch"]!;
        Assert.That(patch["parameters"]!.AsArray().Select(item => Reply.Read(item, "name")), Does.Contain("fieldValidation"));
        Assert.That(Reply.Read(patch["x-kubernetes-group-version-kind"], "kind"), Is.EqualTo("Deployment"));
        var env = document.Json["components"]!["schemas"]!["rehearsal.Container"]!["properties"]!["env"];
        Assert.That(Reply.Read(env, "x-kubernetes-patch-merge-key"), Is.EqualTo("name"));
    }

    [TestCase("/readyz", 200, "ok")]
    [TestCase("/livez/ping", 200, "ok")]
    [TestCase("/apis/example.test/v1/widgets", 404, "404 page not found\n")]
    [TestCase("/nonesuch", 404, "404 page not found\n")]
    public async Task Plain_text_answers(string target, int code, string text)
    {
        var reply = await _cluster.GetAsync(target);
        Assert.That((reply.Code, reply.Text), Is.EqualTo((code, text)));
    }

    [Test]
    public async Task The_version_is_that_of_the_clients()
    {
        var reply = await _cluster.GetAsync("/version");
        Assert.That((reply["major"], reply["minor"], reply["gitVersion"]), Is.EqualTo(("1", "35", "v1.35.2+rehearsal")));
    }

    [TestCase(
        "selfsubjectaccessreviews",
        """{"spec":{"resourceAttributes":{"verb":"create","resource":"pods"}}}""",
        "status.allowed",
        "true")]
    [TestCase("selfsubjectrulesreviews", """{"spec":{"namespace":"default"}}""", "status.resourceRules.0.verbs.0", "*")]
    public async Task The_administrator_may_do_everything(string review, string body, string path, string expected)
    {
        var reply = await _cluster.PostAsync("/apis/authorization.k8s.io/v1/" + review, body);
        Assert.That((reply.Code, reply[path]), Is.EqualTo((201, expected)));
    }

    [Test]
    public void The_kubeconfig_is_for_its_owner_and_names_the_context()
    {
        var path = _cluster.Server.WriteKubeconfig(Path.Combine(_cluster.DirectoryPath, "kubeconfig"));
        var text = File.ReadAllText(path);
        Assert.That(
            text,
            Does.Contain("current-context: rehearsal").And.Contain(_cluster.Server.Token).And.Contain("certificate-authority-data: "));
        if (!OperatingSystem.IsWindows())
        {
            Assert.That(File.GetUnixFileMode(path), Is.EqualTo(UnixFileMode.UserRead | UnixFileMode.UserWrite));
        }
    }
}
