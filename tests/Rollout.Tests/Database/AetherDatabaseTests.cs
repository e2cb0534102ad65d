using Rollout.Database;
using Rollout.Tests.Support;

namespace Rollout.Tests.Database;

[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class AetherDatabaseTests
{
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
    public async Task Administrators_that_are_missing_are_told_by_their_hash()
    {
        await ExecuteAsync("CREATE TABLE admin_accounts (email text PRIMARY KEY); INSERT INTO admin_accounts VALUES ('b@x'), ('a@x')");
        Assert.That(await _database.MissingAdministratorsAsync(["a@x", "b@x"], CancellationToken.None), Is.Empty);
        Assert.That(await _database.MissingAdministratorsAsync(["a@x", "who@x"], CancellationToken.None), Has.Count.EqualTo(1).And.None.Contains("@"));
    }

    [Test]
    public async Task Tables_that_an_account_lacks_are_named()
    {
        await ExecuteAsync("CREATE SCHEMA acct_company; CREATE TABLE acct_company.acks (i int); CREATE TABLE acct_company.events (i int)");
        var missing = await _database.MissingTablesAsync(["company"], CancellationToken.None);
        Assert.That(missing, Does.Contain("acct_company.fills").And.Contain("acct_company.risk_configs").And.Not.Contain("acct_company.acks"));
        Assert.That(missing, Has.Count.EqualTo(7));
    }

    [TestCase("company", "acct_company")]
    [TestCase("director-1", "acct_director_1")]
    [TestCase(" Aether-Audit ", "acct_aether_audit")]
    [TestCase("o'hara; drop", "acct_oharadrop")]
    public void An_account_s_schema_is_named_as_the_platform_names_it(string account, string schema) => Assert.That(AccountSchemas.Derived.Of(account), Is.EqualTo(schema));

    [Test]
    public async Task Account_schemas_are_the_acct_ones()
    {
        await ExecuteAsync("CREATE SCHEMA acct_director_1; CREATE SCHEMA acct_company; CREATE SCHEMA acctother");
        Assert.That(await _database.AccountSchemasAsync(CancellationToken.None), Is.EqualTo(new[] { "acct_company", "acct_director_1" }));
    }

    [Test]
    public async Task A_snapshot_is_recorded_once_where_it_can_be()
    {
        Assert.That(await _database.RecordSnapshotAsync("abc", "v1", CancellationToken.None), Is.EqualTo("acct_aether_audit has no table audit_logs"));
        await ExecuteAsync(
            "CREATE SCHEMA acct_aether_audit; CREATE TABLE acct_aether_audit.audit_logs (id text, payload jsonb, recorded_at timestamptz)");
        Assert.That(await _database.SnapshotRowsAsync("abc", "v1", CancellationToken.None), Is.Zero);
        Assert.That(await _database.RecordSnapshotAsync("abc", "v1", CancellationToken.None), Is.Null);
        Assert.That(await _database.RecordSnapshotAsync("abc", "v1", CancellationToken.None), Is.Null);
        Assert.That(await _database.SnapshotRowsAsync("abc", "v1", CancellationToken.None), Is.EqualTo(1));
        var events = new List<GovernanceEvent>();
        await new GovernanceLog(new Secret(_dsn)).ReadAsync(DateTimeOffset.UnixEpoch, DateTimeOffset.MaxValue, events.Add, CancellationToken.None);
        Assert.That(events, Has.Count.EqualTo(1));
        Assert.That((events[0].Action, events[0].Entity), Is.EqualTo(("rollout.health_snapshot", "v1")));
    }

    [TestCase("id text, payload text, recorded_at timestamptz", null)]
    [TestCase("id varchar(200), payload json, recorded_at timestamp, note text", null)]
    [TestCase("id text, payload jsonb, recorded_at timestamptz, seq bigserial NOT NULL, kind text NOT NULL DEFAULT 'x'", null)]
    [TestCase("id uuid PRIMARY KEY, payload jsonb, recorded_at timestamptz", null)]
    [TestCase("id varchar(36), payload jsonb, recorded_at timestamptz", null)]
    [TestCase("id varchar(20), payload jsonb, recorded_at timestamptz", "acct_aether_audit.audit_logs has an id of type character varying(20), which is no place for rollout.health_snapshot:v1:abc")]
    [TestCase("id bigserial, payload jsonb, recorded_at timestamptz", "acct_aether_audit.audit_logs has an id of type bigint, which is no place for rollout.health_snapshot:v1:abc")]
    [TestCase("id text, payload jsonb, recorded_at text", "acct_aether_audit.audit_logs has a recorded_at of type text")]
    [TestCase("id text, payload jsonb", "acct_aether_audit.audit_logs has no column recorded_at")]
    [TestCase("id text, payload jsonb, recorded_at timestamptz, tenant text NOT NULL", "acct_aether_audit.audit_logs wants a value for tenant, and a snapshot has none")]
    [TestCase("id text, payload bytea, recorded_at timestamptz", "acct_aether_audit.audit_logs has a payload of type bytea")]
    public async Task A_snapshot_is_recorded_where_the_schema_allows(string columns, string? problem)
    {
        await ExecuteAsync($"CREATE SCHEMA acct_aether_audit; CREATE TABLE acct_aether_audit.audit_logs ({columns})");
        Assert.That(await _database.RecordSnapshotAsync("abc", "v1", CancellationToken.None), Is.EqualTo(problem));
        if (problem is null)
        {
            Assert.That(await _database.SnapshotRowsAsync("abc", "v1", CancellationToken.None), Is.EqualTo(1));
            Assert.That(await _database.RecordSnapshotAsync("abc", "v1", CancellationToken.None), Is.Null);
            Assert.That(await _database.SnapshotRowsAsync("abc", "v1", CancellationToken.None), Is.EqualTo(1), "a second call adds none");
            var events = new List<GovernanceEvent>();
            await new GovernanceLog(new Secret(_dsn)).ReadAsync(DateTimeOffset.UnixEpoch, DateTimeOffset.MaxValue, events.Add, CancellationToken.None);
            Assert.That(events.Select(e => (e.Action, e.Entity)), Is.EqualTo(new[] { ("rollout.health_snapshot", "v1") }), "4.2 reads what 1.3 wrote");
        }
    }

    [Test]
    public async Task Runs_that_record_one_snapshot_at_once_leave_one_row()
    {
        await ExecuteAsync("CREATE SCHEMA acct_aether_audit; CREATE TABLE acct_aether_audit.audit_logs (id text, payload jsonb, recorded_at timestamptz)");
        for (var round = 0; round < 5; round++)
        {
            await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => new AetherDatabase(new Secret(_dsn)).RecordSnapshotAsync($"{round}", "v1", CancellationToken.None)));
            Assert.That(await _database.SnapshotRowsAsync($"{round}", "v1", CancellationToken.None), Is.EqualTo(1));
        }
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
        var exception = (await Assert.ThrowsAsync<RolloutException>(() => database.AccountSchemasAsync(CancellationToken.None)))!;
        Assert.That(exception.Message, Does.Contain("'gone' at 127.0.0.1:1"));
    }

    private Task ExecuteAsync(string sql) => PostgresServer.ExecuteAsync(_dsn, sql);
}
