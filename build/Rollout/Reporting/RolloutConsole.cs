using Spectre.Console;

namespace Rollout.Reporting;

/// <summary>
/// What a person or a CI log sees: a header, a line per step, command lines as typed, progress, and a closing table. Plain lines without
/// ANSI where the output is no terminal or <c>NO_COLOR</c> is set; groups and a step summary on GitHub Actions.
/// </summary>
public sealed partial class RolloutConsole
{
    private readonly IAnsiConsole _out;
    private readonly IAnsiConsole _error;
    private readonly bool _groups;
    private readonly string? _summary;
    private readonly Lock _lock = new();

    /// <param name="variables">The process's environment: <c>NO_COLOR</c>, <c>GITHUB_ACTIONS</c>, <c>GITHUB_STEP_SUMMARY</c>.</param>
    /// <param name="isTerminal">Whether the output is a terminal.</param>
    public RolloutConsole(TextWriter output, TextWriter error, IReadOnlyDictionary<string, string?> variables, bool isTerminal)
    {
        var colours = isTerminal && string.IsNullOrEmpty(variables.GetValueOrDefault("NO_COLOR")) && variables.GetValueOrDefault("TERM") != "dumb";
        _out = Create(output, colours, isTerminal);
        _error = Create(error, colours, isTerminal);
        _groups = variables.GetValueOrDefault("GITHUB_ACTIONS") == "true";
        _summary = variables.GetValueOrDefault("GITHUB_STEP_SUMMARY");
    }

    /// <summary>Progress of a wait, indented below its step.</summary>
    public IProgress<string> Progress => new ProgressLines(this);

    /// <summary>A plain line.</summary>
    public void Line(string text = "") => Write(_out, text, null);

    /// <summary>The run's header: one name and value a line.</summary>
    public void Header(string title, IReadOnlyList<(string Name, string Value)> facts)
    {
        Write(_out, title, "bold");
        var width = facts.Count == 0 ? 0 : facts.Max(f => f.Name.Length);
        foreach (var (name, value) in facts)
        {
            Write(_out, $"  {name.PadRight(width)}  {value}", null);
        }
    }

    /// <summary>A step begins.</summary>
    public void StepBegins(string number, string title, string text)
    {
        if (_groups)
        {
            Write(_out, $"::group::{number} {title}", null);
        }

        Write(_out, $"{number} {title}: {text}", "bold");
    }

    /// <summary>A step is over.</summary>
    public void StepEnds(string text, bool good)
    {
        Write(_out, $"  {(good ? "✓" : "✗")} {text}", good ? "green" : "red");
        if (_groups)
        {
            Write(_out, "::endgroup::", null);
        }
    }

    /// <summary>Something that was found, changed or seen, below its step.</summary>
    public void Note(string text) => Write(_out, $"  {text}", null);

    /// <summary>A command line as it could be typed.</summary>
    public void Command(string line) => Write(_out, $"  $ {line}", "grey");

    /// <summary>Something a person should read although the run goes on.</summary>
    public void Warning(string text) => Write(_out, $"  ! {text}", "yellow");

    /// <summary>What a person must see before anything else: on both streams, since one of them may be filed away.</summary>
    public void Alarm(string text)
    {
        if (_groups)
        {
            Write(_out, $"::warning::{text}", null);
        }

        Write(_out, $"!!! {text}", "red");
        Write(_error, text, "red");
    }

    /// <summary>A failure: the fact, then the advice.</summary>
    public void Failure(string message, string? hint)
    {
        if (_groups)
        {
            Write(_out, $"::error::{message.ReplaceLineEndings("%0A")}", null);
        }

        Write(_error, message, "red");
        if (hint is not null)
        {
            Write(_error, hint, "yellow");
        }
    }

    /// <summary>A table; also written to the step summary on GitHub Actions.</summary>
    public void Table(string title, IReadOnlyList<string> columns, IReadOnlyList<IReadOnlyList<string>> rows)
    {
        lock (_lock)
        {
            var table = new Table { Border = TableBorder.Simple, Title = null };
            foreach (var column in columns)
            {
                table.AddColumn(new TableColumn(new Text(column)));
            }

            foreach (var row in rows)
            {
                table.AddRow(row.Select(cell => new Text(cell)));
            }

            _out.WriteLine(title);
            _out.Write(table);
            if (_summary is { Length: > 0 })
            {
                File.AppendAllText(_summary, Markdown(title, columns, rows));
            }
        }
    }

    private static string Markdown(string title, IReadOnlyList<string> columns, IReadOnlyList<IReadOnlyList<string>> rows) =>
        $"## {title}\n\n| {string.Join(" | ", columns)} |\n|{string.Concat(columns.Select(_ => " --- |"))}\n"
        + string.Concat(rows.Select(r => $"| {string.Join(" | ", r.Select(c => c.Replace("|", "\\|", StringComparison.Ordinal)))} |\n")) + "\n";

    private static IAnsiConsole Create(TextWriter writer, bool colours, bool isTerminal)
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = colours ? AnsiSupport.Yes : AnsiSupport.No,
            ColorSystem = colours ? ColorSystemSupport.Standard : ColorSystemSupport.NoColors,
            Interactive = InteractionSupport.No,
            Out = new AnsiConsoleOutput(writer),
        });
        if (!isTerminal)
        {
            console.Profile.Width = 160;
        }

        return console;
    }

    private void Write(IAnsiConsole console, string text, string? style)
    {
        lock (_lock)
        {
            // Written as it is: Spectre would fold a long line, and a folded command line cannot be pasted.
            var line = style is null || console.Profile.Capabilities.ColorSystem == ColorSystem.NoColors ? text : $"{Begin(style)}{text}\e[0m";
            console.Profile.Out.Writer.WriteLine(line);
            console.Profile.Out.Writer.Flush();
        }
    }

    private static string Begin(string style) => style switch
    {
        "bold" => "\e[1m",
        "green" => "\e[32m",
        "red" => "\e[31m",
        "yellow" => "\e[33m",
        _ => "\e[90m",
    };

    private sealed class ProgressLines(RolloutConsole console) : IProgress<string>
    {
        public void Report(string value) => console.Write(console._out, $"  … {value}", "grey");
    }
}
