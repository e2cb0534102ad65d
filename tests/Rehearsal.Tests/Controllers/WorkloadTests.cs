using Microsoft.Extensions.Time.Testing;

namespace Rehearsal.Tests.Controllers;

[Parallelizable(ParallelScope.All)]
public sealed class WorkloadTests
{
    private static readonly DateTimeOffset Evening = new(2026, 11, 22, 20, 0, 0, TimeSpan.Zero);

    [Test]
    public async Task Job_completes_when_its_pod_succeeds()
    {
        await using var cluster = ClusterUnderTest.Start();
        cluster.Create(Manifests.Job("smoke"));
        var running = await cluster.UntilAsync("jobs", "smoke", "active", item => item.Count("active") == 1);
        Assert.That(running["status"]!["startTime"], Is.Not.Null);
        (await cluster.JobContainerAsync("smoke")).Exit(0);

        var job = await cluster.UntilAsync("jobs", "smoke", "complete", item => item.Condition("Complete") is not null);

        Assert.Multiple(() =>
        {
            Assert.That(job.Condition("Complete"), Does.StartWith("True"));
            Assert.That(job.Count("succeeded"), Is.EqualTo(1));
            Assert.That(job["status"]!["active"], Is.Null);
            Assert.That(job["status"]!["completionTime"], Is.Not.Null);
            Assert.That(cluster.List("pods").Single().Phase(), Is.EqualTo("Succeeded"));
            Assert.That(cluster.Events("smoke"), Has.Some.EqualTo("Normal Completed: Job completed"));
        });
    }

    [Test]
    public async Task Job_fails_when_the_backoff_limit_is_exceeded()
    {
        var time = new FakeTimeProvider(Evening);
        await using var cluster = ClusterUnderTest.Start(time);
        cluster.Behaviour["test/job"] = container =>
        {
            container.Exit(3);
            return Task.CompletedTask;
        };
        cluster.Create(Manifests.Job("broken", "\"backoffLimit\": 1,"));

        var job = await cluster.UntilAsync("jobs", "broken", "failed", item => item.Condition("Failed") is not null);

        Assert.That(job.Condition("Failed"), Is.EqualTo("True BackoffLimitExceeded"));
        Assert.That(job.Count("failed"), Is.EqualTo(2));
        Assert.That(cluster.List("pods").Select(pod => pod.Phase()), Is.EqualTo(new[] { "Failed", "Failed" }));
    }

    [Test]
    public async Task Job_past_its_deadline_fails_and_ends_its_pod()
    {
        var time = new FakeTimeProvider(Evening);
        await using var cluster = ClusterUnderTest.Start(time);
        cluster.Create(Manifests.Job("late", "\"activeDeadlineSeconds\": 60,"));
        var container = await cluster.JobContainerAsync("late");

        var job = await cluster.UntilAsync("jobs", "late", "failed", item => item.Condition("Failed") is not null);

        Assert.That(job.Condition("Failed"), Is.EqualTo("True DeadlineExceeded"));
        Assert.That(time.GetUtcNow() - Evening, Is.GreaterThanOrEqualTo(TimeSpan.FromSeconds(60)));
        await cluster.UntilAsync("container ended", () => container.Disposed && cluster.List("pods").Count == 0);
    }

    [Test]
    public async Task Finished_job_is_deleted_with_its_pods_after_its_time_to_live()
    {
        var time = new FakeTimeProvider(Evening);
        await using var cluster = ClusterUnderTest.Start(time);
        cluster.Create(Manifests.Job("short", "\"ttlSecondsAfterFinished\": 30,"));
        (await cluster.JobContainerAsync("short")).Exit(0);

        await cluster.UntilGoneAsync("jobs", "short");
        await cluster.UntilAsync("pods gone", () => cluster.List("pods").Count == 0);
        Assert.That(time.GetUtcNow() - Evening, Is.GreaterThanOrEqualTo(TimeSpan.FromSeconds(30)));
    }

