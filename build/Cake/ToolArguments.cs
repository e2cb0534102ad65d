using System.Collections;
using System.Globalization;
using System.Reflection;
using System.Text;
using Cake.Core;
using Cake.Core.IO;
using Cake.Core.Tooling;

namespace Cake.Rendering;

/// <summary>How the tool libraries turn settings into a command line. Linked into each of them, so that none depends on another.</summary>
internal static class ToolArguments
{
    /// <summary>
    /// Appends one argument that reaches the program as it is. Quoted and escaped only where it has to be, so that an echoed line
    /// reads as a person would type it.
    /// </summary>
    public static ProcessArgumentBuilder AppendArgument(this ProcessArgumentBuilder builder, string argument) =>
        argument.Length > 0 && argument.All(c => char.IsAsciiLetterOrDigit(c) || "-_=./:,@%+".Contains(c, StringComparison.Ordinal))
            ? builder.Append(argument)
            : builder.Append(Quote(argument));

    /// <summary>
    /// Appends a switch for each property that is set, in declaration order, those of a base class first: <c>DryRun</c> becomes
    /// <c>--dry-run=VALUE</c>, a list repeats its switch, true is the bare switch, false is <c>--switch=false</c>, a
    /// dictionary repeats its switch with <c>key=value</c>, and a duration is in seconds. The properties of <see cref="ToolSettings"/> say how to start the program and are no switches.
    /// </summary>
    public static ProcessArgumentBuilder AppendSwitches(this ProcessArgumentBuilder builder, ToolSettings settings)
    {
        foreach (var level in Levels(settings.GetType()).Reverse())
        {
            foreach (var property in level.GetProperties(BindingFlags.Public | BindingFlags.Instance | BindingFlags.DeclaredOnly))
            {
                foreach (var argument in Render("--" + Kebab(property.Name), property.GetValue(settings)))
                {
                    builder.AppendArgument(argument);
                }
            }
        }

        return builder;
    }

    // Not AppendQuoted: before engine 7.0 that one leaves quotes and backslashes inside the argument as they are.
    private static string Quote(string argument)
    {
        var quoted = new StringBuilder("\"");
        var backslashes = 0;
        foreach (var c in argument)
        {
            // Backslashes count only in front of a quote: there each of them is doubled.
            quoted.Append('\\', c == '"' ? backslashes + 1 : 0).Append(c);
            backslashes = c == '\\' ? backslashes + 1 : 0;
        }

        return quoted.Append('\\', backslashes).Append('"').ToString();
    }

    private static IEnumerable<Type> Levels(Type settings)
    {
        for (var type = settings; type != typeof(ToolSettings); type = type.BaseType!)
        {
            yield return type;
        }
    }

    private static IEnumerable<string> Render(string name, object? value) => value switch
    {
        null => [],
        true => [name],
        false => [name + "=false"],
        string text => [$"{name}={text}"],
        TimeSpan duration => [string.Create(CultureInfo.InvariantCulture, $"{name}={duration.TotalSeconds:0.###}s")],
        KeyValuePair<string, string> pair => [$"{name}={pair.Key}={pair.Value}"],
        IEnumerable values => values.Cast<object?>().SelectMany(each => Render(name, each)),
        _ => [string.Create(CultureInfo.InvariantCulture, $"{name}={value}")],
    };

    private static string Kebab(string name) =>
        string.Concat(name.Select((c, at) => char.IsUpper(c) ? (at == 0 ? string.Empty : "-") + char.ToLowerInvariant(c) : c.ToString()));
}
