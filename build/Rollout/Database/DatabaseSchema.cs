using System.Data;
using System.Text.RegularExpressions;
using Npgsql;
using static Rollout.Database.DatabaseConnections;

namespace Rollout.Database;

/// <summary>What a script would do to a database.</summary>
/// <param name="Statements">How many it has; 0 where nothing is pending.</param>
/// <param name="Changes">What it changes.</param>
/// <param name="Unknown">Why it cannot be told; null where it can. What cannot be told is taken for a break.</param>
public sealed record MigrationForecast(int Statements, CatalogChanges Changes, string? Unknown)
{
    /// <summary>Whether a program that was written for the schema before can live with the one after.</summary>
    public bool IsAdditive => Unknown is null && Changes.Breaks.Count == 0;

    /// <summary>A sentence for people, with the first few changes.</summary>
    public string Summary => Unknown is not null ? $"not known to be additive: {Unknown}"
        : Statements == 0 ? "nothing is pending"
        : Changes.Breaks.Count > 0 ? $"NOT additive: {Few(Changes.Breaks)}"
        : Changes.Additions.Count > 0 ? $"additive: {Few(Changes.Additions)}" : "additive: no change to the schema";

    internal static MigrationForecast NotKnown(string why) => new(0, new CatalogChanges([], []), why);

    /// <summary>The first five, and how many more there are.</summary>
    public static string Few(IReadOnlyList<string> changes) =>
        $"{string.Join(", ", changes.Take(5))}{(changes.Count > 5 ? $" and {changes.Count - 5} more" : string.Empty)}";
}

/// <summary>The database's schema: which migrations it says it has, and what is in its catalogue.</summary>
/// <param name="dsn">A <c>postgresql://</c> address or a connection string.</param>
public sealed class DatabaseSchema(Secret dsn)
{
    private readonly DatabaseConnections _connections = new(dsn);

    /// <summary>The migration tree under this directory of the checkout, as <c>data/alembic</c>.</summary>
    /// <exception cref="RolloutException">There is no such directory.</exception>
    public static MigrationTree HeadsInCheckout(string directory) => MigrationTree.Read(directory);

