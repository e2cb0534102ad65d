using System.Text.Json.Nodes;
using Cake.Frosting;
using Rollout.Cluster;
using Rollout.Supply;

namespace Rollout.Playbook;

/// <summary>
/// "Ensure the container image for the new version is pushed and tagged. Record the Helm chart version that encapsulates the ingress and
/// secret changes."
/// <para>Changes: nothing but the record. Done when: every image of the rendered chart has a digest, the checkout stands on the tag's
/// commit, which is the tag's on GitHub too, and the chart is packed. Undone by: nothing to undo.</para>
/// </summary>
[TaskDescription("1.1 Tag the release: every image is pushed and tagged, chart version and digests are recorded")]
public sealed class TagRelease : PlaybookStep
{
    private static readonly string[] Moving = ["latest", "stable", "main", "master", "edge", "nightly", "dev", "develop", "staging", "production", "prod"];

    protected override async Task<StepPlan> CheckAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var commit = await run.Checkout.CommitOfTagAsync(run.Release, cancellationToken);
        var head = await run.Checkout.HeadAsync(cancellationToken);
        if (head != commit)
        {
            throw new RolloutException(
                $"The checkout {run.Surroundings.Platform} stands on {head[..12]}, but the tag {run.Release} is {commit[..12]}.",
                $"Run: git -C {run.Surroundings.Platform} checkout {run.Release}");
        }

        var pushed = await run.GitHub.TagCommitAsync(run.Release, cancellationToken);
        return pushed == commit
            ? new StepPlan($"record the images' digests and the chart of {run.Release} (commit {commit[..12]})")
            : throw new RolloutException(
                pushed is null
                    ? $"GitHub's {run.Surroundings.GithubRepository} has no tag {run.Release}, or this token may not see it; the checkout's is {commit[..12]}."
                    : $"The tag {run.Release} is {commit[..12]} in the checkout and {pushed[..12]} on GitHub: one of them was moved.",
                pushed is null ? $"Push it: git -C {run.Surroundings.Platform} push origin {run.Release}" : $"Find out which is right, then fetch it: git -C {run.Surroundings.Platform} fetch --tags --force",
                ExitCode.Refused);
    }

    protected override async Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        var rendered = await run.RenderAsync(run.Candidate, new ChartValues(), "candidate", cancellationToken);
        var images = rendered.Images.Select(ImageReference.Parse).ToList();
        RefuseMovingTags(run, images);
        var wrong = images.Where(i => i.Tag != run.Release && i.Digest is null).ToList();
        if (wrong.Count > 0)
        {
            throw new RolloutException(
                $"{wrong.Count} of {images.Count} images of the rendered chart do not carry the tag {run.Release}, the first is {wrong[0]}.",
                "Set the tag in the chart's or the overlay's values of this release.");
        }

        var resolved = await Task.WhenAll(images.Select(i => run.Registry.ResolveAsync(i, cancellationToken)));
        var (pins, platforms) = (new JsonObject(), new JsonObject());
        foreach (var (image, found) in images.Zip(resolved))
        {
            var name = $"{image.Registry}/{image.Repository}";
            pins[name] = $"{image.Tag}@{found.Digest}";
            if (found.PlatformDigest is not null)
            {
                platforms[name] = found.PlatformDigest;
            }
        }

        var chart = run.Checkout.ChartVersion(run.Settings["Chart.Path"]!);
        journal.Result["commit"] = await run.Checkout.HeadAsync(cancellationToken);
        journal.Result["chart"] = $"{chart.Name}-{chart.Version}";
        journal.Result[ReleaseInputs.Key] = (await ReleaseInputs.ReadAsync(run, cancellationToken)).ToJson();
        journal.Result["images"] = pins;
        journal.Result["platforms"] = platforms;
        journal.Result["package"] = await PackageAsync(run, chart, cancellationToken);
        journal.Result["githubRelease"] = await ReleaseAsync(run, cancellationToken);
        await journal.KeepAsync("release.json", journal.Result.ToJsonString());
        run.Console.Note($"{images.Count} images, chart {chart.Name} {chart.Version} (app {chart.AppVersion})");
    }

    // A tag that moves is another image tomorrow, and what was rehearsed is not what is rolled out. In a rehearsal nobody is harmed.
    private static void RefuseMovingTags(RolloutRun run, List<ImageReference> images)
    {
        var moving = images.Where(i => i.Digest is null && Moving.Contains(i.Tag, StringComparer.OrdinalIgnoreCase)).ToList();
        if (moving.Count > 0 && !run.Settings.RunsWholeChain)
        {
            throw new RolloutException(
                $"{moving.Count} of {images.Count} images have a tag that moves, the first is {moving[0]}.",
                "Tag the release's images with its version, or pin them by digest, as TAG@sha256:…",
                ExitCode.Refused);
        }
    }

    // helm writes the time into the archive, so what a killed run has packed stays; the digest of the chart's files is among the inputs.
    private async Task<string> PackageAsync(RolloutRun run, ChartVersion chart, CancellationToken cancellationToken)
    {
        const string kept = "chart.tgz";
        if (run.Evidence.List(Name).FirstOrDefault(f => f.Path == $"{Name}/{kept}") is { } packed && run.Evidence.Has(packed.Path))
        {
            return $"sha256:{packed.Sha256}";
        }

        var folder = Directory.CreateTempSubdirectory("rollout-chart-");
        try
        {
            await run.Deployment.PackageAsync(run.ChartFolder, folder.FullName);
            var file = await run.Evidence.WriteAsync(Name, kept, await File.ReadAllBytesAsync(Path.Combine(folder.FullName, $"{chart.Name}-{chart.Version}.tgz"), cancellationToken), cancellationToken);
            return $"sha256:{file.Sha256}";
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    // The tag is what is rolled out; the release is how people were told of it, so one that is missing is a warning.
    private static async Task<string?> ReleaseAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var release = await run.GitHub.ReleaseAsync(run.Release, cancellationToken);
        if (release is null or { IsPrerelease: true })
        {
            run.Console.Warning($"GitHub's {run.Surroundings.GithubRepository} {(release is null ? "has published no release" : "calls its release a prerelease")} for {run.Release}.");
        }

        return release?.Page;
    }

    protected override Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken) => Task.CompletedTask;
}
