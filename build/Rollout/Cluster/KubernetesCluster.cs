using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Polly;
using Polly.Retry;
using Rollout.Journal;

namespace Rollout.Cluster;

/// <summary>A Helm release's revision.</summary>
/// <param name="Status"><c>deployed</c>, <c>failed</c>, <c>pending-install</c>, …</param>
/// <param name="Begun">When helm began it, by our clock.</param>
/// <param name="Secret">The Secret that helm keeps it in.</param>
public sealed record HelmRevision(int Number, string Status, DateTimeOffset Begun, string Secret)
{
    /// <summary>The label that says what a revision applied.</summary>
    internal const string AppliedLabel = "aether.io/applied";

    /// <summary>The label that says on which machine helm was started.</summary>
    internal const string MachineLabel = "aether.io/machine";

    /// <summary>Digest of what was applied (<see cref="SlotDeployment.DigestOfAsync"/>); null for a revision that is not of this suite's making.</summary>
    public string? Applied { get; init; }

    /// <summary>The machine that helm was started on (<see cref="ProcessMark.Machine"/>); null where that is not known.</summary>
    public string? Machine { get; init; }

    /// <summary>The Secret's version, by which a change is noticed; null in a revision that was not read.</summary>
    public string? Version { get; init; }

    /// <summary>Whether helm is at work on it, or was killed while it was.</summary>
    public bool IsPending => Status.StartsWith("pending-", StringComparison.Ordinal);

    // helm hands labels on to what a person applies after us; with the number in it, such a copy does not pass for ours.
    internal static string AppliedValue(string digest, int number) => string.Create(CultureInfo.InvariantCulture, $"{digest}.{number}");

    /// <summary>Reads a revision from the Secret that helm keeps it in.</summary>
    /// <param name="ahead">How far the server's clock is ahead of ours.</param>
    internal static HelmRevision From(JsonObject secret, TimeSpan ahead)
    {
        var metadata = secret["metadata"]!;
        var labels = metadata["labels"]!;
        var number = int.Parse(labels["version"]!.GetValue<string>(), CultureInfo.InvariantCulture);
        var applied = labels[AppliedLabel]?.GetValue<string>();
        var suffix = AppliedValue(string.Empty, number);
        return new HelmRevision(
            number,
            labels["status"]!.GetValue<string>(),
            DateTimeOffset.Parse(metadata["creationTimestamp"]!.GetValue<string>(), CultureInfo.InvariantCulture) - ahead,
            metadata["name"]!.GetValue<string>())
        {
            Machine = labels[MachineLabel]?.GetValue<string>(),
            Version = metadata["resourceVersion"]?.GetValue<string>(),
            Applied = applied is not null && applied.EndsWith(suffix, StringComparison.Ordinal) ? applied[..^suffix.Length] : null,
        };
    }
}

/// <summary>
/// The cluster as the rollout reads it: one <c>kubectl proxy</c> on a Unix socket in a private directory serves the whole run, so that
/// kubectl alone holds credentials and a read costs no process. What may be repeated is asked again when the server is busy, broken or
/// silent; each attempt has its time limit, so a server that hangs ends in an error.
/// </summary>
public sealed class KubernetesCluster : IAsyncDisposable
{
    // Our end of the pipe closes when this process ends, however it ends: neither a proxy with credentials nor its directory must outlive the run.
    private const string DiesWithUs = "exec 3<&0; \"$@\" & child=$!; (cat <&3 >/dev/null; kill $child) 2>/dev/null & wait $child; ended=$?; rm -rf \"$0\"; exit $ended";

    private const string HeadAnnotation = "aether.io/head";
    private const string MergePatch = "application/merge-patch+json";
    private const int Tries = 7;
    private const int LargestBody = 64 * 1024 * 1024;
    private const int ShownText = 300;
    private static readonly TimeSpan AnswerTime = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(10);

