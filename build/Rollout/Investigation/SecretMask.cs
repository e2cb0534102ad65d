using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace Rollout.Investigation;

/// <summary>
/// Takes secrets out of text that others wrote (invariant 8): the values that are known, in the spellings in which they travel, and what looks like one. Text that
/// was masked may be kept for years.
/// </summary>
public sealed partial class SecretMask
{
    private const string Mask = "***";

    // Shorter ones are words of the language, and would take half of a log with them.
    private const int Shortest = 6;
    private const int ShortestLine = 16;

    private static readonly JsonSerializerOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly string[] _values;
    private readonly SearchValues<string> _search;

    /// <param name="values">Secrets as their owners hold them; JSON, addresses with a password, several lines and base64 are looked into.</param>
    public SecretMask(IEnumerable<string> values)
    {
        var spellings = new HashSet<string>(StringComparer.Ordinal);
        foreach (var value in values)
        {
            Add(spellings, value);
        }

        _values = [.. spellings.OrderByDescending(v => v.Length)];
        _search = SearchValues.Create(_values, StringComparison.Ordinal);
    }

    /// <summary>The values of Kubernetes Secrets; certificates and Helm's own records are none.</summary>
    public static IEnumerable<string> ValuesOf(IEnumerable<JsonObject> secrets)
    {
        foreach (var secret in secrets.Where(s => s["type"]?.GetValue<string>() != "helm.sh/release.v1"))
        {
            foreach (var (key, value) in secret["data"] as JsonObject ?? [])
            {
                if (value is JsonValue text && text.TryGetValue<string>(out var encoded) && !key.EndsWith(".crt", StringComparison.Ordinal))
                {
                    yield return encoded;
                    if (Decoded(encoded) is { } decoded)
                    {
                        yield return decoded;
                    }
                }
            }
        }
    }

    /// <summary>The values of variables that are called like secrets, which the platform's chart holds in plain text (platform contract, section 8.6).</summary>
    public static IEnumerable<string> ValuesOfEnvironment(JsonNode? node) => node switch
    {
        JsonObject map => map.SelectMany(p => p is { Key: "env", Value: JsonArray list }
            ? list.OfType<JsonObject>().Where(e => SecretName().IsMatch(e["name"]?.ToString() ?? string.Empty)).Select(e => e["value"]?.ToString()).OfType<string>()
            : ValuesOfEnvironment(p.Value)),
        JsonArray list => list.SelectMany(ValuesOfEnvironment),
        _ => [],
    };

    /// <summary>The text without secrets.</summary>
    public string Apply(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        var rest = text.AsSpan();
        var masked = new StringBuilder(text.Length);
        while (_values.Length > 0 && rest.IndexOfAny(_search) is >= 0 and var at)
        {
            var found = rest[at..];
            var length = 0;
            foreach (var value in _values)
            {
                if (found.StartsWith(value, StringComparison.Ordinal))
                {
                    length = value.Length;
                    break;
                }
            }

            masked.Append(rest[..at]).Append(Mask);
            rest = found[length..];
        }

        var known = masked.Append(rest).ToString();
        known = PrivateKey().Replace(known, Mask);
        known = UserInfo().Replace(known, "$1" + Mask + "@");
        known = Bearer().Replace(known, "$1" + Mask);
        known = Assigned().Replace(known, "$1" + Mask);
        return Token().Replace(known, Mask);
    }

    private static void Add(HashSet<string> spellings, string value)
    {
        var text = value.Trim();
        if (text.Length < Shortest)
        {
            return;
        }

        spellings.Add(text);
        spellings.Add(JsonEncodedText.Encode(text).ToString());
        spellings.Add(JsonSerializer.Serialize(text, Relaxed)[1..^1]);
        spellings.Add(Uri.EscapeDataString(text));
        spellings.Add(Convert.ToBase64String(Encoding.UTF8.GetBytes(text)));
        if (text.Contains('\n', StringComparison.Ordinal))
        {
            spellings.UnionWith(text.Split('\n').Select(l => l.Trim()).Where(l => l.Length >= ShortestLine && !l.StartsWith("-----", StringComparison.Ordinal)));
        }

        if (text[0] is '{' or '[')
        {
            foreach (var inner in Strings(text))
            {
                Add(spellings, inner);
            }
        }
        else if (Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri.UserInfo.Split(':', 2) is [_, { Length: >= Shortest } password])
        {
            spellings.Add(password);
            spellings.Add(Uri.UnescapeDataString(password));
        }
        else if (PasswordPart().Match(text) is { Success: true } part)
        {
            Add(spellings, part.Groups[1].Value);
        }
    }

    private static IEnumerable<string> Strings(string json)
    {
        try
        {
            return [.. All(JsonNode.Parse(json))];
        }
        catch (JsonException)
        {
            return [];
        }

        static IEnumerable<string> All(JsonNode? node) => node switch
        {
            JsonObject map => map.SelectMany(p => All(p.Value)),
            JsonArray list => list.SelectMany(All),
            JsonValue value when value.TryGetValue<string>(out var text) => [text],
            _ => [],
        };
    }

    private static string? Decoded(string encoded)
    {
        try
        {
            return Encoding.UTF8.GetString(Convert.FromBase64String(encoded));
        }
        catch (FormatException)
        {
            return null;
        }
    }

    [GeneratedRegex("PASS|SECRET|TOKEN|KEY|CREDENTIAL|DSN|_URL$|_URI$", RegexOptions.IgnoreCase)]
    private static partial Regex SecretName();

    [GeneratedRegex(@"(?:^|[,; ])(?:password|pwd)=([^,; ]+)", RegexOptions.IgnoreCase)]
    private static partial Regex PasswordPart();

    [GeneratedRegex(@"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)")]
    private static partial Regex PrivateKey();

    [GeneratedRegex(@"([a-z][a-z0-9+.\-]{1,20}://[^\s/:@""']{0,100}:)[^\s/@""']{1,300}@", RegexOptions.IgnoreCase)]
    private static partial Regex UserInfo();

    [GeneratedRegex(@"(\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=\-]{8,}", RegexOptions.IgnoreCase)]
    private static partial Regex Bearer();

    [GeneratedRegex(@"((?:password|passwd|pwd|secret|api[_\-]?key|api[_\-]?secret|access[_\-]?key|private[_\-]?key|token|session[_\-]?id|cookie|authorization)[""']?\s*[=:]\s*[""']?)(?!\*\*\*|null\b|true\b|false\b|[\[{]|(?<=""\s*:\s*)-?\d[\d.]*\s*[,}\]])[^\s""',;&}\]]{3,}", RegexOptions.IgnoreCase)]
    private static partial Regex Assigned();

    [GeneratedRegex(@"\beyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]{10,}(?:\.[A-Za-z0-9_\-]*)?|\bgh[pousr]_[A-Za-z0-9]{20,}|\bAKIA[0-9A-Z]{16}\b")]
    private static partial Regex Token();
}
