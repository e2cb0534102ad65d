using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Rollout.Archive;
using Rollout.Monitoring;

namespace Rollout.Investigation;

/// <summary>One of the two stacks, as an incident looks at it.</summary>
/// <param name="Name"><c>blue</c> or <c>green</c>.</param>
/// <param name="Role">As messages name it: <c>candidate (green)</c>.</param>
public sealed record IncidentSlot(string Name, string Namespace, string Role);

/// <summary>What went wrong, when and where.</summary>
/// <param name="Step">The step that failed; null where the rollback was asked for.</param>
/// <param name="Error">Its message; null where none failed.</param>
/// <param name="From">From when on traces and metrics matter.</param>
/// <param name="Elsewhere">Files that are kept already and belong to it, relative to the release's folder.</param>
public sealed record Incident(
    string Release, IncidentSlot Live, IncidentSlot Candidate, string? Step, string? Error, DateTimeOffset? FailedAt, DateTimeOffset From, DateTimeOffset To, IReadOnlyList<string> Elsewhere);

/// <summary>What a step gives in its own words beside what the bundle fetches: a file's name and content.</summary>
/// <param name="Name">What the source is called in the list of what is missing.</param>
public sealed record IncidentSource(string Name, Func<CancellationToken, Task<IReadOnlyList<(string File, string Content)>>> ReadAsync);

/// <summary>What came of it.</summary>
/// <param name="Files">Every file of the bundle, earlier exports' included.</param>
/// <param name="Missing">What could not be had, with the reason.</param>
/// <param name="Findings">Where to look first, the most telling at the beginning.</param>
public sealed record IncidentReport(IReadOnlyList<EvidenceFile> Files, IReadOnlyList<string> Missing, IReadOnlyList<Finding> Findings);

/// <summary>
/// Everything that a person wants to have of a failed rollout before it expires, in one folder that can be carried away: logs of the candidate's pods, events, objects,
/// traces, metrics, the differences of the two stacks, and an index that says where to look first. Each source has its own time: one that hangs or refuses is
/// missing with its reason, and the others are there. All text is masked; where the Secrets cannot be read, no log is kept.
/// </summary>
/// <param name="cluster">Speaks to the API server.</param>
/// <param name="folder">The release's folder; the bundle is <c>incident/</c> in it. What an earlier export left is replaced by name and not repeated.</param>
public sealed class IncidentBundle(HttpClient cluster, EvidenceFolder folder, IEnumerable<Secret> secrets, TimeProvider time)
{
    /// <summary>The folder's name.</summary>
    public const string FolderName = "incident";

    private const int Parallel = 8;
    private const int LogLines = 2000;
    private const int LargestLog = 256 * 1024;
    private const int LargestRead = 2 * 1024 * 1024;
    private const int Pods = 150;

    private static readonly string[] Kinds = ["secrets", "pods", "deployments", "events"];
    private static readonly bool[] Both = [true, false];
    private static readonly bool[] Now = [false];

    private readonly List<string> _missing = [];
    private readonly List<string> _written = [];
    private readonly Lock _lock = new();
    private SecretMask _mask = new([]);

