using System.Reflection;
using System.Text.RegularExpressions;
using Cake.Frosting;
using Rollout.Playbook;
using Rollout.Tests.Support;

namespace Rollout.Tests.Playbook;

/// <summary>Holds classes, numbers, titles, files and order against the playbook's text.</summary>
public sealed partial class PlaybookTests
{
    private static readonly PlaybookStep[] Steps = [.. PlaybookOrder.All.Select(n => (PlaybookStep)Activator.CreateInstance(typeof(PlaybookStep).Assembly.GetType($"Rollout.Playbook.{n}", throwOnError: true)!)!)];

    [Test]
    public void There_is_one_class_for_each_numbered_item_in_the_playbooks_order() =>
        Assert.That(Steps.Select(s => s.Number), Is.EqualTo(Items().Select(i => i.Number)));

    [Test]
    public void Every_step_carries_the_playbooks_title() => Assert.Multiple(() =>
    {
        foreach (var (step, item) in Steps.Zip(Items()))
        {
            // The playbook's bold words; a lone verb got its object (design, the table of targets).
            var first = item.Title.Split(' ')[0].TrimEnd('.').ToLowerInvariant();
            Assert.That(step.Title.ToLowerInvariant(), Does.StartWith(first), $"{step.Number} is '{item.Title}' in the playbook");
        }
    });

    [Test]
    public void Every_step_is_in_the_file_that_its_number_names() => Assert.Multiple(() =>
    {
        foreach (var step in Steps)
        {
            Assert.That(File.Exists(Repository.PathOf("build", "Rollout", "Playbook", $"{step.Number}-{step.Name}.cs")), $"{step.Number}-{step.Name}.cs is missing");
        }
    });

    [Test]
    public void No_step_is_missing_from_the_order() =>
        Assert.That(
            typeof(PlaybookStep).Assembly.GetExportedTypes().Where(t => t.IsSubclassOf(typeof(PlaybookStep))).Select(t => t.Name),
            Is.EquivalentTo(PlaybookOrder.All));

    [Test]
    public void Each_step_depends_on_exactly_its_predecessor() => Assert.Multiple(() =>
    {
        foreach (var (step, previous) in PlaybookOrder.All.Skip(1).Zip(PlaybookOrder.All))
        {
            var expected = step == PlaybookOrder.StepsOf("Rollback")[0]
                ? []
                : PlaybookOrder.StageOf(step) == PlaybookOrder.StageOf(previous) ? new[] { previous } : [PlaybookOrder.StageOf(previous)];
            var actual = typeof(PlaybookStep).Assembly.GetType($"Rollout.Playbook.{step}")!.GetCustomAttributes<IsDependentOnAttribute>().Select(a => a.Task.Name);
            Assert.That(actual, Is.EqualTo(expected), step);
        }
    });

    [Test]
    public void Each_summary_quotes_the_playbook() => Assert.Multiple(() =>
    {
        foreach (var (step, item) in Steps.Zip(Items()))
        {
            var source = Squeeze(File.ReadAllText(Repository.PathOf("build", "Rollout", "Playbook", $"{step.Number}-{step.Name}.cs")).Replace("///", string.Empty, StringComparison.Ordinal));
            var words = Squeeze(item.Text).Split(' ').Where(w => w.Length > 0).Take(6);
            Assert.That(source, Does.Contain(string.Join(' ', words)), $"{step.Number} does not quote its sentence");
        }
    });

    private static IEnumerable<(string Number, string Title, string Text)> Items()
    {
        var chapter = string.Empty;
        foreach (var line in File.ReadLines(Repository.PathOf("docs", "PLAYBOOK.md")))
        {
            if (Chapter().Match(line) is { Success: true } heading)
            {
                chapter = heading.Groups["number"].Value;
            }
            else if (Item().Match(line) is { Success: true } item)
            {
                yield return ($"{chapter}.{item.Groups["number"].Value}", item.Groups["title"].Value, item.Groups["text"].Value is { Length: > 0 } text ? text : "Run database migrations");
            }
        }
    }

    private static string Squeeze(string text) => Spaces().Replace(text.Replace("`", string.Empty, StringComparison.Ordinal), " ").Trim();

    [GeneratedRegex(@"^## (?<number>\d+)\.")]
    private static partial Regex Chapter();

    [GeneratedRegex(@"^(?<number>\d+)\. \*\*(?<title>[^*]+)\*\*\s*(?<text>.*)$")]
    private static partial Regex Item();

    [GeneratedRegex(@"\s+")]
    private static partial Regex Spaces();
}
