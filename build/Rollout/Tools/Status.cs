using System.Text.Json;
using System.Text.Json.Nodes;
using Cake.Core.Diagnostics;
using Cake.Frosting;
using Rollout.Cluster;
using Rollout.Environments;
using Rollout.Journal;
using Rollout.Playbook;
using Rollout.Reporting;

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
        var progress = run.Progress;
        var holder = await run.LockAsync(context.Token);
        var pointing = await run.PointingAtAsync(context.Token);
        var served = await NameServersAsync(context, run);
        var next = NextOf(context, progress);
        var drift = context.Request.Verify ? await DriftAsync(context, run) : null;
        var now = context.Time.GetUtcNow();
        if (context.Request.Json)
        {
            var json = new JsonObject
            {
                ["release"] = run.Release,
                ["environment"] = context.Settings.Environment.ToString().ToLowerInvariant(),
                ["dns"] = pointing,
                ["nameServers"] = served,
                ["live"] = run.Live.Name,
                ["candidate"] = run.Candidate.Name,
                ["step"] = last?.Step,
                ["event"] = last is null ? null : JsonSerializer.SerializeToNode(last.Event),
                ["since"] = last?.Time.ToString("O"),
                ["actor"] = last?.Actor,
                ["frozenSince"] = progress.FrozenSince?.ToString("O"),
                ["frozenSeconds"] = progress.FrozenSince is { } began ? (long)(now - began).TotalSeconds : null,
                ["pointOfNoReturn"] = progress.PointOfNoReturn,
                ["done"] = new JsonArray([.. PlaybookOrder.All.Where(run.Journal.IsDone).Select(s => JsonValue.Create(s))]),
                ["lock"] = holder is null ? null : new JsonObject
                {
                    ["holder"] = holder.Holder,
                    ["run"] = holder.Run,
                    ["release"] = holder.Release,
                    ["step"] = holder.Step,
                    ["since"] = holder.Since?.ToString("O"),
                    ["renewed"] = holder.Renewed?.ToString("O"),
                    ["dead"] = holder.IsDead,
                    ["expired"] = holder.IsExpired,
                },
                ["move"] = progress.Next.ToString(),
                ["next"] = next,
            };
            if (drift is not null)
            {
                json["drift"] = new JsonArray([.. drift.Select(d => JsonValue.Create(d))]);
            }

            context.Console.Line(json.ToJsonString());
            return;
        }

        List<IReadOnlyList<string>> rows =
        [
            ["freeze", progress.FrozenSince is { } since ? $"NO SLOT TRADES for {Waiting.Words(now - since)}, since {since:yyyy-MM-dd HH:mm:ss} UTC" : "none"],
            ["clients are sent to", pointing],
            ["name servers answer", served],
            ["running now", holder is null ? "nobody holds the lock" : Describe(holder, now)],
            ["last", last is null ? "nothing yet" : Describe(last, now)],
            ["done", string.Join(", ", PlaybookOrder.All.Where(run.Journal.IsDone)) is { Length: > 0 } done ? done : "nothing"],
        ];
        if (progress.PointOfNoReturn is { } why)
        {
            rows.Add(["point of no return", $"passed: {why}"]);
        }

        rows.Add(["next", next]);
        if (drift is not null)
        {
            rows.AddRange(drift.Count == 0 ? [["drift", "none"]] : drift.Select(d => (IReadOnlyList<string>)["drift", d]));
        }

        context.Console.Table($"Release {run.Release}", ["what", "state"], rows);
    }

    // Records and name servers differ while a change is rendered, and where somebody else serves the zone.
    private static async Task<string> NameServersAsync(RolloutContext context, RolloutRun run)
    {
        try
        {
            var blue = await run.AddressAsync(run.Surroundings.Blue, context.Token);
            var green = await run.AddressAsync(run.Surroundings.Green, context.Token);
            var answers = await run.NameServers.AnswersAsync(run.Hosts, context.Token);
            return string.Join(", ", answers
                .Where(a => run.Hosts.Contains(a.Key))
                .GroupBy(a => string.Join(" | ", a.Value.Split(" | ").Select(word => word == blue ? "blue" : word == green ? "green" : word)))
                .Select(g => g.Count() == run.Hosts.Count ? g.Key : $"{g.Key} for {g.Count()} of {run.Hosts.Count} hosts"));
        }
        catch (RolloutException exception)
        {
            return $"cannot be told: {exception.Message}";
        }
    }

    private static string Describe(JournalEntry last, DateTimeOffset now) =>
        $"{last.Step}{(last.Part is null ? string.Empty : $" ({last.Part})")} {last.Event.ToString().ToLowerInvariant()} {Waiting.Words(now - last.Time)} ago, at {last.Time:yyyy-MM-dd HH:mm:ss} UTC, by {last.Actor}";

    private static string Describe(LockState holder, DateTimeOffset now) => holder.Describe(now)
        + (holder.IsDead ? "; its process is gone, the next command takes over" : holder.IsExpired ? "; not renewed in time, the next command takes over" : string.Empty);

    private static string NextOf(RolloutContext context, RolloutProgress progress) => progress.Next switch
    {
        NextMove.Nothing => progress.WasRolledBack ? "nothing: it was rolled back" : $"nothing; take it back with {context.CommandFor(nameof(Rollback))}",
        NextMove.FinishRollback => context.CommandFor(nameof(Rollback)),
        NextMove.Hold => "hold: a person decides, see the runbook, chapter 4",
        _ => context.CommandFor(PlaybookOrder.StageOf(progress.NextStep ?? nameof(ArchiveArtefacts))),
    };

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
        context.Console.Line(run.Progress.PointOfNoReturn is { } why
            ? $"Point of no return: passed, {why}. A rollback is refused."
            : "Point of no return: none passed. 2.4 compares the database's columns before and after its migrations and holds where live would miss one.");
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

        var unfinished = (await run.JournalsAsync(context.Token)).Where(j => !new RolloutProgress(j.Entries).IsOver).Select(j => j.Release).ToList();
        if (unfinished.Count > 0)
        {
            throw new RolloutException(
                $"The rollout of {string.Join(", ", unfinished)} is under way and may need both slots. Nothing was removed.",
                $"Finish it, or roll it back, first: {context.CommandFor(nameof(Status))}",
                ExitCode.Refused);
        }

        var active = run.Surroundings.Slot(pointing);
        var idle = run.Surroundings.Other(active);
        if (await run.Cluster.HelmRevisionAsync(idle.Namespace, context.Settings["Chart.ReleaseName"]!, context.Token) is null)
        {
            context.Console.Line($"{idle.Name} has no stack.");
            return;
        }

        await RequireLeftByClientsAsync(context, run, idle, active);
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

    // DNS being right says nothing of clients that hold an old answer, or a connection, and never ask again.
    private static async Task RequireLeftByClientsAsync(RolloutContext context, RolloutRun run, SlotPlace idle, SlotPlace active)
    {
        await run.NameServers.WaitUntilAllAnswerAsync(run.Hosts, await run.AddressesAsync(active, context.Token), TimeSpan.Zero, context.Token);
        var flips = (await run.JournalsAsync(context.Token))
            .SelectMany(j => j.Entries)
            .Where(e => e is { Step: nameof(FlipDns) or nameof(RestoreDns), Event: JournalEvent.Done, Part: null });
        if (flips.MaxBy(e => e.Time) is { } flip && flip.Data?["ttl"]?.GetValue<int>() is { } ttl
            && flip.Time.AddSeconds(ttl) is var free && free > context.Time.GetUtcNow())
        {
            throw new RolloutException(
                $"Resolvers may send clients to {idle.Name} until {free:yyyy-MM-dd HH:mm:ss} UTC: {flip.Step} ended at {flip.Time:HH:mm:ss}, and the records had a TTL of {ttl} s. Nothing was removed.",
                $"Run the same command after that, in {Waiting.Words(free - context.Time.GetUtcNow())}.",
                ExitCode.Refused);
        }

        var allowed = context.Settings.WholeNumber("Traffic.IdleRate");
        context.Console.Note($"counting what clients still ask {idle.Name}, for {context.Settings["Traffic.IdleWindow"]} s");
        var traffic = await run.RemainingTrafficOf(idle).MeasureAsync(context.Settings.Duration("Traffic.IdleWindow"), context.Token);
        context.Console.Note($"clients still ask {idle.Name}: {traffic}");
        var controller = idle.IngressService[..idle.IngressService.IndexOf('/', StringComparison.Ordinal)];
        if (traffic.Problem is not null)
        {
            throw new RolloutException(
                $"Whether {idle.Name} still has clients is not known: {traffic.Problem}. Nothing was removed.",
                $"Switch the ingress controller's metrics on (its chart's controller.metrics.enabled) in {controller}, or remove the stack by hand: helm uninstall {context.Settings["Chart.ReleaseName"]} -n {idle.Namespace}",
                ExitCode.Refused);
        }

        if (traffic.Total > allowed)
        {
            throw new RolloutException(
                $"{idle.Name} still has clients: {traffic}; up to {allowed} requests/s count as nobody's (Traffic.IdleRate). Nothing was removed.",
                $"Clients that keep a connection never ask DNS again: find them in the ingress controller's log, kubectl logs -n {controller} -l app.kubernetes.io/name=ingress-nginx, or wait.",
                ExitCode.Refused);
        }
    }
}
