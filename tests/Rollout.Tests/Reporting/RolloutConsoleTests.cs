using Rollout.Reporting;

namespace Rollout.Tests.Reporting;

public sealed class RolloutConsoleTests
{
    [Test]
    public void Without_a_terminal_no_ANSI_is_written_and_no_line_is_folded()
    {
        var (console, output, _) = Make([], isTerminal: false);
        var command = "helm upgrade " + new string('x', 400);
        console.StepBegins("3.2", "Flip DNS", "all hosts or none");
        console.Command(command);
        console.Table("Closing", ["what"], [["[not markup]"]]);
        Assert.That(output.ToString(), Does.Not.Contain("\e").And.Contain("  $ " + command).And.Contain("[not markup]"));
    }

    [TestCase("NO_COLOR", "1")]
    [TestCase("TERM", "dumb")]
    public void A_terminal_that_wants_no_colour_gets_none(string variable, string value)
    {
        var (console, output, _) = Make(new() { [variable] = value }, isTerminal: true);
        console.StepEnds("done in 1.0 s", good: true);
        Assert.That(output.ToString(), Is.EqualTo("  ✓ done in 1.0 s" + Environment.NewLine));
    }

    [Test]
    public void A_terminal_gets_colours()
    {
        var (console, output, _) = Make([], isTerminal: true);
        console.StepEnds("failed", good: false);
        Assert.That(output.ToString(), Does.Contain("\e[31m  ✗ failed\e[0m"));
    }

    [Test]
    public void GitHub_gets_groups_an_error_annotation_and_a_step_summary()
    {
        var summary = Path.GetTempFileName();
        try
        {
            var (console, output, error) = Make(new() { ["GITHUB_ACTIONS"] = "true", ["GITHUB_STEP_SUMMARY"] = summary }, isTerminal: false);
            console.StepBegins("1.1", "Tag the release", "…");
            console.StepEnds("done", good: true);
            console.Failure("It broke.\nBadly.", "Run it again.");
            console.Table("Tasks", ["task", "time"], [["TagRelease", "1 | 2 s"]]);
            Assert.That(output.ToString(), Does.Contain("::group::1.1 Tag the release").And.Contain("::endgroup::").And.Contain("::error::It broke.%0ABadly."));
            Assert.That(error.ToString(), Does.Contain("Run it again."));
            Assert.That(File.ReadAllText(summary), Does.Contain("## Tasks").And.Contain("| TagRelease | 1 \\| 2 s |"));
        }
        finally
        {
            File.Delete(summary);
        }
    }

    private static (RolloutConsole Console, StringWriter Output, StringWriter Error) Make(Dictionary<string, string?> variables, bool isTerminal)
    {
        var (output, error) = (new StringWriter(), new StringWriter());
        return (new RolloutConsole(output, error, variables, isTerminal), output, error);
    }
}
