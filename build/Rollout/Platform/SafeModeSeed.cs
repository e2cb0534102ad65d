using System.Globalization;
using System.Text.Json;
using StackExchange.Redis;

namespace Rollout.Platform;

/// <summary>A session as the platform stores it.</summary>
public sealed record StoredSession(string AccountId, DateTimeOffset ExpiresAt);

/// <summary>
/// A slot's safe-mode state in Redis. The candidate's is written before its first pod starts: entering safe mode on a running candidate
/// cancels the live stack's open orders, booting with the state set cancels nothing (platform contract, section 3.3).
/// </summary>
public static class SafeModeSeed
{
    private const string Key = "safe-mode:state";

    /// <summary>Sets the state to active; a state that is active already stays, with its reason.</summary>
    /// <param name="redisConnection"><c>host:port,password=…,defaultDatabase=N</c>, or a <c>redis://</c> address.</param>
    /// <param name="since">Recorded as the moment of entry.</param>
    /// <returns>The state that is stored now.</returns>
    /// <exception cref="RolloutException">Redis does not answer, or does not hold what was written.</exception>
    public static async Task<SafeModeStatus> SeedAsync(
        string redisConnection, string reason, DateTimeOffset since, CancellationToken cancellationToken)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(reason);
        return await UseAsync(
            redisConnection,
            async database =>
            {
                if (Parse(await database.StringGetAsync(Key)) is { Active: true } there)
                {
                    return there;
                }

                await database.StringSetAsync(Key, State(reason, since));
                return Parse(await database.StringGetAsync(Key)) is { Active: true } now
                    ? now
                    : throw new RolloutException($"Redis at {Where(redisConnection)} took the safe-mode state and does not hold it.");
            },
            cancellationToken);
    }

    /// <summary>The file <c>safe_mode/state.json</c> that insecure defaults use instead: an object whose one key holds the state as text.</summary>
    /// <param name="since">Recorded as the moment of entry.</param>
    public static string ToFile(string reason, DateTimeOffset since) => JsonSerializer.Serialize(new Dictionary<string, string> { [Key] = State(reason, since) });

    /// <summary>The stored state; null where there is none, which a safe-mode service takes for inactive.</summary>
    /// <exception cref="RolloutException">Redis does not answer.</exception>
    public static Task<SafeModeStatus?> ReadAsync(string redisConnection, CancellationToken cancellationToken) =>
        UseAsync(redisConnection, async database => Parse(await database.StringGetAsync(Key)), cancellationToken);

    /// <summary>
    /// A session of this slot; null where the store does not know it. Sessions live 60 minutes: a freeze must not begin with one that could
    /// end inside it.
    /// </summary>
    /// <exception cref="RolloutException">Redis does not answer.</exception>
    public static Task<StoredSession?> ReadSessionAsync(string redisConnection, Secret token, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(token);
        return UseAsync(
            redisConnection,
            async database =>
            {
                var value = await database.StringGetAsync(token.Reveal());
                return value.IsNullOrEmpty || Json(value!) is not { } session || Fields.Time(session, "expires_at") is not { } expires
                    ? null
                    : new StoredSession(Fields.Text(session, "account_id") ?? string.Empty, expires);
            },
            cancellationToken);
    }

    /// <summary>The logical database that a connection uses; null where the text cannot be read.</summary>
    public static int? DatabaseOf(string redisConnection)
    {
        try
        {
            return Options(redisConnection).DefaultDatabase ?? 0;
        }
        catch (ArgumentException)
        {
            return null;
        }
    }

    private static string State(string reason, DateTimeOffset since) => JsonSerializer.Serialize(new
    {
        active = true,
        reason,
        timestamp = since.ToUniversalTime().ToString("yyyy-MM-dd'T'HH:mm:ss.ffffff'+00:00'", CultureInfo.InvariantCulture),
    });

    private static async Task<T> UseAsync<T>(string connection, Func<IDatabase, Task<T>> use, CancellationToken cancellationToken)
    {
        try
        {
            await using var redis = await ConnectionMultiplexer.ConnectAsync(Options(connection)).WaitAsync(cancellationToken);
            return await use(redis.GetDatabase()).WaitAsync(cancellationToken);
        }
        catch (Exception exception) when (exception is RedisException or TimeoutException or ArgumentException)
        {
            throw new RolloutException(
                $"Redis at {Where(connection)} does not answer: {Cause(exception)}", null, ExitCode.Failed, exception);
        }
    }

    private static ConfigurationOptions Options(string connection)
    {
        var options = IsUrl(connection, out var url)
            ? new ConfigurationOptions
            {
                EndPoints = { { url.Host, url.Port > 0 ? url.Port : 6379 } },
                Ssl = url.Scheme == "rediss",
                DefaultDatabase = int.TryParse(url.AbsolutePath.Trim('/'), out var number) ? number : 0,
                User = Uri.UnescapeDataString(url.UserInfo.Split(':')[0]) is { Length: > 0 } user ? user : null,
                Password = url.UserInfo.Contains(':', StringComparison.Ordinal)
                    ? Uri.UnescapeDataString(url.UserInfo[(url.UserInfo.IndexOf(':', StringComparison.Ordinal) + 1)..])
                    : null,
            }
            : ConfigurationOptions.Parse(connection);
        options.AbortOnConnectFail = true;
        options.ConnectTimeout = 5000;
        options.ConnectRetry = 2;
        options.ClientName = "aether-rollout";
        return options;
    }

    private static bool IsUrl(string connection, out Uri url) =>
        Uri.TryCreate(connection, UriKind.Absolute, out url!) && url.Scheme is "redis" or "rediss";

    /// <summary>The address without the password.</summary>
    private static string Where(string connection)
    {
        try
        {
            var options = Options(connection);
            var hosts = options.EndPoints.Select(e => e.ToString()!.Replace("Unspecified/", "", StringComparison.Ordinal));
            return $"{string.Join(',', hosts)} (database {options.DefaultDatabase ?? 0})";
        }
        catch (ArgumentException)
        {
            return "an address that cannot be read";
        }
    }

    // The library's own texts repeat the connection's settings over a page; the first sentence is the cause.
    private static string Cause(Exception exception) => exception is ArgumentException
        ? "its connection string is broken."
        : exception.Message.Split(". ")[0].TrimEnd('.') + ".";

    private static SafeModeStatus? Parse(RedisValue value) =>
        value.IsNullOrEmpty || Json(value!) is not { ValueKind: JsonValueKind.Object } state
            ? null
            : new SafeModeStatus(
                state.TryGetProperty("active", out var active) && active.ValueKind == JsonValueKind.True,
                Fields.Text(state, "reason"),
                Fields.Time(state, "timestamp"),
                null);

    private static JsonElement? Json(string text)
    {
        try
        {
            using var document = JsonDocument.Parse(text);
            return document.RootElement.Clone();
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
