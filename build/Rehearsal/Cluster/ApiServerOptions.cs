namespace Rehearsal.Cluster;

/// <summary>How the embedded API server is reached and where it keeps what must outlive the process.</summary>
public sealed record ApiServerOptions
{
    /// <summary>
    /// Holds <c>ca.crt</c>, <c>server.crt</c>, their keys and <c>token</c>, made at the first start and reused afterwards.
    /// </summary>
    public required string Directory { get; init; }

    /// <summary>Loopback address to listen on.</summary>
    public string Host { get; init; } = "127.0.0.1";

    /// <summary>0: the operating system chooses; see <c>ApiServer.Address</c>.</summary>
    public int Port { get; init; }

    /// <summary>The bearer token of the administrator; null: made at the first start and kept in the directory.</summary>
    public string? Token { get; init; }

    /// <summary>Logs, exec and proxy addresses; null: those requests answer 501.</summary>
    public NodeStreams? Node { get; init; }

    /// <summary>The argument of a misbehaviour that is on, else null; the same instance until it is set again.</summary>
    public Func<string, string?> Fault { get; init; } = _ => null;

    /// <summary>Told of failures that are the server's own; the client hears of them as 500.</summary>
    public Action<string> Complain { get; init; } = Console.Error.WriteLine;
}
