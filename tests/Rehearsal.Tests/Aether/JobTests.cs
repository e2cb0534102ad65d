using Rehearsal.Aether;

namespace Rehearsal.Tests.Aether;

[Parallelizable(ParallelScope.All)]
public sealed class JobTests
{
    private static readonly string[] Tables =
    [
        "acks", "fills", "shadow_fills", "telemetry", "audit_logs", "credential_events", "credential_rotations", "risk_configs",
    ];

    [Test]
    public async Task A_prepared_database_is_one_revision_behind_and_has_something_to_show()
    {
        await using var stand = await StandWithDatabaseAsync();

        Assert.That(await HeadsAsync(stand), Is.EqualTo(new[] { "0007", "0008_add_sim_mode_state_reason" }));
        foreach (var schema in new[] { "acct_company", "acct_director_1", "acct_director_2", "acct_aether_audit" })
        {
            Assert.That(await stand.CountAsync($"{schema}.events_hourly"), Is.GreaterThan(20), schema);
            foreach (var table in Tables)
            {
                Assert.That(
                    await stand.CountAsync($"{schema}.{table}"), Is.GreaterThanOrEqualTo(0), table);
            }
        }
    }

    [Test]
    public async Task Preparing_twice_adds_nothing()
    {
        await using var stand = await StandWithDatabaseAsync();
        var before = await stand.CountAsync("acct_company.events");

        await AetherDatabase.PrepareAsync(stand.Dsn, [await Stand.PreparedDatabaseAsync()], TimeProvider.System, CancellationToken.None);

        Assert.That(await stand.CountAsync("acct_company.events"), Is.EqualTo(before));
    }

    [Test]
    public async Task Preparing_creates_missing_databases()
    {
        await using var stand = await Stand.CreateAsync();
        var shared = await SharedPostgres.DsnAsync($"fresh_{Guid.NewGuid():N}");
        var simulation = await SharedPostgres.DsnAsync($"fresh_{Guid.NewGuid():N}");

        await AetherDatabase.PrepareAsync(shared, [simulation], TimeProvider.System, CancellationToken.None);

        await using var command = stand.Open(simulation).CreateCommand("SELECT count(*) FROM sim_mode_state");
        Assert.That(await command.ExecuteScalarAsync(), Is.EqualTo(0L));
    }

    [Test]
    public async Task Migrations_reach_both_heads_and_a_second_run_finds_nothing_to_do()
    {
        await using var stand = await StandWithDatabaseAsync();

        var first = await MigrateAsync(stand);
        Assert.That(await first.Completion, Is.Zero, first.Log);
        var second = await MigrateAsync(stand);

        Assert.That(await HeadsAsync(stand), Is.EqualTo(new[] { "0008", "0009_update_sim_mode_state_primary_key" }));
        Assert.That(first.Log, Does.Contain("applied 0008").And.Contain("Applied 2 migration(s)."));
        Assert.That(await second.Completion, Is.Zero, second.Log);
        Assert.That(second.Log, Does.Contain("Applied 0 migration(s)."));
    }

    [Test]
    public async Task Two_migrations_at_once_apply_each_revision_once()
    {
        await using var stand = await StandWithDatabaseAsync();

        var jobs = new[] { await MigrateAsync(stand), await MigrateAsync(stand), await MigrateAsync(stand) };

        Assert.That(await Task.WhenAll(jobs.Select(job => job.Completion)), Is.All.Zero, string.Join('\n', jobs.Select(job => job.Log)));
        Assert.That(jobs.Sum(job => job.Log.Split("applied ").Length - 1), Is.EqualTo(2));
    }

    [Test]
    public async Task Migrations_build_an_empty_database()
    {
        await using var stand = await Stand.CreateAsync();
        var dsn = await SharedPostgres.CreateDatabaseAsync();

        var job = await MigrateAsync(stand, dsn);

        Assert.That(await job.Completion, Is.Zero, job.Log);
        await using var command = stand.Open(dsn).CreateCommand("SELECT count(*) FROM alembic_version");
        Assert.That(await command.ExecuteScalarAsync(), Is.EqualTo(2L));
    }

    [Test]
    public async Task Failing_migrations_leave_a_half_made_schema()
    {
        await using var stand = await StandWithDatabaseAsync();
        stand.Faults["migration-fails"] = "";

        var job = await MigrateAsync(stand);

        Assert.That(await job.Completion, Is.EqualTo(1));
        Assert.That(job.Log, Does.Contain("Migrations failed"));
        Assert.That(await HeadsAsync(stand), Is.EqualTo(new[] { "0008", "0008_add_sim_mode_state_reason" }));
    }

    [Test]
    public async Task The_charts_own_scripts_fail_in_dash([Values("config-bootstrap", "account-bootstrap", "data-migrations")] string job)
    {
        await using var stand = await Stand.CreateAsync();

        var pod = await stand.LaunchAsync(job, script: ["set -euo pipefail\npython3 -m ops.run_migrations\n"]);

        Assert.That(await pod.Completion, Is.EqualTo(2));
        Assert.That(pod.Log, Does.Contain("Illegal option -o pipefail"));
    }

    [Test]
    public async Task The_other_bootstrap_jobs_complete()
    {
        await using var stand = await StandWithDatabaseAsync();

        var config = await stand.LaunchAsync("config-bootstrap");
        var accounts = await stand.LaunchAsync("account-bootstrap");

        Assert.That(await config.Completion, Is.Zero, config.Log);
        Assert.That(await accounts.Completion, Is.Zero, accounts.Log);
        Assert.That(await stand.CountAsync("acct_director_2.risk_configs"), Is.EqualTo(1));
    }

    private static Task<RunningPod> MigrateAsync(Stand stand, string? dsn = null) => stand.LaunchAsync(
        "data-migrations",
        environment: new() { ["DATABASE_URL"] = dsn ?? stand.Dsn },
        image: "127.0.0.1:5000/aether/config-service:v2026.11.1");

    private static async Task<List<string>> HeadsAsync(Stand stand)
    {
        await using var command = stand.Database.CreateCommand("SELECT version_num FROM alembic_version ORDER BY 1");
        await using var reader = await command.ExecuteReaderAsync();
        var heads = new List<string>();
        while (await reader.ReadAsync())
        {
            heads.Add(reader.GetString(0));
        }

        return heads;
    }

    private static async Task<Stand> StandWithDatabaseAsync()
    {
        var stand = await Stand.CreateAsync();
        await stand.WithDatabaseAsync();
        return stand;
    }
}