    /// <summary>
    /// What every Alembic version table says. The platform's two trees use one table unless configured otherwise, so a row is a head of one
    /// of
    /// them and the table's name does not tell of which.
    /// </summary>
    /// <exception cref="RolloutException">The database does not answer.</exception>
    public Task<IReadOnlyList<MigrationHead>> HeadsAsync(
        CancellationToken cancellationToken) => _connections.UseAsync<IReadOnlyList<MigrationHead>>(
        "reading the migration heads",
        async connection =>
        {
            var tables = await ListAsync(
                connection,
                """
                SELECT nspname::text, relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
                WHERE relkind = 'r' AND relname LIKE '%version%' AND nspname NOT LIKE 'pg\_%' AND nspname <> 'information_schema'
                    AND (SELECT array_agg(attname::text) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) = '{version_num}'
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

    /// <summary>What a program sees of the database now.</summary>
    /// <exception cref="RolloutException">The database does not answer.</exception>
    public Task<DatabaseCatalog> CatalogAsync(CancellationToken cancellationToken) => _connections.UseAsync(
        "reading the catalogue", connection => DatabaseCatalog.ReadAsync(connection, cancellationToken), cancellationToken);

    /// <summary>
    /// What a script would change, found by running it in a transaction that is taken back. It waits for no lock longer than
    /// <paramref name="patience"/>, and the whole is over after ten times as long, because live's statements wait behind the locks that it takes.
    /// </summary>
    /// <param name="script">Statements in PostgreSQL's language; what opens or closes a transaction in it is left out.</param>
    /// <exception cref="RolloutException">The database does not answer.</exception>
    public async Task<MigrationForecast> ForecastAsync(string script, TimeSpan patience, CancellationToken cancellationToken)
    {
        IReadOnlyList<string> statements;
        try
        {
            statements = SqlStatements.Split(script);
        }
        catch (FormatException exception)
        {
            return MigrationForecast.NotKnown(exception.Message);
        }

        if (statements.Select(SqlStatements.OutsideWordIn).FirstOrDefault(w => w is not null) is { } outside)
        {
            return MigrationForecast.NotKnown($"it says {outside}, which no rolled back transaction takes back");
        }

        if (statements.Count == 0)
        {
            return new MigrationForecast(0, new CatalogChanges([], []), null);
        }

        using var limit = new CancellationTokenSource(patience * TrialFactor);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken);
        try
        {
            return await _connections.UseAsync(
                "trying the migrations in a transaction that is taken back", connection => TryAsync(connection, statements, patience, either.Token), either.Token);
        }
        catch (OperationCanceledException) when (limit.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            return MigrationForecast.NotKnown($"it was not over after {(patience * TrialFactor).TotalSeconds:0.#} s, ten times Database.LockTimeout");
        }
    }

    private static async Task<MigrationForecast> TryAsync(NpgsqlConnection connection, IReadOnlyList<string> statements, TimeSpan patience, CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                // A snapshot of its own, so that what others write meanwhile is not taken for the script's work.
                await using var transaction = await connection.BeginTransactionAsync(IsolationLevel.RepeatableRead, cancellationToken);
                await RequireNothingOutsideAsync(connection, statements, cancellationToken);
                var changes = await TryAsync(connection, transaction, statements, patience, cancellationToken);
                await transaction.RollbackAsync(cancellationToken);
                return new MigrationForecast(statements.Count, changes, null);
            }
            catch (NotSupportedException exception)
            {
                return MigrationForecast.NotKnown(exception.Message);
            }
            catch (PostgresException refused) when (refused.SqlState is PostgresErrorCodes.SerializationFailure or PostgresErrorCodes.DeadlockDetected && attempt < Trials)
            {
                // Live wrote to the same rows; another moment may be better.
            }
            catch (PostgresException refused) when (!refused.SqlState.StartsWith("08", StringComparison.Ordinal) && refused.SqlState is not (PostgresErrorCodes.AdminShutdown or PostgresErrorCodes.CrashShutdown))
            {
                return MigrationForecast.NotKnown(refused.SqlState == PostgresErrorCodes.LockNotAvailable
                    ? $"another session holds a lock that the migrations need, and {patience.TotalSeconds:0.#} s were not enough"
                    : $"the database refused to try it: {refused.MessageText}");
            }
        }
    }

    // A function of the database's own may do what a script may not say; so may one that calls it, and a trigger, a default or a view may call either unnamed.
    private static async Task RequireNothingOutsideAsync(NpgsqlConnection connection, IReadOnlyList<string> statements, CancellationToken cancellationToken)
    {
        var functions = await ListAsync(
            connection,
            """
            SELECT p.proname::text, pg_get_functiondef(p.oid), EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid AND d.classid <> 'pg_proc'::regclass)
            FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
            WHERE p.prokind IN ('f', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
                AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e')
            """,
            r => (Name: r.GetString(0), Definition: r.GetString(1), IsUsed: r.GetBoolean(2)),
            cancellationToken);
        var outside = functions.Where(f => SqlStatements.OutsideWordIn(f.Definition) is not null).Select(f => f.Name).ToHashSet(StringComparer.Ordinal);
        while (functions.FirstOrDefault(f => !outside.Contains(f.Name) && outside.Any(name => Says(f.Definition, name))) is { Name: not null } caller)
        {
            outside.Add(caller.Name);
        }

        if (functions.Where(f => outside.Contains(f.Name)).FirstOrDefault(f => f.IsUsed || statements.Any(s => Says(s, f.Name))) is { Name: not null } found)
        {
            throw new NotSupportedException($"function {found.Name} of the database may do what no rolled back transaction takes back");
        }

        static bool Says(string text, string name) => Regex.IsMatch(text, $@"\b{Regex.Escape(name)}\b", RegexOptions.IgnoreCase);
    }

    private static async Task<CatalogChanges> TryAsync(
        NpgsqlConnection connection, NpgsqlTransaction transaction, IReadOnlyList<string> statements, TimeSpan patience, CancellationToken cancellationToken)
    {
        const string Start = "before_the_script";
        var before = await DatabaseCatalog.ReadAsync(connection, cancellationToken);
        var rows = await RowChanges.BeginAsync(connection, cancellationToken);
        await transaction.SaveAsync(Start, cancellationToken);
        await RunAsync(connection, statements, (patience, patience * StatementFactor), cancellationToken);
        var touched = await rows.TouchedAsync(cancellationToken);
        var changed = await rows.ElsewhereAsync(cancellationToken);
        if (touched.Count > 0)
        {
            await transaction.RollbackAsync(Start, cancellationToken);
            await rows.RememberAsync(touched, cancellationToken);
            await RunAsync(connection, statements, (patience, patience * StatementFactor), cancellationToken);
            changed = [.. await rows.CompareAsync(touched, cancellationToken), .. changed];
        }

        var changes = before.ChangesTo(await DatabaseCatalog.ReadAsync(connection, cancellationToken));
        return changes with { Breaks = [.. changed, .. changes.Breaks] };
    }

    /// <summary>Runs a script as one transaction: all of it or nothing.</summary>
    /// <param name="patience">How long it may wait for a lock; live's statements wait behind it.</param>
    /// <exception cref="RolloutException">The database does not answer, or refused a statement; nothing was changed then.</exception>
    public Task<int> ApplyAsync(string script, TimeSpan patience, CancellationToken cancellationToken) => _connections.UseAsync(
        "running the migrations",
        async connection =>
        {
            var statements = StatementsOf(script);
            await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
            await RunAsync(connection, statements, (patience, Timeout), cancellationToken);
            await transaction.CommitAsync(cancellationToken);
            return statements.Count;
        },
        cancellationToken);

    private static IReadOnlyList<string> StatementsOf(string script)
    {
        try
        {
            return SqlStatements.Split(script);
        }
        catch (FormatException exception)
        {
            throw new RolloutException($"The migrations cannot be run as one transaction: {exception.Message}. Nothing was changed.", "Run them by hand, or with the platform's own script in Platform.Migrations; the same command then goes on.");
        }
    }

    private const int TrialFactor = 10;
    private const int StatementFactor = 3;
    private const int Trials = 3;
    private static readonly TimeSpan Timeout = TimeSpan.FromMinutes(15);

    // The last one ends a transaction, and with it the locks, whose client is gone without a word.
    private const string LimitSql = """
        SELECT set_config('lock_timeout', @locks, true), set_config('statement_timeout', @statements, true), set_config('idle_in_transaction_session_timeout', '60s', true)
        """;

    // One statement a message: a second one hidden in it is refused by the server, so nothing in here can end the transaction. The limits are set before each,
    // for a script may set others.
    private static async Task RunAsync(
        NpgsqlConnection connection, IReadOnlyList<string> statements, (TimeSpan Lock, TimeSpan Statement) limits, CancellationToken cancellationToken)
    {
        foreach (var statement in statements)
        {
            await using var limit = new NpgsqlCommand(LimitSql, connection);
            limit.Parameters.AddWithValue("locks", $"{limits.Lock.TotalMilliseconds:0}ms");
            limit.Parameters.AddWithValue("statements", $"{limits.Statement.TotalMilliseconds:0}ms");
            await limit.ExecuteNonQueryAsync(cancellationToken);
            await using var batch = new NpgsqlBatch(connection) { BatchCommands = { new NpgsqlBatchCommand(statement) }, Timeout = (int)Timeout.TotalSeconds };
            await batch.ExecuteNonQueryAsync(cancellationToken);
        }

        // What is looked at afterwards is looked at as who we are.
        await using var self = new NpgsqlBatch(connection) { BatchCommands = { new NpgsqlBatchCommand("RESET SESSION AUTHORIZATION"), new NpgsqlBatchCommand("RESET ROLE") } };
        await self.ExecuteNonQueryAsync(cancellationToken);
    }
}
