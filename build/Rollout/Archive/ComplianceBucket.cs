using System.Buffers;
using System.Security.Cryptography;

namespace Rollout.Archive;

/// <summary>One object of a bucket.</summary>
public sealed record BucketObject(string Key, long Bytes);

/// <summary>Where the artefacts of a rollout are kept for auditors (playbook 4.3). What was stored once is never replaced.</summary>
public interface IComplianceBucket
{
    /// <summary>
    /// Stores the file and proves it by reading it back. The same content under the same key is left as it is, so an interrupted run can be
    /// repeated.
    /// </summary>
    /// <param name="key">Segments of letters, digits, dots, hyphens and underscores, with slashes.</param>
    /// <param name="file">Its path.</param>
    /// <param name="sha256">What the file must have; lower-case hexadecimal.</param>
    /// <param name="mayBeThere">False where a list told that the key is free.</param>
    /// <returns>Whether it was stored now; false where it was there.</returns>
    /// <exception cref="RolloutException">The key holds other content, the file is not the one recorded, or the bucket refuses.</exception>
    Task<bool> PutAsync(string key, string file, string sha256, bool mayBeThere, CancellationToken cancellationToken);

    /// <summary>All objects whose key begins with the prefix, sorted by key.</summary>
    Task<IReadOnlyList<BucketObject>> ListAsync(string prefix, CancellationToken cancellationToken);

    /// <summary>The content of a small object, as a manifest is.</summary>
    /// <exception cref="RolloutException">There is none, or it is larger than 64 MiB.</exception>
    Task<byte[]> ReadAsync(string key, CancellationToken cancellationToken);

    /// <summary>The SHA-256 of what the object holds now, in lower-case hexadecimal. Its content is read and not kept.</summary>
    /// <exception cref="RolloutException">There is none.</exception>
    Task<string> DigestAsync(string key, CancellationToken cancellationToken);
}

/// <summary>A directory as bucket: for the embedded environment and for kind.</summary>
/// <param name="directory">Created when needed.</param>
public sealed class DirectoryBucket(string directory) : IComplianceBucket
{
    private readonly string _directory = Path.GetFullPath(directory);

