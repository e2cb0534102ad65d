using System.Diagnostics;
using System.Globalization;
using Rehearsal.Cluster;
using Rehearsal.Controllers;

namespace Rehearsal.Tests.Controllers;

/// <summary>The controllers behind the API server, judged by the real kubectl and helm; ignored where there are none.</summary>
[Parallelizable(ParallelScope.All)]
public sealed class RealClientTests
{
    [Test]
    public async Task Kubectl_rolls_out_undoes_restarts_waits_and_reads_logs()
    {
        await using var world = await RealClients.StartAsync();
        File.WriteAllText(world.PathOf("web.json"), Manifests.Deployment("web"));

        await world.RunAsync("kubectl apply -f web.json");
        Assert.That(await world.RunAsync("kubectl rollout status deployment/web --timeout=30s"), Does.Contain("successfully rolled out"));
        await world.RunAsync("kubectl set image deployment/web web=test/web:2");
        await world.RunAsync("kubectl rollout status deployment/web --timeout=30s");
        await world.RunAsync("kubectl rollout undo deployment/web");
        await world.RunAsync("kubectl rollout status deployment/web --timeout=30s");
        Assert.That(await world.RunAsync("kubectl rollout history deployment/web"), Does.Match("(?s)REVISION.*\n2 .*\n3 "));
        await world.RunAsync("kubectl rollout restart deployment/web");
        await world.RunAsync("kubectl rollout status deployment/web --timeout=30s");
        await world.RunAsync("kubectl wait --for=condition=Available deployment/web --timeout=30s");
        var described = await world.RunAsync("kubectl describe pods -l app=web");
        Assert.That(described, Does.Contain("Scheduled").And.Contain("Pulled").And.Contain("Created").And.Contain("Started"));
        await world.RunAsync("kubectl delete deployment web --cascade=foreground --timeout=30s");
        Assert.That(await world.RunAsync("kubectl get pods -o name"), Is.Empty);
    }

    [Test]
    public async Task Kubectl_executes_and_copies_both_ways()
    {
        await using var world = await RealClients.StartAsync();
        File.WriteAllText(world.PathOf("box.json"), Manifests.Pod("box", """, "workingDir": "/app" """));
        Directory.CreateDirectory(world.PathOf("tree/sub"));
        File.WriteAllText(world.PathOf("tree/sub/file"), "there and back");
        await world.RunAsync("kubectl apply -f box.json");
        await world.RunAsync("kubectl wait --for=condition=Ready pod/box --timeout=30s");

        await world.RunAsync("kubectl cp tree box:/var/data");
        Assert.That(await world.RunAsync("kubectl exec box -- cat /var/data/sub/file"), Is.EqualTo("there and back"));
        await world.RunAsync("kubectl cp box:/var/data back");
        Assert.That(File.ReadAllText(world.PathOf("back/sub/file")), Is.EqualTo("there and back"));
        var (code, _, error) = await world.TryAsync(["kubectl", "exec", "box", "--", "sh", "-c", "echo made > here; exit 3"]);
        Assert.That((code, error), Is.EqualTo((3, "command terminated with exit code 3\n")));
        Assert.That(await world.RunAsync("kubectl exec box -- cat /app/here"), Is.EqualTo("made\n"));
        Assert.That(Directory.Exists("/app") && File.Exists("/app/here"), Is.False, "nothing of it lands on this machine");
    }

