using Rollout.Journal;
using Rollout.Reporting;

namespace Rollout.Tests.Reporting;

public sealed class AuditReportTests
{
    private string _path = null!;

    [SetUp]
    public void Begin() => _path = Path.Combine(Directory.CreateTempSubdirectory("audit-").FullName, "docs", "AUDIT_REPORT.md");

    [TearDown]
    public void End() => Directory.Delete(Path.GetDirectoryName(Path.GetDirectoryName(_path))!, recursive: true);

    [Test]
    public void A_missing_file_is_made_with_its_section()
    {
        AuditReport.Append(_path, "v1", [Entry(1, "FlipDns", JournalEvent.Done)], 1);
        Assert.That(File.ReadAllText(_path), Does.Contain("## 7. Deployment & Ops").And.Contain("### Rollout of v1").And.Contain("| FlipDns | done |"));
    }

    [Test]
    public void What_stands_there_is_kept_and_the_newest_is_last_in_its_section()
    {
        Directory.CreateDirectory(Path.GetDirectoryName(_path)!);
        File.WriteAllText(_path, "# Audit\n\n## 7. Deployment & Ops\n\nOld text.\n\n## 8. Other\n\nEnd.\n");
        AuditReport.Append(_path, "v1", [Entry(1, "FlipDns", JournalEvent.Done)], 1);
        AuditReport.Append(_path, "v2", [Entry(1, "FlipDns", JournalEvent.Failed, "it broke | badly")], 1);
        var text = File.ReadAllText(_path);
        string[] order = ["# Audit", "Old text.", "### Rollout of v1", "### Rollout of v2", "it broke \\| badly", "## 8. Other", "End."];
        Assert.That(order.Select(o => text.IndexOf(o, StringComparison.Ordinal)), Is.Ordered.And.All.GreaterThanOrEqualTo(0), text);
    }

    [Test]
    public void Only_this_runs_entries_are_written()
    {
        AuditReport.Append(_path, "v1", [Entry(1, "TagRelease", JournalEvent.Done), Entry(2, "FlipDns", JournalEvent.Done)], 2);
        Assert.That(File.ReadAllText(_path), Does.Contain("FlipDns").And.Not.Contain("TagRelease"));
    }

    [Test]
    public void A_run_that_did_nothing_writes_nothing()
    {
        AuditReport.Append(_path, "v1", [Entry(1, "TagRelease", JournalEvent.Done)], 2);
        Assert.That(File.Exists(_path), Is.False);
    }

    private static JournalEntry Entry(int sequence, string step, JournalEvent what, string? message = null) => new(
        sequence, DateTimeOffset.UnixEpoch.AddSeconds(sequence), step, what, null, "sre@laptop", "run1", message is null ? null : new() { ["message"] = message }, JournalEntry.Genesis);
}
