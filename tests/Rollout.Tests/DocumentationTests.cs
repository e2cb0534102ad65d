using System.Text.RegularExpressions;
using Rollout.Playbook;
using Rollout.Tests.Support;

namespace Rollout.Tests;

/// <summary>What the pages say, held against the code: tables, targets, settings, exit codes, commands and links.</summary>
public sealed partial class DocumentationTests
{
    private static readonly string[] Foreign = ["bin", "obj", "artifacts", "TestResults", "node_modules"];
    private static readonly string[] OtherOptions =
        ["target", "json", "verify", "fault", "again", "break-lock", "accept-point-of-no-return", "from", "every", "point", "seed", "rounds", "tree", "description", "dryrun", "exclusive", "verbosity", "version", "info", "help"];

    private static readonly (string Path, string Text)[] Pages =
        [.. Markdown(new DirectoryInfo(Repository.Root)).Select(f => (Path.GetRelativePath(Repository.Root, f), File.ReadAllText(f)))];

    private static string Readme => Page("README.md");

    [Test]
    public void The_step_table_is_the_playbooks_order()
    {
        var steps = PlaybookOrder.All.Select(name => $"{((PlaybookStep)Activator.CreateInstance(typeof(PlaybookStep).Assembly.GetType($"Rollout.Playbook.{name}", throwOnError: true)!)!).Number} {name}");
        Assert.That(Rows(Readme, "| playbook | target |").Select(r => $"{r[0]} {r[1].Trim('`')}"), Is.EqualTo(steps));
    }

    [Test]
    public void Every_row_of_the_step_table_says_what_the_step_does_and_what_proves_it() =>
        Assert.That(Rows(Readme, "| playbook | target |").Where(r => r.Length != 4 || r.Any(cell => cell.Length == 0)).Select(r => string.Join(" | ", r)), Is.Empty);

    [Test]
    public void The_settings_table_is_the_programs()
    {
        var expected = RolloutSettings.All.Where(s => !s.IsSecret)
            .Select(s => $"| `{s.Key}` | `--{s.Argument}` | {Default(s)} | {s.Meaning}{(s.IsFixed ? " *(fixed)*" : string.Empty)} |").ToList();
        Assert.That(Lines(Readme, "| setting | argument |"), Is.EqualTo(expected), $"The table should be:\n{string.Join('\n', expected)}\n");
    }

    [Test]
    public void The_secrets_table_is_the_programs()
    {
        var expected = RolloutSettings.All.Where(s => s.IsSecret)
            .Select(s => $"| `{s.Variable}` | {Necessity(s)} | {s.Meaning} |").ToList();
        Assert.That(Lines(Readme, "| variable | required |"), Is.EqualTo(expected), $"The table should be:\n{string.Join('\n', expected)}\n");
    }

    [Test]
    public void Every_target_is_in_a_table_of_the_readme()
    {
        var listed = Rows(Readme, "| playbook | target |").Select(r => r[1])
            .Concat(Rows(Readme, "| stage |").Select(r => r[0]))
            .Concat(Rows(Readme, "| tool |").Select(r => r[0]))
            .Select(cell => cell.Trim('`'));
        Assert.That(listed, Is.EquivalentTo(Program.Tasks().Keys));
    }

    [Test]
    public void Every_trap_of_the_data_page_names_tests_that_exist()
    {
        var rows = Rows(Page("docs/DATA.md"), "| step | trap |").ToList();
        var named = rows.SelectMany(r => TestName().Matches(r[3]).Select(m => (Fixture: m.Groups["fixture"].Value, Test: m.Groups["test"].Value))).ToList();
        var fixtures = typeof(DocumentationTests).Assembly.GetTypes().ToLookup(t => t.Name);
        Assert.That(rows.Where(r => !TestName().IsMatch(r[3])).Select(r => r[1]), Is.Empty, "a trap without a test");
        Assert.That(named.Where(n => !fixtures[n.Fixture].Any(f => f.GetMethod(n.Test)?.GetCustomAttributes(inherit: true).Any(a => a is TestAttribute or TestCaseAttribute or TestCaseSourceAttribute) == true)), Is.Empty);
    }

    [GeneratedRegex("`(?<fixture>[A-Za-z]+)\\.(?<test>[A-Za-z0-9_]+)`")]
    private static partial Regex TestName();

    [Test]
    public void Every_step_says_what_it_means_to_be_started_and_not_done() =>
        Assert.That(Rows(Page("docs/RESUME.md"), "| step | target |").Select(r => r[1].Trim('`')), Is.EqualTo(PlaybookOrder.All));

    [Test]
    public void The_exit_codes_are_the_enums()
    {
        var expected = Enum.GetValues<ExitCode>().Select(c => $"{(int)c} {c}").ToList();
        Assert.That(Rows(Readme, "| code | name |").Select(r => $"{r[0]} {r[1].Trim('`')}"), Is.EqualTo(expected), "README.md");
        Assert.That(
            RunbookChapter().Matches(Page("docs/RUNBOOK.md")).Select(m => $"{m.Groups["code"].Value} {m.Groups["name"].Value}"), Is.EqualTo(expected), "docs/RUNBOOK.md has one chapter a code");
    }

