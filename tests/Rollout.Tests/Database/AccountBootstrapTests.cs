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

    private AccountBootstrap Bootstrap(string dsn) => new(new Secret(dsn), new CommandRunner(_echoed.Add));

    private string Mended()
    {
        var file = Path.Combine(_folder, "bootstrap.sql");
        File.WriteAllLines(file, File.ReadLines(Original).Where(l => !l.TrimStart().StartsWith("CREATE INDEX IF NOT EXISTS ON", StringComparison.Ordinal)));
        return file;
    }
}
