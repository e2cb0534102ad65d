using System.Globalization;
using System.Text.RegularExpressions;
using Npgsql;

namespace Rollout.Database;

/// <summary>One thing of the catalogue.</summary>
/// <param name="Kind">As <c>column</c>, <c>unique key</c>, <c>trigger</c>.</param>
/// <param name="Of">What it belongs to: <c>SCHEMA.TABLE</c>, or a schema.</param>
/// <param name="Name">Unique within the two above.</param>
/// <param name="Definition">What may change while the name stays: a column's type, a function's result.</param>
internal sealed record CatalogEntry(string Kind, string Of, string Name, string Definition)
{
    public override string ToString() => $"{Kind} {Of}.{Name}{(Definition.Length > 0 ? $" {Definition}" : string.Empty)}";
}

/// <summary>What changed between two catalogues, for a program that was written for the first.</summary>
/// <param name="Additions">What it does not notice, in sentences.</param>
/// <param name="Breaks">What it may trip over, in sentences; empty for an additive migration.</param>
public sealed record CatalogChanges(IReadOnlyList<string> Additions, IReadOnlyList<string> Breaks);

/// <summary>
/// What a program sees of a database: tables, columns, keys, constraints, enum labels, functions, triggers, sequences and rights; without the server's own
/// schemas and TimescaleDB's.
/// </summary>
public sealed partial class DatabaseCatalog
{
    private const string Required = ", required";

    // Names may hold anything; a tab or a line break in one must not shift what follows.
    private const string Query = """
        WITH spaces AS (
            SELECT oid, nspname FROM pg_namespace
            WHERE nspname NOT IN ('pg_catalog', 'information_schema') AND nspname NOT LIKE 'pg\_%'
                AND nspname NOT LIKE '\_timescaledb%' AND nspname NOT LIKE 'timescaledb%'),
        relations AS (SELECT c.*, n.nspname, n.nspname || '.' || c.relname AS path FROM pg_class c JOIN spaces n ON n.oid = c.relnamespace)
        SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' ELSE 'table' END, nspname::text, relname::text, ''
        FROM relations WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        UNION ALL
        SELECT 'column', path, attname::text, format_type(atttypid, atttypmod)
            || CASE WHEN attnotnull AND NOT atthasdef AND attidentity = '' AND attgenerated = '' THEN ', required' ELSE '' END
        FROM pg_attribute a JOIN relations r ON r.oid = attrelid WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND attnum > 0 AND NOT attisdropped
        UNION ALL
        SELECT DISTINCT 'unique key', path,
            (SELECT string_agg(pg_get_indexdef(indexrelid, k, false), ', ' ORDER BY k) FROM generate_series(1, indnkeyatts) k)
                || COALESCE(' where ' || pg_get_expr(indpred, indrelid), ''), ''
        FROM pg_index i JOIN relations r ON r.oid = indrelid WHERE indisunique AND indislive
        UNION ALL
        SELECT 'index', path, c.relname::text, regexp_replace(pg_get_indexdef(indexrelid), '^.* USING ', '')
        FROM pg_index i JOIN relations r ON r.oid = indrelid JOIN pg_class c ON c.oid = indexrelid WHERE NOT indisunique
        UNION ALL
        SELECT DISTINCT 'constraint', path, pg_get_constraintdef(o.oid), ''
        FROM pg_constraint o JOIN relations r ON r.oid = conrelid WHERE contype IN ('c', 'f', 'x')
        UNION ALL
        SELECT 'trigger', path, tgname::text, '' FROM pg_trigger JOIN relations r ON r.oid = tgrelid WHERE NOT tgisinternal
        UNION ALL
        SELECT 'enum label', n.nspname || '.' || typname, enumlabel::text, '' FROM pg_enum JOIN pg_type t ON t.oid = enumtypid JOIN spaces n ON n.oid = typnamespace
        UNION ALL
        SELECT 'function', n.nspname::text, proname || '(' || pg_get_function_identity_arguments(p.oid) || ')', COALESCE(pg_get_function_result(p.oid), '')
        FROM pg_proc p JOIN spaces n ON n.oid = pronamespace
        WHERE prokind IN ('f', 'p') AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e')
        UNION ALL
        SELECT DISTINCT 'right', path, COALESCE(g.rolname, 'public')::text || ' ' || lower(privilege_type), ''
        FROM relations r CROSS JOIN LATERAL aclexplode(relacl) a LEFT JOIN pg_roles g ON g.oid = a.grantee WHERE a.grantee <> relowner
        """;

    private readonly Dictionary<(string Kind, string Of, string Name), CatalogEntry> _entries;

