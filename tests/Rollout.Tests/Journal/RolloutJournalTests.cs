using System.Text.Json.Nodes;
using FsCheck;
using FsCheck.Fluent;
using Microsoft.Extensions.Time.Testing;
using Rollout.Journal;
using Rollout.Tests.Support;

namespace Rollout.Tests.Journal;

public sealed class RolloutJournalTests
{
    private const string Release = "v1";
    private static readonly string[] Mishaps = ["lost answer", "error", "conflict", "hang until interrupted", "error and no reading"];

    private string _folder = null!;
    private string _stored = null!;
    private int _version;
    private int _writes;
    private int _opened;
    private string? _head;
    private Queue<string> _mishaps = null!;
    private Fence _fence = null!;
    private TimeProvider _time = null!;

    [SetUp]
    public void Begin()
    {
        _folder = Directory.CreateTempSubdirectory("journal-").FullName;
        (_stored, _version, _writes) = (string.Empty, 0, 0);
        _mishaps = [];
        _fence = Fences.Open;
        _time = new HastyTime();
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
    public async Task An_answer_that_was_lost_is_resolved_by_reading_and_nothing_is_written_twice()
    {
        var journal = await OpenAsync();
        _mishaps.Enqueue("lost answer");
        await journal.AppendAsync("FlipDns", JournalEvent.Started, null, null, default);
        await journal.AppendAsync("FlipDns", JournalEvent.Done, null, null, default);
        Assert.That((_writes, (await OpenAsync()).Entries.Count), Is.EqualTo((2, 2)));
    }

    [TestCase("error")]
    [TestCase("conflict")]
    [TestCase("error and no reading")]
    public async Task A_write_that_did_not_take_effect_is_made_again(string mishap)
    {
        var journal = await OpenAsync();
        await journal.AppendAsync("FlipDns", JournalEvent.Started, null, null, default);
        _mishaps.Enqueue(mishap);
        await journal.AppendAsync("FlipDns", JournalEvent.Done, null, null, default);
        Assert.That((await OpenAsync()).Entries.Select(e => e.Event), Is.EqualTo(new[] { JournalEvent.Started, JournalEvent.Done }));
    }

    [Test]
    public async Task A_store_that_stays_away_ends_the_run_and_the_next_entry_finds_out_what_was_stored()
    {
        var journal = await OpenAsync();
        await journal.AppendAsync("FlipDns", JournalEvent.Started, null, null, default);
        foreach (var _ in Enumerable.Range(0, 5))
        {
            _mishaps.Enqueue("error and no reading");
        }

        var error = await Assert.ThrowsAsync<RolloutException>(() => journal.AppendAsync("FlipDns", JournalEvent.Done, null, null, default));
        Assert.That(error!.Message, Does.Contain("5 tries").And.Contain("answered 500"));
        await journal.AppendAsync("FlipDns", JournalEvent.Failed, null, null, default);
        Assert.That(journal.Entries.Select(e => e.Event), Is.EqualTo(new[] { JournalEvent.Started, JournalEvent.Failed }));
    }

    [TestCase(true)]
    [TestCase(false)]
    public async Task An_interrupt_waits_for_a_write_under_way_and_then_finds_out_what_was_stored(bool tookEffect)
    {
        var clock = new FakeTimeProvider();
        _time = clock;
        var journal = await OpenAsync();
        await journal.AppendAsync("FlipDns", JournalEvent.Started, null, null, default);
        _mishaps.Enqueue(tookEffect ? "hang after it took effect" : "hang until interrupted");
        using var interrupt = new CancellationTokenSource();
        var append = journal.AppendAsync("FlipDns", JournalEvent.Done, null, null, interrupt.Token);
        await interrupt.CancelAsync();
        Assert.That(append.IsCompleted, Is.False, "a write under way is not cut off at once");
        clock.Advance(TimeSpan.FromSeconds(3));
        await Assert.ThatAsync(() => append, Throws.InstanceOf<OperationCanceledException>());
        await journal.AppendAsync("FlipDns", JournalEvent.Interrupted, null, null, default);
        JournalEvent[] expected = tookEffect ? [JournalEvent.Started, JournalEvent.Done, JournalEvent.Interrupted] : [JournalEvent.Started, JournalEvent.Interrupted];
        Assert.That((await OpenAsync()).Entries.Select(e => e.Event), Is.EqualTo(expected));
    }

    [Test]
    public async Task Nothing_is_written_past_a_closed_fence()
    {
        var journal = await OpenAsync();
        await journal.AppendAsync("FlipDns", JournalEvent.Started, null, null, default);
        _fence = Fences.Closed;
        Assert.That(() => journal.AppendAsync("FlipDns", JournalEvent.Done, null, null, default), Throws.TypeOf<RolloutException>().With.Property("ExitCode").EqualTo(ExitCode.Refused));
        Assert.That(_writes, Is.EqualTo(1));
    }

    [Test]
    public void Whatever_answers_go_astray_what_is_stored_is_what_the_journal_says()
    {
        var script = Gen.Elements(Mishaps.Where(m => !m.StartsWith("hang", StringComparison.Ordinal)).Append("none")).ListOf(8).ToArbitrary();
        var property = Prop.ForAll(script, mishaps =>
        {
            Begin();
            foreach (var mishap in mishaps)
            {
                _mishaps.Enqueue(mishap);
            }

            var journal = OpenAsync().GetAwaiter().GetResult();
            for (var i = 0; i < 6; i++)
            {
                try
                {
                    journal.AppendAsync($"Step{i}", JournalEvent.Done, null, null, default).GetAwaiter().GetResult();
                }
                catch (RolloutException exception) when (exception.ExitCode == ExitCode.Failed)
                {
                    // Given up: the next entry settles it.
                }
            }

            var stored = OpenAsync().GetAwaiter().GetResult().Entries.Select(e => e.Step).ToList();
            return stored.SequenceEqual(journal.Entries.Select(e => e.Step)) && stored.Distinct().Count() == stored.Count;
        });
        property.QuickCheckThrowOnFailure();
    }

    [Test]
    public async Task A_full_journal_refuses_before_the_stores_limit()
    {
        var journal = await OpenAsync();
        var large = new string('ü', 240_000);
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

    [TestCase("cut")]
    [TestCase("edited")]
    public async Task A_journal_that_lost_its_last_line_or_had_it_edited_is_not_trusted(string how)
    {
        var journal = await OpenAsync();
        await journal.AppendAsync("FlipDns", JournalEvent.Started, null, null, default);
        await journal.AppendAsync("FlipDns", JournalEvent.Done, null, null, default);
        _stored = how == "cut" ? _stored[..(_stored.TrimEnd('\n').LastIndexOf('\n') + 1)] : _stored.Replace("\"done\"", "\"undone\"", StringComparison.Ordinal);
        var error = await Assert.ThrowsAsync<RolloutException>(OpenAsync);
        Assert.That(error!.ExitCode, Is.EqualTo(ExitCode.Held));
        Assert.That(error.Message, Does.Contain("last line is not the one"));
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
        var journal = new RolloutJournal(Release, ReadAsync, WriteAsync, ct => _fence(ct), Mirror, "tester@here", $"run{++_opened}", _time);
        await journal.LoadAsync(default);
        return journal;
    }

    private bool _unreadable;

    private Task<StoredJournal> ReadAsync(CancellationToken cancellationToken)
    {
        if (_unreadable)
        {
            _unreadable = false;
            throw new RolloutException("The cluster answered 500 to GET.");
        }

        return Task.FromResult(new StoredJournal(_stored, _version == 0 ? null : $"{_version}", _version == 0 ? null : _head));
    }

    // A store with a version guard, and one mishap of the queue for each write.
    private async Task<string?> WriteAsync(string text, string? version, CancellationToken cancellationToken)
    {
        var mishap = _mishaps.Count > 0 ? _mishaps.Dequeue() : "none";
        _unreadable = mishap == "error and no reading";
        if (mishap == "hang until interrupted")
        {
            await new TaskCompletionSource().Task.WaitAsync(cancellationToken);
        }

        if (mishap.StartsWith("error", StringComparison.Ordinal))
        {
            throw new RolloutException("The cluster answered 500 to PUT.");
        }

        if (mishap == "conflict" || version != (_version == 0 ? null : $"{_version}"))
        {
            return null;
        }

        (_stored, _version, _writes, _head) = (text, _version + 1, _writes + 1, RolloutJournal.HeadOf(text));
        if (mishap == "hang after it took effect")
        {
            await new TaskCompletionSource().Task.WaitAsync(cancellationToken);
        }

        return mishap == "lost answer" ? throw new RolloutException("The cluster did not answer PUT.") : $"{_version}";
    }
}
