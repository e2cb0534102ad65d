using System.Text.Json.Nodes;
using Microsoft.Extensions.Time.Testing;
using Rehearsal.Cluster;

namespace Rehearsal.Tests.Controllers;

[Parallelizable(ParallelScope.All)]
public sealed class DeploymentTests
{
    [Test]
    public async Task Deployment_becomes_replica_set_pods_and_endpoints()
    {
        await using var cluster = ClusterUnderTest.Start();
        cluster.Create(Manifests.Service("web", "web"));
        cluster.Create(Manifests.Deployment("web"));

        var deployment = await cluster.UntilAsync("deployments", "web", "rolled out", item => item.IsRolledOut());

        var set = cluster.List("replicasets").Single();
        var hash = (string?)set["metadata"]!["labels"]!["pod-template-hash"];
        var pods = cluster.List("pods");
        Assert.Multiple(() =>
        {
            Assert.That(set.Name(), Is.EqualTo($"web-{hash}"));
            Assert.That((string?)set["metadata"]!["annotations"]!["deployment.kubernetes.io/revision"], Is.EqualTo("1"));
            Assert.That((string?)deployment["metadata"]!["annotations"]!["deployment.kubernetes.io/revision"], Is.EqualTo("1"));
            Assert.That(pods.Select(pod => pod.Name()), Is.All.Match($"^web-{hash}-[a-z0-9]{{5}}$"));
            Assert.That(pods.Select(pod => (string?)pod["status"]!["podIP"]), Is.Unique.And.All.StartsWith("127."));
            Assert.That(deployment.Condition("Available"), Is.EqualTo("True MinimumReplicasAvailable"));
            Assert.That(deployment["status"]!["unavailableReplicas"], Is.Null, "zero counts are left out");
        });

        await cluster.UntilAsync("endpoints", "web", "with both pods", item => item["subsets"]?[0]?["addresses"]?.AsArray().Count == 2);
        var slice = cluster.List("endpointslices").Single();
        Assert.That(slice["endpoints"]!.AsArray().Select(entry => (bool)entry!["conditions"]!["ready"]!), Is.EqualTo(new[] { true, true }));
        Assert.That(cluster.Complaints, Is.Empty);
    }

    [Test]
    public async Task Rolling_update_keeps_enough_pods_and_ends_with_the_new_ones()
    {
        await using var cluster = ClusterUnderTest.Start();
        cluster.Create(Manifests.Deployment("web", 3));
        await cluster.UntilAsync("deployments", "web", "rolled out", item => item.IsRolledOut());
        using var watching = new CancellationTokenSource();
        var fewest = FewestAvailableAsync(cluster, watching.Token);

        cluster.SetImage("deployments", "web", "test/web:2");
        await cluster.UntilAsync("deployments", "web", "rolled out again", item =>
            item.IsRolledOut() && item["metadata"]!["generation"]!.GetValue<int>() == 2);
        await watching.CancelAsync();

        Assert.That(await fewest, Is.GreaterThanOrEqualTo(3), "maxUnavailable 25% of 3 is none");
        await cluster.UntilAsync("only new pods", () =>
            cluster.List("pods").All(pod => (string?)pod["spec"]!["containers"]![0]!["image"] == "test/web:2"));
        Assert.That(cluster.List("replicasets").Select(set => (int)set["spec"]!["replicas"]!).Order(), Is.EqualTo(new[] { 0, 3 }));
    }

    [Test]
    public async Task Undo_reuses_the_old_replica_set_under_the_next_revision()
    {
        await using var cluster = ClusterUnderTest.Start();
        cluster.Create(Manifests.Deployment("web", 1));
        await cluster.UntilAsync("deployments", "web", "rolled out", item => item.IsRolledOut());
        var first = cluster.List("replicasets").Single().Name();
        cluster.SetImage("deployments", "web", "test/web:2");
        await cluster.UntilAsync("deployments", "web", "at revision 2", item =>
            item.IsRolledOut() && cluster.List("replicasets").Count == 2);

        cluster.SetImage("deployments", "web", "test/web:1");
        await cluster.UntilAsync("deployments", "web", "undone", item =>
            item.IsRolledOut() && (string?)item["metadata"]!["annotations"]!["deployment.kubernetes.io/revision"] == "3");

        var set = cluster.Get("replicasets", first)!;
        Assert.That((string?)set["metadata"]!["annotations"]!["deployment.kubernetes.io/revision"], Is.EqualTo("3"));
        Assert.That((string?)set["metadata"]!["annotations"]!["deployment.kubernetes.io/revision-history"], Is.EqualTo("1"));
        Assert.That(cluster.List("replicasets"), Has.Count.EqualTo(2));
    }

    [Test]
    public async Task Only_as_many_old_replica_sets_stay_as_the_history_limit_says()
    {
        await using var cluster = ClusterUnderTest.Start();
        cluster.Create(Manifests.Deployment("web", 1, extra: "\"revisionHistoryLimit\":1,"));
        for (var release = 2; release <= 4; release++)
        {
            await cluster.UntilAsync("deployments", "web", "rolled out", item => item.IsRolledOut());
            cluster.SetImage("deployments", "web", $"test/web:{release}");
        }

        await cluster.UntilAsync("deployments", "web", "rolled out", item => item.IsRolledOut());
        await cluster.UntilAsync("two replica sets", () => cluster.List("replicasets").Count == 2);
    }

