using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rehearsal.Tests.Platform;

/// <summary>The checkout's programs without a database: command lines, exit codes, texts, and what they let others see.</summary>
[Parallelizable(ParallelScope.All)]
public sealed class ScriptTests
{
    private const string Dsn = "postgresql://aether:hunter2@127.0.0.1:1/aether";

    [Test]
    public async Task Admin_accounts_need_a_database()
    {
        var ran = await Checkout.PythonAsync(["ops/migrate_admin_repository.py", "--source", "ops/admin_accounts.json"]);
        Assert.That(ran, Is.EqualTo(new Ran(1, string.Empty, "No database: give --dsn or set ADMIN_POSTGRES_DSN.\n")));
    }

    [Test]
    public async Task Admin_accounts_need_the_checkout_on_the_python_path()
    {
        var ran = await Checkout.PythonAsync(
            ["ops/migrate_admin_repository.py", "--source", "ops/admin_accounts.json", "--dsn", Dsn],
            new Dictionary<string, string> { ["PYTHONPATH"] = string.Empty });
        Assert.That(ran.ExitCode, Is.EqualTo(1));
        Assert.That(ran.Error, Does.Contain("No module named 'common'"));
    }

    [TestCase("postgresql+psycopg")]
    [TestCase("timescale")]
    public async Task A_drivers_dialect_is_refused_without_repeating_the_password(string scheme)
    {
        var ran = await Checkout.PythonAsync(
            [
                "ops/migrate_admin_repository.py", "--source", "ops/admin_accounts.json",
                "--dsn", $"{scheme}://aether:hunter2@127.0.0.1/aether",
            ]);
        Assert.That(ran.ExitCode, Is.EqualTo(1));
        Assert.That(ran.Error, Does.Contain($"it begins with {scheme}://").And.Not.Contain("hunter2"));
    }

    [TestCase("{}", "holds no list of accounts")]
    [TestCase("[{\"email\": \"a@example.com\"}]", "entry 0 has no password_hash or password")]
    [TestCase("[", "is not JSON")]
    public async Task A_source_of_another_shape_is_refused_by_its_place(string source, string message)
    {
        using var folder = new Folder();
        var file = folder.Write("accounts.json", source);
        var ran = await Checkout.PythonAsync(["ops/migrate_admin_repository.py", "--source", file, "--dsn", Dsn]);
        Assert.That(ran.ExitCode, Is.EqualTo(1));
        Assert.That(ran.Error, Does.Contain(message));
    }

    // Alone, because a program that is started while this one writes its script would inherit the open file: "text file busy".
    [Test]
    [NonParallelizable]
    public async Task Secrets_reach_psql_by_environment_and_standard_input_only()
    {
        using var folder = new Folder();
        var ran = await Checkout.PythonAsync(
            ["ops/migrate_admin_repository.py", "--source", "ops/admin_accounts.json"],
            new Dictionary<string, string>
            {
                ["ADMIN_POSTGRES_DSN"] = "postgresql://aether:hunt%40er2@127.0.0.1:1/aether?sslmode=disable",
                ["PSQL"] = FakePsql(folder),
            });
        Assert.That(ran.ExitCode, Is.Zero, ran.Error);
        Assert.Multiple(() =>
        {
            Assert.That(ran.Output, Is.EqualTo("Migrated 3 administrator account(s).\n"));
            Assert.That(folder.Read("arguments"), Does.Not.Contain("hunt").And.Not.Contain("EXAMPLE"));
            Assert.That(
                folder.Read("environment"),
                Does.Contain("PGPASSWORD=hunt@er2\n").And.Contain("PGSSLMODE=disable\n").And.Contain("PGPORT=1\n"));
            Assert.That(folder.Read("input"), Does.Contain("ada@aether.example.com\tcompany\tpbkdf2_sha256$"));
        });
    }

    [Test]
    public async Task The_refresh_helper_ends_with_0_and_a_warning_when_nothing_was_refreshed()
    {
        var ran = await Checkout.PythonAsync(["ops/refresh_continuous_aggregates.py", "director-1", "events_hourly", "acct_x.other"]);
        Assert.That(ran.ExitCode, Is.Zero);
        foreach (var aggregate in new[] { "events_hourly", "acct_x.other" })
        {
            Assert.That(
                ran.Error,
                Does.Contain($"Unable to refresh continuous aggregate {aggregate} automatically; run the Timescale job manually"));
        }

        Assert.That(ran.Error, Does.Contain("neither AETHER_DIRECTOR-1_TIMESCALE_DSN nor TIMESCALE_DSN is set"));
    }

    [TestCase("--start", "2026-01-01")]
    [TestCase("--lookback-minutes", "0")]
    [TestCase("--start", "2026-01-02", "--end", "2026-01-01")]
    [TestCase("--end", "yesterday")]
    public async Task The_refresh_helper_refuses_a_window_that_is_none(params string[] window)
    {
        var ran = await Checkout.PythonAsync(["ops/refresh_continuous_aggregates.py", "company", "events_hourly", .. window]);
        Assert.That(ran.ExitCode, Is.EqualTo(2), ran.Error);
    }

