using System.Text;
using System.Text.Json.Nodes;
using Rollout.Journal;
using Rollout.Reporting;

namespace Rollout.Tests.Reporting;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class AuditReportTests
{
    private const string Heading = "## 7. Deployment & Ops";

    private readonly string _directory = Directory.CreateTempSubdirectory("audit-").FullName;

    private string Path => System.IO.Path.Combine(_directory, "docs", "AUDIT_REPORT.md");

    [TearDown]
    public void End() => Directory.Delete(_directory, recursive: true);

    [Test]
    public void A_missing_file_is_made_with_its_section()
    {
        Assert.That(Append("v1", Entry(1, "FlipDns", JournalEvent.Done)), Is.EqualTo(1));
        Assert.That(Text, Does.StartWith($"# Audit report\n\n{Heading}\n\n### Rollout of v1, ").And.Contain("| FlipDns | done |"));
    }

    [Test]
    public void The_newest_is_last_in_the_section_and_what_follows_the_section_stays_behind_it()
    {
        Write($"# Audit\n\n{Heading}\n\nOld text.\n\n## 8. Other\n\nEnd.\n");
        Append("v1", Entry(1, "FlipDns", JournalEvent.Done));
        Append("v2", Entry(1, "FlipDns", JournalEvent.Failed, new() { ["message"] = "it broke" }, "run2"));
        string[] order = ["# Audit", "Old text.", "### Rollout of v1", "### Rollout of v2", "it broke", "## 8. Other", "End."];
        Assert.That(order.Select(o => Text.IndexOf(o, StringComparison.Ordinal)), Is.Ordered.And.All.GreaterThanOrEqualTo(0), Text);
    }

    [TestCase("", TestName = "An_empty_file")]
    [TestCase("no newline at the end", TestName = "No_section_and_no_newline_at_the_end")]
    [TestCase("# A\r\n\r\n## Deployment\r\n\r\nwindows\r\n\r\n## B\r\n", TestName = "Windows_line_ends")]
    [TestCase("\uFEFF# A\n\n### 3. Deployments\n\ntext\n\n### 4.\n", TestName = "A_byte_order_mark_and_another_heading")]
    [TestCase("# A\n\n```\n## 7. Deployment & Ops\n```\n\n## 7. Deployment & Ops\n\n```sh\n## 8. no heading\n```\nlast\n\n## 8.\n", TestName = "Headings_in_fenced_code_are_none")]
    [TestCase("# A\n\n## 7. Deployment & Ops\n\n### Somebody's own\n\n<!-- aether-rollout v1/run1", TestName = "Somebody_s_own_block_and_a_marker_cut_short")]
    public void No_byte_of_others_is_changed(string others)
    {
        Write(others);
        var before = File.ReadAllBytes(Path);
        Append("v1", Entry(1, "FlipDns", JournalEvent.Done));
        RequireInsertedInto(before);
        Assert.That(Text, Does.Contain("### Rollout of v1"));
    }

