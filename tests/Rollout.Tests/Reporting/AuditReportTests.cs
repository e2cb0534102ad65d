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
        AuditReport.Append(_path, "v1", [Entry(1, "FlipDns", JournalEvent.Done)]);
        Assert.That(File.ReadAllText(_path), Does.Contain("## 7. Deployment & Ops").And.Contain("### Rollout of v1").And.Contain("| FlipDns | done |"));
    }

    [Test]
    public void What_stands_there_is_kept_and_the_newest_is_last_in_its_section()
    {
        Directory.CreateDirectory(Path.GetDirectoryName(_path)!);
        File.WriteAllText(_path, "# Audit\n\n## 7. Deployment & Ops\n\nOld text.\n\n## 8. Other\n\nEnd.\n");
        AuditReport.Append(_path, "v1", [Entry(1, "FlipDns", JournalEvent.Done)]);
        AuditReport.Append(_path, "v2", [Entry(1, "FlipDns", JournalEvent.Failed, "it broke | badly", "run2")]);
        var text = File.ReadAllText(_path);
        string[] order = ["# Audit", "Old text.", "### Rollout of v1", "### Rollout of v2", "it broke \\| badly", "## 8. Other", "End."];
        Assert.That(order.Select(o => text.IndexOf(o, StringComparison.Ordinal)), Is.Ordered.And.All.GreaterThanOrEqualTo(0), text);
    }

    [Test]
    public void A_run_that_was_killed_is_documented_by_the_next_one_and_nobody_is_twice()
    {
        AuditReport.Append(_path, "v1", [Entry(1, "TagRelease", JournalEvent.Done), Entry(2, "FlipDns", JournalEvent.Intent, run: "killed")]);
        AuditReport.Append(_path, "v1", [Entry(1, "TagRelease", JournalEvent.Done), Entry(2, "FlipDns", JournalEvent.Intent, run: "killed"), Entry(3, "FlipDns", JournalEvent.Done, run: "run3")]);
        var text = File.ReadAllText(_path);
        Assert.That(text.Split("### Rollout of v1"), Has.Length.EqualTo(4), text);
        Assert.That(text.Split("| TagRelease | done |"), Has.Length.EqualTo(2), text);
    }

    [Test]
    public void A_run_that_did_nothing_writes_nothing()
    {
        AuditReport.Append(_path, "v1", [Entry(1, "TagRelease", JournalEvent.Started)]);
        Assert.That(File.Exists(_path), Is.False);
    }

    private static JournalEntry Entry(int sequence, string step, JournalEvent what, string? message = null, string run = "run1") => new(
        sequence, DateTimeOffset.UnixEpoch.AddSeconds(sequence), step, what, null, "sre@laptop", run, message is null ? null : new() { ["message"] = message }, JournalEntry.Genesis);
}
