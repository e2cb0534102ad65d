using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Npgsql;
using static Rollout.Database.DatabaseConnections;

namespace Rollout.Database;

/// <summary>
/// The row about a health snapshot in trail B of the audit account, whose table has no hash chain that a row from outside could break (platform contract,
/// section 10). Nobody promised what that table looks like, so it is asked for, and a row that does not fit is not written.
/// </summary>
internal sealed class SnapshotRow
{
    private const string Account = "aether-audit";
    private const string Table = "audit_logs";
    private static readonly string[] Columns = ["id", "payload", "recorded_at"];

    private readonly string _path;
    private readonly string _name;
    private readonly object _id;
    private readonly string _payload;
    private readonly string _payloadType;

    private SnapshotRow(string schema, object id, string payload, string payloadType)
    {
        (_path, _name) = ($"{schema}.{Table}", $"{Quote(schema)}.{Quote(Table)}");
        (_id, _payload, _payloadType) = (id, payload, payloadType);
    }

    /// <summary>The row for this table, or why there can be none.</summary>
    /// <param name="sha256">Of the snapshot's manifest.</param>
    public static async Task<(SnapshotRow? Row, string? Problem)> FindAsync(
        NpgsqlConnection connection, AccountSchemas schemas, string sha256, string release, CancellationToken cancellationToken)
    {
        var schema = schemas.Of(Account);
        var path = $"{schema}.{Table}";

        // The catalogue, not information_schema, which hides what a role has no right on.
        var found = await ListAsync(
            connection,
            """
            SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AND a.attgenerated = ''
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = @schema AND c.relname = @table AND c.relkind IN ('r', 'p', 'v', 'f') AND a.attnum > 0 AND NOT a.attisdropped
            ORDER BY a.attnum
            """,
            r => (Name: r.GetString(0), Type: r.GetString(1), IsRequired: r.GetBoolean(2)),
            cancellationToken,
            ("schema", schema),
            ("table", Table));
        var columns = found.ToDictionary(c => c.Name, c => c.Type);
        if (columns.Count == 0)
        {
            return (null, $"{schema} has no table {Table}");
        }

        if (Array.Find(Columns, c => !columns.ContainsKey(c)) is { } lacking)
        {
            return (null, $"{path} has no column {lacking}");
        }

        if (found.FirstOrDefault(c => c.IsRequired && !Columns.Contains(c.Name)) is { Name: not null } required)
        {
            return (null, $"{path} wants a value for {required.Name}, and a snapshot has none");
        }

        if (columns["payload"] is not ("jsonb" or "json" or "text" or "character varying"))
        {
            return (null, $"{path} has a payload of type {columns["payload"]}");
        }

        if (!columns["recorded_at"].StartsWith("timestamp", StringComparison.Ordinal))
        {
            return (null, $"{path} has a recorded_at of type {columns["recorded_at"]}");
        }

        var known = $"rollout.health_snapshot:{release}:{sha256}";
        return IdFor(columns["id"], known) is { } id
            ? (new SnapshotRow(schema, id, Payload(known, sha256, release), columns["payload"]), null)
            : (null, $"{path} has an id of type {columns["id"]}, which is no place for {known}");
    }

    /// <summary>Writes the row unless it is there; runs that do so at once write one.</summary>
    /// <returns>Why this role cannot; null where the row is there.</returns>
    public async Task<string?> WriteAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        var rights = await ListAsync(
            connection,
            """
            SELECT current_user::text, current_setting('transaction_read_only') = 'on', has_schema_privilege(n.oid, 'USAGE'),
                has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname || '.' || c.relname = @path
            """,
            r => (Role: r.GetString(0), ReadsOnly: r.GetBoolean(1), MayUse: r.GetBoolean(2), MayWrite: r.GetBoolean(3)),
            cancellationToken,
            ("path", _path));
        if (rights is [{ ReadsOnly: true }, ..])
        {
            return "the database only reads: it is a standby, or default_transaction_read_only is on";
        }

        if (rights is [{ MayUse: false } or { MayWrite: false }, ..])
        {
            return $"role {rights[0].Role} may not write to {_path}; grant it USAGE on the schema, and SELECT and INSERT on the table";
        }

        // The lock lets a killed run's statement, which the server may still work on, end before the look.
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        await using var command = new NpgsqlBatch(connection, transaction)
        {
            BatchCommands =
            {
                new NpgsqlBatchCommand("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))") { Parameters = { new() { Value = _path } } },
                new NpgsqlBatchCommand(
                    $"""
                    INSERT INTO {_name} (id, payload, recorded_at)
                    SELECT $1, jsonb_set($2::jsonb, ARRAY['created_at'], to_jsonb(now()))::text::{_payloadType}, now()
                    WHERE NOT EXISTS (SELECT 1 FROM {_name} WHERE id = $1)
                    """)
                {
                    Parameters = { new() { Value = _id }, new() { Value = _payload } },
                },
            },
        };
        await command.ExecuteNonQueryAsync(cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        return null;
    }

    /// <summary>How many rows there are about the snapshot.</summary>
    public async Task<long> CountAsync(NpgsqlConnection connection, CancellationToken cancellationToken) =>
        (await ListAsync(connection, $"SELECT count(*) FROM {_name} WHERE id = @id", r => r.GetInt64(0), cancellationToken, ("id", _id)))[0];

    // As it is where there is room; else one made of it, always the same.
    private static object? IdFor(string type, string known)
    {
        const string Varying = "character varying(";
        var derived = new Guid(SHA256.HashData(Encoding.UTF8.GetBytes(known)).AsSpan(0, 16));
        return type switch
        {
            "text" or "character varying" => known,
            "uuid" => derived,
            _ when type.StartsWith(Varying, StringComparison.Ordinal) && int.Parse(type[Varying.Length..^1], CultureInfo.InvariantCulture) is var room =>
                room >= known.Length ? known : room >= 36 ? derived.ToString() : null,
            _ => null,
        };
    }

    private static string Payload(string id, string sha256, string release) => JsonSerializer.Serialize(new
    {
        id,
        actor = "aether-rollout",
        action = "rollout.health_snapshot",
        target = release,
        account_id = Account,
        payload = new { before = new { }, after = new { release, sha256 }, entry_id = id, account_id = Account },
    });
}
