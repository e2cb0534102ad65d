using System.Text.Json.Nodes;
using Cake.Frosting;
using Rollout.Cluster;
using Rollout.Supply;

namespace Rollout.Playbook;

/// <summary>
/// "Ensure the container image for the new version is pushed and tagged. Record the Helm chart version that encapsulates the ingress and
/// secret changes."
/// <para>Changes: nothing but the record. Done when: every image of the rendered chart has a digest, and the checkout stands on the tag's
/// commit. Undone by: nothing to undo.</para>
/// </summary>
[TaskDescription("1.1 Tag the release: every image is pushed and tagged, chart version and digests are recorded")]
public sealed class TagRelease : PlaybookStep
{
    protected override async Task<StepPlan> CheckAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var commit = await run.Checkout.CommitOfTagAsync(run.Release, cancellationToken);
        var head = await run.Checkout.HeadAsync(cancellationToken);
        return head == commit
            ? new StepPlan($"record the images' digests and the chart of {run.Release} (commit {commit[..12]})")
            : throw new RolloutException(
                $"The checkout {run.Surroundings.Platform} stands on {head[..12]}, but the tag {run.Release} is {commit[..12]}.",
                $"Run: git -C {run.Surroundings.Platform} checkout {run.Release}");
    }

    protected override async Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        var rendered = await run.RenderAsync(run.Candidate, new ChartValues(), "candidate", cancellationToken);
        var images = rendered.Images.Select(ImageReference.Parse).ToList();
        var wrong = images.Where(i => i.Tag != run.Release && i.Digest is null).ToList();
        if (wrong.Count > 0)
        {
            throw new RolloutException(
                $"{wrong.Count} of {images.Count} images of the rendered chart do not carry the tag {run.Release}, the first is {wrong[0]}.",
                "Set the tag in the chart's or the overlay's values of this release.");
        }

        var digests = await Task.WhenAll(images.Select(i => run.Registry.ResolveDigestAsync(i, cancellationToken)));
        var pins = new JsonObject();
        foreach (var (image, digest) in images.Zip(digests))
        {
            pins[$"{image.Registry}/{image.Repository}"] = $"{image.Tag}@{digest}";
        }

        var chart = run.Checkout.ChartVersion(run.Settings["Chart.Path"]!);
        journal.Result["commit"] = await run.Checkout.HeadAsync(cancellationToken);
        journal.Result["chart"] = $"{chart.Name}-{chart.Version}";
        journal.Result[ReleaseInputs.Key] = (await ReleaseInputs.ReadAsync(run, cancellationToken)).ToJson();
        journal.Result["images"] = pins;
        await journal.KeepAsync("release.json", journal.Result.ToJsonString());
        run.Console.Note($"{images.Count} images, chart {chart.Name} {chart.Version} (app {chart.AppVersion})");
    }

    protected override Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken) => Task.CompletedTask;
}
