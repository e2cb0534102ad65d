using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace Rollout.Archive;

/// <summary>One archived object.</summary>
/// <param name="Key">Relative to the archive's folder.</param>
public sealed record ArchivedObject(string Key, string Sha256, long Bytes);

/// <summary>What an archive holds, and the journal's state it belongs to.</summary>
/// <param name="JournalHead">The hash that the journal's chain ended with: it binds the archive to the whole history before it.</param>
/// <param name="Unfinished">Attempts of the same release that were given up before they had a manifest; what they left in the bucket is nobody's evidence.</param>
public sealed record ArchiveManifest(int Version, string Release, string JournalHead, IReadOnlyList<ArchivedObject> Objects, IReadOnlyList<string> Unfinished)
{
    private static readonly JsonSerializerOptions Format = new(JsonSerializerDefaults.Web) { WriteIndented = true, NewLine = "\n" };

    /// <summary>The manifest as it is stored: the same archive gives the same bytes, so nothing in it tells the time.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, Format) + "\n";

    /// <exception cref="RolloutException">The text is no manifest of this version.</exception>
    public static ArchiveManifest Parse(string json)
    {
        try
        {
            // One of before it named unfinished attempts has none.
            return JsonSerializer.Deserialize<ArchiveManifest>(json, Format) is { Version: 1, Objects: not null } manifest
                ? manifest with { Unfinished = manifest.Unfinished ?? [] }
                : throw new RolloutException("The archive's manifest is not of version 1.");
        }
        catch (JsonException exception)
        {
            throw new RolloutException($"The archive's manifest cannot be read: {exception.Message}", null, ExitCode.Failed, exception);
        }
    }
}

/// <summary>Files to archive.</summary>
/// <param name="Step">Only this step's; null for all of the folder.</param>
public sealed record ArchiveSource(EvidenceFolder Folder, string? Step = null);

/// <summary>What was found of one attempt at archiving a release.</summary>
/// <param name="Attempt">The folder's name.</param>
/// <param name="IsUnfinished">Another attempt's manifest says that it was given up.</param>
/// <param name="Problems">What is not as archived, in sentences.</param>
public sealed record ArchiveFinding(string Attempt, int Objects, long Bytes, bool IsUnfinished, IReadOnlyList<string> Problems);

/// <summary>Puts a rollout's evidence into the compliance bucket and proves later that it is still what was put there (playbook
/// 4.3).</summary>
public static class ComplianceArchive
{
    private const int AtOnce = 8;

