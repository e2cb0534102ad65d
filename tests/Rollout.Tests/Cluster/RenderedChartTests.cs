using System.Text.Json.Nodes;
using Rollout.Cluster;

namespace Rollout.Tests.Cluster;

public sealed class RenderedChartTests
{
    private const string Web = """
        kind: Deployment
        metadata: {name: web}
        spec:
          replicas: 2
          template:
            spec:
              containers:
              - name: web
                image: web:1
                env: [{name: MODE, value: "on"}, {name: EMPTY, value: ""}, {name: KEY, valueFrom: {secretKeyRef: {name: s, key: k}}}]
        """;

    // As a server gives it back: defaults added, an empty value left out.
    private const string Stored = """
        {"metadata":{"name":"web","uid":"1"},"spec":{"replicas":2,"paused":false,"template":{"spec":{"containers":[{"name":"web","image":"web:1",
        "env":[{"name":"MODE","value":"on"},{"name":"EMPTY"},{"name":"KEY","valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}}]}]}}}}
        """;

    [TestCase("", "", "")]
    [TestCase("\"replicas\":2", "\"replicas\":0", "web")]
    [TestCase("web:1", "web:2", "web")]
    [TestCase("\"value\":\"on\"", "\"value\":\"off\"", "web")]
    [TestCase("{\"name\":\"EMPTY\"}", "{\"name\":\"EMPTY\"},{\"name\":\"MORE\",\"value\":\"1\"}", "web")]
    [TestCase("\"name\":\"web\",\"uid\"", "\"name\":\"other\",\"uid\"", "web")]
    public void What_was_changed_after_helm_is_seen(string part, string changed, string strayed)
    {
        var stored = JsonNode.Parse(part.Length == 0 ? Stored : Stored.Replace(part, changed, StringComparison.Ordinal))!.AsObject();
        Assert.That(string.Join(",", RenderedChart.Parse(Web).StrayedIn([stored])), Is.EqualTo(strayed));
    }

    [TestCase("apiVersion: v1\nkind: Service", "web/templates/a.yaml has no metadata.name: Service")]
    [TestCase("kind: Service\nmetadata: {name: web}", "web/templates/a.yaml has no apiVersion: Service web")]
    [TestCase("apiVersion: v1\nmetadata: {name: web}", "web/templates/a.yaml has no kind: object web")]
    [TestCase("apiVersion: v1\nkind: Service\nmetadata: {name: 7}", "web/templates/a.yaml has no metadata.name: Service")]
    [TestCase("stray: 1", "web/templates/a.yaml has no apiVersion and no kind and no metadata.name")]
    [TestCase("- 1\n- 2", "web/templates/a.yaml is a list, no Kubernetes object")]
    [TestCase("some text", "web/templates/a.yaml is a text, no Kubernetes object")]
    [TestCase("apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Secret}]", "web/templates/a.yaml has no metadata.name: Secret")]
    [TestCase("# nothing but a comment", "")]
    [TestCase("apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Secret, metadata: {name: s}}]", "")]
    public void What_a_cluster_would_refuse_is_named_with_its_template(string document, string problem) =>
        Assert.That(
            string.Join(";", RenderedChart.Parse($"---\n# Source: web/templates/first.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: first}}\n---\n# Source: web/templates/a.yaml\n{document}\n").ProblemsIn("green")),
            Is.EqualTo(problem));

    [Test]
    public void Two_objects_of_one_kind_and_name_are_named_with_both_templates()
    {
        var chart = RenderedChart.Parse("""
            ---
            # Source: web/templates/a.yaml
            {apiVersion: v1, kind: ConfigMap, metadata: {name: c}}
            ---
            # Source: web/templates/b.yaml
            {apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: green}}
            ---
            # Source: web/templates/b.yaml
            {apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: other}}
            ---
            # Source: web/templates/b.yaml
            {apiVersion: v1, kind: Secret, metadata: {name: c}}
            """);
        Assert.That(chart.ProblemsIn("green"), Is.EqualTo(new[] { "ConfigMap green/c is rendered twice, by web/templates/a.yaml and web/templates/b.yaml" }));
        Assert.That(chart.NamedInto("other"), Is.EqualTo(new[] { "ConfigMap c" }));
    }

