using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using Rehearsal.Tests.Cluster;

namespace Rehearsal.Tests.Contract;

/// <summary>One case's steps on one server, and what has been learnt on the way.</summary>
internal sealed class Conversation(ContractServer server, string ns)
{
    private static readonly string Charts = Path.Combine(ContractRecord.Folder, "Charts");

    private static readonly string[] Methods = ["GET", "POST", "PUT", "PATCH", "DELETE"];

    // A busy node of a real cluster may take minutes to let go of a pod.
    private static readonly TimeSpan Limit = 3 * Patience.Limit;

    private readonly Dictionary<string, string> _known = new(StringComparer.Ordinal) { ["ns"] = ns, ["charts"] = Charts };

    private readonly NormalForm _normal = new(
        [(Charts, "<charts>"), (server.Address.ToString().TrimEnd('/'), "<server>"), (server.Address.Authority, "<server>"), (ns, "<ns>")]);

    private string _last = "";

    public async Task<string> RunAsync(IReadOnlyList<ContractStep> steps)
    {
        var transcript = new StringBuilder();
        foreach (var step in steps)
        {
            if (step.Words[0] == "let")
            {
                _known[step.Words[1]] = step.Words.Count > 3 ? Reply.Read(JsonNode.Parse(_last), step.Words[3])! : _last.Trim();
                continue;
            }

            transcript.Append("> ").Append(step.Text).Append('\n').Append(await AnswerAsync(step)).Append('\n');
        }

        return string.Join('\n', transcript.ToString().Split('\n').Select(line => line.TrimEnd())).Trim('\n') + "\n";
    }

    private async Task<string> AnswerAsync(ContractStep step)
    {
        var words = step.Words.Select(Expand).ToList();
        var input = step.Input is null ? null : Expand(step.Input);
        if (words[0] != "until")
        {
            return await AnswerAsync(words, input);
        }

        using var patience = new CancellationTokenSource(Limit);
        while (true)
        {
            var answer = await AnswerAsync(words[2..], input);
            if (answer.Contains(words[1], StringComparison.Ordinal))
            {
                return answer;
            }

            if (patience.IsCancellationRequested)
            {
                return $"not within {Limit}; the last answer was\n{answer}";
            }

            await Task.Delay(TimeSpan.FromMilliseconds(100), TimeProvider.System);
        }
    }

    private async Task<string> AnswerAsync(List<string> words, string? input) => words[0] switch
    {
        "kubectl" or "helm" => await CommandAsync(words, input),
        "WATCH" => await WatchAsync(int.Parse(words[1], CultureInfo.InvariantCulture), PathOf(words[2])),
        var method when Methods.Contains(method) => await RequestAsync(words, input),
        _ => throw new AssertionException($"a step begins with kubectl, helm, WATCH or one of {string.Join(", ", Methods)}: {words[0]}"),
    };

    private async Task<string> CommandAsync(List<string> words, string? input)
    {
        var (code, output, error) = await server.RunToolAsync([words[0], "--namespace", ns, .. words[1..]], input);
        _last = output;
        var fields = words.Contains("--show-managed-fields");
        var text = new StringBuilder().Append(CultureInfo.InvariantCulture, $"exit {code}\n");
        Append(text, "", _normal.Of(output, fields));
        Append(text, "! ", _normal.Of(error, fields));
        return text.ToString();
    }

