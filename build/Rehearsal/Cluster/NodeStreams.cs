namespace Rehearsal.Cluster;

/// <summary>What the API server asks of the nodes: it holds no containers itself. The kubelet's side fills the delegates.</summary>
/// <param name="Logs">Answers <c>pods/log</c> and the output half of <c>attach</c>.</param>
/// <param name="Exec">Answers <c>pods/exec</c> (and so <c>kubectl cp</c>).</param>
/// <param name="ProxyAddress">Where a pod's port can be reached for <c>pods/proxy</c> and <c>services/proxy</c>; null: <c>status.podIP</c>
/// and the port.</param>
public sealed record NodeStreams(PodLogs Logs, PodExec Exec, PodProxyAddress? ProxyAddress = null);

/// <summary>Which log is wanted. Tail, since, limit and time stamps are the API server's work.</summary>
/// <param name="Previous">The log of the container's previous run.</param>
/// <param name="Follow">Whether <see cref="PodLog.Later"/> will be read.</param>
public sealed record PodLogRequest(string Namespace, string Pod, string Container, bool Previous, bool Follow);

/// <summary>One line a container wrote, without its line end.</summary>
public sealed record LogLine(DateTimeOffset Time, string Text);

/// <summary>
/// A container's log: what is written so far, and what comes after exactly that until the container ends (needed only to follow).
/// </summary>
public sealed record PodLog(IReadOnlyList<LogLine> Written, IAsyncEnumerable<LogLine>? Later = null);

/// <summary>The log, or null where the container never ran (or has no previous run). May throw <see cref="ApiException"/>.</summary>
public delegate Task<PodLog?> PodLogs(PodLogRequest request, CancellationToken cancellation);

/// <summary>Size of the client's terminal in characters.</summary>
public sealed record TerminalSize(int Width, int Height);

/// <summary>
/// A command to run in a container. Streams the client did not ask for are null; stdin ends (reads 0) when the client ends it.
/// </summary>
/// <param name="Sizes">Terminal sizes as the client reports them; only with <paramref name="Tty"/>.</param>
public sealed record PodExecRequest(
    string Namespace,
    string Pod,
    string Container,
    IReadOnlyList<string> Command,
    Stream? Stdin,
    Stream? Stdout,
    Stream? Stderr,
    bool Tty,
    IAsyncEnumerable<TerminalSize>? Sizes = null);

/// <summary>
/// Runs the command to its end and returns its exit code (126 or 127 where it could not be started, with the reason on stderr).
/// A cancelled token means that the client went away.
/// </summary>
public delegate Task<int> PodExec(PodExecRequest request, CancellationToken cancellation);

/// <summary>Base address (<c>http://IP:PORT</c>) of a port of a pod, or null where nothing can be reached.</summary>
public delegate Uri? PodProxyAddress(string @namespace, string pod, int port);
