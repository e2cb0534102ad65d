using System.Globalization;
using System.IO.Compression;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Rehearsal.World;

/// <summary>A release tag and the commit behind it.</summary>
public sealed record GitHubRelease(string Tag, string Sha, DateTimeOffset Committed);

/// <summary>What a <see cref="GitHubApi"/> is started with.</summary>
/// <param name="Token">The one token that sees the repository.</param>
/// <param name="Repository"><c>OWNER/NAME</c>.</param>
public sealed record GitHubOptions(string Token, string Repository);

/// <summary>
/// GitHub's REST API under <c>/api/v3</c> (where Octokit looks on every host but GitHub's own), as far as a rollout asks it:
/// commits, tags, releases, and Actions with the dispatch race: a dispatched run shows only a second later, and only
/// <c>return_run_details</c> tells which one it is. <c>ci.yaml</c> has no <c>workflow_dispatch</c>, as Aether's, unless <c>ci-missing</c> gives it one. Logs are a redirect to
/// another host, which refuses requests that carry credentials, as the real storage does.
/// </summary>
public sealed class GitHubApi : IAsyncDisposable
{
    private const int HourlyLimit = 5000;
    private static readonly TimeSpan LinkLifetime = TimeSpan.FromMinutes(1);

    private readonly Place _place;
    private readonly GitHubOptions _options;
    private readonly FaultCount _limit;
    private readonly string _file;
    private readonly byte[] _linkKey = RandomNumberGenerator.GetBytes(16);
    private readonly Lock _lock = new();
    private readonly List<GitHubRun> _runs = [];
    private IReadOnlyList<GitHubRelease> _releases = [];
    private long _lastRun = 18_000_000_000;
    private (long Hour, int Calls) _calls;
    private LoopbackServer? _server;
    private Uri _storage = new("about:blank");

    private GitHubApi(Place place, GitHubOptions options)
    {
        _place = place;
        _options = options;
        _limit = new FaultCount(place.Fault, "github-limit");
        _file = Path.Combine(place.Directory, "github.json");
        Address = new Uri("about:blank");
        if (StateFile.Read(_file) is JsonObject kept)
        {
            _lastRun = (long)kept["lastRun"]!;
            _runs.AddRange(kept["runs"]!.AsArray().Select(run => GitHubRun.FromJson(run!)));
        }
    }

    /// <summary>What Octokit is given as base address.</summary>
    public Uri Address { get; private set; }

    public static async Task<GitHubApi> StartAsync(Place place, GitHubOptions options, CancellationToken cancellationToken)
    {
        var github = new GitHubApi(place, options);
        var api = place.Ports.ClaimTcp("github", IPAddress.Loopback);
        var storage = place.Ports.ClaimTcp("github-storage", IPAddress.Parse("127.0.0.2"));
        github.Address = new Uri($"http://{api.LocalEndPoint}/");
        github._storage = new Uri($"http://{storage.LocalEndPoint}/");
        github._server = await LoopbackServer.StartAsync(
            [(api, _ => { }), (storage, _ => { })], github.AnswerAsync, _ => { }, cancellationToken);
        return github;
    }

    /// <summary>Tells the releases, oldest first; CI has run on the commit of each that is new.</summary>
    public void Publish(IReadOnlyList<GitHubRelease> releases)
    {
        lock (_lock)
        {
            _releases = releases;
            var ci = GitHubWorkflow.Find("ci.yaml")!;
            foreach (var release in releases.Where(release => !_runs.Exists(run => run.Sha == release.Sha)))
            {
                // The pull request's run of the same commit comes first, so that "any run of this commit" is not good enough.
                var number = _runs.Count(run => run.Workflow == ci);
                var title = $"Release {release.Tag}";
                var (branch, proposed) = ($"release/{release.Tag}", release.Committed);
                _runs.Add(new GitHubRun(
                    ++_lastRun, ci, number + 1, 1, "pull_request", branch, release.Sha, title, proposed, proposed, false));
                var pushed = release.Committed.AddMinutes(5);
                _runs.Add(new GitHubRun(++_lastRun, ci, number + 2, 1, "push", "main", release.Sha, title, pushed, pushed, false));
            }

            Save();
        }
    }

