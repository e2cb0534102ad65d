using Rollout.Cluster;
using Rollout.Tests.Support;

namespace Rollout.Tests.Cluster;

/// <summary>What kubectl and helm are told, and what their complaints are taken for; the programs are scripts.</summary>
[Platform(Include = "Unix")]
public sealed class SlotDeploymentTests
{
    private ToolPlace _place = null!;

    [SetUp]
    public void Begin() => _place = new ToolPlace();

    [TearDown]
    public void End() => _place.Dispose();

    [Test]
    public async Task Commands_that_wait_for_nothing_give_each_request_a_limit_and_those_that_wait_have_their_own()
    {
        var deployment = _place.Deployment(_place.Tool("kubectl"), "helm", context: "c");
        await deployment.CreateNamespaceAsync("green");
        await deployment.LabelNamespaceAsync("green", "a=b");
        await deployment.ScaleAsync("green", "oms", 0);
        await deployment.RolloutStatusAsync("green", "oms", TimeSpan.FromMinutes(2));
        await deployment.DeleteNamespaceAsync("green");
        Assert.That(_place.CallsOf("kubectl"), Is.EqualTo(new[]
        {
            "create namespace green --request-timeout=30s --context=c",
            "label --overwrite namespace green a=b --request-timeout=30s --context=c",
            "scale --replicas=0 deployment/oms -n green --request-timeout=30s --context=c",
            "rollout status --timeout=120s deployment/oms -n green --context=c",
            "delete --ignore-not-found --timeout=600s namespace green --context=c",
        }));
    }

    [TestCase("Error from server (InternalError): Internal error occurred: etcdserver: request timed out")]
    [TestCase("The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?")]
    [TestCase("Error from server (ServiceUnavailable): the server is currently unable to handle the request")]
    [TestCase("Error from server (TooManyRequests): the server has received too many requests and has asked us to try again later")]
    [TestCase("Post \"https://1.2.3.4/\": read tcp 1.2.3.4:5: read: connection reset by peer")]
    [TestCase("Post \"https://1.2.3.4/\": EOF")]
    [TestCase("net/http: TLS handshake timeout")]
    [TestCase("dial tcp 1.2.3.4:443: i/o timeout")]
    [TestCase("Error from server: the server was unable to return a response in the time allotted")]
    [TestCase("Error from server (Conflict): Operation cannot be fulfilled: the object has been modified; please apply your changes")]
    [TestCase("Post \"https://1.2.3.4/\": net/http: request canceled (Client.Timeout exceeded while awaiting headers)")]
    public async Task A_passing_failure_is_told_and_tried_again(string complaint)
    {
        var deployment = _place.Deployment(_place.Tool("kubectl", "", complaint, complaint, complaint), "helm");
        await deployment.ScaleAsync("green", "oms", 1);
        Assert.That(_place.CallsOf("kubectl"), Has.Count.EqualTo(4));
        Assert.That(_place.Reports.Lines, Has.Count.EqualTo(3).And.All.Contains("kubectl deployment/oms").And.All.Contains("trying again in"));
    }

    [Test]
    public void A_failure_that_stays_is_told_with_its_words_after_four_tries()
    {
        var complaint = "Error from server (ServiceUnavailable): the server is currently unable to handle the request";
        var deployment = _place.Deployment(_place.Tool("kubectl", "", complaint, complaint, complaint, complaint), "helm");
        Assert.That(
            () => deployment.LabelNamespaceAsync("green", "a=b"),
            Throws.TypeOf<RolloutException>().With.Message.Contains("failed, exit code 1").And.Message.Contains(complaint));
        Assert.That(_place.CallsOf("kubectl"), Has.Count.EqualTo(4));
    }

    [TestCase("Error from server (Forbidden): namespaces \"green\" is forbidden")]
    [TestCase("Error from server (NotFound): namespaces \"green\" not found")]
    [TestCase("error: timed out waiting for the condition")]
    public void Another_failure_is_final(string complaint)
    {
        var deployment = _place.Deployment(_place.Tool("kubectl", "", complaint), "helm");
        Assert.That(() => deployment.LabelNamespaceAsync("green", "a=b"), Throws.TypeOf<RolloutException>().With.Message.Contains(complaint));
        Assert.That(_place.CallsOf("kubectl"), Has.Count.EqualTo(1));
    }

    [Test]
    public async Task A_namespace_whose_creation_lost_its_answer_is_created()
    {
        var deployment = _place.Deployment(
            _place.Tool("kubectl", "", "Post \"https://1.2.3.4/\": EOF", "Error from server (AlreadyExists): namespaces \"green\" already exists"), "helm");
        await deployment.CreateNamespaceAsync("green");
        Assert.That(_place.CallsOf("kubectl"), Has.Count.EqualTo(2));
    }

    [Test]
    public void A_namespace_that_is_being_deleted_is_not_taken_for_created()
    {
        var complaint = "Error from server (AlreadyExists): object is being deleted: namespaces \"green\" already exists";
        var deployment = _place.Deployment(_place.Tool("kubectl", "", complaint), "helm");
        Assert.That(() => deployment.CreateNamespaceAsync("green"), Throws.TypeOf<RolloutException>().With.Message.Contains("being deleted"));
    }

