namespace Rehearsal.Tests.Platform;

/// <summary>The checkout's programs against a real PostgreSQL.</summary>
public sealed class DatabaseTests
{
    [Test]
    public async Task A_rehearsals_database_has_one_pending_migration_in_each_tree()
    {
        var dsn = await SeededAsync();
        var check = await MigrateAsync(dsn, "--check");
        var run = await MigrateAsync(dsn);
        var again = await MigrateAsync(dsn);
        Assert.Multiple(async () =>
        {
            Assert.That(check.ExitCode, Is.EqualTo(3), check.Error);
            Assert.That(check.Output, Does.Contain("data/migrations: pending 0008_add_override_log_correlation\n"));
            Assert.That(run.ExitCode, Is.Zero, run.Error);
            Assert.That(run.Output, Does.EndWith("Applied 2 migration(s).\n"));
            Assert.That(again.Output, Does.EndWith("Applied 0 migration(s).\n"), again.Error);
            Assert.That(
                await QueryAsync(dsn, "SELECT version_num FROM alembic_version ORDER BY 1"),
                Is.EqualTo("0008\n0009_update_sim_mode_state_primary_key"));
        });
    }

    [Test]
    public async Task Of_five_files_with_one_revision_the_last_counts()
    {
        var dsn = await SharedPostgres.CreateDatabaseAsync();
        var run = await MigrateAsync(dsn);
        Assert.That(run.ExitCode, Is.Zero, run.Error);
        Assert.That(run.Error, Does.Contain("revision 0005 stands in 5 files; only 0005_create_universe_snapshots.py counts"));
        Assert.That(
            await QueryAsync(dsn, "SELECT to_regclass('universe_snapshots') IS NOT NULL, to_regclass('fee_tiers') IS NULL"),
            Is.EqualTo("t|t"));
    }

    [TestCase("DROP TABLE override_log;", "is not additive: it says DROP")]
    [TestCase("CREATE TABLE half_made (x int); SELECT nonsense;", "failed and was taken back")]
    public async Task A_migration_that_breaks_or_fails_leaves_the_database_as_it_was(string statements, string message)
    {
        using var copy = new Folder();
        Copy(Checkout.Root, copy.Path);
        File.WriteAllText(Path.Combine(copy.Path, "data/migrations/versions/0008_add_override_log_correlation.sql"), statements);
        var dsn = await SeededAsync();
        var run = await MigrateAsync(dsn, root: copy.Path);
        Assert.That(run.ExitCode, Is.EqualTo(1));
        Assert.That(run.Error, Does.Contain("0008_add_override_log_correlation").And.Contain(message));
        Assert.That(
            await QueryAsync(
                dsn,
                "SELECT to_regclass('override_log') IS NOT NULL, to_regclass('half_made') IS NULL, min(version_num) FROM alembic_version"),
            Is.EqualTo("t|t|0007"));
    }

    [Test]
    public async Task A_database_that_a_newer_release_has_migrated_is_left_alone()
    {
        var dsn = await SeededAsync();
        await QueryAsync(dsn, "UPDATE alembic_version SET version_num = '0099' WHERE version_num = '0007'");
        var run = await MigrateAsync(dsn);
        Assert.That(run.ExitCode, Is.EqualTo(1));
        Assert.That(run.Error, Does.Contain("the database is at 0099, which this checkout does not know"));
    }

    [Test]
    public async Task Admin_accounts_are_the_same_after_every_run()
    {
        var dsn = await SeededAsync();
        string[] command = ["ops/migrate_admin_repository.py", "--source", "ops/admin_accounts.json", "--dsn", dsn];
        var first = await Checkout.PythonAsync(command);
        var stored = await QueryAsync(dsn, "SELECT * FROM admin_accounts ORDER BY email");
        var second = await Checkout.PythonAsync(command);
        Assert.That(first.Output, Is.EqualTo("Migrated 3 administrator account(s).\n"), first.Error);
        Assert.That(second.Output, Is.EqualTo(first.Output), second.Error);
        Assert.That(await QueryAsync(dsn, "SELECT * FROM admin_accounts ORDER BY email"), Is.EqualTo(stored));
        Assert.That(stored.Split('\n'), Has.Length.EqualTo(3));
    }

    [Test]
    public async Task An_account_is_data_whatever_characters_it_has()
    {
        var dsn = await SeededAsync();
        using var folder = new Folder();
        var source = folder.Write("accounts.json", """
            [{"email": "o'neill\t\\.@example.com", "id": "x'; DROP TABLE admin_accounts; --", "password": "p", "mfa_secret": "m\nn"}]
            """);
        var ran = await Checkout.PythonAsync(["ops/migrate_admin_repository.py", "--source", source, "--dsn", dsn]);
        Assert.That(ran.ExitCode, Is.Zero, ran.Error);
        Assert.That(
            await QueryAsync(dsn, """
                SELECT email = E'o''neill\t\\.@example.com', admin_id, mfa_secret = E'm\nn', password_hash LIKE 'pbkdf2%'
                FROM admin_accounts
                """),
            Is.EqualTo("t|x'; DROP TABLE admin_accounts; --|t|t"));
    }

