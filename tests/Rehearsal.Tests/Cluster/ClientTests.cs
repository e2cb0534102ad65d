using System.Diagnostics;

namespace Rehearsal.Tests.Cluster;

/// <summary>The real kubectl and helm.</summary>
public sealed class ClientTests
{
    private const string Manifest = """
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: web, labels: {app: web}}
        spec:
          replicas: 2
          selector: {matchLabels: {app: web}}
          template:
            metadata: {labels: {app: web}}
            spec:
              containers:
              - name: web
                image: rehearsal/web:1
                env: [{name: COLOR, value: blue}]
                ports: [{name: http, containerPort: 8080}]
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: web}
        spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}
        """;

    private TestCluster _cluster = null!;
    private string _home = null!;
    private string _kubeconfig = null!;

    [OneTimeSetUp]
    public async Task StartAsync()
    {
        _cluster = await TestCluster.StartAsync();
        _home = Directory.CreateTempSubdirectory("client-").FullName;
        _kubeconfig = _cluster.Server.WriteKubeconfig(Path.Combine(_home, "kubeconfig"));
    }

    [OneTimeTearDown]
    public async Task StopAsync()
    {
        await _cluster.DisposeAsync();
        Directory.Delete(_home, recursive: true);
    }

    [Test]
    public async Task Kubectl_applies_changes_shows_and_deletes()
    {
        await RunAsync("kubectl", "create namespace applied");
        Assert.That(
            await RunAsync("kubectl", "apply -n applied -f -", Manifest),
            Is.EqualTo("deployment.apps/web created\nservice/web created\n"));
        Assert.That(
            await RunAsync("kubectl", "apply -n applied -f -", Manifest),
            Is.EqualTo("deployment.apps/web unchanged\nservice/web unchanged\n"));
        Assert.That(
            await RunAsync("kubectl", "set env -n applied deployment/web COLOR=green"),
            Is.EqualTo("deployment.apps/web env updated\n"));
        Assert.That(
            await RunAsync("kubectl", "get deploy web -n applied -o jsonpath={.spec.template.spec.containers[0].env[0].value}"),
            Is.EqualTo("green"));
        Assert.That(await RunAsync("kubectl", "scale -n applied deployment/web --replicas=5"), Is.EqualTo("deployment.apps/web scaled\n"));
        Assert.That(await RunAsync("kubectl", "get deploy -n applied --no-headers"), Does.Match(@"^web +0/5 +0 +0 +\d+s\n$"));
        Assert.That(await RunAsync("kubectl", "get all -n applied"), Does.Contain("service/web").And.Contain("deployment.apps/web"));
        Assert.That(
            await RunAsync("kubectl", "describe deploy web -n applied"),
            Does.Contain("RollingUpdateStrategy:  25% max unavailable, 25% max surge"));
        Assert.That(await RunAsync("kubectl", "diff -n applied -f -", Manifest, exitCode: 1), Does.Contain("-          value: green"));
        Assert.That(
            await RunAsync("kubectl", "delete deploy web -n applied"),
            Is.EqualTo("deployment.apps \"web\" deleted from applied namespace\n"));
        Assert.That(await RunAsync("kubectl", "delete namespace applied"), Is.EqualTo("namespace \"applied\" deleted\n"));
    }

    [Test]
    public async Task Kubectl_applies_on_the_servers_side_and_hears_of_conflicts()
    {
        await RunAsync("kubectl", "create namespace server");
        await RunAsync("kubectl", "apply --server-side -n server -f -", Manifest);
        var other = Manifest.Replace("blue", "red", StringComparison.Ordinal);
        Assert.That(
            await RunAsync("kubectl", "apply --server-side --field-manager=other -n server -f -", other, exitCode: 1, error: true),
            Does.Contain("conflict with \"kubectl\": .spec.template.spec.containers[name=\"web\"].env[name=\"COLOR\"].value"));
        await RunAsync("kubectl", "apply --server-side --field-manager=other --force-conflicts -n server -f -", other);
        Assert.That(
            await RunAsync("kubectl", "get deploy web -n server -o jsonpath={.spec.template.spec.containers[0].env[0].value}"),
            Is.EqualTo("red"));
    }

    [TestCase("create configmap made --from-literal=a=b", "configmap/made created\n")]
    [TestCase("create secret generic made --from-literal=a=b", "secret/made created\n")]
    [TestCase("create deployment made --image=rehearsal/web:1 --replicas=0", "deployment.apps/made created\n")]
    [TestCase("create job made --image=rehearsal/web:1 -- true", "job.batch/made created\n")]
    [TestCase("create serviceaccount made", "serviceaccount/made created\n")]
    [TestCase("create role made --verb=get --resource=pods", "role.rbac.authorization.k8s.io/made created\n")]
    [TestCase("create rolebinding made --role=made --user=someone", "rolebinding.rbac.authorization.k8s.io/made created\n")]
    [TestCase("auth can-i create deployments.apps", "yes\n")]
    [TestCase("auth whoami -o jsonpath={.status.userInfo.username}", "rehearsal-admin")]
    public async Task Kubectls_typed_requests_are_read(string arguments, string expected) =>
        Assert.That(await RunAsync("kubectl", arguments), Is.EqualTo(expected));

