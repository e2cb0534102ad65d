using System.Text.Json.Nodes;

namespace Rehearsal.Tests.Cluster;

/// <summary>
/// Requests as they were recorded against a real server, in order, and what the clients decide by in its answers: status, reason, message,
/// details, and single members. <c>path=value</c>; <c>path=</c> means absent.
/// </summary>
public sealed class ConversationTests
{
    private const string Maps = "/api/v1/namespaces/test/configmaps";
    private const string Leases = "/apis/coordination.k8s.io/v1/namespaces/test/leases";
    private const string Deployments = "/apis/apps/v1/namespaces/test/deployments";

    private TestCluster _cluster = null!;

    [OneTimeSetUp]
    public async Task StartAsync()
    {
        _cluster = await TestCluster.StartAsync();
        await _cluster.PostAsync(Maps + "?fieldManager=kubectl-create", """{"metadata":{"name":"one"},"data":{"a":"1"}}""");
        await _cluster.PostAsync(Deployments, TestCluster.Deployment("web"));
    }

    [OneTimeTearDown]
    public async Task StopAsync() => await _cluster.DisposeAsync();

    [TestCase(
        "GET",
        Maps + "/absent",
        null,
        404,
        "message=configmaps \"absent\" not found",
        "details={\"name\":\"absent\",\"kind\":\"configmaps\"}")]
    [TestCase(
        "GET",
        Deployments + "/absent",
        null,
        404,
        "message=deployments.apps \"absent\" not found",
        "details={\"name\":\"absent\",\"group\":\"apps\",\"kind\":\"deployments\"}")]
    [TestCase("PUT", Maps + "/absent", """{"metadata":{"name":"absent"}}""", 404, "reason=NotFound")]
    [TestCase("GET", "/api/v1/namespaces/nowhere/configmaps", null, 200, "kind=ConfigMapList", "items=[]")]
    [TestCase(
        "POST",
        "/api/v1/namespaces/nowhere/configmaps",
        """{"metadata":{"name":"x"}}""",
        404,
        "message=namespaces \"nowhere\" not found",
        "details.kind=namespaces")]
    [TestCase("GET", "/api/v1/nonesuch", null, 404, "message=the server could not find the requested resource", "details={}")]
    [TestCase("GET", Maps + "/one/nonesuch", null, 404, "message=the server could not find the requested resource")]
    [TestCase("POST", Maps, """{"metadata":{"name":"one"}}""", 409, "reason=AlreadyExists", "message=configmaps \"one\" already exists")]
    [TestCase(
        "PUT",
        Maps + "/one",
        """{"metadata":{"name":"one","resourceVersion":"1"}}""",
        409,
        "reason=Conflict",
        "message=Operation cannot be fulfilled on configmaps \"one\": the object has been modified; please apply your changes to the latest version and try again")]
    [TestCase(
        "PUT",
        Maps + "/one",
        """{"metadata":{"name":"one","resourceVersion":"abc"}}""",
        500,
        "message=strconv.ParseUint: parsing \"abc\": invalid syntax",
        "reason=")]
    [TestCase(
        "PUT",
        Maps + "/one",
        """{"metadata":{"name":"two"}}""",
        400,
        "message=the name of the object (two) does not match the name on the URL (one)")]
    [TestCase(
        "DELETE",
        Maps + "/one",
        """{"preconditions":{"uid":"00000000-0000-0000-0000-000000000000"}}""",
        409,
        "details={\"name\":\"one\",\"kind\":\"ConfigMap\"}")]
    [TestCase(
        "DELETE",
        Maps + "/one",
        """{"propagationPolicy":"Wrong"}""",
        422,
        "message=DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"Wrong\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"")]
    [TestCase(
        "POST",
        Maps,
        """{"metadata":{}}""",
        422,
        "message=ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required")]
    [TestCase(
        "POST",
        Maps,
        """{"metadata":{"name":"x","resourceVersion":"5"}}""",
        500,
        "message=resourceVersion should not be set on objects to be created")]
    [TestCase(
        "POST",
        Maps,
        """{"metadata":{"name":"x","namespace":"other"}}""",
        400,
        "message=the namespace of the provided object does not match the namespace sent on the request")]
    [TestCase(
        "POST",
        Maps,
        """{"metadata":{"name":"x","finalizers":["bad"]}}""",
        422,
        "message=ConfigMap \"x\" is invalid: metadata.finalizers[0]: Invalid value: \"bad\": name is neither a standard finalizer name nor is it fully qualified")]
    [TestCase("POST", Maps, """{"apiVersion":"v1","kind":"ConfigMap",""", 400, "reason=BadRequest")]
    [TestCase("POST", Maps, """{"kind":"Secret","apiVersion":"v1","metadata":{"name":"x"}}""", 400, "reason=BadRequest")]
    [TestCase(
        "POST",
        Maps,
        """{"metadata":{"name":"x"},"data":{"a":1}}""",
        400,
        "message=ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string")]
    [TestCase(
        "POST",
        Deployments,
        """{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"x"},"spec":{"replicas":"two"}}""",
        400,
        "reason=BadRequest")]
    [TestCase(
        "POST",
        Maps + "?fieldValidation=Strict",
        """{"metadata":{"name":"x"},"datta":{"a":"1"}}""",
        400,
        "message=ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \"datta\"")]
    [TestCase(
        "POST",
        Maps + "?dryRun=Some",
        """{"metadata":{"name":"x"}}""",
        422,
        "message=CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: []string{\"Some\"}: supported values: \"All\"")]
    [TestCase("POST", Maps + "?dryRun=All", """{"metadata":{"name":"dry"}}""", 201, "metadata.resourceVersion=", "metadata.name=dry")]
    [TestCase("GET", Maps + "/dry", null, 404)]
    [TestCase(
        "POST",
        "/api/v1/namespaces/test/services",
        """{"metadata":{"name":"x"},"spec":{"ports":[]}}""",
        422,
        "message=Service \"x\" is invalid: spec.ports: Required value")]
    [TestCase("POST", Leases, """{"metadata":{"name":"x"},"spec":{"renewTime":"2026-01-01T00:00:00Z"}}""", 400, "reason=BadRequest")]
    [TestCase(
        "POST",
        Leases,
        """{"metadata":{"name":"lock"},"spec":{"renewTime":"2026-01-01T02:00:00.000001+02:00"}}""",
        201,
        "spec.renewTime=2026-01-01T00:00:00.000001Z")]
    [TestCase(
        "PUT",
        Leases + "/lock",
        """{"metadata":{"name":"lock"},"spec":{}}""",
        422,
        "message=leases.coordination.k8s.io \"lock\" is invalid: metadata.resourceVersion: Invalid value: 0x0: must be specified for an update")]
    [TestCase("GET", Maps + "?labelSelector=a%3D%3Db%3D%3Dc", null, 400, "message=found '==', expected: ',' or 'end of string'")]
    [TestCase(
        "GET",
        Maps + "?fieldSelector=data.a%3D1",
        null,
        400,
        "message=\"data.a\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")]
    [TestCase("GET", Maps + "?limit=x", null, 400, "message=strconv.ParseInt: parsing \"x\": invalid syntax")]
    [TestCase("GET", Maps + "?continue=x", null, 400, "reason=BadRequest")]
    [TestCase(
        "GET",
        Maps + "?resourceVersion=x",
        null,
        500,
        "message=resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax")]
    [TestCase("GET", Maps + "?resourceVersion=1&resourceVersionMatch=Exact", null, 410, "reason=Expired")]
    [TestCase("POST", Maps + "/one", "{}", 405, "reason=MethodNotAllowed")]
    [TestCase("PUT", "/api/v1/namespaces", "{}", 405, "details={}")]
    [TestCase(
        "POST",
        "/api/v1/namespaces/test/pods",
        """{"metadata":{"name":"x","labels":{"bad key!":"v"}},"spec":{"containers":[]}}""",
        422,
        "details.causes.1.field=spec.containers")]
    [TestCase(
        "POST",
        "/apis/apps/v1/namespaces/test/statefulsets",
        """{"metadata":{"name":"db"},"spec":{"serviceName":"db","selector":{"matchLabels":{"app":"db"}},"template":{"metadata":{"labels":{"app":"db"}},"spec":{"containers":[{"name":"db","image":"x:1","volumeMounts":[{"name":"data","mountPath":"/data"}]}]}},"volumeClaimTemplates":[{"metadata":{"name":"data"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}]}}""",
        201,
        "spec.template.spec.containers.0.volumeMounts.0.name=data")]
    [TestCase(
        "POST",
        "/apis/apps/v1/namespaces/test/statefulsets",
        """{"metadata":{"name":"x"},"spec":{"serviceName":"x","selector":{"matchLabels":{"app":"x"}},"template":{"metadata":{"labels":{"app":"x"}},"spec":{"containers":[{"name":"x","image":"x:1","volumeMounts":[{"name":"other","mountPath":"/data"}]}]}},"volumeClaimTemplates":[{"metadata":{"name":"data"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}]}}""",
        422,
        "message=StatefulSet.apps \"x\" is invalid: spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"other\"")]
    [TestCase(
        "DELETE",
        "/api/v1/namespaces/default",
        null,
        403,
        "message=namespaces \"default\" is forbidden: this namespace may not be deleted")]
    [TestCase("GET", "/api/v1/namespaces/test/pods/x/portforward", null, 501, "reason=NotImplemented")]
    [TestCase(
        "POST",
        "/api/v1/namespaces/test/serviceaccounts/default/token",
        "{}",
        501,
        "message=the rehearsal's API server does not implement service account tokens")]
    public async Task As_recorded(string method, string target, string? body, int code, params string[] expected)
    {
        var reply = await _cluster.SendAsync(method, target, body);
        Assert.That(reply.Code, Is.EqualTo(code), reply.Text);
        foreach (var line in expected)
        {
            var equals = line.IndexOf('=', StringComparison.Ordinal);
            var value = line[(equals + 1)..];
            Assert.That(reply[line[..equals]], Is.EqualTo(value.Length == 0 ? null : value), line[..equals]);
        }
    }

