using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Npgsql;
using static Rollout.Database.DatabaseConnections;

namespace Rollout.Database;

/// <summary>The administrators.</summary>
/// <param name="EmailsSha256">SHA-256 over the sorted e-mail addresses, one a line: equal sets have equal digests, and no address
/// leaves.</param>
public sealed record AdminAccounts(int Count, string EmailsSha256);
/// <summary>
/// The platform's PostgreSQL as the playbook's steps ask it. Errors name host and database and never the password.
/// </summary>
/// <param name="dsn">A <c>postgresql://</c> address or a connection string.</param>
/// <param name="schemas">Where the accounts' tables are; null: where the platform puts them untold.</param>
public sealed class AetherDatabase(Secret dsn, AccountSchemas? schemas = null)
{
    private const string AuditLogs = "audit_logs";
    private static readonly string[] SnapshotColumns = ["id", "payload", "recorded_at"];
    private const string AuditAccount = "aether-audit";

    private static readonly string[] AccountTables =
        ["acks", "fills", "shadow_fills", "events", "telemetry", "audit_logs", "credential_events", "credential_rotations", "risk_configs"];

    private readonly DatabaseConnections _connections = new(dsn);
    private readonly AccountSchemas _schemas = schemas ?? AccountSchemas.Derived;

    private string AuditSchema => _schemas.Of(AuditAccount);

    /// <summary>The administrators; null where the table is not there.</summary>
    /// <exception cref="RolloutException">The database does not answer.</exception>
    public Task<AdminAccounts?> AdminAccountsAsync(CancellationToken cancellationToken) => _connections.UseAsync(
        "counting the administrators",
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

    /// <summary>Which of these administrators the database does not have, told by the first digits of their e-mail's SHA-256: no address leaves.</summary>
    /// <exception cref="RolloutException">The database does not answer, or has no such table.</exception>
    public Task<IReadOnlyList<string>> MissingAdministratorsAsync(IReadOnlyCollection<string> emails, CancellationToken cancellationToken) => _connections.UseAsync<IReadOnlyList<string>>(
        "looking for the administrators of the source file",
        async connection =>
        {
            var there = await ListAsync(
                connection, "SELECT email FROM public.admin_accounts WHERE email = ANY(@emails)", r => r.GetString(0), cancellationToken, ("emails", emails.ToArray()));
            return [.. emails.Except(there).Select(e => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(e)))[..12]).Order(StringComparer.Ordinal)];
        },
        cancellationToken);

    /// <summary>The tables that an account's services use and its schema lacks, each as <c>acct_company.events</c> (platform contract, section 10).</summary>
    /// <exception cref="RolloutException">The database does not answer.</exception>
    public Task<IReadOnlyList<string>> MissingTablesAsync(IReadOnlyCollection<string> accounts, CancellationToken cancellationToken) => _connections.UseAsync(
        $"looking for the tables of {string.Join(", ", accounts)}",
        connection => ListAsync(
            connection,
            """
            SELECT a || '.' || t FROM unnest(@schemas) a CROSS JOIN unnest(@tables) t
            WHERE NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = a AND c.relname = t AND c.relkind IN ('r', 'p', 'v', 'f'))
            ORDER BY 1
            """,
            r => r.GetString(0),
            cancellationToken,
            ("schemas", accounts.Select(_schemas.Of).ToArray()),
            ("tables", AccountTables)),
        cancellationToken);

    /// <summary>The account schemas, <c>acct_…</c> and those named otherwise, sorted.</summary>
    /// <exception cref="RolloutException">The database does not answer.</exception>
    public Task<IReadOnlyList<string>> AccountSchemasAsync(CancellationToken cancellationToken) => _connections.UseAsync(
        "listing the account schemas",
        connection => ListAsync(
            connection,
            @"SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'acct\_%' OR nspname = ANY(@named) ORDER BY 1",
            r => r.GetString(0),
            cancellationToken,
            ("named", _schemas.Named.ToArray())),
        cancellationToken);

    /// <summary>
    /// One row about a health snapshot in trail B of the audit account, whose table has no hash chain that a row from outside could break (platform contract,
    /// section 10). A second call for the same snapshot adds none.
    /// </summary>
    /// <param name="sha256">Of the snapshot's manifest, which stays with our evidence.</param>
    /// <returns>Why the schema does not allow such a row; null where it is there.</returns>
    /// <exception cref="RolloutException">The database does not answer, or refuses the row.</exception>
    public Task<string?> RecordSnapshotAsync(string sha256, string release, CancellationToken cancellationToken) => _connections.UseAsync(
        "recording the health snapshot",
        async connection =>
        {
            var columns = (await ListAsync(
                connection,
                "SELECT column_name::text, data_type::text, is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO' AND is_generated = 'NEVER' FROM information_schema.columns WHERE table_schema = @schema AND table_name = @table",
                r => (Name: r.GetString(0), Type: r.GetString(1), IsRequired: r.GetBoolean(2)),
                cancellationToken,
                ("schema", AuditSchema),
                ("table", AuditLogs))).ToDictionary(c => c.Name);
            if (columns.Count == 0)
            {
                return $"{AuditSchema} has no table {AuditLogs}";
            }

            if (SnapshotColumns.FirstOrDefault(c => !columns.ContainsKey(c)) is { } lacking)
            {
                return $"{AuditSchema}.{AuditLogs} has no column {lacking}";
            }

            if (columns.Values.FirstOrDefault(c => c.IsRequired && !SnapshotColumns.Contains(c.Name)) is { Name: not null } required)
            {
                return $"{AuditSchema}.{AuditLogs} wants a value for {required.Name}, and a snapshot has none";
            }

            if (columns["payload"].Type is not ("jsonb" or "json" or "text" or "character varying"))
            {
                return $"{AuditSchema}.{AuditLogs} has a payload of type {columns["payload"].Type}";
            }

            var id = SnapshotId(sha256, release);
            var payload = JsonSerializer.Serialize(new
            {
                id,
                actor = "aether-rollout",
                action = "rollout.health_snapshot",
                target = release,
                account_id = AuditAccount,
                payload = new { before = new { }, after = new { release, sha256 }, entry_id = id, account_id = AuditAccount },
            });
            await using var command = new NpgsqlCommand(
                $"""
                INSERT INTO {Quote(AuditSchema)}.{AuditLogs} (id, payload, recorded_at)
                SELECT @id, jsonb_set(@payload::jsonb, ARRAY['created_at'], to_jsonb(now()))::text::{columns["payload"].Type}, now()
                WHERE NOT EXISTS (SELECT 1 FROM {Quote(AuditSchema)}.{AuditLogs} WHERE id = @id)
                """,
                connection);
            command.Parameters.AddWithValue("id", id);
            command.Parameters.AddWithValue("payload", payload);
            await command.ExecuteNonQueryAsync(cancellationToken);
            return null;
        },
        cancellationToken);

    /// <summary>How many rows there are about a health snapshot.</summary>
    /// <exception cref="RolloutException">The database does not answer, or has no such table.</exception>
    public Task<long> SnapshotRowsAsync(string sha256, string release, CancellationToken cancellationToken) => _connections.UseAsync(
        "looking for the health snapshot's row",
        async connection => (await ListAsync(
            connection, $"SELECT count(*) FROM {Quote(AuditSchema)}.{AuditLogs} WHERE id = @id", r => r.GetInt64(0), cancellationToken, ("id", SnapshotId(sha256, release))))[0],
        cancellationToken);

    private static string SnapshotId(string sha256, string release) => $"rollout.health_snapshot:{release}:{sha256}";
}
