using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace Rollout.Cluster;

/// <summary>
/// Whether a Secret's values can be what a workload needs: presence is not correctness, since the chart makes Secrets with placeholders (platform contract, 8.6).
/// What is told names secret and key and never a value.
/// </summary>
public static partial class SecretShapes
{
    /// <summary>What is wrong with a Secret, in words that follow its name; empty where nothing is seen to be.</summary>
    /// <param name="secret">As the API server gives it.</param>
    /// <param name="keys">The keys that are read; null is all of them.</param>
    /// <param name="loopbackAllowed">Whether an address on this machine is one: in a rehearsal everything is.</param>
    public static IReadOnlyList<string> ProblemsOf(JsonObject secret, IReadOnlySet<string>? keys, bool loopbackAllowed)
    {
        var type = secret["type"]?.GetValue<string>();
        var problems = new List<string>();
        var values = new Dictionary<string, string>();
        foreach (var (key, node) in (secret["data"] as JsonObject ?? []).Where(d => keys?.Contains(d.Key) != false))
        {
            if (Decode(node) is not { } value)
            {
                problems.Add($"has a key {key} that is no base64");
                continue;
            }

            values[key] = value;
            if (ProblemOf(value, loopbackAllowed) is { } problem)
            {
                problems.Add($"has a key {key} that {problem}");
            }
        }

        if (type == "kubernetes.io/tls" && values.TryGetValue("tls.crt", out var certificate) && certificate.Length > 0
            && Decode((secret["data"] as JsonObject)?["tls.key"]) is { Length: > 0 } privateKey && !Match(certificate, privateKey))
        {
            problems.Add("has a tls.key that is not its certificate's");
        }

        if (type == "kubernetes.io/dockerconfigjson" && !HasRegistries(Decode((secret["data"] as JsonObject)?[".dockerconfigjson"])))
        {
            problems.Add("has no .dockerconfigjson with registries in auths");
        }

        return problems;
    }

    /// <summary>What a value of a Secret cannot be meant as; null where it may be meant.</summary>
    internal static string? ProblemOf(string value, bool loopbackAllowed)
    {
        var text = value.Trim();
        if (text.Length == 0)
        {
            return "is empty";
        }

        if (Placeholder().IsMatch(text))
        {
            return "holds a placeholder";
        }

        if (!Address().IsMatch(text) || !Uri.TryCreate(text, UriKind.Absolute, out var address))
        {
            return null;
        }

        if (address.UserInfo.Split(':') is [_, { Length: > 0 } password] && Placeholder().IsMatch(Uri.UnescapeDataString(password)))
        {
            return "is an address with a placeholder for its password";
        }

        var host = address.IdnHost;
        return host is "example.com" or "example.org" || host.EndsWith(".example.com", StringComparison.Ordinal) || host.EndsWith(".example", StringComparison.Ordinal) || host.EndsWith(".invalid", StringComparison.Ordinal)
            ? "is an address of an example's host"
            : address.IsLoopback && !loopbackAllowed ? "is an address on the pod's own machine" : null;
    }

    [GeneratedRegex("^(change[-_ ]?(me|it|this)|replace[-_ ]?(me|with|this)\\b.*|to[-_ ]?do|tbd|fixme|dummy|placeholder|example|sample|redacted|n/?a|none|null|x{3,}|\\.{3}|\\*{3,}|<[^>]*>|\\$\\{[^}]*\\}|\\{\\{.*\\}\\}|your[-_ ].*)$", RegexOptions.IgnoreCase)]
    private static partial Regex Placeholder();

    [GeneratedRegex("^[a-z][a-z0-9+.-]*://", RegexOptions.IgnoreCase)]
    private static partial Regex Address();

    private static string? Decode(JsonNode? node)
    {
        try
        {
            return node is null ? null : Encoding.UTF8.GetString(Convert.FromBase64String(node.GetValue<string>()));
        }
        catch (Exception exception) when (exception is FormatException or InvalidOperationException)
        {
            return null;
        }
    }

    private static bool Match(string certificate, string privateKey)
    {
        try
        {
            using var pair = X509Certificate2.CreateFromPem(certificate, privateKey);
            return true;
        }
        catch (Exception exception) when (exception is CryptographicException or ArgumentException)
        {
            return false;
        }
    }

    private static bool HasRegistries(string? json)
    {
        try
        {
            return json is not null && JsonNode.Parse(json)?["auths"] is JsonObject { Count: > 0 };
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            return false;
        }
    }
}
