using System.IO.Compression;
using System.Net;
using System.Text.Json.Nodes;
using Octokit;
using Rehearsal.World;

namespace Rehearsal.Tests.World;

public sealed class GitHubApiTests
{
    private const string Token = "github-secret";
    private static readonly GitHubRelease[] Releases =
    [
        new("v2026.11.0", new string('a', 40), new DateTimeOffset(2026, 11, 1, 8, 0, 0, TimeSpan.Zero)),
        new("v2026.11.1", new string('b', 40), new DateTimeOffset(2026, 11, 2, 8, 0, 0, TimeSpan.Zero)),
    ];

    private TestPlace _place = null!;
    private GitHubApi _github = null!;
    private GitHubClient _octokit = null!;
    private HttpClient _client = null!;

    [SetUp]
    public async Task StartAsync()
    {
        _place = new TestPlace();
        _github = await GitHubApi.StartAsync(_place.Place, new GitHubOptions(Token, "aether/platform"), CancellationToken.None);
        _github.Publish(Releases);
        _octokit = new GitHubClient(new ProductHeaderValue("rehearsal-tests"), _github.Address) { Credentials = new Credentials(Token) };
        _client = TestPlace.Client(new Uri(_github.Address, "api/v3/repos/aether/platform"), Token);
    }

    [TearDown]
    public async Task StopAsync()
    {
        _client.Dispose();
        await _github.DisposeAsync();
        _place.Dispose();
    }

    [Test]
    public async Task Octokit_resolves_a_tag_to_its_commit()
    {
        Assert.That((await _octokit.Repository.Get("aether", "platform")).DefaultBranch, Is.EqualTo("main"));
        Assert.That((await _octokit.Git.Reference.Get("aether", "platform", "tags/v2026.11.1")).Object.Sha, Is.EqualTo(Releases[1].Sha));
        Assert.That((await _octokit.Repository.Commit.Get("aether", "platform", "v2026.11.0")).Sha, Is.EqualTo(Releases[0].Sha));
        Assert.That((await _octokit.Repository.Release.Get("aether", "platform", "v2026.11.1")).TagName, Is.EqualTo("v2026.11.1"));
    }

    [Test]
    public void A_private_repository_does_not_exist_for_strangers()
    {
        var stranger = new GitHubClient(new ProductHeaderValue("rehearsal-tests"), _github.Address);
        Assert.That(async () => await stranger.Repository.Get("aether", "platform"), Throws.InstanceOf<NotFoundException>());
        stranger.Credentials = new Credentials("wrong");
        Assert.That(async () => await stranger.Repository.Get("aether", "platform"), Throws.InstanceOf<AuthorizationException>());
    }

    [Test]
    public async Task CI_has_run_on_every_release_commit_as_pull_request_and_as_push()
    {
        var pushed = await RunsAsync(new WorkflowRunsRequest { HeadSha = Releases[1].Sha, Event = "push", Branch = "main" });
        Assert.That(pushed.TotalCount, Is.EqualTo(1));
        Assert.That(pushed.WorkflowRuns[0].Conclusion!.Value.StringValue, Is.EqualTo("success"));
        Assert.That((await RunsAsync(new WorkflowRunsRequest { HeadSha = Releases[1].Sha })).TotalCount, Is.EqualTo(2));
        Assert.That((await RunsAsync(new WorkflowRunsRequest { Created = ">=2026-11-02T00:00:00Z" })).TotalCount, Is.EqualTo(2));
    }

    [Test]
    public async Task A_failed_a_cancelled_and_a_missing_CI_run_can_be_had()
    {
        var ofRelease = new WorkflowRunsRequest { HeadSha = Releases[1].Sha, Event = "push" };
        _place.Faults.Set("ci-failed", "");
        Assert.That((await RunsAsync(ofRelease)).WorkflowRuns[0].Conclusion!.Value.StringValue, Is.EqualTo("failure"));
        _place.Faults.ClearAll();
        _place.Faults.Set("ci-cancelled", "");
        Assert.That((await RunsAsync(ofRelease)).WorkflowRuns[0].Conclusion!.Value.StringValue, Is.EqualTo("cancelled"));
        _place.Faults.Set("ci-missing", "");
        Assert.That((await RunsAsync(ofRelease)).TotalCount, Is.Zero);
    }

