using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Controllers;

/// <summary>
/// The life of one pod on the node: bound, volumes written, containers run, status reported, and in the end everything taken away
/// again. One asynchronous flow per pod, no thread.
/// </summary>
internal sealed class PodWorker
{
    private static readonly TimeSpan EndpointsLimit = TimeSpan.FromSeconds(2);

    private readonly NodeServices _node;
    private readonly CancellationTokenSource _stop;
    private readonly TaskCompletionSource _stopping = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _unlisted = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lock _publishing = new();
    private readonly List<ContainerWorker> _init = [];
    private readonly List<ContainerWorker> _main = [];
    private TaskCompletionSource _news = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private JsonObject _latest;
    private int _dirty;
    private volatile bool _bound;
    private volatile bool _initialized;
    private volatile bool _removed;

    public PodWorker(NodeServices node, JsonObject pod)
    {
        _node = node;
        _latest = pod;
        Key = pod.Key("", "pods");
        Uid = pod.Uid();
        Volumes = node.VolumesOf(Uid);
        _stop = CancellationTokenSource.CreateLinkedTokenSource(node.Shutdown);
        RestartPolicy = pod.Text("spec", "restartPolicy") ?? "Always";
        HasInitContainers = pod.Items("spec", "initContainers").Any();
        foreach (var spec in pod.Items("spec", "initContainers"))
        {
            var role = spec.Text("restartPolicy") == "Always" ? ContainerRole.Sidecar : ContainerRole.Init;
            _init.Add(new ContainerWorker(node, this, spec, role, Earlier(pod, "initContainerStatuses", spec)));
        }

        foreach (var spec in pod.Items("spec", "containers"))
        {
            _main.Add(new ContainerWorker(node, this, spec, ContainerRole.Main, Earlier(pod, "containerStatuses", spec)));
        }
    }

    public ObjectKey Key { get; }

    public string Uid { get; }

    public string RestartPolicy { get; }

    public bool HasInitContainers { get; }

    public PodVolumes Volumes { get; }

    public string Ip { get; private set; } = "";

    /// <summary>The pod as last seen in the store.</summary>
    public JsonObject Latest => Volatile.Read(ref _latest);

    /// <summary>Ends with the next change of a Secret, ConfigMap or claim of the pod's namespace.</summary>
    public Task NextConfiguration => Volatile.Read(ref _news).Task;

    /// <summary>How long containers may take to end.</summary>
    public TimeSpan Grace => TimeSpan.FromSeconds(
        _removed ? 0
        : Latest.Number("metadata", "deletionGracePeriodSeconds") ?? Latest.Number("spec", "terminationGracePeriodSeconds") ?? 30);

    public ContainerWorker? Container(string name) => _main.Concat(_init).FirstOrDefault(container => container.Name == name);

    public void Observe(JsonObject pod)
    {
        var labelsChanged = !JsonNode.DeepEquals(Latest.At("metadata", "labels"), pod.At("metadata", "labels"))
            || !JsonNode.DeepEquals(Latest.At("metadata", "annotations"), pod.At("metadata", "annotations"));
        Volatile.Write(ref _latest, pod);
        if (pod.IsDeleting())
        {
            Stop();
        }
        else if (labelsChanged && _bound)
        {
            Volumes.Refresh(pod, Ip, Key);
        }
    }

    /// <summary>The object has gone from the store, asked or by force: nothing is reported any more.</summary>
    public void Removed()
    {
        _removed = true;
        Stop();
    }

    public void ConfigurationChanged(ObjectKey changed)
    {
        if (_bound && changed.Resource is "secrets" or "configmaps")
        {
            Volumes.Refresh(Latest, Ip, changed);
        }

        Interlocked.Exchange(ref _news, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).TrySetResult();
    }

    public void EndpointsChanged(Change change)
    {
        if (_stopping.Task.IsCompleted && change.Old is { } before && Lists(before) && !IsListed())
        {
            _unlisted.TrySetResult();
        }
    }

    /// <summary>Returns when no Endpoints object sends anybody here any more, or it has taken too long.</summary>
    public async Task LeaveEndpointsAsync()
    {
        if (!IsListed())
        {
            return;
        }

        try
        {
            await _unlisted.Task.WaitAsync(EndpointsLimit, _node.Context.Time, _node.Shutdown);
        }
        catch (Exception late) when (late is TimeoutException or OperationCanceledException)
        {
            // Endpoints that somebody wrote by hand stay, and a world that ends writes none; the pod does not wait for them.
        }
    }

    /// <summary>Something to report. What changes while a report is under way is one more report.</summary>
    public void Changed()
    {
        if (Interlocked.Exchange(ref _dirty, 1) == 0)
        {
            ThreadPool.UnsafeQueueUserWorkItem(static pod => pod.Publish(), this, preferLocal: false);
        }
    }

    public async Task RunAsync()
    {
        try
        {
            if (Latest.Text("status", "phase") is not ("Succeeded" or "Failed") && await BindAsync())
            {
                await LiveAsync();
            }
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // Stopped before all containers had started.
        }
#pragma warning disable CA1031 // What breaks one pod is reported on it and does not end the kubelet.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            Report(failure);
        }

