using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace Rollout.Cluster;

/// <summary>
/// What is wrong with a Secret's content, told without any of it (invariant 8): keys that are missing or empty, values that only hold a place, and content
/// that is not of the Secret's type. Presence is not correctness: the chart itself brings placeholders that make pods start (platform contract, section 8.6).
/// </summary>
public sealed partial class SecretShape
{
    private const string DockerConfig = ".dockerconfigjson";
    private const int ShortestSample = 4;

    // Wrapped in base64 once more, or as JSON in a text in JSON: deeper is nobody's mistake.
    private const int Depth = 4;

    // Words that stand where a value belongs, and words that go with them: "your-api-key-here" is made of both.
    private static readonly HashSet<string> Telling = new(StringComparer.OrdinalIgnoreCase)
    {
        "change", "changeme", "changeit", "replace", "replaceme", "placeholder", "example", "sample", "todo", "tbd", "fixme", "dummy", "redacted", "your", "foobar",
    };

    private static readonly HashSet<string> Filling = new(StringComparer.OrdinalIgnoreCase)
    {
        "me", "my", "this", "that", "the", "a", "an", "it", "here", "with", "in", "to", "be", "of", "for", "before", "please", "now", "real", "actual", "value", "string", "secret", "secrets",
        "password", "passwd", "pass", "key", "api", "token", "user", "username", "credential", "credentials", "db", "database", "prod", "production", "only", "not", "set",
    };

    private static readonly string[] FirstPasswords = ["password", "passwd", "pass", "secret"];

    private readonly HashSet<string> _samples;

    /// <param name="samples">Values that are published with the chart.</param>
    public SecretShape(IEnumerable<string> samples) => _samples = [.. samples.Where(s => s.Length >= ShortestSample)];

    /// <summary>What the chart's own values give for passwords and the like: whoever has the chart knows it.</summary>
    public static IEnumerable<string> SamplesIn(JsonObject chartValues) => chartValues.SelectMany(p => p.Value switch
    {
        JsonObject child => SamplesIn(child),
        JsonArray list => list.OfType<JsonObject>().SelectMany(SamplesIn),
        JsonValue value when SecretKey().IsMatch(p.Key) && value.TryGetValue<string>(out var text) => [text],
        _ => [],
    });

    /// <summary>
    /// Sentences that follow on the Secret's name; empty where nothing is wrong. A certificate and its key are not looked at here.
    /// </summary>
    /// <param name="secret">As the cluster has it, or as a chart renders it.</param>
    /// <param name="keys">The keys that workloads read; null: all that are there.</param>
    public IReadOnlyList<string> ProblemsOf(JsonObject secret, IReadOnlyCollection<string>? keys)
    {
        var data = ContentOf(secret);
        if (keys is null && data.Count == 0)
        {
            return ["holds nothing"];
        }

        var problems = new List<string>();
        foreach (var key in (keys ?? data.Keys).Order(StringComparer.Ordinal))
        {
            var problem = !data.TryGetValue(key, out var bytes) ? $"has no key {key}"
                : bytes is null ? $"has a key {key} that is no base64"
                : bytes.All(b => char.IsWhiteSpace((char)b)) ? $"has nothing in its key {key}"
                : Text(bytes) is { } text && IsPlaceholder(text, Depth) ? $"has a placeholder in its key {key}"
                : null;
            if (problem is not null)
            {
                problems.Add(problem);
            }
        }

        if (OfType(secret["type"]?.GetValue<string>(), data) is { } wrong)
        {
            problems.Add(wrong);
        }

        return problems;
    }

    /// <summary>The decoded values by key, null where one is no base64; <c>stringData</c> wins, as in the cluster.</summary>
    public static IReadOnlyDictionary<string, byte[]?> ContentOf(JsonObject secret)
    {
        var content = new Dictionary<string, byte[]?>(StringComparer.Ordinal);
        foreach (var (key, value) in secret["data"] as JsonObject ?? [])
        {
            content[key] = FromBase64(value?.ToString() ?? string.Empty);
        }

        foreach (var (key, value) in secret["stringData"] as JsonObject ?? [])
        {
            content[key] = Encoding.UTF8.GetBytes(value?.ToString() ?? string.Empty);
        }

        return content;
    }

    /// <summary>Whether a value, or the password in it, only holds the place of one.</summary>
    public bool IsPlaceholder(string value) => IsPlaceholder(value, Depth);

    private bool IsPlaceholder(string value, int depth)
    {
        var text = value.Trim().Trim('"', '\'');
        if (text.Length == 0 || depth == 0 || text.Contains("-----BEGIN ", StringComparison.Ordinal))
        {
            return false;
        }

        return _samples.Contains(text)
            || Marked().IsMatch(text)
            || IsMadeOfFillers(text)
            || Parts(text).Any(part => IsPlaceholder(part, depth - 1))
            || Passwords(text).Any(password => FirstPasswords.Contains(password, StringComparer.OrdinalIgnoreCase) || IsPlaceholder(password, depth - 1));
    }

