namespace Rollout.Traffic;

/// <summary>One record at a name, as the provider has it.</summary>
/// <param name="Type">As in a zone file: <c>A</c>, <c>AAAA</c>, <c>CNAME</c>.</param>
/// <param name="Target">An address, or a name in lower case without a final dot.</param>
/// <param name="TtlSeconds">What name servers give out; never a provider's "default" marker.</param>
/// <param name="Handle">The provider's own way to say which record this is; means nothing to others.</param>
internal sealed record ZoneRecord(string Type, string Target, int TtlSeconds, string Handle);

/// <summary>What the provider has at one name.</summary>
/// <param name="Name">Full name, lower case, without a final dot.</param>
/// <param name="Records">Its A, AAAA and CNAME records.</param>
/// <param name="Problem">Why nothing at the name can be changed here, as a sentence without its full stop; null where it can.</param>
/// <param name="Wildcard">The wildcard that answers for the name where it has no record of its own; null where none does.</param>
internal sealed record NameRecords(string Name, IReadOnlyList<ZoneRecord> Records, string? Problem = null, string? Wildcard = null);

/// <summary>One record that gets another target; its TTL stays.</summary>
/// <param name="Record">The record with the target that it is expected to have now.</param>
/// <param name="Target">The target it gets.</param>
internal sealed record RecordChange(HostRecord Record, string Target);

/// <summary>
/// Where the records are edited: Linode's API, or dynamic update (RFC 2136). It knows nothing of flips; <see cref="DnsZone"/> makes
/// them all or none.
/// </summary>
internal interface IDnsProvider : IDisposable
{
    /// <summary>How many batches may be written at the same time.</summary>
    int AtOnce { get; }

    /// <summary>Where a person edits the records by hand, as in "in Linode's DNS manager".</summary>
    string Editor { get; }

    /// <summary>Reads the names, in the order given.</summary>
    /// <param name="names">Lower case, without final dots, each once.</param>
    /// <param name="cancellationToken">Stops the reading.</param>
    /// <exception cref="RolloutException">The provider does not answer, or refuses.</exception>
    Task<IReadOnlyList<NameRecords>> ReadAsync(IReadOnlyCollection<string> names, CancellationToken cancellationToken);

    /// <summary>Divides changes into what the provider makes in one go: all of a batch take effect, or none.</summary>
    IReadOnlyList<IReadOnlyList<RecordChange>> Batches(IReadOnlyList<RecordChange> changes);

    /// <summary>
    /// Writes one batch and sees that the provider has it. Repeated for a batch that has taken effect already it changes nothing. A
    /// write under way is not cut off by cancellation: it would be unknown whether it took effect.
    /// </summary>
    /// <exception cref="RolloutException">It was refused or is unknown; exit code 5: the lock is lost, and nothing was written.</exception>
    Task WriteAsync(IReadOnlyList<RecordChange> batch, CancellationToken cancellationToken);
}