    [Test]
    public async Task A_release_that_is_not_there_has_no_manifest()
    {
        var deployment = _place.Deployment("kubectl", _place.Tool("helm", "", "Error: release: not found"));
        Assert.That(await deployment.ManifestAsync("aether", "green"), Is.Null);
    }

    [Test]
    public async Task A_manifest_is_asked_for_again_when_the_server_was_away()
    {
        var manifest = "kind: Deployment\nmetadata: {name: oms}\n";
        var deployment = _place.Deployment("kubectl", _place.Tool("helm", manifest, "Error: Kubernetes cluster unreachable: dial tcp: connect: connection refused"));
        Assert.That((await deployment.ManifestAsync("aether", "green"))!.Deployments.Count(), Is.EqualTo(1));
        Assert.That(_place.CallsOf("helm"), Has.Count.EqualTo(2));
    }

    [Test]
    public void A_manifest_that_cannot_be_read_is_not_taken_for_none()
    {
        var away = "Error: Kubernetes cluster unreachable: dial tcp: connect: connection refused";
        var deployment = _place.Deployment("kubectl", _place.Tool("helm", "", away, away, away, away));
        Assert.That(() => deployment.ManifestAsync("aether", "green"), Throws.TypeOf<RolloutException>().With.Message.Contains("unreachable"));
    }

    [Test]
    public void A_chart_that_helm_refuses_is_told_in_helms_words()
    {
        var deployment = _place.Deployment("kubectl", _place.Tool("helm", "", "Error: 1 chart(s) linted, 1 chart(s) failed", "Error: parse error at (x.yaml:1)"));
        Assert.That(() => deployment.LintAsync("chart", []), Throws.TypeOf<RolloutException>().With.Message.Contains("1 chart(s) failed"));
        Assert.That(() => deployment.RenderAsync("aether", "chart", "green", []), Throws.TypeOf<RolloutException>().With.Message.Contains("x.yaml:1"));
    }

    [Test]
    public void What_lint_finds_wrong_is_in_the_error_and_all_its_findings_are_shown()
    {
        var deployment = _place.Deployment("kubectl", _place.Script(
            "helm",
            "echo '==> Linting chart'; echo '[WARNING] templates/b.yaml: odd name'; echo '[ERROR] templates/: function \"nope\" not defined'; echo 'Error: 1 chart(s) linted, 1 chart(s) failed' >&2; exit 1"));
        Assert.That(
            () => deployment.LintAsync("chart", []),
            Throws.TypeOf<RolloutException>().With.Message.Contains("function \"nope\" not defined").And.Message.Contains("1 chart(s) failed").And.Message.Not.Contains("odd name"));
        Assert.That(_place.Output, Does.Contain("odd name"));
    }

    [Test]
    public void An_upgrade_that_hangs_beyond_its_limit_is_stopped()
    {
        var deployment = _place.Deployment("kubectl", _place.Script("helm", "exec sleep 60"));
        Assert.That(
            () => deployment.UpgradeAsync("aether", "chart", "green", [], "test", ("0a1b", 3), TimeSpan.FromSeconds(-59)),
            Throws.TypeOf<RolloutException>().With.Message.Contains("did not end in its time and was stopped"));
    }

    [Test]
    public async Task An_upgrade_carries_what_it_applies_and_its_number_as_a_label()
    {
        var deployment = _place.Deployment("kubectl", _place.Tool("helm"));
        await deployment.UpgradeAsync("aether", "chart", "green", ["a.yaml"], "v1: test", ("0a1b", 3), TimeSpan.FromMinutes(5));
        Assert.That(_place.CallsOf("helm").Single(), Does.StartWith("upgrade aether chart --namespace=green --values=a.yaml --install").And.Contains("--labels=aether.io/applied=0a1b.3"));
    }

    [Test]
    public async Task The_digest_of_an_upgrade_changes_with_chart_values_their_order_and_description_and_with_nothing_else()
    {
        var (a, b, copy) = (_place.PathOf("a.yaml"), _place.PathOf("b.yaml"), _place.PathOf("copy.yaml"));
        foreach (var (file, text) in new[] { (a, "x: 1"), (b, "y: 2"), (copy, "x: 1") })
        {
            await File.WriteAllTextAsync(file, text);
        }

        async Task<string> Of(string chart, string description, params string[] files) => await SlotDeployment.DigestOfAsync(chart, files, description, default);
        var digest = await Of("sha256:1", "v1: install", a, b);
        Assert.That(digest, Does.Match("^[0-9a-f]{40}$"));
        Assert.That(await Of("sha256:1", "v1: install", copy, b), Is.EqualTo(digest), "where a file lies does not count");
        var others = new[]
        {
            await Of("sha256:2", "v1: install", a, b), await Of("sha256:1", "v1: other", a, b), await Of("sha256:1", "v1: install", b, a),
            await Of("sha256:1", "v1: install", a), await Of("sha256:1v", "1: install", a, b),
        };
        Assert.That(others.Append(digest).Distinct().Count(), Is.EqualTo(others.Length + 1));
    }

    [Test]
    public void A_cancelled_run_tries_nothing_again()
    {
        var deployment = _place.Deployment(_place.Tool("once", "", "EOF: EOF", "EOF: EOF"), "helm");
        _place.Stop.Cancel();
        Assert.That(() => deployment.ScaleAsync("green", "oms", 1), Throws.InstanceOf<OperationCanceledException>());
        Assert.That(_place.CallsOf("once"), Is.Empty);
    }
}