    [Test]
    public async Task Helm_waits_for_deployments_and_hook_jobs_and_sees_them_fail()
    {
        await using var world = await RealClients.StartAsync();
        Directory.CreateDirectory(world.PathOf("shop/templates"));
        File.WriteAllText(world.PathOf("shop/Chart.yaml"), "apiVersion: v2\nname: shop\nversion: 0.1.0\n");
        File.WriteAllText(world.PathOf("shop/values.yaml"), "tag: \"1\"\nexit: 0\n");
        File.WriteAllText(world.PathOf("shop/templates/web.yaml"), Manifests.Deployment("shop", 1, "test/web:{{ .Values.tag }}"));
        File.WriteAllText(world.PathOf("shop/templates/hook.yaml"), """
            apiVersion: batch/v1
            kind: Job
            metadata:
              name: prepare
              annotations: { helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-delete-policy: before-hook-creation }
            spec:
              backoffLimit: 0
              template:
                spec:
                  restartPolicy: Never
                  containers: [ { name: web, image: test/job, env: [ { name: EXIT, value: "{{ .Values.exit }}" } ] } ]
            """);

        await world.RunAsync("helm upgrade --install shop shop --wait --timeout 60s");
        Assert.That(await world.RunAsync("kubectl logs job/prepare"), Is.EqualTo("prepared\n"));
        var (code, _, error) = await world.TryAsync("helm upgrade --install shop shop --wait --timeout 60s --set exit=3,tag=2".Split(' '));
        Assert.That(code, Is.EqualTo(1));
        Assert.That(error, Does.Contain("pre-upgrade hooks failed").And.Contain("Job Failed. failed: 1/1"));
        Assert.That(await world.RunAsync("kubectl get deployment shop -o jsonpath={..image}"), Is.EqualTo("test/web:1"));
        await world.RunAsync("helm upgrade --install shop shop --wait --timeout 60s --set tag=2");
        await world.RunAsync("helm rollback shop 1 --wait --timeout 60s");
        await world.RunAsync("helm uninstall shop --wait --timeout 60s");
        Assert.That(await world.RunAsync("kubectl get deployments,replicasets,pods -l app=shop -o name"), Is.Empty);
    }

    [Test]
    public async Task Namespace_takes_everything_along_when_it_goes()
    {
        await using var world = await RealClients.StartAsync();
        File.WriteAllText(world.PathOf("web.json"), Manifests.Deployment("web"));
        await world.RunAsync("kubectl apply -f web.json");
        await world.RunAsync("kubectl rollout status deployment/web --timeout=30s");
        Assert.That(
            await world.RunAsync("kubectl get serviceaccount,configmap -o name"),
            Is.EqualTo("serviceaccount/default\nconfigmap/kube-root-ca.crt\n"));

        await world.RunAsync("kubectl delete namespace test --timeout=30s");

        Assert.That(world.Cluster.Containers.Values.Select(container => container.Disposed), Is.All.True);
        Assert.That(world.Cluster.List("pods"), Is.Empty);
    }

    private sealed class RealClients(ClusterUnderTest cluster, ApiServer server, string directory) : IAsyncDisposable
    {
        public ClusterUnderTest Cluster => cluster;

        public static async Task<RealClients> StartAsync()
        {
            var directory = Directory.CreateTempSubdirectory("real-client-test-").FullName;
            var cluster = ClusterUnderTest.Start();
            cluster.Behaviour["test/job"] = job =>
            {
                var code = int.Parse(job.Start.Environment.GetValueOrDefault("EXIT", "0"), CultureInfo.InvariantCulture);
                job.Start.Log("prepared");
                job.Exit(code);
                return Task.CompletedTask;
            };
            var options = new ApiServerOptions { Directory = Path.Combine(directory, "api"), Node = cluster.Node };
            var server = await ApiServer.StartAsync(options, cluster.Store, TimeProvider.System, default);
            server.WriteKubeconfig(Path.Combine(directory, "kubeconfig"));
            return new RealClients(cluster, server, directory);
        }

        public string PathOf(string name) => Path.Combine(directory, name);

        public async Task<string> RunAsync(string command)
        {
            var (code, output, error) = await TryAsync(command.Split(' '));
            Assert.That(code, Is.Zero, $"{command}: {error}{output}; complaints: {string.Join(" | ", cluster.Complaints)}");
            return output;
        }

        public async Task<(int Code, string Output, string Error)> TryAsync(string[] command)
        {
            var start = new ProcessStartInfo(Tools.Find(command[0]), ["--namespace", "test", .. command.Skip(1)])
            {
                WorkingDirectory = directory,
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            };
            start.Environment["KUBECONFIG"] = PathOf("kubeconfig");
            start.Environment["HOME"] = directory;
            using var process = Process.Start(start)!;
            var output = process.StandardOutput.ReadToEndAsync();
            var error = process.StandardError.ReadToEndAsync();
            await process.WaitForExitAsync();
            return (process.ExitCode, await output, await error);
        }

        public async ValueTask DisposeAsync()
        {
            await server.DisposeAsync();
            await cluster.DisposeAsync();
            Directory.Delete(directory, recursive: true);
        }
    }
}
