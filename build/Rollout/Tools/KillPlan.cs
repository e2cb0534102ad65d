using Rollout.Journal;
using Rollout.Playbook;

namespace Rollout.Tools;

/// <summary>A place where a run is killed: while the write of one journal entry is held, on one side of its taking effect.</summary>
/// <param name="Step">Counts the steps of the run that begin at or before it; the journal's founding is 0.</param>
/// <param name="Entry"><c>STEP/EVENT</c> or <c>STEP/PART/EVENT</c>; the step named here may be another one, which a rollback undoes.</param>
/// <param name="IsAfter">Whether the entry is stored by then.</param>
public sealed record KillPoint(int Step, string Entry, bool IsAfter)
{
    /// <summary>As the world's fault <c>cluster-hold</c> takes it.</summary>
    public override string ToString() => $"{(IsAfter ? "after" : "before")}:{Entry}";
}

/// <summary>The kills of one run, in the order of its steps.</summary>
/// <param name="NeedsFreshWorld">Whether one of the points is only reached by the first rollout of a world.</param>
public sealed record KillRun(IReadOnlyList<KillPoint> Points, bool NeedsFreshWorld);

/// <summary>Which runs are killed where, so that every point of a run's journal is come to once.</summary>
public static class KillPlan
{
    /// <summary>Both sides of every entry that an uninterrupted run wrote: first all that are killed before, then all after.</summary>
    /// <exception cref="RolloutException">An entry occurs twice, so that killing at the second is no more than waiting for the first.</exception>
    public static IReadOnlyList<KillPoint> PointsOf(IEnumerable<JournalEntry> run)
    {
        var step = 0;
        var points = new List<KillPoint>();
        foreach (var entry in run)
        {
            step += entry is { Event: JournalEvent.Started, Part: null } && PlaybookOrder.All.Contains(entry.Step) ? 1 : 0;
            var part = entry.Part is null ? string.Empty : entry.Part + "/";
            points.Add(new KillPoint(step, $"{entry.Step}/{part}{entry.Event.ToString().ToLowerInvariant()}", false));
        }

        return points.GroupBy(p => p.Entry).FirstOrDefault(g => g.Count() > 1) is { } twice
            ? throw new RolloutException($"The journal of an uninterrupted run has {twice.Count()} entries {twice.Key}; a point of the kill matrix must be one place.")
            : [.. points, .. points.Select(p => p with { IsAfter = true })];
    }

    /// <summary>
    /// Spreads points over as few runs as can be: in one run at most one in a step and none in adjacent steps, so that between two kills the
    /// command that was started again completes at least one whole step.
    /// </summary>
    /// <param name="points">Reached by every run.</param>
    /// <param name="freshOnly">Reached only by the first rollout of a world.</param>
    public static IReadOnlyList<KillRun> Spread(IReadOnlyCollection<KillPoint> points, IReadOnlyCollection<KillPoint> freshOnly)
    {
        // Two neighbours share no run, so their points together are the least there can be; even steps fill the runs from the first on, odd
        // ones from the last back, and no two neighbours meet.
        var steps = points.GroupBy(p => p.Step).ToDictionary(g => g.Key, g => g.ToList());
        var count = steps.Keys.Select(s => steps[s].Count + (steps.GetValueOrDefault(s + 1)?.Count ?? 0)).DefaultIfEmpty(0).Max();
        var runs = Enumerable.Range(0, count).Select(_ => new List<KillPoint>()).ToList();
        foreach (var (step, its) in steps)
        {
            for (var i = 0; i < its.Count; i++)
            {
                runs[step % 2 == 0 ? i : count - 1 - i].Add(its[i]);
            }
        }

        var fresh = new HashSet<List<KillPoint>>();
        foreach (var point in freshOnly)
        {
            var run = fresh.Concat(runs).FirstOrDefault(r => r.All(p => Math.Abs(p.Step - point.Step) > 1));
            if (run is null)
            {
                run = [];
                runs.Add(run);
            }

            run.Add(point);
            fresh.Add(run);
        }

        return [.. runs.Select(r => new KillRun([.. r.OrderBy(p => p.Step)], fresh.Contains(r)))];
    }

    /// <summary>When to kill a run and those that resume it, each counted from its start: one to three times, each in what is left then.</summary>
    /// <param name="duration">How long a run takes that nobody kills.</param>
    public static IReadOnlyList<TimeSpan> Moments(Random random, TimeSpan duration)
    {
        var moments = new List<TimeSpan>();
        for (var kills = random.Next(1, 4); kills > 0; kills--)
        {
            moments.Add(duration * random.NextDouble());
            duration -= moments[^1];
        }

        return moments;
    }

    /// <summary>Each Nth of them, beginning with the first.</summary>
    public static IReadOnlyList<KillPoint> Sample(IEnumerable<KillPoint> points, int every) => [.. points.Where((_, i) => i % every == 0)];
}
