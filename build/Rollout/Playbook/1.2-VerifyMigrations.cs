using Cake.Frosting;
using Rollout.Cluster;
using Rollout.Database;

namespace Rollout.Playbook;

/// <summary>
/// "Run ops/migrate_admin_repository.py and account-scoped Timescale migrations. Use the new ops/refresh_continuous_aggregates.py helper to
/// refresh analytics materialised views ahead of the cutover."
/// <para>Changes: the admin accounts' table (upserts), the aggregates. Done when: the accounts are in the database, every account has its
/// schema, and no aggregate is older than before. Undone by: nothing; all of it is repeatable and additive.</para>
/// </summary>
[TaskDescription("1.2 Verify migrations: admin accounts and account schemas are in the database, aggregates are fresh before the cutover")]
[IsDependentOn(typeof(TagRelease))]
public sealed class VerifyMigrations : PlaybookStep
{
    protected override async Task<StepPlan> CheckAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var source = Path.Combine(run.Surroundings.Platform, run.Settings["Platform.AdminSource"]!);
        if (!File.Exists(source))
        {
            throw new RolloutException($"The admin accounts' source '{source}' is not there.", "Platform.AdminSource names it; it is a path in the checkout.");
        }

        await RequireSchemasOfLiveAsync(run, cancellationToken);
        var accounts = await run.Database.AdminAccountsAsync(cancellationToken);
        return new StepPlan(
            $"nothing in the schema; 2.4 would {await Migrations.DescribeAsync(run, cancellationToken)}",
            $"upsert the admin accounts of {run.Settings["Platform.AdminSource"]} (the database has {accounts?.Count ?? 0})",
            $"refresh {run.Settings["Platform.Aggregates"]} of {run.Settings["Platform.Accounts"]}");
    }

    protected override async Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        await Migrations.RequireAdditiveAsync(run, journal, journal.Result, cancellationToken);
        await journal.IntendAsync("admin-accounts", new() { ["before"] = (await run.Database.AdminAccountsAsync(cancellationToken))?.Count });
        var migrated = await run.Scripts.MigrateAdminRepositoryAsync(run.Settings["Platform.AdminSource"]!, run.Surroundings.Database, cancellationToken);
        await journal.KeepAsync("migrate-admin-repository.log", migrated.Record);
        migrated.OrThrow();
        await MakeAccountsAsync(run, journal, cancellationToken);
        journal.Result["aggregates"] = await Aggregates.RefreshAsync(run, journal, cancellationToken);
    }

    // A service may be told another schema; refreshing or auditing the derived one would look at tables that nobody writes to.
    private static async Task RequireSchemasOfLiveAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var workloads = (await run.Cluster.ListAsync($"/apis/apps/v1/namespaces/{run.Live.Namespace}/deployments", cancellationToken)).Select(WorkloadEnvironment.From);
        if (SchemasTold(workloads, run.Settings.List("Platform.Accounts")).Where(t => t.Schema != run.AccountSchemas.Of(t.Account)).ToList() is { Count: > 0 } others)
        {
            throw new RolloutException(
                $"{string.Join("; ", others.Select(o => $"{o.Workload} keeps {o.Account} in schema {o.Schema}"))}. This rollout would look in {string.Join(" and ", others.Select(o => run.AccountSchemas.Of(o.Account)).Distinct())}.",
                $"Set Platform.Schemas={string.Join(',', others.Select(o => $"{o.Account}={o.Schema}").Distinct())}",
                ExitCode.BadSettings);
        }
    }

    /// <summary>Which schema each workload is told for which account; a value that comes from elsewhere is not known here.</summary>
    internal static IEnumerable<(string Workload, string Account, string Schema)> SchemasTold(IEnumerable<WorkloadEnvironment> workloads, IReadOnlyList<string> accounts) =>
        from workload in workloads
        from account in accounts
        from name in new[] { account, account.Replace('-', '_') }.Distinct()
        let schema = workload.Variables.GetValueOrDefault($"AETHER_{name.ToUpperInvariant()}_TIMESCALE_SCHEMA")
        where !string.IsNullOrEmpty(schema)
        select (workload.Workload, account, schema);

    // An account that is new with this release has no tables yet; those that are there are left alone.
    private static async Task MakeAccountsAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        if (run.Settings["Platform.Bootstrap"] is not { Length: > 0 } file)
        {
            return;
        }

        foreach (var account in run.Settings.List("Platform.Accounts"))
        {
            if (await run.Database.MissingTablesAsync([account], cancellationToken) is { Count: > 0 } missing)
            {
                await journal.IntendAsync("bootstrap", new() { ["account"] = account, ["missing"] = missing.Count });
                var said = await run.Bootstrap.RunAsync(Path.Combine(run.Surroundings.Platform, file), account, run.Settings.Duration("Database.LockTimeout"), cancellationToken);
                await journal.KeepAsync($"bootstrap-{account}.log", said);
                run.Console.Note($"{account}: {missing.Count} tables made");
            }
        }
    }

    protected override async Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var accounts = await run.Database.AdminAccountsAsync(cancellationToken);
        var schemas = await run.Database.AccountSchemasAsync(cancellationToken);
        var missing = run.Settings.List("Platform.Accounts").Where(a => !schemas.Contains(run.AccountSchemas.Of(a))).ToList();
        if (accounts is null or { Count: 0 } || missing.Count > 0)
        {
            throw new RolloutException(
                $"The database has {accounts?.Count ?? 0} admin accounts and no schema for {(missing.Count == 0 ? "none" : string.Join(", ", missing))}; expected at least one account and a schema for each.",
                "Look at what ops/migrate_admin_repository.py said, in the step's evidence.");
        }

        var source = run.Settings["Platform.AdminSource"]!;
        if (await run.Database.MissingAdministratorsAsync(run.Scripts.AdministratorsOf(source), cancellationToken) is { Count: > 0 } absent)
        {
            throw new RolloutException(
                $"{absent.Count} administrators of {source} are not in the database: SHA-256 of their e-mail {string.Join(", ", absent)}.", "Look at what ops/migrate_admin_repository.py said, in the step's evidence.");
        }

        if (await run.Database.MissingTablesAsync(run.Settings.List("Platform.Accounts"), cancellationToken) is { Count: > 0 } tables)
        {
            throw new RolloutException(
                $"The database lacks {string.Join(", ", tables)}.",
                "Platform.Bootstrap=ops/timescale_bootstrap.sql lets 1.2 make an account's tables; by hand: psql -1 -v ON_ERROR_STOP=1 -v schema=SCHEMA -f ops/timescale_bootstrap.sql, which without ON_ERROR_STOP ends with 0 whatever happened.");
        }

        run.Console.Note($"{accounts.Count} admin accounts, schemas {string.Join(", ", schemas)}");
    }
}
