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
        _aggregates = new ContinuousAggregates(new Secret(_dsn));
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
        var refreshed = await _aggregates.RefreshAsync(
            ["company", "director-1"], ["events_hourly"], From, To, CancellationToken.None);
        Assert.That(refreshed, Is.EqualTo(new[]
        {
            new AggregateRefresh("acct_company.events_hourly", false, "not applicable", null),
            new AggregateRefresh("acct_director_1.events_hourly", true, "materialized view", From),
        }));
        Assert.That((await _aggregates.FreshnessAsync(CancellationToken.None))[0].Newest, Is.EqualTo(From));
    }

    [Test]
    public async Task A_view_that_was_never_filled_is_empty_and_not_an_error()
    {
        await ExecuteAsync(
            "CREATE SCHEMA acct_company; CREATE MATERIALIZED VIEW acct_company.events_hourly AS SELECT now() AS bucket WITH NO DATA");
        Assert.That((await _aggregates.FreshnessAsync(CancellationToken.None))[0].Newest, Is.Null);
        Assert.That(
            (await _aggregates.RefreshAsync(["company"], ["events_hourly"], From, To, CancellationToken.None))[0].Newest,
            Is.Not.Null);
    }

    private Task ExecuteAsync(string sql) => PostgresServer.ExecuteAsync(_dsn, sql);
}
