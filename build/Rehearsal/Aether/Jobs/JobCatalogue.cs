using Npgsql;
using Rehearsal.Aether.Stores;

namespace Rehearsal.Aether.Jobs;

/// <summary>The containers that run to completion: the chart's three bootstrap jobs.</summary>
internal static class JobCatalogue
{
    /// <summary>The job of that container name, or null.</summary>
    /// <remarks>The chart runs them with a backend's image, so the container's name says what they are.</remarks>
    public static Func<Pod, CancellationToken, Task<int>>? Find(string name) => name switch
    {
        "data-migrations" => (pod, ct) => RunAsync(pod, MigrateAsync, ct),
        "config-bootstrap" => (pod, ct) => RunAsync(pod, BootstrapConfigAsync, ct),
        "account-bootstrap" => (pod, ct) => RunAsync(pod, BootstrapAccountsAsync, ct),
        _ => null,
    };

    private static async Task<int> RunAsync(Pod pod, Func<Pod, CancellationToken, Task<int>> job, CancellationToken ct)
    {
        // The images are Debian-slim: /bin/sh is dash, and the chart's scripts begin with an option it does not have.
        if (pod.Start.Command is [.., "/bin/sh", "-c"] or ["/bin/sh", ..]
            && pod.Start.Args.Any(arg => arg.Contains("-euo pipefail", StringComparison.Ordinal)))
        {
            pod.Log("/bin/sh: 1: set: Illegal option -o pipefail");
            return 2;
        }

        return await job(pod, ct);
    }

    /// <summary>
    /// Both trees, each revision with its mark in one transaction, then the release manifests. Fault <c>migration-fails</c> strikes
    /// between the trees.
    /// </summary>
    private static async Task<int> MigrateAsync(Pod pod, CancellationToken ct)
    {
        if (pod.Env("DATABASE_URL", "TIMESCALE_DSN") is not { } dsn)
        {
            pod.Log("Migrations were not run: DATABASE_URL is not set.");
            return 1;
        }

        var applied = 0;
        await using var connection = await pod.World.Databases.Open(dsn).OpenConnectionAsync(ct);
        foreach (var tree in MigrationTree.All)
        {
            if (tree != MigrationTree.All[0] && pod.World.Fault("migration-fails") is not null)
            {
                pod.Log($"Migrations failed: {tree.Name}: canceling statement due to lock timeout");
                return 1;
            }

            var pending = tree.Pending(await StoredAsync(connection, ct));
            pod.Log($"{tree.Name}: checkout at {tree.Head}, {pending.Count} pending");
            foreach (var revision in pending)
            {
                if (await ApplyAsync(connection, tree, revision, ct))
                {
                    pod.Log($"{tree.Name}: applied {revision.Id}");
                    applied++;
                }
            }
        }

        await ExecuteAsync(connection, """
            CREATE TABLE IF NOT EXISTS release_manifests (
              manifest_id text PRIMARY KEY, manifest_json json NOT NULL, manifest_hash text NOT NULL, ts timestamptz NOT NULL DEFAULT now())
            """, ct);
        pod.Log($"Applied {applied} migration(s).");
        return 0;
    }

    private static async Task<HashSet<string>> StoredAsync(NpgsqlConnection connection, CancellationToken ct)
    {
        await ExecuteAsync(connection, "CREATE TABLE IF NOT EXISTS alembic_version (version_num varchar(128) PRIMARY KEY)", ct);
        await using var command = new NpgsqlCommand("SELECT version_num FROM alembic_version", connection);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var stored = new HashSet<string>(StringComparer.Ordinal);
        while (await reader.ReadAsync(ct))
        {
            stored.Add(reader.GetString(0));
        }

        return stored;
    }

    /// <returns>False when another run has applied it meanwhile.</returns>
    private static async Task<bool> ApplyAsync(NpgsqlConnection connection, MigrationTree tree, Revision revision, CancellationToken ct)
    {
        await using var transaction = await connection.BeginTransactionAsync(ct);
        await ExecuteAsync(connection, "SELECT pg_advisory_xact_lock(hashtext('aether migrations'))", ct);
        if (!tree.Pending(await StoredAsync(connection, ct)).Contains(revision))
        {
            return false;
        }

        await ExecuteAsync(connection, revision.Statements, ct);
        await using (var mark = new NpgsqlCommand("DELETE FROM alembic_version WHERE version_num = $1", connection))
        {
            mark.Parameters.Add(new() { Value = revision.Down ?? "" });
            await mark.ExecuteNonQueryAsync(ct);
        }

        await using (var mark = new NpgsqlCommand("INSERT INTO alembic_version VALUES ($1) ON CONFLICT DO NOTHING", connection))
        {
            mark.Parameters.Add(new() { Value = revision.Id });
            await mark.ExecuteNonQueryAsync(ct);
        }

        await transaction.CommitAsync(ct);
        return true;
    }

    private static async Task ExecuteAsync(NpgsqlConnection connection, string sql, CancellationToken ct)
    {
#pragma warning disable CA2100 // The statements are the image's own migrations.
        await using var command = new NpgsqlCommand(sql, connection);
#pragma warning restore CA2100
        await command.ExecuteNonQueryAsync(ct);
    }

    private static async Task<int> BootstrapConfigAsync(Pod pod, CancellationToken ct)
    {
        if (pod.Env("DATABASE_URL", "TIMESCALE_DSN") is not { } dsn)
        {
            pod.Log("No database is configured; the defaults of the image apply.");
            return 0;
        }

        await using var command = pod.World.Databases.Open(dsn).CreateCommand("""
            CREATE TABLE IF NOT EXISTS config_versions (key text PRIMARY KEY, value jsonb NOT NULL, ts timestamptz NOT NULL DEFAULT now());
            INSERT INTO config_versions (key, value) VALUES ('trading.enabled', 'true') ON CONFLICT DO NOTHING;
            """);
        await command.ExecuteNonQueryAsync(ct);
        pod.Log("Configuration defaults are there.");
        return 0;
    }

    private static async Task<int> BootstrapAccountsAsync(Pod pod, CancellationToken ct)
    {
        var accounts = new AccountStore(pod);
        foreach (var account in pod.Accounts.Where(accounts.Configured))
        {
            await accounts.EnsureRiskConfigAsync(account, ct);
            pod.Log($"Account {account} has a risk configuration.");
        }

        return 0;
    }
}
