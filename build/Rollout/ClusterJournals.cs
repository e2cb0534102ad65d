using System.Globalization;
using System.Text.Json.Nodes;
using Rollout.Cluster;
using Rollout.Journal;
using Rollout.Playbook;

namespace Rollout;

/// <summary>Every release's journal in one cluster: which release is next, whose rollout is under way, and what a takeover leaves in the journal of the run before.</summary>
internal sealed class ClusterJournals(RolloutContext context, KubernetesCluster cluster)
{
    // Found once: while this run holds the lock no other rollout can begin.
    private bool _isAlone;

    private readonly string _namespace = context.Settings["Cluster.JournalNamespace"]!;

    /// <summary>Who runs this, <c>USER@HOST</c>.</summary>
    public static string Actor => $"{Environment.UserName}@{Environment.MachineName}";

    /// <summary>This run's id, in its entries and in the lock.</summary>
    public string Run { get; } = Guid.NewGuid().ToString("N")[..12];

    /// <summary>A release's journal, not read yet.</summary>
    public RolloutJournal Of(string release, Fence fence) => new(
        release,
        ct => cluster.ReadJournalAsync(_namespace, release, ct),
        (text, version, ct) => cluster.WriteJournalAsync(_namespace, release, text, version, ct),
        fence,
        Path.Combine(RolloutRun.FolderOf(context.Settings, release), "journal.jsonl"),
        Actor,
        Run,
        context.Time);

    /// <summary>All of them, the one written last at the end.</summary>
    /// <exception cref="RolloutException">One cannot be trusted.</exception>
    public async Task<IReadOnlyList<(string Release, IReadOnlyList<JournalEntry> Entries)>> ListAsync(CancellationToken cancellationToken) =>
        [.. (await TextsAsync(cancellationToken)).Select(j => (j.Release, RolloutJournal.Parse(j.Text, j.Release)))];

    /// <summary>
    /// The release of an embedded run that names none: it continues the newest unfinished rollout, goes back on the newest one, or takes the next.
    /// </summary>
    /// <param name="offered">The releases that the world offers, oldest first.</param>
    public async Task<string> NextReleaseAsync(IReadOnlyList<string> offered, CancellationToken cancellationToken)
    {
        var begun = await ListAsync(cancellationToken);
        if (begun.Count > 0 && (!context.Request.GoesForward || !new RolloutProgress(begun[^1].Entries).IsOver))
        {
            return begun[^1].Release;
        }

        return offered.FirstOrDefault(r => begun.All(b => b.Release != r))
            ?? throw new RolloutException(
                $"The embedded world offers {offered.Count} releases and all of them are rolled out.", "Start over with ./build.sh --target=RehearsalDown.");
    }

    /// <summary>
    /// The lock keeps two runs apart, this keeps two rollouts apart: a release that has touched clients and has not ended owns both slots.
    /// </summary>
    /// <exception cref="RolloutException">Exit code 5; the other release and what ends it are named.</exception>
    public async Task RefuseOtherAsync(string release, CancellationToken cancellationToken)
    {
        if (_isAlone)
        {
            return;
        }

        foreach (var (name, text) in (await TextsAsync(cancellationToken)).Where(j => j.Release != release))
        {
            RolloutProgress other;
            try
            {
                other = new RolloutProgress(RolloutJournal.Parse(text, name));
            }
            catch (RolloutException exception) when (!context.Request.GoesForward)
            {
                // Another release's damaged journal must not stand in the way of this one's rollback.
                context.Console.Warning(exception.Message);
                continue;
            }

            if (other is { TouchesClients: true, IsOver: false })
            {
                var next = other.IsRollingBack ? nameof(Rollback) : PlaybookOrder.StageOf(other.NextStep ?? nameof(ArchiveArtefacts));
                throw new RolloutException(
                    $"The rollout of {name} has touched clients and has not ended{(other.FrozenSince is { } since ? $"; no slot trades since {since:yyyy-MM-dd HH:mm:ss} UTC" : string.Empty)}. Nothing was changed.",
                    $"End it first: {context.Settings.CommandFor(next, name)}, or {context.Settings.CommandFor(nameof(Rollback), name)}",
                    ExitCode.Refused);
            }
        }

        _isAlone = true;
    }

    /// <summary>
    /// Whoever held the lock before may only be asleep: an entry in its journal makes its next write a conflict, and says how its run ended.
    /// </summary>
    /// <param name="own">This run's journal, read.</param>
    public async Task MarkTakeoverAsync(Acquired taken, string release, RolloutJournal own, Fence fence, CancellationToken cancellationToken)
    {
        if (taken is not { How: LockFound.Dead or LockFound.Expired or LockFound.Broken, PreviousRelease: { } previous })
        {
            return;
        }

        var how = taken.How switch
        {
            LockFound.Dead => "its process is gone",
            LockFound.Expired => "it was not renewed in time",
            _ => $"broken by hand: {context.Request.BreakLock}",
        };
        context.Console.Warning($"the lock is taken over from {taken.PreviousHolder} ({how}), which was at {taken.PreviousStep} of {previous}");
        using var other = previous == release ? null : Of(previous, fence);
        if (other is not null)
        {
            try
            {
                await other.LoadAsync(cancellationToken);
            }
            catch (RolloutException exception) when (exception.ExitCode == ExitCode.Held)
            {
                // It cannot be trusted, so its run cannot write to it either.
                context.Console.Warning(exception.Message);
                return;
            }
        }

        var journal = other ?? own;
        if (journal.Entries.Count > 0)
        {
            await journal.AppendAsync(
                taken.PreviousStep is { } step && PlaybookOrder.All.Contains(step) ? step : "Rollout",
                JournalEvent.Interrupted,
                null,
                new JsonObject { ["holder"] = taken.PreviousHolder, ["message"] = $"the lock was taken over: {how}" },
                cancellationToken);
        }
    }

    private async Task<IReadOnlyList<(string Release, string Text)>> TextsAsync(CancellationToken cancellationToken) =>
        [.. (await cluster.ListAsync($"/api/v1/namespaces/{_namespace}/configmaps?labelSelector=app.kubernetes.io/managed-by=aether-rollout", cancellationToken))
            .OrderBy(m => long.Parse(m["metadata"]!["resourceVersion"]!.GetValue<string>(), CultureInfo.InvariantCulture))
            .Select(m => (Release: m["metadata"]!["annotations"]!["aether.io/release"]!.GetValue<string>(), Text: m["data"]!["journal.jsonl"]!.GetValue<string>()))];
}
