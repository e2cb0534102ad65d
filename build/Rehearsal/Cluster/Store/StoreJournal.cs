using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Rehearsal.Cluster;

/// <summary>
/// The store on disk: <c>objects.snapshot</c> and <c>objects.journal</c>, one change a line. A change is in the file's pages before
/// it is answered, so it survives the end of the process by any signal; a last line cut in the middle is dropped at the next start.
/// </summary>
internal sealed class StoreJournal : IDisposable
{
    private const long CompactAfterBytes = 24 * 1024 * 1024;
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    private readonly string _snapshotPath;
    private readonly FileStream _journal;

    public StoreJournal(string directory)
    {
        Directory.CreateDirectory(directory);
        _snapshotPath = Path.Combine(directory, "objects.snapshot");
        var options = new FileStreamOptions
        {
            Mode = FileMode.OpenOrCreate,
            Access = FileAccess.ReadWrite,
            Share = FileShare.Read,
            BufferSize = 0,
        };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = OwnerOnly;
        }

        _journal = new FileStream(Path.Combine(directory, "objects.journal"), options);
    }

    /// <summary>True when the journal has grown so long that a snapshot is due.</summary>
    public bool ShouldCompact => _journal.Length > CompactAfterBytes;

    /// <summary>Everything stored, and the last revision. Leaves the journal cut to its last whole line.</summary>
    public (Dictionary<ObjectKey, StoredObject> Objects, long Revision) Load()
    {
        var objects = new Dictionary<ObjectKey, StoredObject>();
        var revision = 0L;
        if (File.Exists(_snapshotPath))
        {
            Replay(File.ReadAllBytes(_snapshotPath), objects, ref revision, 0);
        }

        var journal = new byte[_journal.Length];
        _journal.Seek(0, SeekOrigin.Begin);
        _journal.ReadExactly(journal);
        var whole = Replay(journal, objects, ref revision, revision);
        if (whole < journal.Length)
        {
            _journal.SetLength(whole);
        }

        _journal.Seek(0, SeekOrigin.End);
        return (objects, revision);
    }

    public void Put(StoredObject stored) => Append(PutLine(stored));

    public void Delete(ObjectKey key, long revision) =>
        Append(Encoding.UTF8.GetBytes($"delete {revision} {Segment(key.Group)} {key.Resource} {Segment(key.Namespace)} {key.Name}\n"));

    /// <summary>Writes the whole state beside the old snapshot, puts it in its place and empties the journal.</summary>
    public void Compact(IEnumerable<StoredObject> objects, long revision)
    {
        var fresh = _snapshotPath + ".new";
        var options = new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = OwnerOnly;
        }

        using (var file = new FileStream(fresh, options))
        {
            foreach (var stored in objects)
            {
                file.Write(PutLine(stored));
            }

            file.Write(Encoding.UTF8.GetBytes($"revision {revision}\n"));
            file.Flush(flushToDisk: true);
        }

        File.Move(fresh, _snapshotPath, overwrite: true);
        _journal.SetLength(0);
        _journal.Seek(0, SeekOrigin.Begin);
    }

    public void Dispose() => _journal.Dispose();

    private static byte[] PutLine(StoredObject stored)
    {
        var head = Encoding.UTF8.GetBytes(
            $"put {stored.Revision} {Segment(stored.Key.Group)} {stored.Key.Resource} {Segment(stored.Key.Namespace)} {stored.Key.Name} ");
        var line = new byte[head.Length + stored.Json.Length + 1];
        head.CopyTo(line, 0);
        stored.Json.CopyTo(line, head.Length);
        line[^1] = (byte)'\n';
        return line;
    }

    private static string Segment(string? value) => string.IsNullOrEmpty(value) ? "-" : value;

    private void Append(byte[] line)
    {
        var end = _journal.Position;
        try
        {
            _journal.Write(line);
        }
        catch (IOException)
        {
            // A full disk must not leave half a line before the next whole one.
            _journal.SetLength(end);
            throw;
        }
    }

    /// <summary>Applies the lines newer than <paramref name="after"/>; returns how many bytes were whole lines.</summary>
    private static int Replay(byte[] text, Dictionary<ObjectKey, StoredObject> objects, ref long revision, long after)
    {
        var start = 0;
        while (start < text.Length)
        {
            var end = Array.IndexOf(text, (byte)'\n', start);
            if (end < 0 || !ReplayLine(text.AsSpan(start, end - start), objects, ref revision, after))
            {
                return start;
            }

            start = end + 1;
        }

        return start;
    }

    private static bool ReplayLine(ReadOnlySpan<byte> line, Dictionary<ObjectKey, StoredObject> objects, ref long revision, long after)
    {
        var rest = line;
        var verb = Next(ref rest);
        if (!long.TryParse(Next(ref rest), NumberStyles.None, CultureInfo.InvariantCulture, out var at))
        {
            return false;
        }

        if (verb == "revision")
        {
            revision = Math.Max(revision, at);
            return true;
        }

        var group = Next(ref rest);
        group = group == "-" ? "" : group;
        var resource = Next(ref rest);
        var ns = Next(ref rest);
        var key = new ObjectKey(group, resource, ns == "-" ? null : ns, Next(ref rest));
        if (ResourceCatalog.Find(group, resource) is not { } type || key.Name.Length == 0)
        {
            return false;
        }

        // A snapshot taken just before the process ended leaves lines in the journal that it already holds.
        if (after > 0 && at <= after)
        {
            return true;
        }

        switch (verb)
        {
            case "put":
                try
                {
                    objects[key] = StoredJson.Thaw(key, type, rest.ToArray(), at);
                }
                catch (JsonException)
                {
                    return false;
                }

                break;
            case "delete":
                objects.Remove(key);
                break;
            default:
                return false;
        }

        revision = Math.Max(revision, at);
        return true;
    }

    private static string Next(ref ReadOnlySpan<byte> rest)
    {
        var space = rest.IndexOf((byte)' ');
        var word = space < 0 ? rest : rest[..space];
        rest = space < 0 ? [] : rest[(space + 1)..];
        return Encoding.UTF8.GetString(word);
    }
}
