using System.Runtime.CompilerServices;
using System.Text;

namespace Rehearsal.Tests.Contract;

/// <summary>A difference between the servers that is known and stays.</summary>
/// <param name="Lines">The exact difference, as <see cref="ContractRecord.Compare"/> writes it.</param>
internal sealed record ListedDifference(string What, string Why, string Lines);

/// <summary>What the repository knows: a real server's answers, and where the embedded one's differ.</summary>
internal sealed class ContractRecord
{
    /// <summary>What is written for a difference that nobody has explained yet.</summary>
    public const string Unknown = "?";

    private readonly Dictionary<string, string> _answers = [];
    private readonly Dictionary<string, ListedDifference> _differences = [];

    private ContractRecord(string server, string tools)
    {
        Server = server;
        Tools = tools;
    }

    public static string Folder { get; } = SourceFolder();

    /// <summary>The minor version of the real server whose answers these are.</summary>
    public string Server { get; private set; }

    /// <summary>The versions of kubectl and helm they were given to.</summary>
    public string Tools { get; private set; }

    public IReadOnlyDictionary<string, ListedDifference> Differences => _differences;

    public static ContractRecord Read(IReadOnlyList<ContractCase> cases)
    {
        var versions = File.ReadAllLines(Path.Combine(Folder, "Recordings", "versions"));
        var record = new ContractRecord(versions[0], versions[1]);
        foreach (var file in cases.Select(item => item.File).Distinct())
        {
            foreach (var (name, text) in Sections(Path.Combine(Folder, "Recordings", file)))
            {
                record._answers.Add(name, text);
            }
        }

        foreach (var (name, text) in Sections(Path.Combine(Folder, "differences.txt")))
        {
            var lines = text.Split('\n', 3);
            record._differences.Add(name, new ListedDifference(lines[0]["what: ".Length..], lines[1]["why: ".Length..], lines[2]));
        }

        return record;
    }

    /// <summary>The real server's transcript of the case; null: never recorded.</summary>
    public string? Answer(ContractCase item) => _answers.GetValueOrDefault(item.Name);

    /// <summary>Keeps what was found in this run, in the repository.</summary>
    public void Write(
        IReadOnlyList<ContractCase> cases, IReadOnlyDictionary<string, (string Real, string Embedded)> found, string server, string tools)
    {
        foreach (var (name, (real, embedded)) in found)
        {
            _answers[name] = real;
            var lines = Compare(real, embedded);
            if (lines.Length == 0)
            {
                _differences.Remove(name);
            }
            else
            {
                _differences[name] = _differences.TryGetValue(name, out var listed)
                    ? listed with { Lines = lines }
                    : new ListedDifference(Unknown, Unknown, lines);
            }
        }

        foreach (var file in cases.GroupBy(item => item.File))
        {
            WriteSections(Path.Combine("Recordings", file.Key), file.Where(item => _answers.ContainsKey(item.Name)).Select(item => (item.Name, _answers[item.Name])));
        }

        WriteSections("differences.txt", cases.Where(item => _differences.ContainsKey(item.Name)).Select(item =>
        {
            var listed = _differences[item.Name];
            return (item.Name, $"what: {listed.What}\nwhy: {listed.Why}\n{listed.Lines}");
        }));
        (Server, Tools) = (server, tools);
        File.WriteAllText(Path.Combine(Folder, "Recordings", "versions"), $"{server}\n{tools}\n");
    }

    /// <summary>
    /// The lines that only the real server gave (<c>-</c>) and those that only the embedded one gave (<c>+</c>), below the step they
    /// belong to; empty when there are none.
    /// </summary>
    public static string Compare(string real, string embedded)
    {
        var (left, right) = (real.TrimEnd('\n').Split('\n'), embedded.TrimEnd('\n').Split('\n'));
        var common = new int[left.Length + 1, right.Length + 1];
        for (var i = left.Length - 1; i >= 0; i--)
        {
            for (var j = right.Length - 1; j >= 0; j--)
            {
                common[i, j] = left[i] == right[j] ? common[i + 1, j + 1] + 1 : Math.Max(common[i + 1, j], common[i, j + 1]);
            }
        }

        var text = new StringBuilder();
        var (at, other, step, told) = (0, 0, "", "");
        while (at < left.Length || other < right.Length)
        {
            if (at < left.Length && other < right.Length && left[at] == right[other])
            {
                step = left[at].StartsWith("> ", StringComparison.Ordinal) ? left[at] : step;
                (at, other) = (at + 1, other + 1);
                continue;
            }

            if (told != step)
            {
                text.Append(told = step).Append('\n');
            }

            text.Append(at < left.Length && (other == right.Length || common[at + 1, other] >= common[at, other + 1])
                ? $"- {left[at++]}\n"
                : $"+ {right[other++]}\n");
        }

        return text.ToString();
    }

    private static IEnumerable<(string Name, string Text)> Sections(string path)
    {
        if (!File.Exists(path))
        {
            yield break;
        }

        foreach (var section in ("\n" + File.ReadAllText(path)).Split("\n== ").Skip(1))
        {
            var end = section.IndexOf('\n', StringComparison.Ordinal);
            yield return (section[..end], section[(end + 1)..].TrimEnd('\n') + "\n");
        }
    }

    private static void WriteSections(string path, IEnumerable<(string Name, string Text)> sections) => File.WriteAllText(
        Path.Combine(Folder, path), string.Join('\n', sections.Select(section => $"== {section.Name}\n{section.Text}")));

    private static string SourceFolder([CallerFilePath] string path = "") => Path.GetDirectoryName(path)!;
}
