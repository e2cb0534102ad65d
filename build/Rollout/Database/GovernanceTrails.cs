using Npgsql;

namespace Rollout.Database;

/// <summary>One governance event and where it was found.</summary>
/// <param name="Where">The table, as <c>public.audit_log</c> or <c>acct_company.events</c>.</param>
/// <param name="Action">As written there: <c>safe_mode.enter</c> in the trails, <c>safe_mode_engaged</c> in the events.</param>
/// <param name="Entity">What it was done to; empty where the table does not say.</param>
/// <param name="Actor">Who did it; empty where the table does not say.</param>
public sealed record GovernanceEvent(string Where, DateTimeOffset At, string Action, string Entity, string Actor);

/// <summary>A table that may hold governance events.</summary>
/// <param name="Readable">Whether its shape is one that is known here.</param>
/// <param name="Note">What shape it has, or what is wrong with it; writes of the platform into a table of the wrong shape are lost.</param>
public sealed record GovernanceSource(string Where, bool Readable, string Note);

/// <summary>
/// Finds the tables of the platform's two audit trails and their witnesses, and how to read each. Two migrations create <c>audit_log</c>
/// with
/// different columns (platform contract, section 10), so columns are asked for and not assumed.
/// </summary>
internal static class GovernanceTrails
{
    /// <summary>More than any honest window holds; a window that does is cut, and the newest are kept.</summary>
    public const int Limit = 5000;

    // Order events share these tables and outnumber everything else.
    private static readonly string[] Kinds = ["safe_mode", "kill_switch", "override", "sim_mode", "rollout"];

    public static async Task<IReadOnlyList<(GovernanceSource Source, string? Query)>> FindAsync(
        NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        const string Tables = """
            SELECT c.table_schema, c.table_name, array_agg(c.column_name::text)
            FROM information_schema.columns c
            JOIN information_schema.tables t USING (table_schema, table_name)
            WHERE (c.table_name IN ('audit_log', 'override_log') AND c.table_schema NOT IN ('pg_catalog', 'information_schema'))
               OR (c.table_name IN ('audit_logs', 'events') AND c.table_schema LIKE 'acct\_%')
            GROUP BY 1, 2 ORDER BY 1, 2
            """;
        var sources = new List<(GovernanceSource, string?)>();
        await using var command = new NpgsqlCommand(Tables, connection);
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        while (await reader.ReadAsync(cancellationToken))
        {
            var schema = reader.GetString(0);
            var table = reader.GetString(1);
            sources.Add(Describe(schema, table, reader.GetFieldValue<string[]>(2)));
        }

        return sources;
    }

    private static (GovernanceSource Source, string? Query) Describe(string schema, string table, string[] columns)
    {
        var where = $"{schema}.{table}";
        if (columns.Contains("payload") && columns.Contains("recorded_at"))
        {
            var action = columns.Contains("event_type") ? "event_type" : "payload->>'action'";
            var query = Select(
                schema,
                table,
                "recorded_at",
                action,
                "COALESCE(payload->>'target', payload->>'account_id', payload->>'account')",
                "COALESCE(payload->>'actor', payload->>'actor_id')");
            return (new GovernanceSource(where, true, table == "events" ? "events of the account" : "trail B"), query);
        }

        var time = First(columns, "ts", "event_time", "recorded_at", "created_at");
        var what = table == "override_log" && columns.Contains("decision")
            ? "'override.' || decision"
            : First(columns, "action", "event_type", "event");
        if (time is null || what is null)
        {
            return (new GovernanceSource(where, false, $"unknown shape: {string.Join(", ", columns.Order(StringComparer.Ordinal))}"), null);
        }

        var entity = First(columns, "entity", "entity_id", "intent_id", "target") ?? "''";
        var actor = First(columns, "actor", "actor_id") ?? "''";
        var note = table == "override_log" ? "overrides"
            : columns.Contains("prev_hash") ? "trail A"
            : "the table of migration 0001, into which trail A cannot write: its events are lost";
        return (new GovernanceSource(where, true, note), Select(schema, table, time, what, entity, actor));
    }

    private static string Select(string schema, string table, string time, string action, string entity, string actor) =>
        $"""
        SELECT at, action, entity, actor FROM (
            SELECT {time}::timestamptz AS at, ({action})::text AS action,
                COALESCE(({entity})::text, '') AS entity, COALESCE(({actor})::text, '') AS actor
            FROM {Quote(schema)}.{Quote(table)}) found
        WHERE at >= @from AND at <= @to AND action ~ '^({string.Join('|', Kinds)})'
        ORDER BY at DESC LIMIT {Limit}
        """;

    private static string? First(string[] columns, params ReadOnlySpan<string> names)
    {
        foreach (var name in names)
        {
            if (columns.Contains(name))
            {
                return Quote(name);
            }
        }

        return null;
    }

    private static string Quote(string identifier) => "\"" + identifier.Replace("\"", "\"\"", StringComparison.Ordinal) + "\"";
}