    [Test]
    public void What_every_environment_but_embedded_must_set_is_in_the_guide()
    {
        var guide = Page("docs/ENVIRONMENTS.md");
        Assert.That(
            RolloutSettings.All.Where(s => s.RequiredOutside && !guide.Contains(s.IsSecret ? s.Variable : s.Key, StringComparison.Ordinal)).Select(s => s.Key), Is.Empty);
    }

    [Test]
    public void The_drills_are_the_worlds_faults()
    {
        var known = FaultName().Matches(File.ReadAllText(Repository.PathOf("build", "Rehearsal", "World", "Faults.cs"))).Select(m => m.Groups["name"].Value).ToList();
        Assert.That(known, Is.Not.Empty, "Faults.cs is written in another way now; adapt this test");
        Assert.That(Rows(Page("docs/ENVIRONMENTS.md"), "| fault |").Select(r => r[0].Trim('`')), Is.EqualTo(known));
    }

    [Test]
    public void The_drills_with_names_are_those_of_the_program_and_set_what_the_world_knows()
    {
        var known = Rows(Page("docs/ENVIRONMENTS.md"), "| fault |").Select(r => r[0].Trim('`')).ToList();
        Assert.That(
            Rows(Page("README.md"), "| drill |").Select(r => (r[0].Trim('`'), r[1], r[2])), Is.EqualTo(Rollout.Tools.Drill.Known.Select(d => (d.Name, d.Meaning, d.MustEnd))));
        Assert.That(Rollout.Tools.Drill.Known.Select(d => d.Fault.Split('=')[0]), Is.SubsetOf(known));
        Assert.That(Rollout.Tools.Drill.Known.Select(d => d.Begins).Distinct(), Is.SubsetOf(Rollout.Playbook.PlaybookOrder.Forward));
    }

    [Test]
    public void Every_reason_of_the_judge_is_in_the_runbook()
    {
        var reasons = ReasonName().Matches(File.ReadAllText(Repository.PathOf("build", "Rollout", "Monitoring", "SteadinessJudge.cs"))).Select(m => m.Groups["name"].Value).Distinct();
        Assert.That(Rows(Page("docs/RUNBOOK.md"), "| reason |").Select(r => r[0].Trim('`')), Is.EquivalentTo(reasons));
    }

    [Test]
    public void Every_command_in_a_page_names_what_exists() => Assert.Multiple(() =>
    {
        var targets = Program.Tasks().Keys.ToHashSet(StringComparer.Ordinal);
        var options = RolloutSettings.All.Where(s => !s.IsSecret).Select(s => s.Argument).Concat(OtherOptions).ToHashSet(StringComparer.Ordinal);
        foreach (var (path, text) in Pages)
        {
            foreach (Match option in Command().Matches(text).SelectMany(m => Option().Matches(m.Value)))
            {
                var name = option.Groups["name"].Value;
                Assert.That(options, Does.Contain(name), $"{path}: --{name}");
                if (name == "target")
                {
                    Assert.That(targets, Does.Contain(option.Groups["value"].Value), $"{path}: {option.Value}");
                }
            }
        }
    });

    [Test]
    public void Every_relative_link_leads_to_a_file() => Assert.Multiple(() =>
    {
        foreach (var (path, text) in Pages)
        {
            foreach (var target in Link().Matches(text).Select(m => m.Groups["target"].Value).Where(t => !t.Contains("://", StringComparison.Ordinal) && !t.StartsWith('#')))
            {
                var full = Path.GetFullPath(Path.Combine(Repository.Root, Path.GetDirectoryName(path)!, target.Split('#')[0]));
                Assert.That(File.Exists(full) || Directory.Exists(full), $"{path} links to '{target}', which is not there");
            }
        }
    });

    [Test]
    public void Every_link_to_a_heading_finds_it() => Assert.Multiple(() =>
    {
        foreach (var (path, text) in Pages)
        {
            foreach (var target in Link().Matches(text).Select(m => m.Groups["target"].Value).Where(t => t.Contains('#', StringComparison.Ordinal) && !t.Contains("://", StringComparison.Ordinal)))
            {
                var parts = target.Split('#');
                var page = parts[0].Length == 0 ? text : File.ReadAllText(Path.Combine(Repository.Root, Path.GetDirectoryName(path)!, parts[0]));
                Assert.That(Heading().Matches(page).Select(m => Anchor(m.Groups["text"].Value)), Does.Contain(parts[1]), $"{path} links to '{target}'");
            }
        }
    });

    [Test]
    public void No_page_names_a_registry_host_or_a_place_on_somebodys_machine() =>
        Assert.That(
            Pages.SelectMany(p => Unspeakable().Matches(p.Text).Select(m => $"{p.Path}: {m.Value}")), Is.Empty);

