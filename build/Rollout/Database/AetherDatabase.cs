using System.Globalization;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Npgsql;

namespace Rollout.Database;

/// <summary>The administrators.</summary>
/// <param name="EmailsSha256">SHA-256 over the sorted e-mail addresses, one a line: equal sets have equal digests, and no address
/// leaves.</param>
public sealed record AdminAccounts(int Count, string EmailsSha256);

/// <summary>What became of one aggregate.</summary>
/// <param name="View">With its schema.</param>
/// <param name="Kind"><c>continuous aggregate</c>, <c>materialized view</c>, or <c>not applicable</c> where the database has no such
/// view.</param>
/// <param name="Newest">The newest bucket afterwards; null for an empty view or none.</param>
public sealed record AggregateRefresh(string View, bool Refreshed, string Kind, DateTimeOffset? Newest);

/// <summary>How far an aggregate reaches.</summary>
public sealed record AggregateFreshness(string View, DateTimeOffset? Newest);

/// <summary>
/// The platform's PostgreSQL, with or without TimescaleDB. Every call opens a connection of its own, in autocommit; errors name host and
/// database and never the password.
/// </summary>
/// <param name="dsn">A <c>postgresql://</c> address or a connection string.</param>
public sealed class AetherDatabase(Secret dsn)
{
    private const string AuditSchema = "acct_aether_audit";

    private readonly NpgsqlConnectionStringBuilder _address = DatabaseAddress.Parse(dsn);

    /// <summary>The migration tree under this directory of the checkout, as <c>data/alembic</c>.</summary>
    /// <exception cref="RolloutException">There is no such directory.</exception>
    public static MigrationTree HeadsInCheckout(string directory) => MigrationTree.Read(directory);