    [Test]
    public void A_kind_moves_to_another_version_of_its_group_and_stays_the_same_object() =>
        Assert.That(
            RenderedChart.Parse("{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: p}}\n---\n{apiVersion: policy/v1beta1, kind: PodDisruptionBudget, metadata: {name: p}}").ProblemsIn("green"),
            Is.EqualTo(new[] { "PodDisruptionBudget green/p is rendered twice, by document 1 and document 2" }));

    [Test]
    public void Hooks_may_share_a_name_with_one_another_and_not_with_what_stays()
    {
        const string hook = "{apiVersion: v1, kind: ServiceAccount, metadata: {name: h, annotations: {helm.sh/hook: pre-install}}}";
        Assert.That(RenderedChart.Parse($"{hook}\n---\n{hook}").ProblemsIn("green"), Is.Empty);
        Assert.That(RenderedChart.Parse($"{hook}\n---\n{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: h}}}}").ProblemsIn("green"), Has.Count.EqualTo(1));
    }

    [Test]
    public void Objects_of_a_list_are_objects() => Assert.That(
        RenderedChart.Parse("apiVersion: v1\nkind: List\nitems: [{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}}]").Deployments.Count(), Is.EqualTo(1));

    private const string Manifests = """
        ---
        apiVersion: apps/v1
        kind: Deployment
        metadata: { name: oms-service }
        spec:
          replicas: 2
          template:
            spec:
              initContainers: [{ name: wait, image: "r/aether/wait:v1" }]
              containers:
                - name: oms
                  image: "r/aether/oms-service:v1"
                  env:
                    - { name: PORT, value: "8000" }
                    - { name: DSN, valueFrom: { secretKeyRef: { name: db, key: dsn } } }
                    - { name: MAYBE, valueFrom: { secretKeyRef: { name: extra, key: k, optional: true } } }
                  envFrom: [{ secretRef: { name: whole } }]
              volumes:
                - { name: keys, secret: { secretName: kraken-keys-company, optional: true } }
        ---
        apiVersion: networking.k8s.io/v1
        kind: Ingress
        metadata: { name: oms }
        spec:
          tls: [{ hosts: [oms.example.com], secretName: oms-tls }]
          rules: [{ host: oms.example.com }]
        ---
        # a document without an object
        """;

    private readonly RenderedChart _chart = RenderedChart.Parse(Manifests);

    [Test]
    public void Images_of_all_containers_are_found() =>
        Assert.That(_chart.Images, Is.EqualTo(new[] { "r/aether/oms-service:v1", "r/aether/wait:v1" }));

    [Test]
    public void Hosts_come_from_the_ingresses() => Assert.That(_chart.Hosts, Is.EqualTo(new[] { "oms.example.com" }));

    [Test]
    public void Pull_secrets_single_files_and_what_an_ingress_names_are_references_too() => Assert.That(
        RenderedChart.Parse("""
            {apiVersion: v1, kind: ServiceAccount, metadata: {name: a}, imagePullSecrets: [{name: registry}]}
            ---
            apiVersion: v1
            kind: Pod
            metadata: {name: p}
            spec:
              imagePullSecrets: [{name: mirror}]
              containers: []
              volumes:
                - {name: one, secret: {secretName: files, items: [{key: a, path: a}, {key: b, path: b}]}}
                - {name: two, projected: {sources: [{secret: {name: part, optional: true, items: [{key: c, path: c}]}}, {configMap: {name: x}}]}}
            ---
            apiVersion: networking.k8s.io/v1
            kind: Ingress
            metadata: {name: i, annotations: {nginx.ingress.kubernetes.io/auth-secret: basic, nginx.ingress.kubernetes.io/auth-tls-secret: elsewhere/ca}}
            spec: {rules: []}
            """).Secrets,
        Is.EquivalentTo(new[]
        {
            new SecretReference("registry", ".dockerconfigjson", false),
            new SecretReference("mirror", ".dockerconfigjson", false),
            new SecretReference("files", "a", false),
            new SecretReference("files", "b", false),
            new SecretReference("part", "c", true),
            new SecretReference("basic", null, false),
        }));

