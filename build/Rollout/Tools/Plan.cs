using Cake.Frosting;
using Rollout.Playbook;

namespace Rollout.Tools;

/// <summary>What each remaining step would change; reads only.</summary>
[TaskDescription("What each remaining step would change, and the point of no return; changes nothing")]
public sealed class Plan : AsyncFrostingTask<RolloutContext>
{
    public override async Task RunAsync(RolloutContext context)
    {
        var run = await context.OpenAsync();
        var rows = new List<IReadOnlyList<string>>();
        foreach (var name in PlaybookOrder.Forward)
        {
            var step = (PlaybookStep)Activator.CreateInstance(typeof(PlaybookStep).Assembly.GetType($"Rollout.Playbook.{name}")!)!;
            rows.Add([$"{step.Number} {step.Title}", run.Journal.IsDone(name) ? "done" : await FindingAsync(step, run, context.Token)]);
        }

        context.Console.Table($"Plan of {run.Release}: {run.Live.Name} to {run.Candidate.Name}, {run.Hosts.Count} hosts", ["step", "would"], rows);
        context.Console.Line(run.Progress.PointOfNoReturn is { } why
            ? $"Point of no return: passed, {why}. A rollback is refused."
            : "Point of no return: none passed. 1.2 and 2.4 say above whether the pending migrations are one; 2.4 looks again after they ran.");
    }

    // A step that comes after an undone one often cannot look yet; it says so, and the plan goes on.
    private static async Task<string> FindingAsync(PlaybookStep step, RolloutRun run, CancellationToken cancellationToken)
    {
        try
        {
            var plan = await step.PlanAsync(run, cancellationToken);
            return plan.Changes.Count == 0 ? "already so" : string.Join("; ", plan.Changes);
        }
        catch (RolloutException exception)
        {
            return $"cannot be told before the steps above: {exception.Message.Split('\n')[0]}";
        }
    }
}
