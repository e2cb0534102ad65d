using System.Security.Cryptography;
using System.Text;

namespace Rollout.Archive;

/// <summary>One file that a step left.</summary>
/// <param name="Path">Relative to the folder, with slashes.</param>
/// <param name="Sha256">Lower-case hexadecimal.</param>
public sealed record EvidenceFile(string Path, string Sha256, long Bytes);

/// <summary>
/// The files a rollout leaves for people and auditors: <c>DIRECTORY/STEP/NAME</c>, readable by the owner only, with a <c>SHA256SUMS</c>
/// beside
/// them that <c>sha256sum -c</c> understands.
/// </summary>
/// <param name="directory">Created when the first file is written.</param>
public sealed class EvidenceFolder(string directory)
{
    private const string SumsName = "SHA256SUMS";
    private const UnixFileMode OwnerDirectory = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
    private const UnixFileMode OwnerFile = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    private readonly Lock _sums = new();

    public string Directory { get; } = Path.GetFullPath(directory);

    /// <summary>Writes text as UTF-8. A file of the same step and name is replaced as a whole.</summary>
    /// <param name="step">One path segment, as <c>ExportHealthSnapshot</c>.</param>
    /// <param name="name">One or more segments with slashes; letters, digits, dots, hyphens and underscores.</param>
    /// <exception cref="RolloutException">A name could lead elsewhere.</exception>
    public Task<EvidenceFile> WriteAsync(string step, string name, string content, CancellationToken cancellationToken) =>
        WriteAsync(step, name, Encoding.UTF8.GetBytes(content), cancellationToken);

    /// <summary>Writes bytes. A file of the same step and name is replaced as a whole; at no instant half a file has its name.</summary>
    /// <exception cref="RolloutException">A name could lead elsewhere.</exception>
    public Task<EvidenceFile> WriteAsync(string step, string name, ReadOnlyMemory<byte> content, CancellationToken cancellationToken)
    {
        CheckSegment(step, step);
        foreach (var segment in name.Split('/'))
        {
            CheckSegment(segment, name);
        }

        return Task.Run(() => Write($"{step}/{name}", content.Span), cancellationToken);
    }

    /// <summary>The recorded files, sorted by path; a recorded file that is gone has -1 bytes.</summary>
    /// <param name="step">Only this step's; null for all.</param>
    public IReadOnlyList<EvidenceFile> List(string? step = null) =>
        [.. ReadSums().Where(s => IsOf(s.Key, step)).Select(s => (Sum: s, File: new FileInfo(FullPath(s.Key))))
            .Select(f => new EvidenceFile(f.Sum.Key, f.Sum.Value, f.File.Exists ? f.File.Length : -1))];

    /// <summary>The full path of a recorded file.</summary>
    public string FullPath(string relative) => Path.Combine(Directory, relative);

    /// <summary>Whether a recorded file is here as it was written.</summary>
    public bool Has(string path) => ReadSums().TryGetValue(path, out var sha256) && Find(path, sha256) is not null;

    /// <summary>The content of a file, if it is here and has this digest; null else.</summary>
    public byte[]? Find(string? path, string? sha256)
    {
        if (path is null || !File.Exists(FullPath(path)))
        {
            return null;
        }

        var bytes = File.ReadAllBytes(FullPath(path));
        return Convert.ToHexStringLower(SHA256.HashData(bytes)) == sha256 ? bytes : null;
    }

    /// <summary>What is not as it was written, in sentences: files changed, gone, or there without a record. Empty where all is
    /// well.</summary>
    /// <param name="step">Only this step's; null for all.</param>
    public IReadOnlyList<string> Verify(string? step = null) => Verify(step, ProblemOf);

    /// <summary>As <see cref="Verify(string?)"/>, but for the files' contents, which whoever reads them next looks at.</summary>
    public IReadOnlyList<string> VerifyNames(string? step = null) => Verify(step, (path, _) => File.Exists(FullPath(path)) ? null : $"'{path}' is gone.");