    [Test]
    public async Task Job_runs_as_many_pods_as_its_completions_and_parallelism_ask()
    {
        await using var cluster = ClusterUnderTest.Start();
        var together = 0;
        var most = 0;
        cluster.Behaviour["test/job"] = async container =>
        {
            most = Math.Max(most, Interlocked.Increment(ref together));
            await Task.Yield();
            Interlocked.Decrement(ref together);
            container.Exit(0);
        };
        cluster.Create(Manifests.Job("many", "\"completions\": 5, \"parallelism\": 2,"));

        var job = await cluster.UntilAsync("jobs", "many", "complete", item => item.Condition("Complete") is not null);

        Assert.That(job.Count("succeeded"), Is.EqualTo(5));
        Assert.That(cluster.Starts, Has.Count.EqualTo(5));
        Assert.That(most, Is.LessThanOrEqualTo(2));
    }

    [Test]
    public async Task Stateful_set_starts_in_order_with_claims_and_updates_from_the_end()
    {
        await using var cluster = ClusterUnderTest.Start();
        cluster.Create("""
            { "kind": "StatefulSet", "apiVersion": "apps/v1", "metadata": { "name": "db", "namespace": "test" },
              "spec": { "replicas": 2, "serviceName": "db", "selector": { "matchLabels": { "app": "db" } },
                "template": { "metadata": { "labels": { "app": "db" } },
                  "spec": { "terminationGracePeriodSeconds": 1, "containers": [
                    { "name": "web", "image": "test/db:1", "volumeMounts": [ { "name": "data", "mountPath": "/data" } ] } ] } },
                "volumeClaimTemplates": [ { "metadata": { "name": "data" },
                  "spec": { "accessModes": [ "ReadWriteOnce" ], "resources": { "requests": { "storage": "1Gi" } } } } ] } }
            """);
        await cluster.UntilAsync("statefulsets", "db", "ready", item =>
            item.Count("readyReplicas") == 2 && item.Count("currentReplicas") == 2);
        Assert.That(cluster.Starts.Select(start => start.PodName), Is.EqualTo(new[] { "db-0", "db-1" }));
        Assert.That(
            cluster.List("persistentvolumeclaims").Select(claim => $"{claim.Name()} {claim.Phase()}"),
            Is.EqualTo(new[] { "data-db-0 Bound", "data-db-1 Bound" }));

        cluster.SetImage("statefulsets", "db", "test/db:2");
        var set = await cluster.UntilAsync("statefulsets", "db", "updated", item =>
            item.Count("observedGeneration") == 2 && item.Count("updatedReplicas") == 2 && item.Count("readyReplicas") == 2
            && (string?)item["status"]!["currentRevision"] == (string?)item["status"]!["updateRevision"]);

        Assert.That(
            cluster.Starts.Select(start => $"{start.PodName} {start.Image}").Skip(2),
            Is.EqualTo(new[] { "db-1 test/db:2", "db-0 test/db:2" }));
        Assert.That(cluster.List("controllerrevisions").Select(revision => (int)revision["revision"]!).Order(), Is.EqualTo(new[] { 1, 2 }));
        Assert.That(set.Count("replicas"), Is.EqualTo(2));
    }

    [Test]
    public async Task Daemon_set_runs_one_pod_and_replaces_it()
    {
        await using var cluster = ClusterUnderTest.Start();
        cluster.Create("""
            { "kind": "DaemonSet", "apiVersion": "apps/v1", "metadata": { "name": "agent", "namespace": "test" },
              "spec": { "selector": { "matchLabels": { "app": "agent" } }, "template": { "metadata": { "labels": { "app": "agent" } },
                "spec": { "terminationGracePeriodSeconds": 1, "containers": [ { "name": "web", "image": "test/agent:1" } ] } } } }
            """);
        await cluster.UntilAsync("daemonsets", "agent", "available", item =>
            item.Count("numberAvailable") == 1 && item.Count("desiredNumberScheduled") == 1);

        cluster.SetImage("daemonsets", "agent", "test/agent:2");

        await cluster.UntilAsync("daemonsets", "agent", "updated", item =>
            item.Count("updatedNumberScheduled") == 1 && item.Count("numberAvailable") == 1
            && item["status"]!["observedGeneration"]!.GetValue<int>() == 2);
        await cluster.UntilAsync("one pod", () => cluster.List("pods").Count == 1);
        Assert.That(cluster.Starts.Last().Image, Is.EqualTo("test/agent:2"));
    }

