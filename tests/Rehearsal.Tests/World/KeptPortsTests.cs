using System.Net;
using System.Net.Sockets;
using Rehearsal.World;

namespace Rehearsal.Tests.World;

public sealed class KeptPortsTests
{
    [Test]
    public void A_port_is_chosen_once_and_each_name_has_its_own()
    {
        using var place = new TestPlace();
        int first;
        using (var socket = place.Place.Ports.ClaimTcp("a", IPAddress.Loopback))
        {
            first = ((IPEndPoint)socket.LocalEndPoint!).Port;
        }

        using var again = place.Place.Ports.ClaimTcp("a", IPAddress.Loopback);
        using var other = place.Place.Ports.ClaimTcp("b", IPAddress.Loopback);
        Assert.That(((IPEndPoint)again.LocalEndPoint!).Port, Is.EqualTo(first));
        Assert.That(((IPEndPoint)other.LocalEndPoint!).Port, Is.Not.EqualTo(first));
    }

    [Test]
    public void A_kept_port_that_is_taken_is_told_and_not_replaced()
    {
        using var place = new TestPlace();
        using var holder = place.Place.Ports.ClaimTcp("a", IPAddress.Loopback);
        holder.Listen();
        var port = ((IPEndPoint)holder.LocalEndPoint!).Port;
        Assert.That(
            () => place.Place.Ports.ClaimTcp("a", IPAddress.Loopback),
            Throws.InstanceOf<IOException>().With.Message.Contains($"Port {port} of 'a'"));
    }

    [Test]
    public void A_port_in_use_is_passed_over_at_the_first_choice()
    {
        using var place = new TestPlace();
        var tried = new List<int>();
        var port = place.Place.Ports.Claim("a", candidate =>
        {
            tried.Add(candidate);
            return tried.Count < 3 ? throw new SocketException((int)SocketError.AddressAlreadyInUse) : candidate;
        });
        Assert.That(tried, Has.Count.EqualTo(3));
        Assert.That(place.Place.Ports.Claim("a", kept => kept), Is.EqualTo(port));
    }
}
