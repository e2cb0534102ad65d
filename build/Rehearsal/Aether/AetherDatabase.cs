using Npgsql;
using Rehearsal.Aether.Jobs;
using Rehearsal.Aether.Stores;

namespace Rehearsal.Aether;

/// <summary>
/// Which columns the table <c>audit_log</c> has; where it is the migration's, trail A's rows are lost (contract, section 10).
/// </summary>
public enum AuditLogShape
{
    /// <summary>As the platform's audit logger writes it.</summary>
    Logger,

    /// <summary>As migration 0001 makes it.</summary>
    Migration,
}

/// <summary>The databases of a world in which a release is already live.</summary>
public static class AetherDatabase
{
    private static readonly string[] Accounts = ["company", "director-1", "director-2", "aether-audit"];

    /// <summary>
    /// Brings the databases to where the live release left them: schemas, tables, one revision behind the checkout's heads, and a
    /// day of history under the materialised views. Creates databases that are missing; repeatable, and what is there stays.
    /// </summary>
    /// <param name="dsn">The database both slots share.</param>
    /// <param name="simulationDsns">Databases of simulation mode, one per slot or one for both.</param>
    /// <exception cref="NpgsqlException">The server does not answer or refuses.</exception>
    public static async Task PrepareAsync(
        string dsn,
        IReadOnlyCollection<string> simulationDsns,
        TimeProvider time,
        CancellationToken ct,
        AuditLogShape auditLog = AuditLogShape.Logger)
    {
        ArgumentNullException.ThrowIfNull(simulationDsns);
        ArgumentNullException.ThrowIfNull(time);
        await Task.WhenAll([
            PrepareAetherAsync(dsn, auditLog, time, ct),
            .. simulationDsns.Where(simulation => simulation != dsn).Distinct(StringComparer.Ordinal)
                .Select(simulation => PrepareSimulationAsync(simulation, ct)),
        ]);
    }

    private static async Task PrepareAetherAsync(string dsn, AuditLogShape auditLog, TimeProvider time, CancellationToken ct)
    {
        await using var connection = await OpenAsync(dsn, ct);
        if (auditLog == AuditLogShape.Migration)
        {
            // The platform's script guards with IF NOT EXISTS, so whoever is first decides the columns.
            await ExecuteAsync(connection, MigrationTree.All[0].Revisions[0].Statements, ct);
        }

        var script = ImageFiles.Read("ops/rehearsal_database.sql");
        await ExecuteAsync(connection, auditLog == AuditLogShape.Migration ? WithoutAuditIndex(script) : script, ct);
        await ExecuteAsync(connection, SimulationStore.Schema, ct);
        foreach (var schema in Accounts.Select(AccountStore.SchemaOf))
        {
            await SeedAsync(connection, schema, time.GetUtcNow(), ct);
        }
    }

    // Its index is on a column that the other shape does not have.
    private static string WithoutAuditIndex(string script) =>
        string.Join('\n', script.Split('\n').Where(line => !line.Contains("INDEX IF NOT EXISTS audit_log_ts", StringComparison.Ordinal)));

    private static async Task PrepareSimulationAsync(string dsn, CancellationToken ct)
    {
        await using var connection = await OpenAsync(dsn, ct);
        await ExecuteAsync(connection, SimulationStore.Schema, ct);
    }

    private static async Task SeedAsync(NpgsqlConnection connection, string schema, DateTimeOffset now, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand($"SELECT count(*) FROM {schema}.events", connection);
        if ((long)(await command.ExecuteScalarAsync(ct))! > 0)
        {
            return;
        }

        await using var batch = new NpgsqlBatch(connection);
        batch.BatchCommands.Add(At($"""
            INSERT INTO {schema}.events (event_type, payload, recorded_at)
            SELECT kind, jsonb_build_object('seed', true, 'n', n), $1::timestamptz - n * interval '10 minutes'
            FROM generate_series(6, 144) n, unnest(ARRAY['intent_submitted', 'risk_validated', 'order_filled']) kind
            """));
        batch.BatchCommands.Add(At($"""
            INSERT INTO {schema}.fills (order_id, client_id, status, payload, recorded_at)
            SELECT 'OSEED-' || n, 'seed-' || n, 'filled',
              jsonb_build_object('symbol', 'XBTUSD', 'side', (ARRAY['buy', 'sell'])[n % 2 + 1], 'quantity', 0.001, 'price', 64000 + n),
              $1::timestamptz - n * interval '10 minutes'
            FROM generate_series(6, 144) n
            """));
        batch.BatchCommands.Add(new NpgsqlBatchCommand($"REFRESH MATERIALIZED VIEW {schema}.events_hourly"));
        await batch.ExecuteNonQueryAsync(ct);

        NpgsqlBatchCommand At(string sql) => new(sql) { Parameters = { new() { Value = now } } };
    }

    private static async Task<NpgsqlConnection> OpenAsync(string dsn, CancellationToken ct)
    {
        var settings = new NpgsqlConnectionStringBuilder(DatabasePool.ToConnectionString(dsn)) { Pooling = false, Timeout = 5 };
        try
        {
            return await ConnectAsync(settings, ct);
        }
        catch (PostgresException missing) when (missing.SqlState == PostgresErrorCodes.InvalidCatalogName)
        {
            var database = settings.Database!;
            var server = new NpgsqlConnectionStringBuilder(settings.ConnectionString) { Database = "postgres" };
            await using (var maintenance = await ConnectAsync(server, ct))
            {
                await ExecuteAsync(maintenance, $"CREATE DATABASE \"{database.Replace("\"", "\"\"", StringComparison.Ordinal)}\"", ct);
            }

            return await ConnectAsync(settings, ct);
        }
    }

    private static async Task<NpgsqlConnection> ConnectAsync(NpgsqlConnectionStringBuilder settings, CancellationToken ct)
    {
        var connection = new NpgsqlConnection(settings.ConnectionString);
        try
        {
            await connection.OpenAsync(ct);
            return connection;
        }
        catch
        {
            await connection.DisposeAsync();
            throw;
        }
    }

    private static async Task ExecuteAsync(NpgsqlConnection connection, string sql, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(ct);
    }
}
