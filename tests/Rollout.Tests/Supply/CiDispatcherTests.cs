using System.Globalization;
using System.Text.Json.Nodes;
using Rollout.Supply;
using Rollout.Tests.Support;

namespace Rollout.Tests.Supply;

/// <summary>One run is started, and it is ours that is watched.</summary>
[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class CiDispatcherTests
{
    private const string Commit = "0123456789abcdef0123456789abcdef01234567";
    private const string Correlation = "rollout-4711";
    private const string Workflow = "/api/v3/repos/aether/platform/actions/workflows/ci.yaml";

    private readonly HastyTime _time = new(deadline: 400);
    private readonly Reports _told = new();
    private readonly List<JsonObject> _runs = [];
    private Support.HttpDouble _server = null!;
    private CiDispatcher _dispatcher = null!;
    private Func<Seen, Reply> _dispatch = null!;
    private int _looksBeforeItShows;

    [SetUp]
    public async Task StartAsync()
    {
        _dispatch = seen =>
        {
            Begin(100);
            return new Reply(204);
        };
        _server = await Support.HttpDouble.StartAsync(seen => (seen.Method, seen.Path) switch
        {
            ("POST", Workflow + "/dispatches") => _dispatch(seen),
            ("GET", Workflow + "/runs") => _looksBeforeItShows-- > 0 ? List([]) : List(_runs),
            ("GET", "/api/v3/repos/aether/platform") => new Reply(200, "{}", Headers: new Dictionary<string, string> { ["Date"] = "Mon, 02 Nov 2026 08:00:00 GMT" }),
            _ => new Reply(404, """{"message":"Not Found"}"""),
        });
        _dispatcher = new CiDispatcher(new GitHubRepository(_server.Address, "aether/platform", new Secret("t"), _time, _told), _time, _told);
    }

    [TearDown]
    public async Task StopAsync() => await _server.DisposeAsync();

    [Test]
    public async Task The_id_in_GitHubs_answer_is_taken_at_its_word()
    {
        _dispatch = _ => new Reply(200, """{"workflow_run_id":4242,"run_url":"x","html_url":"y"}""");
        Assert.That(await StartRunAsync(), Is.EqualTo(4242));
        var sent = JsonNode.Parse(_server.Requests.Single().Text)!;
        Assert.That(sent.ToJsonString(), Is.EqualTo("""{"ref":"v1","inputs":{"id":"rollout-4711"},"return_run_details":true}"""));
    }

    [Test]
    public async Task A_server_that_does_not_know_the_field_is_asked_without_it()
    {
        _dispatch = seen =>
        {
            if (seen.Text.Contains("return_run_details", StringComparison.Ordinal))
            {
                return new Reply(422, """{"message":"Invalid request.\n\n\"return_run_details\" is not a permitted key."}""");
            }

            Begin(100);
            return new Reply(204);
        };
        Assert.That(await StartRunAsync(), Is.EqualTo(100));
        Assert.That(Dispatches, Is.EqualTo(2));
    }

    [Test]
    public async Task Without_an_id_ours_is_found_among_others_seconds_later()
    {
        _looksBeforeItShows = 3;
        Begin(90, title: "somebody else's");
        Begin(91, commit: new string('f', 40));
        Begin(92, created: "2026-11-02T07:00:00Z");
        Begin(93, @event: "push");
        Assert.That(await StartRunAsync(), Is.EqualTo(100));
    }

    [Test]
    public async Task Two_that_could_be_ours_are_never_chosen_between()
    {
        Begin(99, title: "by hand");
        var failure = (await Assert.ThrowsAsync<RolloutException>(() => StartRunAsync(input: null)))!;
        Assert.That(failure.Message, Does.Contain("2 runs of ci.yaml could be").And.Contain("/runs/99").And.Contain("/runs/100"));
        Assert.That(failure.Hint, Does.Contain("Github.DispatchInput"));
    }

    [TestCase(true)]
    [TestCase(false)]
    public async Task An_answer_that_is_lost_starts_nothing_twice(bool tookEffect)
    {
        _dispatch = _ =>
        {
            if (tookEffect)
            {
                Begin(100);
            }

            return Reply.Cut;
        };
        if (tookEffect)
        {
            Assert.That(await StartRunAsync(), Is.EqualTo(100));
        }
        else
        {
            var failure = (await Assert.ThrowsAsync<RolloutException>(() => StartRunAsync()))!;
            Assert.That(failure.Message, Does.Contain("It is not known whether ci.yaml was started"));
            Assert.That(failure.Hint, Does.Contain("looks for the run before it starts another"));
        }

        Assert.That(Dispatches, Is.EqualTo(1));
    }

    [Test]
    public async Task A_resumed_rollout_finds_the_run_that_was_started()
    {
        Begin(100);
        Assert.That(await _dispatcher.FindAsync(Dispatch("id"), CancellationToken.None), Is.EqualTo(100));
        _runs.Clear();
        Assert.That(await _dispatcher.FindAsync(Dispatch("id"), CancellationToken.None), Is.Null);
        Assert.That(CiDispatch.From(Dispatch("id").ToJson()), Is.EqualTo(Dispatch("id")));
    }

    [TestCase(422, "Workflow does not have 'workflow_dispatch' trigger", "does not start ci.yaml", "that trigger")]
    [TestCase(422, "No ref found for: v1", "No ref found", "on GitHub")]
    [TestCase(422, "Unexpected inputs provided: [id]", "Unexpected inputs", "Github.DispatchInput")]
    [TestCase(401, "Bad credentials", "refuses the token", "may read actions")]
    [TestCase(404, "Not Found", "has no workflow ci.yaml on the default branch", "write actions")]
    public async Task A_refusal_is_told_with_what_to_do(int status, string message, string says, string? hint)
    {
        _dispatch = _ => new Reply(status, $$"""{"message":"{{message}}"}""");
        var failure = (await _dispatcher.StartAsync(Dispatch("id"), CancellationToken.None)).Refusal!;
        Assert.That(failure.Message, Does.Contain(says));
        Assert.That(failure.Hint, hint is null ? Is.Null : Does.Contain(hint));
        Assert.That(Dispatches, Is.EqualTo(1));
    }

    [TestCase("7", "GitHub wants to be left alone for 7 s, until 12:00:07 UTC")]
    [TestCase(null, "GitHub wants to be left alone for 1 min 0 s, until 12:01:00 UTC")]
    public async Task A_limit_is_obeyed_before_the_run_is_started_once(string? retryAfter, string told)
    {
        var begin = _dispatch;
        _dispatch = seen => Dispatches == 1 ? Limited(retryAfter) : begin(seen);
        Assert.That(await StartRunAsync(), Is.EqualTo(100));
        Assert.That(Dispatches, Is.EqualTo(2));
        Assert.That(_told.Lines, Does.Contain(told));
    }

    [Test]
    public async Task A_limit_that_lasts_too_long_has_started_nothing()
    {
        _dispatch = _ => Limited("3600");
        var start = await _dispatcher.StartAsync(Dispatch("id"), CancellationToken.None);
        Assert.That(start.Refusal!.Message, Is.EqualTo("GitHub asks to slow down for 1 h 0 min."));
        Assert.That(start.Refusal.Hint, Does.Contain("after that time"));
        Assert.That(Dispatches, Is.EqualTo(1));
    }

    [Test]
    public async Task A_page_for_people_does_not_tell_that_a_run_was_started()
    {
        _dispatch = _ => new Reply(200, "<html>Log in</html>", "text/html");
        _looksBeforeItShows = int.MaxValue;
        var failure = (await Assert.ThrowsAsync<RolloutException>(() => StartRunAsync()))!;
        Assert.That(failure.Message, Does.Contain("It is not known whether ci.yaml was started").And.Contain("answers with text/html"));
        Assert.That(Dispatches, Is.EqualTo(1));
    }

    [Test]
    public async Task What_an_older_server_refuses_is_told_too()
    {
        _dispatch = seen => new Reply(422, seen.Text.Contains("return_run_details", StringComparison.Ordinal)
            ? """{"message":"\"return_run_details\" is not a permitted key."}"""
            : """{"message":"No ref found for: v1"}""");
        Assert.That((await _dispatcher.StartAsync(Dispatch("id"), CancellationToken.None)).Refusal!.Message, Does.Contain("No ref found for: v1"));
    }

    [Test]
    public async Task The_time_is_GitHubs() =>
        Assert.That(await _dispatcher.NowAsync(CancellationToken.None), Is.EqualTo(DateTimeOffset.Parse("2026-11-02T08:00:00Z", CultureInfo.InvariantCulture)));

    private int Dispatches => _server.Requests.Count(r => r.Method == "POST");

    private static Reply Limited(string? retryAfter) => new(
        403,
        """{"message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}""",
        Headers: retryAfter is null ? null : new Dictionary<string, string> { ["Retry-After"] = retryAfter });

    private static Reply List(IEnumerable<JsonObject> runs) =>
        new(200, new JsonObject { ["total_count"] = runs.Count(), ["workflow_runs"] = new JsonArray([.. runs.Select(r => r.DeepClone())]) }.ToJsonString());

    private static CiDispatch Dispatch(string? input) =>
        new("ci.yaml", "v1", Commit, Correlation, input, DateTimeOffset.Parse("2026-11-02T08:00:00Z", CultureInfo.InvariantCulture));

    private async Task<long> StartRunAsync(string? input = "id") => (await _dispatcher.StartAsync(Dispatch(input), CancellationToken.None)).Id;

    private void Begin(long id, string title = $"CI of {Correlation}", string commit = Commit, string created = "2026-11-02T08:00:01Z", string @event = "workflow_dispatch") => _runs.Add(new JsonObject
    {
        ["id"] = id,
        ["run_number"] = id,
        ["run_attempt"] = 1,
        ["display_title"] = title,
        ["head_sha"] = commit,
        ["event"] = @event,
        ["status"] = "queued",
        ["html_url"] = $"https://github.example/aether/platform/actions/runs/{id}",
        ["created_at"] = created,
    });
}