    public async Task<bool> PutAsync(string key, string file, string sha256, bool mayBeThere, CancellationToken cancellationToken)
    {
        var target = Path.Combine(_directory, BucketKey.Check(key));
        if (File.Exists(target))
        {
            await CompareAsync(key, target, sha256, cancellationToken);
            return false;
        }

        Directory.CreateDirectory(Path.GetDirectoryName(target)!);
        var temporary = Path.Combine(Path.GetDirectoryName(target)!, $".{Path.GetFileName(target)}.{Guid.NewGuid():N}");
        try
        {
            File.Copy(file, temporary);
            using (var copy = File.OpenHandle(temporary, FileMode.Open, FileAccess.ReadWrite))
            {
                RandomAccess.FlushToDisk(copy);
            }

            // Read back under a name that nobody sees, so that what gets the key's name is proven.
            await FileDigest.ExpectAsync(temporary, sha256, file, cancellationToken);
            File.Move(temporary, target, overwrite: false);
            return true;
        }
        catch (IOException) when (File.Exists(target))
        {
            // Somebody else was faster.
            await CompareAsync(key, target, sha256, cancellationToken);
            return false;
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    public Task<IReadOnlyList<BucketObject>> ListAsync(string prefix, CancellationToken cancellationToken)
    {
        IReadOnlyList<BucketObject> found = !Directory.Exists(_directory)
            ? []
            : [.. new DirectoryInfo(_directory).EnumerateFiles("*", SearchOption.AllDirectories)
                .Where(f => f.Name[0] != '.')
                .Select(
                    f => new BucketObject(Path.GetRelativePath(_directory, f.FullName).Replace(Path.DirectorySeparatorChar, '/'), f.Length))
                .Where(o => o.Key.StartsWith(prefix, StringComparison.Ordinal))
                .OrderBy(o => o.Key, StringComparer.Ordinal)];
        return Task.FromResult(found);
    }

    public async Task<byte[]> ReadAsync(string key, CancellationToken cancellationToken)
    {
        const int largest = 64 * 1024 * 1024;
        var path = Existing(key);
        return new FileInfo(path).Length <= largest
            ? await File.ReadAllBytesAsync(path, cancellationToken)
            : throw BucketKey.TooLarge(key, largest);
    }

    public Task<string> DigestAsync(string key, CancellationToken cancellationToken) => FileDigest.OfAsync(Existing(key), cancellationToken);

    private string Existing(string key)
    {
        var path = Path.Combine(_directory, BucketKey.Check(key));
        return File.Exists(path) ? path : throw new RolloutException($"The bucket '{_directory}' holds no '{key}'.");
    }

    private static async Task CompareAsync(string key, string path, string sha256, CancellationToken cancellationToken)
    {
        var actual = await FileDigest.OfAsync(path, cancellationToken);
        if (actual != sha256)
        {
            throw BucketKey.Taken(key, actual, sha256);
        }
    }
}

/// <summary>The digest of a file.</summary>
internal static class FileDigest
{
    private const int PartBytes = 256 * 1024;

    public delegate void SpanAction(ReadOnlySpan<byte> part);

    /// <summary>In lower-case hexadecimal.</summary>
    public static string Of(string file, CancellationToken cancellationToken = default)
    {
        using var sha = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Read(file, part => sha.AppendData(part), cancellationToken);
        return Convert.ToHexStringLower(sha.GetHashAndReset());
    }

    public static Task<string> OfAsync(string file, CancellationToken cancellationToken) => Task.Run(() => Of(file, cancellationToken), cancellationToken);

    // In large parts and without a wait between two: the library's own hash of a stream reads 4 KiB at a time.
    public static void Read(string file, SpanAction part, CancellationToken cancellationToken)
    {
        using var handle = File.OpenHandle(file, FileMode.Open, FileAccess.Read, FileShare.Read, FileOptions.SequentialScan);
        var buffer = ArrayPool<byte>.Shared.Rent(PartBytes);
        try
        {
            var at = 0L;
            int count;
            while ((count = RandomAccess.Read(handle, buffer.AsSpan(0, PartBytes), at)) > 0)
            {
                cancellationToken.ThrowIfCancellationRequested();
                part(buffer.AsSpan(0, count));
                at += count;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    public static async Task ExpectAsync(string file, string sha256, string named, CancellationToken cancellationToken) =>
        Expect(await OfAsync(file, cancellationToken), sha256, named);

    public static void Expect(string actual, string sha256, string named)
    {
        if (actual != sha256)
        {
            throw new RolloutException($"'{named}' was changed since it was recorded: its SHA-256 is {actual}, not {sha256}.");
        }
    }
}

/// <summary>Keys that mean the same to every bucket and need no escaping.</summary>
internal static class BucketKey
{
    /// <returns>The key.</returns>
    /// <exception cref="RolloutException">It is not one that every bucket takes.</exception>
    public static string Check(string key)
    {
        var legal = key.Length is > 0 and <= 900
            && key.Split('/').All(s => s.Length > 0 && s[0] != '.' && s.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_'));
        return legal
            ? key
            : throw new RolloutException($"'{key}' cannot be a key: its segments need letters, digits, dots, hyphens or underscores.");
    }

    public static RolloutException TooLarge(string key, int largest) =>
        new($"'{key}' is larger than a manifest can be ({largest / (1024 * 1024)} MiB).", "Somebody else wrote it; keep the bucket as it is and find out who.");

    public static RolloutException Taken(string key, string actual, string sha256) => new(
        $"The bucket holds other content under '{key}': SHA-256 {actual}, to be stored was {sha256}.",
        "What is archived stays. Archive this attempt under a prefix of its own.");
}