    private List<string> Verify(string? step, Func<string, string, string?> problemOf)
    {
        var sums = ReadSums();
        List<string> problems = [.. sums.Where(s => IsOf(s.Key, step)).ToList().AsParallel().AsOrdered().Select(s => problemOf(s.Key, s.Value)).OfType<string>()];
        if (System.IO.Directory.Exists(Directory))
        {
            var there = System.IO.Directory.EnumerateFiles(Directory, "*", SearchOption.AllDirectories)
                .Select(f => Path.GetRelativePath(Directory, f).Replace(Path.DirectorySeparatorChar, '/'));
            // Files in the folder itself are not a step's: the sums, and the journal's mirror where it is kept here.
            problems.AddRange(
                there.Where(
                    f => f.Contains('/', StringComparison.Ordinal) && IsOf(f, step) && !IsUnfinished(f) && !sums.ContainsKey(f)).Order(StringComparer.Ordinal).Select(f =>
                        $"'{f}' is not recorded."));
        }

        return problems;
    }

    private string? ProblemOf(string path, string sha256)
    {
        if (!File.Exists(FullPath(path)))
        {
            return $"'{path}' is gone.";
        }

        var actual = FileDigest.Of(FullPath(path));
        return actual == sha256 ? null : $"'{path}' was changed: its SHA-256 is {actual}, {sha256} was recorded.";
    }

    private static bool IsOf(string path, string? step) => step is null || path.StartsWith(step + "/", StringComparison.Ordinal);

    // What a killed run had not finished writing: no file of evidence begins with a dot.
    private static bool IsUnfinished(string path) => path[(path.LastIndexOf('/') + 1)..].StartsWith('.');

    private static void CheckSegment(string segment, string name)
    {
        var legal = segment.Length is > 0 and <= 128
            && segment[0] != '.'
            && segment.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_');
        if (!legal)
        {
            throw new RolloutException(
                $"'{name}' cannot name a file of evidence: its parts need letters, digits, dots, hyphens or underscores, no dot first.");
        }
    }

    private void Replace(string path, ReadOnlySpan<byte> content)
    {
        CreateDirectory(Path.GetDirectoryName(path)!);
        foreach (var left in System.IO.Directory.EnumerateFiles(Path.GetDirectoryName(path)!, $".{Path.GetFileName(path)}.*"))
        {
            File.Delete(left);
        }

        var temporary = Path.Combine(Path.GetDirectoryName(path)!, $".{Path.GetFileName(path)}.{Guid.NewGuid():N}");
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = OwnerFile;
        }

        try
        {
            using (var stream = new FileStream(temporary, options))
            {
                stream.Write(content);
                stream.Flush(flushToDisk: true);
            }

            File.Move(temporary, path, overwrite: true);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }
    }

    private void CreateDirectory(string path)
    {
        if (OperatingSystem.IsWindows())
        {
            System.IO.Directory.CreateDirectory(path);
            return;
        }

        // The mode is given to the last directory only, so each of ours is made by itself.
        if (path.Length > Directory.Length)
        {
            CreateDirectory(Path.GetDirectoryName(path)!);
        }

        System.IO.Directory.CreateDirectory(path, OwnerDirectory);
    }

    private EvidenceFile Write(string relative, ReadOnlySpan<byte> content)
    {
        var file = new EvidenceFile(relative, Convert.ToHexStringLower(SHA256.HashData(content)), content.Length);
        lock (_sums)
        {
            Replace(Path.Combine(Directory, relative), content);
            var sums = ReadSums();
            sums[relative] = file.Sha256;
            Replace(Path.Combine(Directory, SumsName), Encoding.UTF8.GetBytes(string.Concat(sums.Select(s => $"{s.Value}  {s.Key}\n"))));
        }

        return file;
    }

    private SortedDictionary<string, string> ReadSums()
    {
        var sums = new SortedDictionary<string, string>(StringComparer.Ordinal);
        var path = Path.Combine(Directory, SumsName);
        foreach (var line in File.Exists(path) ? File.ReadLines(path) : [])
        {
            if (line.Length > 66 && line[64..66] == "  ")
            {
                sums[line[66..]] = line[..64];
            }
        }

        return sums;
    }
}
