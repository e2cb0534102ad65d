using System.Globalization;
using Rehearsal.Aether.Http;
using Rehearsal.Aether.Jobs;
using Rehearsal.Aether.Services;

namespace Rehearsal.Aether;

/// <summary>What all containers of one world share.</summary>
/// <param name="Fault">Argument of a named fault, or null while it is off; asked at the moment of use.</param>
/// <param name="Exchange">Where OMS pods without <c>EXCHANGE_URL</c> send their orders; null: they send none.</param>
public sealed record AetherStandInOptions(Func<string, string?> Fault, TimeProvider Time, Uri? Exchange = null)
{
    /// <summary>
    /// Told of each transition of a fence, <c>safe-mode-enter:SLOT</c>; with <c>-repeated</c> behind it where it changed nothing.
    /// </summary>
    public Action<string> Effect { get; init; } = _ => { };
}

/// <summary>
/// Aether's services and jobs, imitated with the behaviour that matters to a rollout. A container is told what it is by
/// <c>AETHER_SERVICE</c>, listens on its pod's address, and keeps everything that must outlive it in PostgreSQL, Redis or its mounts.
/// </summary>
public sealed class AetherStandIn : IAsyncDisposable
{
    private readonly World _world;

    private AetherStandIn(World world) => _world = world;

    public static async Task<AetherStandIn> CreateAsync(AetherStandInOptions options, CancellationToken ct) =>
        new(new World(options, await HttpHub.StartAsync(options.Time, ct)));

    /// <summary>True when <paramref name="image"/> (repository and tag) is one of Aether's; a kubelet cannot pull any other.</summary>
    public static bool Knows(string image) => Catalogue.Find(Repository(image)) is not null;

    /// <summary>Starts the container; it gets ready, fails or completes on its own.</summary>
    public Task<StandInProcess> StartAsync(StandInStart start, CancellationToken ct)
    {
        ct.ThrowIfCancellationRequested();
        foreach (var name in Names(start))
        {
            if (JobCatalogue.Find(name) is { } job)
            {
                var pod = new Pod(start, name, _world);
                return Task.FromResult(new StandInProcess(stop => RunJobAsync(pod, job, stop)));
            }

            if (Catalogue.Find(name) is { } workload)
            {
                var pod = new Pod(start, workload.Name, _world);
                return Task.FromResult(new StandInProcess(new ServiceProcess(pod, workload).RunAsync));
            }
        }

        start.Log(string.Create(CultureInfo.InvariantCulture, $"exec: no such program in image {start.Image}"));
        return Task.FromResult(new StandInProcess(_ => Task.FromResult(127)));
    }

    public async ValueTask DisposeAsync() => await _world.DisposeAsync();

    private static IEnumerable<string> Names(StandInStart start)
    {
        if (start.Environment.TryGetValue("AETHER_SERVICE", out var service) && service.Length > 0)
        {
            yield return service;
        }

        // The bootstrap jobs run with a backend's image.
        yield return start.ContainerName;
        yield return Repository(start.Image);
    }

    private static string Repository(string image)
    {
        var name = image[(image.LastIndexOf('/') + 1)..];
        var end = name.AsSpan().IndexOfAny(':', '@');
        return end < 0 ? name : name[..end];
    }

    private static async Task<int> RunJobAsync(Pod pod, Func<Pod, CancellationToken, Task<int>> job, CancellationToken stop)
    {
        try
        {
            return await job(pod, stop);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return 143;
        }
        catch (Exception failure) when (failure is not OutOfMemoryException)
        {
            pod.Log($"Traceback: {failure.Message}");
            return 1;
        }
    }
}
