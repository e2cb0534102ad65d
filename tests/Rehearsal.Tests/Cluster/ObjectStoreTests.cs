using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Tests.Cluster;

public sealed class ObjectStoreTests
{
    private ObjectStore _store = null!;

    [SetUp]
    public void CreateStore()
    {
        _store = new ObjectStore(TimeProvider.System);
        _store.Create("", "namespaces", Json("""{"metadata":{"name":"test"}}"""));
    }

    [TearDown]
    public void DisposeStore() => _store.Dispose();

    [Test]
    public void A_new_object_gets_identity_generation_and_defaults()
    {
        var made = _store.Create("apps", "deployments", Deployment("web"));
        Assert.Multiple(() =>
        {
            Assert.That(made["kind"]!.GetValue<string>(), Is.EqualTo("Deployment"));
            Assert.That(Guid.TryParse(Text(made, "metadata.uid"), out _), "uid");
            Assert.That(Text(made, "metadata.generation"), Is.EqualTo("1"));
            Assert.That(
                Text(made, "metadata.resourceVersion"),
                Is.EqualTo(_store.Revision.ToString(System.Globalization.CultureInfo.InvariantCulture)));
            Assert.That(Text(made, "spec.strategy.rollingUpdate.maxSurge"), Is.EqualTo("25%"));
            Assert.That(Text(made, "spec.template.spec.containers.0.imagePullPolicy"), Is.EqualTo("IfNotPresent"));
        });
    }

    [Test]
    public void The_callers_object_is_left_as_it_was()
    {
        var given = Deployment("web");
        var before = given.ToJsonString();
        _store.Create("apps", "deployments", given);
        Assert.That(given.ToJsonString(), Is.EqualTo(before));
    }

    [Test]
    public void A_generated_name_has_five_letters_more()
    {
        var made = _store.Create("", "configmaps", Json("""{"metadata":{"generateName":"state-","namespace":"test"}}"""));
        Assert.That(Text(made, "metadata.name"), Does.Match("^state-[bcdfghjklmnpqrstvwxz2456789]{5}$"));
    }

    [Test]
    public void A_change_that_changes_nothing_makes_no_revision()
    {
        _store.Create("apps", "deployments", Deployment("web"));
        var before = _store.Revision;
        var same = _store.Update(Key("web"), value => value["spec"]!["replicas"] = 2);
        Assert.That(_store.Revision, Is.EqualTo(before));
        Assert.That(Text(same!, "metadata.generation"), Is.EqualTo("1"));
    }

    [Test]
    public void Only_a_changed_spec_raises_the_generation()
    {
        _store.Create("apps", "deployments", Deployment("web"));
        var afterStatus = _store.Update(Key("web"), value => value["status"] = Json("""{"replicas":2}"""));
        var afterSpec = _store.Update(Key("web"), value => value["spec"]!["replicas"] = 5);
        Assert.That(Text(afterStatus!, "metadata.generation"), Is.EqualTo("1"), "after a status change");
        Assert.That(Text(afterSpec!, "metadata.generation"), Is.EqualTo("2"), "after a spec change");
    }

    [Test]
    public void Zero_counts_are_left_out_of_a_status()
    {
        _store.Create("apps", "deployments", Deployment("web"));
        var stored = _store.Update(Key("web"), value => value["status"] = Json("""{"replicas":2,"readyReplicas":0}"""));
        Assert.That(stored!["status"]!.AsObject().ContainsKey("readyReplicas"), Is.False);
    }

    [Test]
    public void Nothing_can_be_made_in_a_namespace_that_is_absent_or_going()
    {
        var absent = Assert.Throws<ApiException>(
            () => _store.Create("", "configmaps", Json("""{"metadata":{"name":"x","namespace":"nowhere"}}""")));
        Assert.That(absent!.Message, Is.EqualTo("namespaces \"nowhere\" not found"));
        _store.Create("", "configmaps", Json("""{"metadata":{"name":"held","namespace":"test"}}"""));
        _store.Delete(new ObjectKey("", "namespaces", null, "test"));
        var going = Assert.Throws<ApiException>(
            () => _store.Create("", "configmaps", Json("""{"metadata":{"name":"x","namespace":"test"}}""")));
        Assert.That(going!.Code, Is.EqualTo(403));
        Assert.That(going.Causes[0].Reason, Is.EqualTo("NamespaceTerminating"));
    }

