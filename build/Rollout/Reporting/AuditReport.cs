using System.Text;
using System.Text.RegularExpressions;
using Rollout.Journal;

namespace Rollout.Reporting;

/// <summary>
/// The platform's <c>docs/AUDIT_REPORT.md</c>, where the playbook's last line wants the timeline: a block for each run, in the deployment section, newest
/// last. Blocks are only ever inserted: every byte that stands there, whoever wrote it, stays as it is; a file in UTF-16 is refused.
/// </summary>
/// <param name="path">Made with its section where it is missing.</param>
public sealed partial class AuditReport(string path)
{
    /// <summary>The section's heading in the platform's own report; any heading that speaks of deployment is taken.</summary>
    private const string Section = "## 7. Deployment & Ops";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Documents every run of the journal that is not documented yet, which includes runs that were killed before they could do so themselves.
    /// </summary>
    /// <returns>How many blocks were added; 0 where everything stands there already.</returns>
    /// <exception cref="RolloutException">The file is no text, cannot be written, or somebody else writes it all the time; it is as it was.</exception>
    public int Append(Timeline timeline)
    {
        // Two rollouts from one checkout end at the same time more often than one would think.
        using var turn = new Mutex(initiallyOwned: false, $"Global\\aether-rollout-{JournalEntry.HashOf(Path.GetFullPath(path))[..16]}");
        if (!Wait(turn))
        {
            throw new RolloutException($"Another run has been writing '{path}' for {Patience.TotalSeconds:0} s.", "The next run of this release adds what is missing.");
        }

        try
        {
            return AppendAlone(timeline);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new RolloutException(
                $"The timeline could not be written to '{path}': {exception.Message}", "The next run of this release adds what is missing.", ExitCode.Failed, exception);
        }
        finally
        {
            turn.ReleaseMutex();
        }
    }

    private static bool Wait(Mutex turn)
    {
        try
        {
            return turn.WaitOne(Patience);
        }
        catch (AbandonedMutexException)
        {
            // Its holder was killed. The file changes by one rename, so it is whole.
            return true;
        }
    }

    private int AppendAlone(Timeline timeline)
    {
        var link = new FileInfo(path);
        var file = link.LinkTarget is null ? link.FullName : link.ResolveLinkTarget(returnFinalTarget: true)!.FullName;
        var before = File.Exists(file) ? File.ReadAllBytes(file) : Encoding.UTF8.GetBytes("# Audit report\n");

        // A byte is a character of Latin-1, so places in this text are places in the file.
        var text = Encoding.Latin1.GetString(before);
        if (text.Contains('\0', StringComparison.Ordinal))
        {
            throw new RolloutException($"'{path}' is no text in UTF-8 or a relative of it, so nothing was added.", "Save it as UTF-8; the next run of this release adds what is missing.");
        }

        var blocks = timeline.Blocks(Documented(text));
        if (blocks.Count == 0)
        {
            return 0;
        }

        var newline = text.Contains("\r\n", StringComparison.Ordinal) ? "\r\n" : "\n";
        var (at, insertion) = Insertion(text, string.Join('\n', blocks));
        var added = Encoding.UTF8.GetBytes(insertion.ReplaceLineEndings(newline));
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        Replace(file, [.. before[..at], .. added, .. before[at..]]);
        return blocks.Count;
    }

    private static HashSet<string> Documented(string text) => [.. Marker().Matches(text).Select(m => m.Groups["run"].Value)];

    // At the section's end, with an empty line on both sides and no more of them than needed.
    private static (int At, string Text) Insertion(string text, string blocks)
    {
        var (found, end) = SectionOf(text);
        var before = end == 0 || text[end - 1] == '\n' ? string.Empty : "\n";
        before += text[..end].TrimEnd(' ', '\t').ReplaceLineEndings("\n") is { } head && head.EndsWith("\n\n", StringComparison.Ordinal) ? string.Empty : "\n";
        before += found ? string.Empty : $"{Section}\n\n";
        return (end, before + blocks + (end < text.Length ? "\n" : string.Empty));
    }

    // Where the first section about deployment ends: at the next heading of its level or above; headings in fenced code are none.
    private static (bool Found, int End) SectionOf(string text)
    {
        string? fence = null;
        var level = 0;
        foreach (Match line in Line().Matches(text))
        {
            if (Fence().Match(line.Value) is { Success: true } mark)
            {
                fence = fence is null ? mark.Groups["mark"].Value : mark.Groups["mark"].Value.StartsWith(fence, StringComparison.Ordinal) ? null : fence;
            }
            else if (fence is null && Heading().Match(line.Value) is { Success: true } heading)
            {
                var depth = heading.Groups["marks"].Length;
                if (level > 0 && depth <= level)
                {
                    return (true, line.Index);
                }

                // The first level is the report's own title.
                if (level == 0 && depth > 1 && heading.Groups["title"].Value.Contains("deployment", StringComparison.OrdinalIgnoreCase))
                {
                    level = depth;
                }
            }
        }

        return (level > 0, text.Length);
    }

    private static void Replace(string file, byte[] content)
    {
        var part = file + ".part";
        try
        {
            using (var stream = new FileStream(part, FileMode.Create, FileAccess.Write))
            {
                stream.Write(content);
                stream.Flush(flushToDisk: true);
            }

            if (!OperatingSystem.IsWindows() && File.Exists(file))
            {
                File.SetUnixFileMode(part, File.GetUnixFileMode(file));
            }

            File.Move(part, file, overwrite: true);
        }
        finally
        {
            File.Delete(part);
        }
    }

    [GeneratedRegex(@"<!-- aether-rollout (?<run>[^\s>]+) -->")]
    private static partial Regex Marker();

    [GeneratedRegex(@"[^\n]*\n|[^\n]+\z")]
    private static partial Regex Line();

    [GeneratedRegex(@"^ {0,3}(?<mark>`{3,}|~{3,})")]
    private static partial Regex Fence();

    [GeneratedRegex(@"^ {0,3}(?<marks>#{1,6})[ \t]+(?<title>[^\r\n]*)")]
    private static partial Regex Heading();
}
