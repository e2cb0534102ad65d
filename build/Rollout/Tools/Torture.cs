using System.Globalization;
using Cake.Frosting;
using Rollout.Journal;
using Rollout.Playbook;

namespace Rollout.Tools;

/// <summary>
/// Kills rollouts and rollbacks and starts the same command again, in embedded worlds of its own: at every entry of their journals, on both
/// sides of its being stored, or at random moments. What is left afterwards must be what an uninterrupted run leaves, no effect may have
/// taken place twice, and the exchange must never have seen two writers.
/// </summary>
[TaskDescription("Kill rollouts and rollbacks at every entry of their journals and resume them; --every=N, --point=, --seed=N --rounds=M")]
public sealed class Torture : AsyncFrostingTask<RolloutContext>
{
    private static readonly string[] Targets = ["Rollout", nameof(Rollback)];

    public override async Task RunAsync(RolloutContext context)
    {
        if (context.Settings.Environment != RolloutEnvironment.Embedded || !OperatingSystem.IsLinux())
        {
            throw new RolloutException(
                "Torture kills rollouts in embedded worlds of its own only, on Linux. Nothing was touched.", "./build.sh --target=Torture", ExitCode.BadSettings);
        }

        var folder = Directory.CreateTempSubdirectory("aether-torture-").FullName;
        var chamber = new Chamber(context, folder);
        try
        {
            if (context.Request.Torture is { Seed: { } seed } random)
            {
                await chamber.KillAtRandomAsync(seed, random.Rounds);
            }
            else
            {
                await chamber.KillAtPointsAsync(context.Request.Torture);
            }
        }
        catch (OperationCanceledException) when (context.Token.IsCancellationRequested && context.Request.Torture is { Seed: not null, Rounds: null })
        {
            context.Console.Line("told to stop");
        }
        finally
        {
            await chamber.EndAsync();
        }

        chamber.Conclude();
    }

    /// <summary>What uninterrupted runs of one target did: of the first release of a world, and of a later one.</summary>
    private sealed record Reference(EndState Fresh, EndState Later, IReadOnlyList<JournalEntry> FreshRun, IReadOnlyList<JournalEntry> LaterRun, TimeSpan Duration);

    /// <summary>How it went at one point.</summary>
    /// <param name="Problem">Null where it passed.</param>
    private sealed record Outcome(string Target, string Step, string Point, string? Problem);

    private sealed class Chamber(RolloutContext context, string folder)
    {
        private readonly List<Outcome> _outcomes = [];
        private readonly List<string> _kept = [];
        private readonly Dictionary<string, Reference> _references = [];
        private TortureWorld? _world;
        private int _worlds;

        public async Task KillAtPointsAsync(TortureRequest request)
        {
            await RunUninterruptedAsync();
            var forward = PlanOf("Rollout", request).ToList();
            var back = PlanOf(nameof(Rollback), request).ToList();
            if (forward.Count + back.Count == 0)
            {
                throw new RolloutException(
                    $"No entry of a rollout's or a rollback's journal is {string.Join(" or ", request.Points)}.",
                    "A point is before: or after:, then STEP/EVENT or STEP/PART/EVENT, as in before:FlipDns/records/intent.");
            }

            context.Console.Line(
                $"{forward.Sum(r => r.Points.Count)} points in {forward.Count} rollouts and {back.Sum(r => r.Points.Count)} in {back.Count} rollbacks");
            while (forward.Count + back.Count > 0)
            {
                var world = await WorldAsync(fresh: forward.Count > 0 && forward.All(r => r.NeedsFreshWorld));
                var isFresh = world.IsFresh;
                var release = world.TakeRelease();
                var kills = Take(forward, r => r.NeedsFreshWorld == isFresh) ?? Take(forward, r => isFresh || !r.NeedsFreshWorld);
                if (await KillAsync(world, "Rollout", release, isFresh, kills?.Points ?? []))
                {
                    await KillAsync(world, nameof(Rollback), release, isFresh, Take(back, _ => true)?.Points ?? []);
                }
            }
        }

