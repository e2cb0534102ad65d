using System.Globalization;
using Npgsql;
using static Rollout.Database.DatabaseConnections;

namespace Rollout.Database;

/// <summary>
/// What a script does to rows that were there before it, seen in the transaction it is tried in: whatever wrote to them, be it a function, a rule, a trigger or
/// a block of code. The server's counters tell which tables were touched; then the rows of those are compared, column by column of the ones that were there, so
/// that filling a new column is no change.
/// </summary>
internal sealed class RowChanges
{
    // Partitions and TimescaleDB's chunks are told under the name that people know: the topmost parent's. A truncated or rewritten table has another file,
    // and no counter tells it. Counters know this transaction's own work before anybody else does (PostgreSQL's monitoring chapter, pg_stat_xact_all_tables).
    private const string Tables = """
        SELECT c.oid::bigint, c.relname::text, n.nspname::text, COALESCE(pg_relation_filenode(c.oid), 0)::bigint,
            COALESCE(s.n_tup_upd, 0) + COALESCE(s.n_tup_del, 0), top.path,
            (SELECT array_agg(quote_ident(attname) ORDER BY attnum) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped)
        FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_stat_xact_all_tables s ON s.relid = c.oid
        CROSS JOIN LATERAL (
            WITH RECURSIVE up AS (
                SELECT c.oid AS id, 0 AS depth
                UNION ALL
                SELECT i.inhparent, depth + 1 FROM up JOIN pg_inherits i ON i.inhrelid = up.id WHERE depth < 10)
            SELECT pn.nspname || '.' || p.relname AS path FROM up JOIN pg_class p ON p.oid = up.id JOIN pg_namespace pn ON pn.oid = p.relnamespace
            ORDER BY depth DESC LIMIT 1) top
        WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
            AND n.nspname NOT IN ('_timescaledb_catalog', '_timescaledb_config', '_timescaledb_cache')
            AND NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'version_num' AND c.relname LIKE '%version%')
        """;

    private readonly NpgsqlConnection _connection;
    private readonly Dictionary<long, Table> _before;

    private RowChanges(NpgsqlConnection connection, Dictionary<long, Table> before)
    {
        _connection = connection;
        _before = before;
    }

    /// <summary>Looks at the tables before the script runs; in the transaction it will run in.</summary>
    /// <exception cref="NotSupportedException">The server keeps no counters.</exception>
    public static async Task<RowChanges> BeginAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        await RequireCountersAsync(connection, cancellationToken);
        return new RowChanges(connection, (await ReadAsync(connection, cancellationToken)).ToDictionary(t => t.Id));
    }

    /// <summary>The tables whose rows the script may have changed; their rows have to be compared.</summary>
    /// <exception cref="NotSupportedException">The script has turned the counters off.</exception>
    public async Task<IReadOnlyList<long>> TouchedAsync(CancellationToken cancellationToken)
    {
        await RequireCountersAsync(_connection, cancellationToken);
        return [.. (await ReadAsync(_connection, cancellationToken))
            .Where(now => _before.TryGetValue(now.Id, out var then) && (now.Changed > then.Changed || now.File != then.File))
            .Select(t => t.Id)];
    }

    /// <summary>Remembers the rows of these tables, before the script runs once more.</summary>
    public async Task RememberAsync(IReadOnlyList<long> tables, CancellationToken cancellationToken)
    {
        foreach (var table in tables)
        {
            await ExecuteAsync($"CREATE TEMPORARY TABLE {Memory(table)} AS SELECT digest, count(*) AS times FROM ({Rows(_before[table].Columns, _before[table])}) r GROUP BY digest", cancellationToken);
        }
    }

    /// <summary>What has become of the remembered rows, in sentences by table; empty where each is as it was.</summary>
    public async Task<IReadOnlyList<string>> CompareAsync(IReadOnlyList<long> tables, CancellationToken cancellationToken)
    {
        var now = (await ReadAsync(_connection, cancellationToken)).ToDictionary(t => t.Id);
        var lost = new SortedDictionary<string, (long Lost, long Rows)>(StringComparer.Ordinal);
        foreach (var table in tables)
        {
            var path = _before[table].Path;
            if (!now.TryGetValue(table, out var there))
            {
                // The catalogue tells that it is gone.
                continue;
            }

            var kept = _before[table].Columns.Where(there.Columns.Contains).ToList();
            var (gone, rows) = kept.Count == _before[table].Columns.Count
                ? await CountAsync(
                    $"""
                    SELECT COALESCE(sum(greatest(m.times - COALESCE(n.times, 0), 0)), 0)::bigint, COALESCE(sum(m.times), 0)::bigint
                    FROM {Memory(table)} m LEFT JOIN (SELECT digest, count(*) AS times FROM ({Rows(kept, there)}) r GROUP BY digest) n USING (digest)
                    """,
                    cancellationToken)
                : await CountAsync(
                    $"SELECT greatest(COALESCE(sum(times), 0)::bigint - (SELECT count(*) FROM ONLY {there.Name}), 0), COALESCE(sum(times), 0)::bigint FROM {Memory(table)}", cancellationToken);
            var sum = lost.GetValueOrDefault(path);
            lost[path] = (sum.Lost + gone, sum.Rows + rows);
        }

        return [.. lost.Where(l => l.Value.Lost > 0).Select(l => string.Create(CultureInfo.InvariantCulture, $"{l.Value.Lost} of {l.Value.Rows} rows of {l.Key} are changed or gone"))];
    }

    // Two rows that differ in nothing but a key of 64 bits would be needed to hide a change.
    private static string Rows(IReadOnlyList<string> columns, Table table) =>
        $"SELECT hashtextextended(ROW({string.Join(", ", columns)})::text, 0) AS digest FROM ONLY {table.Name}";

    private static string Memory(long table) => string.Create(CultureInfo.InvariantCulture, $"pg_temp.rollout_rows_{table}");

    private static async Task RequireCountersAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand("SELECT current_setting('track_counts')", connection);
        if ((string?)await command.ExecuteScalarAsync(cancellationToken) != "on")
        {
            throw new NotSupportedException("track_counts is off, so nothing tells which rows it changes");
        }
    }

    private static async Task<IReadOnlyList<Table>> ReadAsync(NpgsqlConnection connection, CancellationToken cancellationToken) => await ListAsync(
        connection,
        Tables,
        r => new Table(r.GetInt64(0), $"{Quote(r.GetString(2))}.{Quote(r.GetString(1))}", r.GetInt64(3), r.GetInt64(4), r.GetString(5), r.IsDBNull(6) ? [] : r.GetFieldValue<string[]>(6)),
        cancellationToken);

    private async Task<(long Gone, long Rows)> CountAsync(string sql, CancellationToken cancellationToken) =>
        (await ListAsync(_connection, sql, r => (r.GetInt64(0), r.GetInt64(1)), cancellationToken))[0];

    private async Task ExecuteAsync(string sql, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand(sql, _connection);
        await command.ExecuteNonQueryAsync(cancellationToken);
    }

    /// <param name="Name">Quoted, for statements.</param>
    /// <param name="File">Number of its file; another one after it was truncated or written anew.</param>
    /// <param name="Changed">Rows updated and deleted in this transaction.</param>
    /// <param name="Path">Its topmost parent's, for people.</param>
    /// <param name="Columns">Quoted.</param>
    private sealed record Table(long Id, string Name, long File, long Changed, string Path, IReadOnlyList<string> Columns);
}
