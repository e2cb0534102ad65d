using System.Text;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Time.Testing;
using Rehearsal.Cluster;

namespace Rehearsal.Tests.Controllers;

[Parallelizable(ParallelScope.All)]
public sealed class PodTests
{
    private const string Digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    private static readonly DateTimeOffset Evening = new(2026, 11, 22, 20, 0, 0, TimeSpan.Zero);

    [Test]
    public async Task Environment_comes_from_values_secrets_config_maps_and_the_pod_itself()
    {
        await using var cluster = ClusterUnderTest.Start();
        cluster.Create(Manifests.Secret("database", "dsn", "postgresql://secret"));
        cluster.Create("""
            {"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"settings","namespace":"test"},
             "data":{"LEVEL":"debug"}}
            """);
        cluster.Create(Manifests.Pod("env", """
            , "args": [ "--dsn=$(DSN)", "$$(DSN)", "$(UNKNOWN)" ],
            "envFrom": [ { "prefix": "APP_", "configMapRef": { "name": "settings" } } ],
            "env": [ { "name": "DSN", "valueFrom": { "secretKeyRef": { "name": "database", "key": "dsn" } } },
                     { "name": "NONE", "valueFrom": { "secretKeyRef": { "name": "absent", "key": "x", "optional": true } } },
                     { "name": "IP", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } },
                     { "name": "APP", "valueFrom": { "fieldRef": { "fieldPath": "metadata.labels['app']" } } },
                     { "name": "LIMIT", "valueFrom": { "resourceFieldRef": { "resource": "limits.memory", "divisor": "1Mi" } } },
                     { "name": "BOTH", "value": "$(APP)/$(DSN)" } ], "resources": { "limits": { "memory": "64Mi" } }
            """));

        var start = (await cluster.ContainerAsync("env")).Start;

        Assert.Multiple(() =>
        {
            Assert.That(start.Environment["DSN"], Is.EqualTo("postgresql://secret"));
            Assert.That(start.Environment.ContainsKey("NONE"), Is.False);
            Assert.That(start.Environment["IP"], Is.EqualTo(start.PodIp));
            Assert.That(start.Environment["APP"], Is.EqualTo("env"));
            Assert.That(start.Environment["APP_LEVEL"], Is.EqualTo("debug"));
            Assert.That(start.Environment["LIMIT"], Is.EqualTo("64"));
            Assert.That(start.Environment["BOTH"], Is.EqualTo("env/postgresql://secret"));
            Assert.That(start.Environment["HOSTNAME"], Is.EqualTo("env"));
            Assert.That(start.Args, Is.EqualTo(new[] { "--dsn=postgresql://secret", "$(DSN)", "$(UNKNOWN)" }));
        });
    }

    [Test]
    public async Task Missing_secret_holds_the_container_back_until_it_appears()
    {
        await using var cluster = ClusterUnderTest.Start();
        cluster.Create(Manifests.Pod("waiting", """
            , "env": [ { "name": "A", "valueFrom": { "secretKeyRef": { "name": "late", "key": "a" } } } ]
            """));

        var pod = await cluster.UntilAsync("pods", "waiting", "held back", item => item.Waiting() == "CreateContainerConfigError");
        Assert.That(
            (string?)pod["status"]!["containerStatuses"]![0]!["state"]!["waiting"]!["message"],
            Is.EqualTo("secret \"late\" not found"));
        cluster.Create(Manifests.Secret("late", "b", "1"));
        await cluster.UntilAsync("pods", "waiting", "missing the key", item =>
            item["status"]!.ToJsonString().Contains("find key a in Secret test/late", StringComparison.Ordinal));
        cluster.Update("secrets", "late", item => item["data"]!["a"] = "MQ==");

        await cluster.UntilAsync("pods", "waiting", "running", item => item.Phase() == "Running");
        Assert.That((await cluster.ContainerAsync("waiting")).Start.Environment["A"], Is.EqualTo("1"));
    }

