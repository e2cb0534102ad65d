using System.Collections.Concurrent;
using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rehearsal.World;

/// <summary>
/// A cache of the objects of one kind in all namespaces, kept by list and watch as Kubernetes clients do: it lists again when the
/// watch is told that its version is gone (410), and goes on from the last version when the connection merely ends.
/// </summary>
internal sealed class ClusterWatch(HttpClient cluster, string path, TimeProvider time, Action changed)
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(200);

    private readonly ConcurrentDictionary<(string Namespace, string Name), JsonObject> _objects = new();
    private readonly TaskCompletionSource _listed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Completed when the first list has been read.</summary>
    public Task Listed => _listed.Task;

    public ICollection<JsonObject> Objects => _objects.Values;

    public JsonObject? Get(string @namespace, string name)
    {
        return _objects.GetValueOrDefault((@namespace, name));
    }

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        string? version = null;
        while (!cancellationToken.IsCancellationRequested)
        {
            try
            {
                version ??= await ListAsync(cancellationToken);
                version = await WatchAsync(version, cancellationToken);
            }
            catch (Exception broken) when (broken is HttpRequestException or IOException or JsonException or TimeoutException)
            {
                // The API server is away or restarts: what is cached goes on serving, as with a real controller.
                try
                {
                    await Task.Delay(Pause, time, cancellationToken);
                }
                catch (OperationCanceledException)
                {
                    return;
                }
            }
            catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
            {
                return;
            }
        }
    }

    private async Task<string> ListAsync(CancellationToken cancellationToken)
    {
        using var answer = await cluster.GetAsync(path, cancellationToken);
        answer.EnsureSuccessStatusCode();
        var list = await JsonNode.ParseAsync(
            await answer.Content.ReadAsStreamAsync(cancellationToken), cancellationToken: cancellationToken)
            ?? throw new JsonException($"{path} answered null.");
        var present = new HashSet<(string, string)>();
        foreach (var item in list["items"]!.AsArray())
        {
            var key = Key(item!);
            _objects[key] = (JsonObject)item!.DeepClone();
            present.Add(key);
        }

        foreach (var gone in _objects.Keys.Where(key => !present.Contains(key)))
        {
            _objects.TryRemove(gone, out _);
        }

        changed();
        _listed.TrySetResult();
        return (string?)list["metadata"]?["resourceVersion"] ?? "0";
    }

    /// <summary>The version to go on from, null when it has to be listed anew.</summary>
    private async Task<string?> WatchAsync(string version, CancellationToken cancellationToken)
    {
        using var answer = await cluster.GetAsync(
            $"{path}?watch=true&allowWatchBookmarks=true&resourceVersion={version}",
            HttpCompletionOption.ResponseHeadersRead,
            cancellationToken);
        if (answer.StatusCode == HttpStatusCode.Gone)
        {
            return null;
        }

        answer.EnsureSuccessStatusCode();
        using var lines = new StreamReader(await answer.Content.ReadAsStreamAsync(cancellationToken));
        while (await lines.ReadLineAsync(cancellationToken) is { } line)
        {
            if (line.Length == 0)
            {
                continue;
            }

            var change = JsonNode.Parse(line)!;
            var item = change["object"]!.AsObject();
            version = (string?)item["metadata"]?["resourceVersion"] ?? version;
            switch ((string?)change["type"])
            {
                case "ERROR":
                    return null;
                case "BOOKMARK":
                    break;
                case "DELETED":
                    _objects.TryRemove(Key(item), out _);
                    changed();
                    break;
                default:
                    _objects[Key(item)] = item;
                    changed();
                    break;
            }
        }

        return version;
    }

    private static (string Namespace, string Name) Key(JsonNode item)
    {
        return ((string?)item["metadata"]!["namespace"] ?? "", (string)item["metadata"]!["name"]!);
    }
}
