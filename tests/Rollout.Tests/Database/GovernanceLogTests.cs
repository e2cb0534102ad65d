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
            INSERT INTO audit_log VALUES ('company', 'safe_mode.enter', 'safe_mode', '{"reason":null}', '{"reason":"r1"}', '2026-11-23 10:01+00', 'h', 'p'),
                ('company', 'safe_mode.exit', 'safe_mode', '{}', '{}', '2026-11-23 12:01+00', 'h', 'p'),
                ('x', 'login', 'x', '{}', '{}', '2026-11-23 10:01+00', 'h', 'p');
            CREATE SCHEMA acct_company;
            CREATE TABLE acct_company.audit_logs (id text, payload jsonb, recorded_at timestamptz);
            INSERT INTO acct_company.audit_logs VALUES
                ('1', '{"action":"override.human_decision","actor":"director-1","target":"intent-7","payload":{"before":null,"after":{"reason":"r2"}}}', '2026-11-23 10:02+00'),
                ('2', '{"action":"oms.order.placed","actor":"company"}', '2026-11-23 10:02+00');
            CREATE TABLE acct_company.events (id bigserial, event_type text, payload jsonb, recorded_at timestamptz);
            INSERT INTO acct_company.events (event_type, payload, recorded_at) VALUES
                ('safe_mode_engaged', '{"actor":"company"}', '2026-11-23 10:00:30+00'),
                ('order_placed', '{}', '2026-11-23 10:00:31+00');
            CREATE TABLE override_log (intent_id text, account_id text, actor text, decision text, reason text, ts timestamptz);
            INSERT INTO override_log VALUES ('intent-7', 'company', 'director-1', 'approve', 'r', '2026-11-23 10:02:01+00');
            """);
        var (events, sources) = await ReadAsync();
        Assert.That(events.OrderBy(e => e.At), Is.EqualTo(new[]
        {
            new GovernanceEvent("acct_company.events", GovernancePlace.Events, From.AddSeconds(30), "safe_mode_engaged", "", "company", ""),
            new GovernanceEvent("public.audit_log", GovernancePlace.TrailA, From.AddMinutes(1), "safe_mode.enter", "safe_mode", "company", "r1"),
            new GovernanceEvent("acct_company.audit_logs", GovernancePlace.TrailB, From.AddMinutes(2), "override.human_decision", "intent-7", "director-1", "r2"),
            new GovernanceEvent("public.override_log", GovernancePlace.Overrides, From.AddSeconds(121), "override.approve", "intent-7", "director-1", "r"),
        }));
        Assert.That(sources.Select(s => $"{s.Where}: {s.Note}"), Is.EqualTo(new[]
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
        var (events, sources) = await ReadAsync();
        Assert.That(events, Is.EqualTo(new[]
        {
            new GovernanceEvent("public.audit_log", GovernancePlace.TrailA, From.AddMinutes(5), "kill_switch.triggered", "company", "director-1", ""),
        }));
        Assert.That(sources[0].Note, Does.Contain("its events are lost"));
        Assert.That((sources[1].Readable, sources[1].Note), Is.EqualTo((false, "unknown shape: line")));
    }

    [Test]
    public async Task The_shape_that_exporters_read_is_read_too()
    {
        await ExecuteAsync("""
            CREATE TABLE audit_log (id bigserial, event text, actor_id text, target text, created_at timestamp, metadata json);
            INSERT INTO audit_log (event, actor_id, target, created_at, metadata) VALUES ('safe_mode.enter', 'company', 'safe_mode', '2026-11-23 10:05', '{"after":{"reason":"r"}}');
            """);
        var (events, sources) = await ReadAsync();
        Assert.That(events, Is.EqualTo(new[] { new GovernanceEvent("public.audit_log", GovernancePlace.TrailA, From.AddMinutes(5), "safe_mode.enter", "safe_mode", "company", "r") }));
        Assert.That(sources[0].Note, Does.Contain("lost"));
        Assert.That(await _log.VerifyChainAsync(From, To, CancellationToken.None), Is.Null, "only its writer's shape has a chain");
    }

    [Test]
    public async Task Strange_content_is_read_and_a_table_without_leave_is_named()
    {
        var role = $"reader_{Guid.NewGuid():N}";
        await ExecuteAsync($$$"""
            CREATE SCHEMA "acct_o'hara; drop"; CREATE TABLE "acct_o'hara; drop".events (event_type text, payload jsonb, recorded_at timestamptz);
            INSERT INTO "acct_o'hara; drop".events VALUES
                ('safe_mode_engaged', 'null', '2026-11-23 10:01+00'), ('safe_mode_engaged', '[1]', '2026-11-23 10:02+00'),
                ('safe_mode_engaged', '"text"', '2026-11-23 10:03+00'), ('safe_mode_engaged', '{"reason":{"a":1}}', '2026-11-23 10:04+00'),
                (NULL, NULL, '2026-11-23 10:05+00');
            CREATE TABLE audit_log (actor text, action text, entity text, before jsonb, after jsonb, ts timestamptz, hash text, prev_hash text);
            CREATE ROLE {{{role}}} LOGIN PASSWORD 'x'; GRANT USAGE ON SCHEMA "acct_o'hara; drop" TO {{{role}}}; GRANT SELECT ON "acct_o'hara; drop".events TO {{{role}}};
            """);
        var log = new GovernanceLog(new Secret(_dsn.Replace($"postgres:{Uri.EscapeDataString(PostgresServer.Password)}", $"{role}:x", StringComparison.Ordinal)));
        var events = new List<GovernanceEvent>();
        var sources = await log.ReadAsync(From, To, events.Add, CancellationToken.None);
        Assert.That(events.Select(e => e.Reason), Is.EqualTo(new[] { "", "", "", "{\"a\": 1}" }));
        Assert.That(sources.Single(s => s.Where == "public.audit_log").Note, Is.EqualTo("may not be read by this role"));
        await ExecuteAsync($"DROP OWNED BY {role}; DROP ROLE {role}");
    }

    [Test]
    public async Task A_trail_that_is_kept_as_text_is_read_and_what_is_no_JSON_hides_nothing()
    {
        await ExecuteAsync("""
            CREATE SCHEMA acct_company; CREATE TABLE acct_company.audit_logs (id text, payload text, recorded_at timestamptz);
            INSERT INTO acct_company.audit_logs VALUES
                ('1', 'override {', '2026-11-23 10:01+00'), ('2', NULL, '2026-11-23 10:02+00'), ('3', '["override.human_decision"]', '2026-11-23 10:03+00'),
                ('4', '{"action": "override.human_decision", "target": "o1", "actor": "company", "payload": {"after": {"reason": "r"}}}', '2026-11-23 10:04+00'),
                ('5', '{"action": "oms.order.placed", "target": "override"}', '2026-11-23 10:05+00');
            CREATE TABLE acct_company.events (event_type text, payload text, recorded_at timestamptz);
            INSERT INTO acct_company.events VALUES ('safe_mode_engaged', '{"reason": "x", "account": "company"}', '2026-11-23 10:06+00'), ('safe_mode_engaged', 'no JSON', '2026-11-23 10:07+00');
            """);
        var (events, sources) = await ReadAsync();
        Assert.That(events, Is.EqualTo(new[]
        {
            new GovernanceEvent("acct_company.audit_logs", GovernancePlace.TrailB, From.AddMinutes(4), "override.human_decision", "o1", "company", "r"),
            new GovernanceEvent("acct_company.events", GovernancePlace.Events, From.AddMinutes(6), "safe_mode_engaged", "company", "", "x"),
            new GovernanceEvent("acct_company.events", GovernancePlace.Events, From.AddMinutes(7), "safe_mode_engaged", "", "", ""),
        }));
        Assert.That(sources.Select(s => s.Readable), Is.All.True);
    }

    [Test]
    public async Task Ten_thousand_rows_of_fifty_accounts_are_all_told()
    {
        await ExecuteAsync("""
            DO $$ BEGIN FOR n IN 1..50 LOOP
                EXECUTE format('CREATE SCHEMA acct_a%s', n);
                EXECUTE format('CREATE TABLE acct_a%s.events (event_type text, payload jsonb, recorded_at timestamptz)', n);
                EXECUTE format('INSERT INTO acct_a%s.events SELECT ''kill_switch_engaged'', ''{}'', ''2026-11-23 10:30+00'' FROM generate_series(1, 200)', n);
            END LOOP; END $$
            """);
        var (events, sources) = await ReadAsync();
        Assert.That((events.Count, sources.Count), Is.EqualTo((10_000, 50)));
    }

    [Test]
    public async Task A_chain_that_the_platform_wrote_is_intact_and_what_was_done_to_it_is_named()
    {
        // Written as the platform writes it, by Python, with all that its JSON may hold.
        var rows = await WriteChainAsync(6);
        var intact = (await _log.VerifyChainAsync(From, To, CancellationToken.None))!;
        Assert.That((intact.Rows, intact.Chains, intact.Edited.Count, intact.Gaps.Count, intact.Forks.Count, intact.NotVerifiable), Is.EqualTo((6L, 1L, 0, 0, 0, 0L)));

        await ExecuteAsync($"UPDATE audit_log SET actor = 'mallory' WHERE hash = '{rows[2]}'");
        Assert.That((await _log.VerifyChainAsync(From, To, CancellationToken.None))!.Edited, Has.Count.EqualTo(1).And.Some.Contains(rows[2][..12]));

        await ExecuteAsync($"DELETE FROM audit_log WHERE hash = '{rows[3]}'");
        Assert.That((await _log.VerifyChainAsync(From, To, CancellationToken.None))!.Gaps, Has.Count.EqualTo(1).And.Some.Contains(rows[4][..12]));

        await ExecuteAsync($"INSERT INTO audit_log SELECT actor, 'x', entity, before, after, ts, 'other', prev_hash FROM audit_log WHERE hash = '{rows[1]}'");
        var forked = (await _log.VerifyChainAsync(From, To, CancellationToken.None))!;
        Assert.That(forked.Forks, Is.EqualTo(new[] { $"2 rows follow {rows[0][..12]}" }));
        Assert.That(forked.Edited, Has.Count.EqualTo(2), "a row that was put in is found by its hash");
    }

    [Test]
    public async Task A_number_that_the_database_spells_anew_is_not_called_edited()
    {
        await WriteChainAsync(1, "{'x': 1e-07}");
        var report = (await _log.VerifyChainAsync(From, To, CancellationToken.None))!;
        Assert.That((report.Edited.Count, report.NotVerifiable), Is.EqualTo((0, 1L)));
    }

    [Test]
    public async Task A_database_without_trails_has_no_events() =>
        Assert.That((await ReadAsync()).Events, Is.Empty);

    private async Task<(List<GovernanceEvent> Events, IReadOnlyList<GovernanceSource> Sources)> ReadAsync()
    {
        var events = new List<GovernanceEvent>();
        return (events, await _log.ReadAsync(From, To, events.Add, CancellationToken.None));
    }

    private async Task<string[]> WriteChainAsync(int rows, string content = "{'reason': 'fr\\u00e9d\\u00e9ric \\U0001f600 \\x7f \\t\"', 'n': n, 'b': [True, None, {}], '\\uffee': 1, '\\U00010000': 2}")
    {
        await ExecuteAsync("CREATE TABLE audit_log (actor text, action text, entity text, before jsonb, after jsonb, ts timestamptz, hash text, prev_hash text)");
        var script = $$"""
            import hashlib, json
            prev = '0' * 64
            for n in range({{rows}}):
                ts = '2026-11-23T10:%02d:00%s+00:00' % (n, '.000120' if n % 2 else '')
                entry = {'actor': 'company', 'action': 'safe_mode.enter', 'entity': 'safe_mode', 'before': None if n % 2 else {'active': False}, 'after': {{content}},
                         'ip_hash': None, 'ts': ts, 'sensitive': False}
                digest = hashlib.sha256((prev + json.dumps(entry, sort_keys=True, separators=(',', ':'))).encode()).hexdigest()
                print(json.dumps({'row': entry, 'hash': digest, 'prev': prev}))
                prev = digest
            """;
        using var python = System.Diagnostics.Process.Start(new System.Diagnostics.ProcessStartInfo("python3", ["-c", script]) { RedirectStandardOutput = true })!;
        var lines = (await python.StandardOutput.ReadToEndAsync()).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        foreach (var line in lines)
        {
            await ExecuteAsync($"""
                INSERT INTO audit_log SELECT j#>>'{"{row,actor}"}', j#>>'{"{row,action}"}', j#>>'{"{row,entity}"}', NULLIF(j#>'{"{row,before}"}', 'null'), j#>'{"{row,after}"}',
                    (j#>>'{"{row,ts}"}')::timestamptz, j->>'hash', j->>'prev' FROM (SELECT '{line.Replace("'", "''", StringComparison.Ordinal)}'::jsonb j) x
                """);
        }

        return [.. lines.Select(l => System.Text.Json.Nodes.JsonNode.Parse(l)!["hash"]!.GetValue<string>())];
    }

    private Task ExecuteAsync(string sql) => PostgresServer.ExecuteAsync(_dsn, sql);
}
