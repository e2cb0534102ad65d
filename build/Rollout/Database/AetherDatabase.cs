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
public sealed class AetherDatabase(Secret dsn)
{
    private const string AuditSchema = "acct_aether_audit";

    private static readonly string[] AccountTables =
        ["acks", "fills", "shadow_fills", "events", "telemetry", "audit_logs", "credential_events", "credential_rotations", "risk_configs"];

    private readonly DatabaseConnections _connections = new(dsn);

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
            ("schemas", accounts.Select(SchemaOf).ToArray()),
            ("tables", AccountTables)),
        cancellationToken);

    /// <summary>The account schemas, <c>acct_…</c>, sorted.</summary>
    /// <exception cref="RolloutException">The database does not answer.</exception>
    public Task<IReadOnlyList<string>> AccountSchemasAsync(CancellationToken cancellationToken) => _connections.UseAsync(
        "listing the account schemas",
        connection => ListAsync(
            connection,
            @"SELECT schema_name::text FROM information_schema.schemata WHERE schema_name LIKE 'acct\_%' ORDER BY 1",
            r => r.GetString(0),
            cancellationToken),
        cancellationToken);

    /// <summary>
    /// Puts one row <c>rollout.health_snapshot</c> into the audit account's trail, the one without a hash chain that a foreign row would
    /// break
    /// (playbook 1.3). The same snapshot is recorded once, however often it is asked for.
    /// </summary>
    /// <param name="sha256">Of the snapshot's manifest, which stays with our evidence.</param>
    /// <returns>False where the audit account has no such table.</returns>
    /// <exception cref="RolloutException">The database does not answer.</exception>
    public Task<bool> RecordSnapshotAsync(string sha256, string release, CancellationToken cancellationToken) => _connections.UseAsync(
        "recording the health snapshot",
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
}