    private readonly Process? _proxy;
    private readonly Lock _saying = new();
    private readonly StringBuilder _said = new();
    private readonly DirectoryInfo? _directory;
    private readonly SocketsHttpHandler _handler;
    private readonly HttpClient _api;
    private readonly TimeProvider _time;
    private readonly ResiliencePipeline<Reply> _retry;
    private TimeSpan _ahead;

    private KubernetesCluster(Process? proxy, DirectoryInfo? directory, SocketsHttpHandler handler, Uri address, TimeProvider time, IProgress<string> progress)
    {
        _proxy = proxy;
        _directory = directory;
        _handler = handler;
        _time = time;
        Http = new HttpClient(handler, disposeHandler: false) { BaseAddress = address, Timeout = TimeSpan.FromSeconds(30) };
        _api = new HttpClient(handler, disposeHandler: false)
        {
            BaseAddress = address,
            Timeout = Timeout.InfiniteTimeSpan,
            MaxResponseContentBufferSize = LargestBody,
        };
        _retry = new ResiliencePipelineBuilder<Reply> { TimeProvider = time }
            .AddRetry(new RetryStrategyOptions<Reply>
            {
                ShouldHandle = arguments => ValueTask.FromResult(arguments.Outcome.Result is { Again: true }),
                MaxRetryAttempts = Tries - 1,
                BackoffType = DelayBackoffType.Exponential,
                Delay = TimeSpan.FromMilliseconds(300),
                MaxDelay = TimeSpan.FromSeconds(5),
                UseJitter = true,
                DelayGenerator = arguments => ValueTask.FromResult(arguments.Outcome.Result?.Pause),
                OnRetry = arguments =>
                {
                    progress.Report($"{arguments.Outcome.Result!.Problem}; asking again in {arguments.RetryDelay.TotalSeconds:0.#} s");
                    return ValueTask.CompletedTask;
                },
            })
            .Build();
    }

    /// <summary>
    /// Speaks to the API server as it is; paths are the API's own, as <c>/api/v1/namespaces</c>. Nothing is asked again here, for behind the
    /// service and pod proxies an error is the service's own word.
    /// </summary>
    public HttpClient Http { get; }

    /// <summary>Asked before each write of an object; the journal and the lock have fences of their own. Open until a run has its lock.</summary>
    public Fence Fence { get; set; } = _ => Task.CompletedTask;

