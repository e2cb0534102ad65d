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
        _github = new GitHubRepository(_server.Address, "aether/platform", new Secret(Token), new HastyTime(deadline: 20));
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

    private static Reply Error(int status, string message) => new(status, $$"""{"message":"{{message}}"}""");
}
