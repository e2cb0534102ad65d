using System.Text.Json.Nodes;
using Rollout.Journal;
using Rollout.Reporting;

namespace Rollout.Tests.Reporting;

public sealed class TimelineTests
{
    private static readonly string Digest = new('a', 64);

    [Test]
    public void A_block_tells_who_where_from_what_and_how_long()
    {
        var block = Block(
            Entry(1, "Rollout", JournalEvent.Started, new() { ["live"] = "blue", ["candidate"] = "green", ["hosts"] = new JsonArray("a", "b") }),
            Entry(2, "TagRelease", JournalEvent.Done, new()
            {
                ["inputs"] = new JsonObject { ["chart"] = Digest, ["setting Dns.Timeout"] = "30s" },
                ["images"] = new JsonObject { ["oms"] = "oms@sha256:1" },
                ["ms"] = 4000,
                ["waitingMs"] = 500,
                ["pollingMs"] = 1500,
            }),
            Entry(3, "ReenableTrading", JournalEvent.Done, new() { ["freezeMs"] = 14474, ["ms"] = 1000, ["waitingMs"] = 0, ["pollingMs"] = 0 }));
        Assert.That(block, Does.Contain("### Rollout of v1, 1970-01-01 00:00 UTC: done up to ReenableTrading"));
        Assert.That(block, Does.Contain("- Where: staging, live blue, candidate green, 2 hosts"));
        Assert.That(block, Does.Contain("- Who: sre@laptop, run run1, journal entries 2 to 3"));
        Assert.That(block, Does.Contain("in steps 5.0 s, of it working 3.0 s, waiting 0.5 s, polling 1.5 s"));
        Assert.That(block, Does.Contain("- Freeze window: 14.5 s"));
        Assert.That(block, Does.Contain("- Inputs: 2, together SHA-256 `").And.Contain($"- chart: `{Digest}`").And.Contain("- Images: 1, pinned by digest"));
        Assert.That(block, Does.Contain("| 00:00:02.000 | TagRelease | done | 4.0 s | 0.5 s | 1.5 s |"));
    }

    [Test]
    public void A_failed_run_says_where_and_why()
    {
        var block = Block(
            Entry(1, "MonitorTraffic", JournalEvent.Started),
            Entry(2, "MonitorTraffic", JournalEvent.Failed, new() { ["message"] = "5 % errors", ["ms"] = 60_000, ["waitingMs"] = 59_000, ["pollingMs"] = 0 }));
        Assert.That(block, Does.Contain(": failed at MonitorTraffic").And.Contain("5 % errors").And.Contain("working 1.0 s, waiting 59.0 s"));
    }

    [Test]
    public void A_rollback_is_called_one()
    {
        Assert.That(Block(Entry(1, "RestoreDns", JournalEvent.Done)), Does.StartWith("### Rollback of v1"));
    }

    [Test]
    public void Verdicts_and_evidence_stand_in_it()
    {
        var block = Block(
            Entry(1, "ExportHealthSnapshot", JournalEvent.Done, new()
            {
                ["health"] = new JsonObject(Enumerable.Range(1, 22).Select(n => KeyValuePair.Create($"s{n}", (JsonNode?)JsonValue.Create(n < 20 ? "ok" : "absent")))),
                ["evidence"] = new JsonObject { ["ExportHealthSnapshot/manifest.json"] = Digest },
            }),
            Entry(2, "MonitorTraffic", JournalEvent.Done, new() { ["verdict"] = "Successful", ["reason"] = "no worse" }));
        Assert.That(block, Does.Contain("health: 19 ok, 3 absent").And.Contain("verdict: Successful; no worse"));
        Assert.That(block, Does.Contain($"| [ExportHealthSnapshot/manifest.json](artifacts/evidence/ExportHealthSnapshot/manifest.json) | `{Digest}` |"));
    }

    [TestCase("a | b", "a \\| b")]
    [TestCase("two\nlines", "two lines")]
    [TestCase("<!-- aether-rollout v1/other -->", "&lt;!-- aether-rollout v1/other -->")]
    [TestCase("[x](http://evil)", "\\[x](http://evil)")]
    public void What_a_server_said_becomes_no_markup(string message, string written)
    {
        var block = Block(Entry(1, "FlipDns", JournalEvent.Failed, new() { ["message"] = message }));
        Assert.That(block, Does.Contain($"| {written} |"));
    }

    [Test]
    public void A_message_that_is_too_long_is_cut_and_says_so()
    {
        var block = Block(Entry(1, "FlipDns", JournalEvent.Failed, new() { ["message"] = new string('x', 50_000) }));
        Assert.That(block, Has.Length.LessThan(3000).And.Contain("(the journal has all of it)"));
    }

    [Test]
    public void A_run_that_did_nothing_has_no_block()
    {
        Assert.That(Timeline(Entry(1, "TagRelease", JournalEvent.Started)).Blocks(new HashSet<string>()), Is.Empty);
    }

    private static string Block(params JournalEntry[] entries) => Timeline(entries).Blocks(new HashSet<string>()).Single();

    private static Timeline Timeline(params JournalEntry[] entries) => new("v1", "staging", "artifacts/evidence", entries);

    private static JournalEntry Entry(int sequence, string step, JournalEvent what, JsonObject? data = null) => new(
        sequence, DateTimeOffset.UnixEpoch.AddSeconds(sequence), step, what, null, "sre@laptop", "run1", data, JournalEntry.Genesis);
}