    [Test]
    public async Task Volumes_are_real_files_refreshed_on_change_and_gone_with_the_pod()
    {
        await using var cluster = ClusterUnderTest.Start();
        cluster.Create(Manifests.Secret("keys", "credentials.json", "one"));
        cluster.Create("""
            {"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"settings","namespace":"test"},
             "data":{"a":"A","b":"B"}}
            """);
        cluster.Create("""
            {"kind":"PersistentVolumeClaim","apiVersion":"v1","metadata":{"name":"state","namespace":"test"},
             "spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}
            """);
        cluster.Create(Manifests.Pod("files", """
            , "volumeMounts": [ { "name": "keys", "mountPath": "/var/run/keys" }, { "name": "absent", "mountPath": "/var/run/absent" },
                { "name": "some", "mountPath": "/etc/some" }, { "name": "all", "mountPath": "/etc/all" },
                { "name": "scratch", "mountPath": "/scratch" }, { "name": "state", "mountPath": "/state" } ]
            """, """
            "volumes": [ { "name": "keys", "secret": { "secretName": "keys", "defaultMode": 256 } },
                { "name": "absent", "secret": { "secretName": "absent", "optional": true } },
                { "name": "some", "configMap": { "name": "settings", "items": [ { "key": "b", "path": "deep/file" } ] } },
                { "name": "all", "projected": { "sources": [ { "configMap": { "name": "settings" } },
                    { "downwardAPI": { "items": [ { "path": "name", "fieldRef": { "fieldPath": "metadata.name" } } ] } } ] } },
                { "name": "scratch", "emptyDir": {} }, { "name": "state", "persistentVolumeClaim": { "claimName": "state" } } ],
            """));
        var start = (await cluster.ContainerAsync("files")).Start;
        var keys = start.Mounts["/var/run/keys"];
        Assert.Multiple(() =>
        {
            Assert.That(File.ReadAllText(Path.Combine(keys, "credentials.json")), Is.EqualTo("one"));
            Assert.That(Directory.EnumerateFileSystemEntries(start.Mounts["/var/run/absent"]), Is.Empty);
            Assert.That(File.ReadAllText(Path.Combine(start.Mounts["/etc/some"], "deep/file")), Is.EqualTo("B"));
            Assert.That(File.ReadAllText(Path.Combine(start.Mounts["/etc/all"], "name")), Is.EqualTo("files"));
            Assert.That(
                File.ReadAllText(start.RootDirectory + "/var/run/keys/credentials.json"),
                Is.EqualTo("one"), "the root shows the mounts");
            Assert.That(Directory.Exists(start.Mounts["/scratch"]), Is.True);
        });
        if (!OperatingSystem.IsWindows())
        {
            Assert.That(File.GetUnixFileMode(Path.Combine(keys, "credentials.json")), Is.EqualTo(UnixFileMode.UserRead));
            Assert.That(
                File.GetUnixFileMode(Path.Combine(cluster.NodeDirectory, "pods", start.PodUid)),
                Is.EqualTo(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute));
        }

        await cluster.UntilAsync("persistentvolumeclaims", "state", "bound", item => item.Phase() == "Bound");
        File.WriteAllText(Path.Combine(start.Mounts["/state"], "kept"), "yes");
        cluster.Update("secrets", "keys", item => item["data"] = new JsonObject { ["credentials.json"] = "dHdv", ["more"] = "MQ==" });
        await cluster.UntilAsync("refreshed", () =>
            File.ReadAllText(Path.Combine(keys, "credentials.json")) == "two" && File.Exists(Path.Combine(keys, "more")));
        cluster.Create(Manifests.Secret("absent", "now", "here"));
        await cluster.UntilAsync("the optional secret", () => File.Exists(Path.Combine(start.Mounts["/var/run/absent"], "now")));

        cluster.Delete("pods", "files");
        await cluster.UntilGoneAsync("pods", "files");
        Assert.That(Directory.Exists(keys), Is.False);
        Assert.That(File.Exists(Path.Combine(start.Mounts["/state"], "kept")), Is.True);
    }

    [Test]
    public async Task Image_that_cannot_be_pulled_backs_off_and_is_tried_again()
    {
        var time = new FakeTimeProvider(Evening);
        await using var cluster = ClusterUnderTest.Start(time);
        cluster.MissingImages["test/web:1"] = true;
        cluster.Create(Manifests.Pod("pull"));

        await cluster.UntilAsync("pods", "pull", "backing off", item => item.Waiting() == "ImagePullBackOff");
        Assert.That(cluster.Get("pods", "pull")!.Phase(), Is.EqualTo("Pending"));
        Assert.That(cluster.Events("pull"), Has.Some.EqualTo("Warning Failed: Error: ErrImagePull").And.Some.StartsWith("Normal BackOff"));
        cluster.MissingImages.Clear();

        await cluster.UntilAsync("pods", "pull", "running", item => item.Phase() == "Running");
    }

