using System.Text;

namespace Rehearsal.Tests.Contract;

/// <summary>One line of a case.</summary>
/// <param name="Text">The line as it stands in the file.</param>
/// <param name="Words">The line, split at spaces; what stands in single quotes is one word.</param>
/// <param name="Input">The indented lines below it: a command's standard input or a request's body.</param>
public sealed record ContractStep(string Text, IReadOnlyList<string> Words, string? Input);

/// <summary>
/// A conversation with an API server, in a namespace of its own. Steps are <c>kubectl …</c>, <c>helm …</c>, <c>GET|POST|PUT|PATCH|DELETE
/// PATH options | picked members</c>, <c>WATCH COUNT PATH</c>, <c>until TEXT step</c> and <c>let NAME = PATH</c>; the README of the
/// folder describes them.
/// </summary>
public sealed record ContractCase(string File, string Name, IReadOnlyList<ContractStep> Steps)
{
    public override string ToString() => Name;

    public static IReadOnlyList<ContractCase> Read(string folder) =>
        Directory.EnumerateFiles(folder, "*.txt").Order(StringComparer.Ordinal)
            .SelectMany(path => Parse(Path.GetFileName(path), System.IO.File.ReadAllLines(path)))
            .ToList();

    private static IEnumerable<ContractCase> Parse(string file, string[] lines)
    {
        string? name = null;
        var steps = new List<ContractStep>();
        for (var at = 0; at < lines.Length; at++)
        {
            var line = lines[at];
            if (line.StartsWith("== ", StringComparison.Ordinal))
            {
                if (name is not null)
                {
                    yield return new ContractCase(file, name, steps);
                }

                (name, steps) = (line[3..], []);
            }
            else if (line.Length > 0 && line[0] != '#')
            {
                var input = new StringBuilder();
                while (at + 1 < lines.Length && lines[at + 1].StartsWith("  ", StringComparison.Ordinal))
                {
                    input.Append(lines[++at].AsSpan(2)).Append('\n');
                }

                steps.Add(new ContractStep(line, Split(line), input.Length == 0 ? null : input.ToString()));
            }
        }

        if (name is not null)
        {
            yield return new ContractCase(file, name, steps);
        }
    }

    private static List<string> Split(string line)
    {
        var words = new List<string>();
        var word = new StringBuilder();
        var (quoted, open) = (false, false);
        foreach (var letter in line)
        {
            if (letter == '\'')
            {
                (quoted, open) = (!quoted, true);
            }
            else if (letter == ' ' && !quoted)
            {
                Close();
            }
            else
            {
                word.Append(letter);
            }
        }

        Close();
        return words;

        void Close()
        {
            if (word.Length > 0 || open)
            {
                words.Add(word.ToString());
            }

            word.Clear();
            open = false;
        }
    }
}