    /// <summary>The administrators; null where the table is not there.</summary>
    /// <exception cref="RolloutException">The database does not answer.</exception>
    public Task<AdminAccounts?> AdminAccountsAsync(CancellationToken cancellationToken) => UseAsync(
        async connection =>
        {
            if (!await ExistsAsync(connection, "public", "admin_accounts", cancellationToken))
            {
                return null;
            }

            var emails = await ListAsync(connection, "SELECT email FROM public.admin_accounts", r => r.GetString(0), cancellationToken);
            var text = string.Join('\n', emails.Order(StringComparer.Ordinal));
            return new AdminAccounts(emails.Count, Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text))));
        },
        cancellationToken);

    /// <summary>The account schemas, <c>acct_…</c>, sorted.</summary>
    /// <exception cref="RolloutException">The database does not answer.</exception>
    public Task<IReadOnlyList<string>> AccountSchemasAsync(CancellationToken cancellationToken) => UseAsync(
        connection => ListAsync(
            connection,
            @"SELECT schema_name::text FROM information_schema.schemata WHERE schema_name LIKE 'acct\_%' ORDER BY 1",
            r => r.GetString(0),
            cancellationToken),
        cancellationToken);

    /// <summary>
    /// What every Alembic version table says. The platform's two trees use one table unless configured otherwise, so a row is a head of one
    /// of
    /// them and the table's name does not tell of which.
    /// </summary>
    /// <exception cref="RolloutException">The database does not answer.</exception>
    public Task<IReadOnlyList<MigrationHead>> MigrationHeadsAsync(
        CancellationToken cancellationToken) => UseAsync<IReadOnlyList<MigrationHead>>(
        async connection =>
        {
            var tables = await ListAsync(
                connection,
                """
                SELECT table_schema::text, table_name::text FROM information_schema.columns
                WHERE column_name = 'version_num' AND table_name LIKE '%version%'
                    AND table_schema NOT IN ('pg_catalog', 'information_schema')
                ORDER BY 1, 2
                """,
                r => (Schema: r.GetString(0), Table: r.GetString(1)),
                cancellationToken);
            var heads = new List<MigrationHead>();
            foreach (var (schema, table) in tables)
            {
                heads.AddRange(await ListAsync(
                    connection,
                    $"SELECT version_num::text FROM {Quote(schema)}.{Quote(table)} ORDER BY 1",
                    r => new MigrationHead($"{schema}.{table}", r.GetString(0)),
                    cancellationToken));
            }

            return heads;
        },
        cancellationToken);

    /// <summary>Every column of the platform's tables and views, as <c>SCHEMA.TABLE.COLUMN TYPE</c> with <c>required</c> where a row must bring it; sorted.</summary>
    /// <exception cref="RolloutException">The database does not answer.</exception>
    public Task<IReadOnlyList<string>> SchemaAsync(CancellationToken cancellationToken) => UseAsync(
        connection => ListAsync(
            connection,
            """
            SELECT table_schema || '.' || table_name || '.' || column_name || ' ' || udt_name
                || CASE WHEN is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO' THEN ' required' ELSE '' END
            FROM information_schema.columns
            WHERE table_schema NOT IN ('pg_catalog', 'information_schema')
                AND table_schema NOT LIKE '\_timescaledb%' AND table_schema NOT LIKE 'timescaledb%'
            ORDER BY 1
            """,
            r => r.GetString(0),
            cancellationToken),
        cancellationToken);

    /// <summary>
    /// What the release that is still live would miss after a migration: columns that are gone or of another type, and columns of tables it knows that a
    /// row must now bring. Empty for an additive migration.
    /// </summary>
    /// <param name="before">As <see cref="SchemaAsync"/> gave it before.</param>
    public static IReadOnlyList<string> Breaks(IReadOnlyList<string> before, IReadOnlyList<string> after)
    {
        var tables = before.Select(TableOf).ToHashSet(StringComparer.Ordinal);
        var optional = after.Where(c => !c.EndsWith(Required, StringComparison.Ordinal)).ToHashSet(StringComparer.Ordinal);

        // A column that a row need not bring any more breaks nobody.
        var kept = after.ToHashSet(StringComparer.Ordinal);
        return
        [
            .. before.Where(c => !kept.Contains(c) && !optional.Contains(c.Replace(Required, string.Empty, StringComparison.Ordinal))).Select(c => $"{c} is gone or changed"),
            .. after.Except(before).Where(c => c.EndsWith(Required, StringComparison.Ordinal) && tables.Contains(TableOf(c))).Select(c => $"{c} is new"),
        ];
    }

    private const string Required = " required";

    private static string TableOf(string column) => column[..column[..column.IndexOf(' ', StringComparison.Ordinal)].LastIndexOf('.')];

    /// <summary>
    /// Refreshes the aggregates of the accounts and looks at what they hold then. TimescaleDB refuses its refresh inside a transaction,
    /// which
    /// is why the platform's helper fails there; here nothing opens one.
    /// </summary>
    /// <param name="accounts">As <c>director-1</c>; the schema's name is derived as the platform does.</param>
    /// <param name="aggregates">View names without schema, as <c>events_hourly</c>.</param>
    /// <param name="from">Only continuous aggregates are refreshed by window; a materialized view is made anew.</param>
    /// <exception cref="RolloutException">The database does not answer, or refused a refresh.</exception>
    public Task<IReadOnlyList<AggregateRefresh>> RefreshAggregatesAsync(
        IReadOnlyList<string> accounts,
        IReadOnlyList<string> aggregates,
        DateTimeOffset from,
        DateTimeOffset to,
        CancellationToken cancellationToken) =>
        UseAsync<IReadOnlyList<AggregateRefresh>>(
            async connection =>
            {
                var views = await AggregatesAsync(connection, cancellationToken);
                var refreshed = new List<AggregateRefresh>();
                foreach (var (schema, view) in accounts.SelectMany(account => aggregates.Select(view => (SchemaOf(account), view))))
                {
                    var found = views.FirstOrDefault(v => v.Schema == schema && v.View == view);
                    if (found is null)
                    {
                        refreshed.Add(new AggregateRefresh($"{schema}.{view}", false, "not applicable", null));
                        continue;
                    }

                    await RefreshAsync(connection, found, from, to, cancellationToken);
                    refreshed.Add(new AggregateRefresh(
                        $"{schema}.{view}", true, found.Continuous
                            ? "continuous aggregate"
                            : "materialized view", await NewestAsync(connection, found, cancellationToken)));
                }

                return refreshed;
            },
            cancellationToken);

    /// <summary>The newest bucket of every aggregate in the account schemas.</summary>
    /// <exception cref="RolloutException">The database does not answer.</exception>
    public Task<IReadOnlyList<AggregateFreshness>> AggregateFreshnessAsync(
        CancellationToken cancellationToken) => UseAsync<IReadOnlyList<AggregateFreshness>>(
        async connection =>
        {
            var fresh = new List<AggregateFreshness>();
            foreach (var view in await AggregatesAsync(connection, cancellationToken))
            {
                fresh.Add(new AggregateFreshness($"{view.Schema}.{view.View}", await NewestAsync(connection, view, cancellationToken)));
            }

            return fresh;
        },
        cancellationToken);

    /// <summary>
    /// Governance events of the window, oldest first, from everywhere the platform may have written them: each write may fail unnoticed, so
    /// one event is often in some of the places only.
    /// </summary>
    /// <exception cref="RolloutException">The database does not answer.</exception>
    public Task<IReadOnlyList<GovernanceEvent>> GovernanceEventsAsync(
        DateTimeOffset from, DateTimeOffset to, CancellationToken cancellationToken) =>
        UseAsync<IReadOnlyList<GovernanceEvent>>(
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

    /// <summary>Which tables <see cref="GovernanceEventsAsync"/> looks in, and what is wrong with them.</summary>
    /// <exception cref="RolloutException">The database does not answer.</exception>
    public Task<IReadOnlyList<GovernanceSource>> GovernanceSourcesAsync(
        CancellationToken cancellationToken) => UseAsync<IReadOnlyList<GovernanceSource>>(
        async connection => [.. (await GovernanceTrails.FindAsync(connection, cancellationToken)).Select(s => s.Source)],
        cancellationToken);

    /// <summary>
    /// Puts one row <c>rollout.health_snapshot</c> into the audit account's trail, the one without a hash chain that a foreign row would
    /// break
    /// (playbook 1.3). The same snapshot is recorded once, however often it is asked for.
    /// </summary>
    /// <param name="sha256">Of the snapshot's manifest, which stays with our evidence.</param>
    /// <returns>False where the audit account has no such table.</returns>
    /// <exception cref="RolloutException">The database does not answer.</exception>
    public Task<bool> RecordSnapshotAsync(string sha256, string release, CancellationToken cancellationToken) => UseAsync(
        async connection =>
        {
            if (!await ExistsAsync(connection, AuditSchema, "audit_logs", cancellationToken))
            {
                return false;
            }

            var id = $"rollout.health_snapshot:{release}:{sha256}";
            var payload = JsonSerializer.Serialize(new
            {
                id,
                actor = "aether-rollout",
                action = "rollout.health_snapshot",
                target = release,
                account_id = "aether-audit",
                payload = new { before = new { }, after = new { release, sha256 }, entry_id = id, account_id = "aether-audit" },
            });
            await using var command = new NpgsqlCommand(
                $"""
                INSERT INTO {AuditSchema}.audit_logs (id, payload, recorded_at)
                SELECT @id, jsonb_set(@payload::jsonb, ARRAY['created_at'], to_jsonb(now())), now()
                WHERE NOT EXISTS (SELECT 1 FROM {AuditSchema}.audit_logs WHERE id = @id)
                """,
                connection);
            command.Parameters.AddWithValue("id", id);
            command.Parameters.AddWithValue("payload", payload);
            await command.ExecuteNonQueryAsync(cancellationToken);
            return true;
        },
        cancellationToken);

    /// <summary>The account's schema, derived as the platform does: lower case, hyphens to underscores, anything else dropped.</summary>
    internal static string SchemaOf(string account) =>
        "acct_" + string.Concat(account.Trim().ToLowerInvariant().Replace('-', '_').Where(c => char.IsAsciiLetterOrDigit(c) || c == '_'));

    private static string Quote(string identifier) => "\"" + identifier.Replace("\"", "\"\"", StringComparison.Ordinal) + "\"";

    private static async Task<bool> ExistsAsync(
        NpgsqlConnection connection, string schema, string table, CancellationToken cancellationToken)
    {
        var found = await ListAsync(
            connection,
            "SELECT 1 FROM information_schema.tables WHERE table_schema = @schema AND table_name = @table",
            _ => true,
            cancellationToken,
            ("schema", schema),
            ("table", table));
        return found.Count > 0;
    }

    private static async Task<IReadOnlyList<Aggregate>> AggregatesAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        var timescale = await ListAsync(
            connection, "SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'", _ => true, cancellationToken);
        var continuous = timescale.Count == 0
            ? []
            : await ListAsync(
                connection,
                """
                SELECT view_schema::text, view_name::text FROM timescaledb_information.continuous_aggregates
                WHERE view_schema LIKE 'acct\_%'
                """,
                r => new Aggregate(r.GetString(0), r.GetString(1), true),
                cancellationToken);
        var materialized = await ListAsync(
            connection,
            @"SELECT schemaname::text, matviewname::text FROM pg_matviews WHERE schemaname LIKE 'acct\_%'",
            r => new Aggregate(r.GetString(0), r.GetString(1), false),
            cancellationToken);
        return [.. continuous.Concat(materialized).OrderBy(a => $"{a.Schema}.{a.View}", StringComparer.Ordinal)];
    }

    private static async Task RefreshAsync(
        NpgsqlConnection connection, Aggregate view, DateTimeOffset from, DateTimeOffset to, CancellationToken cancellationToken)
    {
        var name = $"{Quote(view.Schema)}.{Quote(view.View)}";
        if (view.Continuous)
        {
            // Written out, not bound: the procedure takes its window as "any", for which a parameter has no type.
            static string Literal(DateTimeOffset time) =>
                $"'{time.ToUniversalTime().ToString("yyyy-MM-dd HH:mm:ss.ffffff", CultureInfo.InvariantCulture)}+00'::timestamptz";

            await ExecuteAsync(
                connection,
                $"CALL refresh_continuous_aggregate('{name.Replace("'", "''", StringComparison.Ordinal)}', {Literal(from)}, {Literal(to)})",
                cancellationToken);
            return;
        }

        // With a plain unique index readers are not locked out meanwhile.
        var concurrently = await ListAsync(
            connection,
            """
            SELECT 1 FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = @schema AND c.relname = @view AND c.relispopulated
                AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL
            """,
            _ => true,
            cancellationToken,
            ("schema", view.Schema),
            ("view", view.View));
        await ExecuteAsync(
            connection, $"REFRESH MATERIALIZED VIEW {(concurrently.Count > 0 ? "CONCURRENTLY " : "")}{name}", cancellationToken);
    }

    private static async Task<DateTimeOffset?> NewestAsync(NpgsqlConnection connection, Aggregate view, CancellationToken cancellationToken)
    {
        var bucket = await ListAsync(
            connection,
            """
            SELECT a.attname::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = @schema AND c.relname = @view AND a.attnum > 0 AND NOT a.attisdropped
                AND a.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype)
            ORDER BY a.attname <> 'bucket', a.attnum LIMIT 1
            """,
            r => r.GetString(0),
            cancellationToken,
            ("schema", view.Schema),
            ("view", view.View));
        if (bucket.Count == 0)
        {
            return null;
        }

        try
        {
            var newest = await ListAsync(
                connection,
                $"SELECT max({Quote(bucket[0])})::timestamptz FROM {Quote(view.Schema)}.{Quote(view.View)}",
                r => r.IsDBNull(0) ? (DateTimeOffset?)null : r.GetFieldValue<DateTimeOffset>(0),
                cancellationToken);
            return newest[0];
        }
        catch (PostgresException exception) when (exception.SqlState == PostgresErrorCodes.ObjectNotInPrerequisiteState)
        {
            // A materialized view that was never filled cannot be read, and holds nothing.
            return null;
        }
    }

    private static async Task ExecuteAsync(NpgsqlConnection connection, string sql, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand(sql, connection) { CommandTimeout = 600 };
        await command.ExecuteNonQueryAsync(cancellationToken);
    }

    private static async Task<IReadOnlyList<T>> ListAsync<T>(
        NpgsqlConnection connection, string sql, Func<NpgsqlDataReader, T> read, CancellationToken cancellationToken, params (
            string Name, object Value)[] parameters)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        foreach (var (name, value) in parameters)
        {
            command.Parameters.AddWithValue(name, value);
        }

        var rows = new List<T>();
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        while (await reader.ReadAsync(cancellationToken))
        {
            rows.Add(read(reader));
        }

        return rows;
    }

    private async Task<T> UseAsync<T>(Func<NpgsqlConnection, Task<T>> use, CancellationToken cancellationToken)
    {
        try
        {
            await using var connection = new NpgsqlConnection(_address.ConnectionString);
            await connection.OpenAsync(cancellationToken);
            return await use(connection);
        }
        catch (Exception exception) when (exception is NpgsqlException or SocketException or TimeoutException)
        {
            var cause = exception is PostgresException refused ? refused.MessageText : exception.Message;
            throw new RolloutException(
                $"Database '{_address.Database}' at {_address.Host}:{_address.Port} failed: {Masked(cause)}",
                null,
                ExitCode.Failed,
                exception);
        }
    }

    private string Masked(string text) =>
        _address.Password is { Length: > 0 } password ? text.Replace(password, "***", StringComparison.Ordinal) : text;

    private sealed record Aggregate(string Schema, string View, bool Continuous);
}
