using System.Globalization;
using Cake.Frosting;
using Rollout.Archive;

namespace Rollout.Tools;

/// <summary>
/// Reads every object of a release's archives again and compares it with the manifest, years later and without a cluster: what was edited, is missing or was added is
/// named. Changes nothing.
/// </summary>
[TaskDescription("Read a release's archives again: every object as it was stored, none missing, none added; needs no cluster")]
public sealed class VerifyArchive : AsyncFrostingTask<RolloutContext>
{
    public override async Task RunAsync(RolloutContext context)
    {
        var release = context.Settings.Release
            ?? throw new RolloutException("VerifyArchive was not told which release.", "For example ./build.sh --target=VerifyArchive --release=v2026.11.1", ExitCode.BadSettings);
        var bucket = Bucket(context);
        using var closed = bucket as IDisposable;
        var root = RolloutRun.ArchiveRoot(context.Settings, release);
        var found = await ComplianceArchive.ExamineAsync(bucket, root, context.Time, context.Console.Progress, context.Token);
        if (found.Count == 0)
        {
            throw new RolloutException($"The bucket has no archive of {release}: there is nothing under '{root}/'.", "Archive.Prefix and --environment are part of that name.");
        }

        var rows = found.Select(f => (IReadOnlyList<string>)
        [
            f.Attempt, string.Create(CultureInfo.InvariantCulture, $"{f.Objects}"), string.Create(CultureInfo.InvariantCulture, $"{f.Bytes / 1e6:0.00}"),
            f.IsUnfinished ? "given up before its end, as a later attempt says" : f.Problems.Count == 0 ? "as it was stored" : $"{f.Problems.Count} problems",
        ]).ToList();
        var problems = found.SelectMany(f => f.Problems).ToList();
        context.Console.Table($"Archive of {release}", ["attempt", "objects", "MB", "seen"], rows);
        problems.ForEach(context.Console.Warning);
        if (problems.Count > 0)
        {
            throw new RolloutException(
                $"The archive of {release} is not as it was stored: {problems[0]}{(problems.Count > 1 ? $", and {problems.Count - 1} more" : string.Empty)}.",
                "Keep the bucket as it is, and find out who wrote to it; the journal's head in the manifest says which history the archive belongs to.");
        }
    }

    // In a rehearsal the world knows its bucket, as long as it runs.
    private static IComplianceBucket Bucket(RolloutContext context) => RolloutRun.BucketOf(
        context.Settings["Archive.Directory"]
            ?? (context.Settings.Environment == RolloutEnvironment.Embedded && context.EmbeddedWorld().Running() is { } world ? world.GetProperty("bucket").GetString() : null),
        context);
}