    [Test]
    public void CI_cannot_be_dispatched_and_unknown_workflows_do_not_exist()
    {
        Assert.That(
            async () => await _octokit.Actions.Workflows.CreateDispatch(
                "aether", "platform", "ci.yaml", new CreateWorkflowDispatch("main")),
            Throws.InstanceOf<ApiValidationException>());
        Assert.That(
            async () => await _octokit.Actions.Workflows.CreateDispatch(
                "aether", "platform", "nothing.yaml", new CreateWorkflowDispatch("main")),
            Throws.InstanceOf<NotFoundException>());
    }

    [TestCase("", null, "does not have 'workflow_dispatch'")]
    [TestCase("dispatch", "id", "Unexpected inputs provided: [\"id\"]")]
    [TestCase("dispatch:id", "other", "Unexpected inputs provided: [\"other\"]")]
    [TestCase("dispatch", null, null)]
    [TestCase("dispatch:id", "id", null)]
    public async Task Missing_CI_can_be_dispatched_where_the_fault_says_so_and_its_name_shows_the_input(string argument, string? input, string? refusal)
    {
        _place.Faults.Set("ci-missing", argument);
        using var body = new JsonObject { ["ref"] = "v2026.11.1", ["inputs"] = input is null ? [] : new JsonObject { [input] = "rollout-4711" } }.Json();
        using var answer = await _client.PostAsync("actions/workflows/ci.yaml/dispatches", body);
        _place.Clock.Advance(TimeSpan.FromSeconds(4));
        var runs = (await RunsAsync(new WorkflowRunsRequest { HeadSha = Releases[1].Sha })).WorkflowRuns;
        if (refusal is not null)
        {
            Assert.That((int)answer.StatusCode, Is.EqualTo(422));
            Assert.That((string)(await answer.JsonAsync())["message"]!, Does.Contain(refusal));
            Assert.That(runs, Is.Empty);
            return;
        }

        Assert.That(answer.StatusCode, Is.EqualTo(HttpStatusCode.NoContent));
        Assert.That(
            (runs.Single().Event, runs.Single().DisplayTitle, runs.Single().Conclusion!.Value.StringValue),
            Is.EqualTo(("workflow_dispatch", input is null ? "CI" : "CI rollout-4711", "success")));
        Assert.That((await _octokit.Actions.Workflows.Jobs.List("aether", "platform", runs.Single().Id)).Jobs.Single().Name, Is.EqualTo("verify"));
    }

    [Test]
    public async Task A_dispatched_run_shows_a_second_later_and_goes_through_its_states()
    {
        await _octokit.Actions.Workflows.CreateDispatch("aether", "platform", "post-deploy-smoke.yml", new CreateWorkflowDispatch("main"));
        Assert.That(await SmokeRunsAsync(), Is.Empty, "at once");
        _place.Clock.Advance(TimeSpan.FromSeconds(1));
        Assert.That((await SmokeRunsAsync()).Single().Status.StringValue, Is.EqualTo("queued"));
        _place.Clock.Advance(TimeSpan.FromSeconds(1));
        Assert.That((await SmokeRunsAsync()).Single().Status.StringValue, Is.EqualTo("in_progress"));
        _place.Clock.Advance(TimeSpan.FromSeconds(2));
        var done = (await SmokeRunsAsync()).Single();
        Assert.That(done.Status.StringValue, Is.EqualTo("completed"));
        Assert.That(done.Event, Is.EqualTo("workflow_dispatch"));
        var jobs = await _octokit.Actions.Workflows.Jobs.List("aether", "platform", done.Id);
        Assert.That(jobs.Jobs.Single().Name, Is.EqualTo("smoke"));
    }

    [Test]
    public async Task Return_run_details_names_the_run_before_it_is_visible()
    {
        using var body = new JsonObject { ["ref"] = "v2026.11.1", ["return_run_details"] = true }.Json();
        using var answer = await _client.PostAsync("actions/workflows/post-deploy-smoke.yml/dispatches", body);
        Assert.That(answer.StatusCode, Is.EqualTo(HttpStatusCode.OK));
        var id = (long)(await answer.JsonAsync())["workflow_run_id"]!;
        using var early = await _client.GetAsync($"actions/runs/{id}");
        Assert.That(early.StatusCode, Is.EqualTo(HttpStatusCode.NotFound));
        _place.Clock.Advance(TimeSpan.FromSeconds(1));
        Assert.That((await _octokit.Actions.Workflows.Runs.Get("aether", "platform", id)).HeadSha, Is.EqualTo(Releases[1].Sha));
    }