        public async Task KillAtRandomAsync(int seed, int? rounds)
        {
            await RunUninterruptedAsync();
            for (var round = 1; round <= (rounds ?? int.MaxValue); round++)
            {
                var own = seed + round - 1;
                var random = new Random(own);
                var world = await WorldAsync(fresh: false);
                var isFresh = world.IsFresh;
                var release = world.TakeRelease();
                context.Console.Line($"round {round}; --seed={own} --rounds=1 repeats it");
                foreach (var target in Targets)
                {
                    if (!await KillAsync(world, target, release, isFresh, KillPlan.Moments(random, _references[target].Duration)))
                    {
                        break;
                    }
                }
            }
        }

        /// <summary>Ends the world that is still there.</summary>
        public async Task EndAsync()
        {
            if (_world is { } world)
            {
                _world = null;
                await world.DisposeAsync();
            }

            if (_kept.Count == 0)
            {
                Directory.Delete(folder, recursive: true);
            }
        }

        /// <exception cref="RolloutException">A point failed.</exception>
        public void Conclude()
        {
            var rows = _outcomes.GroupBy(o => (o.Target, o.Step)).Select(g => (IReadOnlyList<string>)
                [g.Key.Target, g.Key.Step, Count(g), Count(g.Where(o => o.Problem is null)), Count(g.Where(o => o.Problem is not null))]).ToList();
            context.Console.Table("Torture", ["run", "killed in", "points", "passed", "failed"], rows);
            var failed = _outcomes.Count(o => o.Problem is not null);
            context.Closing = $"{_outcomes.Count - failed} points passed, {failed} failed";
            if (failed > 0)
            {
                throw new RolloutException(
                    $"{failed} of {_outcomes.Count} points failed: {string.Join(", ", _outcomes.Where(o => o.Problem is not null).Select(o => o.Point).Take(12))}{(failed > 12 ? ", …" : string.Empty)}",
                    $"The worlds in which they failed, with each run's output, are kept: {string.Join(", ", _kept)}. One point alone: ./build.sh --target=Torture --point=POINT");
            }

            static string Count(IEnumerable<Outcome> outcomes) => outcomes.Count().ToString(CultureInfo.InvariantCulture);
        }

        private static KillRun? Take(List<KillRun> from, Predicate<KillRun> which)
        {
            var index = from.FindIndex(which);
            if (index < 0)
            {
                return null;
            }

            var taken = from[index];
            from.RemoveAt(index);
            return taken;
        }

        private static string StepOf(string target, int step) => step == 0
            ? "founding"
            : (target == "Rollout" ? PlaybookOrder.Forward : PlaybookOrder.StepsOf(nameof(Rollback)))[step - 1];

        private IReadOnlyList<KillRun> PlanOf(string target, TortureRequest request)
        {
            var reference = _references[target];
            var later = KillPlan.PointsOf(reference.LaterRun);
            var fresh = KillPlan.PointsOf(reference.FreshRun).ExceptBy(later.Select(p => p.ToString()), p => p.ToString()).ToList();
            bool IsAsked(KillPoint point) => request.Points.Count == 0 || request.Points.Contains(point.ToString());
            var chosen = KillPlan.Sample([.. later.Where(IsAsked), .. fresh.Where(IsAsked)], request.Every);
            return KillPlan.Spread([.. chosen.Except(fresh)], [.. chosen.Intersect(fresh)]);
        }

