using System.Collections.Concurrent;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Time.Testing;
using Rehearsal.Cluster;
using Rehearsal.Controllers;

namespace Rehearsal.Tests.Controllers;

/// <summary>A store with the controllers and a kubelet whose images are made here.</summary>
internal sealed class ClusterUnderTest : IAsyncDisposable
{
    private static readonly Dictionary<string, (string Group, string Resource)> Kinds = ResourceCatalog.Resources
        .GroupBy(type => type.Kind).ToDictionary(kind => kind.Key, kind => (kind.First().Group, kind.First().Name));

    private readonly TimeProvider _time;
    private readonly string _directory;
    private readonly bool _keep;
    private ClusterControllers _controllers;

    private ClusterUnderTest(TimeProvider time, string directory, bool keep)
    {
        _time = time;
        _directory = directory;
        _keep = keep;
        Store = new ObjectStore(time, Path.Combine(directory, "store"));
        _controllers = Compose();
    }

    public ObjectStore Store { get; private set; }

    public NodeStreams Node => _controllers.Node;

    public string NodeDirectory => Path.Combine(_directory, "node");

    /// <summary>Started and not yet disposed or replaced, by pod and container name.</summary>
    public ConcurrentDictionary<(string Pod, string Container), FakeContainer> Containers { get; } = new();

    /// <summary>How often each image was started.</summary>
    public ConcurrentQueue<ContainerStart> Starts { get; } = new();

    /// <summary>What an image does when it is started, besides serving; gets the container.</summary>
    public ConcurrentDictionary<string, Func<FakeContainer, Task>> Behaviour { get; } = new();

    public ConcurrentDictionary<string, bool> MissingImages { get; } = new();

    public ConcurrentQueue<string> Complaints { get; } = new();

    public static ClusterUnderTest Start(TimeProvider? time = null, string? directory = null)
    {
        var place = directory ?? Directory.CreateTempSubdirectory("controllers-test-").FullName;
        var cluster = new ClusterUnderTest(time ?? TimeProvider.System, place, directory is not null);
        cluster._controllers.Start();
        if (cluster.Store.Get(new ObjectKey("", "namespaces", null, "test")) is null)
        {
            cluster.Create("""{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"test"}}""");
        }

        return cluster;
    }

    /// <summary>The process ends and starts again.</summary>
    public async Task RestartAsync()
    {
        await _controllers.DisposeAsync();
        Store.Dispose();
        Store = new ObjectStore(_time, Path.Combine(_directory, "store"));
        _controllers = Compose();
        _controllers.Start();
    }

    public async ValueTask DisposeAsync()
    {
        await _controllers.DisposeAsync();
        Store.Dispose();
        if (!_keep)
        {
            Directory.Delete(_directory, recursive: true);
        }
    }

    public JsonObject Create(string json)
    {
        var item = JsonNode.Parse(json)!.AsObject();
        var (group, resource) = Kinds[(string)item["kind"]!];
        return Store.Create(group, resource, item);
    }

    public JsonObject? Get(string resource, string name, string? @namespace = "test") => Store.Get(Key(resource, name, @namespace));

    public IReadOnlyList<JsonObject> List(string resource, string? @namespace = "test")
    {
        var type = ResourceCatalog.Resources.First(type => type.Name == resource);
        return Store.List(type.Group, resource, @namespace);
    }

    public JsonObject? Update(string resource, string name, Action<JsonObject> change) => Store.Update(Key(resource, name), change);

    public void SetImage(string resource, string name, string image) =>
        Update(resource, name, item => item["spec"]!["template"]!["spec"]!["containers"]![0]!["image"] = image);

    public void Delete(string resource, string name, DeletePropagation propagation = DeletePropagation.Background, int? grace = null) =>
        Store.Delete(Key(resource, name, resource == "namespaces" ? null : "test"), propagation, grace);

    public Task<JsonObject> UntilAsync(string resource, string name, string what, Func<JsonObject, bool> holds) =>
        UntilAsync(
            $"{resource} {name} {what}",
            () => Get(resource, name) is { } item && holds(item) ? item : null,
            () => Get(resource, name)?.ToJsonString());

    public Task UntilGoneAsync(string resource, string name, string? @namespace = "test") =>
        UntilAsync(
            $"{resource} {name} gone",
            () => Get(resource, name, @namespace) is null ? "gone" : null,
            () => Get(resource, name, @namespace)?.ToJsonString());

    public Task UntilAsync(string what, Func<bool> holds) => UntilAsync<string>(what, () => holds() ? "yes" : null, () => null);

    /// <summary>
    /// Waits for something to be there. A fake clock is moved on meanwhile, but only while nothing changes: on a busy machine the
    /// work of one moment must not look as if it had taken minutes.
    /// </summary>
    public async Task<T> UntilAsync<T>(string what, Func<T?> look, Func<string?> seen)
        where T : class
    {
        const int Quiet = 3;
        using var limit = new CancellationTokenSource(Patience.Limit, TimeProvider.System);
        var (revision, unchanged) = (Store.Revision, 0);
        while (true)
        {
            if (look() is { } found)
            {
                return found;
            }

            if (limit.IsCancellationRequested)
            {
                var complaints = string.Join(" | ", Complaints);
                throw new AssertionException($"{what}: not within {Patience.Limit}; last seen {seen() ?? "nothing"}; complaints: {complaints}");
            }

            (revision, unchanged) = (Store.Revision, Store.Revision == revision ? unchanged + 1 : 0);
            if (_time is FakeTimeProvider fake && unchanged >= Quiet)
            {
                fake.Advance(TimeSpan.FromMilliseconds(250));
                unchanged = 0;
            }

            await Task.Delay(TimeSpan.FromMilliseconds(2), TimeProvider.System);
        }
    }

    public Task<FakeContainer> ContainerAsync(string pod, string container = "web") =>
        UntilAsync(
            $"container {container} of {pod}",
            () => Containers.GetValueOrDefault((pod, container)),
            () => string.Join(", ", Containers.Keys));

    public Task<FakeContainer> JobContainerAsync(string job) =>
        UntilAsync(
            $"container of {job}",
            () => Containers.FirstOrDefault(pair => pair.Key.Pod.StartsWith(job + "-", StringComparison.Ordinal)).Value,
            () => null);

    public IReadOnlyList<string> Events(string about) => List("events")
        .Where(item => (string?)item["involvedObject"]!["name"] == about)
        .Select(item => $"{item["type"]} {item["reason"]}: {item["message"]}")
        .ToList();

    private static ObjectKey Key(string resource, string name, string? @namespace = "test")
    {
        var type = ResourceCatalog.Resources.First(type => type.Name == resource);
        return new ObjectKey(type.Group, resource, type.Namespaced ? @namespace : null, name);
    }

    private ClusterControllers Compose() => new(
        Store,
        new ControllersOptions { Directory = NodeDirectory, Images = Image, Complain = Complaints.Enqueue },
        _time);

    private ContainerImage? Image(string image) => MissingImages.ContainsKey(image) ? null : async (start, _) =>
    {
        Starts.Enqueue(start);
        var container = new FakeContainer(start);
        Containers[(start.PodName, start.ContainerName)] = container;
        if (Behaviour.TryGetValue(image, out var behave))
        {
            await behave(container);
        }

        return container;
    };
}
