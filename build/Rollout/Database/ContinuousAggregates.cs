using System.Globalization;
using Npgsql;
using static Rollout.Database.DatabaseConnections;

namespace Rollout.Database;

/// <summary>What became of one aggregate.</summary>
/// <param name="View">With its schema.</param>
/// <param name="Kind"><c>continuous aggregate</c>, <c>materialized view</c>, or <c>not applicable</c> where no account has such a view.</param>
/// <param name="Before">How far it reached before: see <see cref="AggregateFreshness"/>.</param>
/// <param name="Newest">How far it reaches now.</param>
public sealed record AggregateRefresh(string View, string Kind, DateTimeOffset? Before, DateTimeOffset? Newest)
{
    /// <summary>Whether the database has such a view.</summary>
    public bool Refreshed => Kind != NotApplicable;

    internal const string NotApplicable = "not applicable";
}

/// <summary>How far an aggregate reaches.</summary>
/// <param name="Newest">
/// A continuous aggregate's watermark, the end of its newest materialised bucket, because a real-time one computes the rest when it is read; a materialised
/// view's newest bucket. Null for an empty view.
/// </param>
public sealed record AggregateFreshness(string View, DateTimeOffset? Newest);

/// <summary>The accounts' analytics views: TimescaleDB's continuous aggregates, or materialised views of the same names.</summary>
/// <param name="dsn">A <c>postgresql://</c> address or a connection string.</param>
/// <param name="progress">Told every two seconds which window of which view is done.</param>
/// <param name="schemas">Where the accounts' views are; null: where the platform puts them untold.</param>
public sealed class ContinuousAggregates(Secret dsn, TimeProvider time, IProgress<string> progress, AccountSchemas? schemas = null)
{
    private readonly AccountSchemas _schemas = schemas ?? AccountSchemas.Derived;
    private readonly DatabaseConnections _connections = new(dsn);

    /// <summary>
    /// Refreshes the named aggregates of the accounts, and whatever other continuous aggregates their schemas have, window by window, and looks how far they
    /// reach then. TimescaleDB refuses its refresh inside a transaction, which is why the platform's helper fails there; here nothing opens one.
    /// </summary>
    /// <param name="accounts">As <c>director-1</c>.</param>
    /// <param name="aggregates">View names without schema, as <c>events_hourly</c>.</param>
    /// <param name="from">Only continuous aggregates are refreshed by window; a materialised view is made anew.</param>
    /// <param name="window">How much a statement refreshes at once; two buckets where that is more.</param>
    /// <exception cref="RolloutException">
    /// The database does not answer or refused a refresh; an account has no schema, or lacks a view that others have; or a continuous aggregate did not move
    /// although there was something to take in.
    /// </exception>
    public async Task<IReadOnlyList<AggregateRefresh>> RefreshAsync(
        IReadOnlyList<string> accounts, IReadOnlyList<string> aggregates, DateTimeOffset from, DateTimeOffset to, TimeSpan window, CancellationToken cancellationToken)
    {
        var refreshed = new List<AggregateRefresh>();
        var stale = new List<string>();
        var views = await _connections.UseAsync("looking for the aggregates", connection => FindAsync(connection, cancellationToken), cancellationToken);
        var there = await _connections.UseAsync(
            "looking for the accounts' schemas",
            connection => ListAsync(connection, "SELECT nspname::text FROM pg_namespace", r => r.GetString(0), cancellationToken),
            cancellationToken);
        if (accounts.Where(a => !there.Contains(_schemas.Of(a))).ToList() is { Count: > 0 } without)
        {
            throw new RolloutException(
                $"{string.Join(", ", without)}: the database has no schema {string.Join(", ", without.Select(_schemas.Of))}.",
                "Platform.Accounts names the accounts; ops/timescale_bootstrap.sql makes a schema.");
        }

        var told = time.GetTimestamp();
        foreach (var account in accounts)
        {
            var schema = _schemas.Of(account);
            var others = views.Where(v => v.Schema == schema && v.Continuous && !aggregates.Contains(v.View)).Select(v => v.View);
            await _connections.UseAsync(
                $"refreshing the aggregates of {account}",
                async connection =>
                {
                    foreach (var view in aggregates.Concat(others))
                    {
                        if (views.FirstOrDefault(v => v.Schema == schema && v.View == view) is not { } found)
                        {
                            refreshed.Add(new AggregateRefresh($"{schema}.{view}", AggregateRefresh.NotApplicable, null, null));
                            continue;
                        }

                        var before = await NewestAsync(connection, found, cancellationToken);
                        foreach (var (start, end, number, count) in Windows(found, from, to, window))
                        {
                            await RefreshAsync(connection, found, start, end, cancellationToken);
                            if (time.GetElapsedTime(told) >= Waiting.QuietTime)
                            {
                                told = time.GetTimestamp();
                                progress.Report($"{found.Path}: {number} of {count} windows");
                            }
                        }

                        var after = await NewestAsync(connection, found, cancellationToken);
                        refreshed.Add(new AggregateRefresh(found.Path, found.Continuous ? "continuous aggregate" : "materialized view", before, after));
                        if (await WantedAsync(connection, found, from, to, cancellationToken) is { } wanted && (after is null || after < wanted))
                        {
                            stale.Add($"{found.Path} reaches {after?.ToString("u", CultureInfo.InvariantCulture) ?? "nowhere"} and should reach {wanted:u}");
                        }
                    }

                    return true;
                },
                cancellationToken);
        }

        if (refreshed.Where(r => !r.Refreshed && refreshed.Exists(o => o.Refreshed && NameOf(o) == NameOf(r))).ToList() is { Count: > 0 } missing)
        {
            throw new RolloutException(
                $"There is no {string.Join(", ", missing.Select(m => m.View))}, and other accounts have one.", "ops/timescale_bootstrap.sql makes the views of an account.");
        }

        return stale.Count == 0
            ? refreshed
            : throw new RolloutException(
                $"Refreshing had no effect: {string.Join("; ", stale)}.", "Look at the view's jobs and at the server's log; a refresh that a policy is running takes precedence.");
    }