    [Test]
    public async Task Crashing_container_restarts_at_once_and_then_ever_later()
    {
        var time = new FakeTimeProvider(Evening);
        await using var cluster = ClusterUnderTest.Start(time);
        var starts = new List<DateTimeOffset>();
        cluster.Behaviour["test/crash"] = container =>
        {
            lock (starts)
            {
                starts.Add(time.GetUtcNow());
            }

            container.Start.Log("run");
            container.Exit(7);
            return Task.CompletedTask;
        };
        cluster.Create(Manifests.Pod("crash", image: "test/crash"));

        var pod = await cluster.UntilAsync("pods", "crash", "at its third restart", item =>
            item.Restarts() == 3 && item.Waiting() == "CrashLoopBackOff");

        Assert.Multiple(() =>
        {
            Assert.That((int?)pod["status"]!["containerStatuses"]![0]!["lastState"]!["terminated"]!["exitCode"], Is.EqualTo(7));
            Assert.That(pod.Phase(), Is.EqualTo("Running"));
            Assert.That(starts[1] - starts[0], Is.LessThan(TimeSpan.FromSeconds(10)), "the first restart does not back off");
            Assert.That(starts[2] - starts[1], Is.GreaterThanOrEqualTo(TimeSpan.FromSeconds(10)));
            Assert.That(starts[3] - starts[2], Is.GreaterThanOrEqualTo(TimeSpan.FromSeconds(20)));
        });
        var previous = await cluster.Node.Logs(new PodLogRequest("test", "crash", "web", Previous: true, Follow: false), default);
        Assert.That(previous!.Written.Select(line => line.Text), Is.EqualTo(new[] { "run" }));
    }

    [Test]
    public async Task Failing_liveness_probe_restarts_the_container()
    {
        var time = new FakeTimeProvider(Evening);
        await using var cluster = ClusterUnderTest.Start(time);
        cluster.Create(Manifests.Pod("alive", """
            , "ports": [ { "containerPort": 8000 } ], "livenessProbe": { "httpGet": { "path": "/", "port": 8000 }, "periodSeconds": 1 }
            """));
        var first = await cluster.ContainerAsync("alive");
        await cluster.UntilAsync("pods", "alive", "ready", item => item.Condition("Ready") == "True");

        first.Status = 500;

        await cluster.UntilAsync("pods", "alive", "restarted", item => item.Restarts() == 1 && item.Condition("Ready") == "True");
        Assert.That(first.Disposed, Is.True);
        Assert.That(cluster.Events("alive"), Has.Some.EqualTo("Normal Killing: Container web failed liveness probe, will be restarted"));
    }

    [Test]
    public async Task Readiness_follows_the_probe_and_moves_the_address_in_the_endpoints()
    {
        var time = new FakeTimeProvider(Evening);
        await using var cluster = ClusterUnderTest.Start(time);
        cluster.Create(Manifests.Service("web", "web"));
        cluster.Create(Manifests.Deployment("web", 1));
        await cluster.UntilAsync("endpoints", "web", "with an address", item => item["subsets"]?[0]?["addresses"] is not null);
        var container = cluster.Containers.Values.Single();

        container.Status = 503;
        await cluster.UntilAsync("endpoints", "web", "without", item =>
            item["subsets"]?[0]?["addresses"] is null && item["subsets"]?[0]?["notReadyAddresses"] is not null);
        await cluster.UntilAsync("deployments", "web", "unavailable", item =>
            item.Condition("Available") == "False MinimumReplicasUnavailable");
        container.Status = 200;
        await cluster.UntilAsync("endpoints", "web", "with it again", item => item["subsets"]?[0]?["addresses"] is not null);
    }

    [Test]
    public async Task Startup_probe_comes_before_the_others()
    {
        var time = new FakeTimeProvider(Evening);
        await using var cluster = ClusterUnderTest.Start(time);
        cluster.Behaviour["test/web:1"] = slow =>
        {
            slow.Status = 503;
            return Task.CompletedTask;
        };
        cluster.Create(Manifests.Pod("slow", """
            , "ports": [ { "containerPort": 8000 } ],
            "startupProbe": { "httpGet": { "path": "/", "port": 8000 }, "periodSeconds": 1, "failureThreshold": 1000 },
            "livenessProbe": { "httpGet": { "path": "/", "port": 8000 }, "periodSeconds": 1, "failureThreshold": 1 }
            """));
        var container = await cluster.ContainerAsync("slow");
        await cluster.UntilAsync("some failures", () =>
            cluster.Events("slow").Any(item => item.Contains("Startup probe failed", StringComparison.Ordinal)));
        Assert.That((bool)cluster.Get("pods", "slow")!["status"]!["containerStatuses"]![0]!["started"]!, Is.False);

        container.Status = 200;

        await cluster.UntilAsync("pods", "slow", "ready", item => item.Condition("Ready") == "True" && item.Restarts() == 0);
    }

