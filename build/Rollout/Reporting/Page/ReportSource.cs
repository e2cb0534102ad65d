using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Rollout.Archive;
using Rollout.Journal;

namespace Rollout.Reporting.Page;

/// <summary>What a page is asked for.</summary>
/// <param name="Environment">As <c>production</c>.</param>
/// <param name="Entries">The release's whole journal, oldest first.</param>
/// <param name="Folder">The release's folder: the page is written there, and <c>client.csv</c> and the incident bundle are looked for.</param>
/// <param name="Now">When the page is written.</param>
/// <param name="CommandFor">The command that runs a target with this release.</param>
public sealed record ReportFacts(
    string Release, string Environment, IReadOnlyList<JournalEntry> Entries, string Folder, EvidenceFolder Evidence, DateTimeOffset Now, Func<string, string> CommandFor)
{
    /// <summary>Whether the run that ends now failed and is rolled back next.</summary>
    public bool RollbackFollows { get; init; }
}

/// <summary>A file of evidence on the page.</summary>
/// <param name="Bytes">Null where it is not here.</param>
/// <param name="State">As <c>as written</c>.</param>
internal sealed record ReportedFile(string Path, string Sha256, long? Bytes, string State)
{
    public const string AsWritten = "as written";

    public const string Changed = "changed since";

    public const string Gone = "not on this machine";
}

/// <summary>Everything that a page is drawn from, read. Parts may be missing, which <see cref="Missing"/> tells in sentences; all text is untrusted.</summary>
internal sealed record ReportSource(string Release, string Environment, IReadOnlyList<JournalEntry> Entries, DateTimeOffset Now)
{
    public Func<string, string> CommandFor { get; init; } = target => $"./build.sh --target={target}";

    public bool RollbackFollows { get; init; }

    public IReadOnlyList<WatchFile> Watches { get; init; } = [];

    public ClientSeconds? Client { get; init; }

    public IReadOnlyList<ReportedFile> Files { get; init; } = [];

    /// <summary>The judge's own sentence, by the step that watched; for watches that left no samples.</summary>
    public IReadOnlyDictionary<string, string> Judgements { get; init; } = new Dictionary<string, string>();

    public bool HasIncident { get; init; }

    public IReadOnlyList<string> Missing { get; init; } = [];

    /// <summary>Reads what lies in the release's folder.</summary>
    public static ReportSource Read(ReportFacts facts)
    {
        var missing = new List<string>();
        var files = FilesOf(facts.Entries, facts.Evidence, missing);
        var watches = files.Where(f => f.Bytes is not null && f.Path.EndsWith($"/{WatchFile.Name}", StringComparison.Ordinal))
            .Select(f => WatchFile.Read(facts.Evidence.FullPath(f.Path), f.Path)).OrderBy(w => w.From ?? DateTimeOffset.MaxValue).ToList();
        missing.AddRange(watches.Where(w => w.Broken is not null).Select(w => $"evidence/{w.Path}: {w.Broken}."));
        return new ReportSource(facts.Release, facts.Environment, facts.Entries, facts.Now)
        {
            CommandFor = facts.CommandFor,
            RollbackFollows = facts.RollbackFollows,
            Watches = watches,
            Client = ClientOf(Path.Combine(facts.Folder, ClientSeconds.Name), missing),
            Files = files,
            Judgements = files.Where(f => f.Bytes is < 20_000 && f.Path.EndsWith("/judgement.txt", StringComparison.Ordinal)).DistinctBy(f => f.Path.Split('/')[0])
                .ToDictionary(f => f.Path.Split('/')[0], f => File.ReadAllText(facts.Evidence.FullPath(f.Path))),
            HasIncident = File.Exists(Path.Combine(facts.Folder, "incident", "index.html")),
            Missing = missing,
        };
    }

    private static ClientSeconds? ClientOf(string path, List<string> missing)
    {
        if (!File.Exists(path))
        {
            return null;
        }

        try
        {
            var client = ClientSeconds.Read(File.ReadLines(path));
            if (client.Broken > 0)
            {
                missing.Add($"{ClientSeconds.Name}: {client.Broken} of its lines are no second of a client.");
            }

            return client;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            missing.Add($"{ClientSeconds.Name} cannot be read: {exception.Message}");
            return null;
        }
    }

    // The journal is what counts; the folder's own sums have what failed steps kept besides.
    private static List<ReportedFile> FilesOf(IReadOnlyList<JournalEntry> entries, EvidenceFolder evidence, List<string> missing)
    {
        var recorded = new SortedDictionary<string, string>(StringComparer.Ordinal);
        try
        {
            foreach (var file in evidence.List())
            {
                recorded[file.Path] = file.Sha256;
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            missing.Add($"The folder of evidence cannot be listed: {exception.Message}");
        }

        foreach (var (path, sha256) in entries.SelectMany(e => e.Data?["evidence"] as JsonObject ?? []))
        {
            recorded[path] = sha256 is JsonValue value && value.TryGetValue<string>(out var text) ? text : "none";
        }

        return [.. recorded.Select(r => Look(r.Key, r.Value, evidence))];
    }

    private static ReportedFile Look(string path, string sha256, EvidenceFolder evidence)
    {
        // A path of the journal is joined to the folder; one that is no path, or would lead out of it, is none of ours.
        var full = path.Contains('\0', StringComparison.Ordinal) ? string.Empty : Path.GetFullPath(evidence.FullPath(path));
        if (!full.StartsWith(evidence.Directory + Path.DirectorySeparatorChar, StringComparison.Ordinal) || !File.Exists(full))
        {
            return new ReportedFile(path, sha256, null, ReportedFile.Gone);
        }

        try
        {
            using var stream = File.OpenRead(full);
            var is256 = Convert.ToHexStringLower(SHA256.HashData(stream));
            return new ReportedFile(path, sha256, stream.Length, is256 == sha256 ? ReportedFile.AsWritten : ReportedFile.Changed);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return new ReportedFile(path, sha256, null, $"cannot be read: {exception.Message}");
        }
    }
}
