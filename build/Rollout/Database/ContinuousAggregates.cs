using System.Globalization;
using Npgsql;
using static Rollout.Database.DatabaseConnections;

namespace Rollout.Database;

/// <summary>What became of one aggregate.</summary>
/// <param name="View">With its schema.</param>
/// <param name="Kind"><c>continuous aggregate</c>, <c>materialized view</c>, or <c>not applicable</c> where the database has no such
/// view.</param>
/// <param name="Newest">The newest bucket afterwards; null for an empty view or none.</param>
public sealed record AggregateRefresh(string View, bool Refreshed, string Kind, DateTimeOffset? Newest);

/// <summary>How far an aggregate reaches.</summary>
public sealed record AggregateFreshness(string View, DateTimeOffset? Newest);

/// <summary>The accounts' analytics views: TimescaleDB's continuous aggregates, or materialised views of the same names.</summary>
/// <param name="dsn">A <c>postgresql://</c> address or a connection string.</param>
public sealed class ContinuousAggregates(Secret dsn)
{
    private readonly DatabaseConnections _connections = new(dsn);

    /// <summary>
    /// Refreshes the aggregates of the accounts and looks at what they hold then. TimescaleDB refuses its refresh inside a transaction,
    /// which
    /// is why the platform's helper fails there; here nothing opens one.
    /// </summary>
    /// <param name="accounts">As <c>director-1</c>; the schema's name is derived as the platform does.</param>
    /// <param name="aggregates">View names without schema, as <c>events_hourly</c>.</param>
    /// <param name="from">Only continuous aggregates are refreshed by window; a materialized view is made anew.</param>
    /// <exception cref="RolloutException">The database does not answer, or refused a refresh.</exception>
    public Task<IReadOnlyList<AggregateRefresh>> RefreshAsync(
        IReadOnlyList<string> accounts,
        IReadOnlyList<string> aggregates,
        DateTimeOffset from,
        DateTimeOffset to,
        CancellationToken cancellationToken) =>
        _connections.UseAsync<IReadOnlyList<AggregateRefresh>>(
            "refreshing the aggregates",
            async connection =>
            {
                var views = await FindAsync(connection, cancellationToken);
                var refreshed = new List<AggregateRefresh>();
                foreach (var (schema, view) in accounts.SelectMany(account => aggregates.Select(view => (AetherDatabase.SchemaOf(account), view))))
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
    public Task<IReadOnlyList<AggregateFreshness>> FreshnessAsync(
        CancellationToken cancellationToken) => _connections.UseAsync<IReadOnlyList<AggregateFreshness>>(
        "reading how fresh the aggregates are",
        async connection =>
        {
            var fresh = new List<AggregateFreshness>();
            foreach (var view in await FindAsync(connection, cancellationToken))
            {
                fresh.Add(new AggregateFreshness($"{view.Schema}.{view.View}", await NewestAsync(connection, view, cancellationToken)));
            }

            return fresh;
        },
        cancellationToken);

    private static async Task<IReadOnlyList<Aggregate>> FindAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
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

    private sealed record Aggregate(string Schema, string View, bool Continuous);
}
