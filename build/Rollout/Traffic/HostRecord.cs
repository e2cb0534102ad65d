namespace Rollout.Traffic;

/// <summary>One address record that sends a host's clients to a slot, as the DNS provider has it.</summary>
/// <param name="Host">Full name, lower case, without a final dot; in CNAME mode the one name that all hosts are aliases of.</param>
/// <param name="Type"><c>A</c> or <c>AAAA</c>.</param>
/// <param name="Target">The address.</param>
/// <param name="TtlSeconds">How long a resolver may keep the answer; never 0, which Linode uses for "the zone's default".</param>
/// <param name="Handle">The provider's own way to say which record this is.</param>
public sealed record HostRecord(string Host, string Type, string Target, int TtlSeconds, string Handle);