        // What killed runs are held against, and where the points are.
        private async Task RunUninterruptedAsync()
        {
            var world = await WorldAsync(fresh: true);
            var runs = new Dictionary<(string Target, bool Fresh), (EndState End, IReadOnlyList<JournalEntry> Entries, TimeSpan Duration)>();
            foreach (var isFresh in new[] { true, false })
            {
                var release = world.TakeRelease();
                var known = 0;
                foreach (var target in Targets)
                {
                    var mark = await world.MarkAsync();
                    using var run = world.Start(target, release);
                    await run.SucceedAsync(context.Token);
                    var duration = run.Age;
                    var journal = await world.JournalAsync(release);
                    runs[(target, isFresh)] = (await world.EndAsync(release, mark), [.. journal.Skip(known)], duration);
                    context.Console.Line($"uninterrupted: {target} of {release}, {journal.Count - known} entries, {duration.TotalSeconds:0.0} s");
                    known = journal.Count;
                }
            }

            foreach (var target in Targets)
            {
                var (fresh, later) = (runs[(target, true)], runs[(target, false)]);
                _references[target] = new Reference(fresh.End, later.End, fresh.Entries, later.Entries, later.Duration);
            }
        }

        private async Task<TortureWorld> WorldAsync(bool fresh)
        {
            if (_world is { } world && (!world.HasRelease || (fresh && !world.IsFresh)))
            {
                _world = null;
                await world.DisposeAsync();
            }

            return _world ??= await TortureWorld.StartAsync(context, Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"world-{++_worlds}")));
        }

        private Task<bool> KillAsync(TortureWorld world, string target, string release, bool isFresh, IReadOnlyList<KillPoint> points) =>
            JudgeAsync(world, target, release, isFresh, async kills =>
            {
                kills.AddRange(points.Select(p => (StepOf(target, p.Step), p.ToString())));
                foreach (var point in points)
                {
                    await world.HoldAsync(point);
                    using var run = world.Start(target, release);
                    if (!await world.IsHeldAsync(run))
                    {
                        throw new RolloutException($"it did not come to {point}: {run.Said()}");
                    }

                    await run.KillAsync(context.Token);
                    await world.ReleaseAsync();
                }
            });

        private Task<bool> KillAsync(TortureWorld world, string target, string release, bool isFresh, IReadOnlyList<TimeSpan> moments) =>
            JudgeAsync(world, target, release, isFresh, async kills =>
            {
                foreach (var moment in moments)
                {
                    using var run = world.Start(target, release);
                    if (await run.EndsWithinAsync(moment, context.Token))
                    {
                        return;
                    }

                    await run.KillAsync(context.Token);
                    kills.Add(("random", $"{target} of {release} after {moment.TotalMilliseconds:0} ms"));
                }
            });

        // Kills, runs to the end, and compares what is left with the reference.
        private async Task<bool> JudgeAsync(
            TortureWorld world, string target, string release, bool isFresh, Func<List<(string Step, string Name)>, Task> killAsync)
        {
            string? problem = null;
            var points = new List<(string Step, string Name)>();
            try
            {
                var mark = await world.MarkAsync();
                await killAsync(points);
                using (var run = world.Start(target, release))
                {
                    await run.SucceedAsync(context.Token);
                }

                var reference = isFresh ? _references[target].Fresh : _references[target].Later;
                var differences = (await world.EndAsync(release, mark)).DifferencesFrom(reference);
                problem = differences.Count == 0 ? null : string.Join("; ", differences);
            }
            catch (RolloutException exception)
            {
                problem = exception.Message;
            }

            foreach (var (step, name) in points)
            {
                _outcomes.Add(new Outcome(target, step, name, problem));
                context.Console.Note($"{(problem is null ? "✓" : "✗")} {name}");
            }

            if (problem is not null)
            {
                context.Console.Warning($"{target} of {release}, killed {points.Count} times: {problem}");
                if (points.Count == 0)
                {
                    _outcomes.Add(new Outcome(target, "nowhere", $"{target} of {release}, not killed", problem));
                }

                _kept.Add(world.Folder);
                _world = null;
                world.IsWorthALook = true;
                await world.DisposeAsync();
            }

            return problem is null;
        }
    }
}
