using System.Text.Json.Nodes;
using FsCheck;
using FsCheck.Fluent;
using Microsoft.Extensions.Time.Testing;
using Rollout.Journal;

namespace Rollout.Tests.Journal;

public sealed class RolloutJournalTests
{
    private const string Release = "v1";
    private string _folder = null!;
    private string _stored = null!;
    private int _version;

    [SetUp]
    public void Begin()
    {
        _folder = Directory.CreateTempSubdirectory("journal-").FullName;
        (_stored, _version) = (string.Empty, 0);
    }

    [TearDown]
    public void End() => Directory.Delete(_folder, recursive: true);

    [Test]
    public async Task What_was_appended_is_read_again_in_order()
    {
        var journal = await OpenAsync();
        await journal.AppendAsync("FlipDns", JournalEvent.Started, null, null, default);
        await journal.AppendAsync("FlipDns", JournalEvent.Intent, "records", new() { ["before"] = "192.0.2.1" }, default);
        await journal.AppendAsync("FlipDns", JournalEvent.Done, null, null, default);
        var again = await OpenAsync();
        Assert.That(again.Entries.Select(e => (e.Sequence, e.Event)), Is.EqualTo(new[] { (1, JournalEvent.Started), (2, JournalEvent.Intent), (3, JournalEvent.Done) }));
        Assert.That(again.Entries[1].Data!["before"]!.GetValue<string>(), Is.EqualTo("192.0.2.1"));
        Assert.That((again.IsDone("FlipDns"), again.Head), Is.EqualTo((true, journal.Head)));
    }

    [Test]
    public async Task The_mirror_is_the_stored_text()
    {
        var journal = await OpenAsync();
        await journal.AppendAsync("TagRelease", JournalEvent.Started, null, null, default);
        Assert.That(await File.ReadAllTextAsync(Mirror), Is.EqualTo(_stored));
    }

    [Test]
    public async Task A_step_that_was_undone_is_not_done()
    {
        var journal = await OpenAsync();
        await journal.AppendAsync("FlipDns", JournalEvent.Done, null, null, default);
        await journal.AppendAsync("FlipDns", JournalEvent.Undone, null, null, default);
        Assert.That(journal.IsDone("FlipDns"), Is.False);
        await journal.AppendAsync("FlipDns", JournalEvent.Done, null, null, default);
        Assert.That(journal.IsDone("FlipDns"), Is.True);
    }

    [Test]
    public async Task A_parts_completion_is_not_the_steps()
    {
        var journal = await OpenAsync();
        await journal.AppendAsync("SeedState", JournalEvent.Done, "migrations", null, default);
        Assert.That((journal.IsDone("SeedState"), journal.IsPartDone("SeedState", "migrations"), journal.IsPartDone("SeedState", "state")), Is.EqualTo((false, true, false)));
    }

    [Test]
    public async Task A_second_writer_is_refused_and_loses_nothing()
    {
        var one = await OpenAsync();
        var two = await OpenAsync();
        await one.AppendAsync("TagRelease", JournalEvent.Started, null, null, default);
        var error = await Assert.ThrowsAsync<RolloutException>(() => two.AppendAsync("TagRelease", JournalEvent.Started, null, null, default));
        Assert.That(error!.ExitCode, Is.EqualTo(ExitCode.Refused));
        Assert.That((await OpenAsync()).Entries, Has.Count.EqualTo(1));
    }

    [Test]
    public async Task A_full_journal_refuses_before_the_stores_limit()
    {
        var journal = await OpenAsync();
        var large = new string('x', 400_000);
        await journal.AppendAsync("TagRelease", JournalEvent.Done, null, new() { ["text"] = large }, default);
        await journal.AppendAsync("TagRelease", JournalEvent.Done, null, new() { ["text"] = large }, default);
        Assert.That(
            () => journal.AppendAsync("TagRelease", JournalEvent.Done, null, new() { ["text"] = large }, default),
            Throws.TypeOf<RolloutException>().With.Message.Contains("2 entries"));
        Assert.That((await OpenAsync()).Entries, Has.Count.EqualTo(2));
    }

