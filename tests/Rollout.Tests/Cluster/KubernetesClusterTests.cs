using System.Diagnostics;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Time.Testing;
using Rollout.Cluster;
using Rollout.Tests.Support;

namespace Rollout.Tests.Cluster;

/// <summary>What an API server may do to a run, over a real connection; pauses take no time.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class KubernetesClusterTests
{
    private const string Path = "/api/v1/namespaces/n/configmaps";
    private readonly Reports _reports = new();
    private readonly HastyTime _time = new(deadline: 10);
    private readonly Queue<Reply> _replies = new();
    private HttpDouble _server = null!;
    private KubernetesCluster _cluster = null!;

    private static Reply Ok => new(200, """{"kind":"ConfigMap","metadata":{"name":"a","resourceVersion":"7"}}""");

    private static JsonObject Map => new() { ["metadata"] = new JsonObject { ["name"] = "a" } };

    private IEnumerable<string> Asked => _server.Requests.Select(r => r.Method);

    [SetUp]
    public async Task Begin()
    {
        _server = await HttpDouble.StartAsync(_ => _replies.Count > 1 ? _replies.Dequeue() : _replies.Peek());
        _cluster = KubernetesCluster.At(_server.Address, _time, _reports);
    }

    [TearDown]
    public async Task End()
    {
        await _cluster.DisposeAsync();
        await _server.DisposeAsync();
    }

    [TestCase(429)]
    [TestCase(500)]
    [TestCase(502)]
    [TestCase(503)]
    [TestCase(504)]
    [TestCase(-1)]
    public async Task A_read_is_asked_again_and_people_are_told(int code)
    {
        Answers(code < 0 ? Reply.Cut : Status(code), Ok);
        Assert.That((await _cluster.GetAsync($"{Path}/a", default))!["metadata"]!["name"]!.GetValue<string>(), Is.EqualTo("a"));
        Assert.That(_server.Requests, Has.Count.EqualTo(2));
        Assert.That(_reports.Lines, Has.Count.EqualTo(1).And.All.Contains("asking again in"));
    }

    [TestCase(500)]
    [TestCase(-1)]
    public void A_server_that_stays_sick_ends_the_read_with_what_was_seen(int code)
    {
        Answers(code < 0 ? Reply.Cut : Status(code));
        Assert.That(
            () => _cluster.GetAsync($"{Path}/a", default),
            Throws.TypeOf<RolloutException>().With.Message.Contains($"GET {Path}/a").And.Message.Contains(code < 0 ? "did not answer" : "500")
                .And.Property(nameof(RolloutException.Hint)).EqualTo("The same command resumes."));
        Assert.That(_server.Requests, Has.Count.EqualTo(7));
    }

    [TestCase(400)]
    [TestCase(401)]
    [TestCase(403)]
    [TestCase(409)]
    [TestCase(422)]
    public void A_refusal_is_final(int code)
    {
        Answers(Status(code));
        Assert.That(() => _cluster.GetAsync($"{Path}/a", default), Throws.TypeOf<RolloutException>().With.Message.EqualTo($"The cluster answered {code} to GET {Path}/a: because"));
        Assert.That(_server.Requests, Has.Count.EqualTo(1));
    }

    [TestCase("2", 2)]
    [TestCase("Mon, 23 Nov 2026 12:00:01 GMT", 1)]
    [TestCase("Mon, 23 Nov 2026 11:00:00 GMT", 0)]
    public async Task The_pause_that_the_server_asks_for_is_kept(string asked, int seconds)
    {
        Answers(Status(429) with { Headers = new Dictionary<string, string> { ["Retry-After"] = asked } }, Ok);
        var before = _time.GetUtcNow();
        await _cluster.GetAsync($"{Path}/a", default);
        Assert.That((_time.GetUtcNow() - before).TotalSeconds, Is.EqualTo(seconds).Within(0.01));
    }

    [Test]
    public async Task A_pause_is_never_longer_than_ten_seconds()
    {
        Answers(Status(429) with { Headers = new Dictionary<string, string> { ["Retry-After"] = "3600" } }, Ok);
        var time = new FakeTimeProvider();
        await using var cluster = KubernetesCluster.At(_server.Address, time, _reports);
        var reading = cluster.GetAsync($"{Path}/a", default);
        await AdvanceUntilAsync(time, () => _server.Requests.Count == 2);
        await reading;
        Assert.That(_reports.Lines.Single(), Does.EndWith("asking again in 10 s"));
    }

    [Test]
    public async Task A_server_that_hangs_ends_each_attempt_at_its_limit_and_the_read_at_last()
    {
        var gate = new TaskCompletionSource();
        await using var server = await HttpDouble.StartAsync(_ =>
        {
            gate.Task.GetAwaiter().GetResult();
            return Ok;
        });
        var time = new FakeTimeProvider();
        await using var cluster = KubernetesCluster.At(server.Address, time, _reports);
        var reading = cluster.GetAsync($"{Path}/a", default);
        await AdvanceUntilAsync(time, () => reading.IsCompleted);
        Assert.That(() => reading, Throws.TypeOf<RolloutException>().With.Message.EqualTo($"The cluster did not answer GET {Path}/a within 10 s"));
        Assert.That(_reports.Lines, Has.Count.EqualTo(6));
        gate.SetResult();
    }

    [Test]
    public async Task A_cancelled_run_asks_nothing_again()
    {
        using var stop = new CancellationTokenSource();
        _replies.Enqueue(Status(503));
        _time.OnPause = stop.Cancel;
        Assert.That(() => _cluster.GetAsync($"{Path}/a", stop.Token), Throws.InstanceOf<OperationCanceledException>());
        await Task.CompletedTask;
        Assert.That(_server.Requests, Has.Count.EqualTo(1));
    }

    [Test]
    public async Task Something_in_front_that_answers_with_a_page_is_asked_again()
    {
        Answers(new Reply(200, "<html>Sign in</html>", "text/html"), Ok);
        Assert.That(await _cluster.GetAsync($"{Path}/a", default), Is.Not.Null);
    }

    [TestCase("<html>Sign in</html>", "text/html", "text/html instead of JSON: <html>Sign in</html>")]
    [TestCase("""{"data":{"key":"c2VjcmV0""", "application/json", "JSON that break off or are malformed")]
    [TestCase("", "application/json", "with nothing")]
    [TestCase("null", "application/json", "with null")]
    [TestCase("[1]", "application/json", "is no object but Array")]
    [TestCase("\"words\"", "application/json", "is no object but String")]
    public void An_answer_that_is_no_object_is_a_failure_that_tells_its_shape_and_no_secret(string body, string type, string told)
    {
        Answers(new Reply(200, body, type));
        Assert.That(
            () => _cluster.GetAsync($"{Path}/a", default),
            Throws.TypeOf<RolloutException>().With.Message.Contains($"answered 200 to GET {Path}/a with").And.Message.Contains(told).And.Message.Not.Contains("c2VjcmV0"));
    }

    [Test]
    public void An_answer_beyond_all_measure_is_refused_and_not_asked_for_again()
    {
        Answers(new Reply(200, Bytes: new byte[(64 * 1024 * 1024) + 1]));
        Assert.That(() => _cluster.GetAsync($"{Path}/a", default), Throws.TypeOf<RolloutException>().With.Message.Contains($"GET {Path}/a with more than 64 MiB"));
        Assert.That(_server.Requests, Has.Count.EqualTo(1));
    }

    [TestCase("\"words\"")]
    [TestCase("<html>Bad gateway</html>")]
    [TestCase("""{"message":5}""")]
    public void A_refusal_in_another_shape_is_told_as_it_is(string body)
    {
        Answers(new Reply(403, body));
        Assert.That(() => _cluster.GetAsync($"{Path}/a", default), Throws.TypeOf<RolloutException>().With.Message.EndsWith($"403 to GET {Path}/a: {body}"));
    }

    [Test]
    public async Task A_missing_object_is_null_and_a_missing_list_is_empty()
    {
        Answers(Status(404));
        Assert.That(await _cluster.GetAsync($"{Path}/a", default), Is.Null);
        Assert.That(await _cluster.ListAsync(Path, default), Is.Empty);
    }

    [Test]
    public void An_object_is_not_taken_for_an_empty_list()
    {
        Answers(Ok);
        Assert.That(() => _cluster.ListAsync(Path, default), Throws.TypeOf<RolloutException>().With.Message.Contains("an object of kind ConfigMap, which is no list"));
    }

    [Test]
    public async Task A_list_without_items_is_empty()
    {
        Answers(new Reply(200, """{"kind":"ConfigMapList","items":null}"""));
        Assert.That(await _cluster.ListAsync(Path, default), Is.Empty);
    }

    [Test]
    public async Task Applying_creates_or_patches_and_is_repeated_whole_when_in_doubt()
    {
        // Created, the answer lost; then there already, the patch refused for a moment; then all of it once more.
        Answers(Reply.Cut, Status(409), Status(503), Status(409), Ok);
        await _cluster.ApplyAsync(Path, Map, default);
        Assert.That(Asked, Is.EqualTo(new[] { "POST", "POST", "PATCH", "POST", "PATCH" }));
    }

    [TestCase(409)]
    [TestCase(404)]
    public async Task An_object_that_changes_or_vanishes_while_it_is_applied_is_applied_again(int code)
    {
        Answers(Status(409), Status(code), new Reply(201, Ok.Body));
        await _cluster.ApplyAsync(Path, Map, default);
        Assert.That(Asked, Is.EqualTo(new[] { "POST", "PATCH", "POST" }));
    }

    [Test]
    public void Applying_what_the_server_refuses_is_a_failure()
    {
        Answers(Status(422));
        Assert.That(() => _cluster.ApplyAsync(Path, Map, default), Throws.TypeOf<RolloutException>().With.Message.Contains($"422 to POST {Path}"));
    }

    [TestCase(-1)]
    [TestCase(409)]
    [TestCase(500)]
    public async Task A_deletion_whose_answer_was_lost_finds_the_object_gone(int code)
    {
        Answers(code < 0 ? Reply.Cut : Status(code), Status(404));
        await _cluster.DeleteAsync($"{Path}/a", default);
        Assert.That(Asked, Is.EqualTo(new[] { "DELETE", "DELETE" }));
    }

    [TestCase(200, true)]
    [TestCase(404, true)]
    [TestCase(409, false)]
    public async Task An_object_is_deleted_only_as_it_was_seen(int code, bool deleted)
    {
        Answers(Reply.Cut, Status(code));
        Assert.That(await _cluster.DeleteUnchangedAsync($"{Path}/a", "6", default), Is.EqualTo(deleted));
        Assert.That(_server.Requests.Last().Text, Does.Contain("""{"resourceVersion":"6"}"""));
    }

    [TestCase(-1)]
    [TestCase(429)]
    [TestCase(500)]
    [TestCase(503)]
    public void A_journal_write_in_doubt_is_not_repeated_here(int code)
    {
        Answers(code < 0 ? Reply.Cut : Status(code));
        Assert.That(() => _cluster.WriteJournalAsync("n", "v1", "text", "6", default), Throws.TypeOf<RolloutException>());
        Assert.That(Asked, Is.EqualTo(new[] { "PUT" }));
    }

    [Test]
    public async Task A_journal_write_tells_its_version_and_that_somebody_was_faster()
    {
        Answers(new Reply(201, Ok.Body), Status(409), new Reply(200, "{}"));
        Assert.That(await _cluster.WriteJournalAsync("n", "v1", "text", null, default), Is.EqualTo("7"));
        Assert.That(await _cluster.WriteJournalAsync("n", "v1", "text", "7", default), Is.Null);
        Assert.That(() => _cluster.WriteJournalAsync("n", "v1", "text", "7", default), Throws.TypeOf<RolloutException>().With.Message.Contains("no resourceVersion"));
    }

    [Test]
    public async Task The_newest_revision_of_a_release_tells_what_it_applied()
    {
        Answers(Revisions(("9", "superseded", "0a1b.9"), ("10", "deployed", "0c2d.10")));
        var revision = await _cluster.HelmRevisionAsync("green", "aether", default);
        Assert.That((revision!.Number, revision.Status, revision.Secret, revision.Applied), Is.EqualTo((10, "deployed", "v10", "0c2d")));
        Assert.That(_server.Requests.Single().Query, Is.EqualTo("?labelSelector=owner%3Dhelm%2Cname%3Daether"));
    }

    [TestCase("0a1b.9")]
    [TestCase("0a1b")]
    [TestCase(null)]
    public async Task A_label_that_helm_handed_on_from_another_revision_does_not_count(string? label)
    {
        Answers(Revisions(("10", "deployed", label)));
        Assert.That((await _cluster.HelmRevisionAsync("green", "aether", default))!.Applied, Is.Null);
    }

    [Test]
    public async Task The_beginning_of_a_revision_is_told_by_our_clock()
    {
        // The server's clock is an hour ahead of ours, and the revision a minute old.
        Answers(Revisions(("1", "pending-install", null)) with { Headers = new Dictionary<string, string> { ["Date"] = "Mon, 23 Nov 2026 13:00:00 GMT" } });
        Assert.That((await _cluster.HelmRevisionAsync("green", "aether", default))!.Begun, Is.EqualTo(_time.GetUtcNow() - TimeSpan.FromMinutes(1)));
    }

    [Test]
    public async Task What_a_service_says_behind_the_proxy_is_its_own_word_and_not_asked_again()
    {
        Answers(Status(503), Ok);
        using var answer = await _cluster.Http.GetAsync(new Uri("/api/v1/namespaces/n/services/http:oms:80/proxy/healthz", UriKind.Relative));
        Assert.That((int)answer.StatusCode, Is.EqualTo(503));
        Assert.That(_server.Requests, Has.Count.EqualTo(1));
    }

    [Test]
    [Platform(Include = "Linux")]
    public async Task A_kubectl_proxy_that_ended_is_named()
    {
        Answers(new Reply(200, """{"major":"1"}"""));
        using var place = new ToolPlace();
        await using var cluster = await KubernetesCluster.ConnectAsync(
            await RealTools.KubectlAsync(), Kubeconfig(place), null, TimeProvider.System, _reports, default);
        var proxy = Process.GetProcessesByName("kubectl").Single(p => EnvironmentOf(p).Contains(place.PathOf("kubeconfig"), StringComparison.Ordinal));
        proxy.Kill();
        await proxy.WaitForExitAsync();
        Assert.That(
            () => cluster.GetAsync($"{Path}/a", default),
            Throws.TypeOf<RolloutException>().With.Message.Contains("kubectl proxy").And.Message.Contains("has ended, exit code").And.Message.Contains($"GET {Path}/a"));
    }

    [Test]
    [Platform(Include = "Unix")]
    public async Task A_run_begins_although_the_server_is_busy_at_first()
    {
        Answers(Status(503), new Reply(200, """{"major":"1"}"""));
        using var place = new ToolPlace();
        await using var cluster = await KubernetesCluster.ConnectAsync(
            await RealTools.KubectlAsync(), Kubeconfig(place), null, TimeProvider.System, _reports, default);
        Assert.That(_server.Requests.Count(r => r.Path == "/version"), Is.EqualTo(2));
    }

    private static Reply Status(int code) => new(code, $$"""{"kind":"Status","message":"because","code":{{code}}}""");

    private static string EnvironmentOf(Process process)
    {
        try
        {
            return File.ReadAllText($"/proc/{process.Id}/environ");
        }
        catch (IOException)
        {
            // Another test's, just gone.
            return string.Empty;
        }
    }

    private static Reply Revisions(params (string Number, string Status, string? Applied)[] revisions) => new(200, new JsonObject
    {
        ["items"] = new JsonArray([.. revisions.Select(r => new JsonObject
        {
            ["metadata"] = new JsonObject
            {
                ["name"] = "v" + r.Number,
                ["creationTimestamp"] = "2026-11-23T12:59:00Z",
                ["labels"] = new JsonObject { ["version"] = r.Number, ["status"] = r.Status, ["aether.io/applied"] = r.Applied },
            },
        })]),
    }.ToJsonString());

    private static async Task AdvanceUntilAsync(FakeTimeProvider time, Func<bool> reached)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (!reached())
        {
            time.Advance(TimeSpan.FromSeconds(1));
            await Task.Delay(TimeSpan.FromMilliseconds(1), TimeProvider.System, limit.Token);
        }
    }

    private string Kubeconfig(ToolPlace place)
    {
        var path = place.PathOf("kubeconfig");
        File.WriteAllText(
            path,
            $$$"""{"apiVersion":"v1","kind":"Config","clusters":[{"name":"c","cluster":{"server":"{{{_server.Address}}}"}}],"contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],"users":[{"name":"u","user":{}}],"current-context":"c"}""");
        return path;
    }

    private void Answers(params Reply[] replies)
    {
        foreach (var reply in replies)
        {
            _replies.Enqueue(reply);
        }
    }
}