    /// <summary>How far every aggregate in the account schemas reaches.</summary>
    /// <exception cref="RolloutException">The database does not answer.</exception>
    public Task<IReadOnlyList<AggregateFreshness>> FreshnessAsync(
        CancellationToken cancellationToken) => _connections.UseAsync<IReadOnlyList<AggregateFreshness>>(
        "reading how fresh the aggregates are",
        async connection =>
        {
            var fresh = new List<AggregateFreshness>();
            foreach (var view in await FindAsync(connection, cancellationToken))
            {
                fresh.Add(new AggregateFreshness(view.Path, await NewestAsync(connection, view, cancellationToken)));
            }

            return fresh;
        },
        cancellationToken);

    private static string NameOf(AggregateRefresh refresh) => refresh.View[(refresh.View.IndexOf('.', StringComparison.Ordinal) + 1)..];

    // TimescaleDB wants at least one whole bucket in a window, and takes in whole buckets only; the last, incomplete one waits.
    private static IEnumerable<(DateTimeOffset Start, DateTimeOffset End, int Number, int Count)> Windows(Aggregate view, DateTimeOffset from, DateTimeOffset to, TimeSpan window)
    {
        if (view.Width is not { } width || width <= TimeSpan.Zero)
        {
            yield return (from, to, 1, 1);
            yield break;
        }

        var size = TimeSpan.FromTicks(Math.Max(window.Ticks / width.Ticks, 2) * width.Ticks);
        var start = new DateTimeOffset((from.UtcTicks - (2 * width.Ticks)) / width.Ticks * width.Ticks, TimeSpan.Zero);
        var count = (int)Math.Ceiling((to - start) / size);
        for (var number = 1; number <= count; number++, start += size)
        {
            var end = start + size < to ? start + size : to;

            // Less than a bucket is left: it is not complete.
            if (end - start >= width * 2 || number < count)
            {
                yield return (start, end, number, count);
            }
            else if (number > 1)
            {
                yield return (start - width, end, number, count);
            }
        }
    }

