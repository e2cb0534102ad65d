using Rollout.Journal;

namespace Rollout.Playbook;

/// <summary>What comes next for a release.</summary>
public enum NextMove
{
    /// <summary>The rollout has not ended: its next stage.</summary>
    Forward,

    /// <summary>A rollback was begun and has not ended: it is to be finished before anything else.</summary>
    FinishRollback,

    /// <summary>The schema moved on under live: neither direction is safe without a person.</summary>
    Hold,

    /// <summary>It is over, one way or the other.</summary>
    Nothing,
}

/// <summary>
/// Where a rollout stands, concluded from its journal alone: what is in force, what comes next, what a failure calls for. Pure, so that every
/// history a crash can leave is tried in tests; the journal claims, and the steps look at the world before they act.
/// </summary>
/// <param name="entries">The journal, oldest first; any prefix of a history is one.</param>
public sealed class RolloutProgress(IReadOnlyList<JournalEntry> entries)
{
    /// <summary>In the data of an entry after which a rollback cannot lead back, with the reason: the point of no return.</summary>
    public const string PointOfNoReturnKey = "pointOfNoReturn";

    private static readonly string[] Ends = [nameof(ArchiveArtefacts), nameof(InvestigateFailure)];

    /// <summary>Whether the rollout has ended, one way or the other; never while no slot trades.</summary>
    public bool IsOver =>
        FrozenSince is null
        && entries.LastOrDefault(e => e.Part is null && e.Event == JournalEvent.Done && Ends.Contains(e.Step)) is { } end
        && !entries.Any(e => e.Sequence > end.Sequence && e.Event is JournalEvent.Started && e.Part is null && PlaybookOrder.All.Contains(e.Step) && !Ends.Contains(e.Step));

    /// <summary>Whether the last thing that a step did was going back.</summary>
    public bool WasRolledBack => LastStarted is { } last && PlaybookOrder.IsBackward(last.Step);

    /// <summary>Whether a rollback was begun and is not complete.</summary>
    public bool IsRollingBack => WasRolledBack && !IsOver;

    /// <summary>Whether that rollback was begun by a failing run itself: then the same command finishes it.</summary>
    public bool IsRollingBackByItself => IsRollingBack && LastStarted!.Data?[StartedAutomatically]?.GetValue<bool>() == true;

    /// <summary>In the data of a rollback step's <c>started</c> entry: no person asked for it.</summary>
    internal const string StartedAutomatically = "automatic";

    /// <summary>Since when no slot trades; null while one does. The clock begins with the intent, when the last order was possible.</summary>
    public DateTimeOffset? FrozenSince
    {
        get
        {
            if (LiveFence is not { } fence)
            {
                return null;
            }

            var traded = LastSequence(e => IsDoneEntry(e, nameof(ReenableTrading)) && e.Sequence > fence.Sequence);
            return traded == 0 ? fence.Time : entries.FirstOrDefault(e => e.Sequence > traded && IsFence(e, nameof(ReenableSafeMode)))?.Time;
        }
    }

    /// <summary>Whether clients notice this rollout: live was fenced, or about to be, and trading was not given back to it.</summary>
    public bool TouchesClients => LiveFence is not null;

    /// <summary>Why a rollback cannot lead back any more; null while it can (invariant 4).</summary>
    public string? PointOfNoReturn => entries.LastOrDefault(e => e.Data?[PointOfNoReturnKey] is not null)?.Data![PointOfNoReturnKey]!.GetValue<string>() is { Length: > 0 } why ? why : null;

    /// <summary>The first step that goes forward and is not done; null where all are.</summary>
    public string? NextStep => PlaybookOrder.Forward.FirstOrDefault(s => !RolloutJournal.IsDone(entries, s));

    /// <summary>What is to be done next.</summary>
    public NextMove Next =>
        IsOver ? NextMove.Nothing
        : IsRollingBack ? (PointOfNoReturn is null ? NextMove.FinishRollback : NextMove.Hold)
        : NextMove.Forward;

    private JournalEntry? LastStarted =>
        entries.LastOrDefault(e => e.Part is null && e.Event == JournalEvent.Started && PlaybookOrder.All.Contains(e.Step));

    // The intent of 3.1 that 5.3 has not answered: the first one, since a resumed run finds the fences set and says so again.
    private JournalEntry? LiveFence
    {
        get
        {
            var lifted = LastSequence(e => IsDoneEntry(e, nameof(ValidateBlue)));
            return entries.FirstOrDefault(e => e.Sequence > lifted && IsFence(e, nameof(FreezeWrites)));
        }
    }

    private int LastSequence(Func<JournalEntry, bool> which) => entries.LastOrDefault(which)?.Sequence ?? 0;

    private static bool IsDoneEntry(JournalEntry entry, string step) => entry is { Event: JournalEvent.Done, Part: null } && entry.Step == step;

    private static bool IsFence(JournalEntry entry, string step) => entry is { Event: JournalEvent.Intent, Part: "fences" } && entry.Step == step;
}

/// <summary>What a failed run does next.</summary>
public enum Aftermath
{
    /// <summary>It ends with its own exit code; nothing that clients notice is open, or the next command is the operator's.</summary>
    Stop,

    /// <summary>It rolls back by itself.</summary>
    RollBack,

    /// <summary>It keeps everything as it is and calls a person: exit code 4.</summary>
    Hold,
}

/// <summary>The decision after a failure: pure, and the only place where it is taken.</summary>
public static class FailurePolicy
{
    /// <param name="code">What the failure asks for.</param>
    /// <param name="step">The step that failed; null where something else did.</param>
    /// <param name="progress">What the journal says; null where it could not be read.</param>
    public static Aftermath Decide(ExitCode code, string? step, RolloutProgress? progress, RollbackPolicy policy)
    {
        // Only a step that goes forward is worth going back for: a Status that fails must not undo a rollout.
        if (step is null || progress is null || code is ExitCode.Interrupted or ExitCode.Refused)
        {
            return Aftermath.Stop;
        }

        if (PlaybookOrder.IsBackward(step))
        {
            return Aftermath.Hold;
        }

        if (progress.PointOfNoReturn is not null)
        {
            return Aftermath.Hold;
        }

        if (!progress.TouchesClients)
        {
            return code == ExitCode.Held ? Aftermath.Hold : Aftermath.Stop;
        }

        // After 3.4 the candidate serves and trades; a verification that fails is for a person, not a reason to move trading again.
        return code == ExitCode.Held || PlaybookOrder.StageOf(step) == nameof(Verify) || policy != RollbackPolicy.Automatic ? Aftermath.Hold : Aftermath.RollBack;
    }
}
