using System.Globalization;
using Npgsql;
using static Rollout.Database.DatabaseConnections;

namespace Rollout.Database;

/// <summary>
/// What a script does to what was stored before it, seen in the transaction it is tried in: whatever wrote to it, be it a function, a rule, a trigger or
/// a block of code. The server's counters tell which tables were touched; then the rows of those are compared, column by column of the ones that were there, so
/// that filling a new column is no change. Counters also tell of the server's own tables, so that nothing is taken for additive only because nobody knows it.
/// </summary>
internal sealed class RowChanges
{
    // A row is seen under the table's own name and those of all its parents; people know partitions and TimescaleDB's chunks by the topmost one's. A truncated or rewritten table has another file,
    // and no counter tells it. Counters know this transaction's own work before anybody else does (PostgreSQL's monitoring chapter, pg_stat_xact_all_tables).
    private const string Tables = """
        SELECT c.oid::bigint, c.relname::text, n.nspname::text, COALESCE(pg_relation_filenode(c.oid), 0)::bigint,
            COALESCE(s.n_tup_upd, 0) + COALESCE(s.n_tup_del, 0), seen.paths,
            (SELECT array_agg(quote_ident(attname) ORDER BY attnum) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped)
        FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_stat_xact_all_tables s ON s.relid = c.oid
        CROSS JOIN LATERAL (
            WITH RECURSIVE up AS (
                SELECT c.oid AS id, 0 AS depth
                UNION ALL
                SELECT i.inhparent, depth + 1 FROM up JOIN pg_inherits i ON i.inhrelid = up.id WHERE depth < 10)
            SELECT array_agg(pn.nspname || '.' || p.relname ORDER BY depth DESC) AS paths FROM up JOIN pg_class p ON p.oid = up.id JOIN pg_namespace pn ON pn.oid = p.relnamespace) seen
        WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
            AND n.nspname NOT IN ('_timescaledb_catalog', '_timescaledb_config', '_timescaledb_cache')
            AND NOT (c.relname LIKE '%version%' AND (SELECT array_agg(attname::text) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) = '{version_num}')
        """;

    // What the catalogue of this forecast tells of, and what only follows from that, as who depends on whom.
    private const string OwnTables = """
        SELECT n.nspname::text, c.relname::text, COALESCE(s.n_tup_ins, 0) > 0, COALESCE(s.n_tup_upd, 0) + COALESCE(s.n_tup_del, 0) > 0
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_stat_xact_all_tables s ON s.relid = c.oid
        WHERE c.relkind = 'r' AND (n.nspname LIKE '\_timescaledb\_c%' OR n.nspname = 'pg_catalog' AND c.relname NOT IN (
            'pg_class', 'pg_attribute', 'pg_attrdef', 'pg_index', 'pg_constraint', 'pg_depend', 'pg_shdepend', 'pg_type', 'pg_proc', 'pg_namespace', 'pg_trigger', 'pg_rewrite',
            'pg_policy', 'pg_sequence', 'pg_enum', 'pg_range', 'pg_inherits', 'pg_partitioned_table', 'pg_extension', 'pg_init_privs', 'pg_default_acl',
            'pg_description', 'pg_shdescription', 'pg_statistic', 'pg_statistic_ext', 'pg_statistic_ext_data'))
        ORDER BY 1, 2
        """;

    // Where no right is held on it, a sequence has no value here; it is judged by its file alone then.
    private const string Sequences = """
        SELECT n.nspname || '.' || c.relname, quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.oid::text || '/' || c.relfilenode::text, q.seqincrement > 0,
            CASE WHEN has_sequence_privilege(c.oid, 'USAGE,SELECT') THEN pg_sequence_last_value(c.oid) END
        FROM pg_sequence q JOIN pg_class c ON c.oid = q.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relpersistence <> 't'
        """;

    // A role more, or one in more groups, takes nothing from live; nor does what TimescaleDB notes of a new chunk.
    private static bool MayGrow(string schema, string table) => schema.StartsWith("_timescaledb", StringComparison.Ordinal) || table is "pg_authid" or "pg_auth_members";

    private readonly NpgsqlConnection _connection;
    private readonly Dictionary<long, Table> _before;
    private readonly Dictionary<string, Sequence> _sequences;

    private RowChanges(NpgsqlConnection connection, IEnumerable<Table> before, IEnumerable<Sequence> sequences)
    {
        _connection = connection;
        _before = before.ToDictionary(t => t.Id);
        _sequences = sequences.ToDictionary(s => s.Path);
    }