    [Test]
    public async Task The_openapi_document_is_made_from_the_checkout_and_is_the_committed_one()
    {
        using var folder = new Folder();
        var output = Path.Combine(folder.Path, "deep/openapi.json");
        var ran = await Checkout.PythonAsync(["scripts/generate_openapi.py", "--output", output]);
        Assert.That(ran, Is.EqualTo(new Ran(0, $"OpenAPI schema written to {output}\n", string.Empty)));
        var text = await File.ReadAllTextAsync(output);
        var document = JsonNode.Parse(text)!;
        Assert.Multiple(() =>
        {
            Assert.That(
                text,
                Is.EqualTo(File.ReadAllText(Checkout.File("docs/api/openapi.json"))),
                "run scripts/generate_openapi.py and commit what it writes");
            Assert.That(document["info"]!["version"]!.GetValue<string>(), Is.EqualTo("stub"));
            Assert.That(document["paths"]!.AsObject(), Has.Count.EqualTo(25));
            Assert.That(document["paths"]!["//alerts/prioritized"], Is.Not.Null);
        });
    }

    [Test]
    public async Task The_governance_audit_tests_pass_on_any_machine()
    {
        var ran = await Checkout.PythonAsync(["-m", "unittest", "tests.test_governance_audit_logging"]);
        Assert.That(ran.ExitCode, Is.Zero, ran.Error);
        Assert.That(ran.Error, Does.Contain("Ran 3 tests"));
    }

    [Test]
    public async Task An_audit_chain_is_intact_until_a_line_is_changed_or_taken_away()
    {
        using var folder = new Folder();
        var (log, state) = (Path.Combine(folder.Path, "chain.log"), Path.Combine(folder.Path, "state.json"));
        var files = new Dictionary<string, string> { ["AUDIT_CHAIN_LOG"] = log, ["AUDIT_CHAIN_STATE"] = state };
        var written = await Checkout.PythonAsync(
            [
                "-c",
                """
                from common.utils.audit_logger import log_audit
                for n in range(3): log_audit('company', 'safe_mode.enter', 'safe_mode', None, {'n': n})
                """,
            ],
            files);
        Assert.That(written.Output.Split('\n'), Has.Length.EqualTo(4), written.Error);
        string[] verify = ["-m", "common.utils.audit_logger", "verify", "--log", log, "--state", state];
        Assert.That((await Checkout.PythonAsync(verify)).ExitCode, Is.Zero);

        var lines = await File.ReadAllLinesAsync(log);
        await File.WriteAllLinesAsync(log, lines[..2]);
        var cut = await Checkout.PythonAsync(verify);
        await File.WriteAllLinesAsync(log, [lines[0], lines[1].Replace("\"n\": 1", "\"n\": 7", StringComparison.Ordinal), lines[2]]);
        var changed = await Checkout.PythonAsync(verify);
        Assert.Multiple(() =>
        {
            Assert.That(cut.ExitCode, Is.EqualTo(1));
            Assert.That(cut.Error, Does.Contain("the state does not name the last line"));
            Assert.That(changed.ExitCode, Is.EqualTo(1));
            Assert.That(changed.Error, Does.Contain("line 2 is not what was written"));
        });
    }

    [Test]
    public void The_audit_report_has_the_section_that_timelines_go_to() =>
        Assert.That(File.ReadAllLines(Checkout.File("docs/AUDIT_REPORT.md")), Does.Contain("## 7. Deployment & Ops"));

    [Test]
    public void The_ci_workflow_cannot_be_dispatched_and_the_smoke_workflow_can()
    {
        var ci = File.ReadAllLines(Checkout.File(".github/workflows/ci.yaml"));
        Assert.That(ci, Does.Contain("name: CI").And.Contain("  verify:"));
        Assert.That(ci.Where(l => !l.StartsWith('#')), Has.None.Contain("workflow_dispatch"));
        Assert.That(File.ReadAllLines(Checkout.File(".github/workflows/post-deploy-smoke.yml")), Does.Contain("  workflow_dispatch:"));
    }

    [Test]
    public void The_sample_accounts_hold_hashes_and_no_passwords()
    {
        using var accounts = JsonDocument.Parse(File.ReadAllText(Checkout.File("ops/admin_accounts.json")));
        foreach (var account in accounts.RootElement.EnumerateArray())
        {
            Assert.That(account.TryGetProperty("password", out _), Is.False);
            Assert.That(account.GetProperty("password_hash").GetString(), Does.StartWith("pbkdf2_sha256$"));
        }
    }

    // A psql that only writes down how it was called.
    private static string FakePsql(Folder folder)
    {
        var path = folder.Write("psql", """
            #!/bin/sh
            here="${0%/*}"
            printf '%s\n' "$@" >"$here/arguments"
            env >"$here/environment"
            cat >"$here/input"
            """);
        if (OperatingSystem.IsWindows())
        {
            Assert.Ignore("the stand-in for psql is a shell script");
        }
        else
        {
            File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }

        return path;
    }
}
