using System.Text.Json.Nodes;
using Npgsql;

namespace Rehearsal.Aether.Stores;

/// <summary>An order as the account's history tells it.</summary>
internal sealed record OrderRecord(string OrderId, string ClientId, string Pair, string Side, decimal Volume, decimal Price, string Status)
{
    /// <summary>What is known of an order when only its end is reported.</summary>
    public static OrderRecord Cancelled(string orderId) => new(orderId, "", "", "", 0, 0, "cancelled");
}

/// <summary>
/// The accounts' Timescale schemas. History belongs to an account, never to a slot: stacks that share a database see each
/// other's orders, flags and events.
/// </summary>
internal sealed class AccountStore(Pod pod)
{
    private const string Database = "TIMESCALE_DSN";

    /// <summary>Schema of an account: lower case, hyphens become underscores, other characters are dropped.</summary>
    public static string SchemaOf(string account) =>
        "acct_" + string.Concat(account.ToLowerInvariant().Replace('-', '_').Where(c => char.IsAsciiLetterOrDigit(c) || c == '_'));

    public static async Task PingAsync(Pod pod, string dsn, CancellationToken ct)
    {
        await using var command = pod.World.Databases.Open(dsn).CreateCommand("SELECT 1");
        await command.ExecuteScalarAsync(ct);
    }

    public bool Configured(string account) => Dsn(account) is not null;

    public Task PingAsync(string account, CancellationToken ct) =>
        PingAsync(pod, Dsn(account) ?? throw new InvalidOperationException($"{Database} is not set"), ct);

    public async Task AddEventAsync(string account, string type, JsonObject payload, CancellationToken ct)
    {
        await using var command = Command(account, "INSERT INTO {0}.events (event_type, payload, recorded_at) VALUES ($1, $2::jsonb, $3)");
        command.Parameters.Add(new() { Value = type });
        command.Parameters.Add(new() { Value = payload.ToJsonString() });
        command.Parameters.Add(new() { Value = pod.Time.GetUtcNow() });
        await command.ExecuteNonQueryAsync(ct);
    }

    /// <summary>Sets one key of the account's risk configuration. There is one row per account, whoever writes it.</summary>
    public async Task SetRiskFlagAsync(string account, string flag, bool value, CancellationToken ct)
    {
        await using var command = Command(account, """
            INSERT INTO {0}.risk_configs AS r (account_id, config, updated_at) VALUES ($1, jsonb_build_object($2::text, $3::boolean), $4)
            ON CONFLICT (account_id) DO UPDATE SET config = r.config || EXCLUDED.config, updated_at = EXCLUDED.updated_at
            """);
        command.Parameters.Add(new() { Value = account });
        command.Parameters.Add(new() { Value = flag });
        command.Parameters.Add(new() { Value = value });
        command.Parameters.Add(new() { Value = pod.Time.GetUtcNow() });
        await command.ExecuteNonQueryAsync(ct);
    }

    public async Task EnsureRiskConfigAsync(string account, CancellationToken ct)
    {
        await using var command = Command(account, "INSERT INTO {0}.risk_configs (account_id) VALUES ($1) ON CONFLICT DO NOTHING");
        command.Parameters.Add(new() { Value = account });
        await command.ExecuteNonQueryAsync(ct);
    }

    public async Task<JsonObject> ReadRiskConfigAsync(string account, CancellationToken ct)
    {
        await using var command = Command(account, "SELECT config::text FROM {0}.risk_configs WHERE account_id = $1");
        command.Parameters.Add(new() { Value = account });
        return await command.ExecuteScalarAsync(ct) is string json && JsonNode.Parse(json) is JsonObject config ? config : [];
    }

    /// <summary>Orders of the last day whose last acknowledgement says they rest on the book.</summary>
    public async Task<IReadOnlyList<string>> OpenOrdersAsync(string account, CancellationToken ct)
    {
        await using var command = Command(account, """
            SELECT order_id FROM (
              SELECT DISTINCT ON (order_id) order_id, status FROM {0}.acks
              WHERE recorded_at > $1 ORDER BY order_id, recorded_at DESC) last
            WHERE status = 'open'
            """);
        command.Parameters.Add(new() { Value = pod.Time.GetUtcNow().AddDays(-1) });
        await using var reader = await command.ExecuteReaderAsync(ct);
        var orders = new List<string>();
        while (await reader.ReadAsync(ct))
        {
            orders.Add(reader.GetString(0));
        }

        return orders;
    }

