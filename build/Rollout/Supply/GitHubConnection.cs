using System.Collections.Concurrent;
using System.Net;
using Octokit;
using Octokit.Caching;
using Octokit.Internal;

namespace Rollout.Supply;

/// <summary>
/// Lets nobody else's answer pass for GitHub's. Octokit takes what is no JSON for nothing at all, and nothing at all would read as "there is no run".
/// </summary>
internal sealed class GitHubAnswers() : DelegatingHandler(HttpMessageHandlerFactory.CreateDefault())
{
    /// <exception cref="InvalidDataException">The answer is for people.</exception>
    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        var response = await base.SendAsync(request, cancellationToken);
        var host = request.RequestUri!.Authority;
        if (response.Headers.Location is { } location && (int)response.StatusCode is >= 300 and < 400)
        {
            // A repository that was renamed is sent on to at the same host; Octokit follows no relative address.
            response.Headers.Location = new Uri(request.RequestUri, location);
            return response.Headers.Location.Authority == host ? response : throw Strange($"sends us on to {response.Headers.Location.Authority}");
        }

        var type = response.Content.Headers.ContentType?.MediaType;
        if ((response.IsSuccessStatusCode || response.StatusCode == HttpStatusCode.NotFound) && type?.Contains("json", StringComparison.OrdinalIgnoreCase) != true)
        {
            await response.Content.LoadIntoBufferAsync(cancellationToken);
            if (response.Content.Headers.ContentLength > 0)
            {
                throw Strange($"answers with {type ?? "something"} where GitHub's API answers with JSON");
            }
        }

        return response;

        InvalidDataException Strange(string what)
        {
            response.Dispose();
            return new InvalidDataException($"{host} {what}: that is not GitHub.");
        }
    }
}

/// <summary>
/// The last answer about each run, list of runs and list of jobs. Asked whether it has changed, GitHub counts an unchanged one against no limit.
/// Nothing else is kept: an answer from here has the headers of when it was given, and <c>Date</c> would be an old one.
/// </summary>
internal sealed class GitHubMemory : IResponseCache
{
    private readonly ConcurrentDictionary<Uri, CachedResponse.V1> _answers = new();

    public Task<CachedResponse.V1?> GetAsync(IRequest request) => Task.FromResult(_answers.GetValueOrDefault(request.Endpoint));

    public Task SetAsync(IRequest request, CachedResponse.V1 cachedResponse)
    {
        if (cachedResponse.StatusCode == HttpStatusCode.OK && request.Endpoint.OriginalString.Contains("/actions/", StringComparison.Ordinal))
        {
            _answers[request.Endpoint] = cachedResponse;
        }

        return Task.CompletedTask;
    }
}
