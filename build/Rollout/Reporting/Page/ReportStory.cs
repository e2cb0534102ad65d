using System.Reflection;
using Cake.Frosting;
using Rollout.Journal;
using Rollout.Playbook;

namespace Rollout.Reporting.Page;

/// <summary>How a release stands.</summary>
internal enum ReportState
{
    Done,
    RolledBack,
    Held,
    Failed,
    Unfinished,
}

/// <summary>A time in which nothing traded.</summary>
/// <param name="To">Null while it lasts.</param>
internal sealed record Freeze(DateTimeOffset From, DateTimeOffset? To, string? Trades);

/// <summary>One attempt at a step.</summary>
/// <param name="State">As the journal says it, <c>running</c> where nothing came after, <c>cut off</c> where its run ended without a word.</param>
internal sealed record Attempt(DateTimeOffset From, DateTimeOffset To, string State, JournalEntry Begin, JournalEntry? End)
{
    /// <summary>As the step measured it, its look before the first entry included; else from entry to entry.</summary>
    public TimeSpan Took => End?.Data.Number("ms") is >= 0 and < 1e12 and var ms ? TimeSpan.FromMilliseconds(ms) : To - From;
}

/// <summary>A step that was begun.</summary>
/// <param name="Undone">Whether a rollback took it back after the last attempt.</param>
internal sealed record StepStory(string Name, string Number, string Title, IReadOnlyList<Attempt> Attempts, bool Undone)
{
    public Attempt Last => Attempts[^1];
}

/// <summary>One move of the hosts' records.</summary>
/// <param name="Before">Address by host; names of IPv6 records end in <c> (AAAA)</c>.</param>
internal sealed record DnsMove(string Step, DateTimeOffset At, IReadOnlyDictionary<string, string> Before, string After, string? After6, JournalEntry? End);

/// <summary>What a journal comes to: the headline, the freeze, each step, each move of DNS, and what was left out. Concluded from the journal alone.</summary>
internal sealed class ReportStory
{
    private readonly IReadOnlyList<JournalEntry> _entries;

    public ReportStory(ReportSource source)
    {
        _entries = source.Entries;
        var founded = _entries.FirstOrDefault(e => e.Data?["live"] is not null)?.Data;
        Live = founded.Text("live") ?? "live";
        Candidate = founded.Text("candidate") ?? "candidate";
        Hosts = founded.Texts("hosts");
        Freezes = Concluded(() => FreezesOf(_entries), []);
        Steps = StepsOf(_entries);
        Moves = MovesOf(_entries);
        Failure = _entries.LastOrDefault(e => e is { Event: JournalEvent.Failed, Part: null });
        (State, Headline, Next) = Concluded(() => Conclude(source), (ReportState.Unfinished, "How it stands cannot be told from its journal", source.CommandFor(nameof(Tools.Status))));
    }

    /// <summary>The slot that served at the beginning.</summary>
    public string Live { get; }

    public string Candidate { get; }

    public IReadOnlyList<string> Hosts { get; }

    public ReportState State { get; }

    public string Headline { get; }

    /// <summary>What to run next; null where nothing is.</summary>
    public string? Next { get; }

    public IReadOnlyList<Freeze> Freezes { get; }

    public IReadOnlyList<StepStory> Steps { get; }

    public IReadOnlyList<DnsMove> Moves { get; }

    /// <summary>The last failure; null where none was.</summary>
    public JournalEntry? Failure { get; }

    /// <summary>A step's number and title, as <c>3.2</c> and <c>Flip DNS</c>; the name itself where the playbook has no such step.</summary>
    public static (string Number, string Title) NameOf(string step)
    {
        var text = PlaybookOrder.All.Contains(step)
            ? typeof(PlaybookStep).Assembly.GetType($"{typeof(PlaybookStep).Namespace}.{step}")?.GetCustomAttribute<TaskDescriptionAttribute>()?.Description
            : null;
        return text is not null ? (text.Split(' ')[0], text.Split(':')[0][(text.IndexOf(' ', StringComparison.Ordinal) + 1)..]) : (string.Empty, step);
    }

    public static string Named(string step) => NameOf(step) is { Number.Length: > 0 } name ? $"{name.Number} {name.Title}" : step;

    // Entries of another version may hold anything; the page then says less, and is still there.
    private static T Concluded<T>(Func<T> conclude, T unknown)
    {
        try
        {
            return conclude();
        }
        catch (Exception exception) when (exception is InvalidOperationException or FormatException or NullReferenceException)
        {
            return unknown;
        }
    }

