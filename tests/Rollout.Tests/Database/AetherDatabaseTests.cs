using Rollout.Database;
using Rollout.Tests.Support;

namespace Rollout.Tests.Database;

[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class AetherDatabaseTests
{
    private static readonly DateTimeOffset From = new(2026, 11, 23, 10, 0, 0, TimeSpan.Zero);
    private static readonly DateTimeOffset To = From.AddHours(1);

    private string _dsn = "";
    private AetherDatabase _database = null!;

    [SetUp]
    public async Task CreateAsync()
    {
        _dsn = await PostgresServer.CreateDatabaseAsync();
        _database = new AetherDatabase(new Secret(_dsn));
    }

    [Test]
    public async Task Administrators_are_counted_and_never_named()
    {
        Assert.That(await _database.AdminAccountsAsync(CancellationToken.None), Is.Null, "there is no table yet");
        await ExecuteAsync("CREATE TABLE admin_accounts (email text PRIMARY KEY); INSERT INTO admin_accounts VALUES ('b@x'), ('a@x')");
        var first = await _database.AdminAccountsAsync(CancellationToken.None);
        Assert.That(first!.Count, Is.EqualTo(2));
        await ExecuteAsync("TRUNCATE admin_accounts; INSERT INTO admin_accounts VALUES ('a@x'), ('b@x')");
        Assert.That(await _database.AdminAccountsAsync(CancellationToken.None), Is.EqualTo(first), "the order of rows does not matter");
        await ExecuteAsync("UPDATE admin_accounts SET email = 'c@x' WHERE email = 'b@x'");
        Assert.That((await _database.AdminAccountsAsync(CancellationToken.None))!.EmailsSha256, Is.Not.EqualTo(first.EmailsSha256));
    }

    [Test]
    public async Task Account_schemas_are_the_acct_ones()
    {
        await ExecuteAsync("CREATE SCHEMA acct_director_1; CREATE SCHEMA acct_company; CREATE SCHEMA acctother");
        Assert.That(await _database.AccountSchemasAsync(CancellationToken.None), Is.EqualTo(new[] { "acct_company", "acct_director_1" }));
    }

    [Test]
    public async Task Heads_are_read_from_every_version_table()
    {
        await ExecuteAsync("""
            CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('0009'), ('0008');
            CREATE TABLE alembic_version_timescale (version_num text); INSERT INTO alembic_version_timescale VALUES ('0005');
            """);
        Assert.That(await _database.MigrationHeadsAsync(CancellationToken.None), Is.EqualTo(new[]
        {
            new MigrationHead("public.alembic_version", "0008"),
            new MigrationHead("public.alembic_version", "0009"),
            new MigrationHead("public.alembic_version_timescale", "0005"),
        }));
    }

    [TestCase("")]
    [TestCase("CREATE UNIQUE INDEX ON acct_director_1.events_hourly (bucket)")]
    public async Task Materialized_views_are_made_anew_and_looked_at(string index)
    {
        await ExecuteAsync($"""
            CREATE SCHEMA acct_director_1;
            CREATE TABLE acct_director_1.events (id bigserial, event_type text, payload jsonb, recorded_at timestamptz);
            CREATE MATERIALIZED VIEW acct_director_1.events_hourly AS
                SELECT event_type, date_trunc('hour', recorded_at) AS bucket, count(*) FROM acct_director_1.events GROUP BY 1, 2;
            {index};
            INSERT INTO acct_director_1.events (event_type, payload, recorded_at) VALUES ('x', 'null', '2026-11-23 10:20:00+00');
            """);
        Assert.That(
            await _database.AggregateFreshnessAsync(CancellationToken.None),
            Is.EqualTo(new[] { new AggregateFreshness("acct_director_1.events_hourly", null) }));
        var refreshed = await _database.RefreshAggregatesAsync(
            ["company", "director-1"], ["events_hourly"], From, To, CancellationToken.None);
        Assert.That(refreshed, Is.EqualTo(new[]
        {
            new AggregateRefresh("acct_company.events_hourly", false, "not applicable", null),
            new AggregateRefresh("acct_director_1.events_hourly", true, "materialized view", From),
        }));
        Assert.That((await _database.AggregateFreshnessAsync(CancellationToken.None))[0].Newest, Is.EqualTo(From));
    }

    [Test]
    public async Task A_view_that_was_never_filled_is_empty_and_not_an_error()
    {
        await ExecuteAsync(
            "CREATE SCHEMA acct_company; CREATE MATERIALIZED VIEW acct_company.events_hourly AS SELECT now() AS bucket WITH NO DATA");
        Assert.That((await _database.AggregateFreshnessAsync(CancellationToken.None))[0].Newest, Is.Null);
        Assert.That(
            (await _database.RefreshAggregatesAsync(["company"], ["events_hourly"], From, To, CancellationToken.None))[0].Newest,
            Is.Not.Null);
    }

    [Test]
    public async Task Events_are_found_wherever_they_were_written()
    {
        await ExecuteAsync("""
            CREATE TABLE audit_log
                (actor text, action text, entity text, before jsonb, after jsonb, ts timestamptz, hash text, prev_hash text);
            INSERT INTO audit_log VALUES ('company', 'safe_mode.enter', 'safe_mode', '{}', '{}', '2026-11-23 10:01+00', 'h', 'p'),
                ('company', 'safe_mode.exit', 'safe_mode', '{}', '{}', '2026-11-23 12:01+00', 'h', 'p'),
                ('x', 'login', 'x', '{}', '{}', '2026-11-23 10:01+00', 'h', 'p');
            CREATE SCHEMA acct_company;
            CREATE TABLE acct_company.audit_logs (id text, payload jsonb, recorded_at timestamptz);
            INSERT INTO acct_company.audit_logs VALUES
                ('1', '{"action":"override.human_decision","actor":"director-1","target":"intent-7"}', '2026-11-23 10:02+00'),
                ('2', '{"action":"oms.order.placed","actor":"company"}', '2026-11-23 10:02+00');
            CREATE TABLE acct_company.events (id bigserial, event_type text, payload jsonb, recorded_at timestamptz);
            INSERT INTO acct_company.events (event_type, payload, recorded_at) VALUES
                ('safe_mode_engaged', '{"actor":"company"}', '2026-11-23 10:00:30+00'),
                ('order_placed', '{}', '2026-11-23 10:00:31+00');
            CREATE TABLE override_log (intent_id text, account_id text, actor text, decision text, reason text, ts timestamptz);
            INSERT INTO override_log VALUES ('intent-7', 'company', 'director-1', 'approve', 'r', '2026-11-23 10:02:01+00');
            """);
        Assert.That(await _database.GovernanceEventsAsync(From, To, CancellationToken.None), Is.EqualTo(new[]
        {
            new GovernanceEvent("acct_company.events", From.AddSeconds(30), "safe_mode_engaged", "", "company"),
            new GovernanceEvent("public.audit_log", From.AddMinutes(1), "safe_mode.enter", "safe_mode", "company"),
            new GovernanceEvent("acct_company.audit_logs", From.AddMinutes(2), "override.human_decision", "intent-7", "director-1"),
            new GovernanceEvent("public.override_log", From.AddSeconds(121), "override.approve", "intent-7", "director-1"),
        }));
        Assert.That((await _database.GovernanceSourcesAsync(CancellationToken.None)).Select(s => $"{s.Where}: {s.Note}"), Is.EqualTo(new[]
        {
            "acct_company.audit_logs: trail B",
            "acct_company.events: events of the account",
            "public.audit_log: trail A",
            "public.override_log: overrides",
        }));
    }

    [Test]
    public async Task The_other_audit_table_is_read_and_told_of()
    {
        await ExecuteAsync("""
            CREATE TABLE audit_log
                (event_id uuid, entity_type text, entity_id text, actor text, action text, event_time timestamptz, metadata jsonb);
            INSERT INTO audit_log VALUES
                (gen_random_uuid(), 'account', 'company', 'director-1', 'kill_switch.triggered', '2026-11-23 10:05+00', '{}');
            CREATE SCHEMA third; CREATE TABLE third.audit_log (line text);
            """);
        Assert.That(await _database.GovernanceEventsAsync(From, To, CancellationToken.None), Is.EqualTo(new[]
        {
            new GovernanceEvent("public.audit_log", From.AddMinutes(5), "kill_switch.triggered", "company", "director-1"),
        }));
        var sources = await _database.GovernanceSourcesAsync(CancellationToken.None);
        Assert.That(sources[0].Note, Does.Contain("its events are lost"));
        Assert.That((sources[1].Readable, sources[1].Note), Is.EqualTo((false, "unknown shape: line")));
    }

    [Test]
    public async Task A_database_without_trails_has_no_events() =>
        Assert.That(await _database.GovernanceEventsAsync(From, To, CancellationToken.None), Is.Empty);

    [Test]
    public async Task A_snapshot_is_recorded_once_where_it_can_be()
    {
        Assert.That(await _database.RecordSnapshotAsync("abc", "v1", CancellationToken.None), Is.False);
        await ExecuteAsync(
            "CREATE SCHEMA acct_aether_audit; CREATE TABLE acct_aether_audit.audit_logs (id text, payload jsonb, recorded_at timestamptz)");
        Assert.That(await _database.RecordSnapshotAsync("abc", "v1", CancellationToken.None), Is.True);
        Assert.That(await _database.RecordSnapshotAsync("abc", "v1", CancellationToken.None), Is.True);
        var events = await _database.GovernanceEventsAsync(DateTimeOffset.UnixEpoch, DateTimeOffset.MaxValue, CancellationToken.None);
        Assert.That(events, Has.Count.EqualTo(1));
        Assert.That((events[0].Action, events[0].Entity), Is.EqualTo(("rollout.health_snapshot", "v1")));
    }

    [TestCase("postgresql")]
    [TestCase("postgres")]
    [TestCase("postgresql+psycopg")]
    [TestCase("timescale")]
    public async Task Every_spelling_of_the_platform_connects(string scheme)
    {
        var database = new AetherDatabase(new Secret(_dsn.Replace("postgresql", scheme, StringComparison.Ordinal)));
        Assert.That(await database.AccountSchemasAsync(CancellationToken.None), Is.Empty);
    }

    [Test]
    public async Task A_refused_password_is_not_repeated()
    {
        var wrong = _dsn.Replace(Uri.EscapeDataString(PostgresServer.Password), "wr0ng-word", StringComparison.Ordinal);
        var exception = (
            await Assert.ThrowsAsync<RolloutException>(
                () => new AetherDatabase(new Secret(wrong)).AccountSchemasAsync(CancellationToken.None)))!;
        Assert.That(exception.Message, Does.Contain("127.0.0.1").And.Contain("test_").And.Contain("password authentication failed"));
        Assert.That(exception.ToString(), Does.Not.Contain("wr0ng-word"));
    }

    [TestCase("mysql://root:wr0ng@host/db")]
    [TestCase("nonsense wr0ng")]
    [TestCase("postgresql://u:wr0ng@host:99999/db")]
    [TestCase("postgresql://u:wr0ng@host/db?sslmode=sometimes")]
    public void A_dsn_that_is_none_is_not_repeated(string dsn)
    {
        var exception = Assert.Throws<RolloutException>(() => _ = new AetherDatabase(new Secret(dsn)))!;
        Assert.That(exception.ToString(), Does.Not.Contain("wr0ng"));
    }

    [Test]
    public async Task A_database_that_is_away_is_named()
    {
        var database = new AetherDatabase(new Secret("postgresql://u:wr0ng@127.0.0.1:1/gone"));
        var exception = (await Assert.ThrowsAsync<RolloutException>(() => database.MigrationHeadsAsync(CancellationToken.None)))!;
        Assert.That(exception.Message, Does.Contain("'gone' at 127.0.0.1:1"));
    }

    private Task ExecuteAsync(string sql) => PostgresServer.ExecuteAsync(_dsn, sql);
}