    private static bool IsMadeOfFillers(string text)
    {
        var words = Words().Matches(text).Select(m => m.Value).ToList();
        return words.Any(Telling.Contains) && words.All(w => Telling.Contains(w) || Filling.Contains(w) || (w.Length <= 3 && w.All(char.IsAsciiDigit)));
    }

    // Where a value holds others: JSON, lines of KEY=VALUE, base64.
    private static IEnumerable<string> Parts(string text)
    {
        if (text[0] is '{' or '[')
        {
            return Leaves(Json(text));
        }

        if (text.Contains('\n', StringComparison.Ordinal))
        {
            return text.Split('\n').Where(l => l.Contains('=', StringComparison.Ordinal)).Select(l => l[(l.IndexOf('=', StringComparison.Ordinal) + 1)..]);
        }

        return FromBase64(text) is { Length: > 2 } bytes && Text(bytes) is { } inner && inner.All(c => c is >= ' ' and <= '~') ? [inner] : [];
    }

    private static IEnumerable<string> Passwords(string text)
    {
        if (Address().Match(text) is { Success: true } address)
        {
            return [Uri.UnescapeDataString(address.Groups["password"].Value)];
        }

        return PasswordField().Matches(text).Select(m => m.Groups["password"].Value);
    }

    private static string? OfType(string? type, IReadOnlyDictionary<string, byte[]?> data)
    {
        switch (type)
        {
            case "kubernetes.io/dockerconfigjson":
                return data.GetValueOrDefault(DockerConfig) is { } config && Json(Text(config)) is JsonObject file && file["auths"] is JsonObject { Count: > 0 } auths
                    ? auths.Where(a => a.Value is not JsonObject login || (IsBlank(login["auth"]) && (IsBlank(login["username"]) || IsBlank(login["password"])))).Select(a => a.Key).ToList() is { Count: > 0 } without
                        ? $"has no login for {string.Join(", ", without)} in its {DockerConfig}"
                        : null
                    : $"is of type {type} and holds no JSON with auths in its {DockerConfig}";
            case "kubernetes.io/basic-auth":
                return data.ContainsKey("username") || data.ContainsKey("password") ? null : $"is of type {type} and has neither username nor password";
            case "kubernetes.io/ssh-auth":
                return data.GetValueOrDefault("ssh-privatekey") is { } key && Text(key)?.Contains("PRIVATE KEY-----", StringComparison.Ordinal) == true ? null : $"is of type {type} and holds no private key";
            default:
                return null;
        }

        static bool IsBlank(JsonNode? node) => string.IsNullOrWhiteSpace(node?.ToString());
    }

    private static IEnumerable<string> Leaves(JsonNode? node) => node switch
    {
        JsonObject map => map.SelectMany(p => Leaves(p.Value)),
        JsonArray list => list.SelectMany(Leaves),
        JsonValue value when value.TryGetValue<string>(out var text) => [text],
        _ => [],
    };

    private static JsonNode? Json(string? text)
    {
        try
        {
            return text is null ? null : JsonNode.Parse(text);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static byte[]? FromBase64(string text)
    {
        var bytes = new byte[text.Length];
        return Convert.TryFromBase64String(text, bytes, out var count) ? bytes[..count] : null;
    }

    // Null where it is no text: a key, a keystore.
    private static string? Text(byte[] bytes)
    {
        try
        {
            return new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(bytes);
        }
        catch (DecoderFallbackException)
        {
            return null;
        }
    }

    [GeneratedRegex(@"(?i)(password|passwd|passphrase|placeholder|token|secret|dsn|api_?key|credentials?)$")]
    private static partial Regex SecretKey();

    // <password>, ${PASSWORD}, {{ password }}, %PASSWORD%, __PASSWORD__, xxx, ***, …, and "change me" wherever it stands.
    [GeneratedRegex(@"(?i)^(<[^<>]+>|\$\{[^{}]+\}|\{\{.+\}\}|%[A-Z_]+%|__[A-Z0-9_]+__|\[[a-z ]+\]|x{3,}|\*{3,}|\.{3,}|…)$|(?<![a-z])(change|replace)[-_ ]?me(?![a-z])")]
    private static partial Regex Marked();

    [GeneratedRegex(@"[A-Z]?[a-z]+|[A-Z]+|[0-9]+|[^\W_]+")]
    private static partial Regex Words();

    [GeneratedRegex(@"^[A-Za-z][A-Za-z0-9+.-]*://[^/@:]*:(?<password>[^@]+)@")]
    private static partial Regex Address();

    [GeneratedRegex(@"(?i)(?:^|[;,\s])(?:password|pwd)\s*=\s*(?<password>[^;,\s]+)")]
    private static partial Regex PasswordField();
}
