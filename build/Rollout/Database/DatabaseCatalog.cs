using System.Globalization;
using System.Text.RegularExpressions;
using Npgsql;

namespace Rollout.Database;

/// <summary>One thing of the catalogue.</summary>
/// <param name="Kind">As <c>column</c>, <c>unique key</c>, <c>trigger</c>.</param>
/// <param name="Of">What it belongs to: <c>SCHEMA.TABLE</c>, or a schema.</param>
/// <param name="Name">Unique within the two above.</param>
/// <param name="Definition">What may change while the name stays: a column's type, a function's result.</param>
/// <param name="Identity">Another one where something else took the name: a table's number, a column's place; empty for what its definition tells whole.</param>
internal sealed partial record CatalogEntry(string Kind, string Of, string Name, string Definition, string Identity)
{
    public override string ToString() => $"{Kind} {string.Join('.', new[] { Of, Name }.Where(n => n.Length > 0))}{(Shown.Length > 0 ? $" {Shown}" : string.Empty)}";

    /// <summary>The definition without digests, which say nothing to people.</summary>
    public string Shown => Digest().Replace(Definition, string.Empty);

    [GeneratedRegex(@" ?(as )?\b[0-9a-f]{32}\b.*$")]
    private static partial Regex Digest();
}

/// <summary>What changed between two catalogues, for a program that was written for the first.</summary>
/// <param name="Additions">What it does not notice, in sentences.</param>
/// <param name="Breaks">What it may trip over, in sentences; empty for an additive migration.</param>
public sealed record CatalogChanges(IReadOnlyList<string> Additions, IReadOnlyList<string> Breaks);

/// <summary>
/// What a program sees of a database: schemas, tables, columns with their defaults, views, keys, constraints, references, rules, triggers, policies, types,
/// functions, sequences, extensions, owners and rights; without the server's own schemas and TimescaleDB's.
/// </summary>
public sealed partial class DatabaseCatalog
{
    private const string Required = ", required";

    /// <summary>Any function that has the name of one of the database's own, also the server's.</summary>
    private const string Namesake = "namesake";

