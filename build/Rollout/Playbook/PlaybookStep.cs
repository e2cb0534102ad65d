using System.Reflection;
using System.Text.Json.Nodes;
using Cake.Frosting;
using Rollout.Archive;
using Rollout.Journal;

namespace Rollout.Playbook;

/// <summary>What a step found when it looked, and what it would change: what <c>Plan</c> prints.</summary>
/// <param name="Changes">One sentence a change; none when the world is as the step wants it.</param>
public sealed record StepPlan(params IReadOnlyList<string> Changes)
{
    /// <summary>The world is as the step wants it already.</summary>
    public static readonly StepPlan Nothing = new();
}

/// <summary>
/// One numbered item of the playbook: <em>check</em> (preconditions, and what would change), <em>act</em> (idempotent), <em>confirm</em>
/// (does the postcondition hold). Everything common is here: the journal, the predecessor's guard, the console, timing.
/// </summary>
public abstract class PlaybookStep : AsyncFrostingTask<RolloutContext>
{
    // A rollout with its rollback takes about 45 kB (docs/RESUME.md); going back must never be what does not fit.
    private const int RoomForARollout = 200_000;

    /// <summary>Where a <c>started</c> entry says which trace its run belongs to, as a W3C <c>traceparent</c>.</summary>
    internal const string TraceKey = "trace";

    /// <summary>The target's name, as in <c>FlipDns</c>.</summary>
    public string Name => GetType().Name;

    /// <summary>The playbook's number, as in <c>3.2</c>: the first word of the task's description.</summary>
    public string Number => Description[..Description.IndexOf(' ', StringComparison.Ordinal)];

    /// <summary>The playbook's title, as in <c>Flip DNS</c>.</summary>
    public string Title => Description[(Number.Length + 1)..Description.IndexOf(':', StringComparison.Ordinal)];

    /// <summary>Whether the step looks and acts on each call, whatever the journal says: true for the rollback's steps, which start from any state.</summary>
    protected virtual bool IsRepeatable => false;

    private string Description => GetType().GetCustomAttribute<TaskDescriptionAttribute>()!.Description;

    private string Sentence => Description[(Description.IndexOf(':', StringComparison.Ordinal) + 2)..];

    public sealed override async Task RunAsync(RolloutContext context)
    {
        var run = await context.OpenAsync();
        using var span = context.Outcome.Trace?.Step(
            Number, Name, run.Release, context.Settings.Environment.ToString().ToLowerInvariant(), run.Live.Name, run.Candidate.Name);
        try
        {
            span?.Done(await RunAsync(context, run));
        }
        catch (Exception exception)
        {
            span?.Failed(exception);
            throw;
        }
    }

    private async Task<string> RunAsync(RolloutContext context, RolloutRun run)
    {
        RefuseAfterRollback(context, run);
        RefuseAfterPointOfNoReturn(run);
        if (!IsRepeatable && run.Journal.IsDone(Name))
        {
            context.Console.StepBegins(Number, Title, $"done at {run.Journal.Last(Name, JournalEvent.Done)!.Time:yyyy-MM-dd HH:mm:ss} UTC");
            context.Console.StepEnds("nothing to repeat", good: true);
            return "nothing to repeat";
        }

        context.Console.StepBegins(Number, Title, Sentence);
        var spent = context.Outcome.Spent = TimeSpent.Begin(context.Time);
        Guard(context, run);
        await run.RefuseOtherRolloutAsync(context.Token);
        await run.AtAsync(Name, context.Token);
        if (PlaybookOrder.Forward.Contains(Name))
        {
            await ReleaseInputs.RequireUnchangedAsync(run, context.Token);
        }

        var plan = await CheckAsync(run, context.Token);
        var journal = new StepJournal(run, Name, context.Token);
        await run.FoundAsync(context.Token);
        var started = new JsonObject { ["changes"] = new JsonArray([.. plan.Changes.Select(c => JsonValue.Create(c))]) };
        if (context.Request.IsAutomatic)
        {
            started[RolloutProgress.StartedAutomatically] = true;
        }

        if (context.Outcome.Trace?.Parent is { } trace)
        {
            started[TraceKey] = trace;
        }

        await journal.AppendAsync(JournalEvent.Started, null, started);
        foreach (var change in plan.Changes)
        {
            context.Console.Note($"→ {change}");
        }

        await BeginAsync(run);
        if (plan.Changes.Count > 0)
        {
            await ActAsync(run, journal, context.Token);
        }

        await ConfirmAsync(run, context.Token);
        var (total, _, _) = spent.Read();
        Record(spent, journal.Result);
        await journal.AppendAsync(JournalEvent.Done, null, journal.Result);
        var outcome = plan.Changes.Count == 0 ? "already so" : "done";
        context.Console.StepEnds($"{outcome} in {total.TotalSeconds:0.0} s", good: true);
        return outcome;
    }

