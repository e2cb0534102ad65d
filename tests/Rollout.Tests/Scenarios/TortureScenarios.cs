using Rollout.Tests.Support;

namespace Rollout.Tests.Scenarios;

/// <summary>Rollouts under torture: killed and resumed, in worlds of their own.</summary>
[NonParallelizable, Order(95)]
public sealed class TortureScenarios
{
    private string _folder = null!;

    [OneTimeSetUp]
    public async Task Begin()
    {
        // Two worlds on two cores only slow one another.
        await RehearsalWorld.StopSharedAsync();
        _folder = Directory.CreateTempSubdirectory("torture-").FullName;
    }

    [OneTimeTearDown]
    public void End() => Directory.Delete(_folder, recursive: true);

    [Test]
    public async Task Runs_killed_at_a_sample_of_their_journals_entries_end_as_if_they_had_not_been()
    {
        if (!OperatingSystem.IsLinux())
        {
            Assert.Ignore("Torture is for Linux.");
        }

        var result = await RehearsalWorld.CallOnceAsync(_folder, ["--target=Torture", "--every=16"]);
        Assert.That(result.ExitCode, Is.Zero, () => result.Everything);
        Assert.That(result.Output, Does.Match(@"(?m)^([5-9]|\d\d) points passed, 0 failed$"));
    }
}