    private DatabaseCatalog(IEnumerable<CatalogEntry> entries)
    {
        _entries = entries.ToDictionary(e => (e.Kind, e.Of, e.Name));
    }

    /// <summary>The catalogue as <see cref="ToText"/> wrote it.</summary>
    /// <exception cref="FormatException">It is not such a text.</exception>
    public static DatabaseCatalog FromText(string text) => new(text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line =>
        line.Split('\t') is [var kind, var of, var name, var definition] ? new CatalogEntry(kind, of, name, definition) : throw new FormatException("no catalogue")));

    /// <summary>A line for each thing, sorted.</summary>
    public string ToText() => string.Concat(_entries.Values.Select(e => $"{e.Kind}\t{e.Of}\t{e.Name}\t{e.Definition}\n").Order(StringComparer.Ordinal));

    /// <summary>What a program that knows this catalogue meets in another.</summary>
    public CatalogChanges ChangesTo(DatabaseCatalog after)
    {
        ArgumentNullException.ThrowIfNull(after);
        var additions = new List<string>();
        var breaks = new List<string>();
        foreach (var (key, entry) in _entries)
        {
            if (!after._entries.TryGetValue(key, out var now))
            {
                // What went with its table is told by the table.
                if (IsRelation(entry) || after.Has(entry.Of) || !Has(entry.Of))
                {
                    (MayGo(entry) ? additions : breaks).Add($"{entry} is gone");
                }
            }
            else if (now != entry)
            {
                (IsWider(entry, now) ? additions : breaks).Add($"{entry} becomes {now.Definition}");
            }
        }

        foreach (var entry in after._entries.Values.Where(e => !_entries.ContainsKey((e.Kind, e.Of, e.Name))))
        {
            if (Has(entry.Of) || IsRelation(entry) || entry.Kind is "function" or "enum label")
            {
                (Hinders(entry) ? breaks : additions).Add($"{entry} is new{(Hinders(entry) ? ", and live's writes may not fit it" : string.Empty)}");
            }
        }

        return new CatalogChanges([.. additions.Order(StringComparer.Ordinal)], [.. breaks.Order(StringComparer.Ordinal)]);
    }

    internal static async Task<DatabaseCatalog> ReadAsync(NpgsqlConnection connection, CancellationToken cancellationToken) => new(await DatabaseConnections.ListAsync(
        connection, Query, r => new CatalogEntry(Clean(r.GetString(0)), Clean(r.GetString(1)), Clean(r.GetString(2)), Clean(r.GetString(3))), cancellationToken));

    private static bool IsRelation(CatalogEntry entry) => entry.Kind is "table" or "view" or "materialized view" or "sequence";

    // Nobody's statement fails because one of these is gone.
    private static bool MayGo(CatalogEntry entry) => entry.Kind is "index" or "constraint" or "trigger";

    // What refuses, or changes, a row that was fine before.
    private bool Hinders(CatalogEntry entry) => Has(entry.Of)
        && (entry.Kind is "unique key" or "constraint" or "trigger" || (entry.Kind == "column" && entry.Definition.EndsWith(Required, StringComparison.Ordinal)));

    private static bool IsWider(CatalogEntry before, CatalogEntry after)
    {
        if (before.Kind != "column")
        {
            return false;
        }

        var (from, to) = (before.Definition.Replace(Required, string.Empty, StringComparison.Ordinal), after.Definition);
        if (to.EndsWith(Required, StringComparison.Ordinal) && !before.Definition.EndsWith(Required, StringComparison.Ordinal))
        {
            return false;
        }

        to = to.Replace(Required, string.Empty, StringComparison.Ordinal);
        return from == to || (Varchar().Match(from) is { Success: true } old
            && (to is "text" or "character varying" || (Varchar().Match(to) is { Success: true } wide && Length(wide) >= Length(old))));

        static int Length(Match match) => int.Parse(match.Groups["length"].ValueSpan, CultureInfo.InvariantCulture);
    }

    private bool Has(string relation)
    {
        var dot = relation.IndexOf('.', StringComparison.Ordinal);
        return dot > 0 && (string[])["table", "view", "materialized view"] is var kinds
            && Array.Exists(kinds, kind => _entries.ContainsKey((kind, relation[..dot], relation[(dot + 1)..])));
    }

    private static string Clean(string text) => Breaking().Replace(text, " ");

    [GeneratedRegex(@"^character varying\((?<length>\d+)\)$")]
    private static partial Regex Varchar();

    [GeneratedRegex(@"\s+")]
    private static partial Regex Breaking();
}
