using Npgsql;

namespace Rollout.Database;

/// <summary>A DSN in any of the spellings that the platform uses, as Npgsql wants it.</summary>
internal static class DatabaseAddress
{
    /// <param name="dsn">
    /// <c>postgresql://user:password@host:port/database?sslmode=…</c>, the same with <c>postgres</c>, <c>timescale</c> or a driver's name
    /// as
    /// scheme, or <c>Host=…;Database=…</c>.
    /// </param>
    /// <exception cref="RolloutException">It is none of these.</exception>
    public static NpgsqlConnectionStringBuilder Parse(Secret dsn)
    {
        var text = dsn.Reveal();
        try
        {
            var builder = text.Contains("://", StringComparison.Ordinal) ? FromUrl(text) : new NpgsqlConnectionStringBuilder(text);
            builder.Timeout = Math.Min(builder.Timeout, 10);
            builder.ApplicationName ??= "aether-rollout";
            builder.Pooling = false;

            // The platform's Python writes UTC, into columns without a zone too.
            builder.Timezone = "UTC";
            return builder;
        }
        catch (Exception exception) when (exception is ArgumentException or FormatException)
        {
            // The library's message may quote the value, and the value holds a password.
            throw new RolloutException("A database DSN is neither a postgresql:// address nor a connection string.");
        }
    }

    /// <summary>The address as libpq's variables, for psql: nothing of it is on a command line, and no file of the person's own is read.</summary>
    /// <param name="options">More for <c>PGOPTIONS</c>, as <c>-c lock_timeout=1s</c>.</param>
    public static Dictionary<string, string?> VariablesOf(NpgsqlConnectionStringBuilder address, string options = "") => new()
    {
        ["PGHOST"] = address.Host,
        ["PGPORT"] = address.Port.ToString(System.Globalization.CultureInfo.InvariantCulture),
        ["PGDATABASE"] = address.Database,
        ["PGUSER"] = address.Username,
        ["PGPASSWORD"] = address.Password,
        ["PGSSLMODE"] = address.SslMode switch { SslMode.VerifyCA => "verify-ca", SslMode.VerifyFull => "verify-full", var mode => mode.ToString().ToLowerInvariant() },
        ["PGSSLROOTCERT"] = address.RootCertificate,
        ["PGAPPNAME"] = address.ApplicationName,
        ["PGCONNECT_TIMEOUT"] = "10",
        ["PGOPTIONS"] = $"{address.Options} {options}".Trim(),
        ["PGSERVICE"] = null,
        ["PGPASSFILE"] = null,
    };

    private static NpgsqlConnectionStringBuilder FromUrl(string text)
    {
        // Uri refuses some schemes' user info; http has the same grammar.
        var scheme = text[..text.IndexOf("://", StringComparison.Ordinal)];
        if (
            !scheme.StartsWith("postgres", StringComparison.OrdinalIgnoreCase)
                && !scheme.StartsWith("timescale", StringComparison.OrdinalIgnoreCase))
        {
            throw new FormatException("unknown scheme");
        }

        var rest = text[(scheme.Length + 3)..];
        var uri = new Uri("http://" + (rest.StartsWith('/') ? "localhost" + rest : rest));
        var builder = new NpgsqlConnectionStringBuilder
        {
            Host = uri.IsDefaultPort && uri.Host.Length == 0 ? "localhost" : uri.Host,
            Port = uri.IsDefaultPort ? 5432 : uri.Port,
            Database = Uri.UnescapeDataString(uri.AbsolutePath.Trim('/')),
        };
        if (uri.UserInfo.Length > 0)
        {
            var parts = uri.UserInfo.Split(':', 2);
            builder.Username = Uri.UnescapeDataString(parts[0]);
            builder.Password = parts.Length > 1 ? Uri.UnescapeDataString(parts[1]) : null;
        }

        foreach (var pair in uri.Query.TrimStart('?').Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            var equals = pair.IndexOf('=', StringComparison.Ordinal);
            Apply(builder, equals < 0 ? pair : pair[..equals], equals < 0 ? string.Empty : Uri.UnescapeDataString(pair[(equals + 1)..]));
        }

        return builder;
    }

    // The names are libpq's. What only libpq knows is left out.
    private static void Apply(NpgsqlConnectionStringBuilder builder, string name, string value)
    {
        switch (name)
        {
            case "host":
                builder.Host = value;
                break;
            case "port":
                builder.Port = int.Parse(value, System.Globalization.CultureInfo.InvariantCulture);
                break;
            case "sslmode":
                builder.SslMode = Enum.Parse<SslMode>(value.Replace("-", "", StringComparison.Ordinal), ignoreCase: true);
                break;
            case "sslrootcert":
                builder.RootCertificate = value;
                break;
            case "application_name":
                builder.ApplicationName = value;
                break;
            case "options":
                builder.Options = value;
                break;
        }
    }
}