    [Test]
    public async Task Init_containers_run_one_after_the_other_before_the_rest()
    {
        await using var cluster = ClusterUnderTest.Start();
        cluster.Create(Manifests.Pod("steps", spec: """
            "initContainers": [ { "name": "first", "image": "test/init" }, { "name": "second", "image": "test/init" } ],
            """));
        var first = await cluster.ContainerAsync("steps", "first");
        await cluster.UntilAsync("pods", "steps", "initializing", item =>
            item.Waiting() == "PodInitializing" && item.Condition("Initialized")?.StartsWith("False", StringComparison.Ordinal) == true);
        Assert.That(cluster.Containers.ContainsKey(("steps", "second")), Is.False);
        first.Exit(0);
        (await cluster.ContainerAsync("steps", "second")).Exit(0);

        var pod = await cluster.UntilAsync("pods", "steps", "running", item => item.Phase() == "Running");
        Assert.That(pod.Condition("Initialized"), Is.EqualTo("True"));
        Assert.That(pod["status"]!["initContainerStatuses"]!.AsArray(), Has.Count.EqualTo(2));
    }

    [Test]
    public async Task Deletion_leaves_the_endpoints_first_then_ends_the_container_then_removes_the_pod()
    {
        await using var cluster = ClusterUnderTest.Start();
        cluster.Create(Manifests.Service("web", "web"));
        cluster.Create(Manifests.Pod("web", """, "ports": [ { "name": "http", "containerPort": 8000 } ]"""));
        await cluster.UntilAsync("endpoints", "web", "with the address", item => item["subsets"]?[0]?["addresses"] is not null);
        var container = await cluster.ContainerAsync("web");
        container.WhenStopped = () =>
        {
            var listed = cluster.Get("endpoints", "web")!["subsets"] is null ? "without" : "with";
            return $"endpoints {listed} the pod, pod {(cluster.Get("pods", "web") is null ? "gone" : "there")}";
        };

        cluster.Delete("pods", "web");

        await cluster.UntilGoneAsync("pods", "web");
        Assert.That(container.SeenWhenStopped, Is.EqualTo("endpoints without the pod, pod there"));
        Assert.That(cluster.Events("web"), Has.Some.EqualTo("Normal Killing: Stopping container web"));
    }

    [Test]
    public async Task Container_that_ignores_its_signal_is_left_when_the_grace_period_is_over()
    {
        var time = new FakeTimeProvider(Evening);
        await using var cluster = ClusterUnderTest.Start(time);
        cluster.Create(Manifests.Pod("stubborn"));
        (await cluster.ContainerAsync("stubborn")).Stubborn = true;
        await cluster.UntilAsync("pods", "stubborn", "running", item => item.Phase() == "Running");

        cluster.Delete("pods", "stubborn", grace: 20);
        var asked = time.GetUtcNow();

        await cluster.UntilGoneAsync("pods", "stubborn");
        Assert.That(time.GetUtcNow() - asked, Is.GreaterThanOrEqualTo(TimeSpan.FromSeconds(20)));
    }

    [Test]
    public async Task Forced_deletion_ends_the_container_too()
    {
        await using var cluster = ClusterUnderTest.Start();
        cluster.Create(Manifests.Pod("gone"));
        var container = await cluster.ContainerAsync("gone");
        await cluster.UntilAsync("pods", "gone", "running", item => item.Phase() == "Running");

        cluster.Delete("pods", "gone", grace: 0);

        Assert.That(cluster.Get("pods", "gone"), Is.Null);
        await cluster.UntilAsync("container disposed", () => container.Disposed);
    }

    [TestCase("127.0.0.1:5000/aether/oms:v1@" + Digest, "^127.0.0.1:5000/aether/oms@" + Digest + "$")]
    [TestCase("127.0.0.1:5000/aether/oms:v1", "^127.0.0.1:5000/aether/oms@sha256:[0-9a-f]{64}$")]
    public async Task Image_id_is_the_pinned_digest_or_one_of_the_reference(string image, string expected)
    {
        await using var cluster = ClusterUnderTest.Start();
        cluster.Create(Manifests.Pod("one", image: image));
        cluster.Create(Manifests.Pod("two", image: image));

        var one = await cluster.UntilAsync("pods", "one", "running", item => item.Phase() == "Running");
        var two = await cluster.UntilAsync("pods", "two", "running", item => item.Phase() == "Running");

        var id = (string?)one["status"]!["containerStatuses"]![0]!["imageID"];
        Assert.That(id, Is.EqualTo((string?)two["status"]!["containerStatuses"]![0]!["imageID"]));
        Assert.That(id, Does.Match(expected));
    }

