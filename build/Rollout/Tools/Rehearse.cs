using System.Globalization;
using Cake.Frosting;
using Rollout.Environments;
using Rollout.Playbook;

namespace Rollout.Tools;

/// <summary>A whole rollout where nobody is harmed; ends by asking the exchange who sent orders.</summary>
[TaskDescription("Rehearse the whole rollout in embedded or kind; --fault=NAME is a drill that must end as its name wants")]
[IsDependentOn(typeof(Verify))]
public sealed class Rehearse : AsyncFrostingTask<RolloutContext>
{
    public override async Task RunAsync(RolloutContext context)
    {
        var run = await context.OpenAsync();
        var drill = context.Request.Fault is { } fault ? Drill.Of(fault) : null;
        if (drill is not null and not { Ends: DrillEnd.Done })
        {
            throw new RolloutException(
                $"The drill {drill.Name} did no harm: the rollout of {run.Release} is complete. It must {drill.MustEnd}.",
                $"Take a fault that the watch or a step notices; the rollout itself is taken back with {context.CommandFor(nameof(Rollback))}");
        }

        var report = await run.WritersAsync(context.Token);
        var rows = new List<IReadOnlyList<string>>
        {
            new[] { "release", run.Release },
            new[] { "hosts", $"{run.Hosts.Count} on {run.Candidate.Name}" },
        };
        rows.AddRange(report.Orders.OrderBy(o => o.Key, StringComparer.Ordinal).Select(o => (IReadOnlyList<string>)[$"orders from {o.Key}", o.Value.ToString(CultureInfo.InvariantCulture)]));
        rows.AddRange(report.Handovers.Select(h => (IReadOnlyList<string>)[$"freeze window, {h.From} to {h.To}", $"{(h.First - h.Last).TotalMilliseconds:0} ms at the exchange"]));

        // One that is resumed when live is frozen already has seen the new writer only.
        var isClean = report.IsCleanFor(1) || (run.BeganFrozen && report.IsCleanFor(0));
        rows.Add(["two writers", isClean ? "never" : $"SEEN: the writer changed {report.Handovers.Count} times"]);
        rows.Add(["orders now from", report.LastWriter ?? "nobody"]);
        var client = await run.EndClientAsync();
        rows.AddRange(client?.Rows ?? []);
        context.Console.Table("Rehearsal", ["what", "seen"], rows);
        if (!isClean || report.LastWriter != run.Candidate.Name)
        {
            throw new RolloutException(
                $"The exchange saw the writer change {report.Handovers.Count} times, last {report.LastWriter ?? "nobody"}; expected one change, to {run.Candidate.Name}.",
                "Two writers are the one thing that must never happen: keep the world and look at its exchange log.",
                ExitCode.Held);
        }

        if (client is { Problems: { Count: > 0 } problems })
        {
            throw new RolloutException(
                $"The rollout is complete, but a client saw what it must not see: {string.Join("; ", problems)}.",
                $"Look second by second: {Path.Combine(run.Folder, "client.csv")}",
                ExitCode.Held);
        }

        if (drill is not null)
        {
            context.Console.Line($"The drill {drill.Name} ended as it must: the rollout is done.");
        }
    }
}

/// <summary>Starts the embedded environment and leaves it running.</summary>
[TaskDescription("Start the embedded environment and keep it until RehearsalDown")]
public sealed class RehearsalUp : AsyncFrostingTask<RolloutContext>
{
    public override async Task RunAsync(RolloutContext context)
    {
        var world = context.EmbeddedWorld();
        var (facts, started) = await world.EnsureAsync(keep: true, context.Token);
        var surroundings = Surroundings.From(facts, context.Settings);
        context.Console.Header(
            started ? "The embedded environment is up" : "The embedded environment was up already",
            [
                ("kubectl", $"kubectl --kubeconfig {context.Settings["Rollout.Directory"]}/kubeconfig get all -A"),
                ("helm", $"helm --kubeconfig {context.Settings["Rollout.Directory"]}/kubeconfig ls -A"),
                ("everything else", $"{context.Settings["Rollout.Directory"]}/world.json"),
                ("platform checkout", surroundings.Platform),
            ]);
    }
}

/// <summary>Stops the embedded environment and removes its state.</summary>
[TaskDescription("Stop the embedded environment and remove its state")]
public sealed class RehearsalDown : AsyncFrostingTask<RolloutContext>
{
    public override async Task RunAsync(RolloutContext context) => context.Console.Line(
        await context.EmbeddedWorld().StopAsync(remove: true, context.Token) ? "The embedded environment is down." : "No embedded environment was running.");
}