    [Test]
    public async Task The_refresh_helper_fails_in_its_transaction_and_the_call_itself_works()
    {
        var dsn = await SeededAsync();
        await QueryAsync(dsn, "INSERT INTO acct_company.events (event_type) VALUES ('safe_mode_engaged')");
        var ran = await RefreshAsync(dsn);
        Assert.That(ran.ExitCode, Is.Zero, ran.Error);
        Assert.That(ran.Error, Does.Contain("Unable to refresh continuous aggregate events_hourly automatically"));
        Assert.That(await QueryAsync(dsn, "SELECT count(*) FROM acct_company.events_hourly"), Is.EqualTo("0"));

        await QueryAsync(
            dsn, "CALL refresh_continuous_aggregate('acct_company.events_hourly', now() - interval '1 hour', now())");
        Assert.That(await QueryAsync(dsn, "SELECT sum(events) FROM acct_company.events_hourly"), Is.EqualTo("1"));
    }

    [Test]
    public async Task The_refresh_helper_refreshes_a_plain_view_where_there_is_no_procedure()
    {
        var dsn = await SharedPostgres.CreateDatabaseAsync();
        Assert.That((await FileAsync(dsn, "ops/timescale_bootstrap.sql", "-v", "schema=acct_company")).ExitCode, Is.Zero);
        await QueryAsync(dsn, "INSERT INTO acct_company.events (event_type) VALUES ('safe_mode_engaged')");
        var ran = await RefreshAsync(dsn);
        Assert.That(ran.Error, Does.Contain("Refreshed continuous aggregate events_hourly").And.Not.Contain("WARNING"));
        Assert.That(await QueryAsync(dsn, "SELECT sum(events) FROM acct_company.events_hourly"), Is.EqualTo("1"));
    }

    [Test]
    public async Task The_bootstrap_script_hides_its_syntax_error_unless_told_to_stop()
    {
        var dsn = await SharedPostgres.CreateDatabaseAsync();
        var none = await FileAsync(dsn, "ops/timescale_bootstrap.sql");
        var hidden = await FileAsync(dsn, "ops/timescale_bootstrap.sql", "-v", "schema=acct_company");
        var stopped = await FileAsync(
            dsn, "ops/timescale_bootstrap.sql", "-v", "schema=acct_company", "-v", "ON_ERROR_STOP=1");
        Assert.Multiple(() =>
        {
            Assert.That(none.ExitCode, Is.Zero);
            Assert.That(none.Output, Does.StartWith("No schema given"));
            Assert.That(hidden.ExitCode, Is.Zero);
            Assert.That(hidden.Error, Does.Contain("syntax error"));
            Assert.That(stopped.ExitCode, Is.EqualTo(3));
        });
    }

    [Test]
    public async Task A_release_manifest_that_was_changed_in_the_database_is_found()
    {
        var dsn = await SeededAsync();
        var environment = new Dictionary<string, string> { ["RELEASE_MANIFEST_DATABASE_URL"] = dsn };
        using var folder = new Folder();
        var file = folder.Write("manifest.json", """{"chart": "0.4.0", "images": ["a", "b"]}""");
        var created = await Checkout.PythonAsync(["release_manifest.py", "create", "--id", "v1", "--file", file], environment);
        var intact = await Checkout.PythonAsync(["release_manifest.py", "verify", "--id", "v1"], environment);
        await QueryAsync(dsn, "UPDATE release_manifests SET manifest_json = '{}'");
        var changed = await Checkout.PythonAsync(["release_manifest.py", "verify", "--id", "v1"], environment);
        Assert.That((created.ExitCode, intact.ExitCode, changed.ExitCode), Is.EqualTo((0, 0, 1)), created.Error + intact.Error);
        Assert.That(changed.Error, Does.Contain("Manifest v1 is not what was stored"));
    }

    private static Task<Ran> MigrateAsync(string dsn, string? option = null, string? root = null) => Checkout.PythonAsync(
        option is null ? ["ops/run_migrations.py", "--dsn-env", "DSN"] : ["ops/run_migrations.py", "--dsn-env", "DSN", option],
        new Dictionary<string, string> { ["DSN"] = dsn },
        root);

    private static Task<Ran> RefreshAsync(string dsn) => Checkout.PythonAsync(
        ["ops/refresh_continuous_aggregates.py", "company", "events_hourly"], new Dictionary<string, string> { ["TIMESCALE_DSN"] = dsn });

    private static void Copy(string from, string to)
    {
        foreach (var file in Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories))
        {
            var target = Path.Combine(to, Path.GetRelativePath(from, file));
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(file, target);
        }
    }

    /// <summary>What a statement answers, one line a row.</summary>
    private static async Task<string> QueryAsync(string dsn, string statement)
    {
        var ran = await Checkout.RunAsync(
            Tools.Find("psql"), ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", dsn, "-c", statement]);
        Assert.That(ran.ExitCode, Is.Zero, ran.Error);
        return ran.Output.Trim();
    }

    /// <summary>Runs a SQL file of the checkout.</summary>
    private static Task<Ran> FileAsync(string dsn, string file, params string[] more) =>
        Checkout.RunAsync(Tools.Find("psql"), ["-X", "-q", "-d", dsn, .. more, "-f", Checkout.File(file)]);

    private static async Task<string> SeededAsync()
    {
        var dsn = await SharedPostgres.CreateDatabaseAsync();
        var seeded = await FileAsync(dsn, "ops/rehearsal_database.sql", "-v", "ON_ERROR_STOP=1");
        Assert.That(seeded.ExitCode, Is.Zero, seeded.Error);
        return dsn;
    }
}
