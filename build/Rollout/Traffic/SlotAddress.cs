using System.Net;
using System.Net.Sockets;

namespace Rollout.Traffic;

/// <summary>Where a slot's load balancer answers: what A records, and AAAA records where hosts have them, have to say.</summary>
/// <param name="V4">The IPv4 address.</param>
/// <param name="V6">The IPv6 address; null where the load balancer has none.</param>
public sealed record SlotAddress(string V4, string? V6 = null)
{
    /// <summary>
    /// Makes one of what a Service's <c>status.loadBalancer.ingress[]</c> lists: addresses, or a name where the cloud gives only that
    /// (Linode's <c>hostname-only-ingress</c>), which is looked up.
    /// </summary>
    /// <param name="slot">For messages.</param>
    /// <param name="ingress">Addresses and names.</param>
    /// <param name="cancellationToken">Stops the look-up.</param>
    /// <exception cref="RolloutException">There is no IPv4 address, or more than one of a family: a record can hold only one.</exception>
    public static async Task<SlotAddress> FromAsync(string slot, IReadOnlyList<string> ingress, CancellationToken cancellationToken)
    {
        var found = new List<IPAddress>();
        foreach (var entry in ingress)
        {
            found.AddRange(IPAddress.TryParse(entry, out var address) ? [address] : await LookUpAsync(slot, entry, cancellationToken));
        }

        var v4 = Of(AddressFamily.InterNetwork);
        var v6 = Of(AddressFamily.InterNetworkV6);
        if (v4.Count != 1 || v6.Count > 1)
        {
            throw new RolloutException(
                $"The load balancer of {slot} has {v4.Count} IPv4 and {v6.Count} IPv6 addresses ({string.Join(", ", found)}); expected one, and at most one.",
                "A host record holds one address of a family: give each slot one load balancer with one address.");
        }

        return new SlotAddress(v4[0], v6.SingleOrDefault());

        List<string> Of(AddressFamily family) => [.. found.Where(a => a.AddressFamily == family).Select(a => a.ToString()).Distinct()];
    }

    /// <summary>What a record of this type has to say.</summary>
    /// <exception cref="InvalidOperationException">An AAAA record is asked for and there is no IPv6 address.</exception>
    public string TargetOf(string type) => type == "AAAA"
        ? V6 ?? throw new InvalidOperationException($"{V4} has no IPv6 address beside it.")
        : V4;

    public override string ToString() => V6 is null ? V4 : $"{V4} and {V6}";

    private static async Task<IPAddress[]> LookUpAsync(string slot, string name, CancellationToken cancellationToken)
    {
        try
        {
            return await Dns.GetHostAddressesAsync(name, cancellationToken);
        }
        catch (SocketException exception)
        {
            throw new RolloutException(
                $"The load balancer of {slot} has only the name {name}, and that name has no address: {exception.Message}.",
                "Wait until the cloud has made it, or let the load balancer publish its address.",
                innerException: exception);
        }
    }
}
