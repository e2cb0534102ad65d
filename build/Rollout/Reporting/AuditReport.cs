using System.Globalization;
using System.Text;
using Rollout.Journal;

namespace Rollout.Reporting;

/// <summary>
/// The timeline that the playbook's last line asks for: appended to <c>docs/AUDIT_REPORT.md</c> of the platform under its deployment section,
/// newest last, never rewriting what stands there.
/// </summary>
public static class AuditReport
{
    private const string Section = "## 7. Deployment & Ops";

    /// <summary>
    /// Appends a block for each run of the journal that has none yet, which includes runs that were killed before they could write theirs; makes file
    /// and section where they are missing.
    /// </summary>
    public static void Append(string path, string release, IReadOnlyList<JournalEntry> entries)
    {
        var before = File.Exists(path) ? File.ReadAllText(path) : string.Empty;
        var runs = entries.Where(e => e.Event != JournalEvent.Started).GroupBy(e => e.Run)
            .Where(r => !before.Contains($", run {r.Key} by ", StringComparison.Ordinal)).ToList();
        foreach (var run in runs)
        {
            Append(path, release, [.. run]);
        }
    }

    private static void Append(string path, string release, List<JournalEntry> mine)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        var text = File.Exists(path) ? File.ReadAllText(path) : "# Audit report\n";
        if (!text.EndsWith('\n'))
        {
            text += "\n";
        }

        var block = Block(release, mine);
        var start = text.IndexOf(Section, StringComparison.Ordinal);
        if (start < 0)
        {
            text += $"\n{Section}\n\n{block}";
        }
        else
        {
            var end = text.IndexOf("\n## ", start + Section.Length, StringComparison.Ordinal);
            text = end < 0 ? text + "\n" + block : text[..(end + 1)] + block + "\n" + text[(end + 1)..];
        }

        var part = path + ".part";
        File.WriteAllText(part, text);
        File.Move(part, path, overwrite: true);
    }

    private static string Block(string release, List<JournalEntry> entries)
    {
        var block = new StringBuilder();
        block.AppendLine(CultureInfo.InvariantCulture, $"### Rollout of {release}, {entries[0].Time.UtcDateTime:yyyy-MM-dd HH:mm} UTC, run {entries[0].Run} by {entries[0].Actor}");
        block.AppendLine();
        block.AppendLine("| time (UTC) | step | event | what |");
        block.AppendLine("| --- | --- | --- | --- |");
        foreach (var entry in entries)
        {
            block.AppendLine(CultureInfo.InvariantCulture, $"| {entry.Time.UtcDateTime:HH:mm:ss.fff} | {entry.Step} | {entry.Event.ToString().ToLowerInvariant()} | {What(entry)} |");
        }

        return block.ToString();
    }

    private static string What(JournalEntry entry)
    {
        var text = entry.Data?["message"]?.GetValue<string>()
            ?? (entry.Data?["freezeMs"] is { } freeze ? $"freeze window {freeze} ms" : entry.Part ?? string.Empty);
        return text.ReplaceLineEndings(" ").Replace("|", "\\|", StringComparison.Ordinal);
    }
}
