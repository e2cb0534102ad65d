using System.Net;
using Rehearsal.Controllers;
using Rehearsal.World;

namespace Rehearsal;

/// <summary>The container that stands in the cluster for a slot's edge: its metrics and its health.</summary>
internal sealed class IngressController : IRunningContainer
{
    /// <summary>The image that a node of a rehearsal starts as one.</summary>
    public const string Image = "ingress-nginx/controller:v1.12.1";

    private readonly EdgeMetrics _metrics;
    private readonly TaskCompletionSource<int> _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private IngressController(EdgeMetrics metrics)
    {
        _metrics = metrics;
    }

    public Task<int> Completion => _completion.Task;

    /// <param name="edgeOf">The edge whose controller a namespace holds; null while it is not up yet.</param>
    public static ContainerImage Of(Func<string, Edge?> edgeOf)
    {
        return async (start, cancellationToken) => new IngressController(await EdgeMetrics.StartAsync(
            IPAddress.Parse(start.PodIp), () => edgeOf(start.Namespace), start.Namespace, start.PodName, cancellationToken));
    }

    public async ValueTask DisposeAsync()
    {
        await _metrics.DisposeAsync();
        _completion.TrySetResult(0);
    }
}
