using Npgsql;
using static Rollout.Database.DatabaseConnections;

namespace Rollout.Database;

/// <summary>The database's schema: which migrations it says it has, and what is in its catalogue.</summary>
/// <param name="dsn">A <c>postgresql://</c> address or a connection string.</param>
public sealed class DatabaseSchema(Secret dsn)
{
    private readonly DatabaseConnections _connections = new(dsn);

    /// <summary>The migration tree under this directory of the checkout, as <c>data/alembic</c>.</summary>
    /// <exception cref="RolloutException">There is no such directory.</exception>
    public static MigrationTree HeadsInCheckout(string directory) => MigrationTree.Read(directory);

    /// <summary>
    /// What every Alembic version table says. The platform's two trees use one table unless configured otherwise, so a row is a head of one
    /// of
    /// them and the table's name does not tell of which.
    /// </summary>
    /// <exception cref="RolloutException">The database does not answer.</exception>
    public Task<IReadOnlyList<MigrationHead>> HeadsAsync(
        CancellationToken cancellationToken) => _connections.UseAsync<IReadOnlyList<MigrationHead>>(
        "reading the migration heads",
        async connection =>
        {
            var tables = await ListAsync(
                connection,
                """
                SELECT table_schema::text, table_name::text FROM information_schema.columns
                WHERE column_name = 'version_num' AND table_name LIKE '%version%'
                    AND table_schema NOT IN ('pg_catalog', 'information_schema')
                ORDER BY 1, 2
                """,
                r => (Schema: r.GetString(0), Table: r.GetString(1)),
                cancellationToken);
            var heads = new List<MigrationHead>();
            foreach (var (schema, table) in tables)
            {
                heads.AddRange(await ListAsync(
                    connection,
                    $"SELECT version_num::text FROM {Quote(schema)}.{Quote(table)} ORDER BY 1",
                    r => new MigrationHead($"{schema}.{table}", r.GetString(0)),
                    cancellationToken));
            }

            return heads;
        },
        cancellationToken);

    /// <summary>Every column of the platform's tables and views, as <c>SCHEMA.TABLE.COLUMN TYPE</c> with <c>required</c> where a row must bring it; sorted.</summary>
    /// <exception cref="RolloutException">The database does not answer.</exception>
    public Task<IReadOnlyList<string>> ColumnsAsync(CancellationToken cancellationToken) => _connections.UseAsync(
        "reading the schema",
        connection => ListAsync(
            connection,
            """
            SELECT table_schema || '.' || table_name || '.' || column_name || ' ' || udt_name
                || CASE WHEN is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO' THEN ' required' ELSE '' END
            FROM information_schema.columns
            WHERE table_schema NOT IN ('pg_catalog', 'information_schema')
                AND table_schema NOT LIKE '\_timescaledb%' AND table_schema NOT LIKE 'timescaledb%'
            ORDER BY 1
            """,
            r => r.GetString(0),
            cancellationToken),
        cancellationToken);

    /// <summary>
    /// What the release that is still live would miss after a migration: columns that are gone or of another type, and columns of tables it knows that a
    /// row must now bring. Empty for an additive migration.
    /// </summary>
    /// <param name="before">As <see cref="ColumnsAsync"/> gave it before.</param>
    public static IReadOnlyList<string> Breaks(IReadOnlyList<string> before, IReadOnlyList<string> after)
    {
        var tables = before.Select(TableOf).ToHashSet(StringComparer.Ordinal);
        var optional = after.Where(c => !c.EndsWith(Required, StringComparison.Ordinal)).ToHashSet(StringComparer.Ordinal);

        // A column that a row need not bring any more breaks nobody.
        var kept = after.ToHashSet(StringComparer.Ordinal);
        return
        [
            .. before.Where(c => !kept.Contains(c) && !optional.Contains(c.Replace(Required, string.Empty, StringComparison.Ordinal))).Select(c => $"{c} is gone or changed"),
            .. after.Except(before).Where(c => c.EndsWith(Required, StringComparison.Ordinal) && tables.Contains(TableOf(c))).Select(c => $"{c} is new"),
        ];
    }

    private const string Required = " required";

    private static string TableOf(string column) => column[..column[..column.IndexOf(' ', StringComparison.Ordinal)].LastIndexOf('.')];
}
