namespace Rollout.Database;

/// <summary>
/// Which schema of the database holds an account's tables: <c>acct_</c> and the account in the platform's spelling, unless the platform is told another one with
/// <c>AETHER_ACCOUNT_TIMESCALE_SCHEMA</c> (platform contract, section 10).
/// </summary>
public sealed class AccountSchemas
{
    private readonly Dictionary<string, string> _named;

    private AccountSchemas(Dictionary<string, string> named)
    {
        _named = named;
    }

    /// <summary>No account has a schema of another name.</summary>
    public static AccountSchemas Derived { get; } = new([]);

    /// <summary>The names that are not derived.</summary>
    public IReadOnlyCollection<string> Named => _named.Values;

    /// <summary>From entries as <c>director-1=trading_one</c>.</summary>
    /// <exception cref="RolloutException">An entry is not of that form, or an account is named twice.</exception>
    public static AccountSchemas Parse(IEnumerable<string> entries)
    {
        var named = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var entry in entries)
        {
            if (entry.Split('=', StringSplitOptions.TrimEntries) is not [{ Length: > 0 } account, { Length: > 0 } schema] || !named.TryAdd(Key(account), schema))
            {
                throw new RolloutException(
                    $"Platform.Schemas has '{entry}'; expected ACCOUNT=SCHEMA, and each account once.", "For example Platform.Schemas=director-1=trading_one", ExitCode.BadSettings);
            }
        }

        return named.Count == 0 ? Derived : new AccountSchemas(named);
    }

    /// <summary>The account's schema.</summary>
    /// <param name="account">As <c>director-1</c>.</param>
    public string Of(string account) => _named.GetValueOrDefault(Key(account)) ?? Derive(account);

    /// <summary>The name that the platform gives where it is told none: lower case, hyphens to underscores, anything else dropped.</summary>
    internal static string Derive(string account) => "acct_" + Key(account);

    private static string Key(string account) =>
        string.Concat(account.Trim().ToLowerInvariant().Replace('-', '_').Where(c => char.IsAsciiLetterOrDigit(c) || c == '_'));
}
