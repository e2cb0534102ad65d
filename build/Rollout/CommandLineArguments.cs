namespace Rollout;

/// <summary>How the program was called: Cake's own options and ours, read before the engine so that a mistake touches nothing.</summary>
/// <param name="Targets">The targets as given, in order.</param>
/// <param name="Modes">Cake's switches: <c>tree</c>, <c>description</c>, <c>dryrun</c>, <c>exclusive</c>, <c>version</c>, <c>info</c>, <c>help</c>.</param>
/// <param name="Options">All other options, name without dashes; null for a switch.</param>
public sealed record CommandLineArguments(IReadOnlyList<string> Targets, IReadOnlySet<string> Modes, IReadOnlyDictionary<string, string?> Options)
{
    private static readonly Dictionary<string, string> Switches = new(StringComparer.Ordinal)
    {
        ["description"] = "description",
        ["descriptions"] = "description",
        ["showdescription"] = "description",
        ["showdescriptions"] = "description",
        ["tree"] = "tree",
        ["showtree"] = "tree",
        ["dryrun"] = "dryrun",
        ["noop"] = "dryrun",
        ["whatif"] = "dryrun",
        ["exclusive"] = "exclusive",
        ["e"] = "exclusive",
        ["version"] = "version",
        ["ver"] = "version",
        ["info"] = "info",
        ["help"] = "help",
        ["h"] = "help",
    };

    private static readonly HashSet<string> OwnSwitches = ["json", "verify", "again", "accept-point-of-no-return"];

    /// <exception cref="RolloutException">Exit code 2: a bare word, or an option without its value.</exception>
    public static CommandLineArguments Parse(IReadOnlyList<string> arguments)
    {
        var targets = new List<string>();
        var modes = new HashSet<string>();
        var options = new Dictionary<string, string?>();
        for (var i = 0; i < arguments.Count; i++)
        {
            var text = arguments[i];
            if (!text.StartsWith('-') || text.TrimStart('-').Length == 0)
            {
                throw Bad($"'{text}' is no option; a target is named with --target={text}.");
            }

            var separator = text.IndexOfAny(['=', ':']);
            var name = (separator < 0 ? text : text[..separator]).TrimStart('-');
            var value = separator < 0 ? null : text[(separator + 1)..];
            if (Switches.TryGetValue(name, out var mode))
            {
                if (value is null || value.Equals("true", StringComparison.OrdinalIgnoreCase))
                {
                    modes.Add(mode);
                }

                continue;
            }

            if (OwnSwitches.Contains(name))
            {
                options[name] = value;
                continue;
            }

            if (value is null && i + 1 < arguments.Count && !arguments[i + 1].StartsWith('-'))
            {
                value = arguments[++i];
            }

            if (string.IsNullOrEmpty(value))
            {
                throw Bad($"--{name} needs a value: --{name}=VALUE.");
            }

            switch (name)
            {
                case "target" or "t" or "Target":
                    targets.Add(value);
                    break;
                case "verbosity" or "v":
                    options["verbosity"] = value;
                    break;
                case "working" or "w":
                    options["working"] = value;
                    break;
                default:
                    options[name] = value;
                    break;
            }
        }

        return new CommandLineArguments(targets, modes, options);
    }

    private static RolloutException Bad(string message) => new($"{message} Nothing was touched.", "Run ./build.sh without arguments for help.", ExitCode.BadSettings);
}
