using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Tests.Cluster;

public sealed class ObjectDefaultsTests
{
    private ObjectStore _store = null!;

    [OneTimeSetUp]
    public void CreateStore()
    {
        _store = new ObjectStore(TimeProvider.System);
        _store.Create("", "namespaces", TestCluster.Object("""{"metadata":{"name":"test"}}"""));
    }

    [OneTimeTearDown]
    public void DisposeStore() => _store.Dispose();

    [TestCase(
        "",
        "services",
        """{"ports":[{"port":80}]}""",
        "type=ClusterIP",
        "sessionAffinity=None",
        "ports.0.protocol=TCP",
        "ports.0.targetPort=80",
        "ipFamilyPolicy=SingleStack")]
    [TestCase(
        "",
        "services",
        """{"type":"LoadBalancer","ports":[{"port":80}]}""",
        "externalTrafficPolicy=Cluster",
        "allocateLoadBalancerNodePorts=true")]
    [TestCase("", "services", """{"clusterIP":"None","ports":[{"port":80}]}""", "clusterIP=None", "clusterIPs=[\"None\"]")]
    [TestCase(
        "",
        "pods",
        """{"containers":[{"name":"c","image":"rehearsal/web"}]}""",
        "serviceAccountName=default",
        "containers.0.imagePullPolicy=Always",
        "tolerations.1.tolerationSeconds=300",
        "priority=0",
        "enableServiceLinks=true")]
    [TestCase(
        "",
        "pods",
        """{"containers":[{"name":"c","image":"x:1","readinessProbe":{"httpGet":{"port":8080}},"resources":{"limits":{"cpu":0.5,"memory":"1024Mi"}}}]}""",
        "containers.0.readinessProbe.periodSeconds=10",
        "containers.0.readinessProbe.httpGet.scheme=HTTP",
        "containers.0.resources.requests.cpu=500m",
        "containers.0.resources.limits.memory=1Gi")]
    [TestCase(
        "apps",
        "statefulsets",
        """{"serviceName":"s","selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"x:1"}]}}}""",
        "podManagementPolicy=OrderedReady",
        "updateStrategy.rollingUpdate.partition=0",
        "revisionHistoryLimit=10",
        "template.spec.restartPolicy=Always")]
    [TestCase(
        "apps",
        "daemonsets",
        """{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"x:1"}]}}}""",
        "updateStrategy.rollingUpdate.maxUnavailable=1")]
    [TestCase(
        "batch",
        "jobs",
        """{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"x:1"}]}}}""",
        "parallelism=1",
        "completions=1",
        "backoffLimit=6",
        "completionMode=NonIndexed",
        "suspend=false")]
    [TestCase(
        "batch",
        "cronjobs",
        """{"schedule":"* * * * *","jobTemplate":{"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"x:1"}]}}}}}""",
        "concurrencyPolicy=Allow",
        "failedJobsHistoryLimit=1")]
    [TestCase(
        "autoscaling",
        "horizontalpodautoscalers",
        """{"maxReplicas":3,"scaleTargetRef":{"kind":"Deployment","name":"web"}}""",
        "minReplicas=1",
        "metrics.0.resource.target.averageUtilization=80")]
    [TestCase(
        "networking.k8s.io",
        "networkpolicies",
        """{"podSelector":{},"egress":[{"ports":[{"port":53}]}]}""",
        "policyTypes=[\"Ingress\",\"Egress\"]",
        "egress.0.ports.0.protocol=TCP")]
    public void What_was_left_out_is_filled_in(string group, string resource, string spec, params string[] expected)
    {
        var made = _store.Create(group, resource, new JsonObject
        {
            ["metadata"] = new JsonObject { ["generateName"] = "made-", ["namespace"] = "test" },
            ["spec"] = JsonNode.Parse(spec),
        });
        Assert.Multiple(() =>
        {
            foreach (var line in expected)
            {
                var equals = line.IndexOf('=', StringComparison.Ordinal);
                Assert.That(Reply.Read(made["spec"], line[..equals]), Is.EqualTo(line[(equals + 1)..]), line[..equals]);
            }
        });
    }

    [Test]
    public void A_job_knows_its_pods_by_its_uid()
    {
        var job = _store.Create(
            "batch",
            "jobs",
            TestCluster.Object(
                """{"metadata":{"name":"once","namespace":"test"},"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"x:1"}]}}}}"""));
        var uid = Reply.Read(job, "metadata.uid");
        Assert.That(job["spec"]!["selector"]!["matchLabels"]!["batch.kubernetes.io/controller-uid"]!.GetValue<string>(), Is.EqualTo(uid));
        Assert.That(job["spec"]!["template"]!["metadata"]!["labels"]!["job-name"]!.GetValue<string>(), Is.EqualTo("once"));
    }

    [Test]
    public void A_secrets_plain_strings_become_data()
    {
        var secret = _store.Create(
            "",
            "secrets",
            TestCluster.Object("""{"metadata":{"name":"plain","namespace":"test"},"stringData":{"a":"b"}}"""));
        Assert.That(
            (Reply.Read(secret, "data.a"), Reply.Read(secret, "type"), secret.ContainsKey("stringData")),
            Is.EqualTo(("Yg==", "Opaque", false)));
    }

    [TestCase("""{"requests":{"cpu":"1"},"limits":{"memory":"1Gi"}}""", "Burstable")]
    [TestCase("""{"limits":{"cpu":"1","memory":"1Gi"}}""", "Guaranteed")]
    [TestCase("{}", "BestEffort")]
    public void A_pods_quality_of_service_follows_its_resources(string resources, string expected)
    {
        var pod = _store.Create(
            "",
            "pods",
            TestCluster.Object(
                $$$$"""{"metadata":{"generateName":"qos-","namespace":"test"},"spec":{"containers":[{"name":"c","image":"x:1","resources":{{{{resources}}}}}]}}"""));
        Assert.That(Reply.Read(pod, "status.qosClass"), Is.EqualTo(expected));
    }

    [TestCase("100m", "100m")]
    [TestCase("0.1", "100m")]
    [TestCase("1000m", "1")]
    [TestCase("1024Ki", "1Mi")]
    [TestCase("1.5Gi", "1536Mi")]
    [TestCase("1e3", "1k")]
    [TestCase("0", "0")]
    public void Quantities_have_one_form(string given, string expected) =>
        Assert.That(Quantity.Canonical(given)!.GetValue<string>(), Is.EqualTo(expected));
}
