using System.Globalization;

namespace Rollout.Tools;

/// <summary>What <c>Torture</c> is asked for; <c>Drills</c> takes seed and rounds.</summary>
public sealed record TortureRequest
{
    /// <summary>The options' names.</summary>
    public static readonly IReadOnlyList<string> Options = ["every", "point", "seed", "rounds"];

    /// <summary>Only each Nth point of the matrix; 1 is the whole.</summary>
    public int Every { get; private init; } = 1;

    /// <summary>Only these points, as <c>before:FlipDns/records/intent</c>; empty: those that <see cref="Every"/> leaves.</summary>
    public IReadOnlyList<string> Points { get; private init; } = [];

    /// <summary>What kills at random moments are drawn from; null: the matrix. Round R of seed S is round 1 of seed S + R - 1.</summary>
    public int? Seed { get; private init; }

    /// <summary>How many rounds of random kills; null: until told to stop.</summary>
    public int? Rounds { get; private init; }

    /// <exception cref="RolloutException">Exit code 2: a number that is none, or options that do not go together.</exception>
    public static TortureRequest From(IReadOnlyDictionary<string, string?> options)
    {
        var request = new TortureRequest
        {
            Every = Number(options, "every", 1) ?? 1,
            Points = options.GetValueOrDefault("point")?.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries) ?? [],
            Seed = Number(options, "seed", 0),
            Rounds = Number(options, "rounds", 1),
        };
        return (request.Seed is null ? request.Rounds is not null : options.ContainsKey("every") || request.Points.Count > 0)
            ? throw new RolloutException(
                "--rounds goes with --seed, and --every and --point go without: the one kills at random moments, the other at the points of a matrix. Nothing was touched.",
                "./build.sh --target=Torture --every=10, --target=Torture --seed=1 --rounds=5, or --target=Drills --seed=1 --rounds=5",
                ExitCode.BadSettings)
            : request;
    }

    private static int? Number(IReadOnlyDictionary<string, string?> options, string name, int least)
    {
        if (!options.TryGetValue(name, out var text))
        {
            return null;
        }

        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= least
            ? number
            : throw new RolloutException($"--{name}: '{text}' is no whole number from {least} on. Nothing was touched.", null, ExitCode.BadSettings);
    }
}
