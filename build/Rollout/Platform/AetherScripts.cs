using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using Rollout.Commands;

namespace Rollout.Platform;

/// <summary>How a script of the platform ended.</summary>
/// <param name="Command">The line as typed; it holds no secret.</param>
/// <param name="Problem">What went wrong, which the exit code need not tell; null where nothing did.</param>
/// <param name="Output">Both streams, with secrets masked.</param>
public sealed record ScriptResult(string Command, int ExitCode, string? Problem, string Output)
{
    public bool Succeeded => Problem is null;

    /// <summary>Standard output alone, with secrets masked.</summary>
    public string StandardOutput { get; init; } = string.Empty;

    /// <summary>What a file of evidence says about it: the command, its exit code and both streams.</summary>
    public string Record => $"$ {Command}\nexit code {ExitCode}{(Problem is null ? string.Empty : $": {Problem}")}\n\n{Output}";

    /// <summary>This result, or a failure that carries the end of the output.</summary>
    /// <exception cref="RolloutException">The script did not succeed.</exception>
    public ScriptResult OrThrow(string? hint = null)
    {
        var tail = Output.Trim();
        tail = tail.Length > 2000 ? "…" + tail[^2000..] : tail;
        return Succeeded ? this : throw new RolloutException($"'{Command}': {Problem}{(tail.Length > 0 ? $"\n{tail}" : "")}", hint);
    }
}

/// <summary>
/// Runs the platform's Python programs out of its checkout (platform contract, section 7). The checkout comes last on Python's path: it
/// holds
/// stubs of real packages, which would hide them. DSNs travel in the environment only.
/// </summary>
/// <param name="platformDirectory">The Aether checkout.</param>
/// <param name="python">Python 3: a path, or a name to be found on PATH.</param>
public sealed partial class AetherScripts(string platformDirectory, CommandRunner commands, string python = "python3")
{
    private const string MigrationVariable = "ROLLOUT_MIGRATION_DSN";

    private (bool Safe, string Path)? _python;

    /// <summary><c>ops/migrate_admin_repository.py</c>: upserts the administrators of the source file, which holds secrets.</summary>
    public Task<ScriptResult> MigrateAdminRepositoryAsync(string source, Secret dsn, CancellationToken cancellationToken) => RunAsync(
        ["ops/migrate_admin_repository.py", "--source", source],
        new() { ["ADMIN_POSTGRES_DSN"] = Plain(dsn), ["ADMIN_DATABASE_DSN"] = null, ["ADMIN_DB_DSN"] = null },
        [dsn],
        output => MigratedLine().IsMatch(output) ? null : "it did not say how many accounts it migrated",
        cancellationToken);

