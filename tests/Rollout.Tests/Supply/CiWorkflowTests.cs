using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Rollout.Supply;

namespace Rollout.Tests.Supply;

[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class CiWorkflowTests
{
    private const string Commit = "0123456789abcdef0123456789abcdef01234567";
    private const string Token = "github-token-1234";
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(10);

    private readonly SkippingTime _time = new();
    private readonly Lines _progress = new();
    private readonly List<Run> _runs = [];
    private HttpDouble _server = null!;
    private CiWorkflow _ci = null!;
    private Func<HttpCall, HttpContext, Task>? _instead;
    private int _looks;

    [SetUp]
    public async Task Start()
    {
        _server = await HttpDouble.StartAsync((call, context) => (_instead ?? AnswerAsync)(call, context));
        _ci = new CiWorkflow(new GitHubRepository(_server.Address, "aether/platform", new Secret(Token), _time, _progress), _time, _progress);
    }

    [TearDown]
    public async Task Stop()
    {
        _ci.Dispose();
        await _server.DisposeAsync();
    }

    [Test]
    public async Task The_newest_run_of_the_commit_is_taken_with_its_jobs()
    {
        _runs.Add(new Run(11, 40) { Conclusion = "failure" });
        _runs.Add(new Run(12, 41) { Attempt = 3 });
        _runs.Add(new Run(13, 42) { Conclusion = "failure", HeadSha = new string('f', 40) });

        var run = await RequireAsync();

        Assert.That((run.Id, run.Attempt, run.HeadSha, run.Status, run.Conclusion), Is.EqualTo((12L, 3, Commit, "completed", "success")));
        Assert.That(run.Url, Is.EqualTo("https://github.example/aether/platform/actions/runs/12"));
        Assert.That(
            run.Jobs.Select(job => (job.Name, job.Conclusion)),
            Is.EqualTo(new[] { ("verify", "success"), ("publish", "skipped") }));
        Assert.That(
            _server.Calls.First().ToString(),
            Is.EqualTo($"GET /api/v3/repos/aether/platform/actions/workflows/ci.yaml/runs?head_sha={Commit}"));
    }

    [Test]
    public async Task A_run_under_way_is_waited_for_with_progress()
    {
        var run = new Run(12, 41);
        _runs.Add(run with { Status = "in_progress", Conclusion = null });
        _instead = (call, context) =>
        {
            if (++_looks == 5)
            {
                _runs[0] = run;
            }

            return AnswerAsync(call, context);
        };

        Assert.That((await RequireAsync()).Conclusion, Is.EqualTo("success"));
        Assert.That(_progress.All, Has.Some.EqualTo(
            "waiting for ci.yaml on 0123456789ab (10 s of 600 s): https://github.example/aether/platform/actions/runs/12 is in_progress, verify success, publish skipped"));
    }

    [Test]
    public async Task A_run_that_does_not_end_in_time_is_told()
    {
        _runs.Add(new Run(12, 41) { Status = "queued", Conclusion = null });

        Assert.That((await FailureAsync()).Message, Is.EqualTo(
            "Waited 600 s for ci.yaml on 0123456789ab; last seen: https://github.example/aether/platform/actions/runs/12 is queued, verify success, publish skipped."));
    }

    [Test]
    public async Task A_failed_run_is_told_by_url_job_and_step()
    {
        _runs.Add(new Run(12, 41) { Conclusion = "failure", VerifyConclusion = "failure", FailedStep = "Run tests" });

        var failure = await FailureAsync();

        Assert.That(failure.Message, Is.EqualTo(
            "CI is not green for 0123456789ab: https://github.example/aether/platform/actions/runs/12 (attempt 1) ended with failure; "
            + "job verify: failure at 'Run tests'."));
    }

    [Test]
    public async Task A_cancelled_run_points_at_the_concurrency_group()
    {
        _runs.Add(new Run(12, 41) { Conclusion = "cancelled", VerifyConclusion = "cancelled" });

        var failure = await FailureAsync();

        Assert.That(failure.Message, Does.EndWith("ended with cancelled; job verify: cancelled."));
        Assert.That(failure.Hint, Is.EqualTo("A newer run of the same branch cancels the older; re-run this one on GitHub."));
    }

    [Test]
    public async Task A_green_run_whose_named_job_was_skipped_is_not_green()
    {
        _runs.Add(new Run(12, 41) { VerifyConclusion = "skipped" });

        Assert.That((await FailureAsync()).Message, Does.EndWith("ended with success; job verify: skipped."));
    }

    [Test]
    public async Task A_green_run_without_the_named_job_is_not_green()
    {
        _runs.Add(new Run(12, 41) { VerifyName = "lint" });

        Assert.That((await FailureAsync()).Message, Does.EndWith("ended with success; job verify: not in this run."));
    }

    [Test]
    public async Task Every_variant_of_a_matrix_job_counts()
    {
        _runs.Add(new Run(12, 41) { VerifyName = "verify (3.12)" });

        Assert.That((await RequireAsync()).Jobs[0].Name, Is.EqualTo("verify (3.12)"));
    }

    [Test]
    public async Task A_conclusion_that_no_library_knows_is_told_as_it_is()
    {
        _runs.Add(new Run(12, 41) { Conclusion = "embargoed", VerifyConclusion = "embargoed" });

        Assert.That((await FailureAsync()).Message, Does.EndWith("ended with embargoed; job verify: embargoed."));
    }

    [Test]
    public async Task No_run_at_all_is_told()
    {
        var failure = await FailureAsync();

        Assert.That(failure.Message, Is.EqualTo($"aether/platform has no run of ci.yaml for the commit {Commit}."));
        Assert.That(failure.Hint, Does.StartWith("Push the commit"));
    }

    [Test]
    public async Task An_unknown_workflow_is_told()
    {
        _instead = (_, context) => Refuse(context, 404, "Not Found");

        Assert.That((await FailureAsync()).Message, Is.EqualTo(
            "GitHub has no workflow ci.yaml in aether/platform, or this token may not see it."));
    }

    [Test]
    public async Task A_refused_token_is_told_without_the_token()
    {
        _instead = (_, context) => Refuse(context, 401, "Bad credentials");

        var failure = await FailureAsync();

        Assert.That(failure.Message, Is.EqualTo("GitHub refuses the token."));
        Assert.That(failure.ToString(), Does.Not.Contain(Token));
    }

    [Test]
    public async Task Troubles_that_pass_are_waited_out()
    {
        _runs.Add(new Run(12, 41));
        _instead = (call, context) => ++_looks switch
        {
            1 => Refuse(context, 502, "Bad Gateway"),
            2 => Refuse(context, 403, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."),
            _ => AnswerAsync(call, context),
        };

        Assert.That((await RequireAsync()).Conclusion, Is.EqualTo("success"));
    }

    [TestCase("X-RateLimit-Reset", "1795435260", "GitHub's limit of 60 requests an hour is used up until 2026-11-23 12:01:00Z.", "1 min 0 s")]
    [TestCase("Retry-After", "301", "GitHub asks to slow down for 5 min 1 s.", "5 min 1 s")]
    public async Task The_watch_leaves_GitHub_alone_for_as_long_as_it_says(string header, string value, string says, string told)
    {
        _runs.Add(new Run(12, 41));
        _instead = (call, context) => ++_looks == 1 ? Limit(context, header, value) : AnswerAsync(call, context);

        Assert.That((await RequireAsync()).Conclusion, Is.EqualTo("success"));
        Assert.That(_progress.All, Has.Some.StartsWith($"GitHub wants to be left alone for {told}, until "));
        Assert.That(_progress.All, Has.Some.EndsWith(says.TrimEnd('.')));
        Assert.That(_server.Calls, Has.Count.EqualTo(3));
    }

    [TestCase("X-RateLimit-Reset", "1795438800", "GitHub's limit of 60 requests an hour is used up until 2026-11-23 13:00:00Z.")]
    [TestCase("Retry-After", "3600", "GitHub asks to slow down for 1 h 0 min.")]
    public async Task A_limit_that_outlasts_the_watch_is_told_at_once(string header, string value, string says)
    {
        _instead = (_, context) => Limit(context, header, value);

        Assert.That((await FailureAsync()).Message, Is.EqualTo($"{says} That is longer than the 10 min 0 s that are left of Github.Timeout."));
        Assert.That(_server.Calls, Has.Count.EqualTo(1));
    }

    [Test]
    public async Task A_page_for_people_is_neither_a_run_nor_none()
    {
        _instead = (_, context) => PageAsync(context);

        var asked = (await Assert.ThrowsAsync<RolloutException>(() => _ci.HasRunAsync(Commit, "ci.yaml", default)))!;
        Assert.That(asked.Message, Is.EqualTo($"{_server.Address.Authority} answers with text/html where GitHub's API answers with JSON: that is not GitHub."));
        Assert.That(asked.Hint, Does.Contain("proxy"));
        Assert.That((await FailureAsync()).Message, Is.EqualTo(asked.Message));
    }

    [Test]
    public async Task An_unchanged_answer_is_not_counted_against_the_limit_and_a_changed_one_is_seen()
    {
        var run = new Run(12, 41);
        _runs.Add(run with { Status = "in_progress", Conclusion = null });
        var (counted, unchanged) = (0, 0);
        _instead = async (call, context) =>
        {
            if (++_looks == 21)
            {
                _runs[0] = run;
            }

            // Runs and jobs change together here.
            var tag = $"W/\"{_runs[0].Status}\"";
            context.Response.Headers.ETag = tag;
            if (context.Request.Headers.IfNoneMatch == tag)
            {
                unchanged++;
                context.Response.StatusCode = 304;
                return;
            }

            counted++;
            await AnswerAsync(call, context);
        };

        Assert.That((await RequireAsync()).Conclusion, Is.EqualTo("success"));
        Assert.That((counted, unchanged), Is.EqualTo((4, 18)));
    }

    [TestCase("in_progress")]
    [TestCase("queued")]
    public async Task A_completed_run_is_not_judged_before_its_jobs_are(string status)
    {
        var late = new Run(12, 41) { VerifyStatus = status };
        _runs.Add(late);
        _instead = (call, context) =>
        {
            // Longer than a failed run is waited for.
            if (call.Path.EndsWith("/jobs", StringComparison.Ordinal) && ++_looks == 20)
            {
                _runs[0] = late with { VerifyStatus = "completed", Conclusion = "success" };
            }

            return AnswerAsync(call, context);
        };

        Assert.That((await RequireAsync()).Jobs[0].Conclusion, Is.EqualTo("success"));
        Assert.That(_looks, Is.EqualTo(20));
        Assert.That(_progress.All, Has.Some.EndsWith($"/runs/12 is completed, verify {status}, publish skipped"));
    }

    [Test]
    public async Task A_failed_run_whose_job_never_ends_is_told_after_a_minute()
    {
        _runs.Add(new Run(12, 41) { Conclusion = "failure", VerifyStatus = "in_progress" });

        Assert.That((await FailureAsync()).Message, Does.EndWith("ended with failure; job verify: in_progress."));
        Assert.That(_server.Calls.Count(call => call.Path.EndsWith("/jobs", StringComparison.Ordinal)), Is.EqualTo(7));
    }

    [Test]
    public async Task Progress_is_told_when_something_changes_and_every_five_minutes()
    {
        var run = new Run(12, 41) { Status = "queued", Conclusion = null };
        _runs.Add(run);
        _instead = (call, context) =>
        {
            if (call.Path.EndsWith("/jobs", StringComparison.Ordinal) && ++_looks == 3)
            {
                _runs[0] = run with { Status = "in_progress" };
            }

            return AnswerAsync(call, context);
        };

        await FailureAsync();
        Assert.That(
            _progress.All.Select(line => line[(line.IndexOf('(', StringComparison.Ordinal) + 1)..line.IndexOf(',', StringComparison.Ordinal)]),
            Is.EqualTo(new[]
            {
                "10 s of 600 s): https://github.example/aether/platform/actions/runs/12 is queued",
                "30 s of 600 s): https://github.example/aether/platform/actions/runs/12 is in_progress",
                "330 s of 600 s): https://github.example/aether/platform/actions/runs/12 is in_progress",
            }));
    }

    [Test]
    public async Task GitHub_that_cannot_be_reached_is_told()
    {
        using var ci = new CiWorkflow(new GitHubRepository(new Uri("http://127.0.0.1:1/"), "aether/platform", null, _time, _progress), _time, _progress);

        var failure = (await Assert.ThrowsAsync<RolloutException>(
            () => ci.RequireGreenAsync(Commit, "ci.yaml", "verify", null, TimeSpan.Zero, default)))!;

        Assert.That(failure.Message, Does.Contain("last seen: GitHub gave no answer: Connection refused"));
    }

    [Test]
    public async Task Logs_come_from_the_storage_host_which_never_sees_the_token()
    {
        await using var storage = await HttpDouble.StartAsync(
            async (_, context) => await context.Response.Body.WriteAsync("PK-zip"u8.ToArray()));
        _instead = (call, context) =>
        {
            context.Response.Redirect($"{storage.Address}logs.zip?sig=x");
            return Task.CompletedTask;
        };

        Assert.That(await _ci.LogsAsync(ARun, default), Is.EqualTo("PK-zip"u8.ToArray()));
        Assert.That(_server.Calls.Single().ToString(), Is.EqualTo("GET /api/v3/repos/aether/platform/actions/runs/12/logs"));
        Assert.That(_server.Calls.Single().Authorization, Is.EqualTo($"Bearer {Token}"));
        Assert.That(storage.Calls.Single().Authorization, Is.Empty);
    }

    [Test]
    public async Task Logs_that_are_packed_seconds_after_the_run_are_waited_for()
    {
        var asked = 0;
        _instead = (_, context) => ++asked < 4 ? Refuse(context, 404, "Not Found") : context.Response.WriteAsync("PK-zip");

        Assert.That(await _ci.LogsAsync(ARun, default), Is.EqualTo("PK-zip"u8.ToArray()));
        Assert.That(_progress.All, Is.EqualTo(new[] { $"waiting for the logs of {ARun.Url}" }));
    }

    [Test]
    public async Task Logs_are_asked_for_again_when_GitHub_says_so()
    {
        var asked = 0;
        _instead = (_, context) => ++asked == 1 ? Limit(context, "Retry-After", "60") : context.Response.WriteAsync("PK-zip");

        Assert.That(await _ci.LogsAsync(ARun, default), Is.EqualTo("PK-zip"u8.ToArray()));
        Assert.That(_progress.All, Has.Some.StartsWith("GitHub wants to be left alone for 1 min 0 s, until "));
    }

    [Test]
    public async Task A_cancelled_run_does_not_stand_for_one_that_ended()
    {
        _runs.Add(new Run(12, 41));
        _runs.Add(new Run(13, 42) { Conclusion = "cancelled", VerifyConclusion = "cancelled" });

        Assert.That((await RequireAsync()).Id, Is.EqualTo(12));
    }

    [Test]
    public async Task A_page_for_people_is_no_log()
    {
        _instead = (_, context) => context.Response.WriteAsync("<html>Log in</html>");

        Assert.That((await Assert.ThrowsAsync<RolloutException>(() => _ci.LogsAsync(ARun, default)))!.Message, Does.Contain("is no zip archive"));
    }

    [Test]
    public async Task An_answer_that_breaks_off_is_asked_for_again()
    {
        _runs.Add(new Run(12, 41));
        var asked = 0;
        _instead = (call, context) =>
        {
            context.Response.ContentType = "application/json; charset=utf-8";
            return ++asked == 1 ? context.Response.WriteAsync("{\"total_count\":1,\"workflow_runs\":[{\"id\":12,") : AnswerAsync(call, context);
        };

        Assert.That((await RequireAsync()).Id, Is.EqualTo(12));
    }

    [Test]
    public async Task A_run_that_was_started_is_watched_by_its_id_and_waited_for_until_it_shows()
    {
        _runs.Add(new Run(12, 41));
        _runs.Add(new Run(13, 42) { Conclusion = "failure" });
        var asked = 0;
        _instead = (call, context) => call.Path == "/api/v3/repos/aether/platform/actions/runs/12"
            ? ++asked < 3 ? Refuse(context, 404, "Not Found") : JsonAsync(context, _runs[0].Json)
            : AnswerAsync(call, context);

        Assert.That((await _ci.RequireGreenAsync(Commit, "ci.yaml", "verify", 12, Patience, default)).Id, Is.EqualTo(12));
    }

    [Test]
    public async Task A_started_run_of_another_commit_is_refused()
    {
        var other = new Run(12, 41) { HeadSha = new string('f', 40) };
        _instead = (_, context) => JsonAsync(context, other.Json);

        var failure = (await Assert.ThrowsAsync<RolloutException>(() => _ci.RequireGreenAsync(Commit, "ci.yaml", "verify", 12, Patience, default)))!;
        Assert.That(failure.Message, Does.Contain("runs on ffffffffffff, not on the release's commit 0123456789ab"));
    }

    [Test]
    public async Task Logs_without_an_end_are_cut_off()
    {
        _instead = async (_, context) =>
        {
            var block = new byte[1024 * 1024];
            for (var i = 0; i < 80 && !context.RequestAborted.IsCancellationRequested; i++)
            {
                await context.Response.Body.WriteAsync(block, context.RequestAborted);
            }
        };

        var failure = (await Assert.ThrowsAsync<RolloutException>(() => _ci.LogsAsync(ARun, default)))!;
        Assert.That(failure.Message, Is.EqualTo($"The logs of {ARun.Url} are larger than 64 MiB."));
    }

    [TestCase(404, "are gone, or this token may not read them (HTTP 404).")]
    [TestCase(410, "are gone, or this token may not read them (HTTP 410).")]
    [TestCase(500, "could not be fetched: 127.0.0.1 answered HTTP 500.")]
    public async Task Logs_that_are_not_given_are_told(int status, string words)
    {
        _instead = (_, context) => Refuse(context, status, "no");

        var failure = (await Assert.ThrowsAsync<RolloutException>(() => _ci.LogsAsync(ARun, default)))!;
        Assert.That(failure.Message, Is.EqualTo($"The logs of {ARun.Url} {words}"));
    }

    [Test]
    public async Task Logs_are_not_fetched_without_HTTPS()
    {
        _instead = (_, context) =>
        {
            context.Response.Redirect("http://storage.example.com/logs.zip");
            return Task.CompletedTask;
        };

        var failure = (await Assert.ThrowsAsync<RolloutException>(() => _ci.LogsAsync(ARun, default)))!;
        Assert.That(failure.Message, Does.EndWith("are offered at storage.example.com without HTTPS; they were not fetched."));
    }

    [Test]
    public async Task Cancellation_ends_the_wait()
    {
        using var stop = new CancellationTokenSource();
        _runs.Add(new Run(12, 41) { Status = "in_progress", Conclusion = null });
        _instead = (call, context) =>
        {
            stop.Cancel();
            return AnswerAsync(call, context);
        };

        await Assert.ThatAsync(
            () => _ci.RequireGreenAsync(Commit, "ci.yaml", "verify", null, Patience, stop.Token),
            Throws.InstanceOf<OperationCanceledException>());
    }

    [TestCase("platform")]
    [TestCase("aether/")]
    [TestCase("a/b/c")]
    public void A_repository_is_an_owner_and_a_name(string repository)
    {
        Assert.That(
            () => new GitHubRepository(_server.Address, repository, null, _time, _progress),
            Throws.TypeOf<RolloutException>().With.Message.EqualTo($"'{repository}' is not a GitHub repository of the form owner/name."));
    }

    private static CiRun ARun => new(12, 1, "https://github.example/aether/platform/actions/runs/12", Commit, "completed", "success", []);

    private Task<CiRun> RequireAsync() => _ci.RequireGreenAsync(Commit, "ci.yaml", "verify", null, Patience, default);

    private async Task<RolloutException> FailureAsync() => (await Assert.ThrowsAsync<RolloutException>(RequireAsync))!;

    private static Task Refuse(HttpContext context, int status, string message)
    {
        context.Response.StatusCode = status;
        return JsonAsync(context, new { message, documentation_url = "https://docs.example/rest" });
    }

    private static Task Limit(HttpContext context, string header, string value)
    {
        context.Response.Headers.Date = "Mon, 23 Nov 2026 12:00:00 GMT";
        context.Response.Headers["X-RateLimit-Limit"] = "60";
        context.Response.Headers["X-RateLimit-Remaining"] = header == "Retry-After" ? "59" : "0";
        context.Response.Headers[header] = value;
        return Refuse(context, 403, header == "Retry-After" ? "You have exceeded a secondary rate limit." : "API rate limit exceeded for 127.0.0.1.");
    }

    private static Task PageAsync(HttpContext context)
    {
        context.Response.ContentType = "text/html; charset=utf-8";
        return context.Response.WriteAsync("<html>Log in</html>");
    }

    private static async Task JsonAsync(HttpContext context, object body)
    {
        context.Response.ContentType = "application/json; charset=utf-8";
        await context.Response.WriteAsync(JsonSerializer.Serialize(body));
    }

    private Task AnswerAsync(HttpCall call, HttpContext context)
    {
        const string repository = "/api/v3/repos/aether/platform";
        return call.Path switch
        {
            repository + "/actions/workflows/ci.yaml/runs" =>
                JsonAsync(context, new { total_count = _runs.Count, workflow_runs = _runs.Select(run => run.Json) }),
            _ when _runs.FirstOrDefault(run => call.Path == $"{repository}/actions/runs/{run.Id}/jobs") is { } run =>
                JsonAsync(context, new { total_count = 2, jobs = run.Jobs }),
            _ => Refuse(context, 404, "Not Found"),
        };
    }

    private sealed record Run(long Id, long Number)
    {
        public string HeadSha { get; init; } = Commit;

        public int Attempt { get; init; } = 1;

        public string Status { get; init; } = "completed";

        public string? Conclusion { get; init; } = "success";

        public string VerifyName { get; init; } = "verify";

        public string VerifyConclusion { get; init; } = "success";

        public string VerifyStatus { get; init; } = "completed";

        public string? FailedStep { get; init; }

        public object Json => new
        {
            id = Id,
            run_number = Number,
            run_attempt = Attempt,
            head_sha = HeadSha,
            head_branch = "main",
            @event = "push",
            status = Status,
            conclusion = Conclusion,
            html_url = $"https://github.example/aether/platform/actions/runs/{Id}",
            created_at = "2026-11-02T08:00:00Z",
        };

        public object[] Jobs =>
        [
            new
            {
                id = 1,
                name = VerifyName,
                status = VerifyStatus,
                conclusion = VerifyStatus == "completed" ? VerifyConclusion : null,
                steps = new[]
                {
                    new { name = "Check out", status = "completed", conclusion = "success", number = 1 },
                    new
                    {
                        name = FailedStep ?? "Run tests",
                        status = "completed",
                        conclusion = FailedStep is null ? "success" : "failure",
                        number = 2,
                    },
                },
            },
            new { id = 2, name = "publish", status = "completed", conclusion = "skipped" },
        ];
    }
}