    /// <summary>Starts the proxy and asks the server for its version.</summary>
    /// <param name="kubectl">Path of kubectl.</param>
    /// <param name="kubeconfig">Null is kubectl's own default.</param>
    /// <exception cref="RolloutException">The cluster does not answer.</exception>
    public static async Task<KubernetesCluster> ConnectAsync(
        string kubectl, string? kubeconfig, string? context, TimeProvider time, IProgress<string> progress, CancellationToken cancellationToken)
    {
        var directory = Directory.CreateTempSubdirectory("aether-rollout-");
        var socket = Path.Combine(directory.FullName, "proxy.sock");
        var start = new ProcessStartInfo("/bin/sh") { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add(DiesWithUs);
        start.ArgumentList.Add(directory.FullName);
        start.ArgumentList.Add(kubectl);
        start.ArgumentList.Add("proxy");
        start.ArgumentList.Add($"--unix-socket={socket}");
        if (context is not null)
        {
            start.ArgumentList.Add($"--context={context}");
        }

        if (kubeconfig is not null)
        {
            start.Environment["KUBECONFIG"] = kubeconfig;
        }

        var proxy = Process.Start(start)!;
        var handler = new SocketsHttpHandler
        {
            PooledConnectionLifetime = TimeSpan.FromMinutes(5),
            MaxConnectionsPerServer = 64,
            ConnectCallback = async (_, token) =>
            {
                var connection = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                try
                {
                    await connection.ConnectAsync(new UnixDomainSocketEndPoint(socket), token);
                    return new NetworkStream(connection, ownsSocket: true);
                }
                catch
                {
                    connection.Dispose();
                    throw;
                }
            },
        };
        var cluster = new KubernetesCluster(proxy, directory, handler, new Uri("http://localhost/"), time, progress);
        proxy.ErrorDataReceived += (_, line) => cluster.Heard(line.Data);
        proxy.OutputDataReceived += (_, _) => { };
        proxy.BeginErrorReadLine();
        proxy.BeginOutputReadLine();
        try
        {
            // The socket's file is there before anybody listens behind it.
            await Waiting.UntilAsync(
                "kubectl proxy",
                token => ListensAsync(socket, token),
                listens => listens || proxy.HasExited,
                _ => "it does not listen yet",
                TimeSpan.FromSeconds(15),
                TimeSpan.FromMilliseconds(10),
                time,
                progress,
                cancellationToken);
            await cluster.GetAsync("/version", cancellationToken);
            return cluster;
        }
        catch (RolloutException exception)
        {
            var said = cluster.Said;
            await cluster.DisposeAsync();
            throw new RolloutException(
                $"The cluster ({(context is null ? "current context" : $"context {context}")}{(kubeconfig is null ? string.Empty : $" of {kubeconfig}")}) does not answer: {exception.Message}{(said.Length == 0 || exception.Message.Contains(said, StringComparison.Ordinal) ? string.Empty : $" ({said})")}",
                $"Try: kubectl{(context is null ? string.Empty : $" --context={context}")} version",
                ExitCode.Failed,
                exception);
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>A cluster that is spoken to at an address, without credentials; a test's.</summary>
    internal static KubernetesCluster At(Uri address, TimeProvider time, IProgress<string> progress) =>
        new(null, null, new SocketsHttpHandler(), address, time, progress);

    /// <summary>Reads one object or list; null where it does not exist.</summary>
    /// <exception cref="RolloutException">
    /// The server refused, or gave no usable answer in all tries; status, reason and message are in the text.
    /// </exception>
    public async Task<JsonNode?> GetAsync(string path, CancellationToken cancellationToken)
    {
        var reply = await _retry.ExecuteAsync(async token => await AttemptAsync(HttpMethod.Get, path, null, null, token), cancellationToken);
        return reply.Code == HttpStatusCode.NotFound ? null : Accept(reply).Body;
    }

    /// <summary>The items of a list; empty where the resource does not exist.</summary>
    public async Task<IReadOnlyList<JsonObject>> ListAsync(string path, CancellationToken cancellationToken)
    {
        var list = await GetAsync(path, cancellationToken);
        return list switch
        {
            null => [],
            JsonObject { } found when found["items"] is JsonArray items => [.. items.OfType<JsonObject>()],
            JsonObject { } found when found.ContainsKey("items") && found["items"] is null => [],
            _ => throw new RolloutException($"The cluster answered GET {path} with {Shape(list)}, which is no list."),
        };
    }

    /// <summary>Creates an object, or replaces the one that is there with the same name; safe to repeat, and repeated when in doubt.</summary>
    public async Task ApplyAsync(string collection, JsonObject value, CancellationToken cancellationToken)
    {
        var name = value["metadata"]!["name"]!.GetValue<string>();
        Accept(await _retry.ExecuteAsync(
            async token =>
            {
                await Fence(token);
                var created = await AttemptAsync(HttpMethod.Post, collection, value, "application/json", token);
                if (created.Code != HttpStatusCode.Conflict)
                {
                    return created;
                }

                // Changed or deleted at this very moment: the whole once more.
                var patched = await AttemptAsync(HttpMethod.Patch, $"{collection}/{name}", value, MergePatch, token);
                return patched.Code is HttpStatusCode.Conflict or HttpStatusCode.NotFound ? patched with { Again = true } : patched;
            },
            cancellationToken));
    }

    /// <summary>Deletes an object; one that is gone already is fine.</summary>
    public async Task DeleteAsync(string path, CancellationToken cancellationToken)
    {
        var reply = await _retry.ExecuteAsync(
            async token =>
            {
                await Fence(token);
                var deleted = await AttemptAsync(HttpMethod.Delete, path, null, null, token);
                return deleted.Code == HttpStatusCode.Conflict ? deleted with { Again = true } : deleted;
            },
            cancellationToken);
        if (reply.Code != HttpStatusCode.NotFound)
        {
            Accept(reply);
        }
    }

    /// <summary>Deletes an object if nobody wrote it since <paramref name="version"/>; false when somebody did.</summary>
    public async Task<bool> DeleteUnchangedAsync(string path, string version, CancellationToken cancellationToken)
    {
        var options = new JsonObject
        {
            ["apiVersion"] = "v1",
            ["kind"] = "DeleteOptions",
            ["preconditions"] = new JsonObject { ["resourceVersion"] = version },
        };
        var reply = await _retry.ExecuteAsync(
            async token =>
            {
                await Fence(token);
                return await AttemptAsync(HttpMethod.Delete, path, options, "application/json", token);
            },
            cancellationToken);
        return reply.Code switch
        {
            HttpStatusCode.Conflict => false,
            HttpStatusCode.NotFound => true,
            _ => Accept(reply).Problem is null,
        };
    }

    /// <summary>The load balancer address of a Service; null while it has none.</summary>
    /// <param name="service"><c>NAMESPACE/NAME</c>.</param>
    public async Task<IReadOnlyList<string>> LoadBalancerAsync(string service, CancellationToken cancellationToken)
    {
        var (@namespace, name) = (service[..service.IndexOf('/', StringComparison.Ordinal)], service[(service.IndexOf('/', StringComparison.Ordinal) + 1)..]);
        var found = await GetAsync($"/api/v1/namespaces/{@namespace}/services/{name}", cancellationToken);
        return [.. (found?["status"]?["loadBalancer"]?["ingress"] as JsonArray ?? [])
            .Select(entry => (entry?["ip"] ?? entry?["hostname"])?.GetValue<string>())
            .OfType<string>()];
    }

    /// <summary>The newest revision of a Helm release, by the Secret that helm keeps it in; null where there is none.</summary>
    public async Task<HelmRevision?> HelmRevisionAsync(string @namespace, string release, CancellationToken cancellationToken) =>
        (await ListAsync($"/api/v1/namespaces/{@namespace}/secrets?labelSelector=owner%3Dhelm%2Cname%3D{release}", cancellationToken))
            .Select(s => HelmRevision.From(s, _ahead))
            .MaxBy(r => r.Number);

    /// <summary>Reads a release's journal: the ConfigMap <c>rollout-RELEASE</c>.</summary>
    public async Task<StoredJournal> ReadJournalAsync(string @namespace, string release, CancellationToken cancellationToken)
    {
        var found = await GetAsync($"/api/v1/namespaces/{@namespace}/configmaps/{JournalName(release)}", cancellationToken);
        return found is null
            ? new StoredJournal(string.Empty, null)
            : new StoredJournal(
                found["data"]?["journal.jsonl"]?.GetValue<string>() ?? string.Empty,
                found["metadata"]!["resourceVersion"]!.GetValue<string>(),
                found["metadata"]!["annotations"]?[HeadAnnotation]?.GetValue<string>());
    }

    /// <summary>
    /// Writes a release's journal if nobody wrote since <paramref name="version"/>; null when somebody did. Tried once: whether a write whose
    /// answer was lost took effect is for the journal to find out, which knows what it wrote.
    /// </summary>
    /// <exception cref="RolloutException">Anything but success and a conflict; the write may have taken effect.</exception>
    public async Task<string?> WriteJournalAsync(string @namespace, string release, string text, string? version, CancellationToken cancellationToken)
    {
        var collection = $"/api/v1/namespaces/{@namespace}/configmaps";
        var map = new JsonObject
        {
            ["apiVersion"] = "v1",
            ["kind"] = "ConfigMap",
            ["metadata"] = new JsonObject
            {
                ["name"] = JournalName(release),
                ["namespace"] = @namespace,
                ["labels"] = new JsonObject { ["app.kubernetes.io/managed-by"] = "aether-rollout" },
                ["annotations"] = new JsonObject { ["aether.io/release"] = release, [HeadAnnotation] = RolloutJournal.HeadOf(text) },
            },
            ["data"] = new JsonObject { ["journal.jsonl"] = text },
        };
        if (version is not null)
        {
            map["metadata"]!["resourceVersion"] = version;
        }

        var reply = version is null
            ? await AttemptAsync(HttpMethod.Post, collection, map, "application/json", cancellationToken)
            : await AttemptAsync(HttpMethod.Put, $"{collection}/{JournalName(release)}", map, "application/json", cancellationToken);
        return reply.Code == HttpStatusCode.Conflict
            ? null
            : Accept(reply).Body?["metadata"]?["resourceVersion"]?.GetValue<string>()
                ?? throw new RolloutException($"The cluster took the journal of {release} and named no resourceVersion.", "The same command resumes.");
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        _api.Dispose();
        _handler.Dispose();
        if (_proxy is not null)
        {
            if (!_proxy.HasExited)
            {
                _proxy.Kill(entireProcessTree: true);
                await _proxy.WaitForExitAsync();
            }

            _proxy.Dispose();
        }

        if (_directory is { } directory && Directory.Exists(directory.FullName))
        {
            directory.Delete(recursive: true);
        }
    }

    /// <summary>The end of what kubectl proxy has said.</summary>
    private string Said
    {
        get
        {
            lock (_saying)
            {
                return _said.ToString().Trim();
            }
        }
    }

    private static async Task<bool> ListensAsync(string socket, CancellationToken cancellationToken)
    {
        using var connection = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await connection.ConnectAsync(new UnixDomainSocketEndPoint(socket), cancellationToken);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    // Names of ConfigMaps are lower case; a tag may not be.
    private static string JournalName(string release) => "rollout-" + release.ToLowerInvariant().Replace('_', '-');

    private static Reply Accept(Reply reply) => reply.Problem is null
        ? reply
        : throw new RolloutException(reply.Problem, reply.Code is null or >= HttpStatusCode.InternalServerError ? "The same command resumes." : null, ExitCode.Failed, reply.Cause);

    /// <summary>One request and its whole answer, bounded in time.</summary>
    private async Task<Reply> AttemptAsync(HttpMethod method, string path, JsonObject? body, string? type, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(method, new Uri(path, UriKind.Relative));
        if (body is not null)
        {
            request.Content = new StringContent(body.ToJsonString(), Encoding.UTF8);
            request.Content.Headers.ContentType = new MediaTypeHeaderValue(type!);
        }

        request.Headers.Accept.ParseAdd("application/json");
        using var clock = new CancellationTokenSource(AnswerTime, _time);
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(clock.Token, cancellationToken);
        try
        {
            using var response = await _api.SendAsync(request, deadline.Token);
            return Judge(response, await response.Content.ReadAsStringAsync(deadline.Token), $"{method} {path}");
        }
        catch (HttpRequestException exception) when (exception.HttpRequestError == HttpRequestError.ConfigurationLimitExceeded)
        {
            return new Reply($"The cluster answered {method} {path} with more than {LargestBody / 1024 / 1024} MiB.") { Cause = exception };
        }
        catch (HttpRequestException exception)
        {
            return _proxy is { HasExited: true }
                ? new Reply($"The kubectl proxy that this run speaks through has ended, exit code {_proxy.ExitCode}{(Said.Length == 0 ? string.Empty : $": {Said}")}; asked was {method} {path}.") { Cause = exception }
                : new Reply($"The cluster did not answer {method} {path}: {Innermost(exception)}") { Again = true, Cause = exception };
        }
        catch (OperationCanceledException exception) when (!cancellationToken.IsCancellationRequested)
        {
            return new Reply($"The cluster did not answer {method} {path} within {AnswerTime.TotalSeconds:0} s") { Again = true, Cause = exception };
        }
    }

    private Reply Judge(HttpResponseMessage response, string text, string asked)
    {
        var code = response.StatusCode;
        if (response.Headers.Date is { } theirs)
        {
            _ahead = theirs - _time.GetUtcNow();
        }

        JsonNode? json = null;
        JsonException? malformed = null;
        try
        {
            json = JsonNode.Parse(text);
        }
        catch (JsonException exception)
        {
            malformed = exception;
        }

        if (response.IsSuccessStatusCode)
        {
            // Cut short or from something in front of the server: the next answer may be whole.
            return json is JsonObject
                ? new Reply(null) { Code = code, Body = json }
                : new Reply($"The cluster answered {(int)code} to {asked} with {Shape(response, text, json, malformed)}") { Code = code, Again = true, Cause = malformed };
        }

        var message = json is JsonObject status && status["message"] is JsonValue value && value.TryGetValue<string>(out var words) ? words : Shortened(text);
        return new Reply($"The cluster answered {(int)code} to {asked}: {message}")
        {
            Code = code,
            Again = code is HttpStatusCode.TooManyRequests or HttpStatusCode.InternalServerError or HttpStatusCode.BadGateway
                or HttpStatusCode.ServiceUnavailable or HttpStatusCode.GatewayTimeout,
            Pause = AskedPause(response),
        };
    }

    private TimeSpan? AskedPause(HttpResponseMessage response)
    {
        TimeSpan? asked = response.Headers.RetryAfter switch
        {
            { Delta: { } delta } => delta,
            { Date: { } date } => date - _time.GetUtcNow(),
            _ => null,
        };
        return asked < TimeSpan.Zero ? TimeSpan.Zero : asked > LongestPause ? LongestPause : asked;
    }

    private void Heard(string? line)
    {
        if (line is null)
        {
            return;
        }

        lock (_saying)
        {
            _said.AppendLine(line);
            if (_said.Length > 2000)
            {
                _said.Remove(0, _said.Length - 2000);
            }
        }
    }

    // A cut answer may hold half a Secret, so JSON is never quoted.
    private static string Shape(HttpResponseMessage response, string text, JsonNode? json, JsonException? malformed) =>
        malformed is null ? Shape(json)
        : text.Length == 0 ? "nothing"
        : text.TrimStart().StartsWith('{') || text.TrimStart().StartsWith('[') ? $"{text.Length} characters of JSON that break off or are malformed ({malformed.Message})"
        : $"{response.Content.Headers.ContentType?.MediaType ?? "something"} instead of JSON: {Shortened(text)}";

    private static string Shape(JsonNode? json) => json switch
    {
        null => "null",
        JsonObject found => $"an object of kind {found["kind"] ?? "unknown"}",
        _ => $"JSON that is no object but {json.GetValueKind()}",
    };

    private static string Shortened(string text) => text.Length > ShownText ? text[..ShownText] + "…" : text;

    private static string Innermost(Exception exception)
    {
        while (exception.InnerException is { } inner)
        {
            exception = inner;
        }

        return exception.Message;
    }

    /// <summary>What one request came to: a body, or a problem in words.</summary>
    private sealed record Reply(string? Problem)
    {
        public JsonNode? Body { get; init; }

        /// <summary>Null where no answer came.</summary>
        public HttpStatusCode? Code { get; init; }

        /// <summary>Whether what may be repeated is worth repeating.</summary>
        public bool Again { get; init; }

        /// <summary>How long the server asked to wait before that.</summary>
        public TimeSpan? Pause { get; init; }

        public Exception? Cause { get; init; }
    }
}