    [Test]
    public async Task Pods_of_the_store_run_again_after_a_restart_of_the_process()
    {
        await using var cluster = ClusterUnderTest.Start();
        cluster.Create(Manifests.Deployment("web", 2));
        cluster.Create(Manifests.Job("done"));
        (await cluster.JobContainerAsync("done")).Exit(0);
        await cluster.UntilAsync("jobs", "done", "complete", item => item.Condition("Complete") is not null);
        await cluster.UntilAsync("deployments", "web", "rolled out", item => item.IsRolledOut());
        var before = cluster.List("pods").ToDictionary(pod => pod.Name(), pod => (string?)pod["status"]!["podIP"]);
        var running = cluster.Containers.Values.Where(container => !container.Disposed).ToList();
        var starts = cluster.Starts.Count;

        await cluster.RestartAsync();

        Assert.That(running.Select(container => container.Disposed), Is.All.True, "the old process took its containers along");
        await cluster.UntilAsync("two more starts", () => cluster.Starts.Count >= starts + 2);
        await cluster.UntilAsync("deployments", "web", "rolled out again", item =>
            item.IsRolledOut() && cluster.List("pods").Count(pod => pod.Restarts() == 1) == 2);
        Assert.That(cluster.List("pods").ToDictionary(pod => pod.Name(), pod => (string?)pod["status"]!["podIP"]), Is.EqualTo(before));
        Assert.That(cluster.Starts, Has.Count.EqualTo(starts + 2), "the finished Job does not run again");
    }

    [Test]
    public async Task Nothing_is_called_ready_after_a_restart_before_it_has_started_again()
    {
        await using var cluster = ClusterUnderTest.Start();
        cluster.Create(Manifests.Service("web", "web"));
        cluster.Create(Manifests.Deployment("web", 2));
        await cluster.UntilAsync("deployments", "web", "rolled out", item => item.IsRolledOut());
        await cluster.UntilAsync("endpoints", "web", "has both", item => Addresses(item, "addresses") == 2);
        var go = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        cluster.Behaviour["test/web:1"] = _ => go.Task;

        await cluster.RestartAsync();

        Assert.Multiple(() =>
        {
            Assert.That(cluster.List("pods").Select(pod => pod.Condition("Ready")), Is.All.EqualTo("False ContainersNotReady"));
            Assert.That(Addresses(cluster.Get("endpoints", "web")!, "addresses"), Is.Zero);
            Assert.That(Addresses(cluster.Get("endpoints", "web")!, "notReadyAddresses"), Is.EqualTo(2));
            Assert.That(cluster.Get("deployments", "web")!.Count("readyReplicas"), Is.Zero);
            Assert.That(cluster.Get("deployments", "web")!.Count("unavailableReplicas"), Is.EqualTo(2));
        });
        go.SetResult();
        await cluster.UntilAsync("deployments", "web", "rolled out again", item => item.IsRolledOut());
        await cluster.UntilAsync("endpoints", "web", "has both again", item => Addresses(item, "addresses") == 2);

        static int Addresses(JsonObject endpoints, string list) => endpoints["subsets"]?[0]?[list]?.AsArray().Count ?? 0;
    }

    [Test]
    public async Task Pod_that_may_not_restart_has_failed_when_the_process_died_under_it()
    {
        await using var cluster = ClusterUnderTest.Start();
        cluster.Create(Manifests.Pod("once", spec: "\"restartPolicy\": \"Never\","));
        cluster.Create(Manifests.Pod("again", spec: "\"restartPolicy\": \"OnFailure\","));
        await cluster.UntilAsync("pods", "once", "running", item => item.Phase() == "Running");
        await cluster.UntilAsync("pods", "again", "running", item => item.Phase() == "Running");

        await cluster.RestartAsync();

        var pod = await cluster.UntilAsync("pods", "once", "failed", item => item.Phase() == "Failed");
        Assert.That((int?)pod["status"]!["containerStatuses"]![0]!["state"]!["terminated"]!["exitCode"], Is.EqualTo(255));
        await cluster.UntilAsync("pods", "again", "running again", item =>
            item.Phase() == "Running" && item.Restarts() == 1 && item.Condition("Ready") == "True");
        Assert.That(cluster.Starts, Has.Count.EqualTo(3));
    }

