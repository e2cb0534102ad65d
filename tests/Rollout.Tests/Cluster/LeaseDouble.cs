using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Microsoft.Extensions.Time.Testing;
using Rollout.Cluster;
using Rollout.Tests.Support;

namespace Rollout.Tests.Cluster;

/// <summary>What goes wrong with one request.</summary>
public enum Trouble
{
    None,

    /// <summary>The connection breaks before the server acts.</summary>
    Reset,

    /// <summary>The server acts, and the connection breaks before its answer.</summary>
    LostAnswer,

    /// <summary>The server does not act, and the connection stays open in silence.</summary>
    Hang,

    /// <summary>The server acts, and the connection stays open in silence.</summary>
    HangAfter,

    Throttled,
    ServerError,
    Unavailable,
    Forbidden,

    /// <summary>A proxy in front answers 200 with its own page.</summary>
    Page,
}

/// <summary>
/// Namespaces and the Leases in them as the API server keeps them: a write needs the version that it replaces, a creation needs its
/// namespace, names are not empty and times have six digits.
/// </summary>
internal sealed partial class LeaseDouble : HttpMessageHandler
{
    private readonly Lock _one = new();
    private int _version = 100;

    public HashSet<string> Namespaces { get; } = ["aether-rollout"];

    public JsonObject? Stored { get; private set; }

    /// <summary>Method and path of each request that arrived or was to arrive.</summary>
    public List<string> Requests { get; } = [];

    /// <summary>What goes wrong with a request, by its method.</summary>
    public Func<string, Trouble> Trouble { get; set; } = _ => Cluster.Trouble.None;

    public Action<string> OnRequest { get; set; } = _ => { };

    public int Writes => Requests.Count(r => !r.StartsWith("GET", StringComparison.Ordinal));

    /// <summary>Changes the Lease as somebody else would; null deletes it.</summary>
    public void Edit(Func<JsonObject?, JsonObject?> change)
    {
        lock (_one)
        {
            Stored = change(Stored?.DeepClone() as JsonObject);
            Stamp();
        }
    }

    public string? Annotation(string name) => Stored?["metadata"]?["annotations"]?[name]?.GetValue<string>();

    /// <summary>The first times that a method is asked for go wrong, the others do not.</summary>
    public void Fail(string method, Trouble trouble, int times)
    {
        var left = times;
        Trouble = asked => asked == method && left-- > 0 ? trouble : Cluster.Trouble.None;
    }

    /// <summary>The server's answer, with nothing in between.</summary>
    public (int Code, string Body) Answer(string method, string path, string body)
    {
        lock (_one)
        {
            var parts = path.Split('/', StringSplitOptions.RemoveEmptyEntries);
            if (method == "POST" && path == "/api/v1/namespaces")
            {
                var name = JsonNode.Parse(body)!["metadata"]!["name"]!.GetValue<string>();
                return Namespaces.Add(name)
                    ? (201, new JsonObject { ["metadata"] = new JsonObject { ["name"] = name, ["resourceVersion"] = "1" } }.ToJsonString())
                    : Failure(409, $"namespaces \"{name}\" already exists");
            }

            Assert.That(path, Does.StartWith("/apis/coordination.k8s.io/v1/namespaces/"));
            var sent = method == "GET" ? null : JsonNode.Parse(body)!.AsObject();
            if (sent is not null && Invalid(sent) is { } problem)
            {
                return Failure(422, problem);
            }

            switch (method)
            {
                case "POST" when !Namespaces.Contains(parts[4]):
                    return Failure(404, $"namespaces \"{parts[4]}\" not found");
                case "POST" when Stored is not null:
                    return Failure(409, "leases.coordination.k8s.io \"aether-rollout\" already exists");
                case "GET" or "PUT" when Stored is null:
                    return Failure(404, "leases.coordination.k8s.io \"aether-rollout\" not found");
                case "GET":
                    return (200, Stored.ToJsonString());
                case "PUT" when sent!["metadata"]!["resourceVersion"] is null:
                    return Failure(422, "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update");
                case "PUT" when sent["metadata"]!["resourceVersion"]!.GetValue<string>() != Stored["metadata"]!["resourceVersion"]!.GetValue<string>():
                    return Failure(409, "the object has been modified; please apply your changes to the latest version and try again");
            }

            Stored = sent;
            Stamp();
            return (method == "POST" ? 201 : 200, Stored!.ToJsonString());
        }
    }

    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var method = request.Method.Method;
        var body = request.Content is null ? string.Empty : await request.Content.ReadAsStringAsync(cancellationToken);
        Trouble trouble;
        lock (_one)
        {
            Requests.Add($"{method} {request.RequestUri!.AbsolutePath}");
            trouble = Trouble(method);
        }

