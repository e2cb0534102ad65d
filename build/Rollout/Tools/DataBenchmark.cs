using System.Diagnostics;
using System.Globalization;
using Rollout.Commands;
using Rollout.Database;
using Rollout.Playbook;

namespace Rollout.Tools;

/// <summary>What a data step costs beside psql with the same work.</summary>
/// <param name="Seconds">Ours.</param>
/// <param name="ByHandSeconds">psql's, process start included.</param>
/// <param name="GrowthMegabytes">By how much the managed heap grew at most meanwhile; null where it was not looked at.</param>
public sealed record DataFigure(string Name, double Seconds, double ByHandSeconds, double? GrowthMegabytes)
{
    /// <summary>What we take beyond the server's own work and psql's.</summary>
    public double Beyond => Seconds - ByHandSeconds;
}

/// <summary>
/// The data steps at the size that the design names: 50 accounts, and 1,000, 10,000 and 100,000 audit rows in the window. The same work by hand is psql's, on the
/// same server, right after it.
/// </summary>
/// <param name="dsn">Of a role that may create databases; a database of its own is made and removed.</param>
internal sealed class DataBenchmark(RolloutContext context, Secret dsn)
{
    private const int Accounts = 50;
    private const string Name = "rollout_benchmark";

    private static readonly int[] Rows = [1_000, 10_000, 100_000];

    public async Task<IReadOnlyList<DataFigure>> MeasureAsync()
    {
        var address = new UriBuilder(dsn.Reveal());
        await PsqlAsync(dsn, $"DROP DATABASE IF EXISTS {Name}", $"CREATE DATABASE {Name}");
        address.Path = Name;
        var own = new Secret(address.Uri.AbsoluteUri);
        try
        {
            await PsqlAsync(own, [.. Enumerable.Range(1, Accounts).SelectMany(Account)]);
            var figures = new List<DataFigure> { await AggregatesAsync(own) };
            foreach (var rows in Rows)
            {
                figures.Add(await GovernanceAsync(own, rows));
            }

            return figures;
        }
        finally
        {
            await PsqlAsync(dsn, $"DROP DATABASE IF EXISTS {Name} WITH (FORCE)");
        }
    }

    // Without TimescaleDB an aggregate is a materialised view of the same name.
    private static IEnumerable<string> Account(int number) =>
    [
        $"CREATE SCHEMA acct_bench_{number}",
        $"CREATE TABLE acct_bench_{number}.audit_logs (id text PRIMARY KEY, payload jsonb, recorded_at timestamptz)",
        $"CREATE TABLE acct_bench_{number}.events (id bigserial, event_type text, payload jsonb, recorded_at timestamptz)",
        $"INSERT INTO acct_bench_{number}.events (event_type, payload, recorded_at) SELECT 'tick', '{{}}', now() - n * interval '1 minute' FROM generate_series(1, 200) n",
        $"CREATE MATERIALIZED VIEW acct_bench_{number}.events_hourly AS SELECT date_trunc('hour', recorded_at) AS bucket, count(*) AS events FROM acct_bench_{number}.events GROUP BY 1",
    ];

    private async Task<DataFigure> AggregatesAsync(Secret own)
    {
        var names = Enumerable.Range(1, Accounts).Select(n => $"bench-{n}").ToList();
        var now = context.Time.GetUtcNow();
        var clock = Stopwatch.GetTimestamp();
        var refreshed = await new ContinuousAggregates(own, context.Time, context.Console.Progress)
            .RefreshAsync(names, ["events_hourly"], now.AddHours(-6), now, TimeSpan.FromHours(2), context.Token);
        var seconds = Stopwatch.GetElapsedTime(clock).TotalSeconds;
        if (refreshed.Count(r => r.Refreshed) != Accounts)
        {
            throw new RolloutException($"{refreshed.Count(r => r.Refreshed)} of {Accounts} aggregates were refreshed.");
        }

        var byHand = await PsqlAsync(own, [.. Enumerable.Range(1, Accounts).Select(n => $"REFRESH MATERIALIZED VIEW acct_bench_{n}.events_hourly")]);
        return new DataFigure($"aggregates of {Accounts} accounts", seconds, byHand, null);
    }

