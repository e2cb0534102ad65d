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
        var idle = pointing switch { "blue" => run.Surroundings.Green, "green" => run.Surroundings.Blue, _ => null };
        var remaining = context.Request.Verify && idle is not null
            ? await run.RemainingTrafficOf(idle).MeasureAsync(context.Settings.Duration("Traffic.IdleWindow"), context.Token)
            : null;
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
            if (remaining is not null)
            {
                json["remaining"] = new JsonObject { ["slot"] = idle!.Name, ["requestsPerSecond"] = remaining.Problem is null ? remaining.Total : null, ["problem"] = remaining.Problem };
            }

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

        if (remaining is not null)
        {
            rows.Add([$"clients still ask {idle!.Name}", remaining.ToString()]);
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
