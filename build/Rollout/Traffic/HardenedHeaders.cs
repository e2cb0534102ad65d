using System.Text;
using System.Text.Json;

namespace Rollout.Traffic;

/// <summary>
/// The response headers an Ingress promises, and whether they are on the wire. A promise is not enough: ingress-nginx drops snippets
/// unless they are allowed, and says nothing (platform contract, 8.4).
/// </summary>
public static class HardenedHeaders
{
    private const string Annotation = "nginx.ingress.kubernetes.io/configuration-snippet";

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
