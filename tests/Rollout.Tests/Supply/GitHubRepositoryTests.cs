using Rollout.Supply;
using Rollout.Tests.Support;

namespace Rollout.Tests.Supply;

[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class GitHubRepositoryTests
{
    private const string Commit = "0123456789abcdef0123456789abcdef01234567";
    private const string Token = "github-token-1234";
    private const string Repository = "/api/v3/repos/aether/platform";

    private readonly Queue<Reply> _troubles = new();
    private readonly Reports _told = new();
    private Support.HttpDouble _server = null!;
    private GitHubRepository _github = null!;

    [SetUp]
    public async Task StartAsync()
    {
        _server = await Support.HttpDouble.StartAsync(seen => _troubles.TryDequeue(out var trouble) ? trouble : seen.Path switch
        {
            Repository + "/commits/tags/v1" => new Reply(200, $$"""{"sha":"{{Commit}}"}"""),
            Repository + "/releases/tags/v1" => new Reply(200, """{"html_url":"https://github.example/releases/v1","tag_name":"v1","draft":false,"prerelease":false}"""),
            Repository + "/releases/tags/v2" => new Reply(200, """{"html_url":"https://github.example/releases/v2","tag_name":"v2","draft":false,"prerelease":true}"""),
            _ => Error(404, "Not Found"),
        });
        _github = new GitHubRepository(_server.Address, "aether/platform", new Secret(Token), new HastyTime(deadline: 400), _told);
    }

    [TearDown]
    public async Task StopAsync() => await _server.DisposeAsync();

    [Test]
    public async Task A_tag_stands_for_its_commit_or_for_nothing()
    {
        Assert.That(await _github.TagCommitAsync("v1"), Is.EqualTo(Commit));
        Assert.That(await _github.TagCommitAsync("v0"), Is.Null);
    }

    [Test]
    public async Task A_release_is_published_a_prerelease_or_not_there()
    {
        Assert.That(await _github.ReleaseAsync("v1"), Is.EqualTo(new GitHubRelease("https://github.example/releases/v1", false)));
        Assert.That((await _github.ReleaseAsync("v2"))!.IsPrerelease, Is.True);
        Assert.That(await _github.ReleaseAsync("v0"), Is.Null);
    }

    [Test]
    public async Task Troubles_that_pass_are_waited_out()
    {
        _troubles.Enqueue(new Reply(502, "<html>Bad Gateway</html>", "text/html"));
        _troubles.Enqueue(Reply.Cut);
        _troubles.Enqueue(Error(403, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."));
        Assert.That(await _github.TagCommitAsync("v1"), Is.EqualTo(Commit));
    }

    [TestCase(403, "Retry-After", "120", "2 min 0 s, until 12:02:00 UTC")]
    [TestCase(429, "Retry-After", "Mon, 23 Nov 2026 12:00:40 GMT", "40 s, until 12:00:40 UTC")]
    [TestCase(503, "Retry-After", "9", "9 s, until 12:00:09 UTC")]
    [TestCase(403, "x-ratelimit-reset", "1795435290", "1 min 30 s, until 12:01:30 UTC")]
    [TestCase(429, "x-ratelimit-reset", "1795435200", "1 s, until 12:00:01 UTC")]
    [TestCase(429, "x-nothing", "", "1 min 0 s, until 12:01:00 UTC")]
    public async Task GitHub_is_left_alone_for_as_long_as_it_says(int status, string header, string value, string told)
    {
        _troubles.Enqueue(Limited(status, header, value));
        Assert.That(await _github.TagCommitAsync("v1"), Is.EqualTo(Commit));
        Assert.That(_told.Lines, Is.EqualTo(new[] { $"GitHub wants to be left alone for {told}" }));
        Assert.That(_server.Requests, Has.Count.EqualTo(2));
    }

    [TestCase("Retry-After", "301", "GitHub asks to slow down for 5 min 1 s.")]
    [TestCase("x-ratelimit-reset", "1795438800", "GitHub's limit of 60 requests an hour is used up until 2026-11-23 13:00:00Z.")]
    public async Task Longer_than_five_minutes_is_not_waited_but_told(string header, string value, string says)
    {
        _troubles.Enqueue(Limited(403, header, value));
        var failure = (await Assert.ThrowsAsync<RolloutException>(() => _github.TagCommitAsync("v1")))!;
        Assert.That(failure.Message, Is.EqualTo(says));
        Assert.That(failure.Hint, Does.Contain("GitHub token of its own"));
        Assert.That(_server.Requests, Has.Count.EqualTo(1));
    }

    [TestCase(200, "answers with text/html where GitHub's API answers with JSON: that is not GitHub.")]
    [TestCase(404, "answers with text/html where GitHub's API answers with JSON: that is not GitHub.")]
    [TestCase(302, "sends us on to login.proxy.example: that is not GitHub.")]
    [TestCase(511, "A proxy in between answered HTTP 511: it wants a login.")]
    public async Task A_proxys_login_is_not_taken_for_GitHubs_answer(int status, string says)
    {
        _troubles.Enqueue(new Reply(status, "<html>Log in</html>", "text/html", status == 302 ? new Dictionary<string, string> { ["Location"] = "https://login.proxy.example/" } : null));
        var failure = (await Assert.ThrowsAsync<RolloutException>(() => _github.TagCommitAsync("v1")))!;
        Assert.That(failure.Message, Does.EndWith(says));
        Assert.That(failure.Hint, Does.Contain("log in there").And.Contain("NO_PROXY").And.Contain("Github.Api"));
        Assert.That(_server.Requests, Has.Count.EqualTo(1));
    }

    [Test]
    public async Task A_repository_that_was_renamed_is_followed()
    {
        _troubles.Enqueue(new Reply(301, "{}", Headers: new Dictionary<string, string> { ["Location"] = $"{Repository}/commits/tags/v1" }));
        Assert.That(await _github.TagCommitAsync("v1"), Is.EqualTo(Commit));
    }

    [TestCase(401, "Bad credentials", "GitHub refuses the token.")]
    [TestCase(403, "API rate limit exceeded for user ID 1.", "GitHub's limit of")]
    [TestCase(403, "Resource not accessible by personal access token", "HTTP 403: Resource not accessible")]
    public async Task A_refusal_that_stays_is_told_without_the_token(int status, string message, string says)
    {
        _troubles.Enqueue(Error(status, message) with { Headers = new Dictionary<string, string> { ["x-ratelimit-remaining"] = "0", ["x-ratelimit-limit"] = "5000" } });
        var failure = (await Assert.ThrowsAsync<RolloutException>(() => _github.TagCommitAsync("v1")))!;
        Assert.That(failure.Message, Does.Contain(says));
        Assert.That(failure.ToString(), Does.Not.Contain(Token));
        Assert.That(_server.Requests, Has.Count.EqualTo(1));
    }

    [TestCase(502)]
    [TestCase(-1)]
    public async Task Trouble_that_does_not_pass_is_told(int code)
    {
        for (var i = 0; i < 20; i++)
        {
            _troubles.Enqueue(code < 0 ? Reply.Cut : new Reply(code, "<html></html>", "text/html"));
        }

        Assert.That((await Assert.ThrowsAsync<RolloutException>(() => _github.ReleaseAsync("v1")))!.Message, Does.StartWith("GitHub "));
    }

    [Test]
    public async Task Cancellation_ends_a_stalled_answer()
    {
        _troubles.Enqueue(Reply.Stall);
        using var cancelled = new CancellationTokenSource();
        var asked = _github.TagCommitAsync("v1", cancelled.Token);
        await cancelled.CancelAsync();
        await Assert.ThatAsync(() => asked, Throws.InstanceOf<OperationCanceledException>());
    }

    private static Reply Limited(int status, string header, string value) => Error(status, "API rate limit exceeded for user ID 1, or a secondary one.") with
    {
        Headers = new Dictionary<string, string>
        {
            ["Date"] = "Mon, 23 Nov 2026 12:00:00 GMT",
            ["x-ratelimit-limit"] = "60",
            ["x-ratelimit-remaining"] = header == "x-ratelimit-reset" ? "0" : "59",
            [header] = value,
        },
    };

    private static Reply Error(int status, string message) => new(status, $$"""{"message":"{{message}}"}""");
}