    private (ReportState State, string Headline, string? Next) Conclude(ReportSource source)
    {
        if (_entries.Count == 0)
        {
            return (ReportState.Unfinished, "Nothing was begun", null);
        }

        var progress = new RolloutProgress(_entries);
        var back = source.CommandFor(nameof(Rollback));
        var forward = source.CommandFor(progress.NextStep is { } step ? PlaybookOrder.StageOf(step) : nameof(Verify));
        if (progress.IsOver)
        {
            return _entries.Last(e => e is { Event: JournalEvent.Done, Part: null, Step: nameof(ArchiveArtefacts) or nameof(InvestigateFailure) }).Step == nameof(ArchiveArtefacts)
                ? (ReportState.Done, $"Done: {Candidate} serves and trades", null)
                : (ReportState.RolledBack, $"Rolled back: {Live} serves and trades", null);
        }

        var last = _entries[^1];
        if (last.Event == JournalEvent.Failed)
        {
            if (source.RollbackFollows)
            {
                return (ReportState.Failed, $"Failed at {Named(last.Step)}: the rollback begins", back);
            }

            if (PlaybookOrder.IsBackward(last.Step))
            {
                return (ReportState.Held, "Hold: the rollback is not complete, a person is needed", back);
            }

            if (progress.PointOfNoReturn is not null)
            {
                return (ReportState.Held, "Hold: past the point of no return, a person must decide", forward);
            }

            if (progress.TouchesClients || last.Data.Number("exit") is (int)ExitCode.Held)
            {
                return progress.TouchesClients && PlaybookOrder.StageOf(last.Step) == nameof(Verify)
                    ? (ReportState.Held, $"Hold: {Candidate} serves and trades, its verification failed", forward)
                    : (ReportState.Held, $"Hold at {Named(last.Step)}: a person must decide", progress.TouchesClients ? back : forward);
            }

            return (ReportState.Failed, $"Failed at {Named(last.Step)}: clients were not touched", forward);
        }

        return last.Event == JournalEvent.Interrupted ? (ReportState.Unfinished, $"Interrupted at {Named(last.Step)}", progress.IsRollingBack ? back : forward)
            : progress.IsRollingBack ? (ReportState.Unfinished, "The rollback is not finished", back)
            : last is { Event: JournalEvent.Done or JournalEvent.Skipped, Part: null } && progress.NextStep is { } next ? (ReportState.Unfinished, $"Not finished: next is {Named(next)}", forward)
            : (ReportState.Unfinished, $"Ended without a word in {Named(last.Step)}", forward);
    }

    // 3.4 measures when orders flowed, and may watch them for a while before it is done.
    private static IReadOnlyList<Freeze> FreezesOf(IReadOnlyList<JournalEntry> entries) =>
        [.. FreezeWindow.Of(entries, TimeSpan.Zero).Select(w => new Freeze(
            w.From,
            w.To is { } to && entries.FirstOrDefault(e => e.Time == to)?.Data.Number("freezeMs") is { } ms && w.From.AddMilliseconds(ms) < to ? w.From.AddMilliseconds(ms) : w.To,
            w.Trades))];

    private static List<StepStory> StepsOf(IReadOnlyList<JournalEntry> entries)
    {
        var steps = new List<StepStory>();
        foreach (var step in PlaybookOrder.All)
        {
            var own = entries.Where(e => e.Step == step && e.Part is null).ToList();
            var attempts = new List<Attempt>();
            foreach (var begin in own.Where(e => e.Event == JournalEvent.Started))
            {
                var next = own.FirstOrDefault(e => e.Sequence > begin.Sequence && e.Event is not JournalEvent.Intent);
                var end = next is { Event: JournalEvent.Done or JournalEvent.Failed or JournalEvent.Interrupted or JournalEvent.Skipped } ? next : null;
                var seen = entries.Last(e => e.Run == begin.Run && (end is null || e.Sequence <= end.Sequence));
                var running = end is null && entries[^1].Run == begin.Run && entries[^1].Step == step;
                attempts.Add(new Attempt(begin.Time, end?.Time ?? seen.Time, end?.Event.ToString().ToLowerInvariant() ?? (running ? "no end" : "cut off"), begin, end));
            }

            if (attempts.Count > 0)
            {
                var (number, title) = NameOf(step);
                steps.Add(new StepStory(step, number, title, attempts, own[^1].Event == JournalEvent.Undone));
            }
        }

        return steps;
    }

    private static List<DnsMove> MovesOf(IReadOnlyList<JournalEntry> entries)
    {
        var moves = new List<DnsMove>();
        foreach (var intent in entries.Where(e => e is { Event: JournalEvent.Intent, Part: "records", Step: nameof(FlipDns) or nameof(RestoreDns) }))
        {
            var before = new SortedDictionary<string, string>(StringComparer.Ordinal);
            foreach (var (host, address) in intent.Data.Map("before"))
            {
                before[host] = address;
            }

            foreach (var (host, address) in intent.Data.Map("before6"))
            {
                before[$"{host} (AAAA)"] = address;
            }

            var end = entries.FirstOrDefault(e => e.Sequence > intent.Sequence && e.Step == intent.Step && e.Part is null && e.Event is (JournalEvent.Done or JournalEvent.Failed or JournalEvent.Interrupted));
            moves.Add(new DnsMove(intent.Step, intent.Time, before, intent.Data.Text("after") ?? "not recorded", intent.Data.Text("after6"), end));
        }

        return moves;
    }
}
