using Npgsql;
using Rollout.Commands;

namespace Rollout.Database;

/// <summary>
/// Makes an account's tables with the platform's <c>ops/timescale_bootstrap.sql</c>, which is psql's language and not the server's. As its text says to call it, it
/// ends with 0 whatever happened (platform contract, section 7.6): here the first error ends it, and all of it is one transaction.
/// </summary>
/// <param name="dsn">A <c>postgresql://</c> address or a connection string; it reaches psql in the environment only.</param>
/// <param name="schemas">Where the accounts' tables are to be; null: where the platform puts them untold.</param>
/// <param name="psql">Path, or a name to be found on PATH.</param>
public sealed class AccountBootstrap(Secret dsn, CommandRunner commands, AccountSchemas? schemas = null, string psql = "psql")
{
    /// <summary>psql's exit code where it has no connection, or lost it.</summary>
    private const int NoConnection = 2;

    /// <summary>Runs the file for one account's schema.</summary>
    /// <param name="patience">How long it may wait for a lock; live's statements wait behind it.</param>
    /// <returns>What psql said.</returns>
    /// <exception cref="RolloutException">psql failed; nothing was made.</exception>
    public async Task<string> RunAsync(string file, string account, TimeSpan patience, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(account);
        var schema = (schemas ?? AccountSchemas.Derived).Of(account);
        var address = DatabaseAddress.Parse(dsn);
        var command = new CommandLine(psql, "-X", "--single-transaction", "-v", "ON_ERROR_STOP=1", "-v", $"schema={schema}", "-f", file)
        {
            Environment = DatabaseAddress.VariablesOf(address, $"-c lock_timeout={patience.TotalMilliseconds:0}ms"),
        };
        var result = await commands.RunAsync(command, cancellationToken);
        var said = Masked(result.Output + result.Error, address);
        return result.ExitCode == 0
            ? $"$ {command}\n{said}"
            : throw new RolloutException(
                $"{schema} of {account} could not be made with {Path.GetFileName(file)}: psql ended with exit code {result.ExitCode}: {Last(said)}. It was one transaction, so nothing is left of it.",
                result.ExitCode == NoConnection
                    ? "Check ROLLOUT_SECRETS_DATABASE, and that the server runs and can be reached from here; the same command goes on."
                    : "Mend the file (the platform's own has a syntax error at the end), or make the tables by hand; the same command goes on.");
    }

    private static string Masked(string text, NpgsqlConnectionStringBuilder address) =>
        address.Password is { Length: > 0 } password ? text.Replace(password, "***", StringComparison.Ordinal) : text;

    private static string Last(string said) =>
        said.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).LastOrDefault(l => l.Contains("ERROR", StringComparison.Ordinal) || l.Contains("error", StringComparison.Ordinal))
            ?? (said.Trim() is { Length: > 0 } all ? all[..Math.Min(all.Length, 300)] : "it said nothing");
}