    private async Task<DataFigure> GovernanceAsync(Secret own, int rows)
    {
        // Half of them are decisions, and the other half their audit rows.
        await PsqlAsync(
            own,
            "CREATE TABLE IF NOT EXISTS override_log (intent_id text, decision text, actor text, reason text, created_at timestamptz)",
            "TRUNCATE override_log",
            $"INSERT INTO override_log SELECT 'o' || a || '-' || n, 'approve', 'company', repeat('x', 100), now() FROM generate_series(1, {Accounts}) a, generate_series(1, {rows / 2 / Accounts}) n");
        await PsqlAsync(own, [.. Enumerable.Range(1, Accounts).SelectMany(n => (string[])
        [
            $"TRUNCATE acct_bench_{n}.audit_logs",
            $$"""
            INSERT INTO acct_bench_{{n}}.audit_logs SELECT 'r' || n, jsonb_build_object('id', 'r' || n, 'actor', 'company', 'action', 'override.human_decision', 'target', 'o{{n}}-' || n,
                'created_at', now(), 'payload', jsonb_build_object('before', '{}'::jsonb, 'after', jsonb_build_object('reason', repeat('x', 100)))), now()
            FROM generate_series(1, {{rows / 2 / Accounts}}) n
            """,
        ])]);
        var (seen, before, most) = (0L, GC.GetTotalMemory(forceFullCollection: true), 0L);
        var clock = Stopwatch.GetTimestamp();
        var audit = new GovernanceAudit([], DateTimeOffset.UnixEpoch, AccountSchemas.Derived);
        await new GovernanceLog(own).ReadAsync(
            DateTimeOffset.UnixEpoch,
            DateTimeOffset.MaxValue,
            found =>
            {
                audit.Add(found);

                // What is alive counts, not what waits to be collected.
                if (++seen % Math.Max(1, rows / 4) == 0)
                {
                    most = Math.Max(most, GC.GetTotalMemory(forceFullCollection: true));
                }
            },
            context.Token);
        var findings = audit.Findings();
        var seconds = Stopwatch.GetElapsedTime(clock).TotalSeconds;
        most = Math.Max(most, GC.GetTotalMemory(forceFullCollection: true));
        if (seen < rows || GovernanceAudit.Missing(findings, trailRequired: true).Count > 0 || GovernanceAudit.Gaps(findings).Count > 0)
        {
            throw new RolloutException($"{seen} of {rows} rows were told, and {MigrationForecast.Few([.. findings.Select(f => f.What)])} found.");
        }

        GC.KeepAlive(audit);

        var byHand = await PsqlAsync(own, [.. Enumerable.Range(1, Accounts).Select(n => $"SELECT * FROM acct_bench_{n}.audit_logs ORDER BY recorded_at"), "SELECT * FROM override_log ORDER BY created_at"]);
        return new DataFigure(string.Create(CultureInfo.InvariantCulture, $"governance, {rows:N0} rows"), seconds, byHand, Math.Max(0, most - before) / 1_000_000.0);
    }

    /// <summary>Runs statements in one psql; seconds it took.</summary>
    private async Task<double> PsqlAsync(Secret of, params string[] statements)
    {
        var clock = Stopwatch.GetTimestamp();
        var command = new CommandLine("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-")
        {
            Environment = DatabaseAddress.VariablesOf(DatabaseAddress.Parse(of)),
            Input = string.Join(";\n", statements) + ";\n",
            Echo = false,
        };
        (await context.Commands.RunAsync(command, context.Token)).OrThrow("Benchmark compares with psql.");
        return Stopwatch.GetElapsedTime(clock).TotalSeconds;
    }
}
