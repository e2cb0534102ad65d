using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rollout.Journal;

/// <summary>The stored text of a journal, with the version that a write must present.</summary>
/// <param name="Version">The store's own version, <c>resourceVersion</c>; null where there is no journal yet.</param>
/// <param name="Head">The hash of the last line as the writer put it beside the text: no later line vouches for that one. Null where none was kept.</param>
public sealed record StoredJournal(string Text, string? Version, string? Head = null);

/// <summary>Reads the journal's text; an absent journal is empty text without a version.</summary>
public delegate Task<StoredJournal> ReadJournal(CancellationToken cancellationToken);

/// <summary>
/// Writes the whole text if the stored version still is <paramref name="version"/>; null when somebody else wrote in between. Anything thrown
/// leaves it open whether the write took effect: the journal finds out by reading.
/// </summary>
public delegate Task<string?> WriteJournal(string text, string? version, CancellationToken cancellationToken);

/// <summary>
/// The durable record of what was intended and what was done, one per release: append-only JSON Lines, each line carrying the hash
/// of the one before, kept in the cluster because stages run on different agents, and mirrored to a file for people.
/// </summary>
/// <param name="fence">Asked before each write: throws where this run may not write, as a run that lost the lock.</param>
/// <param name="mirror">Path of the mirrored file.</param>
/// <param name="actor">Who runs this, <c>USER@HOST</c>.</param>
/// <param name="run">This run's id.</param>
public sealed class RolloutJournal(
    string release, ReadJournal read, WriteJournal write, Fence fence, string mirror, string actor, string run, TimeProvider time) : IDisposable
{
    /// <summary>What the store takes, in bytes of UTF-8: a ConfigMap's data holds 1 MiB with its keys.</summary>
    public const int Limit = 1_040_000;

    /// <summary>Written into the first line's data; a journal of a higher version is not touched.</summary>
    private const int SchemaVersion = 1;

    /// <summary>How often a write without a definite answer is settled by a read before the run gives up.</summary>
    private const int Tries = 5;

    // A write under way is not cut off by an interrupt at once: that would leave it open whether it took effect.
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(3);

    private readonly SemaphoreSlim _oneWriter = new(1, 1);
    private readonly List<JournalEntry> _entries = [];
    private string _text = string.Empty;
    private string? _version;
    private string _head = JournalEntry.Genesis;
    private JournalEntry? _doubtful;

    /// <summary>The stored text: one entry a line.</summary>
    public string Text => _text;

    /// <summary>How many bytes of <see cref="Limit"/> are taken.</summary>
    public int Bytes => Encoding.UTF8.GetByteCount(_text);

    /// <summary>All entries, oldest first.</summary>
    public IReadOnlyList<JournalEntry> Entries => _entries;

    /// <summary>Why the mirrored file is behind the stored journal; null where it is not.</summary>
    public string? MirrorProblem { get; private set; }

    /// <summary>Hash of the last line: what an archive's manifest records.</summary>
    public string Head => _head;

    /// <summary>Reads and verifies what is stored.</summary>
    /// <exception cref="RolloutException">It is cut short, edited, or of a newer version; it is never guessed over.</exception>
    public async Task LoadAsync(CancellationToken cancellationToken)
    {
        var stored = await read(cancellationToken);
        if (stored is { Version: not null, Text.Length: 0 })
        {
            throw Damaged(release, "it exists and is empty");
        }

        Take(stored);
    }

    /// <summary>Appends one entry; when this returns, it is stored, whatever became of the answers on the way.</summary>
    /// <exception cref="RolloutException">Exit code 5: another run wrote to this journal, or the fence refuses.</exception>
    public async Task AppendAsync(string step, JournalEvent what, string? part, JsonObject? data, CancellationToken cancellationToken)
    {
        await _oneWriter.WaitAsync(cancellationToken);
        try
        {
            await fence(cancellationToken);
            if (_doubtful is not null)
            {
                await SettleAsync(cancellationToken);
            }

            if (_entries.Count == 0)
            {
                data ??= [];
                data["schema"] = SchemaVersion;
                data["release"] = release;
            }

            var entry = new JournalEntry(_entries.Count + 1, time.GetUtcNow(), step, what, part, actor, run, data, _head);
            var line = entry.ToLine();
            var text = _text + line + "\n";
            if (Encoding.UTF8.GetByteCount(text) is var bytes && bytes > Limit)
            {
                throw new RolloutException(
                    $"The journal of {release} would have {bytes} bytes with this entry; it has {_entries.Count} entries, and the store takes {Limit} bytes.",
                    "Roll out under a new release tag.");
            }

            _doubtful = entry;
            _version = await StoreAsync(text, cancellationToken);
            _doubtful = null;
            _text = text;
            _head = JournalEntry.HashOf(line);
            _entries.Add(entry);
            MirrorToFile();
        }
        finally
        {
            _oneWriter.Release();
        }
    }

    /// <summary>Whether the step is complete and was not undone since.</summary>
    public bool IsDone(string step) => IsDone(_entries, step);

    /// <summary>Whether a history has the step complete and not undone since.</summary>
    public static bool IsDone(IReadOnlyList<JournalEntry> entries, string step) =>
        entries.LastOrDefault(e => e.Step == step && e.Part is null && e.Event is JournalEvent.Done or JournalEvent.Undone) is { Event: JournalEvent.Done };

    /// <summary>Whether the part of a step is complete, and the step was not undone since.</summary>
    public bool IsPartDone(string step, string part) =>
        Last(step, JournalEvent.Done, part) is { } done && !_entries.Any(e => e.Sequence > done.Sequence && e.Step == step && e.Event == JournalEvent.Undone);

    /// <summary>The newest entry of that kind; null where there is none.</summary>
    public JournalEntry? Last(string step, JournalEvent what, string? part = null) =>
        _entries.LastOrDefault(e => e.Step == step && e.Event == what && e.Part == part);

    /// <summary>The hash that a journal's chain ends with.</summary>
    public static string HeadOf(string text) =>
        text.Length == 0 ? JournalEntry.Genesis : JournalEntry.HashOf(text.TrimEnd('\n')[(text.TrimEnd('\n').LastIndexOf('\n') + 1)..]);

    /// <summary>Parses and verifies a journal's text.</summary>
    /// <exception cref="RolloutException">A line is broken, out of order, edited, foreign or of a newer version.</exception>
    public static IReadOnlyList<JournalEntry> Parse(string text, string release)
    {
        if (text.Length == 0)
        {
            return [];
        }

        if (!text.EndsWith('\n'))
        {
            throw Damaged(release, "its last line is cut short");
        }

        var entries = new List<JournalEntry>();
        var head = JournalEntry.Genesis;
        foreach (var line in text[..^1].Split('\n'))
        {
            JournalEntry entry;
            try
            {
                entry = JournalEntry.FromLine(line);
            }
            catch (JsonException exception)
            {
                throw Damaged(release, $"line {entries.Count + 1} is no entry: {exception.Message}");
            }

            if (entry.Sequence != entries.Count + 1 || entry.Previous != head)
            {
                throw Damaged(release, $"line {entries.Count + 1} does not follow from the line before it");
            }

            entries.Add(entry);
            head = JournalEntry.HashOf(line);
        }

        var first = entries[0].Data;
        if (first?["release"]?.GetValue<string>() != release)
        {
            throw Damaged(release, "its first line is of another release");
        }

        return first["schema"]?.GetValue<int>() is SchemaVersion
            ? entries
            : throw new RolloutException(
                $"The journal of {release} has schema version {first["schema"]?.ToJsonString() ?? "none"}; this program knows {SchemaVersion}.",
                "Use the version of the suite that began this rollout, or a newer one.");
    }

    public void Dispose() => _oneWriter.Dispose();

    private void Take(StoredJournal stored)
    {
        var entries = Parse(stored.Text, release);
        if (stored.Head is not null && stored.Head != HeadOf(stored.Text))
        {
            throw Damaged(release, "its last line is not the one that was written last: lines were cut off, or the last one was edited");
        }

        _entries.Clear();
        _entries.AddRange(entries);
        (_text, _version) = (stored.Text, stored.Version);
        _head = HeadOf(_text);
    }

    // An answer that was lost, a conflict with our own lost write and a server that was away all end here: what is stored decides, and since the
    // version guards each write, none is made twice.
    private async Task<string?> StoreAsync(string text, CancellationToken cancellationToken)
    {
        using var patience = new CancellationTokenSource(Timeout.InfiniteTimeSpan, time);
        await using var interrupt = cancellationToken.Register(() => patience.CancelAfter(Grace));
        for (var attempt = 1; ; attempt++)
        {
            RolloutException? trouble = null;
            try
            {
                if (await write(text, _version, patience.Token) is { } version)
                {
                    return version;
                }
            }
            catch (RolloutException exception)
            {
                trouble = exception;
            }

            try
            {
                var stored = await read(patience.Token);
                if (stored.Text == text)
                {
                    return stored.Version;
                }

                if (stored.Text != _text)
                {
                    throw AnotherRun();
                }

                // Only its metadata changed, or nothing did.
                _version = stored.Version;
            }
            catch (RolloutException exception) when (exception.ExitCode != ExitCode.Refused)
            {
                trouble = exception;
            }

            if (attempt == Tries)
            {
                throw new RolloutException(
                    $"The journal of {release} could not be written in {Tries} tries: {trouble?.Message ?? "the store says that somebody else wrote, and shows nothing new"}",
                    "The same command resumes when the cluster answers again.",
                    ExitCode.Failed,
                    trouble);
            }

            await Task.Delay(TimeSpan.FromMilliseconds(100 * Math.Pow(2, attempt)), time, patience.Token);
            await fence(patience.Token);
        }
    }

    // The last write ended without an answer, because the run was interrupted or gave up: was it stored?
    private async Task SettleAsync(CancellationToken cancellationToken)
    {
        var stored = await read(cancellationToken);
        if (stored.Text != _text && stored.Text != _text + _doubtful!.ToLine() + "\n")
        {
            throw AnotherRun();
        }

        Take(stored);
        _doubtful = null;
    }

    private RolloutException AnotherRun() => new(
        $"Another run wrote to the journal of {release} after this one read it (this run knows {_entries.Count} entries).",
        "Look at ./build.sh --target=Status; start again when the other run has ended.",
        ExitCode.Refused);

    // A full disk of this machine must not decide whether a rollback goes on; the cluster has the journal.
    private void MirrorToFile()
    {
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(mirror)!);
            var part = mirror + ".part";
            File.WriteAllText(part, _text);
            File.Move(part, mirror, overwrite: true);
            MirrorProblem = null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            MirrorProblem = exception.Message;
        }
    }

    private static RolloutException Damaged(string release, string how) => new(
        $"The journal of {release} cannot be trusted: {how}. Nothing was changed.",
        "Compare the ConfigMap with its mirror under artifacts/ and restore the good one, or have a person decide.",
        ExitCode.Held);
}
