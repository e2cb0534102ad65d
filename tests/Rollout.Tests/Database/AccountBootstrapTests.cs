using Rollout.Commands;
using Rollout.Database;
using Rollout.Tests.Support;

namespace Rollout.Tests.Database;

/// <summary>The rehearsal's <c>ops/timescale_bootstrap.sql</c>, which has the platform's syntax error, and the real psql.</summary>
[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class AccountBootstrapTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);
    private readonly string _folder = Directory.CreateTempSubdirectory("bootstrap-").FullName;
    private readonly List<string> _echoed = [];
    private string _dsn = "";

    [SetUp]
    public async Task CreateAsync() => _dsn = await PostgresServer.CreateDatabaseAsync();

    [TearDown]
    public void Remove() => Directory.Delete(_folder, recursive: true);

    private static string Original => Repository.PathOf("build", "Rehearsal", "Platform", "ops", "timescale_bootstrap.sql");

    [Test]
    public async Task The_platforms_syntax_error_ends_it_and_leaves_nothing()
    {
        var failure = (await Assert.ThrowsAsync<RolloutException>(() => Bootstrap(_dsn).RunAsync(Original, "director-1", Patience, default)))!;
        Assert.That(failure.Message, Does.Contain("acct_director_1 of director-1 could not be made").And.Contain("exit code 3").And.Contain("syntax error"));
        Assert.That(await new AetherDatabase(new Secret(_dsn)).AccountSchemasAsync(default), Is.Empty);
    }

    [Test]
    public async Task Mended_it_makes_all_tables_of_the_account_and_can_be_repeated()
    {
        var database = new AetherDatabase(new Secret(_dsn));
        Assert.That(await database.MissingTablesAsync(["director-1"], default), Is.Not.Empty);
        await Bootstrap(_dsn).RunAsync(Mended(), "director-1", Patience, default);
        await Bootstrap(_dsn).RunAsync(Mended(), "director-1", Patience, default);
        Assert.That(await database.MissingTablesAsync(["director-1"], default), Is.Empty);
    }

    [Test]
    public async Task The_password_is_in_no_argument_and_in_no_text()
    {
        var said = await Bootstrap(_dsn).RunAsync(Mended(), "company", Patience, default);
        var wrong = (await Assert.ThrowsAsync<RolloutException>(() => Bootstrap(_dsn.Replace("127.0.0.1", "127.0.0.2", StringComparison.Ordinal)).RunAsync(Mended(), "company", Patience, default)))!;
        Assert.That(said + wrong.Message + string.Join('\n', _echoed), Does.Contain("psql -X --single-transaction").And.Not.Contain(PostgresServer.Password).And.Not.Contain(Uri.EscapeDataString(PostgresServer.Password)));
    }

    [Test]
    public async Task A_machine_without_psql_is_told_what_to_install()
    {
        var failure = (await Assert.ThrowsAsync<RolloutException>(() => new AccountBootstrap(new Secret(_dsn), new CommandRunner(_ => { }), psql: "no-such-psql").RunAsync(Original, "company", Patience, default)))!;
        Assert.That(failure.Message + failure.Hint, Does.Contain("'no-such-psql' could not be started").And.Contain("Install it"));
    }

    [TestCase("127.0.0.1", "127.0.0.2", "Connection refused")]
    [TestCase("127.0.0.1", "no-such-host.invalid", "could not translate host name")]
    [TestCase("postgres:", "nobody_of_that_name:", "password authentication failed")]
    [TestCase("/test_", "/nowhere_", "does not exist")]
    public async Task A_server_that_cannot_be_used_is_told_with_the_account_and_leaves_nothing(string part, string instead, string says)
    {
        var failure = (await Assert.ThrowsAsync<RolloutException>(() => Bootstrap(_dsn.Replace(part, instead, StringComparison.Ordinal)).RunAsync(Mended(), "director-1", Patience, default)))!;
        Assert.That(failure.Message, Does.StartWith("acct_director_1 of director-1 could not be made").And.Contain(says));
        Assert.That(failure.Hint, Does.StartWith("Check ROLLOUT_SECRETS_DATABASE"));
        Assert.That(await new AetherDatabase(new Secret(_dsn)).AccountSchemasAsync(default), Is.Empty);
    }

    [TestCase("p:/@%#?&'\"\\ $x")]
    [TestCase("päss wörd=;")]
    [TestCase("%41%zz+")]
    [TestCase("0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 012")]
    public async Task A_password_of_odd_characters_reaches_psql_and_Python_as_it_is(string password)
    {
        var role = $"odd_{Guid.NewGuid():N}";
        await PostgresServer.EnsureRoleAsync(_dsn, role, password);
        await PostgresServer.ExecuteAsync(_dsn, $"GRANT CREATE ON DATABASE {new Uri(_dsn).AbsolutePath.Trim('/')} TO {role}");
        var dsn = _dsn.Replace($"postgres:{Uri.EscapeDataString(PostgresServer.Password)}", $"{role}:{Uri.EscapeDataString(password)}", StringComparison.Ordinal);
        var file = Path.Combine(_folder, "odd.sql");
        await File.WriteAllTextAsync(file, "CREATE SCHEMA :schema;");
        var said = await Bootstrap(dsn).RunAsync(file, "company", Patience, default);
        Assert.That(said + string.Join('\n', _echoed), Does.Contain("CREATE SCHEMA").And.Not.Contain(password));

        // What a Python of the platform makes of the address that it is given.
        Directory.CreateDirectory(Path.Combine(_folder, "ops"));
        await File.WriteAllTextAsync(
            Path.Combine(_folder, "ops", "refresh_continuous_aggregates.py"),
            "import base64, os, urllib.parse\nprint('seen', base64.b64encode(urllib.parse.unquote(urllib.parse.urlsplit(os.environ['TIMESCALE_DSN']).password).encode()).decode())\n");
        var seen = await new Rollout.Platform.AetherScripts(_folder, new CommandRunner(_echoed.Add), "python3").RefreshAggregatesAsync("company", [], "acct_company", new Secret(dsn), default);
        Assert.That(seen.Output, Does.Contain($"seen {Convert.ToBase64String(System.Text.Encoding.UTF8.GetBytes(password))}"), seen.Output);
        await PostgresServer.ExecuteAsync(_dsn, $"DROP OWNED BY {role} CASCADE; DROP ROLE {role}");
    }

    private AccountBootstrap Bootstrap(string dsn) => new(new Secret(dsn), new CommandRunner(_echoed.Add));

    private string Mended()
    {
        var file = Path.Combine(_folder, "bootstrap.sql");
        File.WriteAllLines(file, File.ReadLines(Original).Where(l => !l.TrimStart().StartsWith("CREATE INDEX IF NOT EXISTS ON", StringComparison.Ordinal)));
        return file;
    }
}
