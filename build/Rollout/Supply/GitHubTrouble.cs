using System.Globalization;
using System.Net.Http.Headers;
using System.Runtime.Serialization;
using Octokit;

namespace Rollout.Supply;

/// <summary>What went wrong between GitHub and us.</summary>
/// <param name="Passes">Whether it may pass by itself.</param>
/// <param name="Pause">How long GitHub wants to be left alone; null where it does not.</param>
/// <param name="MayHaveActed">Whether a request that changes something may have taken effect all the same.</param>
internal sealed record GitHubTrouble(RolloutException Error, bool Passes, TimeSpan? Pause = null, bool MayHaveActed = false)
{
    private const string InBetween =
        "Something between this machine and GitHub answers in its place, as the login of a proxy does: log in there, or set HTTPS_PROXY, or NO_PROXY for GitHub's host. Github.Api must be the address of the API, not of GitHub's pages.";

    // What GitHub asks of whom it limits without naming a time.
    private static readonly TimeSpan UnnamedPause = TimeSpan.FromMinutes(1);

    // A reset is told in whole seconds.
    private static readonly TimeSpan ShortestPause = TimeSpan.FromSeconds(1);

    /// <summary>Null for what is not GitHub's doing.</summary>
    public static GitHubTrouble? From(Exception exception, CancellationToken cancellationToken) => exception switch
    {
        ApiException api => From(api),
        InvalidDataException => Refused(exception, exception.Message, InBetween) with { MayHaveActed = true },
        HttpRequestException => Lost(exception, $"GitHub gave no answer: {exception.Message}"),
        SerializationException => Lost(exception, "GitHub's answer breaks off or is no JSON."),
        TimeoutException => Lost(exception, $"GitHub's answer did not end within {GitHubRepository.AnswerTime.TotalSeconds:0} s."),
        OperationCanceledException when !cancellationToken.IsCancellationRequested =>
            Lost(exception, $"GitHub gave no answer within {GitHubRepository.AnswerTime.TotalSeconds:0} s."),
        _ => null,
    };

    /// <summary>What a Retry-After says; null where there is none.</summary>
    /// <param name="now">The server's own clock.</param>
    public static TimeSpan? Named(string? retryAfter, DateTimeOffset now) =>
        !RetryConditionHeaderValue.TryParse(retryAfter, out var named) ? null : AtLeast(named.Delta ?? (named.Date - now) ?? TimeSpan.Zero);

    private static GitHubTrouble From(ApiException api)
    {
        var status = (int)api.StatusCode;
        var limit = api.HttpResponse?.ApiInfo?.RateLimit;
        var now = DateTimeOffset.TryParse(Header(api, "Date"), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var date) ? date : (DateTimeOffset?)null;
        var named = Named(Header(api, "Retry-After"), now ?? DateTimeOffset.MaxValue);
        if (named is null && (api is RateLimitExceededException || (status == 429 && limit is { Limit: > 0, Remaining: 0 })))
        {
            // A server that names no time would be asked in vain.
            var until = limit?.Reset.ToUniversalTime() is { } reset && reset > DateTimeOffset.UnixEpoch ? reset : (DateTimeOffset?)null;
            var pause = until is { } end && now is { } seen ? AtLeast(end - seen) : (TimeSpan?)null;
            return new(
                new RolloutException(
                    $"GitHub's limit of {limit?.Limit ?? 0} requests an hour is used up{(until is null ? string.Empty : $" until {until:u}")}.", "Give a GitHub token of its own, or wait until then.", innerException: api),
                pause is not null,
                pause);
        }

        if (api is SecondaryRateLimitExceededException or AbuseException || status == 429 || (status == 403 && named is not null))
        {
            return new(
                new RolloutException(
                    $"GitHub asks to slow down{(named is { } time ? $" for {Waiting.Words(time)}" : string.Empty)}.", "Run the same command again after that time, or give a GitHub token of its own.", innerException: api),
                true,
                named ?? UnnamedPause);
        }

        return status switch
        {
            401 => Refused(api, "GitHub refuses the token.", "Give a token that may read actions and contents of the repository."),
            407 or 511 => Refused(api, $"A proxy in between answered HTTP {status}: it wants a login.", InBetween),
            >= 500 => Lost(api, $"GitHub answered HTTP {status}.") with { Pause = named },
            _ => Refused(api, $"GitHub answered HTTP {status}: {api.Message}", null),
        };
    }

    private static string? Header(ApiException api, string header) =>
        api.HttpResponse?.Headers.FirstOrDefault(h => h.Key.Equals(header, StringComparison.OrdinalIgnoreCase)).Value;

    private static TimeSpan AtLeast(TimeSpan pause) => pause > ShortestPause ? pause : ShortestPause;

    private static GitHubTrouble Refused(Exception exception, string message, string? hint) => new(new RolloutException(message, hint, innerException: exception), false);

    private static GitHubTrouble Lost(Exception exception, string message) => new(new RolloutException(message, innerException: exception), true, MayHaveActed: true);
}
