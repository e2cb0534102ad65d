using Npgsql;
using static Rollout.Database.DatabaseConnections;

namespace Rollout.Database;

/// <summary>The governance log as the database holds it: both audit trails and their witnesses.</summary>
/// <param name="dsn">A <c>postgresql://</c> address or a connection string.</param>
public sealed class GovernanceLog(Secret dsn)
{
    private readonly DatabaseConnections _connections = new(dsn);

    /// <summary>
    /// Governance events of the window, oldest first, from everywhere the platform may have written them: each write may fail unnoticed, so
    /// one event is often in some of the places only.
    /// </summary>
    /// <exception cref="RolloutException">The database does not answer.</exception>
    public Task<IReadOnlyList<GovernanceEvent>> EventsAsync(
        DateTimeOffset from, DateTimeOffset to, CancellationToken cancellationToken) =>
        _connections.UseAsync<IReadOnlyList<GovernanceEvent>>(
            "reading the governance log",
            async connection =>
            {
                var events = new List<GovernanceEvent>();
                foreach (var (source, query) in await GovernanceTrails.FindAsync(connection, cancellationToken))
                {
                    if (query is null)
                    {
                        continue;
                    }

                    events.AddRange(await ListAsync(
                        connection,
                        query,
                        r => new GovernanceEvent(
                            source.Where, r.GetFieldValue<DateTimeOffset>(0), r.GetString(1), r.GetString(2), r.GetString(3)),
                        cancellationToken,
                        ("from", from.ToUniversalTime()),
                        ("to", to.ToUniversalTime())));
                }

                return [.. events.OrderBy(e => e.At)];
            },
            cancellationToken);

    /// <summary>Which tables <see cref="EventsAsync"/> looks in, and what is wrong with them.</summary>
    /// <exception cref="RolloutException">The database does not answer.</exception>
    public Task<IReadOnlyList<GovernanceSource>> SourcesAsync(
        CancellationToken cancellationToken) => _connections.UseAsync<IReadOnlyList<GovernanceSource>>(
        "looking for the audit tables",
        async connection => [.. (await GovernanceTrails.FindAsync(connection, cancellationToken)).Select(s => s.Source)],
        cancellationToken);
}