    /// <summary>Acknowledgements, fills and one event of an OMS, in one round trip.</summary>
    /// <param name="fills">Table <c>fills</c>, or <c>shadow_fills</c> for simulated ones.</param>
    public async Task AddOrdersAsync(
        string account, IReadOnlyList<OrderRecord> acks, IReadOnlyList<OrderRecord> fills, bool simulated, CancellationToken ct)
    {
        if (acks.Count + fills.Count == 0)
        {
            return;
        }

        await using var batch = Source(account).CreateBatch();
        var now = pod.Time.GetUtcNow();
        foreach (var ack in acks)
        {
            batch.BatchCommands.Add(Insert("acks", ack));
        }

        foreach (var fill in fills)
        {
            batch.BatchCommands.Add(Insert(simulated ? "shadow_fills" : "fills", fill));
        }

        await batch.ExecuteNonQueryAsync(ct);

        NpgsqlBatchCommand Insert(string table, OrderRecord order)
        {
            var payload = new JsonObject
            {
                ["account_id"] = account,
                ["symbol"] = order.Pair,
                ["side"] = order.Side,
                ["quantity"] = order.Volume,
                ["price"] = order.Price,
            };
            const string columns = "(order_id, client_id, status, payload, recorded_at)";
            return new NpgsqlBatchCommand($"INSERT INTO {Schema(account)}.{table} {columns} VALUES ($1, $2, $3, $4::jsonb, $5)")
            {
                Parameters =
                {
                    new() { Value = order.OrderId },
                    new() { Value = order.ClientId },
                    new() { Value = order.Status },
                    new() { Value = payload.ToJsonString() },
                    new() { Value = now },
                },
            };
        }
    }

    /// <summary>The acknowledgement an earlier order with this client id got, from whichever process, or null.</summary>
    public async Task<(string OrderId, string Status)?> FindByClientIdAsync(string account, string clientId, CancellationToken ct)
    {
        await using var command = Command(
            account, "SELECT order_id, status FROM {0}.acks WHERE client_id = $1 ORDER BY recorded_at LIMIT 1");
        command.Parameters.Add(new() { Value = clientId });
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? (reader.GetString(0), reader.GetString(1)) : null;
    }

    /// <summary>The last fills, newest first.</summary>
    public async Task<JsonArray> FillsAsync(string account, int limit, CancellationToken ct)
    {
        await using var command = Command(
            account, "SELECT order_id, client_id, payload::text, recorded_at FROM {0}.fills ORDER BY recorded_at DESC LIMIT $1");
        command.Parameters.Add(new() { Value = limit });
        await using var reader = await command.ExecuteReaderAsync(ct);
        var fills = new JsonArray();
        while (await reader.ReadAsync(ct))
        {
            var fill = JsonNode.Parse(reader.GetString(2)) as JsonObject ?? [];
            fill["order_id"] = reader.GetString(0);
            fill["client_id"] = reader.GetString(1);
            fill["ts"] = Audit.AuditTrail.IsoTime(await reader.GetFieldValueAsync<DateTimeOffset>(3, ct));
            fills.Add(fill);
        }

        return fills;
    }

    /// <summary>A row of audit trail B.</summary>
    public async Task AddAuditAsync(string account, string id, JsonObject payload, CancellationToken ct)
    {
        await using var command = Command(account, "INSERT INTO {0}.audit_logs (id, payload, recorded_at) VALUES ($1, $2::jsonb, $3)");
        command.Parameters.Add(new() { Value = id });
        command.Parameters.Add(new() { Value = payload.ToJsonString() });
        command.Parameters.Add(new() { Value = pod.Time.GetUtcNow() });
        await command.ExecuteNonQueryAsync(ct);
    }

    // The account keeps its hyphen, so the name can be set by Kubernetes but by no shell.
    private string? Dsn(string account) => pod.Env($"AETHER_{account.ToUpperInvariant()}_TIMESCALE_DSN", Database);

    private string Schema(string account)
    {
        var name = pod.Env($"AETHER_{account.ToUpperInvariant()}_TIMESCALE_SCHEMA") ?? SchemaOf(account);
        return $"\"{name.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";
    }

    private NpgsqlDataSource Source(string account) =>
        pod.World.Databases.Open(Dsn(account) ?? throw new InvalidOperationException($"{Database} is not set"));

    private NpgsqlCommand Command(string account, string sql) =>
        Source(account).CreateCommand(sql.Replace("{0}", Schema(account), StringComparison.Ordinal));
}
