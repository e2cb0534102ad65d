using System.Runtime.CompilerServices;
using Npgsql;
using static Rollout.Database.DatabaseConnections;

namespace Rollout.Database;

/// <summary>What a look at the hash chains of a trail found, in one window of time.</summary>
/// <param name="Rows">How many rows were hashed again.</param>
/// <param name="Chains">How many begin in the window; each pod has one of its own.</param>
/// <param name="Edited">Rows whose content is not what their hash was made of; each by time, action and hash.</param>
/// <param name="Gaps">Rows whose predecessor is not in the table: deleted, or its insert failed, which the platform forgets.</param>
/// <param name="Forks">Hashes that more than one row follows: several pods went on from one file.</param>
/// <param name="NotVerifiable">Rows with a fraction or exponent in their content, whose spelling the database does not keep.</param>
public sealed record AuditChainReport(long Rows, long Chains, IReadOnlyList<string> Edited, IReadOnlyList<string> Gaps, IReadOnlyList<string> Forks, long NotVerifiable)
{
    public override string ToString() =>
        $"{Rows} rows hashed again, {Chains} chains begin, {Edited.Count} edited, {Gaps.Count} gaps, {Forks.Count} forks{(NotVerifiable > 0 ? $", {NotVerifiable} cannot be verified" : string.Empty)}";
}

/// <summary>The governance log as the database holds it: both audit trails and their witnesses (platform contract, section 10).</summary>
/// <param name="dsn">A <c>postgresql://</c> address or a connection string.</param>
/// <param name="schemas">Where the accounts' tables are; null: where the platform puts them untold.</param>
public sealed class GovernanceLog(Secret dsn, AccountSchemas? schemas = null)
{
    /// <summary>More problems than anybody reads are counted, and the first of them are named.</summary>
    private const int Named = 100;

    private readonly DatabaseConnections _connections = new(dsn);

    /// <summary>
    /// Tells the governance events of the window, table by table, oldest first in each, from everywhere the platform may have written them: each write
    /// may fail unnoticed, so one event is often in some of the places only. Rows are told as they arrive, however many there are.
    /// </summary>
    /// <returns>Which tables were looked in, and what is wrong with them.</returns>
    /// <exception cref="RolloutException">The database does not answer.</exception>
    public Task<IReadOnlyList<GovernanceSource>> ReadAsync(
        DateTimeOffset from, DateTimeOffset to, Action<GovernanceEvent> tell, CancellationToken cancellationToken) => _connections.UseAsync<IReadOnlyList<GovernanceSource>>(
        "reading the governance log",
        async connection =>
        {
            var tables = await GovernanceTrails.FindAsync(connection, (schemas ?? AccountSchemas.Derived).Named, cancellationToken);
            var readable = tables.Where(t => t.Query is not null).ToList();

            // One round trip for all tables of all accounts.
            await using var batch = new NpgsqlBatch(connection);
            foreach (var table in readable)
            {
                batch.BatchCommands.Add(new NpgsqlBatchCommand(table.Query!)
                {
                    Parameters = { new() { Value = from.ToUniversalTime() }, new() { Value = to.ToUniversalTime() } },
                });
            }

            if (readable.Count > 0)
            {
                await using var reader = await batch.ExecuteReaderAsync(cancellationToken);
                foreach (var (source, _, isText) in readable)
                {
                    while (await reader.ReadAsync(cancellationToken))
                    {
                        var at = reader.GetFieldValue<DateTimeOffset>(0);
                        if (!isText)
                        {
                            tell(new GovernanceEvent(source.Where, source.Place, at, reader.GetString(1), reader.GetString(2), reader.GetString(3), reader.GetString(4)));
                        }
                        else if (GovernanceTrails.Parse(source, at, reader.GetString(1), reader.GetString(2)) is { } found)
                        {
                            tell(found);
                        }
                    }

                    await reader.NextResultAsync(cancellationToken);
                }
            }

            return [.. tables.Select(t => t.Source)];
        },
        cancellationToken);