    // Names may hold anything; a tab or a line break in one must not shift what follows.
    private const string Query = """
        WITH spaces AS (
            SELECT oid, nspname FROM pg_namespace
            WHERE nspname NOT IN ('pg_catalog', 'information_schema') AND nspname NOT LIKE 'pg\_%'
                AND nspname NOT LIKE '\_timescaledb%' AND nspname NOT LIKE 'timescaledb%'),
        relations AS (SELECT c.*, n.nspname, n.nspname || '.' || c.relname AS path FROM pg_class c JOIN spaces n ON n.oid = c.relnamespace),
        functions AS (
            SELECT p.*, n.nspname, proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' AS signature FROM pg_proc p JOIN spaces n ON n.oid = p.pronamespace
            WHERE prokind IN ('f', 'p') AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e'))
        SELECT 'schema', '', nspname::text, '', '' FROM spaces
        UNION ALL
        SELECT 'extension', '', extname::text, extversion, '' FROM pg_extension
        UNION ALL
        SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' ELSE 'table' END, nspname::text, relname::text,
            CASE WHEN relkind IN ('v', 'm') THEN concat_ws(' ', CASE WHEN NOT relispopulated THEN 'unpopulated' END, 'as', md5(pg_get_viewdef(oid) || COALESCE(reloptions::text, '')))
                WHEN relpersistence = 'u' THEN 'unlogged' ELSE '' END,
            CASE WHEN relkind IN ('v', 'm') THEN '' ELSE oid::text END
        FROM relations WHERE relkind IN ('r', 'p', 'v', 'm', 'f')
        UNION ALL
        SELECT 'partition', path, '', pg_get_expr(relpartbound, oid), '' FROM relations WHERE relispartition AND relkind IN ('r', 'p', 'f')
        UNION ALL
        SELECT 'sequence', nspname::text, relname::text,
            concat_ws(' ', format_type(seqtypid, NULL), 'by', seqincrement, 'from', seqmin, 'to', seqmax, CASE WHEN seqcycle THEN 'cycle' END), ''
        FROM relations r JOIN pg_sequence q ON q.seqrelid = r.oid
        UNION ALL
        SELECT 'owner', path, '', pg_get_userbyid(relowner)::text, '' FROM relations WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        UNION ALL
        SELECT 'owner', nspname::text, '', pg_get_userbyid(nspowner)::text, '' FROM pg_namespace JOIN spaces USING (oid, nspname)
        UNION ALL
        SELECT 'default', path, attname::text, pg_get_expr(adbin, adrelid), ''
        FROM pg_attrdef d JOIN relations r ON r.oid = adrelid JOIN pg_attribute a ON a.attrelid = adrelid AND a.attnum = adnum
        UNION ALL
        SELECT 'rule', path, rulename::text, md5(pg_get_ruledef(w.oid)), '' FROM pg_rewrite w JOIN relations r ON r.oid = ev_class WHERE rulename <> '_RETURN'
        UNION ALL
        SELECT 'row security', path, '', CASE WHEN relforcerowsecurity THEN 'forced' ELSE '' END, '' FROM relations WHERE relrowsecurity
        UNION ALL
        SELECT 'policy', path, polname::text, md5(concat_ws('|', polcmd, polpermissive, polroles::text, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))), ''
        FROM pg_policy JOIN relations r ON r.oid = polrelid
        UNION ALL
        SELECT 'column', path, attname::text, format_type(atttypid, atttypmod)
            || COALESCE((SELECT ' collate ' || collname FROM pg_collation l JOIN pg_type t ON t.oid = atttypid WHERE l.oid = attcollation AND attcollation <> typcollation), '')
            || CASE attgenerated WHEN '' THEN '' ELSE ', generated always' END
            || CASE attidentity WHEN 'a' THEN ', identity always' WHEN 'd' THEN ', identity' ELSE '' END
            || CASE WHEN attnotnull AND NOT atthasdef AND attidentity = '' AND attgenerated = '' THEN ', required' ELSE '' END,
            CASE WHEN relkind IN ('r', 'p', 'f') THEN attnum::text ELSE '' END
        FROM pg_attribute a JOIN relations r ON r.oid = attrelid WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND attnum > 0 AND NOT attisdropped
        UNION ALL
        SELECT 'unique key', path, columns, concat_ws(' ', CASE WHEN NOT bool_or(indimmediate) THEN 'deferrable' END, CASE WHEN bool_or(alike) THEN 'nulls not distinct' END), ''
        FROM (SELECT path, indimmediate, pg_get_indexdef(indexrelid) LIKE '%NULLS NOT DISTINCT%' AS alike,
            (SELECT string_agg(pg_get_indexdef(indexrelid, k, false), ', ' ORDER BY k) FROM generate_series(1, indnkeyatts) k)
                || COALESCE(' where ' || pg_get_expr(indpred, indrelid), '') AS columns
            FROM pg_index i JOIN relations r ON r.oid = indrelid WHERE indisunique AND indislive AND indisvalid) keys GROUP BY path, columns
        UNION ALL
        SELECT 'index', path, c.relname::text, regexp_replace(pg_get_indexdef(indexrelid), '^.* USING ', ''), ''
        FROM pg_index i JOIN relations r ON r.oid = indrelid JOIN pg_class c ON c.oid = indexrelid WHERE NOT indisunique
        UNION ALL
        SELECT DISTINCT 'constraint', path, pg_get_constraintdef(o.oid), '', ''
        FROM pg_constraint o JOIN relations r ON r.oid = conrelid WHERE contype IN ('c', 'f', 'x')
        UNION ALL
        SELECT DISTINCT 'reference', t.path, 'from ' || r.path || ' ' || pg_get_constraintdef(o.oid), CASE WHEN confdeltype IN ('a', 'r') THEN 'holds rows' ELSE '' END, ''
        FROM pg_constraint o JOIN relations r ON r.oid = conrelid JOIN relations t ON t.oid = confrelid WHERE contype = 'f' AND conrelid <> confrelid AND conparentid = 0
        UNION ALL
        SELECT 'trigger', path, tgname::text, md5(pg_get_triggerdef(t.oid) || tgenabled::text), '' FROM pg_trigger t JOIN relations r ON r.oid = tgrelid WHERE NOT tgisinternal
            AND NOT EXISTS (SELECT FROM pg_proc p JOIN pg_namespace f ON f.oid = pronamespace WHERE p.oid = tgfoid AND f.nspname LIKE '\_timescaledb%')
        UNION ALL
        SELECT 'enum label', n.nspname || '.' || typname, enumlabel::text, '', '' FROM pg_enum JOIN pg_type t ON t.oid = enumtypid JOIN spaces n ON n.oid = typnamespace
        UNION ALL
        SELECT 'type', n.nspname::text, typname::text, CASE typtype
            WHEN 'd' THEN format_type(typbasetype, typtypmod) || CASE WHEN typnotnull THEN ' not null' ELSE '' END
                || COALESCE((SELECT ' ' || string_agg(pg_get_constraintdef(o.oid), ' ' ORDER BY conname) FROM pg_constraint o WHERE contypid = t.oid), '')
            WHEN 'c' THEN (SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = typrelid AND NOT attisdropped)
            ELSE '' END, ''
        FROM pg_type t JOIN spaces n ON n.oid = typnamespace LEFT JOIN pg_class c ON c.oid = typrelid
        WHERE typtype IN ('d', 'e', 'r', 'm') OR (typtype = 'c' AND c.relkind = 'c')
        UNION ALL
        SELECT 'function', nspname::text, signature, COALESCE(pg_get_function_result(oid), '') || ' as '
            || md5(pg_get_functiondef(oid)), ''
        FROM functions
        UNION ALL
        SELECT 'namesake', proname::text, n.nspname || '(' || pg_get_function_identity_arguments(p.oid) || ')', '', ''
        FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE proname IN (SELECT proname FROM functions)
        UNION ALL
        SELECT DISTINCT 'right', path, COALESCE(g.rolname, 'public')::text || ' ' || lower(privilege_type), '', ''
        FROM relations r CROSS JOIN LATERAL aclexplode(COALESCE(relacl, acldefault(CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r'::"char" END, relowner))) a LEFT JOIN pg_roles g ON g.oid = a.grantee
        WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        UNION ALL
        SELECT DISTINCT 'right', path, COALESCE(g.rolname, 'public')::text || ' ' || lower(privilege_type) || ' of ' || attname, '', ''
        FROM pg_attribute t JOIN relations r ON r.oid = attrelid CROSS JOIN LATERAL aclexplode(attacl) a LEFT JOIN pg_roles g ON g.oid = a.grantee WHERE NOT attisdropped
        UNION ALL
        SELECT DISTINCT 'right', n.nspname::text, COALESCE(g.rolname, 'public')::text || ' ' || lower(privilege_type), '', ''
        FROM pg_namespace n JOIN spaces USING (oid) CROSS JOIN LATERAL aclexplode(COALESCE(n.nspacl, acldefault('n', n.nspowner))) a LEFT JOIN pg_roles g ON g.oid = a.grantee
        UNION ALL
        SELECT DISTINCT 'right', nspname || '.' || signature, COALESCE(g.rolname, 'public')::text || ' ' || lower(privilege_type), '', ''
        FROM functions CROSS JOIN LATERAL aclexplode(COALESCE(proacl, acldefault('f', proowner))) a LEFT JOIN pg_roles g ON g.oid = a.grantee
        """;

