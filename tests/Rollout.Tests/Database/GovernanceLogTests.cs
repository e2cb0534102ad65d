using Rollout.Database;
using Rollout.Tests.Support;

namespace Rollout.Tests.Database;

[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class GovernanceLogTests
{
    private static readonly DateTimeOffset From = new(2026, 11, 23, 10, 0, 0, TimeSpan.Zero);
    private static readonly DateTimeOffset To = From.AddHours(1);

    private string _dsn = "";
    private GovernanceLog _log = null!;

    [SetUp]
    public async Task CreateAsync()
    {
        _dsn = await PostgresServer.CreateDatabaseAsync();
        _log = new GovernanceLog(new Secret(_dsn));
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
        Assert.That(await _log.EventsAsync(From, To, CancellationToken.None), Is.EqualTo(new[]
        {
            new GovernanceEvent("acct_company.events", From.AddSeconds(30), "safe_mode_engaged", "", "company"),
            new GovernanceEvent("public.audit_log", From.AddMinutes(1), "safe_mode.enter", "safe_mode", "company"),
            new GovernanceEvent("acct_company.audit_logs", From.AddMinutes(2), "override.human_decision", "intent-7", "director-1"),
            new GovernanceEvent("public.override_log", From.AddSeconds(121), "override.approve", "intent-7", "director-1"),
        }));
        Assert.That((await _log.SourcesAsync(CancellationToken.None)).Select(s => $"{s.Where}: {s.Note}"), Is.EqualTo(new[]
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
        Assert.That(await _log.EventsAsync(From, To, CancellationToken.None), Is.EqualTo(new[]
        {
            new GovernanceEvent("public.audit_log", From.AddMinutes(5), "kill_switch.triggered", "company", "director-1"),
        }));
        var sources = await _log.SourcesAsync(CancellationToken.None);
        Assert.That(sources[0].Note, Does.Contain("its events are lost"));
        Assert.That((sources[1].Readable, sources[1].Note), Is.EqualTo((false, "unknown shape: line")));
    }

    [Test]
    public async Task A_database_without_trails_has_no_events() =>
        Assert.That(await _log.EventsAsync(From, To, CancellationToken.None), Is.Empty);

    private Task ExecuteAsync(string sql) => PostgresServer.ExecuteAsync(_dsn, sql);
}
