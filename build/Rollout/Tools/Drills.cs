using System.Globalization;
using Cake.Frosting;

namespace Rollout.Tools;

/// <summary>
/// Rehearses each drill, and a rollout without any, in rounds: each a whole rehearsal of this program as a process of its own, in an embedded world of its own, under
/// conditions that are drawn from the seed. Ends with a table of how many came to the end that they must.
/// </summary>
[TaskDescription("Rehearse every drill, and no fault, in rounds; --seed=N --rounds=M, --fault=NAME for one of them")]
public sealed class Drills : AsyncFrostingTask<RolloutContext>
{
    /// <summary>A rehearsal that nothing is done to.</summary>
    private static readonly Drill NoFault = new("no fault", string.Empty, string.Empty, DrillEnd.Done, string.Empty);

    public override async Task RunAsync(RolloutContext context)
    {
        if (context.Settings.Environment != RolloutEnvironment.Embedded || !OperatingSystem.IsLinux())
        {
            throw new RolloutException(
                "Drills rehearses in embedded worlds of its own only, on Linux. Nothing was touched.", "./build.sh --target=Drills --seed=1 --rounds=3", ExitCode.BadSettings);
        }

        IReadOnlyList<Drill> drills = context.Request.Fault is { } fault ? [Drill.Of(fault)] : [NoFault, .. Drill.Known];
        var (seed, rounds) = (context.Request.Torture.Seed ?? 1, context.Request.Torture.Rounds ?? 1);
        var folder = Directory.CreateTempSubdirectory("aether-drills-").FullName;
        var outcomes = new List<(Drill Drill, int Seed, string? Problem, TimeSpan Took)>();
        for (var round = 0; round < rounds; round++)
        {
            foreach (var drill in drills)
            {
                var begun = context.Time.GetTimestamp();
                var problem = await RehearseAsync(context, drill, seed + round, Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"{drill.Name.Replace(' ', '-')}-{seed + round}")));
                var took = context.Time.GetElapsedTime(begun);
                outcomes.Add((drill, seed + round, problem, took));
                context.Console.Line(string.Create(CultureInfo.InvariantCulture, $"{drill.Name}, seed {seed + round}: {problem ?? $"came to {Ended(drill)} as it must"} ({took.TotalSeconds:0} s)"));
            }
        }

        context.Console.Table(
            string.Create(CultureInfo.InvariantCulture, $"Drills, {rounds} rounds from seed {seed}"),
            ["drill", "must", "did", "median s"],
            [.. outcomes.GroupBy(o => o.Drill).Select(g => (IReadOnlyList<string>)
            [
                g.Key.Name,
                g.Key.MustEnd,
                string.Create(CultureInfo.InvariantCulture, $"{g.Count(o => o.Problem is null)} of {g.Count()}"),
                g.Select(o => o.Took.TotalSeconds).Order().ElementAt(g.Count() / 2).ToString("0", CultureInfo.InvariantCulture),
            ])]);
        var failed = outcomes.Where(o => o.Problem is not null).ToList();
        if (failed.Count > 0)
        {
            throw new RolloutException(
                $"{failed.Count} of {outcomes.Count} rehearsals did not come to the end that they must, the first: {failed[0].Drill.Name} with seed {failed[0].Seed}: {failed[0].Problem}",
                $"Look at it in {folder}, and again with --target=Drills --seed={failed[0].Seed} --rounds=1 --fault={failed[0].Drill.Name}");
        }

        Directory.Delete(folder, recursive: true);
        context.Closing = string.Create(CultureInfo.InvariantCulture, $"{outcomes.Count} rehearsals came to the end that they must, 0 did not");
    }

    /// <returns>What was not as it must be; null where all was.</returns>
    private static async Task<string?> RehearseAsync(RolloutContext context, Drill drill, int seed, string folder)
    {
        await using var world = await TortureWorld.StartAsync(context, folder);
        using var run = world.Start(nameof(Rehearse), world.TakeRelease(), [.. Conditions(seed), .. drill == NoFault ? Array.Empty<string>() : [$"--fault={drill.Name}"]]);
        try
        {
            await run.SucceedAsync(context.Token);
            return null;
        }
        catch (RolloutException exception)
        {
            world.IsWorthALook = true;
            return exception.Message;
        }
    }

    /// <summary>What differs from one round to the next: how busy the client is, how often the watch looks, how long it has looked at live before.</summary>
    internal static IReadOnlyList<string> Conditions(int seed)
    {
        var random = new Random(seed);
        return
        [
            string.Create(CultureInfo.InvariantCulture, $"--rehearsal-client-rate={random.Next(20, 101)}"),
            string.Create(CultureInfo.InvariantCulture, $"--monitoring-interval={random.Next(4, 9) / 10.0:0.0}"),
            string.Create(CultureInfo.InvariantCulture, $"--monitoring-baseline={random.Next(3, 7)}"),
        ];
    }

    private static string Ended(Drill drill) => drill.Ends switch
    {
        DrillEnd.RolledBack => "a rollback",
        DrillEnd.Held => "a hold",
        _ => "its end",
    };
}
