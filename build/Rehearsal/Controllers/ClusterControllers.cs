using Rehearsal.Cluster;

namespace Rehearsal.Controllers;

/// <summary>What the controllers need besides the store.</summary>
public sealed record ControllersOptions
{
    /// <summary>The node's directory: volumes and container file systems. Made with mode 0700; claims in it outlive the process.</summary>
    public required string Directory { get; init; }

    /// <summary>The image of a reference; null: it cannot be pulled (ErrImagePull). Asked again at every try.</summary>
    public required Func<string, ContainerImage?> Images { get; init; }

    /// <summary>The Node's name.</summary>
    public string Node { get; init; } = "rehearsal";

    /// <summary>Told of failures inside controllers; they also become Events.</summary>
    public Action<string> Complain { get; init; } = Console.Error.WriteLine;

    /// <summary>Where in 127.64.0.0/10 pod addresses begin (an offset); null: drawn by lot.</summary>
    public uint? FirstAddress { get; init; }
}

/// <summary>
/// What makes a cluster of stored objects: workload controllers, garbage collection, endpoints, and a kubelet that runs containers in
/// this process. (Namespaces are furnished and emptied by the API server.) Everything is driven by the store's changes. Disposing ends
/// the containers and leaves the objects, so that the next start runs the same pods again.
/// </summary>
public sealed class ClusterControllers : IAsyncDisposable
{
    private readonly ObjectStore _store;
    private readonly ControllersOptions _options;
    private readonly TimeProvider _time;
    private readonly ControllerContext _context;
    private readonly Kubelet _kubelet;
    private readonly Controller[] _controllers;

    // Those whose statuses count ready pods, each after the ones it counts by.
    private readonly (Controller Controller, string Group, string Resource)[] _counting;
    private readonly CancellationTokenSource _stop = new();
    private Task _running = Task.CompletedTask;

    public ClusterControllers(ObjectStore store, ControllersOptions options, TimeProvider time)
    {
        _store = store;
        _options = options;
        _time = time;
        _context = new ControllerContext(store, time, new EventRecorder(store, time, options.Node), options.Node, options.Complain);
        _kubelet = new Kubelet(_context, options.Images, options.Directory, options.FirstAddress);
        _counting =
        [
            (new EndpointsController(_context), "", "services"),
            (new ReplicaSetController(_context), "apps", "replicasets"),
            (new DeploymentController(_context), "apps", "deployments"),
            (new StatefulSetController(_context), "apps", "statefulsets"),
            (new DaemonSetController(_context), "apps", "daemonsets"),
        ];
        _controllers =
        [
            .. _counting.Select(counting => counting.Controller),
            new JobController(_context),
            new ClaimController(_context),
            new DisruptionController(_context),
            new AutoscalerController(_context),
            new GarbageCollector(_context),
        ];
    }

    /// <summary>Logs and exec, for <see cref="ApiServerOptions.Node"/>.</summary>
    public NodeStreams Node => _kubelet.Streams;

    /// <summary>
    /// Registers the node, starts the pods that are in the store and from then on follows its changes. When it returns, no stored
    /// status or Endpoints calls anything ready that ran in an earlier process and has not started again.
    /// </summary>
    public void Start()
    {
        _kubelet.Prepare();
        _context.Events.Adopt();
        NodeRegistration.Ensure(_store, _time, _options.Node);
        foreach (var (controller, group, resource) in _counting)
        {
            controller.CatchUp(_store.List(group, resource).Select(item => item.Key(group, resource)));
        }

        var loops = _controllers.Select(controller => (Func<CancellationToken, Task>)controller.RunAsync).Append(DispatchAsync);
        _running = Task.WhenAll(loops.Select(loop => Task.Run(() => QuietlyAsync(loop))).ToList());
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _running;
        await _kubelet.DisposeAsync();
        foreach (var controller in _controllers)
        {
            controller.Dispose();
        }

        _stop.Dispose();
    }

    private async Task QuietlyAsync(Func<CancellationToken, Task> loop)
    {
        try
        {
            await loop(_stop.Token);
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // The end that was asked for.
        }
    }

    private async Task DispatchAsync(CancellationToken cancellation)
    {
        await foreach (var change in _store.WatchAsync(cancellation))
        {
            Offer("kubelet", change, _kubelet.Observe);
            foreach (var controller in _controllers)
            {
                Offer(controller.GetType().Name, change, controller.Observe);
            }
        }
    }

    private void Offer(string name, Change change, Action<Change> observe)
    {
        try
        {
            observe(change);
        }
#pragma warning disable CA1031 // One change that one controller trips over must not make all the others blind.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            _options.Complain($"{name}: {change.Kind} {change.Key}: {failure}");
            _context.Events.Warning(name, change.Object, "ReconcileError", failure.Message);
        }
    }
}