    private readonly Dictionary<(string Kind, string Of, string Name), CatalogEntry> _entries;

    private DatabaseCatalog(IEnumerable<CatalogEntry> entries)
    {
        _entries = entries.ToDictionary(e => (e.Kind, e.Of, e.Name));
    }

    /// <summary>The catalogue as <see cref="ToText"/> wrote it.</summary>
    /// <exception cref="FormatException">It is not such a text.</exception>
    public static DatabaseCatalog FromText(string text) => new(text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line =>
        line.Split('\t') is [var kind, var of, var name, var definition, var identity] ? new CatalogEntry(kind, of, name, definition, identity) : throw new FormatException("no catalogue")));

    /// <summary>A line for each thing, sorted.</summary>
    public string ToText() => string.Concat(_entries.Values.Select(e => $"{e.Kind}\t{e.Of}\t{e.Name}\t{e.Definition}\t{e.Identity}\n").Order(StringComparer.Ordinal));

    /// <summary>What a program that knows this catalogue meets in another.</summary>
    public CatalogChanges ChangesTo(DatabaseCatalog after)
    {
        ArgumentNullException.ThrowIfNull(after);
        var additions = new List<string>();
        var breaks = new List<string>();
        foreach (var (key, entry) in _entries.Where(e => e.Value.Kind != Namesake))
        {
            if (!after._entries.TryGetValue(key, out var now))
            {
                // What went with its schema, table or column is told by that.
                if (after.IsToldAlone(entry) || !IsToldAlone(entry))
                {
                    (MayGo(entry) ? additions : breaks).Add($"{entry} is gone");
                }
            }
            else if (now.Identity != entry.Identity)
            {
                breaks.Add($"{entry} is another one now");
            }
            else if (now != entry)
            {
                (IsWider(entry, now) ? additions : breaks).Add(now.Shown == entry.Shown ? $"{entry} is defined anew" : $"{entry} becomes {now.Shown}");
            }
        }

        foreach (var entry in after._entries.Values.Where(e => !_entries.ContainsKey((e.Kind, e.Of, e.Name))))
        {
            if (entry.Kind == Namesake)
            {
                if (MayTakeCalls(entry))
                {
                    breaks.Add($"{entry.Of} names another function too, and live's calls may reach that");
                }
            }
            else if (IsToldAlone(entry))
            {
                (Hinders(entry) ? breaks : additions).Add($"{entry} is new{(Hinders(entry) ? ", and live's writes may not fit it" : string.Empty)}");
            }
        }

        return new CatalogChanges([.. additions.Order(StringComparer.Ordinal)], [.. breaks.Distinct().Order(StringComparer.Ordinal)]);
    }

    // The server writes names as the search path lets it; whatever that is, a catalogue has them whole.
    internal static async Task<DatabaseCatalog> ReadAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        var path = await SetSearchPathAsync(connection, string.Empty, cancellationToken);
        var catalog = new DatabaseCatalog(await DatabaseConnections.ListAsync(
            connection, Query, r => new CatalogEntry(Clean(r.GetString(0)), Clean(r.GetString(1)), Clean(r.GetString(2)), Clean(r.GetString(3)), r.GetString(4)), cancellationToken));
        await SetSearchPathAsync(connection, path, cancellationToken);
        return catalog;
    }

    private static async Task<string> SetSearchPathAsync(NpgsqlConnection connection, string path, CancellationToken cancellationToken) => (await DatabaseConnections.ListAsync(
        connection,
        "SELECT before FROM (SELECT current_setting('search_path') AS before OFFSET 0) b, LATERAL set_config('search_path', @path, false)",
        r => r.GetString(0),
        cancellationToken,
        ("path", path)))[0];

    // What belongs to something that this catalogue lacks comes or goes with it.
    private bool IsToldAlone(CatalogEntry entry) => entry.Kind switch
    {
        "schema" => true,
        "default" => _entries.ContainsKey(("column", entry.Of, entry.Name)),
        _ => entry.Of.Contains('.', StringComparison.Ordinal) && entry.Kind is not "enum label" ? Has(entry.Of) : true,
    };

    // Nobody's statement fails, and nobody's row becomes another, because one of these is gone; unless it also acted on rows.
    private static bool MayGo(CatalogEntry entry) => entry.Kind == "index"
        || (entry.Kind is "constraint" or "reference" && !entry.Name.Contains(" ON DELETE ", StringComparison.Ordinal) && !entry.Name.Contains(" ON UPDATE ", StringComparison.Ordinal));

    // What refuses, hides or changes a row that was fine before.
    private bool Hinders(CatalogEntry entry) => Has(entry.Of)
        && (entry.Kind is "unique key" or "constraint" or "trigger" or "rule" or "policy" or "row security" or "partition"
            || (entry.Kind == "reference" && entry.Definition.Length > 0)
            || (entry.Kind == "default" && !IsAlwaysGiven(entry))
            || (entry.Kind == "column" && entry.Definition.EndsWith(Required, StringComparison.Ordinal)));

    // A default of a column that live has to name anyway is never used by it.
    private bool IsAlwaysGiven(CatalogEntry entry) =>
        _entries.TryGetValue(("column", entry.Of, entry.Name), out var column) && column.Definition.EndsWith(Required, StringComparison.Ordinal);

    // A call that was written for one function may fit a new one of that name better, or two of them alike.
    private bool MayTakeCalls(CatalogEntry namesake) =>
        namesake.Name.StartsWith("pg_catalog(", StringComparison.Ordinal) || _entries.Keys.Any(k => k.Kind == namesake.Kind && k.Of == namesake.Of);

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
        return dot > 0 && (string[])["table", "view", "materialized view", "sequence", "function"] is var kinds
            && Array.Exists(kinds, kind => _entries.ContainsKey((kind, relation[..dot], relation[(dot + 1)..])));
    }

    private static string Clean(string text) => Breaking().Replace(text, " ");

    [GeneratedRegex(@"^character varying\((?<length>\d+)\)$")]
    private static partial Regex Varchar();

    [GeneratedRegex(@"\s+")]
    private static partial Regex Breaking();
}