    [Test]
    public void Bytes_that_are_no_utf8_stay_as_they_are()
    {
        byte[] before = [.. Encoding.UTF8.GetBytes($"# B\n\n{Heading}\n\ncaf"), 0xE9, 0xFF, .. "\n\n## Z\n"u8];
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(Path)!);
        File.WriteAllBytes(Path, before);
        Append("v1", Entry(1, "FlipDns", JournalEvent.Done, new() { ["message"] = "naïve" }));
        RequireInsertedInto(before);
        Assert.That(Text, Does.Contain("naïve"), "what is added is UTF-8");
    }

    [Test]
    public void A_file_in_utf16_is_refused_and_left_alone()
    {
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(Path)!);
        File.WriteAllText(Path, "# Audit\n", Encoding.Unicode);
        var before = File.ReadAllBytes(Path);
        Assert.Throws<RolloutException>(() => Append("v1", Entry(1, "FlipDns", JournalEvent.Done)));
        Assert.That(File.ReadAllBytes(Path), Is.EqualTo(before));
    }

    [Test]
    public void The_line_ends_of_a_block_are_those_of_the_file()
    {
        Write("# A\r\n\r\n## Deployment\r\n");
        Append("v1", Entry(1, "FlipDns", JournalEvent.Done));
        Assert.That(Text.Replace("\r\n", "", StringComparison.Ordinal), Does.Not.Contain('\n'));
    }

    [Test]
    public void Running_twice_adds_nothing_twice_and_a_killed_run_is_documented_by_the_next()
    {
        JournalEntry[] killed = [Entry(1, "TagRelease", JournalEvent.Done), Entry(2, "FlipDns", JournalEvent.Intent, run: "killed")];
        JournalEntry[] next = [.. killed, Entry(3, "FlipDns", JournalEvent.Done, run: "run3")];
        Append("v1", next);
        var once = Text;
        Assert.That(Append("v1", next), Is.Zero);
        Assert.That(Text, Is.EqualTo(once));
        Assert.That(Text.Split("### Rollout of v1"), Has.Length.EqualTo(4), Text);
        Assert.That(Text, Does.Contain("ended without a word in FlipDns"));
    }

    [Test]
    public void The_same_run_s_number_under_another_release_is_another_run()
    {
        Append("v1", Entry(1, "FlipDns", JournalEvent.Done));
        Assert.That(Append("v1.0", Entry(1, "FlipDns", JournalEvent.Done)), Is.EqualTo(1));
    }

    [Test]
    public void Reports_that_are_written_at_the_same_time_lose_nothing()
    {
        var releases = Enumerable.Range(1, 40).Select(n => $"v{n}").ToList();
        Parallel.ForEach(releases, release => Append(release, Entry(1, "FlipDns", JournalEvent.Done)));
        Assert.That(releases.Where(r => !Text.Contains($"### Rollout of {r},", StringComparison.Ordinal)), Is.Empty);
    }

    [Test]
    public void A_report_behind_a_link_is_written_where_it_is_with_its_mode()
    {
        var real = System.IO.Path.Combine(_directory, "real.md");
        File.WriteAllText(real, "# A\n");
        File.SetUnixFileMode(real, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead);
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(Path)!);
        File.CreateSymbolicLink(Path, real);
        Append("v1", Entry(1, "FlipDns", JournalEvent.Done));
        Assert.That(new FileInfo(Path).LinkTarget, Is.EqualTo(real));
        Assert.That(File.ReadAllText(real), Does.Contain("### Rollout of v1"));
        Assert.That(File.GetUnixFileMode(real), Is.EqualTo(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead));
    }

    [Test]
    public void A_place_that_cannot_be_written_is_told_and_nothing_is_left_behind()
    {
        Directory.CreateDirectory(Path);
        var exception = Assert.Throws<RolloutException>(() => Append("v1", Entry(1, "FlipDns", JournalEvent.Done)))!;
        Assert.That(exception.Message, Does.Contain(Path));
        Assert.That(Directory.GetFileSystemEntries(System.IO.Path.GetDirectoryName(Path)!), Is.EqualTo(new[] { Path }));
    }

    private string Text => File.ReadAllText(Path);

    private int Append(string release, params JournalEntry[] entries) =>
        new AuditReport(Path).Append(new Timeline(release, "staging", "artifacts/staging/v1/evidence", entries));

    private void Write(string text)
    {
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(Path)!);
        File.WriteAllText(Path, text);
    }

    private void RequireInsertedInto(byte[] before)
    {
        var after = File.ReadAllBytes(Path);
        var same = 0;
        while (same < before.Length && before[same] == after[same])
        {
            same++;
        }

        Assert.That(after[^(before.Length - same)..], Is.EqualTo(before[same..]), "the file is what it was, with something put in at one place");
    }

    private static JournalEntry Entry(int sequence, string step, JournalEvent what, JsonObject? data = null, string run = "run1") => new(
        sequence, DateTimeOffset.UnixEpoch.AddSeconds(sequence), step, what, null, "sre@laptop", run, data, JournalEntry.Genesis);
}