    [Test]
    public async Task Logs_are_a_signed_link_elsewhere_that_takes_no_credentials_and_expires()
    {
        var run = (await RunsAsync(new WorkflowRunsRequest { HeadSha = Releases[1].Sha, Event = "push" })).WorkflowRuns[0];
        using var redirect = await _client.GetAsync($"actions/runs/{run.Id}/logs");
        Assert.That(redirect.StatusCode, Is.EqualTo(HttpStatusCode.Found));
        var link = redirect.Headers.Location!;
        Assert.That(link.Host, Is.Not.EqualTo(_github.Address.Host));

        using var withCredentials = await _client.GetAsync(link);
        Assert.That(withCredentials.StatusCode, Is.EqualTo(HttpStatusCode.BadRequest));
        using var anonymous = TestPlace.Client(link, null);
        using var zip = new ZipArchive(await anonymous.GetStreamAsync(link));
        Assert.That(zip.Entries.Select(entry => entry.FullName), Has.Some.StartsWith("verify/"));
        _place.Clock.Advance(TimeSpan.FromMinutes(2));
        using var late = await anonymous.GetAsync(link);
        Assert.That(late.StatusCode, Is.EqualTo(HttpStatusCode.Forbidden));

        var bytes = await _octokit.Actions.Workflows.Runs.GetLogs("aether", "platform", run.Id);
        Assert.That(bytes, Has.Length.GreaterThan(100), "through Octokit, which drops its credentials on the way");
    }

    [Test]
    public async Task Unchanged_answers_cost_nothing()
    {
        using var first = await _client.GetAsync("actions/runs");
        using var request = new HttpRequestMessage(HttpMethod.Get, "actions/runs");
        request.Headers.IfNoneMatch.Add(first.Headers.ETag!);
        using var second = await _client.SendAsync(request);
        Assert.That(second.StatusCode, Is.EqualTo(HttpStatusCode.NotModified));
        using var third = await _client.GetAsync("");
        static int Remaining(HttpResponseMessage answer) => int.Parse(
            answer.Headers.GetValues("X-RateLimit-Remaining").Single(), System.Globalization.CultureInfo.InvariantCulture);
        Assert.That(Remaining(third), Is.EqualTo(Remaining(first) - 1));
    }

    [Test]
    public async Task The_secondary_limit_answers_403_with_a_time()
    {
        _place.Faults.Set("github-limit", "1");
        using var limited = await _client.GetAsync("actions/runs");
        Assert.That(limited.StatusCode, Is.EqualTo(HttpStatusCode.Forbidden));
        Assert.That(limited.Headers.RetryAfter, Is.Not.Null);
        using var next = await _client.GetAsync("actions/runs");
        Assert.That(next.StatusCode, Is.EqualTo(HttpStatusCode.OK));
    }

    [Test]
    public async Task A_rerun_is_a_new_attempt_of_the_same_run_and_survives_a_restart()
    {
        var run = (await RunsAsync(new WorkflowRunsRequest { HeadSha = Releases[0].Sha, Event = "push" })).WorkflowRuns[0];
        await _octokit.Actions.Workflows.Runs.Rerun("aether", "platform", run.Id);
        await _github.DisposeAsync();
        _github = await GitHubApi.StartAsync(_place.Place, new GitHubOptions(Token, "aether/platform"), CancellationToken.None);
        _github.Publish(Releases);
        var again = await _octokit.Actions.Workflows.Runs.Get("aether", "platform", run.Id);
        Assert.That((again.RunAttempt, again.Status.StringValue), Is.EqualTo((2L, "queued")));
        _place.Clock.Advance(TimeSpan.FromSeconds(5));
        again = await _octokit.Actions.Workflows.Runs.Get("aether", "platform", run.Id);
        Assert.That(again.Conclusion!.Value.StringValue, Is.EqualTo("success"));
    }

    private Task<WorkflowRunsResponse> RunsAsync(WorkflowRunsRequest request)
    {
        return _octokit.Actions.Workflows.Runs.ListByWorkflow("aether", "platform", "ci.yaml", request);
    }

    private async Task<IReadOnlyList<WorkflowRun>> SmokeRunsAsync()
    {
        var runs = await _octokit.Actions.Workflows.Runs.ListByWorkflow(
            "aether", "platform", "post-deploy-smoke.yml", new WorkflowRunsRequest { Event = "workflow_dispatch" });
        return runs.WorkflowRuns;
    }
}
