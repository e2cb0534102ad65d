using System.Security.Cryptography;
using System.Text;
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
    private static readonly string[] AccountTables =
        ["acks", "fills", "shadow_fills", "events", "telemetry", "audit_logs", "credential_events", "credential_rotations", "risk_configs"];

    private readonly DatabaseConnections _connections = new(dsn);
    private readonly AccountSchemas _schemas = schemas ?? AccountSchemas.Derived;

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
    /// <returns>Why the table, the role or the server does not allow such a row; null where it is there.</returns>
    /// <exception cref="RolloutException">The database does not answer, or refuses the row.</exception>
    public Task<string?> RecordSnapshotAsync(string sha256, string release, CancellationToken cancellationToken) => _connections.UseAsync(
        "recording the health snapshot",
        async connection =>
        {
            var (row, problem) = await SnapshotRow.FindAsync(connection, _schemas, sha256, release, cancellationToken);
            return row is null ? problem : await row.WriteAsync(connection, cancellationToken);
        },
        cancellationToken);

    /// <summary>How many rows there are about a health snapshot.</summary>
    /// <exception cref="RolloutException">The database does not answer.</exception>
    public Task<long> SnapshotRowsAsync(string sha256, string release, CancellationToken cancellationToken) => _connections.UseAsync(
        "looking for the health snapshot's row",
        async connection => await SnapshotRow.FindAsync(connection, _schemas, sha256, release, cancellationToken) is ({ } row, _) ? await row.CountAsync(connection, cancellationToken) : 0,
        cancellationToken);
}