    [Test]
    public async Task Budget_and_autoscaler_report_what_there_is()
    {
        await using var cluster = ClusterUnderTest.Start();
        cluster.Create(Manifests.Deployment("web", 3));
        cluster.Create("""
            {"kind":"PodDisruptionBudget","apiVersion":"policy/v1","metadata":{"name":"web","namespace":"test"},
             "spec":{"maxUnavailable":1,"selector":{"matchLabels":{"app":"web"}}}}
            """);
        cluster.Create("""
            {"kind":"HorizontalPodAutoscaler","apiVersion":"autoscaling/v2","metadata":{"name":"web","namespace":"test"},
             "spec":{"minReplicas":1,"maxReplicas":5,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"web"}}}
            """);

        var budget = await cluster.UntilAsync("poddisruptionbudgets", "web", "with three healthy", item =>
            item.Count("currentHealthy") == 3);
        await cluster.UntilAsync("horizontalpodautoscalers", "web", "counting", item => item.Count("currentReplicas") == 3);

        Assert.That(
            (budget.Count("expectedPods"), budget.Count("desiredHealthy"), budget.Count("disruptionsAllowed")),
            Is.EqualTo((3, 2, 1)));
    }

    [Test]
    public async Task Node_is_ready_and_shows_where_pods_run()
    {
        await using var cluster = ClusterUnderTest.Start();
        cluster.Create(Manifests.Pod("one"));
        cluster.Create(Manifests.Pod("elsewhere", spec: "\"nodeSelector\": { \"disk\": \"fast\" },"));

        var pod = await cluster.UntilAsync("pods", "one", "running", item => item.Phase() == "Running");
        var stuck = await cluster.UntilAsync("pods", "elsewhere", "unschedulable", item => item.Condition("PodScheduled") is not null);

        Assert.Multiple(() =>
        {
            Assert.That(cluster.Get("nodes", "rehearsal", null)!.Condition("Ready"), Is.EqualTo("True KubeletReady"));
            Assert.That((string?)pod["spec"]!["nodeName"], Is.EqualTo("rehearsal"));
            Assert.That(stuck.Condition("PodScheduled"), Is.EqualTo("False Unschedulable"));
            Assert.That(
                cluster.Events("one").Select(item => item.Split(' ')[1]),
                Is.EquivalentTo(new[] { "Scheduled:", "Pulled:", "Created:", "Started:" }));
        });
        cluster.Delete("pods", "elsewhere");
        await cluster.UntilGoneAsync("pods", "elsewhere");
    }

    [Test]
    public async Task What_one_object_trips_over_is_reported_does_not_stop_the_others_and_is_tried_again()
    {
        await using var cluster = ClusterUnderTest.Start();
        cluster.Create(Manifests.Pod("db-0"));
        cluster.Create("""
            { "kind": "StatefulSet", "apiVersion": "apps/v1", "metadata": { "name": "db", "namespace": "test" },
              "spec": { "replicas": 1, "serviceName": "db", "selector": { "matchLabels": { "app": "db" } },
                "template": { "metadata": { "labels": { "app": "db" } },
                  "spec": { "containers": [ { "name": "web", "image": "test/db:1" } ] } } } }
            """);
        await cluster.UntilAsync("the report", () => cluster.Events("db").Contains("Warning ReconcileError: pods \"db-0\" already exists"));
        Assert.That(
            cluster.Complaints,
            Has.Some.Contains("statefulset-controller: statefulsets test/db:").And.Some.Contains("already exists"));

        cluster.Create(Manifests.Deployment("web", 1));
        await cluster.UntilAsync("deployments", "web", "rolled out all the same", item => item.IsRolledOut());
        cluster.Delete("pods", "db-0");
        await cluster.UntilAsync("statefulsets", "db", "ready after all", item => item.Count("readyReplicas") == 1);
    }
}
