using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Rollout.Journal;

namespace Rollout.Reporting;

/// <summary>
/// A release's journal told for auditors, in Markdown: who did what from which inputs, how each step ended and why, what the time went into, and which
/// evidence there is.
/// </summary>
/// <param name="release">The release tag.</param>
/// <param name="environment">As <c>production</c>.</param>
/// <param name="evidence">Where the files of evidence lie, as a person finds them.</param>
/// <param name="entries">The whole journal, in order.</param>
public sealed class Timeline(string release, string environment, string evidence, IReadOnlyList<JournalEntry> entries)
{
    /// <summary>A message longer than this is cut, and says that the journal has the rest.</summary>
    private const int LongestMessage = 600;

    /// <summary>An object with more members is told by how many have which value.</summary>
    private const int FewMembers = 8;

    private static readonly string[] Verdicts = ["verdict", "outcome", "health", "additive", "tests", "events", "objects", "journalHead"];

    /// <summary>A block for each run that changed something.</summary>
    /// <param name="documented">The runs that have one already, as <see cref="Identify"/> names them.</param>
    public IReadOnlyList<string> Blocks(IReadOnlySet<string> documented) =>
        [.. entries.Where(e => e.Step != "Rollout" || e.Event != JournalEvent.Started)
            .GroupBy(e => e.Run)
            .Where(r => r.Any(e => e.Event != JournalEvent.Started) && !documented.Contains(Identify(release, r.Key)))
            .Select(r => Block([.. r]))];

    /// <summary>What tells a run's block from all others, in a comment that no reader sees.</summary>
    internal static string Identify(string release, string run) => $"{Uri.EscapeDataString(release)}/{Uri.EscapeDataString(run)}";

    private string Block(IReadOnlyList<JournalEntry> run)
    {
        var text = new StringBuilder();
        var first = run[0];
        var last = run[^1];
        var what = run.All(e => Playbook.PlaybookOrder.IsBackward(e.Step)) ? "Rollback" : "Rollout";
        Line(text, $"### {what} of {Plain(release)}, {first.Time.UtcDateTime:yyyy-MM-dd HH:mm} UTC: {Outcome(last)}");
        Line(text, $"<!-- aether-rollout {Identify(release, first.Run)} -->");
        Line(text);
        Line(text, $"- Where: {environment}{Roles()}");
        Line(text, $"- Who: {Plain(first.Actor)}, run {Plain(first.Run)}, journal entries {first.Sequence} to {last.Sequence}");
        Line(text, $"- When: {first.Time.UtcDateTime:yyyy-MM-dd HH:mm:ss} to {last.Time.UtcDateTime:yyyy-MM-dd HH:mm:ss} UTC, {Span((last.Time - first.Time).TotalMilliseconds)}{Split(run)}");
        if (FreezeOf(run) is { } freeze)
        {
            Line(text, $"- Freeze window: {freeze}");
        }

        foreach (var line in Inputs())
        {
            Line(text, $"- {line}");
        }

        Line(text);
        Line(text, "| time (UTC) | step | event | took | waiting | polling | what |");
        Line(text, "| --- | --- | --- | ---: | ---: | ---: | --- |");
        foreach (var entry in run.Where(e => e.Event != JournalEvent.Started))
        {
            Line(
                text,
                $"| {(last.Time.UtcDateTime.Date == first.Time.UtcDateTime.Date ? string.Empty : $"{entry.Time.UtcDateTime:yyyy-MM-dd} ")}{entry.Time.UtcDateTime:HH:mm:ss.fff} | {entry.Step} | {entry.Event.ToString().ToLowerInvariant()} | {Time(entry, "ms")} | {Time(entry, "waitingMs")} | {Time(entry, "pollingMs")} | {What(entry)} |");
        }

        var files = run.SelectMany(e => e.Data?["evidence"] as JsonObject ?? []).Select(f => (Path: f.Key, Sha256: Text(f.Value))).Distinct().ToList();
        if (files.Count > 0)
        {
            Line(text);
            Line(text, $"Evidence, in `{evidence}`:");
            Line(text);
            Line(text, "| file | SHA-256 |");
            Line(text, "| --- | --- |");
            foreach (var (path, sha256) in files)
            {
                Line(text, $"| [{Plain(path)}]({string.Join('/', $"{evidence}/{path}".Split('/').Select(Uri.EscapeDataString))}) | `{sha256}` |");
            }
        }

        return text.ToString();
    }

    private static void Line(StringBuilder text, FormattableString line) => text.Append(line.ToString(CultureInfo.InvariantCulture)).Append('\n');

    private static void Line(StringBuilder text, string line = "") => text.Append(line).Append('\n');

    private static string Outcome(JournalEntry last) => last.Event switch
    {
        JournalEvent.Failed => $"failed at {last.Step}",
        JournalEvent.Interrupted => $"interrupted at {last.Step}",
        JournalEvent.Done or JournalEvent.Skipped when last.Part is null => $"done up to {last.Step}",
        _ => $"ended without a word in {last.Step}",
    };

