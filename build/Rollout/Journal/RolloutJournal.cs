using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rollout.Journal;

/// <summary>The stored text of a journal, with the version that a write must present.</summary>
/// <param name="Version">The store's own version, <c>resourceVersion</c>; null where there is no journal yet.</param>
public sealed record StoredJournal(string Text, string? Version);

/// <summary>Reads the journal's text; an absent journal is empty text without a version.</summary>
public delegate Task<StoredJournal> ReadJournal(CancellationToken cancellationToken);

/// <summary>Writes the whole text if the stored version still is <paramref name="version"/>; null when somebody else wrote in between.</summary>
public delegate Task<string?> WriteJournal(string text, string? version, CancellationToken cancellationToken);

/// <summary>
/// The durable record of what was intended and what was done, one per release: append-only JSON Lines, each line carrying the hash
/// of the one before, kept in the cluster because stages run on different agents, and mirrored to a file for people.
/// </summary>
/// <param name="mirror">Path of the mirrored file.</param>
/// <param name="actor">Who runs this, <c>USER@HOST</c>.</param>
/// <param name="run">This run's id.</param>
public sealed class RolloutJournal(string release, ReadJournal read, WriteJournal write, string mirror, string actor, string run, TimeProvider time) : IDisposable
{
    /// <summary>A ConfigMap holds 1 MiB with its metadata; beyond this an append is refused while there is still room for a rollback.</summary>
    private const int Limit = 900_000;

    /// <summary>Written into the first line's data; a journal of a higher version is not touched.</summary>
    private const int SchemaVersion = 1;

    private readonly SemaphoreSlim _oneWriter = new(1, 1);
    private readonly List<JournalEntry> _entries = [];
    private string _text = string.Empty;
    private string? _version;
    private string _head = JournalEntry.Genesis;

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

        var entries = Parse(stored.Text, release);
        _entries.Clear();
        _entries.AddRange(entries);
        (_text, _version) = (stored.Text, stored.Version);
        _head = _text.Length == 0 ? JournalEntry.Genesis : JournalEntry.HashOf(_text.TrimEnd('\n').Split('\n')[^1]);
    }

    /// <summary>Appends one entry; when this returns, it is stored.</summary>
    /// <exception cref="RolloutException">Exit code 5: another run wrote to this journal.</exception>
    public async Task AppendAsync(string step, JournalEvent what, string? part, JsonObject? data, CancellationToken cancellationToken)
    {
        await _oneWriter.WaitAsync(cancellationToken);
        try
        {
            if (_entries.Count == 0)
            {
                data ??= [];
                data["schema"] = SchemaVersion;
                data["release"] = release;
            }

            var entry = new JournalEntry(_entries.Count + 1, time.GetUtcNow(), step, what, part, actor, run, data, _head);
            var line = entry.ToLine();
            var text = _text + line + "\n";
            if (text.Length > Limit)
            {
                throw new RolloutException(
                    $"The journal of {release} has reached {_text.Length} characters and {_entries.Count} entries; the store's limit is {Limit}.",
                    "Roll out under a new release tag.");
            }

            _version = await write(text, _version, cancellationToken)
                ?? throw new RolloutException(
                    $"Another run wrote to the journal of {release} after this one read it (this run knows {_entries.Count} entries).",
                    "Look at ./build.sh --target=Status; start again when the other run has ended.",
                    ExitCode.Refused);
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
    public bool IsDone(string step) =>
        _entries.LastOrDefault(e => e.Step == step && e.Part is null && e.Event is JournalEvent.Done or JournalEvent.Undone) is { } last
        && last.Step == step && last.Event == JournalEvent.Done;

    /// <summary>Whether the part of a step is complete, and the step was not undone since.</summary>
    public bool IsPartDone(string step, string part) =>
        Last(step, JournalEvent.Done, part) is { } done && !_entries.Any(e => e.Sequence > done.Sequence && e.Step == step && e.Event == JournalEvent.Undone);

    /// <summary>The newest entry of that kind; null where there is none.</summary>
    public JournalEntry? Last(string step, JournalEvent what, string? part = null) =>
        _entries.LastOrDefault(e => e.Step == step && e.Event == what && e.Part == part);

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
