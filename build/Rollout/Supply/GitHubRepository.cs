using System.Net;
using Octokit;
using Octokit.Internal;
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

    /// <summary>For so long GitHub is left alone where nothing else bounds it.</summary>
    internal static readonly TimeSpan LongestPause = TimeSpan.FromMinutes(5);

    private readonly ResiliencePipeline _retry;
    private readonly ResiliencePipeline _obey;

    /// <param name="api"><c>https://api.github.com/</c>, or an Enterprise Server, whose <c>api/v3/</c> is added.</param>
    /// <param name="repository"><c>owner/name</c>.</param>
    /// <param name="token">Reads actions and contents; null asks as anybody, 60 times an hour.</param>
    /// <param name="progress">Told when GitHub wants to be left alone for a while.</param>
    /// <exception cref="RolloutException">The repository is not of the form owner/name.</exception>
    public GitHubRepository(Uri api, string repository, Secret? token, TimeProvider time, IProgress<string> progress)
    {
        if (repository.Split('/') is not [{ Length: > 0 } owner, { Length: > 0 } name])
        {
            throw new RolloutException(
                $"'{repository}' is not a GitHub repository of the form owner/name.",
                exitCode: ExitCode.BadSettings);
        }

        (Owner, Name, Token) = (owner, name, token);
        var product = new ProductHeaderValue("aether-rollout");
        Client = new GitHubClient(new Connection(
            product,
            new GitHubClient(product, api).BaseAddress,
            new InMemoryCredentialStore(token is null ? Credentials.Anonymous : new Credentials(token.Reveal())),
            new HttpClientAdapter(() => new GitHubAnswers()),
            new SimpleJsonSerializer()))
        {
            ResponseCache = new GitHubMemory(),
        };
        Client.SetRequestTimeout(AnswerTime);
        _retry = Repeat(time, progress, trouble => trouble.Passes);
        _obey = Repeat(time, progress, trouble => trouble is { Pause: not null, MayHaveActed: false });
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
        catch (Exception exception) when (GitHubTrouble.From(exception, cancellationToken) is { } trouble)
        {
            throw trouble.Error;
        }
    }

    /// <summary>Asks, once; again only after GitHub refused because of a limit, when nothing has happened.</summary>
    internal async Task<T> ObeyAsync<T>(Func<Task<T>> ask, CancellationToken cancellationToken) => await _obey.ExecuteAsync(async _ => await ask(), cancellationToken);

    /// <summary>The line for the operator.</summary>
    internal static string Tell(TimeSpan pause, DateTimeOffset now) => $"GitHub wants to be left alone for {Waiting.Words(pause)}, until {now + pause:HH:mm:ss} UTC";

    private static ResiliencePipeline Repeat(TimeProvider time, IProgress<string> progress, Func<GitHubTrouble, bool> repeats)
    {
        static GitHubTrouble? Of<T>(Outcome<T> outcome, ResilienceContext context) =>
            outcome.Exception is { } exception ? GitHubTrouble.From(exception, context.CancellationToken) : null;

        return new ResiliencePipelineBuilder { TimeProvider = time }
            .AddRetry(new RetryStrategyOptions
            {
                MaxRetryAttempts = 4,
                BackoffType = DelayBackoffType.Exponential,
                Delay = TimeSpan.FromSeconds(1),
                UseJitter = true,
                ShouldHandle = arguments => ValueTask.FromResult(
                    Of(arguments.Outcome, arguments.Context) is { } trouble && repeats(trouble) && !(trouble.Pause > LongestPause)),
                DelayGenerator = arguments => ValueTask.FromResult(Of(arguments.Outcome, arguments.Context)?.Pause),
                OnRetry = arguments =>
                {
                    if (Of(arguments.Outcome, arguments.Context)?.Pause is { } pause)
                    {
                        progress.Report(Tell(pause, time.GetUtcNow()));
                    }

                    return ValueTask.CompletedTask;
                },
            })
            .Build();
    }
}
