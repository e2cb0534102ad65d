using System.Text.Json.Nodes;

namespace Rehearsal.Tests.Cluster;

public sealed class ServerSideApplyTests
{
    private const string Maps = "/api/v1/namespaces/test/configmaps";
    private const string Deployments = "/apis/apps/v1/namespaces/test/deployments";

    private TestCluster _cluster = null!;

    [OneTimeSetUp]
    public async Task StartAsync() => _cluster = await TestCluster.StartAsync();

    [OneTimeTearDown]
    public async Task StopAsync() => await _cluster.DisposeAsync();

    [Test]
    public async Task The_first_apply_creates_and_the_same_again_changes_nothing()
    {
        var first = await ApplyAsync("first", "kubectl", """{"color":"blue"}""");
        var second = await ApplyAsync("first", "kubectl", """{"color":"blue"}""");
        Assert.That((first.Code, second.Code), Is.EqualTo((201, 200)));
        Assert.That(second["metadata.resourceVersion"], Is.EqualTo(first["metadata.resourceVersion"]));
        Assert.That(first["metadata.managedFields.0.fieldsV1"], Is.EqualTo("""{"f:data":{"f:color":{}}}"""));
        Assert.That(first["metadata.managedFields.0.operation"], Is.EqualTo("Apply"));
    }

    [Test]
    public async Task A_field_of_another_manager_with_another_value_is_a_conflict_and_changes_nothing()
    {
        await ApplyAsync("conflict", "kubectl", """{"color":"blue"}""");
        var refused = await ApplyAsync("conflict", "other", """{"color":"red"}""");
        Assert.That(
            (refused.Code, refused["message"]),
            Is.EqualTo((409, "Apply failed with 1 conflict: conflict with \"kubectl\": .data.color")));
        Assert.That(refused["details.causes.0.reason"], Is.EqualTo("FieldManagerConflict"));
        Assert.That((await _cluster.GetAsync($"{Maps}/conflict"))["data.color"], Is.EqualTo("blue"));
    }

    [Test]
    public async Task The_same_value_is_shared_and_force_takes_another_over()
    {
        await ApplyAsync("shared", "kubectl", """{"color":"blue"}""");
        Assert.That((await ApplyAsync("shared", "other", """{"color":"blue"}""")).Code, Is.EqualTo(200));
        var forced = await ApplyAsync("shared", "third", """{"color":"red"}""", force: true);
        var owners = forced.Json["metadata"]!["managedFields"]!.AsArray()
            .Where(entry => entry!["fieldsV1"]!.ToJsonString().Contains("f:color", StringComparison.Ordinal))
                .Select(entry => entry!["manager"]!.GetValue<string>());
        Assert.That(owners, Is.EqualTo(new[] { "third" }));
    }

    [Test]
    public async Task Two_managers_in_the_way_are_both_named()
    {
        await ApplyAsync("two", "b", """{"color":"blue"}""");
        await ApplyAsync("two", "a", """{"color":"blue"}""");
        var refused = await ApplyAsync("two", "c", """{"color":"red"}""");
        Assert.That(
            refused["message"],
            Is.EqualTo("Apply failed with 2 conflicts: conflicts with \"a\":\n- .data.color\nconflicts with \"b\":\n- .data.color"));
    }

    [Test]
    public async Task A_field_no_longer_applied_goes_unless_another_manager_owns_it()
    {
        await ApplyAsync("drop", "kubectl", """{"a":"1","b":"2"}""");
        await ApplyAsync("drop", "other", """{"b":"2"}""");
        var left = await ApplyAsync("drop", "kubectl", """{"c":"3"}""");
        Assert.That(left["data"], Is.EqualTo("""{"b":"2","c":"3"}"""));
    }

    [Test]
    public async Task An_update_owns_what_it_changed_and_the_conflict_says_with_which_version()
    {
        await _cluster.SendAsync("POST", Maps + "?fieldManager=kubectl-create", """{"metadata":{"name":"made"},"data":{"a":"1"}}""");
        var refused = await ApplyAsync("made", "kubectl", """{"a":"2"}""");
        Assert.That(refused["message"], Is.EqualTo("Apply failed with 1 conflict: conflict with \"kubectl-create\" using v1: .data.a"));
    }

    [Test]
    public async Task A_patch_takes_the_field_it_changes_from_its_owner()
    {
        await ApplyAsync("taken", "kubectl", """{"a":"1","b":"1"}""");
        await _cluster.PatchAsync($"{Maps}/taken?fieldManager=editor", "merge", """{"data":{"a":"2"}}""");
        var refused = await ApplyAsync("taken", "kubectl", """{"a":"1","b":"1"}""");
        Assert.That(refused["message"], Is.EqualTo("Apply failed with 1 conflict: conflict with \"editor\" using v1: .data.a"));
    }

