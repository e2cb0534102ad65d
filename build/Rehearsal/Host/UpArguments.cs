using System.Globalization;
using System.Text.RegularExpressions;

namespace Rehearsal;

/// <summary>What <c>Rehearsal up</c> was told.</summary>
/// <param name="Directory">The world's directory, made where it is missing; a used one is brought up again as it was.</param>
/// <param name="Helm">Installs the live stack.</param>
/// <param name="Kubectl">Only named to the person who wants to look around.</param>
/// <param name="Postgres">The folder with initdb and postgres; null: found in PATH or where distributions put it.</param>
/// <param name="ExitWith">The process whose end is the world's end; null: it lives until SIGTERM.</param>
/// <param name="LiveRelease">What is live in a new world.</param>
public sealed partial record UpArguments(string Directory, string Helm, string Kubectl, string? Postgres, int? ExitWith, string LiveRelease)
{
    public const string Help =
        """
        Rehearsal: a small world to rehearse rollouts in: Kubernetes, DNS, ingress, GitHub, registry, traces, PostgreSQL, exchange.

        Rehearsal up --directory DIR --helm FILE --kubectl FILE [options]
            Makes the world in DIR (or brings the one there up again) and stays in the foreground until SIGTERM.
            Ctrl-C does not stop it. When it is ready, DIR/world.json says where everything is, and is gone after a clean stop.

          --directory DIR       where the world keeps its state
          --helm FILE           helm 4, which installs the live stack
          --kubectl FILE        kubectl, for looking around
          --postgres DIR        folder with initdb and postgres (default: PATH, then /usr/lib/postgresql/*/bin)
          --exit-with PID       end when this process is gone
          --live-release TAG    what is live in a new world (default: v2026.11.0; v2026.11.0 to v2026.11.8)

        Exit codes: 0 stopped, 1 failed, 2 bad arguments.

        """;

    /// <summary>Null with every problem that there is, when the arguments cannot be followed.</summary>
    public static UpArguments? Parse(IReadOnlyList<string> args, out IReadOnlyList<string> problems)
    {
        var found = new List<string>();
        problems = found;
        if (args.Count == 0 || args[0] != "up")
        {
            found.Add(args.Count == 0 ? "A command is missing; there is 'up'." : $"There is no command '{args[0]}'; there is 'up'.");
            return null;
        }

        var values = Read(args, found);
        foreach (var required in (string[])["--directory", "--helm", "--kubectl"])
        {
            if (!values.ContainsKey(required))
            {
                found.Add($"{required} is missing.");
            }
        }

        foreach (var tool in (string[])["--helm", "--kubectl"])
        {
            if (values.TryGetValue(tool, out var path) && !File.Exists(path))
            {
                found.Add($"{tool}: there is no file '{path}'.");
            }
        }

        int? exitWith = null;
        if (values.TryGetValue("--exit-with", out var text))
        {
            exitWith = int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var pid) && pid > 0 ? pid : null;
            if (exitWith is null)
            {
                found.Add($"--exit-with: '{text}' is no process id.");
            }
        }

        var live = values.GetValueOrDefault("--live-release", PlatformReleases.First);
        if (!PlatformReleases.Tags.Contains(live) || live == PlatformReleases.Tags[^1])
        {
            found.Add($"--live-release: '{live}' is none of {string.Join(", ", PlatformReleases.Tags.SkipLast(1))}.");
        }

        return found.Count > 0 ? null : new UpArguments(
            Path.GetFullPath(values["--directory"]),
            Path.GetFullPath(values["--helm"]),
            Path.GetFullPath(values["--kubectl"]),
            values.GetValueOrDefault("--postgres"),
            exitWith,
            live);
    }

    private static Dictionary<string, string> Read(IReadOnlyList<string> args, List<string> problems)
    {
        string[] known = ["--directory", "--helm", "--kubectl", "--postgres", "--exit-with", "--live-release"];
        var values = new Dictionary<string, string>(StringComparer.Ordinal);
        for (var i = 1; i < args.Count; i++)
        {
            var parts = Option().Match(args[i]);
            var name = parts.Success ? parts.Groups["name"].Value : args[i];
            if (!known.Contains(name))
            {
                problems.Add($"There is no option '{name}'.");
            }
            else if (parts.Groups["value"].Success || i + 1 < args.Count)
            {
                values[name] = parts.Groups["value"].Success ? parts.Groups["value"].Value : args[++i];
            }
            else
            {
                problems.Add($"{name} needs a value.");
            }
        }

        return values;
    }

    [GeneratedRegex("^(?<name>--[a-z-]+)(=(?<value>.*))?$")]
    private static partial Regex Option();
}