    /// <summary>
    /// Stores every file of evidence, then a manifest. Interrupted and repeated, it goes on where it was: what is there already is left.
    /// </summary>
    /// <param name="root">The keys' first part, <c>PREFIX/ENVIRONMENT/RELEASE</c>.</param>
    /// <param name="attempt">The next part: another attempt needs another.</param>
    /// <param name="journalHead">The last hash of the journal's chain.</param>
    /// <param name="progress">Told every two seconds how far it is, and the end.</param>
    /// <exception cref="RolloutException">The evidence is not as recorded, a key holds other content, or the bucket refuses.</exception>
    public static async Task<ArchiveManifest> StoreAsync(
        string release,
        IReadOnlyList<ArchiveSource> sources,
        IComplianceBucket bucket,
        string root,
        string attempt,
        string journalHead,
        TimeProvider time,
        IProgress<string> progress,
        CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(sources);
        ArgumentNullException.ThrowIfNull(bucket);
        ArgumentNullException.ThrowIfNull(progress);
        ArgumentNullException.ThrowIfNull(time);
        foreach (var source in sources)
        {
            // Each file's content is looked at when it is stored: one that was changed since gets no key, and the attempt no manifest.
            if (source.Folder.VerifyNames(source.Step) is { Count: > 0 } problems)
            {
                throw new RolloutException($"The evidence in '{source.Folder.Directory}' is not as it was written: {string.Join(" ", problems)}");
            }
        }

        var files = sources.SelectMany(s => s.Folder.List(s.Step), (source, file) => (source.Folder, File: file)).ToList();
        if (files.Count == 0)
        {
            throw new RolloutException($"There is no evidence in '{sources[0].Folder.Directory}' to archive.");
        }

        var folder = $"{root}/{attempt}";
        var attempts = await AttemptsAsync(bucket, root, cancellationToken);
        var there = attempts.GetValueOrDefault(attempt)?.Select(o => o.Key).ToHashSet(StringComparer.Ordinal) ?? [];
        var unfinished = attempts.Where(a => a.Key != attempt && !a.Value.Any(o => IsManifest(o.Key, $"{root}/{a.Key}"))).Select(a => a.Key);
        var count = new Count("archived", files.Count, files.Sum(f => f.File.Bytes), time, progress);
        var stored = 0;
        await EachAsync(
            files,
            async (one, _, token) =>
            {
                var (from, file) = one;
                var key = $"{folder}/{file.Path}";
                if (await bucket.PutAsync(key, from.FullPath(file.Path), file.Sha256, there.Contains(key), token))
                {
                    Interlocked.Increment(ref stored);
                }

                count.Add(file.Bytes);
            },
            cancellationToken);

        var manifest = new ArchiveManifest(1, release, journalHead, [.. files.Select(f => new ArchivedObject(f.File.Path, f.File.Sha256, f.File.Bytes))], [.. unfinished]);
        await StoreManifestAsync(manifest, bucket, folder, cancellationToken);
        progress.Report($"archived {files.Count} files under {folder}, {files.Count - stored} of them were there");
        return manifest;
    }

    /// <summary>Reads everything of a release again: every attempt, and every object of each. Empty where nothing was archived.</summary>
    public static async Task<IReadOnlyList<ArchiveFinding>> ExamineAsync(
        IComplianceBucket bucket, string root, TimeProvider time, IProgress<string> progress, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(bucket);
        var findings = new List<ArchiveFinding>();
        var unfinished = new HashSet<string>(StringComparer.Ordinal);
        foreach (var (attempt, objects) in await AttemptsAsync(bucket, root, cancellationToken))
        {
            var folder = $"{root}/{attempt}";
            foreach (var key in objects.Select(o => o.Key).Where(k => IsManifest(k, folder)))
            {
                var json = await bucket.ReadAsync(key, cancellationToken);
                if (ManifestKey(folder, json) == key)
                {
                    unfinished.UnionWith(ArchiveManifest.Parse(Encoding.UTF8.GetString(json)).Unfinished);
                }
            }

            findings.Add(new ArchiveFinding(attempt, objects.Count, objects.Sum(o => o.Bytes), false, await VerifyAsync(bucket, folder, time, progress, cancellationToken)));
        }

        // It had no manifest when it was given up, so one with a manifest is not among them, whatever is said of it.
        return [.. findings.Select(f => unfinished.Contains(f.Attempt) && f.Problems.Contains(NoManifest($"{root}/{f.Attempt}")) ? f with { IsUnfinished = true, Problems = [] } : f)];
    }

    /// <summary>What is not as archived in one attempt, in sentences; empty where every object of every manifest is there and unchanged.</summary>
    public static async Task<IReadOnlyList<string>> VerifyAsync(
        IComplianceBucket bucket, string folder, TimeProvider time, IProgress<string> progress, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(bucket);
        ArgumentNullException.ThrowIfNull(progress);
        ArgumentNullException.ThrowIfNull(time);
        var keys = (await bucket.ListAsync(folder + "/", cancellationToken)).Select(o => o.Key).ToHashSet(StringComparer.Ordinal);
        var manifests = keys.Where(k => IsManifest(k, folder)).Order(StringComparer.Ordinal).ToList();
        var problems = new List<string>();
        if (manifests.Count == 0)
        {
            problems.Add(NoManifest(folder));
        }

        var known = new HashSet<string>(manifests, StringComparer.Ordinal);
        var archived = new List<ArchivedObject>();
        foreach (var key in manifests)
        {
            var json = await bucket.ReadAsync(key, cancellationToken);
            if (ManifestKey(folder, json) != key)
            {
                problems.Add($"'{key}' was changed: its name is not its digest any more");
                continue;
            }

            archived.AddRange(ArchiveManifest.Parse(Encoding.UTF8.GetString(json)).Objects.Where(o => known.Add($"{folder}/{o.Key}")));
        }

        var count = new Count("read", archived.Count, archived.Sum(o => o.Bytes), time, progress);
        var seen = new string?[archived.Count];
        await EachAsync(
            archived,
            async (one, index, token) =>
            {
                seen[index] = await CheckAsync(bucket, $"{folder}/{one.Key}", one, keys, token);
                count.Add(one.Bytes);
            },
            cancellationToken);
        problems.AddRange(seen.OfType<string>());
        problems.AddRange(keys.Where(k => !known.Contains(k)).Order(StringComparer.Ordinal).Select(k => $"'{k}' is in no manifest"));
        return problems;
    }