    [Test]
    public async Task List_elements_have_owners_by_their_keys()
    {
        string Body(string image) => $$$$"""
            {"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"keys"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},
             "spec":{"containers":[{"name":"web","image":"{{{{image}}}}","env":[{"name":"COLOR","value":"blue"}]}] } } } }
            """;
        await _cluster.PatchAsync($"{Deployments}/keys?fieldManager=one", "apply", Body("x:1"));
        var added = await _cluster.PatchAsync(
            $"{Deployments}/keys?fieldManager=two",
            "apply",
            """{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"keys"},"spec":{"template":{"spec":{"containers":[{"name":"side","image":"y:1"}]}}}}""");
        Assert.That(
            added.Json["spec"]!["template"]!["spec"]!["containers"]!.AsArray().Select(item => item!["name"]!.GetValue<string>()),
            Is.EqualTo(new[] { "web", "side" }));
        var refused = await _cluster.PatchAsync($"{Deployments}/keys?fieldManager=two", "apply", Body("x:2"));
        Assert.That(
            refused["message"],
            Is.EqualTo("Apply failed with 1 conflict: conflict with \"one\": .spec.template.spec.containers[name=\"web\"].image"));
        var dropped = await _cluster.PatchAsync(
            $"{Deployments}/keys?fieldManager=two",
            "apply",
            """{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"keys","labels":{"x":"y"}}}""");
        Assert.That(
            dropped.Json["spec"]!["template"]!["spec"]!["containers"]!.AsArray(),
            Has.Count.EqualTo(1),
            "the element only one manager applied went with it");
    }

    [Test]
    public async Task Scaling_is_owned_by_the_scale_subresource()
    {
        var body = TestCluster.Deployment("scaled", 2);
        await _cluster.PatchAsync($"{Deployments}/scaled?fieldManager=helm", "apply", body);
        var scale = await _cluster.SendAsync(
            "PATCH",
            $"{Deployments}/scaled/scale?fieldManager=kubectl",
            """{"spec":{"replicas":5}}""",
            "application/merge-patch+json");
        Assert.That((scale["kind"], scale["spec.replicas"], scale["status.selector"]), Is.EqualTo(("Scale", "5", "app=scaled")));
        var refused = await _cluster.PatchAsync($"{Deployments}/scaled?fieldManager=helm", "apply", body);
        Assert.That(
            refused["message"],
            Is.EqualTo("Apply failed with 1 conflict: conflict with \"kubectl\" with subresource \"scale\" using apps/v1: .spec.replicas"));
    }

    [Test]
    public async Task Duplicate_keys_and_unknown_members_are_refused()
    {
        var twice = await _cluster.PatchAsync(
            $"{Deployments}/twice?fieldManager=m",
            "apply",
            """{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"twice"},"spec":{"template":{"spec":{"containers":[{"name":"c","env":[{"name":"A","value":"1"},{"name":"A","value":"2"}]}]}}}}""");
        Assert.That(twice.Code, Is.EqualTo(500));
        Assert.That(
            twice["message"],
            Does.StartWith("failed to create typed patch object (test/twice; apps/v1, Kind=Deployment): ")
                .And.Contain("duplicate entries for key"));
        var unknown = await _cluster.PatchAsync(
            $"{Maps}/unknown?fieldManager=m&fieldValidation=Strict",
            "apply",
            """{"apiVersion":"v1","kind":"ConfigMap","datta":{}}""");
        Assert.That(
            (unknown.Code, unknown["message"]),
            Is.EqualTo(
                (400, "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \"datta\"")));
    }

    [Test]
    public async Task A_dry_run_answers_and_stores_nothing()
    {
        var answered = await _cluster.PatchAsync(
            $"{Maps}/dry?fieldManager=m&dryRun=All",
            "apply",
            """{"apiVersion":"v1","kind":"ConfigMap","data":{"a":"1"}}""");
        Assert.That((answered.Code, answered["data.a"], answered["metadata.resourceVersion"]), Is.EqualTo((201, "1", (string?)null)));
        Assert.That((await _cluster.GetAsync($"{Maps}/dry")).Code, Is.EqualTo(404));
    }

    private Task<Reply> ApplyAsync(string name, string manager, string data, bool force = false)
    {
        var body = new JsonObject
        {
            ["apiVersion"] = "v1",
            ["kind"] = "ConfigMap",
            ["metadata"] = new JsonObject { ["name"] = name },
            ["data"] = JsonNode.Parse(data),
        };
        return _cluster.PatchAsync(
            $"{Maps}/{name}?fieldManager={manager}&force={(force ? "true" : "false")}",
            "apply",
            body.ToJsonString());
    }
}
