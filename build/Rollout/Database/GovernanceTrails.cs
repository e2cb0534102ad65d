using System.Text.Json;
using System.Text.Json.Nodes;
using Npgsql;
using static Rollout.Database.DatabaseConnections;

namespace Rollout.Database;

/// <summary>Where the platform keeps traces of a governance event.</summary>
public enum GovernancePlace
{
    /// <summary><c>audit_log</c>, with a hash chain in its writer's shape.</summary>
    TrailA,

    /// <summary><c>SCHEMA.audit_logs</c>.</summary>
    TrailB,

    /// <summary><c>SCHEMA.events</c>: what happened, as the service that did it noted.</summary>
    Events,

    /// <summary><c>override_log</c>: decisions by hand.</summary>
    Overrides,

    /// <summary>Standard output of the pods.</summary>
    PodLog,
}

/// <summary>One governance event and where it was found.</summary>
/// <param name="Where">The table, as <c>public.audit_log</c> or <c>acct_company.events</c>; or the pod.</param>
/// <param name="Action">As written there: <c>safe_mode.enter</c> in the trails, <c>safe_mode_engaged</c> in the events.</param>
/// <param name="Entity">What it was done to; empty where the table does not say.</param>
/// <param name="Actor">Who did it; empty where the table does not say.</param>
/// <param name="Reason">Why, which names the release for what a rollout did; empty where the table does not say.</param>
public sealed record GovernanceEvent(string Where, GovernancePlace Place, DateTimeOffset At, string Action, string Entity, string Actor, string Reason);

/// <summary>A table that may hold governance events.</summary>
/// <param name="Readable">Whether its shape is one that is known here, and it may be read.</param>
/// <param name="Note">What shape it has, or what is wrong with it; writes of the platform into a table of the wrong shape are lost.</param>
public sealed record GovernanceSource(string Where, GovernancePlace Place, bool Readable, string Note);

/// <summary>
/// Finds the tables of the platform's two audit trails and their witnesses, and how to read each. Three programs have their own idea of <c>audit_log</c>'s
/// columns (platform contract, section 10), so columns are asked for and not assumed.
/// </summary>
internal static class GovernanceTrails
{
    // Order events share these tables and outnumber everything else.
    private static readonly string[] Kinds = ["safe_mode", "kill_switch", "override", "sim_mode", "rollout"];

    /// <summary>The tables, and how to read each: five columns of an event, or where its payload is text, time, action and payload for <see cref="Parse"/>.</summary>
    public static async Task<IReadOnlyList<(GovernanceSource Source, string? Query, bool IsText)>> FindAsync(
        NpgsqlConnection connection, IReadOnlyCollection<string> named, CancellationToken cancellationToken)
    {
        // The catalogue, not information_schema, which hides what a role may not read.
        const string Tables = """
            SELECT n.nspname::text, c.relname::text, array_agg(a.attname || ' ' || format_type(a.atttypid, NULL) ORDER BY a.attnum), has_table_privilege(c.oid, 'SELECT')
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_%'
                AND n.nspname NOT LIKE '\_timescaledb%'
                AND (c.relname IN ('audit_log', 'override_log') OR (c.relname IN ('audit_logs', 'events') AND (n.nspname LIKE 'acct\_%' OR n.nspname = ANY(@named))))
            GROUP BY 1, 2, c.oid ORDER BY 1, 2
            """;
        var sources = new List<(GovernanceSource, string?, bool)>();
        await using var command = new NpgsqlCommand(Tables, connection);
        command.Parameters.AddWithValue("named", named.ToArray());
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        while (await reader.ReadAsync(cancellationToken))
        {
            var columns = reader.GetFieldValue<string[]>(2).Select(c => c.Split(' ', 2)).ToDictionary(c => c[0], c => c[1], StringComparer.Ordinal);
            var (source, query) = Describe(reader.GetString(0), reader.GetString(1), columns);
            sources.Add(reader.GetBoolean(3) ? (source, query, IsText(columns)) : (source with { Readable = false, Note = "may not be read by this role" }, null, false));
        }

        return sources;
    }

    /// <summary>The event in a payload that the database keeps as text; null where it is none that is told of here.</summary>
    /// <param name="action">As a column of its own has it; empty where only the payload does.</param>
    public static GovernanceEvent? Parse(GovernanceSource source, DateTimeOffset at, string action, string payload)
    {
        JsonObject? content;
        try
        {
            content = JsonNode.Parse(payload) as JsonObject;
        }
        catch (JsonException)
        {
            content = null;
        }

        action = action.Length > 0 ? action : Member(content, "action");
        return Array.Exists(Kinds, k => action.StartsWith(k, StringComparison.Ordinal))
            ? new GovernanceEvent(
                source.Where,
                source.Place,
                at,
                action,
                FirstOf(Member(content, "target"), Member(content, "account_id"), Member(content, "account")),
                FirstOf(Member(content, "actor"), Member(content, "actor_id")),
                FirstOf(Member(content, "reason"), Member(content, "payload", "after", "reason"), Member(content, "payload", "before", "reason")))
            : null;

        static string Member(JsonNode? from, params ReadOnlySpan<string> path)
        {
            foreach (var name in path)
            {
                from = (from as JsonObject)?[name];
            }

            return from?.ToString() ?? string.Empty;
        }

        static string FirstOf(params string[] values) => Array.Find(values, v => v.Length > 0) ?? string.Empty;
    }

