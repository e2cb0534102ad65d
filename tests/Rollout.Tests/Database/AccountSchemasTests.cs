using Rollout.Cluster;
using Rollout.Commands;
using Rollout.Database;
using Rollout.Playbook;
using Rollout.Tests.Support;

namespace Rollout.Tests.Database;

[Parallelizable(ParallelScope.All)]
public sealed class AccountSchemasTests
{
    private static readonly AccountSchemas Schemas = AccountSchemas.Parse(["director-1=Trading one", "aether-audit=audit_home"]);

    [Test]
    public void A_schema_of_another_name_is_that_of_its_account_alone()
    {
        Assert.That(Schemas.Of("director-1"), Is.EqualTo("Trading one"));
        Assert.That(Schemas.Of("Director_1"), Is.EqualTo("Trading one"), "services spell accounts either way");
        Assert.That(Schemas.Of("director-2"), Is.EqualTo("acct_director_2"));
        Assert.That(AccountSchemas.Parse([]).Of("director-1"), Is.EqualTo("acct_director_1"));
    }

    [TestCase("director-1")]
    [TestCase("director-1=")]
    [TestCase("=x")]
    [TestCase("a=b=c")]
    [TestCase("a=b,A=c")]
    public void What_names_no_schema_is_refused(string entries)
    {
        var refused = Assert.Throws<RolloutException>(() => AccountSchemas.Parse(entries.Split(',')))!;
        Assert.That(refused.ExitCode, Is.EqualTo(ExitCode.BadSettings));
        Assert.That(refused.Message, Does.Contain(entries.Split(',')[^1]).And.Contain("ACCOUNT=SCHEMA"));
    }

    [Test]
    public async Task Every_step_looks_where_the_account_s_tables_are()
    {
        var dsn = new Secret(await PostgresServer.CreateDatabaseAsync());
        await PostgresServer.ExecuteAsync(dsn.Reveal(), """
            CREATE SCHEMA "Trading one"; CREATE SCHEMA audit_home;
            CREATE TABLE "Trading one".events (id bigserial, event_type text, payload jsonb, recorded_at timestamptz);
            INSERT INTO "Trading one".events (event_type, payload, recorded_at) VALUES ('safe_mode_engaged', '{}', '2026-11-23 10:20:00+00');
            CREATE MATERIALIZED VIEW "Trading one".events_hourly AS SELECT date_trunc('hour', recorded_at) AS bucket FROM "Trading one".events;
            CREATE TABLE audit_home.audit_logs (id text, payload jsonb, recorded_at timestamptz);
            """);
        var database = new AetherDatabase(dsn, Schemas);
        Assert.That(await database.AccountSchemasAsync(default), Is.EqualTo(new[] { "Trading one", "audit_home" }));
        Assert.That(await database.MissingTablesAsync(["director-1"], default), Does.Contain("Trading one.fills").And.Not.Contain("Trading one.events"));
        Assert.That(await database.RecordSnapshotAsync("abc", "v1", default), Is.Null);
        Assert.That(await database.SnapshotRowsAsync("abc", "v1", default), Is.EqualTo(1));

        var at = new DateTimeOffset(2026, 11, 23, 11, 0, 0, TimeSpan.Zero);
        var refreshed = await new ContinuousAggregates(dsn, TimeProvider.System, new Progress<string>(), Schemas)
            .RefreshAsync(["director-1"], ["events_hourly"], at.AddHours(-1), at, TimeSpan.FromHours(1), default);
        Assert.That(refreshed.Single(), Is.EqualTo(new AggregateRefresh("Trading one.events_hourly", "materialized view", at.AddHours(-1), at.AddHours(-1))));

        var events = new List<GovernanceEvent>();
        await new GovernanceLog(dsn, Schemas).ReadAsync(at.AddHours(-1), DateTimeOffset.MaxValue, events.Add, default);
        Assert.That(events.Select(e => e.Where), Is.EquivalentTo(new[] { "Trading one.events", "audit_home.audit_logs" }));
    }

    [Test]
    public async Task Tables_are_made_in_the_schema_that_the_account_has()
    {
        var dsn = new Secret(await PostgresServer.CreateDatabaseAsync());
        var file = Path.Combine(TestContext.CurrentContext.WorkDirectory, $"{Guid.NewGuid():N}.sql");
        await File.WriteAllTextAsync(file, "CREATE SCHEMA :\"schema\"; CREATE TABLE :\"schema\".fills (i int);");
        await new AccountBootstrap(dsn, new CommandRunner(_ => { }), Schemas).RunAsync(file, "director-1", TimeSpan.FromSeconds(5), default);
        Assert.That(await new AetherDatabase(dsn, Schemas).MissingTablesAsync(["director-1"], default), Does.Not.Contain("Trading one.fills"));
    }

    [Test]
    public void A_workload_tells_the_schema_under_the_account_s_name_with_or_without_hyphen()
    {
        WorkloadEnvironment[] workloads =
        [
            new("oms", new Dictionary<string, string?> { ["AETHER_DIRECTOR-1_TIMESCALE_SCHEMA"] = "one", ["AETHER_COMPANY_TIMESCALE_SCHEMA"] = null }),
            new("ui", new Dictionary<string, string?> { ["AETHER_DIRECTOR_1_TIMESCALE_SCHEMA"] = "two", ["OTHER"] = "x" }),
        ];
        Assert.That(VerifyMigrations.SchemasTold(workloads, ["company", "director-1"]), Is.EqualTo(new[] { ("oms", "director-1", "one"), ("ui", "director-1", "two") }));
    }
}
