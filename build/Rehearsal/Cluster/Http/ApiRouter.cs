using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Rehearsal.Cluster;

/// <summary>Every request comes here: token, caller, path, method; and every failure leaves as a Status.</summary>
internal sealed class ApiRouter : IDisposable
{
    private static readonly string[] HealthChecks = ["ping", "log", "etcd", "poststarthook/start-apiextensions-informers", "shutdown"];

    private readonly byte[] _token;
    private readonly TimeProvider _time;
    private readonly CancellationToken _stopping;
    private readonly Action<string> _complain;
    private readonly ObjectStore _store;
    private readonly Access _access;
    private readonly Reviews _reviews;
    private readonly Discovery _discovery;
    private readonly OpenApi _openApi = new();
    private readonly ResourceReads _reads;
    private readonly ResourceWrites _writes;
    private readonly Subresources _subresources;
    private readonly PodStreams _streams;
    private readonly BackendProxy _proxy;
    private readonly Unreliability _unreliability;

    public ApiRouter(
        string token,
        string address,
        ObjectStore store,
        ApiServerOptions options,
        TimeProvider time,
        CancellationToken stopping)
    {
        _token = Encoding.UTF8.GetBytes(token);
        _time = time;
        _stopping = stopping;
        _complain = options.Complain;
        _store = store;
        _access = new Access(store);
        _reviews = new Reviews(_access);
        _discovery = new Discovery(address);
        _reads = new ResourceReads(store, time);
        _writes = new ResourceWrites(store, time);
        _subresources = new Subresources(store, time);
        _streams = new PodStreams(store, options.Node, time);
        _proxy = new BackendProxy(store, options.Node);
        _unreliability = new Unreliability(options.Fault, time);
        Hold = new JournalHold(options.Fault, time);
    }

    public JournalHold Hold { get; }

    public static ApiException MethodNotAllowed() =>
        new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource") { EmptyDetails = true };

    public async Task HandleAsync(HttpContext context)
    {
        try
        {
            if (!IsAuthentic(context.Request))
            {
                throw new ApiException(401, "Unauthorized", "Unauthorized");
            }

            await _unreliability.ServeAsync(context, reliable => Hold.ServeAsync(reliable, DispatchAsync));
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            // Nobody is left to answer.
        }
        catch (Exception failure) when (!context.Response.HasStarted)
        {
            await Answer.FailureAsync(context, failure switch
            {
                ApiException known => known,
                BadHttpRequestException bad => new ApiException(bad.StatusCode, "BadRequest", bad.Message),
                _ => Unexpected(failure),
            });
        }
    }

    public void Dispose() => _proxy.Dispose();

    private ApiException Unexpected(Exception failure)
    {
        _complain($"The API server failed: {failure}");
        return new ApiException(500, "InternalError", $"Internal error occurred: {failure.GetType().Name}: {failure.Message}");
    }

    private async Task DispatchAsync(HttpContext context)
    {
        var segments = (context.Request.Path.Value ?? "/").Split('/', StringSplitOptions.RemoveEmptyEntries);
        switch (segments)
        {
            case ["api", "v1", _, ..]:
                await ResourceAsync(Parse(context, "", segments[2..]));
                break;
            case ["apis", var group, var version, _, ..] when ResourceCatalog.Groups.Contains((group, version)):
                await ResourceAsync(Parse(context, group, segments[3..]));
                break;
            default:
                await DocumentAsync(context, segments);
                break;
        }
    }

    // Who may not ask is not told what there is.
    private ApiRequest Parse(HttpContext context, string group, string[] rest)
    {
        try
        {
            return ApiRequest.Parse(context, group, rest);
        }
        catch (ApiException)
        {
            var (ns, path) = rest is ["namespaces", var home, _, ..] ? (home, rest[2..]) : (null, rest);
            var (name, subresource) = (path.ElementAtOrDefault(1), path.ElementAtOrDefault(2));
            var verb = VerbOf(context.Request.Method, name is not null, watches: false);
            _access.Require(Access.CallerOf(context.Request), new Attempt(verb, group, path[0], subresource, ns, name));
            throw;
        }
    }