    [TestCase(
        "strategic-merge",
        """{"spec":{"replicas":-1}}""",
        422,
        "Deployment.apps \"web\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0")]
    [TestCase(
        "merge",
        """{"spec":{"selector":{"matchLabels":{"app":"other"}}}}""",
        422,
        "Deployment.apps \"web\" is invalid: [spec.template.metadata.labels: Invalid value: map[string]string{\"app\":\"web\"}: `selector` does not match template `labels`, spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string{\"app\":\"other\"}, MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: field is immutable]")]
    [TestCase(
        "merge",
        """{"metadata":{"resourceVersion":"1"},"spec":{"replicas":1}}""",
        409,
        "Operation cannot be fulfilled on deployments.apps \"web\": the object has been modified; please apply your changes to the latest version and try again")]
    [TestCase("merge", """{"spec":{"replicas":""", 500, "Invalid JSON Patch")]
    [TestCase("json", """{"op":"x"}""", 400, "json: cannot unmarshal object into Go value of type jsonpatch.Patch")]
    [TestCase(
        "json",
        """[{"op":"test","path":"/metadata/resourceVersion","value":"1"}]""",
        422,
        "the server rejected our request due to an error in our request")]
    [TestCase(
        "apply",
        """{"apiVersion":"apps/v1","kind":"Deployment"}""",
        422,
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch")]
    public async Task Patches_that_are_refused(string kind, string body, int code, string message)
    {
        var reply = await _cluster.PatchAsync($"{Deployments}/web", kind, body);
        Assert.That((reply.Code, reply["message"]), Is.EqualTo((code, message)));
    }

    [Test]
    public async Task A_status_in_the_body_of_the_main_resource_is_ignored()
    {
        var patched = await _cluster.PatchAsync($"{Deployments}/web", "merge", """{"status":{"replicas":99}}""");
        Assert.That((patched.Code, patched["status.replicas"]), Is.EqualTo((200, (string?)null)));
        var status = await _cluster.PatchAsync($"{Deployments}/web/status", "merge", """{"status":{"replicas":3},"spec":{"replicas":9}}""");
        Assert.That((status["status.replicas"], status["spec.replicas"]), Is.EqualTo(("3", "1")));
    }

    [Test]
    public async Task Unknown_members_are_dropped_with_a_warning_unless_strictness_is_asked()
    {
        var reply = await _cluster.PatchAsync($"{Deployments}/web", "merge", """{"spec":{"replicaz":5}}""");
        Assert.That((reply.Code, reply["spec.replicaz"]), Is.EqualTo((200, (string?)null)));
        Assert.That(reply.Headers.GetValues("Warning"), Is.EqualTo(new[] { "299 - \"unknown field \\\"spec.replicaz\\\"\"" }));
    }

    [Test]
    public async Task Lists_come_in_pages_that_miss_nothing()
    {
        foreach (var name in new[] { "v2", "v10", "v1" })
        {
            await _cluster.PostAsync(
                "/api/v1/namespaces/kube-public/configmaps",
                $$$$"""{"metadata":{"name":"{{{{name}}}}","labels":{"page":"yes"}}}""");
        }

        const string All = "/api/v1/configmaps?labelSelector=page&limit=2";
        var first = await _cluster.GetAsync(All);
        var second = await _cluster.GetAsync($"{All}&continue={Uri.EscapeDataString(first["metadata.continue"]!)}");
        var names = first.Json["items"]!.AsArray()
            .Concat(second.Json["items"]!.AsArray())
            .Select(item => item!["metadata"]!["name"]!.GetValue<string>());
        Assert.That(names, Is.EqualTo(new[] { "v1", "v10", "v2" }), "in bytewise order");
        Assert.That(
            (first["metadata.remainingItemCount"], second["metadata.continue"], first["items.0.kind"]),
            Is.EqualTo(((string?)null, (string?)null, (string?)null)));
    }

    [Test]
    public async Task A_deletion_answers_with_a_status_and_an_object_that_stays_with_itself()
    {
        await _cluster.PostAsync(Maps, """{"metadata":{"name":"goes"}}""");
        await _cluster.PostAsync(Maps, """{"metadata":{"name":"stays","finalizers":["example.test/hold"]}}""");
        var gone = await _cluster.SendAsync("DELETE", $"{Maps}/goes", """{"propagationPolicy":"Background"}""");
        var stays = await _cluster.SendAsync("DELETE", $"{Maps}/stays", null);
        Assert.That((gone["kind"], gone["status"], gone["details.kind"]), Is.EqualTo(("Status", "Success", "configmaps")));
        Assert.That((stays["kind"], stays["metadata.deletionGracePeriodSeconds"]), Is.EqualTo(("ConfigMap", "0")));
        var more = await _cluster.PatchAsync(
            $"{Maps}/stays",
            "merge",
            """{"metadata":{"finalizers":["example.test/hold","example.test/more"]}}""");
        Assert.That((more.Code, more["details.causes.0.reason"]), Is.EqualTo((422, "FieldValueForbidden")));
        await _cluster.PatchAsync($"{Maps}/stays", "merge", """{"metadata":{"finalizers":null}}""");
        Assert.That((await _cluster.GetAsync($"{Maps}/stays")).Code, Is.EqualTo(404));
    }

    [Test]
    public async Task A_namespace_takes_its_contents_with_it()
    {
        await _cluster.PostAsync("/api/v1/namespaces", """{"metadata":{"name":"leaving"}}""");
        await _cluster.PostAsync(
            "/api/v1/namespaces/leaving/configmaps",
            """{"metadata":{"name":"held","finalizers":["example.test/hold"]}}""");
        var going = await _cluster.SendAsync("DELETE", "/api/v1/namespaces/leaving", null);
        Assert.That((going["status.phase"], going["spec.finalizers.0"]), Is.EqualTo(("Terminating", "kubernetes")));
        var again = await _cluster.PostAsync("/api/v1/namespaces", """{"metadata":{"name":"leaving"}}""");
        Assert.That((again.Code, again["message"]), Is.EqualTo((409, "object is being deleted: namespaces \"leaving\" already exists")));
        var held = "/api/v1/namespaces/leaving/configmaps/held";
        await EventuallyAsync(
            async () => (await _cluster.GetAsync(held))["metadata.deletionTimestamp"] is not null,
            "the contents are marked");
        await _cluster.PatchAsync(held, "merge", """{"metadata":{"finalizers":null}}""");
        await EventuallyAsync(
            async () => (await _cluster.GetAsync("/api/v1/namespaces/leaving")).Code == 404,
            "the namespace goes when it is empty");
    }

    [Test]
    public async Task Every_namespace_has_its_account_and_the_authority()
    {
        await _cluster.PostAsync("/api/v1/namespaces", """{"metadata":{"name":"furnished"}}""");
        await EventuallyAsync(
            async () => (
                await _cluster.GetAsync("/api/v1/namespaces/furnished/configmaps/kube-root-ca.crt"))["data"]?.Contains("BEGIN CERTIFICATE",
                StringComparison.Ordinal) == true,
            "kube-root-ca.crt");
        await EventuallyAsync(
            async () => (await _cluster.GetAsync("/api/v1/namespaces/furnished/serviceaccounts/default")).Code == 200,
            "serviceaccount default");
        Assert.That(
            (await _cluster.GetAsync("/api/v1/namespaces/furnished"))
                .Json["metadata"]!["labels"]!["kubernetes.io/metadata.name"]!.GetValue<string>(),
            Is.EqualTo("furnished"));
    }

    [Test]
    public async Task Requests_without_the_token_are_unauthorized()
    {
        using var stranger = _cluster.NewClient("wrong");
        using var response = await stranger.GetAsync(new Uri("/version", UriKind.Relative));
        Assert.That((int)response.StatusCode, Is.EqualTo(401));
        Assert.That(JsonNode.Parse(await response.Content.ReadAsStringAsync())!["reason"]!.GetValue<string>(), Is.EqualTo("Unauthorized"));
    }

    [Test]
    public async Task Whoever_is_impersonated_may_do_what_bindings_say()
    {
        var refused = await _cluster.SendAsync("GET", Deployments, null, impersonate: "nobody");
        Assert.That(
            (refused.Code, refused["message"]),
            Is.EqualTo(
                (
                    403,
                    "deployments.apps is forbidden: User \"nobody\" cannot list resource \"deployments\" in API group \"apps\" in the "
                    + "namespace \"test\"")));
        await _cluster.PostAsync(
            "/apis/rbac.authorization.k8s.io/v1/namespaces/test/roles",
            """{"metadata":{"name":"r"},"rules":[{"verbs":["list"],"apiGroups":["apps"],"resources":["deployments"]}]}""");
        await _cluster.PostAsync(
            "/apis/rbac.authorization.k8s.io/v1/namespaces/test/rolebindings",
            """{"metadata":{"name":"b"},"roleRef":{"kind":"Role","name":"r"},"subjects":[{"kind":"User","name":"nobody"}]}""");
        Assert.That((await _cluster.SendAsync("GET", Deployments, null, impersonate: "nobody")).Code, Is.EqualTo(200));
        Assert.That((await _cluster.SendAsync("GET", Maps, null, impersonate: "nobody")).Code, Is.EqualTo(403));
    }

    [Test]
    public async Task Too_much_is_too_much()
    {
        var big = await _cluster.PostAsync(Maps, $$$$"""{"metadata":{"name":"big"},"data":{"a":"{{{{new string('x', 1_100_000)}}}}"}}""");
        var huge = await _cluster.PostAsync(Maps, $$$$"""{"metadata":{"name":"huge"},"data":{"a":"{{{{new string('x', 3_300_000)}}}}"}}""");
        Assert.That(
            (big.Code, big["message"]),
            Is.EqualTo((422, "ConfigMap \"big\" is invalid: []: Too long: must have at most 1048576 bytes")));
        Assert.That((huge.Code, huge["message"]), Is.EqualTo((413, "Request entity too large: limit is 3145728")));
    }

    [TestCase("text/plain", 415)]
    [TestCase("application/yaml", 501)]
    [TestCase("", 201)]
    public async Task Bodies_are_taken_by_their_type(string type, int code) =>
        Assert.That((await _cluster.SendAsync("POST", Maps, """{"metadata":{"generateName":"typed-"}}""", type)).Code, Is.EqualTo(code));

    [TestCase("text/html", 406)]
    [TestCase("application/vnd.kubernetes.protobuf", 406)]
    [TestCase("application/vnd.kubernetes.protobuf,application/json", 200)]
    [TestCase("*/*", 200)]
    public async Task Answers_are_json_for_those_who_take_it(string accept, int code) =>
        Assert.That((await _cluster.GetAsync(Maps, accept)).Code, Is.EqualTo(code));

    private static async Task EventuallyAsync(Func<Task<bool>> condition, string what)
    {
        using var patience = new CancellationTokenSource(Patience.Limit);
        while (!await condition())
        {
            if (patience.IsCancellationRequested)
            {
                Assert.Fail($"did not happen within {Patience.Limit}: {what}");
            }

            await Task.Delay(TimeSpan.FromMilliseconds(5), TimeProvider.System);
        }
    }
}