    private static async Task<SortedDictionary<string, List<BucketObject>>> AttemptsAsync(IComplianceBucket bucket, string root, CancellationToken cancellationToken) =>
        new(
            (await bucket.ListAsync(root + "/", cancellationToken)).GroupBy(o => o.Key[(root.Length + 1)..].Split('/')[0], StringComparer.Ordinal).ToDictionary(a => a.Key, a => a.ToList()),
            StringComparer.Ordinal);

    private static string NoManifest(string folder) => $"there is no manifest under '{folder}'";

    private static Task EachAsync<T>(IReadOnlyList<T> items, Func<T, int, CancellationToken, Task> body, CancellationToken cancellationToken) => Parallel.ForEachAsync(
        items.Index(),
        new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = cancellationToken },
        async (item, token) => await body(item.Item, item.Index, token));

    private static async Task<string?> CheckAsync(
        IComplianceBucket bucket, string key, ArchivedObject archived, HashSet<string> keys, CancellationToken cancellationToken)
    {
        if (!keys.Contains(key))
        {
            return $"'{key}' is gone";
        }

        var actual = await bucket.DigestAsync(key, cancellationToken);
        return actual == archived.Sha256 ? null : $"'{key}' was changed: its SHA-256 is {actual}, not {archived.Sha256}";
    }

    private static async Task StoreManifestAsync(
        ArchiveManifest manifest, IComplianceBucket bucket, string folder, CancellationToken cancellationToken)
    {
        var json = Encoding.UTF8.GetBytes(manifest.ToJson());
        var file = Path.GetTempFileName();
        try
        {
            await File.WriteAllBytesAsync(file, json, cancellationToken);
            await bucket.PutAsync(ManifestKey(folder, json), file, Convert.ToHexStringLower(SHA256.HashData(json)), mayBeThere: true, cancellationToken);
        }
        finally
        {
            File.Delete(file);
        }
    }

    private static string ManifestKey(string folder, byte[] json) =>
        $"{folder}/manifest-{Convert.ToHexStringLower(SHA256.HashData(json))[..16]}.json";

    private static bool IsManifest(string key, string folder) =>
        key.StartsWith($"{folder}/manifest-", StringComparison.Ordinal)
            && key.EndsWith(".json", StringComparison.Ordinal)
            && key.LastIndexOf('/') == folder.Length;

    /// <summary>Tells every two seconds how far it is.</summary>
    private sealed class Count(string done, int files, long bytes, TimeProvider time, IProgress<string> progress)
    {
        private readonly Lock _lock = new();
        private long _told = time.GetTimestamp();
        private int _files;
        private long _bytes;

        public void Add(long moved)
        {
            lock (_lock)
            {
                _files++;
                _bytes += moved;
                if (time.GetElapsedTime(_told) >= Waiting.QuietTime)
                {
                    _told = time.GetTimestamp();
                    progress.Report(string.Create(CultureInfo.InvariantCulture, $"{done} {_files} of {files} files, {_bytes / 1e6:0} of {bytes / 1e6:0} MB"));
                }
            }
        }
    }
}