    private bool IsAuthentic(HttpRequest request)
    {
        const string Scheme = "Bearer ";
        var header = request.Headers.Authorization.ToString();
        return header.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase)
            && CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(header[Scheme.Length..].Trim()), _token);
    }

    private async Task DocumentAsync(HttpContext context, string[] segments)
    {
        byte[]? body = null;
        var type = "application/json";
        switch (segments)
        {
            case ["apis", _, _, _, ..]:
                break;
            case ["api", _, ..] when segments[1] != "v1":
                throw ApiException.UnknownPath();
            case not [] when !HttpMethods.IsGet(context.Request.Method) && !HttpMethods.IsHead(context.Request.Method):
                throw MethodNotAllowed();
            case ["api" or "apis"]:
                var aggregated = Accept.WantsAggregatedDiscovery(context.Request);
                body = _discovery.Root(segments[0] == "api", aggregated);
                type = aggregated ? Discovery.AggregatedType : type;
                break;
            case ["api", "v1"]:
                body = _discovery.ResourceList("", "v1");
                break;
            case ["apis", var group] when Discovery.Group(group) is { } described:
                body = StoredJson.ToBytes(described);
                break;
            case ["apis", var group, var version]:
                body = _discovery.ResourceList(group, version);
                break;
            case ["version"]:
                body = _discovery.Version;
                break;
            case ["openapi", "v3"]:
                body = _openApi.Index;
                break;
            case ["openapi", "v3", .. var rest]:
                body = _openApi.Find(string.Join('/', rest));
                break;
            case ["openapi", "v2"]:
                if (!context.Request.Headers.Accept.ToString().Contains(OpenApi.Version2Accept, StringComparison.Ordinal))
                {
                    throw Accept.NotAcceptable();
                }

                body = OpenApi.EmptyVersion2;
                type = OpenApi.Version2Type;
                break;
            case ["healthz" or "livez" or "readyz", .. var check] when check.Length == 0 || HealthChecks.Contains(string.Join('/', check)):
                await HealthAsync(context, segments[0], check.Length > 0);
                return;
            case []:
                body = StoredJson.ToBytes(
                    new JsonObject { ["paths"] = new JsonArray("/api", "/apis", "/livez", "/openapi/v3", "/readyz", "/version") });
                break;
        }

        if (body is null)
        {
            await Answer.TextAsync(context, 404, "404 page not found\n");
            return;
        }

        await Answer.BytesAsync(context, 200, type, body);
    }

    private static Task HealthAsync(HttpContext context, string name, bool single)
    {
        var verbose = !single && context.Request.Query.ContainsKey("verbose");
        var text = verbose ? string.Concat(HealthChecks.Select(check => $"[+]{check} ok\n")) + $"{name} check passed\n" : "ok";
        return Answer.TextAsync(context, 200, text);
    }

    private async Task ResourceAsync(ApiRequest request)
    {
        var caller = Access.CallerOf(request.Context.Request);
        if (ResourceCatalog.Reviews.Contains(request.Type))
        {
            await _reviews.AnswerAsync(request, caller);
            return;
        }

        var method = request.Context.Request.Method;
        _access.Require(caller, AttemptOf(request, method));
        if (request.Subresource is { } subresource)
        {
            await SubresourceAsync(request, subresource, method);
            return;
        }

        await ((method, request.Name) switch
        {
            ("GET", _) when request.IsWatch => new WatchStream(_store, _time, _stopping).ServeAsync(request),
            ("GET", null) => _reads.ListAsync(request),
            ("GET", _) => _reads.GetAsync(request),
            ("POST", null) => request.Type.Namespaced && request.Namespace is null
                ? throw MethodNotAllowed()
                : _writes.CreateAsync(request),
            ("PUT", not null) => _writes.ReplaceAsync(request),
            ("PATCH", not null) => _writes.PatchAsync(request),
            ("DELETE", null) => _writes.DeleteCollectionAsync(request),
            ("DELETE", _) => _writes.DeleteAsync(request),
            _ => throw MethodNotAllowed(),
        });
    }

    private Task SubresourceAsync(ApiRequest request, string subresource, string method)
    {
        var type = request.Type;
        if (!(subresource == "status" && type.HasStatus) && type.Subresources.All(item => item.Name != subresource))
        {
            throw ApiException.UnknownPath();
        }

        return (subresource, method) switch
        {
            ("status", "GET") => _reads.GetAsync(request),
            ("status", "PUT") => _writes.ReplaceAsync(request),
            ("status", "PATCH") => _writes.PatchAsync(request),
            ("scale", "GET" or "PUT" or "PATCH") => _subresources.ScaleAsync(request, method),
            ("finalize", "PUT") => _subresources.FinalizeAsync(request),
            ("binding", "POST") => _subresources.BindAsync(request),
            ("eviction", "POST") => _subresources.EvictAsync(request),
            ("log", "GET") => _streams.LogAsync(request),
            ("exec", "GET" or "POST") => _streams.ExecAsync(request),
            ("attach", "GET" or "POST") => _streams.AttachAsync(request),
            ("portforward", _) =>
                throw ApiException.NotImplemented(
                    "port-forward; use the service proxy (kubectl get --raw …/services/NAME:PORT/proxy/) or the pod's IP, which is a "
                    + "loopback address"),
            ("token", _) => throw ApiException.NotImplemented("service account tokens"),
            ("proxy", _) => _proxy.ForwardAsync(request),
            _ => throw MethodNotAllowed(),
        };
    }

    private static string VerbOf(string method, bool named, bool watches) => method switch
    {
        "GET" or "HEAD" => watches ? "watch" : named ? "get" : "list",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => named ? "delete" : "deletecollection",
        _ => method.ToLowerInvariant(),
    };

    private static Attempt AttemptOf(ApiRequest request, string method)
    {
        var verb = VerbOf(method, request.Name is not null, request.IsWatch);
        if (request.Subresource is "exec" or "attach" or "portforward")
        {
            verb = "create";
        }

        var scope = request.Type.Name == "namespaces" && request.Type.Group.Length == 0 ? request.Name : request.Namespace;
        return new Attempt(verb, request.Type.Group, request.Type.Name, request.Subresource, scope, request.Name);
    }
}
