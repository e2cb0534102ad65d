using System.Collections.Concurrent;
using Npgsql;

namespace Rehearsal.Aether.Stores;

/// <summary>
/// Connections to PostgreSQL by DSN, shared by all pods of a world: a hundred pools of their own would exhaust a default
/// server, and no behaviour of the platform depends on them.
/// </summary>
internal sealed class DatabasePool : IAsyncDisposable
{
    private readonly ConcurrentDictionary<string, Lazy<NpgsqlDataSource>> _sources = new(StringComparer.Ordinal);

    /// <param name="dsn">A URL in any of the platform's spellings: <c>postgresql</c>, <c>postgresql+psycopg</c>, <c>timescale</c>.</param>
    public NpgsqlDataSource Open(string dsn) => _sources.GetOrAdd(dsn, key => new Lazy<NpgsqlDataSource>(() => Build(key))).Value;

    public static string ToConnectionString(string dsn)
    {
        if (!dsn.Contains("://", StringComparison.Ordinal))
        {
            return dsn;
        }

        var url = new Uri("postgresql" + dsn[dsn.IndexOf("://", StringComparison.Ordinal)..]);
        var user = url.UserInfo.Split(':', 2);
        var builder = new NpgsqlConnectionStringBuilder
        {
            Host = url.Host,
            Port = url.Port > 0 ? url.Port : 5432,
            Database = Uri.UnescapeDataString(url.AbsolutePath.TrimStart('/')),
            Username = Uri.UnescapeDataString(user[0]),
            Password = user.Length > 1 ? Uri.UnescapeDataString(user[1]) : null,
        };
        foreach (var pair in url.Query.TrimStart('?').Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            var parts = pair.Split('=', 2);
            if (parts[0] == "sslmode" && parts.Length == 2)
            {
                builder.SslMode = Enum.Parse<SslMode>(parts[1].Replace("-", "", StringComparison.Ordinal), ignoreCase: true);
            }
            else if (parts[0] == "host" && parts.Length == 2)
            {
                builder.Host = Uri.UnescapeDataString(parts[1]);
            }
        }

        return builder.ConnectionString;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var source in _sources.Values.Where(source => source.IsValueCreated))
        {
            await source.Value.DisposeAsync();
        }

        _sources.Clear();
    }

    private static NpgsqlDataSource Build(string dsn)
    {
        var builder = new NpgsqlConnectionStringBuilder(ToConnectionString(dsn))
        {
            MaxPoolSize = 8,
            Timeout = 15,
            CommandTimeout = 15,
            NoResetOnClose = true,
            ApplicationName = "aether",
        };
        return NpgsqlDataSource.Create(builder);
    }
}