    [Test]
    public async Task A_newer_schema_is_not_touched()
    {
        var journal = await OpenAsync();
        await journal.AppendAsync("TagRelease", JournalEvent.Started, null, null, default);
        var newer = _stored.Replace("\"schema\":1", "\"schema\":2", StringComparison.Ordinal);
        Assert.That(() => RolloutJournal.Parse(newer, Release), Throws.TypeOf<RolloutException>().With.Message.Contains("schema version 2"));
    }

    [Test]
    public async Task Another_releases_journal_is_not_taken_for_ours()
    {
        var journal = await OpenAsync();
        await journal.AppendAsync("TagRelease", JournalEvent.Started, null, null, default);
        Assert.That(() => RolloutJournal.Parse(_stored, "v2"), Throws.TypeOf<RolloutException>().With.Message.Contains("of another release"));
    }

    [Test]
    public void Any_truncated_reordered_or_edited_journal_is_detected()
    {
        var text = Sample(12);
        var property = Prop.ForAll(Gen.Choose(0, text.Length - 1).ToArbitrary(), Gen.Choose(0, 2).ToArbitrary(), (at, how) =>
        {
            var damaged = how switch
            {
                0 => text[..at],
                1 => text[..at] + (text[at] == 'a' ? 'b' : 'a') + text[(at + 1)..],
                _ => Swap(text, at),
            };
            if (damaged == text || IsPrefixOfWholeLines(text, damaged))
            {
                // A whole-line prefix is a journal as it once was: the store's version, not the chain, guards against that.
                return true;
            }

            try
            {
                RolloutJournal.Parse(damaged, Release);

                // The last line's own content has no line after it that would vouch for it.
                return how == 1 && at > text[..^1].LastIndexOf('\n');
            }
            catch (RolloutException)
            {
                return true;
            }
        });
        property.QuickCheckThrowOnFailure();
    }

    [Test]
    public void Secrets_do_not_survive_into_an_entry()
    {
        var entry = new JournalEntry(1, default, "S", JournalEvent.Started, null, "a", "r", new() { ["token"] = new Secret("hunter2").ToString() }, JournalEntry.Genesis);
        Assert.That(entry.ToLine(), Does.Not.Contain("hunter2").And.Contain("***"));
    }

    private static bool IsPrefixOfWholeLines(string text, string damaged) =>
        damaged.Length == 0 || (text.StartsWith(damaged, StringComparison.Ordinal) && damaged.EndsWith('\n'));

    private static string Swap(string text, int at)
    {
        var lines = text[..^1].Split('\n');
        var i = at % (lines.Length - 1);
        (lines[i], lines[i + 1]) = (lines[i + 1], lines[i]);
        return string.Join('\n', lines) + "\n";
    }

    private static string Sample(int count)
    {
        var text = string.Empty;
        var head = JournalEntry.Genesis;
        for (var i = 1; i <= count; i++)
        {
            var data = i == 1 ? new JsonObject { ["schema"] = 1, ["release"] = Release } : new JsonObject { ["n"] = i };
            var line = new JournalEntry(i, DateTimeOffset.UnixEpoch.AddSeconds(i), $"Step{i}", JournalEvent.Done, null, "a@b", "run", data, head).ToLine();
            head = JournalEntry.HashOf(line);
            text += line + "\n";
        }

        return text;
    }

    private string Mirror => Path.Combine(_folder, "journal.jsonl");

    private async Task<RolloutJournal> OpenAsync()
    {
        var journal = new RolloutJournal(
            Release,
            _ => Task.FromResult(new StoredJournal(_stored, _version == 0 ? null : $"{_version}")),
            (text, version, _) =>
            {
                if (version != (_version == 0 ? null : $"{_version}"))
                {
                    return Task.FromResult<string?>(null);
                }

                (_stored, _version) = (text, _version + 1);
                return Task.FromResult<string?>($"{_version}");
            },
            Mirror,
            "tester@here",
            "run",
            new FakeTimeProvider());
        await journal.LoadAsync(default);
        return journal;
    }
}