    private async Task<IReadOnlyList<Aggregate>> FindAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        var timescale = await ListAsync(
            connection,
            "SELECT to_regclass('_timescaledb_catalog.continuous_agg') IS NOT NULL, to_regproc('_timescaledb_functions.cagg_get_bucket_function_info') IS NOT NULL FROM pg_extension WHERE extname = 'timescaledb'",
            r => (HasAggregates: r.GetBoolean(0), KnowsWidth: r.GetBoolean(1)),
            cancellationToken);
        IReadOnlyList<Aggregate> continuous = [];
        if (timescale is [{ HasAggregates: true } server])
        {
            // An aggregate of an aggregate has the larger number, and comes after the one that it reads.
            continuous = await ListAsync(
                connection,
                $"""
                SELECT a.user_view_schema::text, a.user_view_name::text, a.mat_hypertable_id, h.schema_name::text, h.table_name::text, d.column_name::text,
                    {(server.KnowsWidth ? "extract(epoch FROM (_timescaledb_functions.cagg_get_bucket_function_info(a.mat_hypertable_id)).bucket_width::interval)::float8" : "NULL::float8")}
                FROM _timescaledb_catalog.continuous_agg a
                JOIN _timescaledb_catalog.hypertable h ON h.id = a.raw_hypertable_id
                JOIN _timescaledb_catalog.dimension d ON d.hypertable_id = h.id AND d.num_slices IS NULL
                WHERE a.user_view_schema LIKE 'acct\_%' OR a.user_view_schema = ANY(@named) ORDER BY a.mat_hypertable_id
                """,
                r => new Aggregate(r.GetString(0), r.GetString(1), new Materialization(r.GetInt32(2), $"{Quote(r.GetString(3))}.{Quote(r.GetString(4))}", Quote(r.GetString(5))), r.IsDBNull(6) ? null : TimeSpan.FromSeconds(r.GetDouble(6))),
                cancellationToken,
                ("named", _schemas.Named.ToArray()));
        }

        var materialized = await ListAsync(
            connection,
            @"SELECT schemaname::text, matviewname::text FROM pg_matviews WHERE schemaname LIKE 'acct\_%' OR schemaname = ANY(@named) ORDER BY 1, 2",
            r => new Aggregate(r.GetString(0), r.GetString(1), null, null),
            cancellationToken,
            ("named", _schemas.Named.ToArray()));
        return [.. continuous, .. materialized];
    }

    private static async Task RefreshAsync(
        NpgsqlConnection connection, Aggregate view, DateTimeOffset from, DateTimeOffset to, CancellationToken cancellationToken)
    {
        var name = $"{Quote(view.Schema)}.{Quote(view.View)}";
        if (view.Continuous)
        {
            // Written out, not bound: the procedure takes its window as "any", for which a parameter has no type.
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

    private static string Literal(DateTimeOffset time) =>
        $"'{time.ToUniversalTime().ToString("yyyy-MM-dd HH:mm:ss.ffffff", CultureInfo.InvariantCulture)}+00'::timestamptz";

    // Where the newest complete bucket that has rows ends; null where there is none in the window, or no way to tell.
    private static async Task<DateTimeOffset?> WantedAsync(NpgsqlConnection connection, Aggregate view, DateTimeOffset from, DateTimeOffset to, CancellationToken cancellationToken)
    {
        if (view is not { Source: { } source, Width: { } width })
        {
            return null;
        }

        var complete = new DateTimeOffset(to.UtcTicks / width.Ticks * width.Ticks, TimeSpan.Zero);
        var newest = await ListAsync(
            connection,
            $"SELECT max({source.Column})::timestamptz FROM {source.Table} WHERE {source.Column} >= {Literal(from)} AND {source.Column} < {Literal(complete)}",
            r => r.IsDBNull(0) ? (DateTimeOffset?)null : r.GetFieldValue<DateTimeOffset>(0),
            cancellationToken);
        return newest is [{ } row] ? new DateTimeOffset((row.UtcTicks / width.Ticks * width.Ticks) + width.Ticks, TimeSpan.Zero) : null;
    }

    private static async Task<DateTimeOffset?> NewestAsync(NpgsqlConnection connection, Aggregate view, CancellationToken cancellationToken)
    {
        if (view.Source is { } source)
        {
            // The functions moved to another schema in 2.12. The watermark of an aggregate that was never refreshed lies before all calendars.
            var functions = await ListAsync(
                connection, "SELECT CASE WHEN to_regproc('_timescaledb_functions.cagg_watermark') IS NULL THEN '_timescaledb_internal' ELSE '_timescaledb_functions' END", r => r.GetString(0), cancellationToken);
            var watermark = await ListAsync(
                connection,
                $"SELECT w FROM (SELECT {functions[0]}.to_timestamp({functions[0]}.cagg_watermark({source.Id})) w) x WHERE w > '0001-01-02'",
                r => r.GetFieldValue<DateTimeOffset>(0),
                cancellationToken);
            return watermark.Count == 0 ? null : watermark[0];
        }

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

    /// <summary>What a continuous aggregate is made of.</summary>
    private sealed record Materialization(int Id, string Table, string Column);

    private sealed record Aggregate(string Schema, string View, Materialization? Source, TimeSpan? Width)
    {
        public bool Continuous => Source is not null;

        public string Path => $"{Schema}.{View}";
    }
}
