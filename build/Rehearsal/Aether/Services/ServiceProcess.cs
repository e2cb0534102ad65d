using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Extensions;
using Rehearsal.Aether.Http;
using Rehearsal.Aether.Metrics;

namespace Rehearsal.Aether.Services;

/// <summary>The process around a service: start-up, its listeners, and what every request passes on its way in and out.</summary>
internal sealed class ServiceProcess
{
    private static readonly TimeSpan NeverReadyPoll = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan UvicornTick = TimeSpan.FromMilliseconds(100);

    private readonly Workload _workload;
    private readonly AetherService _service;
    private readonly HealthReport _health;
    private readonly RouteTable _routes = new();
    private readonly Metric _requests;
    private readonly string? _traces;
    private readonly Random _random;

    public ServiceProcess(Pod pod, Workload workload)
    {
        Pod = pod;
        _workload = workload;
        _requests = pod.Metrics.Histogram(
            "http_request_duration_seconds", "Duration of HTTP requests.", MetricRegistry.Seconds, "service", "method", "status_code");
        pod.Metrics.Gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds.")
            .Set(Unix(pod.Time.GetUtcNow()));
        _service = workload.Create(pod);
        _health = new HealthReport(pod, _service);
        _traces = pod.TraceEndpoint;
        _random = new Random(StringComparer.Ordinal.GetHashCode(pod.Start.PodName));
        Address = new Uri(string.Create(CultureInfo.InvariantCulture, $"http://{pod.Start.PodIp}:{workload.Port}"));
        MapCommon();
        _service.Map(_routes);
    }

    public Pod Pod { get; }

    public Uri Address { get; }

    public static double Unix(DateTimeOffset instant) => (instant - DateTimeOffset.UnixEpoch).TotalSeconds;

    public async Task<int> RunAsync(CancellationToken stop)
    {
        try
        {
            Pod.Log($"INFO:     Started server process [1] ({_workload.Name} {Pod.Release})");
            await HoldBackAsync(stop);
            await _service.StartAsync(stop);
            await ServeAsync(stop);
            return 0;
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            Pod.Log("INFO:     Finished server process [1]");
            return 0;
        }
        catch (Exception failure) when (failure is StartupException or SocketException)
        {
            Pod.Log($"ERROR:    Application startup failed. Exiting. {failure.Message}");
            return 1;
        }
        catch (Exception failure) when (failure is not OutOfMemoryException)
        {
            Pod.Log($"Traceback: {failure}");
            return 1;
        }
        finally
        {
            (_service as IDisposable)?.Dispose();
        }
    }

    /// <summary>A request of the platform's own: the neighbours' calls, counted without a socket.</summary>
    public void Trickle()
    {
        // Two uniform draws make a rise and a tail that look like a service's latency: mostly 3–15 ms, rarely 30.
        var elapsed = TimeSpan.FromMilliseconds(2 + (_random.NextDouble() * _random.NextDouble() * 25) + (Pod.Delay ?? 0));
        var failed = _random.NextDouble() < (Pod.Amount("errors") ?? 0);
        _requests.Observe(elapsed.TotalSeconds, _workload.Name, "GET", failed ? "500" : "200");
        _service.Observe(elapsed, failed);
    }

    private static bool IsProbe(PathString path) => path == "/healthz" || path == "/readyz" || path == "/health" || path == "/metrics";

    private static bool PassesDrain(PathString path) =>
        path.StartsWithSegments("/ops/drain") || path.StartsWithSegments("/docs") || path == "/openapi.json";

    private static string? TraceParent(HttpContext context, out string? span)
    {
        var parts = context.Request.Headers.TraceParent.ToString().Split('-');
        var valid = parts.Length == 4 && parts[1].Length == 32 && parts[2].Length == 16;
        span = valid ? parts[2] : null;
        return valid ? parts[1] : null;
    }

    private static async Task WriteAsync(HttpContext context, Answer answer)
    {
        var bytes = answer.Text is { } text
            ? Encoding.UTF8.GetBytes(text)
            : JsonSerializer.SerializeToUtf8Bytes(answer.Body, Answer.Plainly);
        context.Response.StatusCode = answer.Status;
        context.Response.ContentType = answer.ContentType;
        context.Response.ContentLength = bytes.Length;
        if (!HttpMethods.IsHead(context.Request.Method))
        {
            await context.Response.Body.WriteAsync(bytes, context.RequestAborted);
        }
    }