        OnRequest(method);
        var answer = trouble is Cluster.Trouble.None or Cluster.Trouble.LostAnswer or Cluster.Trouble.HangAfter
            ? Answer(method, request.RequestUri.AbsolutePath, body)
            : default;
        switch (trouble)
        {
            case Cluster.Trouble.Reset or Cluster.Trouble.LostAnswer:
                throw new HttpRequestException("connection reset by peer");
            case Cluster.Trouble.Hang or Cluster.Trouble.HangAfter:
                // Goes on in the thread that cancels, so that no clock runs away from it.
                var never = new TaskCompletionSource();
                using (cancellationToken.Register(() => never.TrySetCanceled(cancellationToken)))
                {
                    await never.Task;
                }

                break;
            case Cluster.Trouble.Throttled:
                var busy = Message(Failure(429, "too many requests"));
                busy.Headers.RetryAfter = new System.Net.Http.Headers.RetryConditionHeaderValue(TimeSpan.FromSeconds(1));
                return busy;
            case Cluster.Trouble.ServerError:
                return Message(Failure(500, "etcdserver: request timed out"));
            case Cluster.Trouble.Unavailable:
                return Message((503, "<html>no backend</html>"));
            case Cluster.Trouble.Forbidden:
                return Message(Failure(403, "leases.coordination.k8s.io \"aether-rollout\" is forbidden: User \"ci\" cannot get resource \"leases\""));
            case Cluster.Trouble.Page:
                return Message((200, "<html>sign in</html>"));
        }

        return Message(answer);
    }

    internal static HttpResponseMessage Message((int Code, string Body) answer) =>
        new((HttpStatusCode)answer.Code) { Content = new StringContent(answer.Body, Encoding.UTF8, "application/json") };

    private static (int Code, string Body) Failure(int code, string message) =>
        (code, JsonSerializer.Serialize(new { kind = "Status", apiVersion = "v1", status = "Failure", message, code }));

    private static string? Invalid(JsonObject lease)
    {
        var spec = lease["spec"] as JsonObject;
        if (spec?["holderIdentity"] is JsonValue holder && holder.GetValue<string>().Length == 0)
        {
            return "spec.holderIdentity: Invalid value: \"\": must not be empty";
        }

        if (spec?["leaseDurationSeconds"] is JsonValue duration && duration.GetValue<int>() <= 0)
        {
            return "spec.leaseDurationSeconds: Invalid value: must be greater than 0";
        }

        return new[] { "acquireTime", "renewTime" }.Any(t => spec?[t] is JsonValue value && !MicroTime().IsMatch(value.GetValue<string>()))
            ? "parsing time: cannot parse as MicroTime"
            : null;
    }

    private void Stamp()
    {
        if (Stored is not null)
        {
            var metadata = Stored["metadata"] as JsonObject;
            if (metadata is null)
            {
                Stored["metadata"] = metadata = [];
            }

            metadata["resourceVersion"] = $"{++_version}";
        }
    }

    [GeneratedRegex(@"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")]
    private static partial Regex MicroTime();
}

/// <summary>
/// One machine's clocks over the time that passes for all: its wall clock may be set differently, it may sleep, and a process on it may
/// be stopped.
/// </summary>
internal sealed class MachineTime(FakeTimeProvider world) : TimeProvider
{
    private TimeSpan _stopped;

    /// <summary>How far the wall clock is ahead.</summary>
    public TimeSpan Skew { get; set; }

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override long GetTimestamp() => world.GetTimestamp() + _stopped.Ticks;

    public override DateTimeOffset GetUtcNow() => world.GetUtcNow() + Skew;

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) => world.CreateTimer(callback, state, dueTime, period);

    /// <summary>The machine sleeps: its wall clock goes on, the other one and all timers do not.</summary>
    public void Sleep(TimeSpan span) => Skew += span;

    /// <summary>The process is stopped (SIGSTOP) and goes on: both clocks went on, and no timer struck yet.</summary>
    public void Stop(TimeSpan span)
    {
        Skew += span;
        _stopped += span;
    }
}

/// <summary>A run on a machine of its own.</summary>
internal sealed class Contender : IAsyncDisposable
{
    private readonly HttpClient _http;

    public Contender(HttpMessageHandler wire, FakeTimeProvider world, string name, TimeSpan duration, ProcDouble? proc = null)
    {
        OwnsProc = proc is null;
        Proc = proc ?? new ProcDouble();
        Time = new MachineTime(world);
        _http = new HttpClient(wire, disposeHandler: false) { BaseAddress = new Uri("http://cluster/"), Timeout = Timeout.InfiniteTimeSpan };
        Lock = new RolloutLock(_http, "aether-rollout", $"{name}@host", $"run-{name}", duration, Time, Progress, Proc.Root);
    }

    public ProcDouble Proc { get; }

    public MachineTime Time { get; }

    public Reports Progress { get; } = new();

    public RolloutLock Lock { get; }

    private bool OwnsProc { get; }

    public async ValueTask DisposeAsync()
    {
        await Lock.DisposeAsync();
        _http.Dispose();
        if (OwnsProc)
        {
            Proc.Dispose();
        }
    }
}

/// <summary>
/// A clock that is advanced must not run away from the code under test: what a strike sets off goes on partly in the thread pool, as after
/// a pause that was cancelled.
/// </summary>
internal static class Settling
{
    private static readonly TimeSpan Longest = TimeSpan.FromMilliseconds(50);
    private static int _others = int.MaxValue;

    /// <summary>Returns when the thread pool has nothing to do but this.</summary>
    public static async Task SettleAsync()
    {
        var start = TimeProvider.System.GetTimestamp();
        do
        {
            await Task.Yield();
            var others = Busy() - 1;

            // The test platform keeps a thread or two for itself, always the same number.
            _others = Math.Min(_others, others);
            if (ThreadPool.PendingWorkItemCount == 0 && others == _others)
            {
                return;
            }
        }
        while (TimeProvider.System.GetElapsedTime(start) < Longest);
        _others++;
    }

    private static int Busy()
    {
        ThreadPool.GetMaxThreads(out var most, out _);
        ThreadPool.GetAvailableThreads(out var available, out _);
        return most - available;
    }
}
