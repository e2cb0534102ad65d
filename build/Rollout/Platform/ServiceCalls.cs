using System.Net.Http.Headers;
using System.Net.Http.Json;
using Rollout.Monitoring;

namespace Rollout.Platform;

/// <summary>HTTP to one slot's services: without a session through the API server's proxy, with one by the route that keeps
/// headers.</summary>
internal sealed class ServiceCalls(
    string slot, string @namespace, HttpClient cluster, Secret? session, ServiceRoute? route, TimeProvider time)
{
    private const int Attempts = 3;

    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(300);

    // Not through a proxy of the environment: these addresses are this machine's or the pods'.
    private static readonly HttpClient Direct = new(new SocketsHttpHandler
    {
        AllowAutoRedirect = false,
        UseCookies = false,
        UseProxy = false,
        PooledConnectionIdleTimeout = TimeSpan.FromSeconds(5),
    });

    /// <summary>One GET through the API server's service proxy, tried again while nothing of the service answers.</summary>
    public async Task<ProxyAnswer> GetAsync(ServiceEndpoint service, string path, string? requestId, CancellationToken cancellationToken)
    {
        return await RetryAsync(
            async token =>
            {
                using var request = new HttpRequestMessage(
                    HttpMethod.Get, $"/api/v1/namespaces/{@namespace}/services/http:{service.Name}:{service.Port}/proxy{path}");
                if (requestId is not null)
                {
                    request.Headers.Add("x-request-id", requestId);
                }

                return await ProxyAnswer.SendAsync(cluster, request, Timeout, time, token);
            },
            cancellationToken);
    }

    /// <summary>
    /// A call with this slot's session. It may reach the service more than once, when an answer is lost: every call of the platform that we
    /// make says in its answer whether it had been made already.
    /// </summary>
    /// <param name="fence">Asked before each attempt; null for calls that change nothing.</param>
    /// <exception cref="RolloutException">There is no session, or no route; exit code 5: the fence refused.</exception>
    public async Task<ProxyAnswer> SendAsync(
        HttpMethod method, string service, string path, object? body, Fence? fence, CancellationToken cancellationToken)
    {
        if (session is null)
        {
            throw new RolloutException(
                $"Slot {slot} has no admin session, which '{path}' of '{service}' needs.",
                $"Log in on {slot}'s admin platform and hand the rollout the token.");
        }

        if (route is null)
        {
            throw new RolloutException(
                $"'{path}' of '{service}' in {slot} needs a session, and the API server's proxy does not carry one.",
                "Reach services by port-forward.");
        }

        return await RetryAsync(
            async token =>
            {
                var address = await route(service, token);
                await (fence?.Invoke(token) ?? Task.CompletedTask);
                using var request = new HttpRequestMessage(method, new Uri(address, path));
                request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", session.Reveal());
                request.Content = body is null ? null : JsonContent.Create(body);
                return await ProxyAnswer.SendAsync(Direct, request, Timeout, time, token);
            },
            cancellationToken);
    }

    private async Task<ProxyAnswer> RetryAsync(Func<CancellationToken, Task<ProxyAnswer>> call, CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            var answer = await call(cancellationToken);
            var passing = answer.IsPassing || answer.Code is 502 or 503 or 504;
            if (!passing || attempt == Attempts)
            {
                return answer;
            }

            await Waiting.PauseAsync(Pause, time, cancellationToken);
        }
    }
}
