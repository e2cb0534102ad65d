using System.Net.Http.Headers;
using System.Text;

namespace Rollout.Supply;

/// <summary>
/// What one registry has granted so far: a header per repository, and the newest one for repositories not asked about yet.
/// </summary>
internal sealed class RegistryTokens(TimeProvider time) : IDisposable
{
    private readonly SemaphoreSlim _asking = new(1);
    private readonly Dictionary<string, Grant> _grants = [];
    private Grant? _newest;

    public AuthenticationHeaderValue? Find(string repository)
    {
        lock (_grants)
        {
            return Valid(_grants.GetValueOrDefault(repository)) ?? Valid(_newest);
        }
    }

    /// <param name="repository">What the header opens.</param>
    /// <param name="header">The header.</param>
    /// <param name="lifetime">Null is forever.</param>
    public AuthenticationHeaderValue Keep(string repository, AuthenticationHeaderValue header, TimeSpan? lifetime)
    {
        lock (_grants)
        {
            _newest = _grants[repository] =
                new Grant(header, lifetime is null ? DateTimeOffset.MaxValue : time.GetUtcNow() + lifetime.Value);
            return header;
        }
    }

    public async Task<AuthenticationHeaderValue> OnceAsync(
        string repository,
        AuthenticationHeaderValue? refused,
        Func<Task<(AuthenticationHeaderValue Header, TimeSpan Lifetime)>> ask,
        CancellationToken cancellationToken)
    {
        await _asking.WaitAsync(cancellationToken);
        try
        {
            lock (_grants)
            {
                if (Valid(_grants.GetValueOrDefault(repository)) is { } known && !known.Equals(refused))
                {
                    return known;
                }
            }

            var (header, lifetime) = await ask();
            return Keep(repository, header, lifetime);
        }
        finally
        {
            _asking.Release();
        }
    }

    public void Dispose() => _asking.Dispose();

    /// <summary>
    /// The <c>name="value"</c> pairs of a challenge; a comma inside quotes belongs to the value (RFC 9110, section 11.2).
    /// </summary>
    public static IReadOnlyDictionary<string, string> Parameters(string text)
    {
        var parameters = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        var i = 0;
        while (i < text.Length)
        {
            var equals = text.IndexOf('=', i);
            if (equals < 0)
            {
                break;
            }

            var name = text[i..equals].Trim(' ', '\t', ',');
            var value = new StringBuilder();
            i = equals + 1;
            while (i < text.Length && text[i] is ' ' or '\t')
            {
                i++;
            }

            if (i < text.Length && text[i] == '"')
            {
                for (i++; i < text.Length && text[i] != '"'; i++)
                {
                    i += text[i] == '\\' && i + 1 < text.Length ? 1 : 0;
                    value.Append(text[i]);
                }

                i++;
            }
            else
            {
                for (; i < text.Length && text[i] != ','; i++)
                {
                    value.Append(text[i]);
                }
            }

            parameters[name] = value.ToString().Trim();
        }

        return parameters;
    }

    private AuthenticationHeaderValue? Valid(Grant? grant) => grant is not null && grant.Until > time.GetUtcNow() ? grant.Header : null;

    private sealed record Grant(AuthenticationHeaderValue Header, DateTimeOffset Until);
}