    private async Task HoldBackAsync(CancellationToken stop)
    {
        if (Pod.Amount("slow-start") is { } milliseconds)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(milliseconds), Pod.Time, stop);
        }

        while (Pod.Struck("never-ready"))
        {
            await Task.Delay(NeverReadyPoll, Pod.Time, stop);
        }
    }

    private async Task ServeAsync(CancellationToken stop)
    {
        var ip = IPAddress.Parse(Pod.Start.PodIp);
        await using var listener = Pod.World.Hub.Bind(new IPEndPoint(ip, _workload.Port), HandleAsync);
        await using var exporter = Exporter(ip);
        Pod.Log($"INFO:     Uvicorn running on http://0.0.0.0:{_workload.Port}");
        Pod.World.Enter(this);
        using var own = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var stopped = Task.Delay(Timeout.InfiniteTimeSpan, Pod.Time, stop);
        var running = _service.RunAsync(own.Token);
        try
        {
            await await Task.WhenAny(stopped, FollowAsync());
        }
        finally
        {
            Pod.World.Leave(this);
            await own.CancelAsync();
            await running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (stop.IsCancellationRequested)
            {
                // uvicorn looks for its signal ten times a second and goes on answering until it has seen it.
                await Task.Delay(UvicornTick, Pod.Time, CancellationToken.None);
            }
        }

        // A service whose own work ends goes on answering; one whose own work fails takes the process down.
        async Task FollowAsync()
        {
            await running;
            await stopped;
        }
    }

    private HttpBinding? Exporter(IPAddress ip)
    {
        if (!int.TryParse(Pod.Env("PROMETHEUS_EXPORTER_PORT"), CultureInfo.InvariantCulture, out var port) || port == _workload.Port)
        {
            return null;
        }

        var address = IPAddress.TryParse(Pod.Env("PROMETHEUS_EXPORTER_ADDR"), out var set) && !set.Equals(IPAddress.Any) ? set : ip;
        return Pod.World.Hub.Bind(new IPEndPoint(address, port), context => WriteAsync(context, Exposition()));
    }

    // Fault api-breaks: the first path is no longer promised.
    private JsonObject Contract()
    {
        var contract = _routes.Describe(_workload.Title, Pod.Release);
        if (Pod.Struck("api-breaks") && contract["paths"] is JsonObject { Count: > 0 } paths)
        {
            paths.RemoveAt(0);
        }

        return contract;
    }

    private void MapCommon()
    {
        _routes.Get("/openapi.json", _ => Answer.Ok(Contract()), documented: false);
        var docs = $"<!DOCTYPE html><title>{_workload.Title} - Swagger UI</title>";
        _routes.Get("/docs", _ => Answer.Plain(docs, "text/html; charset=utf-8"), documented: false);
        if (_workload.Healthz)
        {
            _routes.Get("/healthz", async call => Answer.Ok((await _health.LookAsync(call.Aborted)).Body));
        }

        if (_workload.Readyz)
        {
            _routes.Get("/readyz", async call =>
            {
                var (healthy, body) = await _health.LookAsync(call.Aborted);
                return new Answer(healthy && !Pod.Struck("never-ready") ? 200 : 503, body);
            });
        }

        if (_workload.Metrics)
        {
            _routes.Get("/metrics", _ => Exposition());
        }
    }

    private Answer Exposition()
    {
        // Where nothing else tells that a service is alive, its probe asks for this page.
        if (_workload.Healthz && Pod.Struck("metrics-missing"))
        {
            throw new Refusal(404, "Not Found");
        }

        if (Pod.Amount("counter-reset") is { } seconds && Pod.Since("counter-reset") is { } since && since.TotalSeconds >= seconds)
        {
            Pod.Metrics.BeginAnew(Pod.World.Fault("counter-reset")!);
        }

        return Answer.Plain(Pod.Metrics.Expose(), "text/plain; version=0.0.4; charset=utf-8");
    }

    private async Task HandleAsync(HttpContext context)
    {
        var started = Pod.Time.GetTimestamp();
        var instant = Pod.Time.GetUtcNow();
        var requestId = context.Request.Headers["x-request-id"].ToString();
        if (requestId.Length == 0)
        {
            requestId = Guid.NewGuid().ToString();
        }

        if (_workload.Metrics || _traces is not null)
        {
            context.Response.Headers["x-request-id"] = requestId;
        }

        if (Pod.Struck("service-down"))
        {
            context.Abort();
            return;
        }

        var answer = await AnswerAsync(context);
        try
        {
            await WriteAsync(context, answer);
        }
        catch (OperationCanceledException)
        {
            // The client went away; its request still counts.
        }

        var elapsed = Pod.Time.GetElapsedTime(started);
        _requests.Observe(
            elapsed.TotalSeconds, _workload.Name, context.Request.Method, answer.Status.ToString(CultureInfo.InvariantCulture));
        if (!IsProbe(context.Request.Path))
        {
            var request = $"{context.Request.Method} {context.Request.Path} HTTP/1.1";
            Pod.Log($"INFO:     {context.Connection.RemoteIpAddress} - \"{request}\" {answer.Status}");
        }

        if (_traces is not null)
        {
            var trace = TraceParent(context, out var parent) ?? Guid.NewGuid().ToString("N");
            var url = context.Request.GetDisplayUrl();
            Pod.World.Spans.Export(
                _traces, new Span(_workload.Name, trace, parent, requestId, context.Request.Method, url, answer.Status, instant, elapsed));
        }
    }

    private async Task<Answer> AnswerAsync(HttpContext context)
    {
        try
        {
            if (_service.Draining && !PassesDrain(context.Request.Path))
            {
                throw new Refusal(503, "Service is draining and not accepting new requests.");
            }

            if (!IsProbe(context.Request.Path))
            {
                await MisbehaveAsync(context.RequestAborted);
            }

            return await _routes.InvokeAsync(context);
        }
        catch (Refusal refusal)
        {
            return new Answer(refusal.Status, new JsonObject { ["detail"] = refusal.Detail.DeepClone() });
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            return new Answer(499, null, "", "text/plain");
        }
        catch (Exception failure) when (failure is not OutOfMemoryException)
        {
            Pod.Log($"ERROR:    Exception in ASGI application: {failure.GetType().Name}: {failure.Message}");
            return new Answer(500, null, "Internal Server Error", "text/plain; charset=utf-8");
        }
    }

    private async Task MisbehaveAsync(CancellationToken ct)
    {
        if (Pod.Delay is { } milliseconds)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(milliseconds), Pod.Time, ct);
        }

        if (Pod.Amount("errors") is { } ratio && Random.Shared.NextDouble() < ratio)
        {
            throw new Refusal(500, "Injected failure.");
        }
    }
}