    /// <summary>How long one source may take.</summary>
    public TimeSpan SourceLimit { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>When no further log is begun.</summary>
    public TimeSpan LogsLimit { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Writes the bundle. It does not fail because a source does.</summary>
    /// <param name="traces">The trace store; null where none is set.</param>
    /// <param name="prometheus">The server whose ranges are kept; null where none is set.</param>
    /// <param name="more">Sources of the caller's own.</param>
    public async Task<IncidentReport> ExportAsync(
        Incident incident, TraceStore? traces, Uri? prometheus, IReadOnlyList<IncidentSource> more, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(incident);
        IncidentSlot[] slots = [incident.Candidate, incident.Live];
        var objects = new Dictionary<string, IReadOnlyList<JsonObject>?>();
        // The Secrets come first: nothing is written before what must be masked is known.
        await Task.WhenAll(slots.SelectMany(s => Kinds.Select(async what =>
            Found($"{s.Name}-{what}", await SourceAsync($"{what} of {s.Role}", token => ListAsync(PathOf(s, what), token), cancellationToken)))));
        IReadOnlyList<JsonObject>? Of(IncidentSlot slot, string what) => objects[$"{slot.Name}-{what}"];
        _mask = new SecretMask(
            secrets.Select(s => s.Reveal())
                .Concat(slots.SelectMany(s => SecretMask.ValuesOf(Of(s, "secrets") ?? [])))
                .Concat(slots.SelectMany(s => (Of(s, "pods") ?? []).Concat(Of(s, "deployments") ?? []).SelectMany(SecretMask.ValuesOfEnvironment))));
        foreach (var slot in slots)
        {
            foreach (var what in Kinds[1..])
            {
                if (Of(slot, what) is { } items)
                {
                    await KeepAsync($"{slot.Name}-{what}.json", new JsonArray([.. items.Select(WithoutValues)]).ToJsonString(), cancellationToken);
                }
            }
        }

        var logs = new Dictionary<string, string>();
        TraceHarvest? harvest = null;
        var pages = new Dictionary<string, string>();
        await Task.WhenAll(
        [
            LogsAsync(incident.Candidate, Of(incident.Candidate, "pods"), Of(incident.Candidate, "secrets") is not null && Of(incident.Live, "secrets") is not null, logs, cancellationToken),
            TracesAsync(),
            .. more.Select(async source =>
            {
                foreach (var (file, content) in await SourceAsync(source.Name, source.ReadAsync, cancellationToken) ?? [])
                {
                    lock (_lock)
                    {
                        pages[file] = content;
                    }

                    await KeepAsync(file, content, cancellationToken);
                }
            }),
            .. prometheus is null ? [] : Ranges.Select(range => RangeAsync(prometheus, range.Name, range.Query, incident, cancellationToken)),
        ]);

        IReadOnlyList<StackDifference> differences = [];
        if (Of(incident.Live, "deployments") is { } before && Of(incident.Candidate, "deployments") is { } after)
        {
            differences = StackDifferences.Between(before, [incident.Live.Namespace, incident.Live.Name], after, [incident.Candidate.Namespace, incident.Candidate.Name]);
            await KeepAsync("differences.json", JsonSerializer.Serialize(differences), cancellationToken);
        }

        if (prometheus is null)
        {
            Miss("Prometheus ranges", "no Prometheus is set; what the watch kept is listed below");
        }

        var findings = Finding.Rank(
            incident,
            [.. slots.Select(s => (s, Of(s, "pods") ?? []))],
            logs,
            pages.GetValueOrDefault($"{incident.Candidate.Name}-metrics.txt") ?? string.Empty,
            Of(incident.Candidate, "events") ?? [],
            harvest?.Traces ?? [],
            differences);
        var masked = findings.Select(f => f with { Title = _mask.Apply(f.Title), Lines = [.. f.Lines.Select(l => _mask.Apply(Printable(l)))] }).ToList();
        var missing = _missing.Order(StringComparer.Ordinal).Select(m => _mask.Apply(m)).ToList();
        var files = folder.List().Where(f => f.Path.StartsWith(FolderName + "/", StringComparison.Ordinal) && !f.Path.Contains("/index.", StringComparison.Ordinal)).ToList();
        var index = new IncidentIndex(incident, masked, missing, files, _written);
        await KeepAsync("index.md", index.ToMarkdown(), cancellationToken);
        await KeepAsync("index.html", index.ToHtml(), cancellationToken);
        return new IncidentReport([.. folder.List().Where(f => f.Path.StartsWith(FolderName + "/", StringComparison.Ordinal))], missing, masked);

        void Found(string key, IReadOnlyList<JsonObject>? value)
        {
            lock (_lock)
            {
                objects[key] = value;
            }
        }

        async Task TracesAsync()
        {
            if (traces is null)
            {
                Miss("traces", "no trace store is set (Traces.Api)");
                return;
            }

            harvest = await SourceAsync("traces", token => traces.HarvestAsync([], incident.From, incident.To, token), cancellationToken);
            if (harvest is { State: TraceState.Unknown })
            {
                Miss("traces", harvest.Message);
            }
            else if (harvest is not null)
            {
                await KeepAsync("traces.json", harvest.ToJson().ToJsonString(), cancellationToken);
            }
        }
    }

    // What the watch's judgement rests on (platform contract, section 9), by pod, since only scrape labels tell the slots apart.
    private static readonly (string Name, string Query)[] Ranges =
    [
        ("requests", "sum by (namespace, service) (rate(http_request_duration_seconds_count[2m]))"),
        ("errors", "sum by (namespace, service) (rate(http_request_duration_seconds_count{status_code=~\"5..\"}[2m]))"),
        ("latency-p99", "histogram_quantile(0.99, sum by (namespace, service, le) (rate(http_request_duration_seconds_bucket[2m])))"),
        ("orders", "sum by (namespace) (rate(trades_submitted_total[2m]))"),
        ("up", "up"),
    ];

    private static string PathOf(IncidentSlot slot, string what) => what == "deployments"
        ? $"/apis/apps/v1/namespaces/{slot.Namespace}/deployments"
        : $"/api/v1/namespaces/{slot.Namespace}/{what}";

    // Evidence is kept for years: variables' values, and what only the server writes for itself, are not.
    private static JsonNode? WithoutValues(JsonNode? node) => node switch
    {
        JsonObject map => new JsonObject(map.Where(p => p.Key is not ("managedFields" or "kubectl.kubernetes.io/last-applied-configuration"))
            .Select(p => KeyValuePair.Create(p.Key, p.Key == "env" && p.Value is JsonArray list
                ? new JsonArray([.. list.OfType<JsonObject>().Select(e => JsonValue.Create(e["name"]?.GetValue<string>()))])
                : WithoutValues(p.Value)))),
        JsonArray list => new JsonArray([.. list.Select(WithoutValues)]),
        _ => node?.DeepClone(),
    };

    // A log may hold what moves a terminal's cursor or hides what stands before it.
    private static string Printable(string text)
    {
        var clean = new StringBuilder(text.Length);
        foreach (var rune in text.Replace("\r\n", "\n", StringComparison.Ordinal).EnumerateRunes())
        {
            clean.Append(rune.Value is '\n' or '\t' || !(Rune.IsControl(rune) || Rune.GetUnicodeCategory(rune) is UnicodeCategory.Format) ? rune.ToString() : "\uFFFD");
        }

        return clean.ToString();
    }

    private async Task LogsAsync(IncidentSlot slot, IReadOnlyList<JsonObject>? pods, bool canMask, Dictionary<string, string> logs, CancellationToken cancellationToken)
    {
        if (pods is null)
        {
            Miss($"logs of {slot.Role}", "its pods could not be listed");
            return;
        }

        if (!canMask)
        {
            Miss($"logs of {slot.Role}", "the Secrets could not be read, so what must be masked in a log is not known");
            return;
        }

        if (pods.Count > Pods)
        {
            Miss($"logs of {pods.Count - Pods} pods of {slot.Role}", $"{Pods} pods are kept at most, those that are not ready first");
        }

        var wanted = pods.OrderBy(Finding.IsWell).ThenBy(p => p["metadata"]?["name"]?.ToString(), StringComparer.Ordinal).Take(Pods).SelectMany(ContainersOf).ToList();
        var began = time.GetTimestamp();
        var late = 0;
        await System.Threading.Tasks.Parallel.ForEachAsync(wanted, new ParallelOptions { MaxDegreeOfParallelism = Parallel, CancellationToken = cancellationToken }, async (container, token) =>
        {
            if (time.GetElapsedTime(began) >= LogsLimit)
            {
                Interlocked.Increment(ref late);
                return;
            }

            foreach (var previous in container.HasPrevious ? Both : Now)
            {
                var name = $"{container.Pod}.{container.Container}{(previous ? ".previous" : string.Empty)}.log";
                var path = $"/api/v1/namespaces/{slot.Namespace}/pods/{container.Pod}/log?container={Uri.EscapeDataString(container.Container)}&tailLines={LogLines}&timestamps=true&limitBytes={LargestRead}{(previous ? "&previous=true" : string.Empty)}";
                if (await SourceAsync($"log {name}", inner => TextAsync(path, inner), token) is not { } text)
                {
                    continue;
                }

                // Masked before it is cut, or half a secret would not be known as one.
                var whole = _mask.Apply(Printable(text));
                whole = whole.Length > LargestLog ? "… (the beginning is left out)\n" + whole[^LargestLog..] : whole;
                lock (_lock)
                {
                    logs[$"{container.Pod}/{container.Container}{(previous ? "/previous" : string.Empty)}"] = whole;
                }

                await KeepAsync($"logs/{FileName(name)}", whole, token);
            }
        });
        if (late > 0)
        {
            Miss($"logs of {late} containers of {slot.Role}", $"not read within {LogsLimit.TotalSeconds:0.#} s");
        }

        static IEnumerable<(string Pod, string Container, bool HasPrevious)> ContainersOf(JsonObject pod)
        {
            var statuses = (pod["status"]?["initContainerStatuses"] as JsonArray ?? []).Concat(pod["status"]?["containerStatuses"] as JsonArray ?? []).OfType<JsonObject>().ToList();
            foreach (var container in (pod["spec"]?["initContainers"] as JsonArray ?? []).Concat(pod["spec"]?["containers"] as JsonArray ?? []).OfType<JsonObject>())
            {
                var name = container["name"]?.ToString() ?? string.Empty;
                var status = statuses.Find(s => s["name"]?.ToString() == name);
                if (status?["state"]?["waiting"] is null || status["restartCount"]?.GetValue<int>() > 0)
                {
                    yield return (pod["metadata"]!["name"]!.GetValue<string>(), name, status?["restartCount"]?.GetValue<int>() > 0);
                }
            }
        }
    }

    private async Task RangeAsync(Uri prometheus, string name, string query, Incident incident, CancellationToken cancellationToken)
    {
        // 11,000 points a series are refused; 1,000 show as much.
        var step = Math.Max(1, (int)((incident.To - incident.From).TotalSeconds / 1000));
        var address = new Uri(
            new Uri(prometheus.AbsoluteUri.TrimEnd('/') + "/"),
            $"api/v1/query_range?query={Uri.EscapeDataString(query)}&start={incident.From.ToUnixTimeSeconds()}&end={incident.To.ToUnixTimeSeconds()}&step={step}");
        var text = await SourceAsync($"Prometheus range {name}", async token =>
        {
            using var http = new HttpClient { Timeout = Timeout.InfiniteTimeSpan, MaxResponseContentBufferSize = 8 * LargestRead };
            using var response = await http.GetAsync(address, token);
            var body = await response.Content.ReadAsStringAsync(token);
            return response.IsSuccessStatusCode && JsonNode.Parse(body)?["status"]?.ToString() == "success"
                ? body
                : throw new HttpRequestException($"HTTP {(int)response.StatusCode}: {Short(body)}");
        }, cancellationToken);
        if (text is not null)
        {
            await KeepAsync($"prometheus/{name}.json", text, cancellationToken);
        }
    }

    private async Task<IReadOnlyList<JsonObject>> ListAsync(string path, CancellationToken cancellationToken) =>
        JsonNode.Parse(await TextAsync(path, cancellationToken))?["items"] is JsonArray items
            ? [.. items.OfType<JsonObject>()]
            : throw new HttpRequestException("the API server's answer is no list");

    // Asked twice where the server was busy; what it says the second time is the reason.
    private async Task<string> TextAsync(string path, CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            using var response = await cluster.GetAsync(path, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
            var text = await response.Content.ReadAsStringAsync(cancellationToken);
            if (response.IsSuccessStatusCode)
            {
                return text;
            }

            if (attempt == 2 || (int)response.StatusCode is < 500 and not 429)
            {
                throw new HttpRequestException($"HTTP {(int)response.StatusCode}: {Short(text)}", null, response.StatusCode);
            }

            await Waiting.PauseAsync(TimeSpan.FromMilliseconds(300), time, cancellationToken);
        }
    }

    private async Task<T?> SourceAsync<T>(string name, Func<CancellationToken, Task<T>> read, CancellationToken cancellationToken)
        where T : class
    {
        using var clock = new CancellationTokenSource(SourceLimit, time);
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(clock.Token, cancellationToken);
        try
        {
            return await read(deadline.Token);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            Miss(name, $"no answer within {SourceLimit.TotalSeconds:0.#} s");
        }
        catch (Exception exception) when (exception is HttpRequestException or IOException or JsonException or RolloutException or InvalidOperationException or FormatException)
        {
            Miss(name, Short(exception.InnerException is HttpRequestException or IOException ? exception.InnerException.Message : exception.Message));
        }

        return null;
    }

    private void Miss(string name, string reason)
    {
        lock (_lock)
        {
            _missing.Add($"{name}: {reason}");
        }
    }

    private async Task KeepAsync(string name, string content, CancellationToken cancellationToken)
    {
        var file = await folder.WriteAsync(FolderName, name, _mask.Apply(content), cancellationToken);
        lock (_lock)
        {
            _written.Add(file.Path);
        }
    }

    private static string Short(string text)
    {
        var line = Printable(text).ReplaceLineEndings(" ").Trim();
        return line.Length > 200 ? line[..200] + "…" : line;
    }

    // Names come from the cluster, and must not lead elsewhere or be too long for a file.
    private static string FileName(string name)
    {
        var safe = string.Concat(name.Select(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_' ? c : '_')).TrimStart('.');
        return safe == name && safe.Length <= 120
            ? safe
            : $"{safe[..Math.Min(safe.Length, 100)]}-{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(name)))[..10]}.log";
    }
}
