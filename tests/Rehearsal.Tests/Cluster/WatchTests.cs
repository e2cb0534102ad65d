using System.Text.Json.Nodes;

namespace Rehearsal.Tests.Cluster;

public sealed class WatchTests
{
    private const string Maps = "/api/v1/namespaces/test/configmaps";

    private TestCluster _cluster = null!;

    [SetUp]
    public async Task StartAsync()
    {
        _cluster = await TestCluster.StartAsync();
        await _cluster.PostAsync(Maps, """{"metadata":{"name":"one","labels":{"x":"y"}}}""");
    }

    [TearDown]
    public async Task StopAsync() => await _cluster.DisposeAsync();

    [Test]
    public async Task A_watch_without_a_version_begins_with_what_exists()
    {
        await using var watch = await OpenAsync("watch=true&labelSelector=x");
        Assert.That(await watch.NextAsync(), Is.EqualTo("ADDED one"));
        await _cluster.PatchAsync($"{Maps}/one", "merge", """{"data":{"a":"1"}}""");
        Assert.That(await watch.NextAsync(), Is.EqualTo("MODIFIED one"));
        await _cluster.SendAsync("DELETE", $"{Maps}/one", null);
        Assert.That(await watch.NextAsync(), Is.EqualTo("DELETED one"));
    }

    [Test]
    public async Task A_watch_from_a_version_has_everything_after_it()
    {
        var version = (await _cluster.GetAsync(Maps))["metadata.resourceVersion"];
        await _cluster.PostAsync(Maps, """{"metadata":{"name":"two"}}""");
        await using var watch = await OpenAsync($"watch=1&resourceVersion={version}");
        Assert.That(await watch.NextAsync(), Is.EqualTo("ADDED two"));
        await _cluster.PostAsync(Maps, """{"metadata":{"name":"three"}}""");
        Assert.That(await watch.NextAsync(), Is.EqualTo("ADDED three"));
    }

    [Test]
    public async Task An_object_that_comes_to_match_is_added_and_one_that_ceases_is_deleted()
    {
        await using var watch = await OpenAsync("watch=true&labelSelector=x%3Dz");
        await _cluster.PatchAsync($"{Maps}/one", "merge", """{"metadata":{"labels":{"x":"z"}}}""");
        Assert.That(await watch.NextAsync(), Is.EqualTo("ADDED one"));
        var now = await _cluster.PatchAsync($"{Maps}/one", "merge", """{"metadata":{"labels":{"x":"y"}}}""");
        Assert.That(await watch.NextAsync(), Is.EqualTo("DELETED one"));
        Assert.That(Reply.Read(watch.Current, "object.metadata.labels.x"), Is.EqualTo("z"), "as it last matched");
        Assert.That(
            Reply.Read(watch.Current, "object.metadata.resourceVersion"),
            Is.EqualTo(now["metadata.resourceVersion"]),
            "with the new version");
    }

    [Test]
    public async Task A_watch_list_ends_its_beginning_with_an_annotated_bookmark()
    {
        await using var watch = await OpenAsync(
            "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&fieldSelector=metadata.name%3Done");
        Assert.That(await watch.NextAsync(), Is.EqualTo("ADDED one"));
        Assert.That(await watch.NextAsync(), Is.EqualTo("BOOKMARK "));
        Assert.That(Reply.Read(watch.Current, "object.metadata.annotations"), Is.EqualTo("""{"k8s.io/initial-events-end":"true"}"""));
    }

    [Test]
    public async Task A_watch_list_without_its_match_rule_is_refused()
    {
        var refused = await _cluster.GetAsync($"{Maps}?watch=true&sendInitialEvents=true");
        Assert.That((refused.Code, refused["reason"]), Is.EqualTo((422, "Invalid")));
    }

    [Test]
    public async Task A_version_from_before_the_kept_history_is_expired()
    {
        await using var restarted = await TestCluster.StartAsync(from: _cluster.DirectoryPath);
        var happened = (await restarted.GetAsync($"{Maps}?watch=true&resourceVersion=1")).Json;
        Assert.That(
            (Reply.Read(happened, "type"), Reply.Read(happened, "object.code"), Reply.Read(happened, "object.reason")),
            Is.EqualTo(("ERROR", "410", "Expired")));
    }

    [Test]
    public async Task A_watch_ends_by_itself_when_its_time_is_over()
    {
        await using var watch = await OpenAsync("watch=true&timeoutSeconds=1&fieldSelector=metadata.name%3Dnobody");
        Assert.That(await watch.NextAsync(), Is.Null, "the body ends");
    }

    [Test]
    public async Task A_watch_says_where_to_go_on_before_its_time_is_over()
    {
        await using var watch = await OpenAsync("watch=true&timeoutSeconds=3&allowWatchBookmarks=true&fieldSelector=metadata.name%3Dnobody");
        Assert.That(await watch.NextAsync(), Is.EqualTo("BOOKMARK "));
        Assert.That(await watch.NextAsync(), Is.Null, "the body ends");
    }

    [Test]
    public async Task A_watch_for_people_sends_tables_of_one_row()
    {
        await using var watch = await OpenAsync(
            "watch=true&labelSelector=x",
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json");
        await watch.NextAsync();
        Assert.That(Reply.Read(watch.Current, "object.kind"), Is.EqualTo("Table"));
        Assert.That(Reply.Read(watch.Current, "object.rows.0.cells.0"), Is.EqualTo("one"));
    }

    private async Task<Watch> OpenAsync(string query, string accept = "application/json")
    {
        var request = new HttpRequestMessage(HttpMethod.Get, $"{Maps}?{query}");
        request.Headers.TryAddWithoutValidation("Accept", accept);
        var response = await _cluster.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        return new Watch(response, new StreamReader(await response.Content.ReadAsStreamAsync()));
    }

    private sealed class Watch(HttpResponseMessage response, StreamReader lines) : IAsyncDisposable
    {
        public JsonObject? Current { get; private set; }

        /// <summary>The next event as "TYPE name", or null at the end of the body.</summary>
        public async Task<string?> NextAsync()
        {
            using var patience = new CancellationTokenSource(Patience.Limit);
            var line = await lines.ReadLineAsync(patience.Token);
            Current = line is null ? null : TestCluster.Object(line);
            return Current is null ? null : $"{Reply.Read(Current, "type")} {Reply.Read(Current, "object.metadata.name")}";
        }

        public ValueTask DisposeAsync()
        {
            lines.Dispose();
            response.Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
