using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;

namespace Rehearsal.World;

/// <summary>
/// The ports of one world: chosen once, when a server first asks, then kept in <c>ports.json</c> of the world's directory, so that
/// a restarted world has the same addresses and what was written into kubeconfigs, values files and world.json stays true.
/// </summary>
public sealed class KeptPorts
{
    // Below the range Linux hands to outgoing connections (32768-60999), so that no connection sits on a kept port at the next start.
    private const int First = 20000;
    private const int Last = 32000;
    private const int Attempts = 64;

    private readonly string _file;
    private readonly Dictionary<string, int> _ports = [];
    private readonly Lock _lock = new();

    private KeptPorts(string file)
    {
        _file = file;
    }

    /// <summary>Reads the ports kept in the directory, which must exist.</summary>
    public static KeptPorts Open(string directory)
    {
        var ports = new KeptPorts(Path.Combine(directory, "ports.json"));
        if (StateFile.Read(ports._file) is JsonObject kept)
        {
            foreach (var (name, port) in kept)
            {
                ports._ports[name] = (int)port!;
            }
        }

        return ports;
    }

    /// <summary>
    /// Calls <paramref name="bind"/> with the kept port of this name, or with free ports until one works, which is then kept.
    /// </summary>
    /// <exception cref="IOException">The kept port is taken by another process, or no port could be had at all.</exception>
    public T Claim<T>(string name, Func<int, T> bind)
    {
        lock (_lock)
        {
            if (_ports.TryGetValue(name, out var kept))
            {
                try
                {
                    return bind(kept);
                }
                catch (SocketException taken) when (taken.SocketErrorCode == SocketError.AddressAlreadyInUse)
                {
                    throw new IOException(
                        $"Port {kept} of '{name}' is taken by another process; this world promised it at its creation ({_file}). " +
                        "End that process (an earlier rehearsal?), or start a world in another directory.", taken);
                }
            }

            for (var attempt = 0; attempt < Attempts; attempt++)
            {
                var port = Random.Shared.Next(First, Last);
                if (_ports.ContainsValue(port))
                {
                    continue;
                }

                try
                {
                    var bound = bind(port);
                    _ports[name] = port;
                    Save();
                    return bound;
                }
                catch (SocketException taken) when (taken.SocketErrorCode == SocketError.AddressAlreadyInUse)
                {
                    // Somebody else has it: the next one.
                }
            }

            throw new IOException($"No free port for '{name}' between {First} and {Last} after {Attempts} attempts.");
        }
    }

    /// <summary>A bound, not yet listening TCP socket on the kept port of this name.</summary>
    public Socket ClaimTcp(string name, IPAddress address)
    {
        return Claim(name, port => Bind(new IPEndPoint(address, port), SocketType.Stream, ProtocolType.Tcp));
    }

    /// <summary>The kept port of this name for a server that binds by itself, later; it was free a moment ago.</summary>
    public IPEndPoint Reserve(string name)
    {
        return Claim(name, port =>
        {
            var endPoint = new IPEndPoint(IPAddress.Loopback, port);
            using var probe = Bind(endPoint, SocketType.Stream, ProtocolType.Tcp);
            return endPoint;
        });
    }

    internal static Socket Bind(IPEndPoint endPoint, SocketType type, ProtocolType protocol)
    {
        var socket = new Socket(endPoint.AddressFamily, type, protocol);
        try
        {
            socket.Bind(endPoint);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private void Save()
    {
        var ports = new JsonObject();
        foreach (var (name, port) in _ports.OrderBy(entry => entry.Key, StringComparer.Ordinal))
        {
            ports[name] = port;
        }

        StateFile.Write(_file, ports);
    }
}