    /// <summary>Looks at the tables before the script runs; in the transaction it will run in.</summary>
    /// <exception cref="NotSupportedException">The server keeps no counters.</exception>
    public static async Task<RowChanges> BeginAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        await RequireCountersAsync(connection, cancellationToken);
        return new RowChanges(connection, await ReadAsync(connection, cancellationToken), await ReadSequencesAsync(connection, cancellationToken));
    }

    /// <summary>The tables whose rows the script may have changed; their rows have to be compared.</summary>
    /// <exception cref="NotSupportedException">The script has turned the counters off.</exception>
    public async Task<IReadOnlyList<long>> TouchedAsync(CancellationToken cancellationToken)
    {
        await RequireCountersAsync(_connection, cancellationToken);
        var now = (await ReadAsync(_connection, cancellationToken)).ToDictionary(t => t.Id);
        return [.. _before.Values
            .Where(then => !now.TryGetValue(then.Id, out var there) || there.Changed > then.Changed || there.File != then.File || then.Paths.Except(there.Paths).Any())
            .Select(t => t.Id)];
    }

    /// <summary>What the script does beside rows and what a catalogue tells: to sequences, and to the server's own tables. In sentences.</summary>
    public async Task<IReadOnlyList<string>> ElsewhereAsync(CancellationToken cancellationToken)
    {
        var found = new List<string>();
        foreach (var now in await ReadSequencesAsync(_connection, cancellationToken))
        {
            if (_sequences.TryGetValue(now.Path, out var then) && now.File != then.File && then.Value is { } old)
            {
                var value = (await ListAsync(_connection, $"SELECT last_value, is_called FROM {now.Name}", r => (Last: r.GetInt64(0), Called: r.GetBoolean(1)), cancellationToken))[0];
                if (now.Ascends ? value.Last < old || (value.Last == old && !value.Called) : value.Last > old || (value.Last == old && !value.Called))
                {
                    found.Add(string.Create(CultureInfo.InvariantCulture, $"sequence {now.Path} goes back from {old} to {value.Last}"));
                }
            }
        }

        foreach (var (schema, table, grew, changed) in await ListAsync(
            _connection, OwnTables, r => (r.GetString(0), r.GetString(1), r.GetBoolean(2), r.GetBoolean(3)), cancellationToken))
        {
            if (changed || (grew && !MayGrow(schema, table)))
            {
                found.Add($"the server's own table {schema}.{table} changes, which a forecast cannot weigh");
            }
        }

        return found;
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
            var there = now.GetValueOrDefault(table);
            var path = _before[table].Paths.Except(there?.Paths ?? []).FirstOrDefault();
            var kept = _before[table].Columns.Where(c => there?.Columns.Contains(c) ?? false).ToList();
            var (gone, rows) = there is null || path is not null
                ? await CountAsync($"SELECT COALESCE(sum(times), 0)::bigint, COALESCE(sum(times), 0)::bigint FROM {Memory(table)}", cancellationToken)
                : kept.Count == _before[table].Columns.Count
                ? await CountAsync(
                    $"""
                    SELECT COALESCE(sum(greatest(m.times - COALESCE(n.times, 0), 0)), 0)::bigint, COALESCE(sum(m.times), 0)::bigint
                    FROM {Memory(table)} m LEFT JOIN (SELECT digest, count(*) AS times FROM ({Rows(kept, there)}) r GROUP BY digest) n USING (digest)
                    """,
                    cancellationToken)
                : await CountAsync(
                    $"SELECT greatest(COALESCE(sum(times), 0)::bigint - (SELECT count(*) FROM ONLY {there.Name}), 0), COALESCE(sum(times), 0)::bigint FROM {Memory(table)}", cancellationToken);
            path ??= _before[table].Paths[0];
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
        r => new Table(r.GetInt64(0), $"{Quote(r.GetString(2))}.{Quote(r.GetString(1))}", r.GetInt64(3), r.GetInt64(4), r.GetFieldValue<string[]>(5), r.IsDBNull(6) ? [] : r.GetFieldValue<string[]>(6)),
        cancellationToken);

    private static Task<IReadOnlyList<Sequence>> ReadSequencesAsync(NpgsqlConnection connection, CancellationToken cancellationToken) => ListAsync(
        connection,
        Sequences,
        r => new Sequence(r.GetString(0), r.GetString(1), r.GetString(2), r.GetBoolean(3), r.IsDBNull(4) ? null : r.GetInt64(4)),
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
    /// <param name="Paths">Of its parents, the topmost first, and its own: where its rows are seen.</param>
    /// <param name="Columns">Quoted.</param>
    private sealed record Table(long Id, string Name, long File, long Changed, IReadOnlyList<string> Paths, IReadOnlyList<string> Columns);

    /// <param name="Path">For people.</param>
    /// <param name="Name">Quoted, for statements.</param>
    /// <param name="File">Another one after it was made anew or told where to go on.</param>
    /// <param name="Value">The last one given; null where none was.</param>
    private sealed record Sequence(string Path, string Name, string File, bool Ascends, long? Value);
}
