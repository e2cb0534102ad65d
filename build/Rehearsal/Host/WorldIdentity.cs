using System.Net;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Rehearsal.World;

namespace Rehearsal;

/// <summary>
/// What is drawn by lot when a world is created and stays: tokens, passwords and the slots' addresses. Kept in <c>identity.json</c>,
/// readable by the owner only.
/// </summary>
public sealed class WorldIdentity
{
    private readonly string _file;
    private readonly JsonObject _drawn;
    private readonly Lock _lock = new();

    private WorldIdentity(string file, JsonObject drawn)
    {
        _file = file;
        _drawn = drawn;
    }

    public static WorldIdentity Open(string directory)
    {
        var file = Path.Combine(directory, "identity.json");
        return new WorldIdentity(file, StateFile.Read(file) as JsonObject ?? []);
    }

    /// <summary>The release that was live at the end of the creation; null while the world has never been ready.</summary>
    public string? CreatedWith
    {
        get
        {
            lock (_lock)
            {
                return (string?)_drawn["createdWith"];
            }
        }
    }

    public void Created(string release)
    {
        Keep("createdWith", () => release);
    }

    /// <summary>A random secret that is this purpose's alone.</summary>
    public string Token(string purpose)
    {
        return Keep("token-" + purpose, () => Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(24)));
    }

    /// <summary>The slot's load balancer: two neighbouring addresses of 127.16.0.0 to 127.47.255.255 for each world.</summary>
    public IPAddress Address(string slot)
    {
        var network = Keep("network", () => $"127.{RandomNumberGenerator.GetInt32(16, 48)}.{RandomNumberGenerator.GetInt32(0, 256)}");
        return IPAddress.Parse($"{network}.{(slot == "blue" ? 10 : 20)}");
    }

    private string Keep(string name, Func<string> draw)
    {
        lock (_lock)
        {
            if ((string?)_drawn[name] is { } kept)
            {
                return kept;
            }

            var drawn = draw();
            _drawn[name] = drawn;
            StateFile.Write(_file, _drawn);
            return drawn;
        }
    }
}
