namespace Rehearsal.Controllers;

/// <summary>All a container is started with.</summary>
/// <param name="PodIp">A loopback address (out of 127.64.0.0/10) that is the pod's alone while it lives.</param>
/// <param name="Command">The pod's command with <c>$(VAR)</c> expanded; empty: the image's own.</param>
/// <param name="Mounts">Container path → host directory (or file, for a subPath).</param>
/// <param name="RootDirectory">
/// Host folder that stands for the container's file system: at each start the usual empty folders, and links to the mounts.
/// </param>
/// <param name="Log">Takes what the container prints; each call ends a line.</param>
public sealed record ContainerStart(
    string Namespace,
    string PodName,
    string PodUid,
    string PodIp,
    string ContainerName,
    string Image,
    IReadOnlyList<string> Command,
    IReadOnlyList<string> Args,
    IReadOnlyDictionary<string, string> Environment,
    IReadOnlyDictionary<string, string> Mounts,
    string RootDirectory,
    IReadOnlyList<int> Ports,
    Action<string> Log);

/// <summary>A started container. Disposing it is the termination signal, and returns when it has ended.</summary>
public interface IRunningContainer : IAsyncDisposable
{
    /// <summary>The exit code, once it has ended, by itself or by being disposed.</summary>
    Task<int> Completion { get; }
}

/// <summary>Starts a container; returns when it runs. A failure counts as a container that could not be started.</summary>
public delegate Task<IRunningContainer> ContainerImage(ContainerStart start, CancellationToken cancellation);
