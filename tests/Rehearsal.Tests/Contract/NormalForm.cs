using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace Rehearsal.Tests.Contract;

/// <summary>
/// Makes two servers' answers comparable: what each of them must choose for itself (names, times, addresses, revisions) becomes a word.
/// </summary>
/// <param name="words">Texts of this run (the namespace, folders, the server's address) and the words they become; longest first.</param>
internal sealed partial class NormalForm(IReadOnlyList<(string Text, string Word)> words)
{
    // Only these are left alone by controllers, so that whether a request changed them can be told from their revisions.
    private static readonly string[] Still = ["ConfigMap", "Secret", "Lease"];

    public static JsonSerializerOptions Plain { get; } = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private static readonly JsonSerializerOptions Indented =
        new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly Dictionary<string, int> _revisions = [];

    /// <summary>A JSON value as text with sorted members, a line each.</summary>
    /// <param name="fields">Whether <c>managedFields</c> are kept.</param>
    public string Of(JsonNode? json, bool fields) =>
        json is null ? "null" : json is JsonValue value && value.TryGetValue<string>(out var text) ? Of(text) : Canonical(json, fields)!.ToJsonString(Indented);

    /// <summary>Plain text: JSON where it is JSON, else line by line.</summary>
    public string Of(string text, bool fields)
    {
        if (text.StartsWith('{'))
        {
            try
            {
                return Of(JsonNode.Parse(text), fields);
            }
            catch (JsonException)
            {
                // Several objects in a row, or a template's output: text.
            }
        }

        return Of(text);
    }

    private JsonNode? Canonical(JsonNode? node, bool fields, string? kind = null, string? key = null)
    {
        switch (node)
        {
            case JsonObject map:
                kind = map["kind"] is JsonValue own && own.TryGetValue<string>(out var named)
                    ? named
                    : kind;
                if (key == "metadata" && !map.ContainsKey("name"))
                {
                    // A list's or bookmark's revision is the whole server's.
                    kind = null;
                }

                var sorted = new JsonObject();
                foreach (var (name, value) in map.OrderBy(pair => pair.Key, StringComparer.Ordinal))
                {
                    // A member that is null is a member that is not there.
                    if (value is not null && (name is not "managedFields" || fields))
                    {
                        var inner = name == "items" && kind?.EndsWith("List", StringComparison.Ordinal) == true ? kind[..^4] : kind;
                        sorted[Of(name)] = Canonical(value, fields, inner, name);
                    }
                }

                return sorted;
            case JsonArray list:
                var items = list.Select(item => Canonical(item, fields, kind, key));
                return new JsonArray((key switch
                {
                    // A real server may say the same twice; conditions have no order, and managers one that depends on the second.
                    "managedFields" => items.OrderBy(item => (string?)item?["manager"], StringComparer.Ordinal),
                    "causes" => items.DistinctBy(item => item!.ToJsonString()),
                    "conditions" => items.OrderBy(item => (string?)item?["type"], StringComparer.Ordinal),
                    _ => items,
                }).ToArray());
            case JsonValue value when value.TryGetValue<string>(out var text):
                return key switch
                {
                    "resourceVersion" => Revision(text, kind),
                    "continue" => text.Length == 0 ? "" : "<continue>",
                    "cells" when Age().IsMatch(text) => "<age>",
                    "pod-template-hash" => "<hash>",
                    _ => Of(text),
                };
            default:
                return node?.DeepClone();
        }
    }

    private string Revision(string text, string? kind)
    {
        if (!text.All(char.IsAsciiDigit) || !Still.Contains(kind))
        {
            return text.Length == 0 ? "" : "<revision>";
        }

        if (!_revisions.TryGetValue(text, out var number))
        {
            _revisions[text] = number = _revisions.Count + 1;
        }

        return string.Create(CultureInfo.InvariantCulture, $"<revision {number}>");
    }