        if (!_node.Shutdown.IsCancellationRequested)
        {
            Publish();
            await using (_node.Shutdown.Register(() => _stopping.TrySetResult()))
            {
                await _stopping.Task;
            }
        }

        if (!_node.Shutdown.IsCancellationRequested)
        {
            Clear();
        }

        _stop.Dispose();
    }

    private static JsonObject? Earlier(JsonObject pod, string list, JsonObject spec) =>
        pod.Items("status", list).FirstOrDefault(status => status.Text("name") == spec.Text("name"));

    private void Stop()
    {
        if (_stopping.TrySetResult())
        {
            _ = _stop.CancelAsync();
        }
    }

    private bool IsListed() => _node.Context.Store.List("", "endpoints", Key.Namespace).Any(Lists);

    private bool Lists(JsonObject endpoints) => endpoints.Items("subsets")
        .SelectMany(subset => subset.Items("addresses").Concat(subset.Items("notReadyAddresses")))
        .Any(address => address.Text("targetRef", "uid") == Uid);

    /// <summary>Gives the pod the node and an address; false when it waits for another node, for ever.</summary>
    private async Task<bool> BindAsync()
    {
        var pod = Latest;
        if (pod.Text("spec", "nodeName") is { } assigned && assigned != _node.Context.Node)
        {
            return false;
        }

        var node = _node.Context.Store.Get(new ObjectKey("", "nodes", null, _node.Context.Node));
        if (!Selector.MatchesMap(pod.At("spec", "nodeSelector"), node.At("metadata", "labels")))
        {
            const string Why = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.";
            _node.Context.Store.Update(Key, item =>
                Conditions.Set(item.Child("status"), "PodScheduled", "False", "Unschedulable", Why, _node.Context.Now));
            _node.Context.Events.Warning("default-scheduler", pod, "FailedScheduling", Why);
            return false;
        }

        Ip = pod.Text("status", "podIP") is { } before && _node.Addresses.Keep(before) ? before : _node.Addresses.Take();
        if (pod.Text("spec", "nodeName") is null)
        {
            var where = $"Successfully assigned {Key.Namespace}/{Key.Name} to {_node.Context.Node}";
            _node.Context.Events.Normal("default-scheduler", pod, "Scheduled", where);
        }

        _bound = true;
        _initialized = _init.Count == 0;
        Publish();
        while (true)
        {
            var news = NextConfiguration;
            try
            {
                Volumes.Mount(Latest, Ip);
                return true;
            }
            catch (VolumeUnavailableException missing)
            {
                _node.Context.Events.Warning(Kubelet.Component, Latest, "FailedMount", missing.Message);
            }

            await news.WaitAsync(_stop.Token);
        }
    }

    private async Task LiveAsync()
    {
        if (_main.TrueForAll(container => container.Snapshot.Over))
        {
            return;
        }

        using var sidecars = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        var beside = new List<Task>();
        try
        {
            foreach (var container in _init)
            {
                var run = container.RunAsync(container.Role == ContainerRole.Sidecar ? sidecars.Token : _stop.Token);
                if (container.Role == ContainerRole.Sidecar)
                {
                    beside.Add(run);
                    await Task.WhenAny(container.Started, run);
                    continue;
                }

                await run;
                if (!container.Snapshot.Succeeded)
                {
                    return;
                }
            }

            _stop.Token.ThrowIfCancellationRequested();
            _initialized = true;
            await Task.WhenAll(_main.Select(container => container.RunAsync(_stop.Token)));
        }
        finally
        {
            await sidecars.CancelAsync();
            await Task.WhenAll(beside);
        }
    }

    private void Publish()
    {
        lock (_publishing)
        {
            Volatile.Write(ref _dirty, 0);
            if (!_bound || _removed || _node.Shutdown.IsCancellationRequested)
            {
                return;
            }

            try
            {
                _node.Context.Store.Update(Key, Describe);
            }
#pragma warning disable CA1031 // Runs on the thread pool, where it would end the process; it is reported instead.
            catch (Exception failure)
#pragma warning restore CA1031
            {
                Report(failure);
            }
        }
    }

    private void Describe(JsonObject pod)
    {
        if (pod.Uid() != Uid)
        {
            return;
        }

        pod.Child("spec")["nodeName"] = _node.Context.Node;
        var init = _init.ConvertAll(container => container.Snapshot);
        var main = _main.ConvertAll(container => container.Snapshot);
        var hasNetwork = _init.Count > 0 || main.Exists(container => container.ContainerId is not null);
        PodStatus.Write(pod, init, main, _initialized, hasNetwork ? Ip : null, _node.Context.Now);
    }

    private void Clear()
    {
        try
        {
            Publish();
            Volumes.Delete();
        }
        catch (IOException failure)
        {
            Report(failure);
        }

        if (Ip.Length > 0)
        {
            _node.Addresses.Release(Ip);
        }

        if (!_removed && _node.Context.Store.Get(Key)?.Uid() == Uid)
        {
            _node.Context.Store.Delete(Key, gracePeriodSeconds: 0);
        }
    }

    private void Report(Exception failure)
    {
        _node.Context.Complain($"{Kubelet.Component}: pods {Key.Namespace}/{Key.Name}: {failure}");
        _node.Context.Events.Warning(Kubelet.Component, Latest, "FailedSync", failure.Message);
    }
}
