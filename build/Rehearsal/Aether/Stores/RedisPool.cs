using System.Collections.Concurrent;
using StackExchange.Redis;

namespace Rehearsal.Aether.Stores;

/// <summary>Redis databases by URL. Whether two slots share one is decided by the URL in their environment, as on the platform.</summary>
internal sealed class RedisPool : IAsyncDisposable
{
    private readonly ConcurrentDictionary<string, Lazy<Task<ConnectionMultiplexer>>> _servers = new(StringComparer.Ordinal);

    /// <param name="url"><c>redis://[user][:password@]host:port/db</c>, or StackExchange.Redis's own form.</param>
    /// <exception cref="RedisException">The server does not answer; a later call tries again.</exception>
    public async Task<IDatabase> OpenAsync(string url, CancellationToken ct)
    {
        var options = Parse(url);
        var database = options.DefaultDatabase ?? 0;
        var key = $"{string.Join(',', options.EndPoints)}|{options.User}|{options.Password}";
        var server = await _servers.GetOrAdd(key, _ => new(() => ConnectionMultiplexer.ConnectAsync(options))).Value.WaitAsync(ct);
        return server.GetDatabase(database);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var server in _servers.Values.Where(server => server.IsValueCreated && server.Value.IsCompletedSuccessfully))
        {
            await (await server.Value).DisposeAsync();
        }

        _servers.Clear();
    }

    private static ConfigurationOptions Parse(string url)
    {
        ConfigurationOptions options;
        if (url.Contains("://", StringComparison.Ordinal))
        {
            var address = new Uri(url);
            var user = address.UserInfo.Split(':', 2);
            options = new ConfigurationOptions
            {
                EndPoints = { { address.Host, address.Port > 0 ? address.Port : 6379 } },
                User = user[0].Length > 0 ? Uri.UnescapeDataString(user[0]) : null,
                Password = user.Length > 1 ? Uri.UnescapeDataString(user[1]) : null,
                DefaultDatabase = int.TryParse(address.AbsolutePath.TrimStart('/'), out var number) ? number : 0,
            };
        }
        else
        {
            options = ConfigurationOptions.Parse(url);
        }

        // A Redis that is away must be seen as away at once: the platform fails open on it, and tests of that must not wait.
        options.AbortOnConnectFail = false;
        options.BacklogPolicy = BacklogPolicy.FailFast;
        options.ConnectTimeout = 1000;
        options.AsyncTimeout = 2000;
        options.ReconnectRetryPolicy = new LinearRetry(250);
        options.TieBreaker = "";
        options.ConfigurationChannel = "";
        return options;
    }
}
