using System.Collections.Concurrent;
using Rehearsal.Cluster;

namespace Rehearsal.Controllers;

/// <summary>The node's agent: a worker for each pod, and what the API server asks of a node (logs, exec).</summary>
internal sealed class Kubelet : IAsyncDisposable
{
    public const string Component = "kubelet";

    private readonly ControllerContext _context;
    private readonly NodeServices _node;
    private readonly CancellationTokenSource _shutdown = new();
    private readonly ConcurrentDictionary<string, PodWorker> _pods = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<PodWorker, Task> _running = new();

    public Kubelet(ControllerContext context, Func<string, ContainerImage?> images, string directory, uint? firstAddress)
    {
        _context = context;
        var probes = new ProbeActions(context.Time);
        _node = new NodeServices(context, images, Path.GetFullPath(directory), new PodAddresses(firstAddress), probes, _shutdown.Token);
        Streams = new NodeStreams(LogsAsync, ExecAsync);
    }

    public NodeStreams Streams { get; }

    /// <summary>
    /// Makes the node's directory, removes what pods left there that are no more, and says of those that are ready that they are not:
    /// their containers ended with the process before.
    /// </summary>
    public void Prepare()
    {
        PodVolumes.CreatePrivate(_node.Directory);
        var stored = _context.Store.List("", "pods");
        foreach (var pod in stored.Where(pod => pod.Text("spec", "nodeName") == _context.Node && PodCounts.IsReady(pod)))
        {
            _context.Store.Update(PodCounts.KeyOf(pod), item => PodStatus.TakeReadiness(item, _context.Now));
        }

        var alive = stored.Select(pod => pod.Uid()).ToHashSet(StringComparer.Ordinal);
        var pods = Path.Combine(_node.Directory, "pods");
        PodVolumes.CreatePrivate(pods);
        foreach (var left in Directory.EnumerateDirectories(pods).Where(path => !alive.Contains(Path.GetFileName(path))).ToList())
        {
            Directory.Delete(left, recursive: true);
        }
    }

    public void Observe(Change change)
    {
        switch (change.Key)
        {
            case { Group: "", Resource: "pods" }:
                ObservePod(change);
                break;
            case { Group: "", Resource: "secrets" or "configmaps" or "persistentvolumeclaims" }:
                if (change is { Kind: ChangeKind.Deleted, Key: { Resource: "persistentvolumeclaims" } claim })
                {
                    DeleteClaim(claim);
                }

                foreach (var pod in In(change.Key.Namespace))
                {
                    pod.ConfigurationChanged(change.Key);
                }

                break;
            case { Group: "", Resource: "endpoints" }:
                foreach (var pod in In(change.Key.Namespace))
                {
                    pod.EndpointsChanged(change);
                }

                break;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _shutdown.CancelAsync();
        await Task.WhenAll(_running.Values);
        _node.Probes.Dispose();
        _shutdown.Dispose();
    }

    private IEnumerable<PodWorker> In(string? @namespace) => _pods.Values.Where(pod => pod.Key.Namespace == @namespace);

    private void ObservePod(Change change)
    {
        var uid = change.Object.Uid();
        if (change.Kind == ChangeKind.Deleted)
        {
            if (_pods.TryRemove(uid, out var gone))
            {
                gone.Removed();
            }

            return;
        }

        if (_pods.TryGetValue(uid, out var known))
        {
            known.Observe(change.Object);
            return;
        }

        var worker = new PodWorker(_node, change.Object);
        _pods[uid] = worker;
        if (change.Object.IsDeleting())
        {
            worker.Observe(change.Object);
        }

        _running[worker] = Task.Run(async () =>
        {
            try
            {
                await worker.RunAsync();
            }
#pragma warning disable CA1031 // The last stop of a pod's flow; unreported it would vanish in an unobserved task.
            catch (Exception failure)
#pragma warning restore CA1031
            {
                _context.Complain($"{Component}: pods {worker.Key.Namespace}/{worker.Key.Name}: {failure}");
            }
            finally
            {
                _running.TryRemove(worker, out _);
            }
        });
    }

    private void DeleteClaim(ObjectKey claim)
    {
        var directory = Path.Combine(_node.Directory, "claims", claim.Namespace!, claim.Name);
        if (Directory.Exists(directory))
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private ContainerWorker? Find(string @namespace, string pod, string container) =>
        In(@namespace).FirstOrDefault(worker => worker.Key.Name == pod)?.Container(container);

    private Task<PodLog?> LogsAsync(PodLogRequest request, CancellationToken cancellation)
    {
        var worker = Find(request.Namespace, request.Pod, request.Container);
        var log = request.Previous ? worker?.PreviousLog : worker?.CurrentLog;
        return Task.FromResult(log?.Read(request.Follow));
    }

    private async Task<int> ExecAsync(PodExecRequest request, CancellationToken cancellation)
    {
        var worker = Find(request.Namespace, request.Pod, request.Container);
        if (worker is not { Snapshot.State: ContainerState.Running, Place: { } place })
        {
            throw new ApiException(500, "InternalError", $"container not found (\"{request.Container}\")");
        }

        // The host's first process is none of the container's business.
        if (request.Command is ["kill", .., "1"])
        {
            worker.Signal();
            return 0;
        }

        var stderr = request.Tty ? null : request.Stderr;
        return await ContainerExec.RunAsync(place, request.Command, request.Stdin, request.Stdout, stderr, cancellation);
    }
}