    [Test]
    public void The_playbook_has_all_its_chapters_and_its_last_line()
    {
        var playbook = Page("docs/PLAYBOOK.md");
        Assert.That(
            Heading().Matches(playbook).Select(m => m.Groups["text"].Value.Trim()),
            Is.EqualTo(new[]
            {
                "Blue/Green Rollout Playbook", "1. Preparation", "2. Deploy the Green Stack", "3. Traffic Switch", "4. Post-Deployment Verification", "5. Rollback Procedure",
            }));
        Assert.That(NumberedItem().Count(playbook), Is.EqualTo(PlaybookOrder.All.Count));
        Assert.That(playbook.TrimEnd().Split('\n')[^1], Does.StartWith("Document the full timeline in `docs/AUDIT_REPORT.md`"));
    }

    [Test]
    public void Decisions_are_numbered_without_a_gap_and_have_their_three_parts() => Assert.Multiple(() =>
    {
        var records = Directory.GetFiles(Repository.PathOf("docs", "decisions"), "*.md").Order(StringComparer.Ordinal).ToList();
        foreach (var (record, number) in records.Select((r, i) => (r, i + 1)))
        {
            Assert.That(Path.GetFileName(record), Does.StartWith($"{number:0000}-"));
            Assert.That(Heading().Matches(File.ReadAllText(record)).Skip(1).Select(m => m.Groups["text"].Value.Trim()), Is.EqualTo(new[] { "Context", "Decision", "Consequences" }), record);
        }

        Assert.That(records, Is.Not.Empty);
    });

    private static string Default(Setting setting) => setting.Default is { } value ? $"`{value}`"
        : setting.RequiredWith is not null || setting.RequiredOutside || setting.Key == "Rollout.Release" ? Necessity(setting).Replace("yes", "required", StringComparison.Ordinal)
        : "none";

    private static string Necessity(Setting setting) => setting.RequiredWith is { } with ? $"with `{with.Key}` = {with.Value}"
        : setting.RequiredOutside || setting.Key == "Rollout.Release" ? "yes"
        : "no";

    private static string Page(string path) => Pages.Single(p => p.Path.Replace('\\', '/') == path).Text;

    // The lines of the table whose first line begins so, without its two heading lines.
    private static List<string> Lines(string page, string heading)
    {
        var lines = page.Split('\n').SkipWhile(l => !l.StartsWith(heading, StringComparison.Ordinal)).ToList();
        Assert.That(lines, Is.Not.Empty, $"There is no table that begins with '{heading}'");
        return [.. lines.Skip(2).TakeWhile(l => l.StartsWith('|'))];
    }

    private static IEnumerable<string[]> Rows(string page, string heading) =>
        Lines(page, heading).Select(l => l.Trim().Trim('|').Split(" | ").Select(cell => cell.Trim()).ToArray());

    private static IEnumerable<string> Markdown(DirectoryInfo folder) =>
        folder.EnumerateFiles("*.md").Select(f => f.FullName)
            .Concat(folder.EnumerateDirectories().Where(d => !d.Name.StartsWith('.') && !Foreign.Contains(d.Name)).SelectMany(Markdown));

    // As forges make them: lower case, blanks to hyphens, punctuation gone.
    private static string Anchor(string heading) =>
        new([.. heading.Trim().ToLowerInvariant().Where(c => char.IsLetterOrDigit(c) || c is ' ' or '-' or '_').Select(c => c == ' ' ? '-' : c)]);

    // Every word in quotes that is written as a name is one.
    [GeneratedRegex("\"(?<name>[A-Z][a-z]+(?:[A-Z][a-z]+)*)\"")]
    private static partial Regex ReasonName();

    [GeneratedRegex(@"^## (?<code>\d+) (?<name>\w+)", RegexOptions.Multiline)]
    private static partial Regex RunbookChapter();

    [GeneratedRegex(@"^ *\[""(?<name>[a-z-]+)""\] = ", RegexOptions.Multiline)]
    private static partial Regex FaultName();

    [GeneratedRegex(@"\./build\.(sh|ps1)( +--[^\s`|]+)+")]
    private static partial Regex Command();

    [GeneratedRegex(@"--(?<name>[a-z0-9-]+)(=(?<value>[^\s`]+))?")]
    private static partial Regex Option();

    [GeneratedRegex(@"\]\((?<target>[^)\s]+)\)")]
    private static partial Regex Link();

    [GeneratedRegex(@"^#{1,6} (?<text>.+)$", RegexOptions.Multiline)]
    private static partial Regex Heading();

    [GeneratedRegex(@"^\d+\. \*\*", RegexOptions.Multiline)]
    private static partial Regex NumberedItem();

    [GeneratedRegex(@"\b(registry|npm|npmjs|nuget|pypi|docker|ghcr|quay|gcr|mcr|crates)(\.[a-z0-9-]+)*\.(org|com|io|dev|net)\b|(?<![\w.~-])(/(home|root|work|tmp|Users|mnt|media)/|[A-Z]:\\)\S*|\.\./shared\b", RegexOptions.IgnoreCase)]
    private static partial Regex Unspeakable();
}
