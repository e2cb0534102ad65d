using System.Globalization;
using Microsoft.AspNetCore.Http;

namespace Rehearsal.Cluster;

/// <summary>
/// Fault <c>cluster-unreliable</c>: requests fail at a rate and in ways that a seeded generator draws, each of which clients of a real
/// API server meet: it is busy, restarts, loses its store or its network, or is not heard. The world's own requests are spared.
/// </summary>
internal sealed class Unreliability(Func<string, string?> fault, TimeProvider time)
{
    private const string Name = "cluster-unreliable";

    private static readonly TimeSpan HangTime = TimeSpan.FromSeconds(15);

    // A hang costs a client the more time, and a real one is the rarer.
    private static readonly (Failure Failure, int Weight)[] Ways =
    [
        (Failure.Conflict, 4),
        (Failure.Busy, 4),
        (Failure.Error, 4),
        (Failure.Unavailable, 4),
        (Failure.Reset, 4),
        (Failure.LostAnswer, 4),
        (Failure.Hang, 1),
    ];

    private readonly Lock _lock = new();
    private string? _setting;
    private Random? _random;
    private double _rate;
    private string _spared = "";

    private enum Failure
    {
        Conflict,
        Busy,
        Error,
        Unavailable,
        Reset,
        LostAnswer,
        Hang,
    }

    public async Task ServeAsync(HttpContext context, Func<HttpContext, Task> serve)
    {
        var written = WrittenBy(context);
        switch (Draw(context.Request, written is not null))
        {
            case null:
                await serve(context);
                break;
            case Failure.Conflict:
                throw ApiException.Modified(written!.Type.Group, written.Type.Name, written.Name ?? "");
            case Failure.Busy:
                throw new ApiException(429, "TooManyRequests", "Too many requests, please try again later.") { RetryAfterSeconds = 1 };
            case Failure.Error:
                throw new ApiException(500, null, "etcdserver: request timed out");
            case Failure.Unavailable:
                throw new ApiException(503, "ServiceUnavailable", "the server is currently unable to handle the request");
            case Failure.Reset:
                context.Abort();
                break;
            case Failure.LostAnswer:
                await LoseAnswerAsync(context, serve);
                break;
            case Failure.Hang:
                await Task.Delay(HangTime, time, context.RequestAborted);
                context.Abort();
                break;
        }
    }

    private static async Task LoseAnswerAsync(HttpContext context, Func<HttpContext, Task> serve)
    {
        context.Response.Body = Stream.Null;
        try
        {
            await serve(context);
        }
        catch (ApiException)
        {
            // A refusal is an answer too, and is lost as any other.
        }

        context.Abort();
    }

    // The object that a request writes; null for what only reads, and for what a pod or an access review answers.
    private static ApiRequest? WrittenBy(HttpContext context)
    {
        var method = context.Request.Method;
        if (HttpMethods.IsGet(method) || HttpMethods.IsHead(method) || ApiRequest.Find(context) is not { } request)
        {
            return null;
        }

        return request.Subresource is null or "status" or "scale" or "finalize" && !ResourceCatalog.Reviews.Contains(request.Type)
            ? request
            : null;
    }

    private Failure? Draw(HttpRequest request, bool writes)
    {
        var agent = request.Headers.UserAgent.ToString();
        if (fault(Name) is not { } setting || agent.StartsWith(ApiServer.OwnAgent, StringComparison.Ordinal))
        {
            return null;
        }

        lock (_lock)
        {
            if (!ReferenceEquals(setting, _setting))
            {
                Begin(setting);
            }

            if (_random is null || (_spared.Length > 0 && agent.StartsWith(_spared, StringComparison.Ordinal))
                || _random.NextDouble() >= _rate)
            {
                return null;
            }

            var ways = Ways.Where(way => writes || way.Failure is not (Failure.Conflict or Failure.LostAnswer)).ToList();
            var drawn = _random.Next(ways.Sum(way => way.Weight));
            foreach (var (failure, weight) in ways)
            {
                drawn -= weight;
                if (drawn < 0)
                {
                    return failure;
                }
            }

            return null;
        }
    }

    private void Begin(string setting)
    {
        _setting = setting;
        var parts = setting.Split(':', 3);
        var isSet = int.TryParse(parts[0], CultureInfo.InvariantCulture, out var seed);
        _rate = 0;
        isSet &= parts.Length > 1 && double.TryParse(parts[1], CultureInfo.InvariantCulture, out _rate);
        _random = isSet ? new Random(seed) : null;
        _spared = parts.Length > 2 ? parts[2] : "";
    }
}