    /// <summary>Puts how long a step took, and what of it was not work, into an entry's data; in milliseconds.</summary>
    internal static void Record(TimeSpent spent, JsonObject data)
    {
        var (total, waiting, polling) = spent.Read();
        data["ms"] = (long)total.TotalMilliseconds;
        data["waitingMs"] = (long)waiting.TotalMilliseconds;
        data["pollingMs"] = (long)polling.TotalMilliseconds;
    }

    /// <summary>What the step would change, for <c>Plan</c>; changes nothing.</summary>
    internal Task<StepPlan> PlanAsync(RolloutRun run, CancellationToken cancellationToken) => CheckAsync(run, cancellationToken);

    /// <summary>Whether the postcondition holds now, for <c>Status --verify</c>; changes nothing.</summary>
    internal Task VerifyAsync(RolloutRun run, CancellationToken cancellationToken) => ConfirmAsync(run, cancellationToken);

    /// <summary>Looks at preconditions and at what would change; changes nothing.</summary>
    /// <exception cref="RolloutException">A precondition does not hold.</exception>
    protected abstract Task<StepPlan> CheckAsync(RolloutRun run, CancellationToken cancellationToken);

    /// <summary>Makes the change; safe to repeat after a crash at any instant.</summary>
    protected abstract Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken);

    /// <summary>Looks whether the postcondition holds; changes nothing.</summary>
    /// <exception cref="RolloutException">It does not hold.</exception>
    protected abstract Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken);

    /// <summary>Called before the step's first effect; the rollback marks here what it is about to take back, so that a crash in between repeats too much and never too little.</summary>
    protected virtual Task BeginAsync(RolloutRun run) => Task.CompletedTask;

    private void RefuseAfterRollback(RolloutContext context, RolloutRun run)
    {
        var progress = run.Progress;
        if (!PlaybookOrder.Forward.Contains(Name) || !progress.WasRolledBack || context.Request.Again)
        {
            return;
        }

        var back = run.Journal.Entries.Last(e => e.Event == JournalEvent.Started && PlaybookOrder.IsBackward(e.Step));
        if (progress.IsRollingBackByItself && context.Settings.Rollback == RollbackPolicy.Automatic)
        {
            context.Outcome.MustFinishRollback = true;
            throw new RolloutException(
                $"{run.Release} failed, and that run was rolling it back at {back.Time:yyyy-MM-dd HH:mm:ss} UTC ({back.Step}) when it ended.", null, ExitCode.Refused);
        }

        throw new RolloutException(
            $"{run.Release} was being rolled back at {back.Time:yyyy-MM-dd HH:mm:ss} UTC ({back.Step}) and goes forward again only when told. Nothing was changed.",
            progress.IsOver
                ? $"Run {context.CommandFor(context.Request.Targets[0])} --again, or roll out another release."
                : $"Finish the rollback first: {context.CommandFor(nameof(Rollback))}. Then {context.CommandFor(context.Request.Targets[0])} --again goes forward.",
            ExitCode.Refused);
    }

    // Live would run on a schema that it does not know; only a person can weigh that (invariant 4).
    private void RefuseAfterPointOfNoReturn(RolloutRun run)
    {
        if (PlaybookOrder.IsBackward(Name) && run.Progress.PointOfNoReturn is { } why)
        {
            throw new RolloutException(
                $"{run.Release} is past its point of no return: {why}. {Number} {Title} would lead back to {run.Named(run.Live)}, which does not know that schema. Nothing was changed.",
                $"Hold and decide: restore the schema by hand, or go forward with {run.CommandFor(nameof(Switch))}. Look first: {run.CommandFor(nameof(Tools.Status))}",
                ExitCode.Held);
        }
    }

    private void Guard(RolloutContext context, RolloutRun run)
    {
        if (run.Journal.Entries.Count == 0 && PlaybookOrder.IsBackward(Name))
        {
            throw new RolloutException(
                $"No rollout of {run.Release} was begun, so there is nothing to roll back. Nothing was changed.", $"Look: {context.CommandFor(nameof(Tools.Status))}", ExitCode.Refused);
        }

        if (PlaybookOrder.Forward.Contains(Name) && RolloutJournal.Limit - run.Journal.Bytes < RoomForARollout)
        {
            throw new RolloutException(
                $"The journal of {run.Release} has {run.Journal.Bytes} of {RolloutJournal.Limit} bytes, in {run.Journal.Entries.Count} entries: a rollout and its way back might not fit. Nothing was changed.",
                $"Roll out under a new release tag; {run.CommandFor(nameof(Rollback))} still has room.",
                ExitCode.Refused);
        }

        var missing = PlaybookOrder.Before(Name).FirstOrDefault(step => !run.Journal.IsDone(step));
        if (missing is not null)
        {
            throw new RolloutException(
                $"{Number} {Title} comes after {missing}, which is not done for {run.Release}. Nothing was changed.",
                $"Run {context.CommandFor(PlaybookOrder.StageOf(missing))}",
                ExitCode.Refused);
        }

        var stage = PlaybookOrder.StageOf(Name);
        if (!context.Settings.RunsWholeChain && !context.Request.Targets.Any(t => PlaybookOrder.IsAsked(t, Name)))
        {
            throw new RolloutException(
                $"{Number} {Title} belongs to {stage}, which is not finished for {run.Release}; {string.Join(", ", context.Request.Targets)} does not run it in {context.Settings.Environment}. Nothing was changed.",
                $"Run {context.CommandFor(stage)}",
                ExitCode.Refused);
        }
    }
}

