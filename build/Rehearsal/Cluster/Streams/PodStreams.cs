using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Rehearsal.Cluster;

/// <summary>
/// <c>pods/log</c>, <c>pods/exec</c> and <c>pods/attach</c>: checks what the real server checks, then joins the client to the node.
/// </summary>
internal sealed class PodStreams(ObjectStore store, NodeStreams? node, TimeProvider time)
{
    public async Task LogAsync(ApiRequest request)
    {
        var pod = PodOf(request);
        var streams = NodeOf();
        var container = ContainerOf(pod, request);
        RequireHost(pod, request);
        var previous = request["previous"] is "true" or "1";
        var follow = request["follow"] is "true" or "1";
        RequireLog(pod, request.Name!, container, previous);
        var log = await streams.Logs(new PodLogRequest(request.Namespace!, request.Name!, container, previous, follow), request.Aborted)
            ?? throw ApiException.BadRequest(previous
                ? $"previous terminated container \"{container}\" in pod \"{request.Name}\" not found"
                : $"container \"{container}\" in pod \"{request.Name}\" is not available");
        var response = request.Context.Response;
        response.StatusCode = 200;
        response.ContentType = "text/plain";
        var limit = request.Number("limitBytes") ?? long.MaxValue;
        var stamps = request["timestamps"] is "true" or "1";
        limit = await WriteAsync(response, Selected(log.Written, request), stamps, limit, request.Aborted);
        await response.Body.FlushAsync(request.Aborted);
        if (!follow || log.Later is null)
        {
            return;
        }

        await foreach (var line in log.Later.WithCancellation(request.Aborted))
        {
            limit = await WriteAsync(response, [line], stamps, limit, request.Aborted);
            await response.Body.FlushAsync(request.Aborted);
            if (limit <= 0)
            {
                return;
            }
        }
    }

    public async Task ExecAsync(ApiRequest request)
    {
        var pod = PodOf(request);
        var streams = NodeOf();
        RequireHost(pod, request);
        var phase = pod.At("status").Text("phase");
        if (phase is "Succeeded" or "Failed")
        {
            throw ApiException.BadRequest($"cannot exec into a container in a completed pod; current phase is {phase}");
        }

        var container = ContainerOf(pod, request);
        var command = request.Query["command"].OfType<string>().ToList();
        if (command.Count == 0)
        {
            throw ApiException.BadRequest("you must specify at least 1 command for the container");
        }

        await using var session = await ChannelSession.AcceptAsync(request);
        await session.RunAsync(
            (input, output, error, sizes, cancellation) => streams.Exec(
                new PodExecRequest(request.Namespace!, request.Name!, container, command, input, output, error, session.Tty, sizes),
                cancellation),
            request.Aborted);
    }

    /// <summary>Joins the client to the output of the running container, which here is its log; input is not passed on.</summary>
    public async Task AttachAsync(ApiRequest request)
    {
        var pod = PodOf(request);
        var streams = NodeOf();
        RequireHost(pod, request);
        var container = ContainerOf(pod, request);
        await using var session = await ChannelSession.AcceptAsync(request);
        await session.RunAsync(
            async (_, output, _, _, cancellation) =>
            {
                var log = await streams.Logs(
                    new PodLogRequest(request.Namespace!, request.Name!, container, Previous: false, Follow: true),
                    cancellation);
                if (log?.Later is { } later && output is not null)
                {
                    await foreach (var line in later.WithCancellation(cancellation))
                    {
                        await output.WriteAsync(Encoding.UTF8.GetBytes(line.Text + "\n"), cancellation);
                    }
                }

                return 0;
            },
            request.Aborted);
    }

    private static async Task<long> WriteAsync(
        HttpResponse response,
        IEnumerable<LogLine> lines,
        bool stamps,
        long limit,
        CancellationToken cancellation)
    {
        foreach (var line in lines)
        {
            if (limit <= 0)
            {
                break;
            }

            var text = stamps
                ? $"{line.Time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fffffff", CultureInfo.InvariantCulture)}00Z {line.Text}\n"
                : line.Text + "\n";
            var bytes = Encoding.UTF8.GetBytes(text);
            var count = (int)Math.Min(bytes.Length, limit);
            await response.Body.WriteAsync(bytes.AsMemory(0, count), cancellation);
            limit -= count;
        }

        return limit;
    }

    private IEnumerable<LogLine> Selected(IReadOnlyList<LogLine> lines, ApiRequest request)
    {
        DateTimeOffset? since = null;
        if (request.Number("sinceSeconds") is { } seconds)
        {
            since = time.GetUtcNow().AddSeconds(-seconds);
        }
        else if (request["sinceTime"] is { } text
            && DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var moment))
        {
            since = moment;
        }

        var chosen = since is null ? lines : lines.Where(line => line.Time >= since).ToList();
        return request.Number("tailLines") is { } tail ? chosen.Skip(Math.Max(0, chosen.Count - (int)tail)) : chosen;
    }

    private static string ContainerOf(JsonObject pod, ApiRequest request)
    {
        var spec = pod.At("spec");
        var names = spec.Objects("containers").Select(container => container.Text("name")!).ToList();
        if (request["container"] is { } asked)
        {
            return names.Contains(asked) || spec.Objects("initContainers").Any(container => container.Text("name") == asked)
                ? asked
                : throw ApiException.BadRequest($"container {asked} is not valid for pod {request.Name}");
        }

        return names.Count == 1
            ? names[0]
            : throw ApiException.BadRequest(
                $"a container name must be specified for pod {request.Name}, choose one of: [{string.Join(' ', names)}]");
    }

    private static void RequireHost(JsonObject pod, ApiRequest request)
    {
        if (pod.At("spec").Text("nodeName") is not { Length: > 0 })
        {
            throw ApiException.BadRequest($"pod {request.Name} does not have a host assigned");
        }
    }

    /// <summary>As the kubelet: a container that never ran has no log, and the refusal says why it does not run.</summary>
    private static void RequireLog(JsonObject pod, string name, string container, bool previous)
    {
        var status = pod.At("status").Objects("containerStatuses").Concat(pod.At("status").Objects("initContainerStatuses"))
            .FirstOrDefault(item => item.Text("name") == container);
        if (status is null)
        {
            throw ApiException.BadRequest($"container \"{container}\" in pod \"{name}\" is not available");
        }

        var before = status.At("lastState", "terminated");
        if (previous)
        {
            if (before is null)
            {
                throw ApiException.BadRequest($"previous terminated container \"{container}\" in pod \"{name}\" not found");
            }

            return;
        }

        if (before is null && status.At("state", "waiting") is { } waiting)
        {
            var reason = waiting.Text("reason") switch
            {
                "ErrImagePull" => "image can't be pulled",
                "ImagePullBackOff" => "trying and failing to pull image",
                var other => other,
            };
            throw ApiException.BadRequest($"container \"{container}\" in pod \"{name}\" is waiting to start: {reason}");
        }
    }

    private JsonObject PodOf(ApiRequest request) => store.Get(request.Key) ?? throw ApiException.NotFound("", "pods", request.Name!);

    private NodeStreams NodeOf() => node ?? throw ApiException.NotImplemented("logs and exec without a node");
}