    public ValueTask DisposeAsync()
    {
        return _server?.DisposeAsync() ?? ValueTask.CompletedTask;
    }

    private async Task AnswerAsync(HttpContext context)
    {
        var segments = context.Request.Segments();
        if (segments is ["storage", "runs", var id])
        {
            await AnswerStorageAsync(context, id);
            return;
        }

        if (segments is not ["api", "v3", .. var path])
        {
            await RefuseAsync(context, 404, "Not Found");
            return;
        }

        var spent = Count(context);
        if (context.Request.Headers.Authorization.Count > 0 && !context.Request.HasToken(_options.Token))
        {
            await RefuseAsync(context, 401, "Bad credentials");
            return;
        }

        if (_limit.IsWithin())
        {
            context.Response.Headers.RetryAfter = "1";
            await RefuseAsync(context, 403, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.");
            return;
        }

        if (spent > HourlyLimit)
        {
            await RefuseAsync(context, 403, "API rate limit exceeded for user ID 1.");
            return;
        }

        var repository = _options.Repository.Split('/');

        // The repository is private: without credentials it does not exist.
        if (path is not ["repos", var owner, var name, .. var rest]
            || !string.Equals(owner, repository[0], StringComparison.OrdinalIgnoreCase)
            || !string.Equals(name, repository[1], StringComparison.OrdinalIgnoreCase)
            || !context.Request.HasToken(_options.Token))
        {
            await RefuseAsync(context, 404, "Not Found");
            return;
        }

        await ((context.Request.Method, rest) switch
        {
            ("GET", _) => AnswerGetAsync(context, rest),
            ("POST", ["actions", "workflows", var file, "dispatches"]) => DispatchAsync(context, file),
            ("POST", ["actions", "runs", var run, "rerun" or "rerun-failed-jobs"]) => RerunAsync(context, run),
            _ => RefuseAsync(context, 404, "Not Found"),
        });
    }

    private async Task AnswerGetAsync(HttpContext context, string[] path)
    {
        if (path is ["actions", "runs", var id, "logs"])
        {
            await RedirectToLogsAsync(context, id);
            return;
        }

        var runs = VisibleRuns();
        JsonNode? body = path switch
        {
            [] => GitHubJson.Repository(_options.Repository, Address),
            ["commits"] => Array(_releases.Reverse().Select(release => GitHubJson.Commit(release, Address, _options.Repository))),
            ["commits", .. var reference] => Resolve(string.Join('/', reference)) is { } release
                ? GitHubJson.Commit(release, Address, _options.Repository) : null,
            ["git", "ref" or "refs", .. var reference] => Resolve(string.Join('/', reference)) is { } release
                ? GitHubJson.Reference("refs/" + string.Join('/', reference), release) : null,
            ["git", "matching-refs", "tags", var prefix] => Array(_releases
                .Where(release => release.Tag.StartsWith(prefix, StringComparison.Ordinal))
                .Select(release => GitHubJson.Reference("refs/tags/" + release.Tag, release))),
            ["tags"] => Array(_releases.Reverse().Select(release => GitHubJson.Tag(release))),
            ["releases"] => Array(_releases.Reverse().Select(release => GitHubJson.Release(release))),
            ["releases", "latest"] => _releases.Count > 0 ? GitHubJson.Release(_releases[^1]) : null,
            ["releases", "tags", var tag] => _releases.FirstOrDefault(release => release.Tag == tag) is { } release
                ? GitHubJson.Release(release) : null,
            ["actions", "workflows"] => Page(context.Request, "workflows", GitHubWorkflow.All.Select(GitHubJson.Workflow)),
            ["actions", "workflows", var file] => GitHubWorkflow.Find(file) is { } workflow ? GitHubJson.Workflow(workflow) : null,
            ["actions", "workflows", var file, "runs"] => GitHubWorkflow.Find(file) is { } workflow
                ? List(context.Request, runs.Where(run => run.Workflow == workflow)) : null,
            ["actions", "runs"] => List(context.Request, runs),
            ["actions", "runs", var run] => Find(runs, run) is { } found ? Describe(found) : null,
            ["actions", "runs", var run, .., "jobs"] => Find(runs, run) is { } found
                ? Page(context.Request, "jobs", [DescribeJob(found)]) : null,
            ["actions", "runs", var run, "artifacts"] => Find(runs, run) is not null ? Page(context.Request, "artifacts", []) : null,
            _ => null,
        };
        await (body is null ? RefuseAsync(context, 404, "Not Found") : AnswerCachedAsync(context, body));
    }

    private DateTimeOffset Now => _place.Time.GetUtcNow();

    private List<GitHubRun> VisibleRuns()
    {
        lock (_lock)
        {
            var isMissing = _place.Fault("ci-missing") is not null;
            var visible = _runs.Where(run => run.IsVisible(Now) && !(isMissing && run.Workflow.File == "ci.yaml" && !run.IsDispatched));
            return [.. visible.OrderByDescending(run => run.Created)];
        }
    }

    private static GitHubRun? Find(List<GitHubRun> runs, string id)
    {
        return runs.Find(run => run.Id.ToString(CultureInfo.InvariantCulture) == id);
    }

    private string? Conclusion(GitHubRun run)
    {
        if (run.Status(Now) != "completed")
        {
            return null;
        }

        return run.Workflow.File != "ci.yaml" ? "success"
            : _place.Fault("ci-failed") is not null ? "failure"
            : _place.Fault("ci-cancelled") is not null ? "cancelled"
            : "success";
    }

    private JsonObject Describe(GitHubRun run)
    {
        return GitHubJson.Run(run, run.Status(Now), Conclusion(run), Address, _options.Repository);
    }

    private JsonObject DescribeJob(GitHubRun run)
    {
        return GitHubJson.Job(run, run.Status(Now), Conclusion(run), Address, _options.Repository);
    }

    private GitHubRelease? Resolve(string reference)
    {
        var name = reference;
        foreach (var prefix in (string[])["refs/", "tags/", "heads/"])
        {
            name = name.StartsWith(prefix, StringComparison.Ordinal) ? name[prefix.Length..] : name;
        }

        return name == "main" && _releases.Count > 0
            ? _releases[^1]
            : _releases.FirstOrDefault(release => release.Tag == name || release.Sha == name);
    }

    private JsonObject List(HttpRequest request, IEnumerable<GitHubRun> runs)
    {
        var query = request.Query;
        bool Asks(string name, out string value) => (value = query[name].FirstOrDefault() ?? "").Length > 0;
        if (Asks("event", out var @event))
        {
            runs = runs.Where(run => run.Event == @event);
        }

        if (Asks("branch", out var branch))
        {
            runs = runs.Where(run => run.Branch == branch);
        }

        if (Asks("head_sha", out var sha))
        {
            runs = runs.Where(run => run.Sha == sha);
        }

        if (Asks("status", out var status))
        {
            runs = runs.Where(run => run.Status(Now) == status || Conclusion(run) == status);
        }

        if (Asks("created", out var created))
        {
            runs = runs.Where(run => IsWithin(run.Created, created));
        }

        return Page(request, "workflow_runs", runs.Select(Describe));
    }

    // GitHub's search syntax for dates: >=T, >T, <=T, <T, T..U (either may be *), or a day.
    private static bool IsWithin(DateTimeOffset moment, string range)
    {
        static DateTimeOffset? Read(string text) => DateTimeOffset.TryParse(
            text.Trim('"'), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var value) ? value : null;
        if (range.Split("..") is [var from, var to])
        {
            return (from == "*" || moment >= Read(from)) && (to == "*" || moment <= Read(to));
        }

        return range switch
        {
            ['>', '=', .. var rest] => moment >= Read(rest),
            ['<', '=', .. var rest] => moment <= Read(rest),
            ['>', .. var rest] => moment > Read(rest),
            ['<', .. var rest] => moment < Read(rest),
            _ => Read(range) is { } day && moment >= day && moment < day.AddDays(1),
        };
    }

    private static JsonObject Page(HttpRequest request, string name, IEnumerable<JsonObject> items)
    {
        var all = items.ToList();
        var size = int.TryParse(request.Query["per_page"], CultureInfo.InvariantCulture, out var s) ? Math.Clamp(s, 1, 100) : 30;
        var page = int.TryParse(request.Query["page"], CultureInfo.InvariantCulture, out var p) ? Math.Max(1, p) : 1;
        return new JsonObject { ["total_count"] = all.Count, [name] = Array(all.Skip((page - 1) * size).Take(size)) };
    }

    private static JsonArray Array(IEnumerable<JsonObject> items)
    {
        return new JsonArray([.. items]);
    }

    private async Task DispatchAsync(HttpContext context, string file)
    {
        if (GitHubWorkflow.Find(file) is not { } workflow)
        {
            await RefuseAsync(context, 404, "Not Found");
            return;
        }

        var body = await context.Request.ReadObjectAsync(context.RequestAborted);
        var (isDispatchable, declared) = TriggerOf(workflow);
        if (!isDispatchable)
        {
            await RefuseAsync(context, 422, "Workflow does not have 'workflow_dispatch' trigger");
            return;
        }

        if ((string?)body?["ref"] is not { } reference || Resolve(reference) is not { } commit)
        {
            await RefuseAsync(context, 422, $"No ref found for: {(string?)body?["ref"]}");
            return;
        }

        var inputs = body["inputs"] as JsonObject ?? [];
        if (inputs.Where(input => input.Key != declared).Select(input => $"\"{input.Key}\"").ToList() is { Count: > 0 } unexpected)
        {
            await RefuseAsync(context, 422, $"Unexpected inputs provided: [{string.Join(", ", unexpected)}]");
            return;
        }

        // As a run-name that shows the input does.
        var title = declared is not null && (string?)inputs[declared] is { Length: > 0 } shown ? $"{workflow.Name} {shown}" : workflow.Name;
        GitHubRun run;
        lock (_lock)
        {
            var number = _runs.Count(other => other.Workflow == workflow) + 1;
            run = new GitHubRun(++_lastRun, workflow, number, 1, "workflow_dispatch", reference, commit.Sha, title, Now, Now, true);
            _runs.Add(run);
            Save();
        }

        _place.Effect("github-dispatches");
        if ((bool?)body["return_run_details"] != true)
        {
            context.Response.StatusCode = 204;
            return;
        }

        await context.AnswerAsync(200, new JsonObject
        {
            ["workflow_run_id"] = run.Id,
            ["run_url"] = $"{Address}api/v3/repos/{_options.Repository}/actions/runs/{run.Id}",
            ["html_url"] = $"{Address}{_options.Repository}/actions/runs/{run.Id}",
        });
    }

    // Aether's dispatchable workflows declare no inputs.
    private (bool IsDispatchable, string? Input) TriggerOf(GitHubWorkflow workflow)
    {
        return workflow.File == "ci.yaml" && _place.Fault("ci-missing")?.Split(':') is ["dispatch", .. var input]
            ? (true, input.FirstOrDefault())
            : (workflow.IsDispatchable, null);
    }

    private async Task RerunAsync(HttpContext context, string id)
    {
        lock (_lock)
        {
            var at = _runs.FindIndex(run => run.Id.ToString(CultureInfo.InvariantCulture) == id);
            if (at >= 0 && _runs[at].Status(Now) == "completed")
            {
                _runs[at] = _runs[at] with { Attempt = _runs[at].Attempt + 1, Started = Now };
                Save();
                context.Response.StatusCode = 201;
            }
            else
            {
                context.Response.StatusCode = at >= 0 ? 403 : 404;
            }
        }

        var status = context.Response.StatusCode;
        await (status == 201
            ? context.AnswerAsync(201, new JsonObject())
            : RefuseAsync(context, status, status == 403 ? "This workflow is already running" : "Not Found"));
    }

    private async Task RedirectToLogsAsync(HttpContext context, string id)
    {
        if (Find(VisibleRuns(), id) is not { } run || run.Status(Now) != "completed")
        {
            await RefuseAsync(context, 404, "Not Found");
            return;
        }

        var expires = (Now + LinkLifetime).ToUnixTimeSeconds();
        context.Response.StatusCode = 302;
        context.Response.Headers.Location = $"{_storage}storage/runs/{run.Id}?se={expires}&sig={Sign(id, expires)}";
    }

    private string Sign(string id, long expires)
    {
        return Convert.ToHexStringLower(HMACSHA256.HashData(_linkKey, Encoding.ASCII.GetBytes($"{id}/{expires}")));
    }

    private async Task AnswerStorageAsync(HttpContext context, string id)
    {
        if (context.Request.Headers.Authorization.Count > 0)
        {
            await context.AnswerTextAsync(
                400,
                "<Error><Code>InvalidAuthenticationInfo</Code><Message>A signed link carries no Authorization header.</Message></Error>",
                "application/xml");
            return;
        }

        var isSigned = long.TryParse(context.Request.Query["se"], CultureInfo.InvariantCulture, out var expires)
            && context.Request.Query["sig"] == Sign(id, expires)
            && expires >= Now.ToUnixTimeSeconds();
        if (!isSigned || Find(VisibleRuns(), id) is not { } run)
        {
            await context.AnswerTextAsync(403, "<Error><Code>AuthenticationFailed</Code></Error>", "application/xml");
            return;
        }

        using var zip = new MemoryStream();
        using (var archive = new ZipArchive(zip, ZipArchiveMode.Create, leaveOpen: true))
        {
            var at = run.Started.UtcDateTime.ToString("O", CultureInfo.InvariantCulture);
            foreach (var (name, text) in ((string, string)[])
                [
                    ($"{run.Workflow.Job}/1_Set up job.txt", "Current runner version: '2.329.0'"),
                    ($"{run.Workflow.Job}/2_Run.txt", $"{run.Workflow.Name} on {run.Sha}: {Conclusion(run)}"),
                ])
            {
                using var entry = new StreamWriter(archive.CreateEntry(name).Open());
                await entry.WriteLineAsync($"{at} {text}");
            }
        }

        context.Response.ContentType = "application/zip";
        await context.Response.Body.WriteAsync(zip.ToArray(), context.RequestAborted);
    }

    private int Count(HttpContext context)
    {
        var now = Now.ToUnixTimeSeconds();
        int used;
        lock (_lock)
        {
            _calls = _calls.Hour == now / 3600 ? (_calls.Hour, _calls.Calls + 1) : (now / 3600, 1);
            used = _calls.Calls;
        }

        var headers = context.Response.Headers;
        headers["X-RateLimit-Limit"] = HourlyLimit.ToString(CultureInfo.InvariantCulture);
        headers["X-RateLimit-Remaining"] = Math.Max(0, HourlyLimit - used).ToString(CultureInfo.InvariantCulture);
        headers["X-RateLimit-Used"] = used.ToString(CultureInfo.InvariantCulture);
        headers["X-RateLimit-Reset"] = ((now / 3600 * 3600) + 3600).ToString(CultureInfo.InvariantCulture);
        headers["X-RateLimit-Resource"] = "core";
        headers["Date"] = Now.ToString("R", CultureInfo.InvariantCulture);
        return used;
    }

    private async Task AnswerCachedAsync(HttpContext context, JsonNode body)
    {
        var tag = $"W/\"{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(body.ToJsonString())))}\"";
        context.Response.Headers.ETag = tag;
        if (context.Request.Headers.IfNoneMatch == tag)
        {
            lock (_lock)
            {
                // An answer that nothing changed costs nothing.
                _calls = (_calls.Hour, _calls.Calls - 1);
            }

            context.Response.StatusCode = 304;
            return;
        }

        await context.AnswerAsync(200, body, "application/json; charset=utf-8");
    }

    private static Task RefuseAsync(HttpContext context, int status, string message)
    {
        return context.AnswerAsync(status, new JsonObject
        {
            ["message"] = message,
            ["documentation_url"] = "https://docs.github.com/rest",
            ["status"] = status.ToString(CultureInfo.InvariantCulture),
        });
    }

    private void Save()
    {
        StateFile.Write(_file, new JsonObject { ["lastRun"] = _lastRun, ["runs"] = new JsonArray([.. _runs.Select(run => run.ToJson())]) });
    }
}