    [Test]
    public void An_existing_name_is_refused()
    {
        _store.Create("apps", "deployments", Deployment("web"));
        var refused = Assert.Throws<ApiException>(() => _store.Create("apps", "deployments", Deployment("web")));
        Assert.That((refused!.Code, refused.Message), Is.EqualTo((409, "deployments.apps \"web\" already exists")));
    }

    [Test]
    public void An_object_with_a_finalizer_stays_until_the_finalizer_goes()
    {
        _store.Create("", "configmaps", Json("""{"metadata":{"name":"held","namespace":"test","finalizers":["example.test/hold"]}}"""));
        var key = new ObjectKey("", "configmaps", "test", "held");
        Assert.That(_store.Delete(key), Is.True);
        Assert.That(Text(_store.Get(key)!, "metadata.deletionTimestamp"), Is.Not.Null);
        _store.Update(key, value => value["metadata"]!.AsObject().Remove("finalizers"));
        Assert.That(_store.Get(key), Is.Null);
    }

    [TestCase(DeletePropagation.Foreground, "foregroundDeletion")]
    [TestCase(DeletePropagation.Orphan, "orphan")]
    public void Propagation_other_than_background_leaves_its_finalizer(DeletePropagation propagation, string finalizer)
    {
        _store.Create("apps", "deployments", Deployment("web"));
        _store.Delete(Key("web"), propagation);
        Assert.That(Text(_store.Get(Key("web"))!, "metadata.finalizers.0"), Is.EqualTo(finalizer));
    }

    [Test]
    public void A_running_pod_gets_its_grace_and_goes_when_the_kubelet_says_so()
    {
        var key = new ObjectKey("", "pods", "test", "box");
        _store.Create(
            "",
            "pods",
            Json("""{"metadata":{"name":"box","namespace":"test"},"spec":{"nodeName":"node","terminationGracePeriodSeconds":7,"containers":[{"name":"c","image":"x"}]}}"""));
        _store.Delete(key);
        Assert.That(Text(_store.Get(key)!, "metadata.deletionGracePeriodSeconds"), Is.EqualTo("7"));
        _store.Delete(key, gracePeriodSeconds: 0);
        Assert.That(_store.Get(key), Is.Null);
    }

    [Test]
    public async Task A_watch_begins_with_what_exists_and_goes_on_with_every_change()
    {
        _store.Create("apps", "deployments", Deployment("web"));
        using var enough = new CancellationTokenSource(Patience.Limit);
        var seen = new List<string>();
        await using var watch = _store.WatchAsync(enough.Token).GetAsyncEnumerator();
        for (var i = 0; i < 2; i++)
        {
            await watch.MoveNextAsync();
            seen.Add($"{watch.Current.Kind} {watch.Current.Key.Name}");
        }

        _store.Update(Key("web"), value => value["spec"]!["replicas"] = 9);
        _store.Delete(Key("web"));
        await watch.MoveNextAsync();
        Assert.That(Text(watch.Current.Old!, "spec.replicas"), Is.EqualTo("2"), "the state before the change");
        seen.Add($"{watch.Current.Kind} {watch.Current.Key.Name}");
        await watch.MoveNextAsync();
        seen.Add($"{watch.Current.Kind} {watch.Current.Key.Name}");
        Assert.That(seen[..2], Is.EquivalentTo(new[] { "Added test", "Added web" }));
        Assert.That(seen[2..], Is.EqualTo(new[] { "Modified web", "Deleted web" }));
        Assert.That(watch.Current.Revision, Is.EqualTo(_store.Revision), "a deletion has a revision of its own");
    }

    [Test]
    public void Services_get_addresses_and_node_ports_of_their_own()
    {
        var made = Enumerable.Range(0, 20).Select(i => _store.Create("", "services", Json(
            $$$$"""{"metadata":{"name":"s{{{{i}}}}","namespace":"test"},"spec":{"type":"NodePort","ports":[{"port":80}]}}"""))).ToList();
        Assert.That(made.Select(item => Text(item, "spec.clusterIP")).Distinct().Count(), Is.EqualTo(20), "cluster IPs");
        Assert.That(made.Select(item => Text(item, "spec.ports.0.nodePort")).Distinct().Count(), Is.EqualTo(20), "node ports");
    }

    private static JsonObject Json(string text) => TestCluster.Object(text);

    private static string? Text(JsonNode node, string path) => Reply.Read(node, path);

    private static ObjectKey Key(string name) => new("apps", "deployments", "test", name);

    private static JsonObject Deployment(string name)
    {
        var value = Json(TestCluster.Deployment(name, 2));
        value["metadata"]!["namespace"] = "test";
        return value;
    }
}
