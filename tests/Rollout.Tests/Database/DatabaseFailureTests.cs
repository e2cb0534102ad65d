using System.Net;
using System.Net.Sockets;
using Npgsql;
using Rollout.Database;
using Rollout.Tests.Support;

namespace Rollout.Tests.Database;

/// <summary>What can be wrong with a database, and that each is told in words that lead on, without its password.</summary>
[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class DatabaseFailureTests
{
    private const string Migration = "CREATE TABLE t (i int); SELECT pg_sleep(0.01); INSERT INTO t SELECT n FROM generate_series(1, 20000) n; SELECT * FROM t";

    private string _dsn = "";
    private NpgsqlConnectionStringBuilder _address = null!;

    [SetUp]
    public async Task CreateAsync()
    {
        _dsn = await PostgresServer.CreateDatabaseAsync();
        _address = DatabaseAddress.Parse(new Secret(_dsn));
    }

    [Test]
    public Task A_wrong_password() => FailsAsync(With(a => a.Password = "wr0ng"), "password authentication failed", "Check user and password");

    [Test]
    public Task A_wrong_database() => FailsAsync(With(a => a.Database = "nowhere"), "database \"nowhere\" does not exist", "Check the database's name");

    [Test]
    public Task A_wrong_port() => FailsAsync(With(a => a.Port = 1), "does not answer: Connection refused", "See that the server runs");

    [Test]
    public Task A_wrong_host() => FailsAsync(With(a => a.Host = "no-such-host.invalid"), "its host has no address", "Check the host");

    [Test]
    public async Task A_server_without_TLS_where_it_is_wanted()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var answering = AnswerNoAsync(listener);
        await FailsAsync(With(a => (a.Port, a.SslMode) = (((IPEndPoint)listener.LocalEndpoint).Port, SslMode.Require)), "could not be reached over TLS", "Check sslmode");
        listener.Stop();
        await answering;
    }

    [Test]
    public async Task A_server_that_wants_TLS()
    {
        var role = await RoleAsync("tls_only");
        await FailsAsync(With(a => (a.Username, a.Password) = role), "no encryption", "add sslmode=require");
        var over = await new AetherDatabase(With(a => (a.Username, a.Password, a.SslMode) = (role.Name, role.Password, SslMode.Require))).AccountSchemasAsync(CancellationToken.None);
        Assert.That(over, Is.Empty);
    }

    [Test]
    public async Task A_role_that_may_not()
    {
        await PostgresServer.ExecuteAsync(_dsn, "CREATE SCHEMA acct_aether_audit; CREATE TABLE acct_aether_audit.audit_logs (id text, payload jsonb, recorded_at timestamptz)");
        var role = await RoleAsync("reader");
        await PostgresServer.ExecuteAsync(_dsn, $"GRANT USAGE ON SCHEMA acct_aether_audit TO {role.Name}; GRANT SELECT ON acct_aether_audit.audit_logs TO {role.Name}");
        Assert.That(
            await new AetherDatabase(With(a => (a.Username, a.Password) = role)).RecordSnapshotAsync("abc", "v1", CancellationToken.None),
            Is.EqualTo($"role {role.Name} may not write to acct_aether_audit.audit_logs; grant it USAGE on the schema, and SELECT and INSERT on the table"));
    }

    [Test]
    public async Task A_server_that_only_reads()
    {
        await PostgresServer.ExecuteAsync(_dsn, $"ALTER DATABASE {_address.Database} SET default_transaction_read_only = on");
        var exception = (await Assert.ThrowsAsync<RolloutException>(() => new DatabaseSchema(new Secret(_dsn)).ApplyAsync(Migration, TimeSpan.FromSeconds(1), CancellationToken.None)))!;
        Assert.That(exception.Message, Does.StartWith("Running the migrations").And.Contain("read-only transaction"));
        Assert.That(exception.Hint, Does.Contain("must name the primary"));
        Assert.That((await new DatabaseSchema(new Secret(_dsn)).ForecastAsync(Migration, TimeSpan.FromSeconds(1), CancellationToken.None)).Summary, Does.Contain("read-only"));
    }

    [Test]
    public async Task A_connection_that_the_server_ends_in_the_middle_changes_nothing()
    {
        var exception = (await Assert.ThrowsAsync<RolloutException>(() => new DatabaseSchema(new Secret(_dsn)).ApplyAsync(
            "CREATE TABLE t (i int); SELECT pg_terminate_backend(pg_backend_pid())", TimeSpan.FromSeconds(1), CancellationToken.None)))!;
        Assert.That(exception.Message, Does.Contain("terminating connection"));
        Assert.That(exception.Hint, Does.Contain("the same command goes on"));
        await RequireNothingAsync();
    }

    [TestCase(0)]
    [TestCase(2000)]
    [TestCase(60_000)]
    public async Task A_connection_that_is_cut_changes_nothing_and_the_same_call_works_again(int bytes)
    {
        await using var middleman = new TcpMiddleman(_address.Port) { CutAfter = bytes };
        var schema = new DatabaseSchema(With(a => a.Port = middleman.Port));
        var exception = (await Assert.ThrowsAsync<RolloutException>(() => schema.ApplyAsync(Migration, TimeSpan.FromSeconds(1), CancellationToken.None)))!;
        Assert.That(exception.Message, Does.StartWith("Running the migrations: database '"));
        Assert.That(exception.Hint, Is.Not.Null);
        await RequireNothingAsync();
        middleman.CutAfter = null;
        Assert.That(await schema.ApplyAsync(Migration, TimeSpan.FromSeconds(1), CancellationToken.None), Is.EqualTo(4));
    }

    [Test]
    public async Task A_server_that_stalls_is_not_waited_for_longer_than_its_time()
    {
        await using var middleman = new TcpMiddleman(_address.Port) { StallAfter = 2000 };
        var database = new AetherDatabase(With(a => (a.Port, a.CommandTimeout, a.Timeout) = (middleman.Port, 1, 1)));
        var exception = (await Assert.ThrowsAsync<RolloutException>(async () =>
        {
            await new ContinuousAggregates(With(a => (a.Port, a.CommandTimeout, a.Timeout) = (middleman.Port, 1, 1)), TimeProvider.System, new Progress<string>()).FreshnessAsync(CancellationToken.None);
            await database.AccountSchemasAsync(CancellationToken.None);
            await database.AdminAccountsAsync(CancellationToken.None);
            await new DatabaseSchema(With(a => (a.Port, a.CommandTimeout, a.Timeout) = (middleman.Port, 1, 1))).CatalogAsync(CancellationToken.None);
        }))!;
        Assert.That(exception.Message, Does.Contain("gave no answer in time").Or.Contain("hung up in the middle"));
    }

    [TestCase("p:/@%#?&'\"\\ $x")]
    [TestCase("päss wörd=;")]
    [TestCase("%41%zz+")]
    public async Task A_password_of_odd_characters_is_understood_in_both_forms(string password)
    {
        var (name, _) = await RoleAsync("odd", password);
        var url = $"postgresql://{name}:{Uri.EscapeDataString(password)}@127.0.0.1:{_address.Port}/{_address.Database}?sslmode=disable";
        Assert.That(await new AetherDatabase(new Secret(url)).AccountSchemasAsync(CancellationToken.None), Is.Empty);
        Assert.That(await new AetherDatabase(With(a => (a.Username, a.Password) = (name, password))).AccountSchemasAsync(CancellationToken.None), Is.Empty);
    }

    private static async Task FailsAsync(Secret dsn, string says, string hint)
    {
        var exception = (await Assert.ThrowsAsync<RolloutException>(() => new AetherDatabase(dsn).AccountSchemasAsync(CancellationToken.None)))!;
        Assert.That(exception.Message, Does.StartWith("Listing the account schemas: database '").And.Contain(says));
        Assert.That(exception.Hint, Does.Contain(hint));
        var secret = new NpgsqlConnectionStringBuilder(dsn.Reveal()).Password!;
        Assert.That(exception.ToString(), Does.Not.Contain(secret));
    }

    private Secret With(Action<NpgsqlConnectionStringBuilder> change)
    {
        var copy = new NpgsqlConnectionStringBuilder(_address.ConnectionString);
        change(copy);
        return new Secret(copy.ConnectionString);
    }

    private async Task<(string Name, string Password)> RoleAsync(string kind, string password = "s3cret-of-a-role")
    {
        // pg_hba.conf lets names that begin with tls_only in over TLS only.
        var name = kind == "tls_only" ? kind : $"{kind}_{Guid.NewGuid():N}";
        await PostgresServer.ExecuteAsync(_dsn, $"CREATE ROLE {name} LOGIN PASSWORD '{password.Replace("'", "''", StringComparison.Ordinal)}'");
        return (name, password);
    }

    // As a server without TLS answers the request for it, on every connection.
    private static async Task AnswerNoAsync(TcpListener listener)
    {
        try
        {
            while (true)
            {
                using var client = await listener.AcceptTcpClientAsync();
                while (await client.GetStream().ReadAtLeastAsync(new byte[8], 8, throwOnEndOfStream: false) == 8)
                {
                    await client.GetStream().WriteAsync("N"u8.ToArray());
                }
            }
        }
        catch (Exception exception) when (exception is SocketException or IOException or ObjectDisposedException or InvalidOperationException)
        {
            // The test is over.
        }
    }

    private async Task RequireNothingAsync() =>
        Assert.That((await new DatabaseSchema(new Secret(_dsn)).CatalogAsync(CancellationToken.None)).ToText(), Does.Not.Contain("\tt\t"), "a part of the migration stayed");
}