    [Test]
    public async Task Fifty_four_deployments_of_two_pods_come_up_together()
    {
        await using var cluster = ClusterUnderTest.Start();
        for (var i = 0; i < 54; i++)
        {
            cluster.Create(Manifests.Service($"web-{i}", $"web-{i}"));
            cluster.Create(Manifests.Deployment($"web-{i}", 2));
        }

        var clock = System.Diagnostics.Stopwatch.StartNew();
        await cluster.UntilAsync("108 pods", () => cluster.List("deployments").All(deployment => deployment.IsRolledOut()));
        TestContext.Out.WriteLine($"108 pods ready after {clock.Elapsed.TotalSeconds:0.00} s, {cluster.Store.Revision} revisions");

        Assert.That(cluster.List("pods").Select(pod => (string?)pod["status"]!["podIP"]), Is.Unique);
        Assert.That(cluster.Store.Revision, Is.LessThan(3000), "status writes are coalesced");
        Assert.That(cluster.Complaints, Is.Empty);
    }

    [Test]
    public async Task Logs_are_kept_and_followed_until_the_container_ends()
    {
        await using var cluster = ClusterUnderTest.Start();
        cluster.Create(Manifests.Pod("talks", spec: "\"restartPolicy\": \"Never\","));
        var container = await cluster.ContainerAsync("talks");
        container.Start.Log("one\ntwo");
        var log = await cluster.Node.Logs(new PodLogRequest("test", "talks", "web", Previous: false, Follow: true), default);
        container.Start.Log("three");
        container.Exit(0);

        var later = new List<string>();
        await foreach (var line in log!.Later!)
        {
            later.Add(line.Text);
        }

        Assert.That(log.Written.Select(line => line.Text), Is.EqualTo(new[] { "one", "two" }));
        Assert.That(later, Is.EqualTo(new[] { "three" }));
        Assert.That(await cluster.Node.Logs(new PodLogRequest("test", "talks", "nobody", false, false), default), Is.Null);
    }

    [Test]
    public async Task Exec_runs_in_the_containers_folder_with_its_paths_and_variables()
    {
        await using var cluster = ClusterUnderTest.Start();
        cluster.Create(Manifests.Secret("keys", "credentials.json", "{}"));
        cluster.Create(Manifests.Pod("shell", """
            , "workingDir": "/app", "env": [ { "name": "COLOR", "value": "green" } ],
            "volumeMounts": [ { "name": "keys", "mountPath": "/var/run/keys" } ]
            """, """ "volumes": [ { "name": "keys", "secret": { "secretName": "keys" } } ],"""));
        await cluster.UntilAsync("pods", "shell", "running", item => item.Phase() == "Running");

        Assert.Multiple(async () =>
        {
            Assert.That(await RunAsync(cluster, null, "cat", "/var/run/keys/credentials.json"), Is.EqualTo((0, "{}", "")));
            Assert.That(
                await RunAsync(cluster, null, "/bin/sh", "-c", "echo $COLOR; echo x > made; exit 3"),
                Is.EqualTo((3, "green\n", "")));
            Assert.That(await RunAsync(cluster, null, "cat", "/app/made"), Is.EqualTo((0, "x\n", "")));
            Assert.That(await RunAsync(cluster, "hello", "cat"), Is.EqualTo((0, "hello", "")));
            Assert.That((await RunAsync(cluster, null, "no-such-program")).Code, Is.EqualTo(127));
            Assert.That(
                (await RunAsync(cluster, null, "cat", "/app/../../../../../../../../etc/passwd")).Code,
                Is.Not.Zero, "no way out of the root");
        });
    }

    private static async Task<(int Code, string Out, string Error)> RunAsync(
        ClusterUnderTest cluster, string? input, params string[] command)
    {
        using var stdin = input is null ? null : new MemoryStream(Encoding.UTF8.GetBytes(input));
        using var stdout = new MemoryStream();
        using var stderr = new MemoryStream();
        var code = await cluster.Node.Exec(new PodExecRequest("test", "shell", "web", command, stdin, stdout, stderr, Tty: false), default);
        return (code, Encoding.UTF8.GetString(stdout.ToArray()), Encoding.UTF8.GetString(stderr.ToArray()));
    }
}