    private string Of(string text)
    {
        foreach (var (own, word) in words)
        {
            text = text.Replace(own, word, StringComparison.Ordinal);
        }

        text = Uid().Replace(text, "<uid>");
        text = Time().Replace(text, "<time>");
        text = Address().Replace(text, "<address>");
        text = Version().Replace(text, "<version>");
        text = ContainerId().Replace(text, "<container>");
        text = DiffFolder().Replace(text, "<folder>/$1");
        text = TemplateHash().Replace(text, "pod-template-hash$1<hash>");
        text = PodSuffix().Replace(text, "-<hash>-<suffix>");
        text = HashSuffix().Replace(text, "-<hash>");
        text = Suffix().Replace(text, "-<suffix>");
        text = RevisionLine().Replace(text, "$1<revision>");
        text = Pointer().Replace(text, "<pointer>");
        text = Waiting().Replace(text, "");
        text = Hunk().Replace(text, "@@");
        text = AgeColumn().Replace(text, "<age>");
        return Columns().Replace(text, "   ");
    }

    [GeneratedRegex("^(\\d+[smhdy]){1,2}$|^<invalid>$")]
    private static partial Regex Age();

    [GeneratedRegex("(?<=[ \\t]{2}|x\\d+ over |\\()(\\d+[smhdy]){1,2}(?=$|[ \\t)])", RegexOptions.Multiline)]
    private static partial Regex AgeColumn();

    [GeneratedRegex("\\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\\b")]
    private static partial Regex Uid();

    [GeneratedRegex(
        "\\b\\d{4}-\\d\\d-\\d\\d[T ]\\d\\d:\\d\\d:\\d\\d(\\.\\d+)?(Z| ?[+-]\\d\\d:?\\d\\d)?( UTC)?( m=\\+[\\d.]+)?|\\b\\w{3},? +\\d+ \\w{3} \\d{4} [\\d:]{8} [+-]\\d{4}|\\b\\w{3} \\w{3} +\\d+ [\\d:]{8} \\d{4}")]
    private static partial Regex Time();

    [GeneratedRegex("\\b\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}\\b")]
    private static partial Regex Address();

    [GeneratedRegex("\\bv1\\.\\d+\\.\\d+[-+.\\w]*")]
    private static partial Regex Version();

    [GeneratedRegex("\\b[a-z]+://(sha256:)?[0-9a-f]{40,64}|docker-pullable://\\S+|\\bsha256:[0-9a-f]{64}")]
    private static partial Regex ContainerId();

    [GeneratedRegex("/\\S*/(LIVE|MERGED)-\\d+")]
    private static partial Regex DiffFolder();

    [GeneratedRegex("pod-template-hash([=:] ?)\"?[bcdfghjklmnpqrstvwxz2456789]{6,10}\"?")]
    private static partial Regex TemplateHash();

    // Kubernetes makes generated names of these letters only; no English word is.
    [GeneratedRegex("-[bcdfghjklmnpqrstvwxz2456789]{7,10}-[bcdfghjklmnpqrstvwxz2456789]{5}\\b")]
    private static partial Regex PodSuffix();

    [GeneratedRegex("-[bcdfghjklmnpqrstvwxz2456789]{7,10}\\b")]
    private static partial Regex HashSuffix();

    [GeneratedRegex("-[bcdfghjklmnpqrstvwxz2456789]{5}\\b")]
    private static partial Regex Suffix();

    [GeneratedRegex("(resourceVersion: |resource version: |ResourceVersion in record |\\\\\"resourceVersion\\\\\":|, current: )\\\\?\"?\\(?\\d+\\)?( \\(\\d+\\))?\\\\?\"?")]
    private static partial Regex RevisionLine();

    // What a rollout passes through on its way depends on who looks when.
    [GeneratedRegex("^Waiting .*\\n", RegexOptions.Multiline)]
    private static partial Regex Waiting();

    [GeneratedRegex("\\b0xc[0-9a-f]{9}\\b")]
    private static partial Regex Pointer();

    [GeneratedRegex("@@ [-+,\\d ]+ @@")]
    private static partial Regex Hunk();

    [GeneratedRegex("(?<=\\S)[ \\t]{3,}(?=\\S)")]
    private static partial Regex Columns();
}