    private string Roles()
    {
        var founded = entries.FirstOrDefault(e => e.Data?["live"] is not null && e.Data["candidate"] is not null)?.Data;
        return founded is null ? string.Empty : $", live {Plain(Text(founded["live"]))}, candidate {Plain(Text(founded["candidate"]))}, {(founded["hosts"] as JsonArray)?.Count ?? 0} hosts";
    }

    // What no step measured, between steps and before them, is neither.
    private static string Split(IReadOnlyList<JournalEntry> run)
    {
        var steps = run.Where(e => e.Part is null && e.Data?["ms"] is not null).ToList();
        if (steps.Count == 0)
        {
            return string.Empty;
        }

        double Sum(string key) => steps.Sum(e => Number(e.Data?[key]) ?? 0);
        var (all, waiting, polling) = (Sum("ms"), Sum("waitingMs"), Sum("pollingMs"));
        return $": in steps {Span(all)}, of it working {Span(all - waiting - polling)}, waiting {Span(waiting)}, polling {Span(polling)}";
    }

    private static string? FreezeOf(IEnumerable<JournalEntry> run) =>
        run.Select(e => Number(e.Data?["freezeMs"])).LastOrDefault(ms => ms is not null) is { } freeze ? Span(freeze) : null;

    // 1.1 fixed them for all later runs (invariant 5), so each run's block repeats them: a block has to stand alone.
    private IEnumerable<string> Inputs()
    {
        var tagged = entries.LastOrDefault(e => e is { Step: "TagRelease", Event: JournalEvent.Done, Part: null })?.Data;
        if (tagged?[Playbook.ReleaseInputs.Key] is not JsonObject inputs)
        {
            yield break;
        }

        var all = string.Concat(inputs.OrderBy(i => i.Key, StringComparer.Ordinal).Select(i => $"{i.Key}={Text(i.Value)}\n"));
        yield return $"Inputs: {inputs.Count}, together SHA-256 `{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(all)))}`";
        foreach (var (name, value) in inputs.Where(i => !i.Key.StartsWith("setting ", StringComparison.Ordinal)))
        {
            yield return $"{Plain(name)}: `{Text(value)}`";
        }

        if (tagged["images"] is JsonObject images)
        {
            yield return $"Images: {images.Count}, pinned by digest, together SHA-256 `{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(string.Concat(images.OrderBy(i => i.Key, StringComparer.Ordinal).Select(i => $"{i.Key}={Text(i.Value)}\n")))))}`";
        }
    }

    private static string What(JournalEntry entry)
    {
        var words = new List<string>();
        if (entry.Part is not null)
        {
            words.Add(Plain(entry.Part));
        }

        if (entry.Data?["message"] is { } message)
        {
            words.Add(Plain(Text(message)));
        }

        if (Number(entry.Data?["freezeMs"]) is { } freeze)
        {
            words.Add($"freeze window {Span(freeze)}");
        }

        // An intent's data is the old value, and no verdict.
        foreach (var key in entry.Event == JournalEvent.Intent ? [] : Verdicts.Where(v => entry.Data?[v] is not null))
        {
            words.Add($"{key}: {Plain(Text(entry.Data![key]))}");
        }

        if (entry.Data?["reason"] is { } reason && entry.Event != JournalEvent.Intent)
        {
            words.Add(Plain(Text(reason)));
        }

        return string.Join("; ", words);
    }

    private static string Time(JournalEntry entry, string key) => Number(entry.Data?[key]) is { } ms ? Span(ms) : string.Empty;

    private static string Span(double milliseconds) =>
        milliseconds >= 60_000
            ? Waiting.Words(TimeSpan.FromMilliseconds(milliseconds))
            : string.Create(CultureInfo.InvariantCulture, $"{milliseconds / 1000:0.0} s");

    private static double? Number(JsonNode? node) =>
        node?.GetValueKind() == JsonValueKind.Number && double.TryParse(node.ToJsonString(), CultureInfo.InvariantCulture, out var number) ? Math.Max(0, number) : null;

    private static string Text(JsonNode? node) => node switch
    {
        null => "none",
        JsonValue value when value.TryGetValue<string>(out var text) => text,
        JsonObject members when members.Count > FewMembers => string.Join(", ", members.GroupBy(m => Text(m.Value)).Select(g => $"{g.Count()} {g.Key}")),
        JsonObject members => string.Join(", ", members.Select(m => $"{m.Key} {Text(m.Value)}")),
        _ => node.ToJsonString(),
    };

    // A message may quote what a server said; it must neither end its cell nor become markup.
    private static string Plain(string text)
    {
        var cut = text.Length > LongestMessage ? $"{text[..LongestMessage]} … (the journal has all of it)" : text;
        return cut.ReplaceLineEndings(" ").Replace("\\", "\\\\", StringComparison.Ordinal).Replace("|", "\\|", StringComparison.Ordinal)
            .Replace("&", "&amp;", StringComparison.Ordinal).Replace("<", "&lt;", StringComparison.Ordinal).Replace("`", "\\`", StringComparison.Ordinal)
            .Replace("[", "\\[", StringComparison.Ordinal).Replace("*", "\\*", StringComparison.Ordinal);
    }
}