    [TestCase("get deploy absent", "Error from server (NotFound): deployments.apps \"absent\" not found\n")]
    [TestCase("get deploy absent -n nowhere", "Error from server (NotFound): namespaces \"nowhere\" not found\n")]
    [TestCase("get widgets", "error: the server doesn't have a resource type \"widgets\"\n")]
    [TestCase("create namespace default", "Error from server (AlreadyExists): namespaces \"default\" already exists\n")]
    [TestCase(
        "get deploy --as nobody",
        "Error from server (Forbidden): deployments.apps is forbidden: User \"nobody\" cannot list resource \"deployments\" in API group \"apps\" in the namespace \"default\"\n")]
    public async Task Kubectl_prints_the_servers_refusals(string arguments, string expected) =>
        Assert.That(await RunAsync("kubectl", arguments, exitCode: 1, error: true), Is.EqualTo(expected));

    [Test]
    public async Task Kubectl_waits_by_watching()
    {
        await RunAsync("kubectl", "create configmap awaited --from-literal=phase=idle");
        var waiting = RunAsync("kubectl", "wait --for=jsonpath={.data.phase}=done configmap/awaited --timeout=30s");
        await RunAsync("kubectl", "patch configmap awaited --type=merge -p {\"data\":{\"phase\":\"done\"}}");
        Assert.That(await waiting, Is.EqualTo("configmap/awaited condition met\n"));
        var gone = RunAsync("kubectl", "wait --for=delete configmap/awaited --timeout=30s");
        await RunAsync("kubectl", "delete configmap awaited");
        Assert.That(await gone, Is.EqualTo("configmap/awaited condition met\n").Or.Empty);
    }

    [TestCase("true")]
    [TestCase("false")]
    public async Task Helm_installs_upgrades_rolls_back_and_uninstalls(string serverSide)
    {
        var chart = WriteChart();
        var release = "shop-" + serverSide;
        var flags = $"-n default --server-side={serverSide}";
        Assert.That(
            await RunAsync("helm", $"upgrade --install {release} {chart} {flags}"),
            Does.Contain("STATUS: deployed").And.Contain("REVISION: 1"));
        Assert.That(await RunAsync("helm", $"upgrade --install {release} {chart} {flags} --set color=green"), Does.Contain("REVISION: 2"));
        Assert.That(await RunAsync("kubectl", $"get configmap {release} -o jsonpath={{.data.color}}"), Is.EqualTo("green"));
        Assert.That(await RunAsync("helm", $"status {release}"), Does.Contain("STATUS: deployed"));
        await RunAsync("helm", $"rollback {release} 1");
        Assert.That(await RunAsync("kubectl", $"get configmap {release} -o jsonpath={{.data.color}}"), Is.EqualTo("blue"));
        Assert.That(await RunAsync("helm", $"history {release} -o json"), Does.Contain("\"description\":\"Rollback to 1\""));
        Assert.That(await RunAsync("helm", $"get manifest {release}"), Does.Contain("color: blue"));
        Assert.That(await RunAsync("helm", "list -A -q"), Does.Contain(release));
        Assert.That(await RunAsync("helm", $"uninstall {release} --wait"), Does.Contain("uninstalled"));
        Assert.That(await RunAsync("kubectl", "get secrets -l owner=helm,name=" + release + " -o name"), Is.Empty);
    }

    private string WriteChart()
    {
        var chart = Path.Combine(_home, "chart");
        Directory.CreateDirectory(Path.Combine(chart, "templates"));
        File.WriteAllText(Path.Combine(chart, "Chart.yaml"), "apiVersion: v2\nname: shop\nversion: 0.1.0\n");
        File.WriteAllText(Path.Combine(chart, "values.yaml"), "color: blue\n");
        File.WriteAllText(
            Path.Combine(chart, "templates", "all.yaml"),
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\ndata: {color: {{ .Values.color }}}\n");
        return chart;
    }

    private async Task<string> RunAsync(string tool, string arguments, string? input = null, int exitCode = 0, bool error = false)
    {
        var start = new ProcessStartInfo(Tools.Find(tool))
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var argument in arguments.Split(' '))
        {
            start.ArgumentList.Add(argument);
        }

        start.Environment["KUBECONFIG"] = _kubeconfig;
        start.Environment["HOME"] = _home;
        start.Environment["KUBECACHEDIR"] = Path.Combine(_home, "cache");
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync();
        var errors = process.StandardError.ReadToEndAsync();
        if (input is not null)
        {
            await process.StandardInput.WriteAsync(input);
        }

        process.StandardInput.Close();
        using var patience = new CancellationTokenSource(2 * Patience.Limit);
        await process.WaitForExitAsync(patience.Token);
        Assert.That(process.ExitCode, Is.EqualTo(exitCode), $"{tool} {arguments}\n{await output}\n{await errors}");
        return error ? await errors : await output;
    }
}
