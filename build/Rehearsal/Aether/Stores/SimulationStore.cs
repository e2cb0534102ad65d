using System.Text.Json.Nodes;
using Npgsql;
using NpgsqlTypes;
using Rehearsal.Aether.Audit;

namespace Rehearsal.Aether.Stores;

internal sealed record SimulationState(string Account, bool Active, string? Reason, DateTimeOffset? Since)
{
    public JsonObject ToJson() => new()
    {
        ["account_id"] = Account,
        ["active"] = Active,
        ["reason"] = Reason,
        ["since"] = Since is { } since ? AuditTrail.IsoTime(since) : null,
    };
}

/// <summary>The table <c>sim_mode_state</c>: whoever shares the database shares the mode.</summary>
internal sealed class SimulationStore(Pod pod)
{
    public const string Schema = """
        CREATE TABLE IF NOT EXISTS sim_mode_state (
          account_id text PRIMARY KEY, active boolean NOT NULL DEFAULT false, reason text, ts timestamptz NOT NULL DEFAULT now());
        """;

    public static string? Dsn(Pod pod) => pod.Env("SIM_MODE_DATABASE_URL", "DATABASE_URL");

    public async Task EnsureAsync(CancellationToken ct)
    {
        await using var command = Command(Schema);
        try
        {
            await command.ExecuteNonQueryAsync(ct);
        }
        catch (PostgresException raced) when (raced.SqlState is PostgresErrorCodes.UniqueViolation or PostgresErrorCodes.DuplicateTable)
        {
            // Two replicas create it at the same time; IF NOT EXISTS does not cover that.
        }
    }

    public async Task<IReadOnlyDictionary<string, SimulationState>> ReadAsync(CancellationToken ct)
    {
        await using var command = Command("SELECT account_id, active, reason, ts FROM sim_mode_state");
        await using var reader = await command.ExecuteReaderAsync(ct);
        var states = new Dictionary<string, SimulationState>(StringComparer.Ordinal);
        while (await reader.ReadAsync(ct))
        {
            var reason = reader.IsDBNull(2) ? null : reader.GetString(2);
            var since = await reader.GetFieldValueAsync<DateTimeOffset>(3, ct);
            states[reader.GetString(0)] = new SimulationState(reader.GetString(0), reader.GetBoolean(1), reason, since);
        }

        return states;
    }

    /// <summary>False when the account is in that mode already; its row is left as it is.</summary>
    public async Task<bool> TrySetAsync(SimulationState state, CancellationToken ct)
    {
        await using var command = Command("""
            INSERT INTO sim_mode_state AS s (account_id, active, reason, ts) SELECT $1, $2, $3, $4
            WHERE $2 OR EXISTS (SELECT 1 FROM sim_mode_state WHERE account_id = $1)
            ON CONFLICT (account_id) DO UPDATE SET active = EXCLUDED.active, reason = EXCLUDED.reason, ts = EXCLUDED.ts
            WHERE s.active <> EXCLUDED.active
            """);
        command.Parameters.Add(new() { Value = state.Account });
        command.Parameters.Add(new() { Value = state.Active });
        command.Parameters.Add(new() { Value = (object?)state.Reason ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text });
        command.Parameters.Add(new() { Value = state.Since });
        return await command.ExecuteNonQueryAsync(ct) == 1;
    }

    private NpgsqlCommand Command(string sql) =>
        pod.World.Databases.Open(Dsn(pod) ?? throw new InvalidOperationException("SIM_MODE_DATABASE_URL is not set")).CreateCommand(sql);
}
