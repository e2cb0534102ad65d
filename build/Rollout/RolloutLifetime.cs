using Cake.Core;
using Cake.Frosting;
using Rollout.Journal;
using Rollout.Playbook;
using Rollout.Reporting;
using Rollout.Reporting.Page;

namespace Rollout;

/// <summary>
/// Around the run: nothing before it, since <c>--dryrun</c> runs the setup too; after it the timeline goes into the platform's audit report,
/// so failed runs are documented as well (the playbook's last line), the report is drawn, and everything that was opened is closed.
/// </summary>
public sealed class RolloutLifetime : FrostingLifetime<RolloutContext>
{
    public override void Setup(RolloutContext context, ISetupContext info)
    {
    }

    public override void Teardown(RolloutContext context, ITeardownContext info) => TeardownAsync(context).GetAwaiter().GetResult();

    private static async Task TeardownAsync(RolloutContext context)
    {
        if (context.OpenRun is not { } run)
        {
            return;
        }

        var outcome = context.Outcome;
        outcome.Progress = run.Progress;
        outcome.Aftermath = outcome.MustFinishRollback
            ? Aftermath.RollBack
            : outcome.Failure is null ? Aftermath.Stop : FailurePolicy.Decide(outcome.Code, outcome.FailedStep, run.Progress, context.Settings.Rollback);
        await using (run)
        {
            if (context.Request.Fault is not null && outcome.Aftermath != Aftermath.RollBack)
            {
                // The rollback of a drill happens under its fault; the world is sane again when all is over.
                await EndDrillAsync(context, run);
            }

            // The rollback that follows is what a client sees of this run, too. A person who interrupts does not wait for a report.
            if (outcome.Aftermath != Aftermath.RollBack && outcome.Client is not null && !context.Token.IsCancellationRequested
                && await run.EndClientAsync() is { } seen)
            {
                context.Console.Table("Client", ["what", "seen"], seen.Rows);
                foreach (var noticed in seen.Problems)
                {
                    context.Console.Warning(noticed);
                }
            }

            if (run.Journal.MirrorProblem is { } problem)
            {
                context.Console.Warning($"the journal is stored, but its mirrored file is not: {problem}");
            }

            if (run.WroteToJournal && !run.LostLock)
            {
                WriteTimeline(context, run);
                WritePage(context, run);
            }

            // A rollback that follows at once keeps the lock, so that nobody gets between; it is known as ours by its process, where there is /proc.
            if (outcome.Aftermath != Aftermath.RollBack || !OperatingSystem.IsLinux())
            {
                await run.ReleaseLockAsync();
            }
        }
    }

    private static void WriteTimeline(RolloutContext context, RolloutRun run)
    {
        var path = Path.Combine(run.Surroundings.Platform, "docs", "AUDIT_REPORT.md");
        var evidence = Path.GetRelativePath(Path.GetDirectoryName(Path.GetFullPath(path))!, run.Evidence.Directory).Replace(Path.DirectorySeparatorChar, '/');
        var timeline = new Timeline(run.Release, context.Settings.Environment.ToString().ToLowerInvariant(), evidence, run.Journal.Entries);
        try
        {
            new AuditReport(path).Append(timeline);
        }
        catch (RolloutException exception)
        {
            // What happened is not what the report is missing: the run's own outcome stands.
            context.Console.Warning($"{exception.Message} {exception.Hint}");
        }
    }

    private static async Task EndDrillAsync(RolloutContext context, RolloutRun run)
    {
        try
        {
            await run.EndDrillAsync(CancellationToken.None);
        }
        catch (Exception exception) when (exception is RolloutException or HttpRequestException or OperationCanceledException)
        {
            // What is written after it, the report and the timeline, matters more.
            context.Console.Warning($"the drill's fault is not cleared: {exception.Message}");
        }
    }

    private static void WritePage(RolloutContext context, RolloutRun run)
    {
        try
        {
            var page = ReportPage.Write(
                new ReportFacts(
                    run.Release,
                    context.Settings.Environment.ToString().ToLowerInvariant(),
                    [.. run.Journal.Entries],
                    run.Folder,
                    run.Evidence,
                    context.Time.GetUtcNow(),
                    context.CommandFor)
                {
                    RollbackFollows = context.Outcome.Aftermath == Aftermath.RollBack,
                });
            context.Console.Line($"What happened, on one page: {RolloutRun.Shown(page)}");
        }
        catch (Exception exception) when (exception is not OutOfMemoryException)
        {
            // Whatever a page fails on, the rollout did not.
            context.Console.Warning($"{ReportPage.Name} could not be written: {exception.Message} The journal and the evidence are complete without it.");
        }
    }
}

/// <summary>Around each task: a failure or an interruption is journalled here, because no step handles its own.</summary>
public sealed class StepLifetime : FrostingTaskLifetime<RolloutContext>
{
    public override void Setup(RolloutContext context, ITaskSetupContext info)
    {
    }

    public override void Teardown(RolloutContext context, ITaskTeardownContext info)
    {
        if (info.ThrownException is { } thrown)
        {
            RecordAsync(context, info.Task.Name, thrown).GetAwaiter().GetResult();
        }
    }

    private static async Task RecordAsync(RolloutContext context, string task, Exception thrown)
    {
        // A process that the token ended fails with an error of its own; the token tells what it really was.
        // What a person must know, as hosts that could not be moved back, is told even so.
        var interrupted = context.Token.IsCancellationRequested && thrown is not RolloutException { ExitCode: ExitCode.Held or ExitCode.Refused };
        var failure = interrupted
            ? new RolloutException($"{task} was interrupted.", $"The same command resumes: {context.CommandFor(context.Request.Targets[0])}", ExitCode.Interrupted, thrown)
            : thrown;
        context.Outcome.Failure ??= failure;
        if (PlaybookOrder.All.Contains(task))
        {
            context.Outcome.FailedStep ??= task;
            context.Console.StepEnds(interrupted ? "interrupted" : "failed", good: false);
        }

        if (!PlaybookOrder.All.Contains(task) || context.OpenRun is not { } run || failure is RolloutException { ExitCode: ExitCode.Refused }
            || (interrupted ? run.Journal.Entries.Count == 0 : run.Journal.Last(task, JournalEvent.Started) is null))
        {
            return;
        }

        try
        {
            using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(4), context.Time);
            var data = new System.Text.Json.Nodes.JsonObject();
            if (!interrupted)
            {
                data["message"] = thrown.Message;
                data["kind"] = thrown.GetType().Name;
                data["exit"] = (int)(thrown is RolloutException known ? known.ExitCode : ExitCode.Failed);
            }

            if (context.Outcome.Spent is { } spent)
            {
                PlaybookStep.Record(spent, data);
            }

            await run.Journal.AppendAsync(task, interrupted ? JournalEvent.Interrupted : JournalEvent.Failed, null, data, limit.Token);
        }
        catch (Exception exception) when (exception is RolloutException or OperationCanceledException)
        {
            context.Console.Warning($"the journal could not be told: {exception.Message}");
        }
    }
}
