using System.Net;

namespace Rollout.Database;

/// <summary>Where the address of a PostgreSQL server or a Redis leads. Nobody's name and password are in it, so it may be shown.</summary>
/// <param name="Kind"><c>postgresql</c> or <c>redis</c>.</param>
/// <param name="Host">In lower case; several, with commas between, where the address names several.</param>
/// <param name="Database">The database's name, or the logical database's number.</param>
public sealed record StoreAddress(string Kind, string Host, int Port, string Database)
{
    private static readonly string[] Reserved = ["example.com", "example.org", "example.net", "example", "invalid", "test"];

    /// <summary>Whether it is the machine that asks, which in a cluster is the pod itself.</summary>
    public bool IsLoopback => Host == "localhost" || (IPAddress.TryParse(Host, out var address) && IPAddress.IsLoopback(address));

    /// <summary>Whether the host is one that nobody can have (RFC 2606).</summary>
    public bool IsExample => Reserved.Any(r => Host == r || Host.EndsWith("." + r, StringComparison.Ordinal));

    /// <summary>The words of host and database, to tell an environment by.</summary>
    public IEnumerable<string> Words => $"{Host}.{Database}".ToLowerInvariant().Split(['.', '-', '_', ',', '/'], StringSplitOptions.RemoveEmptyEntries);

    /// <summary>Reads one; null where the text is no address of either.</summary>
    /// <param name="text">In any spelling that the platform takes.</param>
    public static StoreAddress? Read(string text)
    {
        try
        {
            if (Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri.Scheme is "redis" or "rediss")
            {
                return uri.Host.Length == 0 ? null : new StoreAddress("redis", Plain(uri.Host), uri.Port > 0 ? uri.Port : 6379, uri.AbsolutePath.Trim('/') is { Length: > 0 } number ? number : "0");
            }

            var address = DatabaseAddress.Parse(new Secret(text));
            return address.Host is { Length: > 0 } host ? new StoreAddress("postgresql", Plain(host), address.Port, address.Database ?? string.Empty) : null;
        }
        catch (RolloutException)
        {
            return null;
        }
    }

    /// <summary>The same for a pod of a namespace: the name of a Service is one of its own, in whichever length it is written.</summary>
    public StoreAddress SeenFrom(string @namespace)
    {
        var labels = Host.Split('.');
        var service = labels switch
        {
            [_] when !IsLoopback && !Host.Contains(':', StringComparison.Ordinal) && !Host.Contains(',', StringComparison.Ordinal) => $"{Host}.{@namespace}.svc",
            [var name, var place, "svc", ..] => $"{name}.{place}.svc",
            [var name, var place] when place == @namespace => $"{name}.{place}.svc",
            _ => Host,
        };
        return this with { Host = service };
    }

    public override string ToString() => $"{Host}:{Port}/{Database}";

    private static string Plain(string host) => host.Trim('[', ']').TrimEnd('.').ToLowerInvariant();
}
