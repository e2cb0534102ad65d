using System.Net;
using System.Net.Sockets;
using Npgsql;
using Rollout.Commands;
using Rollout.Database;
using Rollout.Tests.Support;

namespace Rollout.Tests.Database;

/// <summary>
/// Every module that talks to the database, against everything that can be wrong with one: each failure is told in a sentence that begins with what was being
/// done, names no password, says what to do, and leaves nothing half done; then the same call works.
/// </summary>
[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class DatabaseFailureMatrixTests
{
    private static readonly DateTimeOffset At = new(2026, 11, 23, 11, 0, 0, TimeSpan.Zero);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private string _dsn = "";
    private NpgsqlConnectionStringBuilder _address = null!;

    /// <param name="Doing">How its errors begin.</param>
    /// <param name="Table">What it reads or writes rows of; null where it only reads the catalogue.</param>
    public sealed record Module(string Name, string Doing, string? Table, Func<Secret, CancellationToken, Task> CallAsync)
    {
        public override string ToString() => Name;
    }

    private static readonly Module[] All =
    [
        new("AdminAccounts", "Counting the administrators", "public.admin_accounts", (dsn, token) => new AetherDatabase(dsn).AdminAccountsAsync(token)),
        new("MissingTables", "Looking for the tables of company", null, (dsn, token) => new AetherDatabase(dsn).MissingTablesAsync(["company"], token)),
        new("AccountSchemas", "Listing the account schemas", null, (dsn, token) => new AetherDatabase(dsn).AccountSchemasAsync(token)),
        new("RecordSnapshot", "Recording the health snapshot", "acct_aether_audit.audit_logs", (dsn, token) => new AetherDatabase(dsn).RecordSnapshotAsync("abc", "v1", token)),
        new("Heads", "Reading the migration heads", "public.alembic_version", (dsn, token) => new DatabaseSchema(dsn).HeadsAsync(token)),
        new("Catalog", "Reading the catalogue", null, (dsn, token) => new DatabaseSchema(dsn).CatalogAsync(token)),
        new("Forecast", "Trying the migrations", null, (dsn, token) => new DatabaseSchema(dsn).ForecastAsync("CREATE TABLE public.t (i int)", Patience, token)),
        new("Apply", "Running the migrations", "public.alembic_version", (dsn, token) => new DatabaseSchema(dsn).ApplyAsync(
            "CREATE TABLE IF NOT EXISTS public.t (i int); UPDATE public.alembic_version SET version_num = '0002'", Patience * 10, token)),
        new("Refresh", "Refreshing the aggregates of company", "acct_company.events_hourly", (dsn, token) =>
            new ContinuousAggregates(dsn, TimeProvider.System, new Progress<string>()).RefreshAsync(["company"], ["events_hourly"], At.AddHours(-1), At, TimeSpan.FromHours(1), token)),
        new("Freshness", "Reading how fresh the aggregates are", "acct_company.events_hourly", (dsn, token) =>
            new ContinuousAggregates(dsn, TimeProvider.System, new Progress<string>()).FreshnessAsync(token)),
        new("Governance", "Reading the governance log", "acct_company.events", (dsn, token) => new GovernanceLog(dsn).ReadAsync(At.AddHours(-1), At, _ => { }, token)),
        new("Chain", "Verifying the audit trail's hash chain", "public.audit_log", (dsn, token) => new GovernanceLog(dsn).VerifyChainAsync(At.AddHours(-1), At, token)),
    ];

    private static IEnumerable<Module> ThatReadRows => All.Where(m => m.Table is not null);

    // The first thing that a refresh does has another name than the rest of it.
    private static IEnumerable<string> WordsOf(Module module) => module.Name == "Refresh" ? [module.Doing, "Looking for the aggregates"] : [module.Doing];

    [SetUp]
    public async Task CreateAsync()
    {
        _dsn = await PostgresServer.CreateDatabaseAsync();
        _address = DatabaseAddress.Parse(new Secret(_dsn));
        await PostgresServer.ExecuteAsync(_dsn, """
            CREATE TABLE public.admin_accounts (email text); INSERT INTO public.admin_accounts VALUES ('a@x');
            CREATE TABLE public.alembic_version (version_num text); INSERT INTO public.alembic_version VALUES ('0001');
            CREATE SCHEMA acct_aether_audit; CREATE TABLE acct_aether_audit.audit_logs (id text, payload jsonb, recorded_at timestamptz);
            CREATE TABLE public.audit_log (actor text, action text, entity text, before jsonb, after jsonb, ts timestamptz, hash text, prev_hash text);
            CREATE SCHEMA acct_company; CREATE TABLE acct_company.events (event_type text, payload jsonb, recorded_at timestamptz);
            INSERT INTO acct_company.events VALUES ('safe_mode_engaged', '{}', '2026-11-23 10:20+00');
            CREATE MATERIALIZED VIEW acct_company.events_hourly AS SELECT date_trunc('hour', recorded_at) AS bucket FROM acct_company.events;
            """);
    }

    [TestCaseSource(nameof(All))]
    public Task A_sound_server_is_no_failure(Module module) => module.CallAsync(new Secret(_dsn), default);

    [TestCaseSource(nameof(All))]
    public Task A_server_that_is_away(Module module) => FailsAsync(module, With(a => a.Port = 1), "does not answer: Connection refused", "See that the server runs");

    [TestCaseSource(nameof(All))]
    public Task A_host_that_nobody_knows(Module module) => FailsAsync(module, With(a => a.Host = "no-such-host.invalid"), "its host has no address", "Check the host");

    [TestCaseSource(nameof(All))]
    public Task A_wrong_password(Module module) => FailsAsync(module, With(a => a.Password = "wr0ng-word"), "password authentication failed", "Check user and password");

    [TestCaseSource(nameof(All))]
    public Task A_wrong_database(Module module) => FailsAsync(module, With(a => a.Database = "nowhere"), "database \"nowhere\" does not exist", "Check the database's name");

    [TestCaseSource(nameof(All))]
    public async Task A_server_that_wants_TLS(Module module)
    {
        await PostgresServer.EnsureRoleAsync(_dsn, "tls_only_matrix", "s3cret-of-a-role");
        await FailsAsync(module, With(a => (a.Username, a.Password) = ("tls_only_matrix", "s3cret-of-a-role")), "no encryption", "add sslmode=require");
    }

    [TestCaseSource(nameof(All))]
    public async Task A_server_that_is_no_PostgreSQL(Module module)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var answering = AnswerAsync(listener, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"u8.ToArray());
        await FailsAsync(module, With(a => a.Port = ((IPEndPoint)listener.LocalEndpoint).Port), "", "");
        listener.Stop();
        await answering;
    }

    [TestCaseSource(nameof(All))]
    public async Task A_server_that_says_nothing(Module module)
    {
        await using var middleman = new TcpMiddleman(_address.Port) { StallAfter = 0 };
        await FailsAsync(module, With(a => (a.Port, a.Timeout) = (middleman.Port, 1)), "gave no answer in time", "pg_stat_activity");
    }

    [TestCaseSource(nameof(All))]
    public async Task A_server_that_hangs_up(Module module)
    {
        await using var middleman = new TcpMiddleman(_address.Port) { CutAfter = 0 };
        await FailsAsync(module, With(a => a.Port = middleman.Port), "", "the same command goes on");
        middleman.CutAfter = null;
        await module.CallAsync(With(a => a.Port = middleman.Port), default);
    }

    [TestCaseSource(nameof(ThatReadRows))]
    public async Task A_connection_that_is_ended_in_the_middle_of_a_statement(Module module)
    {
        await using var held = await HoldAsync(module.Table!);
        var call = module.CallAsync(With(a => a.ApplicationName = "to be ended"), default);
        await UntilWaitingAsync("to be ended");
        await held.ExecuteAsync("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'to be ended' AND datname = current_database()");
        await RequireToldAsync(module, () => call, "terminating connection", "the same command goes on");
        await held.DisposeAsync();
        await RequireNothingAsync();
        await module.CallAsync(new Secret(_dsn), default);
    }

    [TestCaseSource(nameof(ThatReadRows))]
    public async Task A_statement_that_takes_longer_than_it_may(Module module)
    {
        await using var held = await HoldAsync(module.Table!);

        // Applying sets a limit of its own, which is one for locks too.
        var limited = With(a => a.Options = "-c statement_timeout=300 -c lock_timeout=300");
        if (module.Name == "Apply")
        {
            await RequireToldAsync(
                module,
                () => new DatabaseSchema(limited).ApplyAsync("CREATE TABLE public.t (i int); UPDATE public.alembic_version SET version_num = '0002'", TimeSpan.FromMilliseconds(300), default),
                "lock timeout",
                "Another session holds a lock");
        }
        else
        {
            await RequireToldAsync(module, () => module.CallAsync(limited, default), "timeout", "he same command goes on");
        }

        await held.DisposeAsync();
        await RequireNothingAsync();
        await module.CallAsync(new Secret(_dsn), default);
    }

    [TestCaseSource(nameof(ThatReadRows))]
    public async Task A_call_that_is_cancelled_leaves_no_statement_behind(Module module)
    {
        await using var held = await HoldAsync(module.Table!);
        using var stop = new CancellationTokenSource();
        var call = module.CallAsync(With(a => a.ApplicationName = "to be stopped"), stop.Token);
        await UntilWaitingAsync("to be stopped");
        await stop.CancelAsync();
        Assert.That(async () => await call, Throws.InstanceOf<OperationCanceledException>());
        await PostgresServer.UntilAsync(_dsn, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'to be stopped' AND datname = current_database() AND state = 'active')");
        await held.DisposeAsync();
        await RequireNothingAsync();
    }

    [TestCaseSource(nameof(ThatReadRows))]
    public async Task A_role_without_rights(Module module)
    {
        var role = $"none_{Guid.NewGuid():N}";
        await PostgresServer.EnsureRoleAsync(_dsn, role, "s3cret-of-a-role");
        var dsn = With(a => (a.Username, a.Password) = (role, "s3cret-of-a-role"));
        switch (module.Name)
        {
            case "RecordSnapshot":
                Assert.That(
                    await new AetherDatabase(dsn).RecordSnapshotAsync("abc", "v1", default),
                    Is.EqualTo($"role {role} may not write to acct_aether_audit.audit_logs; grant it USAGE on the schema, and SELECT and INSERT on the table"));
                break;
            case "Governance":
                var sources = await new GovernanceLog(dsn).ReadAsync(At.AddHours(-1), At, _ => { }, default);
                Assert.That(sources.Select(s => s.Note), Is.All.EqualTo("may not be read by this role").And.Not.Empty);
                break;
            default:
                await FailsAsync(module, dsn, "permission denied", $"Grant it to the role '{role}'");
                break;
        }
    }

    [TestCaseSource(nameof(All))]
    public async Task A_server_that_only_reads(Module module)
    {
        await PostgresServer.ExecuteAsync(_dsn, $"ALTER DATABASE {_address.Database} SET default_transaction_read_only = on");
        switch (module.Name)
        {
            case "RecordSnapshot":
                Assert.That(await new AetherDatabase(new Secret(_dsn)).RecordSnapshotAsync("abc", "v1", default), Does.StartWith("the database only reads"));
                break;
            case "Forecast":
                Assert.That((await new DatabaseSchema(new Secret(_dsn)).ForecastAsync("CREATE TABLE public.t (i int)", Patience, default)).Summary, Does.Contain("read-only"));
                break;
            case "Apply" or "Refresh":
                await FailsAsync(module, new Secret(_dsn), "read-only transaction", "must name the primary");
                break;
            default:
                await module.CallAsync(new Secret(_dsn), default);
                break;
        }
    }

    private async Task FailsAsync(Module module, Secret dsn, string says, string hint)
    {
        await RequireToldAsync(module, () => module.CallAsync(dsn, default), says, hint, dsn);
        await RequireNothingAsync();
    }

    private static async Task RequireToldAsync(Module module, Func<Task> call, string says, string hint, Secret? dsn = null)
    {
        var told = (await Assert.ThrowsAsync<RolloutException>(() => call()))!;
        Assert.Multiple(() =>
        {
            Assert.That(WordsOf(module).Any(w => told.Message.StartsWith(w, StringComparison.Ordinal)), told.Message);
            Assert.That(told.Message, Does.Contain(": database '").And.Contain(says));
            Assert.That(told.Hint, Is.Not.Null.And.Contain(hint));
            Assert.That(told.ToString(), Does.Not.Contain(PostgresServer.Password).And.Not.Contain(Uri.EscapeDataString(PostgresServer.Password)));
            if (dsn is not null)
            {
                Assert.That(told.ToString(), Does.Not.Contain(DatabaseAddress.Parse(dsn).Password!));
            }
        });
    }

    private async Task RequireNothingAsync()
    {
        await using var connection = new NpgsqlConnection(_address.ConnectionString);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(
            "SELECT to_regclass('public.t') IS NULL AND (SELECT count(*) FROM acct_aether_audit.audit_logs) = 0 AND (SELECT version_num FROM public.alembic_version) = '0001'", connection);
        Assert.That(await command.ExecuteScalarAsync(), Is.True, "a part of it stayed");
    }

    private Secret With(Action<NpgsqlConnectionStringBuilder> change)
    {
        var copy = new NpgsqlConnectionStringBuilder(_address.ConnectionString);
        change(copy);
        return new Secret(copy.ConnectionString);
    }

    private Task UntilWaitingAsync(string application) => PostgresServer.UntilAsync(
        _dsn, $"SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = '{application}' AND datname = current_database() AND wait_event_type = 'Lock')");

    private async Task<Held> HoldAsync(string table)
    {
        var connection = new NpgsqlConnection(_address.ConnectionString);
        await connection.OpenAsync();
        var held = new Held(connection);

        // A view takes no LOCK TABLE; a new owner of it takes the same lock.
        await held.ExecuteAsync(table.EndsWith("hourly", StringComparison.Ordinal) ? $"BEGIN; ALTER MATERIALIZED VIEW {table} OWNER TO CURRENT_USER" : $"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
        return held;
    }

    private static async Task AnswerAsync(TcpListener listener, byte[] answer)
    {
        try
        {
            while (true)
            {
                using var client = await listener.AcceptTcpClientAsync();
                _ = await client.GetStream().ReadAsync(new byte[1024]);
                await client.GetStream().WriteAsync(answer);
            }
        }
        catch (Exception exception) when (exception is SocketException or IOException or ObjectDisposedException or InvalidOperationException)
        {
            // The test is over.
        }
    }

    private sealed class Held(NpgsqlConnection connection) : IAsyncDisposable
    {
        public async Task ExecuteAsync(string sql)
        {
            await using var command = new NpgsqlCommand(sql, connection);
            await command.ExecuteNonQueryAsync();
        }

        public ValueTask DisposeAsync() => connection.DisposeAsync();
    }
}
