namespace Rehearsal.Aether;

/// <summary>One container as the kubelet starts it.</summary>
/// <param name="Image">Repository and tag; the repository's last segment names the workload where nothing else does.</param>
/// <param name="Mounts">Path inside the container → directory (or file) of the host that is mounted there.</param>
/// <param name="RootDirectory">Directory of the host that stands for the container's file system.</param>
/// <param name="Ports">Declared container ports; for information, a workload listens where the platform's does.</param>
/// <param name="Log">Takes one line of the container's output.</param>
/// <param name="ReadOnlyRoot">The container may write only to its mounts.</param>
public sealed record StandInStart(
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
    Action<string> Log,
    bool ReadOnlyRoot = false);