    [Test]
    public async Task Recreate_starts_no_new_pod_before_the_last_old_one_is_gone()
    {
        await using var cluster = ClusterUnderTest.Start();
        cluster.Create(Manifests.Deployment("web", 2, extra: "\"strategy\":{\"type\":\"Recreate\"},"));
        await cluster.UntilAsync("deployments", "web", "rolled out", item => item.IsRolledOut());
        var old = cluster.Containers.Values.ToList();
        var oldAlive = -1;
        cluster.Behaviour["test/web:2"] = _ =>
        {
            oldAlive = Math.Max(oldAlive, old.Count(container => !container.Disposed));
            return Task.CompletedTask;
        };

        cluster.SetImage("deployments", "web", "test/web:2");
        await cluster.UntilAsync("deployments", "web", "recreated", item => item.IsRolledOut() && cluster.List("replicasets").Count == 2);

        Assert.That(oldAlive, Is.Zero);
    }

    [Test]
    public async Task Pods_that_never_become_ready_exceed_the_progress_deadline()
    {
        var time = new FakeTimeProvider(new DateTimeOffset(2026, 11, 22, 20, 0, 0, TimeSpan.Zero));
        await using var cluster = ClusterUnderTest.Start(time);
        cluster.Behaviour["test/web:1"] = container =>
        {
            container.Status = 503;
            return Task.CompletedTask;
        };
        cluster.Create(Manifests.Deployment("stuck", 1, extra: "\"progressDeadlineSeconds\":8,"));

        var stuck = await cluster.UntilAsync("deployments", "stuck", "timed out", item =>
            item.Condition("Progressing") == "False ProgressDeadlineExceeded");

        Assert.That(stuck.Condition("Available"), Is.EqualTo("False MinimumReplicasUnavailable"));
        var pod = cluster.List("pods").Single();
        Assert.That(pod.Condition("Ready"), Is.EqualTo("False ContainersNotReady"));
        Assert.That(
            cluster.Events(pod.Name()),
            Has.Some.EqualTo("Warning Unhealthy: Readiness probe failed: HTTP probe failed with statuscode: 503"));
    }

    [Test]
    public async Task Paused_deployment_rolls_only_when_resumed()
    {
        await using var cluster = ClusterUnderTest.Start();
        cluster.Create(Manifests.Deployment("web", 1));
        await cluster.UntilAsync("deployments", "web", "rolled out", item => item.IsRolledOut());
        cluster.Update("deployments", "web", item =>
        {
            item["spec"]!["paused"] = true;
            item["spec"]!["template"]!["spec"]!["containers"]![0]!["image"] = "test/web:2";
        });
        await cluster.UntilAsync("deployments", "web", "observed", item => item["status"]!["observedGeneration"]!.GetValue<int>() == 2);
        Assert.That(cluster.List("replicasets"), Has.Count.EqualTo(1));

        cluster.Update("deployments", "web", item => item["spec"]!.AsObject().Remove("paused"));
        await cluster.UntilAsync("deployments", "web", "rolled out", item => item.IsRolledOut() && cluster.List("replicasets").Count == 2);
    }

    [Test]
    public async Task Scaling_creates_and_deletes_pods_of_the_same_replica_set()
    {
        await using var cluster = ClusterUnderTest.Start();
        cluster.Create(Manifests.Deployment("web", 1));
        await cluster.UntilAsync("deployments", "web", "rolled out", item => item.IsRolledOut());
        cluster.Update("deployments", "web", item => item["spec"]!["replicas"] = 3);
        await cluster.UntilAsync("deployments", "web", "at three", item => item.IsRolledOut());
        cluster.Update("deployments", "web", item => item["spec"]!["replicas"] = 0);
        await cluster.UntilAsync("deployments", "web", "at zero", item => item.IsRolledOut());
        await cluster.UntilAsync("no pods", () => cluster.List("pods").Count == 0);
        Assert.That(cluster.List("replicasets"), Has.Count.EqualTo(1));
    }

    [Test]
    public async Task Background_deletion_takes_the_dependents_along([Values] DeletePropagation propagation)
    {
        await using var cluster = ClusterUnderTest.Start();
        cluster.Create(Manifests.Deployment("web", 2));
        await cluster.UntilAsync("deployments", "web", "rolled out", item => item.IsRolledOut());

        cluster.Delete("deployments", "web", propagation);

        await cluster.UntilGoneAsync("deployments", "web");
        if (propagation == DeletePropagation.Foreground)
        {
            Assert.That(cluster.List("replicasets"), Is.Empty, "foreground: the owner goes last");
            Assert.That(cluster.List("pods"), Is.Empty, "foreground: the owner goes last");
        }
        else if (propagation == DeletePropagation.Orphan)
        {
            Assert.That(cluster.List("replicasets").Single()["metadata"]!["ownerReferences"], Is.Null);
            cluster.Create(Manifests.Deployment("web", 2));
            await cluster.UntilAsync("deployments", "web", "adopting", item => item.IsRolledOut());
            Assert.That(cluster.List("pods"), Has.Count.EqualTo(2));
            Assert.That(cluster.List("replicasets"), Has.Count.EqualTo(1));
            return;
        }

        await cluster.UntilAsync("nothing left", () => cluster.List("replicasets").Count == 0 && cluster.List("pods").Count == 0);
        Assert.That(cluster.Containers.Values.Select(container => container.Disposed), Is.All.True);
    }

    private static async Task<int> FewestAvailableAsync(ClusterUnderTest cluster, CancellationToken cancellation)
    {
        var fewest = int.MaxValue;
        try
        {
            await foreach (var change in cluster.Store.WatchAsync(cancellation))
            {
                if (change.Key.Resource == "pods")
                {
                    fewest = Math.Min(fewest, Ready(cluster.List("pods")));
                }
            }
        }
        catch (OperationCanceledException)
        {
        }

        return fewest;
    }

    private static int Ready(IEnumerable<JsonObject> pods) =>
        pods.Count(pod => pod.Condition("Ready") == "True" && pod["metadata"]!["deletionTimestamp"] is null);
}