    private static (GovernanceSource Source, string? Query) Describe(string schema, string table, Dictionary<string, string> columns)
    {
        var where = $"{schema}.{table}";
        var place = table switch
        {
            "events" => GovernancePlace.Events,
            "audit_logs" => GovernancePlace.TrailB,
            "override_log" => GovernancePlace.Overrides,
            _ => GovernancePlace.TrailA,
        };
        if (columns.ContainsKey("recorded_at") && IsJson(columns, "payload"))
        {
            var action = columns.ContainsKey("event_type") ? "event_type" : "payload->>'action'";
            var query = Select(
                schema,
                table,
                "recorded_at",
                action,
                "COALESCE(payload->>'target', payload->>'account_id', payload->>'account')",
                "COALESCE(payload->>'actor', payload->>'actor_id')",
                "COALESCE(payload->>'reason', payload#>>'{payload,after,reason}', payload#>>'{payload,before,reason}')");
            return (new GovernanceSource(where, place, true, place == GovernancePlace.Events ? "events of the account" : "trail B"), query);
        }

        if (IsText(columns))
        {
            var action = columns.ContainsKey("event_type") ? "event_type::text" : "''";
            var query = $"""
                SELECT recorded_at::timestamptz, COALESCE({action}, ''), COALESCE(payload, '') FROM {Quote(schema)}.{Quote(table)}
                WHERE recorded_at >= $1 AND recorded_at <= $2 AND COALESCE(NULLIF({action}, ''), payload) ~ '({string.Join('|', Kinds)})'
                ORDER BY 1
                """;
            return (new GovernanceSource(where, place, true, place == GovernancePlace.Events ? "events of the account, as text" : "trail B, as text"), query);
        }

        var time = First(columns, "ts", "event_time", "recorded_at", "created_at");
        var what = place == GovernancePlace.Overrides && columns.ContainsKey("decision")
            ? "'override.' || decision"
            : First(columns, "action", "event_type", "event");
        if (time is null || what is null || !columns[time.Trim('"')].StartsWith("timestamp", StringComparison.Ordinal))
        {
            return (new GovernanceSource(where, place, false, $"unknown shape: {string.Join(", ", columns.Keys.Order(StringComparer.Ordinal))}"), null);
        }

        var entity = First(columns, "entity", "entity_id", "intent_id", "target") ?? "''";
        var actor = First(columns, "actor", "actor_id") ?? "''";
        var reasons = new[] { ("after", "\"after\"->>'reason'"), ("before", "\"before\"->>'reason'"), ("metadata", "COALESCE(metadata->>'reason', metadata#>>'{after,reason}', metadata#>>'{before,reason}')") }
            .Where(r => IsJson(columns, r.Item1)).Select(r => r.Item2).Concat(columns.ContainsKey("reason") ? ["reason::text"] : Array.Empty<string>()).Append("''");
        var note = place == GovernancePlace.Overrides ? "overrides"
            : columns.ContainsKey("prev_hash") ? "trail A"
            : columns.ContainsKey("event_id") ? "the table of migration 0001, into which trail A cannot write: its events are lost"
            : "a table that trail A cannot write into: its events are lost";
        return (new GovernanceSource(where, place, true, note), Select(schema, table, time, what, entity, actor, $"COALESCE({string.Join(", ", reasons)})"));
    }

    // JSON in a column of text: a row that is none must not keep the others from being read.
    private static bool IsText(Dictionary<string, string> columns) =>
        columns.GetValueOrDefault("payload") is "text" or "character varying" && columns.GetValueOrDefault("recorded_at")?.StartsWith("timestamp", StringComparison.Ordinal) == true;

    private static bool IsJson(Dictionary<string, string> columns, string name) => columns.GetValueOrDefault(name) is "jsonb" or "json";

    // The bare time column lets the planner use its index; a JSON null has no members, and a scalar none either.
    private static string Select(string schema, string table, string time, string action, string entity, string actor, string reason) =>
        $"""
        SELECT {time}::timestamptz, ({action})::text, COALESCE(({entity})::text, ''), COALESCE(({actor})::text, ''), COALESCE({reason}, '')
        FROM {Quote(schema)}.{Quote(table)}
        WHERE {time} >= $1 AND {time} <= $2 AND ({action})::text ~ '^({string.Join('|', Kinds)})'
        ORDER BY 1
        """;

    private static string? First(Dictionary<string, string> columns, params ReadOnlySpan<string> names)
    {
        foreach (var name in names)
        {
            if (columns.ContainsKey(name))
            {
                return Quote(name);
            }
        }

        return null;
    }
}
