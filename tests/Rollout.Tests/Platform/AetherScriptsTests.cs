using Rollout.Commands;
using Rollout.Platform;

namespace Rollout.Tests.Platform;

[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class AetherScriptsTests
{
    private const string Dsn = "postgresql+psycopg://admin:p%40ss@db.example.com:5432/aether";

    private readonly string _platform = Directory.CreateTempSubdirectory("rollout-platform-").FullName;
    private readonly List<string> _echoed = [];

    private AetherScripts Scripts => new(_platform, new CommandRunner(_echoed.Add));

    [TearDown]
    public void Remove() => Directory.Delete(_platform, recursive: true);

    [Test]
    public async Task The_dsn_travels_in_the_environment_only_and_in_plain_form()
    {
        Write(
            "ops/migrate_admin_repository.py",
            "import os, sys; print(os.environ['ADMIN_POSTGRES_DSN'], sys.argv[1:]); print('Migrated 3 administrator account(s).')");
        var result = await Scripts.MigrateAdminRepositoryAsync("/tmp/admins.json", new Secret(Dsn), CancellationToken.None);
        Assert.That(result.Succeeded, Is.True, result.Output);
        Assert.That(result.Output, Does.Contain("postgresql://admin:***@db.example.com").And.Contain("'--source', '/tmp/admins.json'"));
        Assert.That(result.Output + string.Join('\n', _echoed), Does.Not.Contain("p%40ss").And.Not.Contain("p@ss"));
        Assert.That(_echoed, Is.EqualTo(new[] { "python3 -P ops/migrate_admin_repository.py --source /tmp/admins.json" }));
    }

    [Test]
    public async Task A_migration_that_says_nothing_did_not_succeed()
    {
        Write("ops/migrate_admin_repository.py", "print('bye')");
        var result = await Scripts.MigrateAdminRepositoryAsync("/tmp/admins.json", new Secret(Dsn), CancellationToken.None);
        Assert.That(result.ExitCode, Is.Zero);
        Assert.That(() => result.OrThrow(), Throws.TypeOf<RolloutException>().With.Message.Contains("did not say"));
    }

    [Test]
    public async Task The_checkout_comes_last_so_that_its_stubs_hide_nothing()
    {
        Write("json.py", "raise SystemExit('the stub was loaded')");
        Write("platformonly.py", "NAME = 'found'");
        Write("ops/run_migrations.py", "import json, platformonly, sys, os; print(platformonly.NAME, sys.path[-1] == os.getcwd())");
        var result = await Scripts.RunMigrationsAsync("ops/run_migrations.py", new Secret(Dsn), CancellationToken.None);
        Assert.That(result.OrThrow().Output, Does.StartWith("found"));
    }

    [Test]
    public async Task Migrations_are_told_the_variables_name()
    {
        Write("ops/run_migrations.py", """
            import os, sys
            assert sys.argv[1] == '--dsn-env'
            assert os.environ[sys.argv[2]].startswith('postgresql://admin')
            print('ok')
            """);
        Assert.That((await Scripts.RunMigrationsAsync("ops/run_migrations.py", new Secret(Dsn), CancellationToken.None)).OrThrow().Output.Trim(), Is.EqualTo("ok"));
    }

    [Test]
    public async Task A_refresh_that_only_warns_failed()
    {
        Write("ops/refresh_continuous_aggregates.py", """
            import os, sys
            assert os.environ['AETHER_DIRECTOR-1_TIMESCALE_DSN'] == os.environ['TIMESCALE_DSN']
            assert os.environ['AETHER_DIRECTOR-1_TIMESCALE_SCHEMA'] == 'trading_one'
            print('Unable to refresh continuous aggregate acct_director_1.events_hourly automatically', file=sys.stderr)
            """);
        var result = await Scripts.RefreshAggregatesAsync("director-1", ["events_hourly"], "trading_one", new Secret(Dsn), CancellationToken.None);
        Assert.That((result.ExitCode, result.Succeeded), Is.EqualTo((0, false)), result.Output);
        Assert.That(_echoed[^1], Does.EndWith("ops/refresh_continuous_aggregates.py director-1 events_hourly"));
    }

    [Test]
    public async Task A_contract_must_be_written_and_describe_something()
    {
        var output = Path.Combine(_platform, "openapi.json");
        Write("scripts/generate_openapi.py", "import sys; open(sys.argv[2], 'w').write('{\"paths\": {\"/healthz\": {}}}')");
        Assert.That((await Scripts.GenerateOpenApiAsync(output, CancellationToken.None)).Succeeded, Is.True);
        Write("scripts/generate_openapi.py", "print('done')");
        Assert.That(
            (await Scripts.GenerateOpenApiAsync(output, CancellationToken.None)).Problem,
            Does.Contain("it wrote no"),
            "an old file is not the new one");
        Write("scripts/generate_openapi.py", "import sys; open(sys.argv[2], 'w').write('{\"paths\": {}}')");
        Assert.That((await Scripts.GenerateOpenApiAsync(output, CancellationToken.None)).Problem, Does.Contain("describes no path"));
    }

    [TestCase("def test_a(self): pass", null)]
    [TestCase("def test_a(self): self.fail('no')", "exit code 1")]
    [TestCase("def helper(self): pass", "")]
    [TestCase("@unittest.skip('not here')\n    def test_a(self): pass", "every test was skipped")]
    public async Task Governance_tests_must_run_and_pass(string body, string? problem)
    {
        Write("tests/__init__.py", "");
        Write("tests/test_governance_audit_logging.py", $"import unittest\nclass T(unittest.TestCase):\n    {body}\n");
        var result = await Scripts.GovernanceTestsAsync(CancellationToken.None);
        Assert.That(result.Problem, problem is null ? Is.Null : Is.Not.Null.And.Contains(problem), result.Output);
    }

    [Test]
    public async Task A_checkout_without_the_script_is_named()
    {
        var exception = (await Assert.ThrowsAsync<RolloutException>(() => Scripts.GovernanceTestsAsync(CancellationToken.None)))!;
        Assert.That(exception.Message, Does.Contain("tests/test_governance_audit_logging.py"));
        Assert.That(_echoed, Is.Empty);
    }

    private void Write(string path, string text)
    {
        var full = Path.Combine(_platform, path);
        Directory.CreateDirectory(Path.GetDirectoryName(full)!);
        File.WriteAllText(full, text);
    }
}
