using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Rollout.Traffic;

/// <summary>How a host's headers differ from those that live sends: each a sentence that names host, header, what was expected and what was seen.</summary>
/// <param name="Problems">A header is lost or weakened, and nobody asked for it.</param>
/// <param name="Warnings">A header is taken away, because the Ingress says so.</param>
/// <param name="Differences">A header gets another value, because the Ingress says so.</param>
public sealed record HeaderDifferences(IReadOnlyList<string> Problems, IReadOnlyList<string> Warnings, IReadOnlyList<string> Differences);

/// <summary>
/// The response headers an Ingress promises, and whether they are on the wire. A promise is not enough: ingress-nginx drops snippets
/// unless they are allowed, and says nothing (platform contract, 8.4).
/// </summary>
public static partial class HardenedHeaders
{
    private const string Annotation = "nginx.ingress.kubernetes.io/configuration-snippet";

    // Strict-Transport-Security is in no Ingress: it comes from the controller's own settings, which each slot has of its own.
    private static readonly string[] Hardening =
    [
        "Content-Security-Policy", "Strict-Transport-Security", "X-Frame-Options", "X-Content-Type-Options", "Referrer-Policy", "X-XSS-Protection",
        "Permissions-Policy",
    ];

    /// <summary>Whether a header is one that protects clients.</summary>
    public static bool IsHardening(string name) =>
        Hardening.Contains(name, StringComparer.OrdinalIgnoreCase) || name.StartsWith("Cross-Origin-", StringComparison.OrdinalIgnoreCase);

    /// <summary>
    /// The headers that <c>more_set_headers</c> in the Ingress's <c>configuration-snippet</c> sets; names in any case. An empty
    /// value is a header
    /// that the snippet removes. Empty when the Ingress has no snippet.
    /// </summary>
    /// <param name="ingress">The Ingress as the Kubernetes API gives it.</param>
    public static IReadOnlyDictionary<string, string> FromIngress(JsonElement ingress)
    {
        var headers = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        if (!ingress.TryGetProperty("metadata", out var metadata)
            || !metadata.TryGetProperty("annotations", out var annotations)
            || annotations.ValueKind != JsonValueKind.Object
            || !annotations.TryGetProperty(Annotation, out var snippet)
            || snippet.ValueKind != JsonValueKind.String)
        {
            return headers;
        }

        foreach (var directive in Directives(snippet.GetString()!).Where(words => words[0] == "more_set_headers"))
        {
            for (var i = 1; i < directive.Count; i++)
            {
                if (directive[i] is "-s" or "-t")
                {
                    // These limit the header to some statuses or content types, named by the next word.
                    i++;
                    continue;
                }

                var (name, value) = directive[i].IndexOf(':', StringComparison.Ordinal) is var colon and >= 0
                    ? (directive[i][..colon], directive[i][(colon + 1)..])
                    : (directive[i], string.Empty);
                headers[name.Trim()] = value.Trim();
            }
        }

        return headers;
    }

    /// <summary>
    /// Each difference as a sentence that names host, header, what was expected and what was seen; empty when all is as promised.
    /// </summary>
    public static IReadOnlyList<string> Compare(string host, IReadOnlyDictionary<string, string> expected, HostProbeResult seen)
    {
        if (seen.Error is not null)
        {
            return [$"{host} at {seen.Address}: no headers were seen, because {seen.Error}."];
        }

        var differences = new List<string>();
        foreach (var (name, value) in expected)
        {
            var found = seen.Headers.TryGetValue(name, out var text) ? text.Trim() : null;
            var wanted = value.Length == 0 ? null : value;

            // A value with a variable is only known to nginx.
            if (found == wanted || (found is not null && value.Contains('$', StringComparison.Ordinal)))
            {
                continue;
            }

            differences.Add($"{host} at {seen.Address}: header {name} is {Quoted(found)}, expected {Quoted(wanted)}.");
        }

        return differences;
    }

    /// <summary>
    /// Every hardening header that live sends must be sent by the candidate too, with the same value, unless the candidate's Ingress promises
    /// another one. Whether such a promise is kept is <see cref="Compare"/>'s matter.
    /// </summary>
    /// <param name="promised">As <see cref="FromIngress"/> reads them from the candidate's Ingress.</param>
    /// <param name="live">Live's answer; without one there is nothing to compare with.</param>
    /// <param name="candidate">The candidate's answer to the same request.</param>
    public static HeaderDifferences CompareWithLive(
        string host, IReadOnlyDictionary<string, string> promised, HostProbeResult live, HostProbeResult candidate)
    {
        var (problems, warnings, differences) = (new List<string>(), new List<string>(), new List<string>());
        if (live.Error is not null || candidate.Error is not null)
        {
            return new HeaderDifferences(problems, warnings, differences);
        }

        foreach (var (name, value) in live.Headers.Where(h => IsHardening(h.Key)).OrderBy(h => h.Key, StringComparer.Ordinal))
        {
            var sent = value.Trim();
            var found = candidate.Headers.TryGetValue(name, out var text) ? text.Trim() : null;
            if (!promised.TryGetValue(name, out var promise))
            {
                if (found is null || Steady(found) != Steady(sent))
                {
                    problems.Add($"{host} at {candidate.Address}: header {name} is {Quoted(found)}, expected '{sent}' as live sends it.");
                }
            }
            else if (promise.Length == 0)
            {
                warnings.Add($"{host}: the candidate's Ingress takes away header {name}, which live sends as '{sent}'.");
            }
            else if (Steady(promise) != Steady(sent) && !promise.Contains('$', StringComparison.Ordinal))
            {
                differences.Add($"{host}: header {name} will be '{promise}', live sends '{sent}'.");
            }
        }

        return new HeaderDifferences(problems, warnings, differences);
    }

    // A nonce is another one in each answer.
    private static string Steady(string value) => Nonce().Replace(value, "'nonce'");

    [GeneratedRegex("'nonce-[^']*'")]
    private static partial Regex Nonce();

    private static string Quoted(string? value) => value is null ? "absent" : $"'{value}'";

    /// <summary>
    /// Splits nginx configuration into directives of words: quotes, backslashes, comments; blocks are taken apart like directives.
    /// </summary>
    private static IEnumerable<IReadOnlyList<string>> Directives(string text)
    {
        var words = new List<string>();
        var word = new StringBuilder();
        var inWord = false;
        char? quote = null;
        for (var i = 0; i < text.Length; i++)
        {
            var c = text[i];
            if (c == '\\' && i + 1 < text.Length)
            {
                inWord = true;
                word.Append(text[++i]);
            }
            else if (quote is not null)
            {
                if (c == quote)
                {
                    quote = null;
                }
                else
                {
                    word.Append(c);
                }
            }
            else if (c is '"' or '\'' && !inWord)
            {
                inWord = true;
                quote = c;
            }
            else if (c == '#' && !inWord)
            {
                while (i + 1 < text.Length && text[i + 1] != '\n')
                {
                    i++;
                }
            }
            else if (char.IsWhiteSpace(c) || c is ';' or '{' or '}')
            {
                if (inWord)
                {
                    words.Add(word.ToString());
                    word.Clear();
                    inWord = false;
                }

                if (c is ';' or '{' or '}' && words.Count > 0)
                {
                    yield return words;
                    words = [];
                }
            }
            else
            {
                inWord = true;
                word.Append(c);
            }
        }
    }
}