/// <summary>A step's way into the journal: intents before effects, parts, evidence, and the facts that later steps read.</summary>
public sealed class StepJournal(RolloutRun run, string step, CancellationToken cancellationToken)
{
    /// <summary>The step's name.</summary>
    public string Step => step;

    /// <summary>What the step's <c>done</c> entry will carry.</summary>
    public JsonObject Result { get; } = [];

    /// <summary>Journals what is about to change, with the old value (invariant 3); when it returns, it is stored.</summary>
    public Task IntendAsync(string part, JsonObject data) => AppendAsync(JournalEvent.Intent, part, data);

    /// <summary>Runs a part that is journalled on its own, unless it is done already.</summary>
    public async Task PartAsync(string part, Func<JsonObject, Task> act)
    {
        if (run.Journal.IsPartDone(step, part))
        {
            run.Console.Note($"{part}: done before");
            return;
        }

        var data = new JsonObject();
        await AppendAsync(JournalEvent.Started, part, null);
        await act(data);
        await AppendAsync(JournalEvent.Done, part, data);
        run.Console.Note($"{part}: done");
    }

    /// <summary>Stores a file for people and auditors; its SHA-256 goes into the <c>done</c> entry.</summary>
    public async Task<EvidenceFile> KeepAsync(string name, string content)
    {
        var file = await run.Evidence.WriteAsync(step, name, System.Text.Encoding.UTF8.GetBytes(content), cancellationToken);
        var kept = Result["evidence"] as JsonObject;
        if (kept is null)
        {
            Result["evidence"] = kept = [];
        }

        kept[file.Path] = file.Sha256;
        return file;
    }

    public Task AppendAsync(JournalEvent what, string? part, JsonObject? data) =>
        run.Journal.AppendAsync(step, what, part, data, cancellationToken);
}
