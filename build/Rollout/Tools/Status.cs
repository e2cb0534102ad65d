using System.Text.Json;
using System.Text.Json.Nodes;
using Cake.Core.Diagnostics;
using Cake.Frosting;
using Rollout.Journal;
using Rollout.Playbook;

namespace Rollout.Tools;

/// <summary>Where the release stands, on one screen; reads only.</summary>
[TaskDescription("Where the release stands, since when, what is next and which slot is live; --json, --verify")]
public sealed class Status : AsyncFrostingTask<RolloutContext>
{
    public override async Task RunAsync(RolloutContext context)
    {
        if (context.Log.Verbosity == Verbosity.Diagnostic)
        {
            context.Console.Table(
                "Settings", ["key", "value", "source"], [.. context.Settings.Values.Select(v => (IReadOnlyList<string>)[v.Setting.Key, v.Shown, v.Source])]);
        }

        var run = await context.OpenAsync();
        var entries = run.Journal.Entries;
        var last = entries.Count == 0 ? null : entries[^1];
        var frozenSince = run.FrozenSince;
        var pointing = await run.PointingAtAsync(context.Token);
        var next = NextOf(context, run);
        var drift = context.Request.Verify ? await DriftAsync(context, run) : null;
        if (context.Request.Json)
        {
            var json = new JsonObject
            {
                ["release"] = run.Release,
                ["environment"] = context.Settings.Environment.ToString().ToLowerInvariant(),
                ["dns"] = pointing,
                ["live"] = run.Live.Name,
                ["candidate"] = run.Candidate.Name,
                ["step"] = last?.Step,
                ["event"] = last is null ? null : JsonSerializer.SerializeToNode(last.Event),
                ["since"] = last?.Time.ToString("O"),
                ["actor"] = last?.Actor,
                ["frozenSince"] = frozenSince?.ToString("O"),
                ["done"] = new JsonArray([.. PlaybookOrder.All.Where(run.Journal.IsDone).Select(s => JsonValue.Create(s))]),
                ["next"] = next,
            };
            if (drift is not null)
            {
                json["drift"] = new JsonArray([.. drift.Select(d => JsonValue.Create(d))]);
            }

            context.Console.Line(json.ToJsonString());
            return;
        }

        var now = context.Time.GetUtcNow();
        List<IReadOnlyList<string>> rows =
        [
            ["clients are sent to", pointing],
            ["last", last is null ? "nothing yet" : $"{last.Step} {last.Event.ToString().ToLowerInvariant()} {Age(now - last.Time)} ago by {last.Actor}"],
            ["freeze", frozenSince is null ? "none" : $"IN FORCE for {Age(now - frozenSince.Value)}"],
            ["done", string.Join(", ", PlaybookOrder.All.Where(run.Journal.IsDone)) is { Length: > 0 } done ? done : "nothing"],
            ["next", next],
        ];
        if (drift is not null)
        {
            rows.AddRange(drift.Count == 0 ? [["drift", "none"]] : drift.Select(d => (IReadOnlyList<string>)["drift", d]));
        }

        context.Console.Table($"Release {run.Release}", ["what", "state"], rows);
    }

    private static string Age(TimeSpan age) => age.TotalHours >= 1 ? $"{(int)age.TotalHours} h {age.Minutes} min" : age.TotalMinutes >= 1 ? $"{age.Minutes} min {age.Seconds} s" : $"{age.TotalSeconds:0} s";

    private static string NextOf(RolloutContext context, RolloutRun run)
    {
        if (PlaybookOrder.IsOver(run.Journal.Entries))
        {
            return run.Journal.IsDone(nameof(ArchiveArtefacts)) ? $"nothing; take it back with {context.CommandFor(nameof(Rollback))}" : "nothing: it was rolled back";
        }

        if (PlaybookOrder.WasRolledBack(run.Journal.Entries))
        {
            return context.CommandFor(nameof(Rollback));
        }

        var step = PlaybookOrder.Forward.First(s => !run.Journal.IsDone(s));
        return context.CommandFor(PlaybookOrder.StageOf(step));
    }

    private static async Task<IReadOnlyList<string>> DriftAsync(RolloutContext context, RolloutRun run)
    {
        var drift = new List<string>();
        foreach (var step in PlaybookOrder.Forward.Where(run.Journal.IsDone))
        {
            var instance = (PlaybookStep)Activator.CreateInstance(typeof(PlaybookStep).Assembly.GetType($"Rollout.Playbook.{step}")!)!;
            try
            {
                await instance.VerifyAsync(run, context.Token);
            }
            catch (RolloutException exception)
            {
                drift.Add($"{instance.Number} {instance.Title}: {exception.Message}");
            }
        }

        return drift;
    }
}

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
        context.Console.Line("Point of no return: none known; the migrations of 2.4 are additive, so a rollback leads back from every step.");
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

/// <summary>Removes the idle slot's stack.</summary>
[TaskDescription("Remove the idle slot's stack; refused while DNS points at it or it trades")]
public sealed class Retire : AsyncFrostingTask<RolloutContext>
{
    public override async Task RunAsync(RolloutContext context)
    {
        var run = await context.OpenAsync();
        var pointing = await run.PointingAtAsync(context.Token);
        if (pointing is not ("blue" or "green"))
        {
            throw new RolloutException($"DNS points at {pointing}, so no slot is idle. Nothing was removed.", $"Look: {context.CommandFor(nameof(Status))}", ExitCode.Refused);
        }

        var unfinished = (await run.JournalsAsync(context.Token)).Where(j => !PlaybookOrder.IsOver(j.Entries)).Select(j => j.Release).ToList();
        if (unfinished.Count > 0)
        {
            throw new RolloutException(
                $"The rollout of {string.Join(", ", unfinished)} is under way and may need both slots. Nothing was removed.",
                $"Finish it, or roll it back, first: {context.CommandFor(nameof(Status))}",
                ExitCode.Refused);
        }

        var idle = run.Surroundings.Other(run.Surroundings.Slot(pointing));
        if (await run.Cluster.HelmRevisionAsync(idle.Namespace, context.Settings["Chart.ReleaseName"]!, context.Token) is null)
        {
            context.Console.Line($"{idle.Name} has no stack.");
            return;
        }

        var stack = idle == run.Live ? run.LiveStack : run.CandidateStack;
        var before = await stack.OrdersAsync(context.Token);
        await Task.Delay(context.Settings.Duration("Fence.Quiet"), context.Time, context.Token);
        var after = await stack.OrdersAsync(context.Token);
        if (after.Real > before.Real || (after.Pods.Count > 0 && !after.Complete))
        {
            throw new RolloutException(
                $"{idle.Name} still sends orders, or cannot be read ({after.Real - before.Real} in {context.Settings["Fence.Quiet"]} s; {after.Describe()}). Nothing was removed.",
                null,
                ExitCode.Refused);
        }

        await run.Deployment.UninstallAsync(context.Settings["Chart.ReleaseName"]!, idle.Namespace);
        await run.Deployment.DeleteNamespaceAsync(idle.Namespace);
        context.Console.Line($"The stack of {idle.Name} is removed.");
    }
}
