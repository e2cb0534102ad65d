namespace Rehearsal.Tests.Host;

public sealed class UpArgumentsTests
{
    private static readonly string Tool = typeof(UpArgumentsTests).Assembly.Location;

    [Test]
    public void Both_spellings_of_an_option_are_understood()
    {
        var parsed = UpArguments.Parse(
            ["up", "--directory=/tmp/w", "--helm", Tool, "--kubectl=" + Tool, "--exit-with", "12"], out var problems);
        Assert.That(problems, Is.Empty);
        Assert.That(parsed, Is.Not.Null);
        Assert.That(
            (parsed!.Directory, parsed.ExitWith, parsed.Postgres, parsed.LiveRelease),
            Is.EqualTo(("/tmp/w", 12, (string?)null, "v2026.11.0")));
    }

    [Test]
    public void All_problems_are_told_at_once()
    {
        var parsed = UpArguments.Parse(
            ["up", "--directory", "/tmp/w", "--helm", "/nowhere/helm", "--exit-with=soon", "--color", "--live-release=v1"],
            out var problems);
        Assert.That(parsed, Is.Null);
        Assert.That(problems, Has.Some.Contains("/nowhere/helm"));
        Assert.That(problems, Has.Some.Contains("--kubectl is missing"));
        Assert.That(problems, Has.Some.Contains("'soon' is no process id"));
        Assert.That(problems, Has.Some.Contains("no option '--color'"));
        Assert.That(problems, Has.Some.Contains("'v1' is none of"));
    }

    [Test]
    public void The_newest_release_cannot_be_live_for_nothing_would_be_left_to_roll_out()
    {
        UpArguments.Parse(
            ["up", "--directory", "/tmp/w", "--helm", Tool, "--kubectl", Tool, "--live-release", PlatformReleases.Tags[^1]],
            out var problems);
        Assert.That(problems, Has.Some.Contains("--live-release"));
    }

    [TestCase]
    [TestCase("down")]
    [TestCase("up", "--directory")]
    public void A_missing_or_unknown_command_or_value_is_refused(params string[] args)
    {
        Assert.That(UpArguments.Parse(args, out var problems), Is.Null);
        Assert.That(problems, Is.Not.Empty);
    }
}
