using Rollout.Database;
using Rollout.Tests.Support;

namespace Rollout.Tests.Database;

[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class ContinuousAggregatesTests
{
    private static readonly DateTimeOffset From = new(2026, 11, 23, 10, 0, 0, TimeSpan.Zero);
    private static readonly DateTimeOffset To = From.AddHours(1);

    private string _dsn = "";
    private ContinuousAggregates _aggregates = null!;

    [SetUp]
    public async Task CreateAsync()
    {
        _dsn = await PostgresServer.CreateDatabaseAsync();
        _aggregates = new ContinuousAggregates(new Secret(_dsn), TimeProvider.System, new Progress<string>());
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
            await _aggregates.FreshnessAsync(CancellationToken.None),
            Is.EqualTo(new[] { new AggregateFreshness("acct_director_1.events_hourly", null) }));
        var refreshed = await RefreshAsync("director-1");
        Assert.That(refreshed, Is.EqualTo(new[] { new AggregateRefresh("acct_director_1.events_hourly", "materialized view", null, From) }));
        Assert.That((await _aggregates.FreshnessAsync(CancellationToken.None))[0].Newest, Is.EqualTo(From));
    }

    [Test]
    public async Task A_view_that_was_never_filled_is_empty_and_not_an_error()
    {
        await ExecuteAsync(
            "CREATE SCHEMA acct_company; CREATE MATERIALIZED VIEW acct_company.events_hourly AS SELECT now() AS bucket WITH NO DATA");
        Assert.That((await _aggregates.FreshnessAsync(CancellationToken.None))[0].Newest, Is.Null);
        Assert.That(
            (await RefreshAsync("company"))[0].Newest,
            Is.Not.Null);
    }

    [Test]
    public async Task An_account_without_a_schema_is_an_error_and_views_that_nobody_has_are_not()
    {
        await ExecuteAsync("CREATE SCHEMA acct_company");
        Assert.That((await RefreshAsync("company")).Single().Kind, Is.EqualTo("not applicable"));
        var exception = (await Assert.ThrowsAsync<RolloutException>(() => RefreshAsync("company", "director-1")))!;
        Assert.That(exception.Message, Is.EqualTo("director-1: the database has no schema acct_director_1."));
    }

    [Test]
    public async Task A_view_that_one_account_lacks_is_named()
    {
        await ExecuteAsync("CREATE SCHEMA acct_company; CREATE SCHEMA acct_director_1; CREATE MATERIALIZED VIEW acct_company.events_hourly AS SELECT now() AS bucket");
        var exception = (await Assert.ThrowsAsync<RolloutException>(() => RefreshAsync("company", "director-1")))!;
        Assert.That(exception.Message, Does.Contain("no acct_director_1.events_hourly"));
    }

    [Test]
    public async Task A_refresh_that_the_server_refuses_names_the_account()
    {
        await ExecuteAsync("CREATE SCHEMA acct_company; CREATE TABLE acct_company.t (d int); INSERT INTO acct_company.t VALUES (1); CREATE MATERIALIZED VIEW acct_company.events_hourly AS SELECT now() AS bucket, 1 / d FROM acct_company.t; UPDATE acct_company.t SET d = 0");
        var exception = (await Assert.ThrowsAsync<RolloutException>(() => RefreshAsync("company")))!;
        Assert.That(exception.Message, Does.StartWith("Refreshing the aggregates of company").And.Contain("division by zero"));
    }

    [Test]
    public async Task TimescaleDB_s_aggregates_are_refreshed_in_windows_and_their_watermark_moves()
    {
        await TimescaleAsync();
        var refreshed = await RefreshAsync("company");
        Assert.That(refreshed.Select(r => (r.View, r.Kind, r.Before, r.Newest)), Is.EqualTo(new[]
        {
            ("acct_company.events_hourly", "continuous aggregate", (DateTimeOffset?)null, (DateTimeOffset?)To),
            ("acct_company.events_daily", "continuous aggregate", null, null),
        }), "the second one was not asked for by name, and its day is not over");
        await ExecuteAsync("INSERT INTO acct_company.events VALUES ('x', '2026-11-23 12:30+00')");
        var again = await _aggregates.RefreshAsync(["company"], ["events_hourly"], From, To.AddHours(2.5), TimeSpan.FromHours(1), CancellationToken.None);
        Assert.That((again[0].Before, again[0].Newest), Is.EqualTo((To, To.AddHours(2))), "the newest complete bucket with rows");
    }

    [Test]
    public async Task A_watermark_that_does_not_move_although_there_are_rows_is_a_failure()
    {
        await TimescaleAsync();
        await ExecuteAsync("CREATE PROCEDURE acct_company.refresh_continuous_aggregate(text, timestamptz, timestamptz) LANGUAGE plpgsql AS 'BEGIN END'");
        var deaf = new ContinuousAggregates(new Secret(_dsn + "&options=-c%20search_path%3Dacct_company%2Cpublic"), TimeProvider.System, new Progress<string>());
        var exception = (await Assert.ThrowsAsync<RolloutException>(() => deaf.RefreshAsync(["company"], ["events_hourly"], From, To, TimeSpan.FromHours(1), CancellationToken.None)))!;
        Assert.That(exception.Message, Does.Contain("acct_company.events_hourly reaches nowhere and should reach 2026-11-23 11:00:00Z"));
    }

    [Test]
    public async Task A_real_time_aggregate_is_not_taken_for_a_fresh_one()
    {
        await TimescaleAsync();
        await ExecuteAsync("ALTER MATERIALIZED VIEW acct_company.events_hourly SET (timescaledb.materialized_only = false)");
        Assert.That((await _aggregates.FreshnessAsync(CancellationToken.None)).Select(f => f.Newest), Is.All.Null, "it answers with rows that nobody has materialised");
    }

    private async Task TimescaleAsync()
    {
        if (!PostgresServer.HasTimescale)
        {
            Assert.Ignore("TimescaleDB is not installed beside the PostgreSQL server.");
        }

        await ExecuteAsync("CREATE EXTENSION timescaledb");
        await ExecuteAsync("""
            CREATE SCHEMA acct_company;
            CREATE TABLE acct_company.events (event_type text, recorded_at timestamptz NOT NULL);
            SELECT create_hypertable('acct_company.events', 'recorded_at');
            INSERT INTO acct_company.events SELECT 'x', '2026-11-23 10:59+00'::timestamptz - n * interval '10 minutes' FROM generate_series(0, 300) n;
            """);
        await ExecuteAsync("CREATE MATERIALIZED VIEW acct_company.events_hourly WITH (timescaledb.continuous) AS SELECT time_bucket('1 hour', recorded_at) AS bucket, count(*) AS n FROM acct_company.events GROUP BY 1 WITH NO DATA");
        await ExecuteAsync("CREATE MATERIALIZED VIEW acct_company.events_daily WITH (timescaledb.continuous) AS SELECT time_bucket('1 day', bucket) AS bucket, sum(n) AS n FROM acct_company.events_hourly GROUP BY 1 WITH NO DATA");
    }

    private Task<IReadOnlyList<AggregateRefresh>> RefreshAsync(params string[] accounts) =>
        _aggregates.RefreshAsync(accounts, ["events_hourly"], From, To, TimeSpan.FromHours(1), CancellationToken.None);

    private Task ExecuteAsync(string sql) => PostgresServer.ExecuteAsync(_dsn, sql);
}