    /// <summary>Hashes every row of the window again, and looks for predecessors that are not there and rows that share one.</summary>
    /// <returns>Null where no table has the writer's columns, so that there is no chain.</returns>
    /// <exception cref="RolloutException">The database does not answer.</exception>
    public Task<AuditChainReport?> VerifyChainAsync(DateTimeOffset from, DateTimeOffset to, CancellationToken cancellationToken) => _connections.UseAsync<AuditChainReport?>(
        "verifying the audit trail's hash chain",
        async connection =>
        {
            var columns = (await ListAsync(
                connection,
                "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass('public.audit_log') AND attnum > 0 AND NOT attisdropped",
                r => r.GetString(0),
                cancellationToken)).ToHashSet(StringComparer.Ordinal);
            if (!columns.IsSupersetOf(["actor", "action", "entity", "before", "after", "ts", "hash", "prev_hash"]))
            {
                return null;
            }

            var (rows, strange, edited) = (0L, 0L, new List<string>());
            await foreach (var row in RowsAsync(connection, columns, from, to, cancellationToken))
            {
                rows++;
                switch (AuditChain.Verify(row))
                {
                    case ChainVerdict.Edited when edited.Count < Named:
                        edited.Add($"{row.At:u} {row.Action} {Short(row.Hash)}");
                        break;
                    case ChainVerdict.NotVerifiable:
                        strange++;
                        break;
                }
            }

            (string, object)[] window = [("from", from.ToUniversalTime()), ("to", to.ToUniversalTime()), ("genesis", AuditChain.Genesis)];
            var chains = await ListAsync(connection, "SELECT count(*) FROM public.audit_log WHERE ts >= @from AND ts <= @to AND prev_hash = @genesis", r => r.GetInt64(0), cancellationToken, window);
            var gaps = await ListAsync(
                connection,
                $"""
                SELECT ts, action, hash FROM public.audit_log a WHERE ts >= @from AND ts <= @to AND prev_hash <> @genesis
                    AND NOT EXISTS (SELECT FROM public.audit_log b WHERE b.hash = a.prev_hash) ORDER BY ts LIMIT {Named}
                """,
                r => $"{r.GetFieldValue<DateTimeOffset>(0):u} {r.GetString(1)} {Short(r.GetString(2))}",
                cancellationToken,
                window);
            var forks = await ListAsync(
                connection,
                $"SELECT prev_hash, count(*) FROM public.audit_log WHERE ts >= @from AND ts <= @to AND prev_hash <> @genesis GROUP BY 1 HAVING count(*) > 1 ORDER BY 1 LIMIT {Named}",
                r => $"{r.GetInt64(1)} rows follow {Short(r.GetString(0))}",
                cancellationToken,
                window);
            return new AuditChainReport(rows, chains[0], edited, gaps, forks, strange);
        },
        cancellationToken);

    private static async IAsyncEnumerable<AuditRow> RowsAsync(
        NpgsqlConnection connection, HashSet<string> columns, DateTimeOffset from, DateTimeOffset to, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        string Column(string name, string otherwise) => columns.Contains(name) ? $"{name}::text" : otherwise;
        await using var command = new NpgsqlCommand(
            $"""
            SELECT actor, action, entity, "before"::text, "after"::text, ts, hash, prev_hash, {Column("ip_hash", "NULL::text")}, {Column("sensitive", "'false'")}
            FROM public.audit_log WHERE ts >= $1 AND ts <= $2
            """,
            connection);
        command.Parameters.Add(new() { Value = from.ToUniversalTime() });
        command.Parameters.Add(new() { Value = to.ToUniversalTime() });
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        string? Text(int field) => reader.IsDBNull(field) ? null : reader.GetString(field);
        while (await reader.ReadAsync(cancellationToken))
        {
            yield return new AuditRow(
                Text(0), Text(1), Text(2), Text(3), Text(4), reader.GetFieldValue<DateTimeOffset>(5), Text(6) ?? string.Empty, Text(7) ?? string.Empty, Text(8), Text(9) is "true" or "t");
        }
    }

    private static string Short(string hash) => hash.Length > 12 ? hash[..12] : hash;
}
