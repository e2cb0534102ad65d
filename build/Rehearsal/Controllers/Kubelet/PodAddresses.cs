using System.Net;

namespace Rehearsal.Controllers;

/// <summary>
/// Hands out pod addresses from 127.64.0.0/10, each to one living pod. The place to begin is drawn by lot, so that two worlds on
/// one machine hardly meet; an address that was given back is not given out again soon.
/// </summary>
internal sealed class PodAddresses(uint? first)
{
    private const uint Network = 0x7F400000;
    private const uint Size = 1u << 22;

    private readonly Lock _lock = new();
    private readonly HashSet<uint> _taken = [];
    private uint _next = first ?? (uint)Random.Shared.Next(256, (int)Size - 65536);

    public string Take()
    {
        lock (_lock)
        {
            while (true)
            {
                var offset = _next;
                _next = (_next + 1) % Size;

                // .0 and .255 are legal here but look like mistakes in logs.
                if ((offset & 0xFF) is not (0 or 0xFF) && _taken.Add(offset))
                {
                    return Format(offset);
                }
            }
        }
    }

    /// <summary>Keeps the address a pod had before; false when it is no address of ours or somebody has it.</summary>
    public bool Keep(string address)
    {
        lock (_lock)
        {
            return Parse(address) is { } offset && _taken.Add(offset);
        }
    }

    public void Release(string address)
    {
        lock (_lock)
        {
            if (Parse(address) is { } offset)
            {
                _taken.Remove(offset);
            }
        }
    }

    private static string Format(uint offset)
    {
        var value = Network + offset;
        return new IPAddress([(byte)(value >> 24), (byte)(value >> 16), (byte)(value >> 8), (byte)value]).ToString();
    }

    private static uint? Parse(string address)
    {
        if (!IPAddress.TryParse(address, out var ip) || ip.GetAddressBytes() is not [var a, var b, var c, var d])
        {
            return null;
        }

        var offset = ((uint)a << 24 | (uint)b << 16 | (uint)c << 8 | d) - Network;
        return offset < Size ? offset : null;
    }
}