    [Test]
    public void Every_way_to_refer_to_a_secret_is_found() => Assert.That(_chart.Secrets, Is.EquivalentTo(new[]
    {
        new SecretReference("db", "dsn", false),
        new SecretReference("extra", "k", true),
        new SecretReference("whole", null, false),
        new SecretReference("kraken-keys-company", null, true),
        new SecretReference("oms-tls", "tls.crt", false),
    }));

    [Test]
    public void A_quoted_number_stays_text_and_a_plain_one_is_a_number()
    {
        var container = _chart.Deployments.Single()["spec"]!;
        Assert.That(container["replicas"]!.GetValue<int>(), Is.EqualTo(2));
        Assert.That(container["template"]!["spec"]!["containers"]![0]!["env"]![0]!["value"]!.GetValue<string>(), Is.EqualTo("8000"));
    }

    [TestCase("oms.example.com", "oms-tls")]
    [TestCase("OMS.example.com", "oms-tls")]
    [TestCase("a.wild.example.com", "wild-tls")]
    [TestCase("b.example.com", "all-tls")]
    [TestCase("bare.example.com", null)]
    [TestCase("nobody.example.com", null)]
    public void The_TLS_secret_of_a_host_is_the_one_that_its_Ingress_names_for_it(string host, string? secret)
    {
        var chart = RenderedChart.Parse("""
            kind: Ingress
            spec:
              tls: [{ hosts: [other.example.com], secretName: other-tls }, { hosts: [oms.example.com], secretName: oms-tls }, { hosts: ["*.wild.example.com"], secretName: wild-tls }]
              rules: [{ host: oms.example.com }, { host: a.wild.example.com }]
            ---
            kind: Ingress
            spec: { tls: [{ secretName: all-tls }], rules: [{ host: b.example.com }] }
            ---
            kind: Ingress
            spec: { tls: [{ hosts: [x.bare.example.com] }], rules: [{ host: bare.example.com }] }
            """);
        Assert.That(chart.TlsSecretOf(host), Is.EqualTo(secret));
    }

    [TestCase("spec: { ingressClassName: nginx-green }", "nginx-green")]
    [TestCase("metadata: { annotations: { kubernetes.io/ingress.class: nginx-old } }", "nginx-old")]
    [TestCase("metadata: { name: x }", null)]
    public void The_class_of_an_Ingress_is_its_field_or_its_old_annotation(string ingress, string? expected) =>
        Assert.That(RenderedChart.ClassOf(RenderedChart.Parse($"kind: Ingress\n{ingress}").Ingresses.Single()), Is.EqualTo(expected));

    [Test]
    public void A_deployment_is_as_large_as_its_count_or_its_autoscalers_least_and_is_sized_by_the_value_whose_mark_shows()
    {
        var chart = RenderedChart.Parse("""
            kind: Deployment
            metadata: { name: counted }
            spec: { replicas: 7001 }
            ---
            kind: Deployment
            metadata: { name: scaled }
            spec: { template: {} }
            ---
            kind: HorizontalPodAutoscaler
            spec: { scaleTargetRef: { kind: Deployment, name: scaled }, minReplicas: 7002 }
            ---
            kind: Deployment
            metadata: { name: fixed }
            spec: { replicas: 2 }
            ---
            kind: Deployment
            metadata: { name: bare }
            """);
        Assert.That(chart.Sizes, Is.EquivalentTo(new Dictionary<string, int> { ["counted"] = 7001, ["scaled"] = 7002, ["fixed"] = 2, ["bare"] = 1 }));
        Assert.That(
            chart.SizedBy(new Dictionary<string, int> { ["a.replicaCount"] = 7001, ["b.replicaCount"] = 7002, ["off.replicaCount"] = 7003 }),
            Is.EquivalentTo(new Dictionary<string, string> { ["counted"] = "a.replicaCount", ["scaled"] = "b.replicaCount" }));
    }

    [Test]
    public void Text_that_is_no_YAML_is_refused_in_words() =>
        Assert.That(() => RenderedChart.Parse("a: [b"), Throws.TypeOf<RolloutException>().With.Message.Contains("no YAML"));
}
