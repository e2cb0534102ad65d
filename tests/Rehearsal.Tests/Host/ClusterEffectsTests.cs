using System.Text.Json.Nodes;
using Rehearsal.Cluster;
using Rehearsal.World;

namespace Rehearsal.Tests.Host;

public sealed class ClusterEffectsTests
{
    [Test]
    public async Task Namespaces_helm_revisions_and_scalings_are_counted_but_not_what_was_there()
    {
        using var store = new ObjectStore(TimeProvider.System);
        store.Create("", "namespaces", Named("before"));
        var effects = new Effects();
        using var stop = new CancellationTokenSource();
        var counting = ClusterEffects.CountAsync(store, effects, stop.Token);

        store.Create("", "namespaces", Named("green"));
        foreach (var (name, type) in new[] { ("r1", "helm.sh/release.v1"), ("r2", "helm.sh/release.v1"), ("keys", "Opaque") })
        {
            var secret = Named(name, "green");
            secret["type"] = type;
            store.Create("", "secrets", secret);
        }

        store.Create("apps", "deployments", TestDeployment(2));
        var key = new ObjectKey("apps", "deployments", "green", "web");
        store.Update(key, web => web["spec"]!["replicas"] = 3);
        store.Update(key, web => web["metadata"]!["labels"] = new JsonObject { ["changed"] = "yes" });
        store.Update(key, web => web["spec"]!["replicas"] = 2);
        store.Create("", "namespaces", Named("last"));

        using var patience = new CancellationTokenSource(Patience.Limit);
        while (effects.ToJson()["namespace-created:last"] is null)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(5), TimeProvider.System, patience.Token);
        }

        Assert.That(
            effects.ToJson().ToJsonString(),
            Is.EqualTo("""{"helm-revisions:green":2,"namespace-created:green":1,"namespace-created:last":1,"scale:green/web":2}"""));
        await stop.CancelAsync();
        Assert.That(async () => await counting, Throws.InstanceOf<OperationCanceledException>());
    }

    private static JsonObject Named(string name, string? @namespace = null)
    {
        var metadata = new JsonObject { ["name"] = name };
        if (@namespace is not null)
        {
            metadata["namespace"] = @namespace;
        }

        return new JsonObject { ["metadata"] = metadata };
    }

    private static JsonObject TestDeployment(int replicas)
    {
        var deployment = Named("web", "green");
        deployment["spec"] = new JsonObject { ["replicas"] = replicas };
        return deployment;
    }
}