    /// <summary>Whom a source file of <c>ops/migrate_admin_repository.py</c> names; nothing else of it, which is secret, is looked at.</summary>
    /// <exception cref="RolloutException">It is no list of accounts; the message says where, and repeats nothing of it.</exception>
    public IReadOnlyList<string> AdministratorsOf(string source)
    {
        try
        {
            using var document = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(platformDirectory, source)));
            return [.. document.RootElement.EnumerateArray().Select(a => a.GetProperty("email").GetString()!).Distinct(StringComparer.Ordinal)];
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException or KeyNotFoundException)
        {
            throw new RolloutException($"'{source}' is no JSON list of accounts with an email each{(exception is JsonException json ? $", see line {json.LineNumber + 1}" : string.Empty)}.", "Platform.AdminSource names it.");
        }
    }

    /// <summary>
    /// <c>ops/refresh_continuous_aggregates.py</c>. It exits with 0 whatever happened; its warning is the failure, and on a real
    /// TimescaleDB it
    /// always fails, refreshing inside a transaction: <c>AetherDatabase</c> does the refresh that counts.
    /// </summary>
    /// <param name="schema">Where the account's views are.</param>
    public Task<ScriptResult> RefreshAggregatesAsync(
        string account, IReadOnlyList<string> aggregates, string schema, Secret dsn, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(aggregates);
        return RunAsync(
            ["ops/refresh_continuous_aggregates.py", account, .. aggregates],
            new()
            {
                // The platform keeps the account's hyphen in the name, which no shell can export and a process can (contract, section 10).
                [$"AETHER_{account.ToUpperInvariant()}_TIMESCALE_DSN"] = Plain(dsn),
                [$"AETHER_{account.ToUpperInvariant()}_TIMESCALE_SCHEMA"] = schema,
                ["TIMESCALE_DSN"] = Plain(dsn),
            },
            [dsn],
            output => output.Contains("Unable to refresh continuous aggregate", StringComparison.OrdinalIgnoreCase)
                ? "it could not refresh, and exited with 0"
                : null,
            cancellationToken);
    }

    /// <summary><c>scripts/generate_openapi.py</c>: the contract of the checkout's admin application. It contacts no stack.</summary>
    /// <param name="output">Where the JSON goes.</param>
    public async Task<ScriptResult> GenerateOpenApiAsync(string output, CancellationToken cancellationToken)
    {
        var target = Path.GetFullPath(output);
        File.Delete(target);
        return await RunAsync(
            ["scripts/generate_openapi.py", "--output", target], [], [], _ => DescribeContract(target), cancellationToken);
    }

    /// <summary>
    /// <c>tests/test_governance_audit_logging.py</c>, by pytest where this Python has it: three tests on stubs. They check the code and say nothing about a
    /// running stack.
    /// </summary>
    public async Task<ScriptResult> GovernanceTestsAsync(CancellationToken cancellationToken)
    {
        const string Tests = "tests/test_governance_audit_logging.py";
        var pytest = await commands.RunAsync(new CommandLine(python, "-c", "import pytest") { Echo = false }, cancellationToken);
        return pytest.ExitCode == 0
            ? await RunAsync(
                // Appending keeps the checkout's stubs behind the real packages.
                ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=append", Tests],
                [],
                [],
                output => PassedLine().IsMatch(output) ? null : AllSkippedLine().IsMatch(output) ? "every test was skipped" : "no test passed",
                cancellationToken,
                Tests)
            : await RunAsync(
                ["-m", "unittest", "-v", "tests.test_governance_audit_logging"],
                [],
                [],
                output => RanLine().Match(output) is { Success: true } ran
                    && int.Parse(ran.Groups["count"].ValueSpan, CultureInfo.InvariantCulture) > 0
                    ? SkippedLine().Match(output) is { Success: true } skipped
                        && skipped.Groups["count"].ValueSpan.SequenceEqual(ran.Groups["count"].ValueSpan)
                        ? "every test was skipped"
                        : null
                    : "no test ran",
                cancellationToken,
                Tests);
    }

    /// <summary>The pending migrations as SQL, changing nothing: <c>SCRIPT --sql</c>, as <c>ops/run_migrations.py</c> has it.</summary>
    /// <param name="script">In the checkout.</param>
    /// <param name="file">Where the SQL goes; empty where nothing is pending.</param>
    public async Task<ScriptResult> PendingMigrationsAsync(string script, string file, Secret dsn, CancellationToken cancellationToken)
    {
        var target = Path.GetFullPath(file);
        File.Delete(target);
        return await RunAsync(
            [script, "--dsn-env", MigrationVariable, "--sql", target],
            new() { [MigrationVariable] = Plain(dsn) },
            [dsn],
            _ => File.Exists(target) ? null : $"it wrote no '{target}'",
            cancellationToken);
    }

    /// <summary>The migrations of an Alembic tree after a revision as SQL: Alembic's offline mode, which meets no database and is given none.</summary>
    /// <param name="configuration">An <c>alembic.ini</c> in the checkout.</param>
    /// <param name="from">The revision that the database has; null for none.</param>
    public async Task<ScriptResult> OfflineMigrationsAsync(string configuration, string? from, CancellationToken cancellationToken)
    {
        var result = await RunAsync(
            ["-m", "alembic", "-c", configuration, "-x", "db_url=postgresql://", "upgrade", from is null ? "heads" : $"{from}:heads", "--sql"],
            [],
            [],
            output => output.Contains("alembic_version", StringComparison.Ordinal) ? null : "it printed no statement that moves alembic_version",
            cancellationToken,
            configuration);

        // Each tree that begins makes the version table, which they share.
        return result with { StandardOutput = result.StandardOutput.Replace("CREATE TABLE alembic_version", "CREATE TABLE IF NOT EXISTS alembic_version", StringComparison.Ordinal) };
    }

    /// <summary>
    /// Brings the database to the checkout's heads with <c>ops/run_migrations.py</c> or its like. Whether live can live with them is not for the script
    /// to guess: it was tried before.
    /// </summary>
    /// <param name="script">In the checkout.</param>
    public Task<ScriptResult> RunMigrationsAsync(string script, Secret dsn, CancellationToken cancellationToken) => RunAsync(
        [script, "--dsn-env", MigrationVariable, "--allow-breaking"], new() { [MigrationVariable] = Plain(dsn) }, [dsn], _ =>
            null, cancellationToken);

    // The platform hands these two schemes on to a driver that does not know them (contract, section 7.1).
    private static string Plain(Secret dsn) => SchemeOfDriver().Replace(dsn.Reveal(), "postgresql://");

    private static string? DescribeContract(string path)
    {
        if (!File.Exists(path))
        {
            return $"it wrote no '{path}'";
        }

        try
        {
            using var document = JsonDocument.Parse(File.ReadAllText(path));
            return document.RootElement.TryGetProperty("paths", out var paths) && paths.EnumerateObject().Any()
                ? null
                : $"'{path}' describes no path";
        }
        catch (JsonException exception)
        {
            return $"'{path}' is no JSON: {exception.Message}";
        }
    }

    private static string Mask(string text, IEnumerable<Secret> secrets)
    {
        foreach (var secret in secrets.Select(s => s.Reveal()))
        {
            text = text.Replace(secret, "***", StringComparison.Ordinal);
            if (PasswordOfDsn().Match(secret) is { Success: true } match)
            {
                var password = match.Groups["password"].Value;
                text = text.Replace(
                    Uri.UnescapeDataString(password), "***", StringComparison.Ordinal).Replace(password, "***", StringComparison.Ordinal);
            }
        }

        return text;
    }

    [GeneratedRegex(@"Migrated \d+ administrator account")]
    private static partial Regex MigratedLine();

    [GeneratedRegex(@"\b[1-9]\d* passed\b")]
    private static partial Regex PassedLine();

    [GeneratedRegex(@"^\d+ skipped in ", RegexOptions.Multiline)]
    private static partial Regex AllSkippedLine();

    [GeneratedRegex(@"^Ran (?<count>\d+) test", RegexOptions.Multiline)]
    private static partial Regex RanLine();

    [GeneratedRegex(@"^OK \(skipped=(?<count>\d+)\)", RegexOptions.Multiline)]
    private static partial Regex SkippedLine();

    [GeneratedRegex(@"^(postgres(ql)?(\+\w+)?|timescale(db)?)://", RegexOptions.IgnoreCase)]
    private static partial Regex SchemeOfDriver();

    [GeneratedRegex(@"^\w[\w+]*://[^:/@]*:(?<password>[^@]+)@|[Pp]assword=(?<password>[^;]+)")]
    private static partial Regex PasswordOfDsn();

    private async Task<ScriptResult> RunAsync(
        IReadOnlyList<string> arguments,
        Dictionary<string, string?> environment,
        IReadOnlyList<Secret> secrets,
        Func<string, string?> judge,
        CancellationToken cancellationToken,
        string? needs = null)
    {
        var script = needs ?? arguments[0];
        if (!File.Exists(Path.Combine(platformDirectory, script)))
        {
            throw new RolloutException(
                $"The platform checkout '{platformDirectory}' has no '{script}'.", "Point --platform at a checkout of the release.");
        }

        var (safe, path) = await PythonAsync(cancellationToken);
        environment["PYTHONPATH"] = path;
        environment["PYTHONDONTWRITEBYTECODE"] = "1";
        var command = new CommandLine(python, [.. safe ? ["-P"] : Array.Empty<string>(), .. arguments])
        {
            WorkingDirectory = platformDirectory,
            Environment = environment,
            Timeout = TimeSpan.FromMinutes(15),
        };
        var result = await commands.RunAsync(command, cancellationToken);
        var output = Mask(result.Output + result.Error, secrets);
        return new ScriptResult(
            command.ToString(), result.ExitCode, result.ExitCode != 0 ? $"exit code {result.ExitCode}" : judge(output), output)
        {
            StandardOutput = Mask(result.Output, secrets),
        };
    }

    /// <summary>Whether <c>-P</c> is known (3.11), and a path that begins as Python's own and ends with the checkout.</summary>
    private async Task<(bool Safe, string Path)> PythonAsync(CancellationToken cancellationToken)
    {
        if (_python is { } known)
        {
            return known;
        }

        const string PrintPath = "import sys; print('\\n'.join(p for p in sys.path if p))";
        var safe = true;
        var result = await commands.RunAsync(new CommandLine(python, "-P", "-c", PrintPath) { Echo = false }, cancellationToken);
        if (result.ExitCode != 0)
        {
            safe = false;
            result = (
                await commands.RunAsync(
                    new CommandLine(python, "-c", PrintPath) { Echo = false },
                    cancellationToken)).OrThrow("The platform's scripts need Python 3.");
        }

        var path = string.Join(
            Path.PathSeparator,
            result.Output.Split(
                '\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Append(Path.GetFullPath(platformDirectory)));
        _python = (safe, path);
        return _python.Value;
    }
}