    private async Task<string> RequestAsync(List<string> words, string? input)
    {
        var bar = words.IndexOf("|");
        var picked = bar < 0 ? null : words[(bar + 1)..];
        var options = (bar < 0 ? words[2..] : words[2..bar]).Select(word => word.Split('=', 2)).ToDictionary(pair => pair[0], pair => pair.Length > 1 ? pair[1] : "");
        using var request = new HttpRequestMessage(new HttpMethod(words[0]), PathOf(words[1]));
        request.Headers.TryAddWithoutValidation("Accept", options.GetValueOrDefault("accept") switch
        {
            "table" => "application/json;as=Table;v=v1;g=meta.k8s.io",
            "metadata" => "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json",
            null => "application/json",
            var other => other,
        });
        foreach (var (name, header) in new[] { ("as", "Impersonate-User"), ("group", "Impersonate-Group") })
        {
            if (options.TryGetValue(name, out var who))
            {
                request.Headers.Add(header, who);
            }
        }

        if (options.TryGetValue("token", out var token))
        {
            request.Headers.Add("Authorization", "Bearer " + token);
        }

        if (input is not null)
        {
            request.Content = new ByteArrayContent(Encoding.UTF8.GetBytes(input));
            request.Content.Headers.TryAddWithoutValidation("Content-Type", options.GetValueOrDefault("type") switch
            {
                "json" => "application/json-patch+json",
                "merge" => "application/merge-patch+json",
                "strategic" => "application/strategic-merge-patch+json",
                "apply" => "application/apply-patch+yaml",
                null => "application/json",
                var other => other,
            });
        }

        using var response = await server.SendAsync(request, known: !options.ContainsKey("token") && !options.ContainsKey("anonymous"));
        _last = await response.Content.ReadAsStringAsync();
        var text = new StringBuilder().Append(CultureInfo.InvariantCulture, $"{(int)response.StatusCode} {response.Content.Headers.ContentType}\n");
        foreach (var header in new[] { "Warning", "Retry-After", "Www-Authenticate", "Allow" })
        {
            if (response.Headers.TryGetValues(header, out var values) || response.Content.Headers.TryGetValues(header, out values))
            {
                text.Append(CultureInfo.InvariantCulture, $"{header}: {_normal.Of(string.Join(", ", values), false)}\n");
            }
        }

        if (picked is null || !_last.StartsWith('{'))
        {
            Append(text, "", _normal.Of(_last, options.ContainsKey("fields")));
        }
        else
        {
            var body = JsonNode.Parse(_normal.Of(JsonNode.Parse(_last), options.ContainsKey("fields")));
            foreach (var path in picked)
            {
                Append(text, "", $"{path}: {string.Join(", ", Pick(body, path.Split('.')).Select(value => value?.ToJsonString(NormalForm.Plain) ?? "-"))}");
            }
        }

        return text.ToString();
    }

    /// <summary>Reads that many events of a watch.</summary>
    private async Task<string> WatchAsync(int count, string path)
    {
        using var patience = new CancellationTokenSource(Patience.Limit);
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        using var response = await server.SendAsync(request, known: true);
        var text = new StringBuilder().Append(CultureInfo.InvariantCulture, $"{(int)response.StatusCode} {response.Content.Headers.ContentType}\n");
        using var lines = new StreamReader(await response.Content.ReadAsStreamAsync(patience.Token));
        for (var seen = 0; seen < count; seen++)
        {
            if (await lines.ReadLineAsync(patience.Token) is not { } line)
            {
                text.Append("end\n");
                break;
            }

            Append(text, "", _normal.Of(line, false));
        }

        return text.ToString();
    }

    /// <summary><c>configmaps/x</c> and <c>apps/v1:deployments</c> are paths below the case's namespace.</summary>
    private string PathOf(string word)
    {
        if (word.StartsWith('/'))
        {
            return word;
        }

        var colon = word.IndexOf(':', StringComparison.Ordinal);
        var slash = word.IndexOfAny(['/', '?']);
        return colon > 0 && word[..colon].Contains("/v", StringComparison.Ordinal) && slash < colon
            ? $"/apis/{word[..colon]}/namespaces/{ns}/{word[(colon + 1)..]}"
            : $"/api/v1/namespaces/{ns}/{word}";
    }

    private string Expand(string text)
    {
        foreach (var (name, value) in _known.OrderByDescending(pair => pair.Key.Length))
        {
            text = text.Replace("$" + name, value, StringComparison.Ordinal);
        }

        return text;
    }

    private static List<JsonNode?> Pick(JsonNode? node, IReadOnlyList<string> path)
    {
        for (var at = 0; at < path.Count; at++)
        {
            if (path[at] == "*")
            {
                return (node as JsonArray ?? []).SelectMany(item => Pick(item, path.Skip(at + 1).ToList())).ToList();
            }

            node = node switch
            {
                JsonObject map => map[path[at]],
                JsonArray list when int.TryParse(path[at], out var index) && index < list.Count => list[index],
                _ => null,
            };
        }

        return [node];
    }

    private static void Append(StringBuilder text, string prefix, string lines)
    {
        foreach (var line in lines.Length == 0 ? [] : lines.TrimEnd('\n').Split('\n'))
        {
            text.Append(prefix).Append(line).Append('\n');
        }
    }
}
