using System.Net;
using Octokit;
using Polly;
using Polly.Retry;

namespace Rollout.Supply;

/// <summary>A published release of the repository. GitHub shows a draft to nobody by its tag.</summary>
/// <param name="Page">For people.</param>
public sealed record GitHubRelease(string Page, bool IsPrerelease);

/// <summary>The platform's repository on GitHub: what a tag is there, and in which words its refusals are told.</summary>
public sealed class GitHubRepository
{
    /// <summary>How long one answer may take.</summary>
    internal static readonly TimeSpan AnswerTime = TimeSpan.FromSeconds(60);

    private readonly ResiliencePipeline _retry;

    /// <param name="api"><c>https://api.github.com/</c>, or an Enterprise Server, whose <c>api/v3/</c> is added.</param>
    /// <param name="repository"><c>owner/name</c>.</param>
    /// <param name="token">Reads actions and contents; null asks as anybody, 60 times an hour.</param>
    /// <exception cref="RolloutException">The repository is not of the form owner/name.</exception>
    public GitHubRepository(Uri api, string repository, Secret? token, TimeProvider time)
    {
        if (repository.Split('/') is not [{ Length: > 0 } owner, { Length: > 0 } name])
        {
            throw new RolloutException(
                $"'{repository}' is not a GitHub repository of the form owner/name.",
                exitCode: ExitCode.BadSettings);
        }

        (Owner, Name, Token) = (owner, name, token);
        Client = new GitHubClient(new ProductHeaderValue("aether-rollout"), api);
        Client.SetRequestTimeout(AnswerTime);
        if (token is not null)
        {
            Client.Credentials = new Credentials(token.Reveal());
        }

        _retry = new ResiliencePipelineBuilder { TimeProvider = time }
            .AddRetry(new RetryStrategyOptions
            {
                MaxRetryAttempts = 4,
                BackoffType = DelayBackoffType.Exponential,
                Delay = TimeSpan.FromSeconds(1),
                UseJitter = true,
                ShouldHandle = arguments => ValueTask.FromResult(
                    arguments.Outcome.Exception is { } exception && Trouble(exception, arguments.Context.CancellationToken) is { Passes: true }),
            })
            .Build();
    }

    internal string Owner { get; }

    internal string Name { get; }

    internal Secret? Token { get; }

    internal GitHubClient Client { get; }

    /// <summary>The commit that the tag stands for on GitHub, through an annotated tag; null where there is no such tag.</summary>
    /// <exception cref="RolloutException">GitHub refuses or gives no answer.</exception>
    public Task<string?> TagCommitAsync(string tag, CancellationToken cancellationToken = default) =>
        AskAsync(async () => (await Client.Repository.Commit.Get(Owner, Name, $"tags/{tag}")).Sha, cancellationToken);

    /// <summary>The release that was published for the tag; null where there is none, or only a draft.</summary>
    /// <exception cref="RolloutException">GitHub refuses or gives no answer.</exception>
    public Task<GitHubRelease?> ReleaseAsync(string tag, CancellationToken cancellationToken = default) => AskAsync(
        async () =>
        {
            var release = await Client.Repository.Release.Get(Owner, Name, tag);
            return new GitHubRelease(release.HtmlUrl ?? $"{Owner}/{Name} {tag}", release.Prerelease);
        },
        cancellationToken);

    /// <summary>What went wrong between GitHub and us, and whether it may pass by itself; null for what is not GitHub's doing.</summary>
    internal static (RolloutException Error, bool Passes)? Trouble(Exception exception, CancellationToken cancellationToken)
    {
        (string Message, string? Hint, bool Passes)? trouble = exception switch
        {
            RateLimitExceededException limit => (
                $"GitHub's limit of {limit.Limit} requests an hour is used up until {limit.Reset.ToUniversalTime():u}.",
                "Give a GitHub token of its own, or wait until then.",
                false),
            SecondaryRateLimitExceededException or AbuseException => ("GitHub asks to slow down.", null, true),
            AuthorizationException =>
                ("GitHub refuses the token.", "Give a token that may read actions and contents of the repository.", false),
            ApiException api when (int)api.StatusCode >= 500 || api.StatusCode == HttpStatusCode.TooManyRequests =>
                ($"GitHub answered HTTP {(int)api.StatusCode}.", null, true),
            ApiException api => ($"GitHub answered HTTP {(int)api.StatusCode}: {api.Message}", null, false),
            HttpRequestException => ($"GitHub gave no answer: {exception.Message}", null, true),
            System.Runtime.Serialization.SerializationException => ("GitHub's answer breaks off or is no JSON.", null, true),
            TimeoutException => ($"GitHub's answer did not end within {AnswerTime.TotalSeconds:0} s.", null, true),
            OperationCanceledException when !cancellationToken.IsCancellationRequested =>
                ($"GitHub gave no answer within {AnswerTime.TotalSeconds:0} s.", null, true),
            _ => null,
        };
        return trouble is { } found ? (new RolloutException(found.Message, found.Hint, innerException: exception), found.Passes) : null;
    }

    /// <summary>Asks, repeats what may pass, and takes what is not there for null.</summary>
    internal async Task<T?> AskAsync<T>(Func<Task<T>> ask, CancellationToken cancellationToken)
        where T : class
    {
        try
        {
            return await _retry.ExecuteAsync(async token => await ask().WaitAsync(AnswerTime, token), cancellationToken);
        }
        catch (ApiException exception) when (exception.StatusCode is HttpStatusCode.NotFound or HttpStatusCode.UnprocessableEntity)
        {
            return null;
        }
        catch (Exception exception) when (Trouble(exception, cancellationToken) is { } trouble)
        {
            throw trouble.Error;
        }
    }
}
