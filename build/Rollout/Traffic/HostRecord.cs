namespace Rollout.Traffic;

/// <summary>The one address record that sends a host's clients to a slot, as the DNS provider has it.</summary>
/// <param name="Host">Full name, lower case, without a final dot.</param>
/// <param name="ZoneId">Linode's id of the domain the record is in.</param>
/// <param name="RecordId">Linode's id of the record.</param>
/// <param name="Type">Always <c>A</c>: anything else at the name is refused when it is read.</param>
/// <param name="Target">The address.</param>
/// <param name="TtlSeconds">How long a resolver may keep the answer; never 0, which Linode uses for "the zone's default".</param>
public sealed record HostRecord(string Host, long ZoneId, long RecordId, string Type, string Target, int TtlSeconds);
