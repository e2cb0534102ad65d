using Rollout.Tests.Support;
using Rollout.Tools;

namespace Rollout.Tests.Tools;

[Parallelizable(ParallelScope.All)]
public sealed class DrillsTests
{
    [Test]
    public void A_seed_stands_for_the_same_conditions_each_time_and_another_for_others()
    {
        var (once, again) = (Drills.Conditions(7), Drills.Conditions(7));
        Assert.That(again, Is.EqualTo(once));
        Assert.That(Enumerable.Range(1, 50).Select(s => string.Join(' ', Drills.Conditions(s))).Distinct().Count(), Is.GreaterThan(40));
    }

    [Test]
    public async Task Elsewhere_than_in_the_embedded_environment_nothing_is_touched()
    {
        var folder = Directory.CreateTempSubdirectory("rollout-drills-").FullName;
        var refused = await RehearsalWorld.CallOnceAsync(folder, ["--target=Drills", "--environment=kind", "--release=v1", "--rounds=2", "--seed=1"]);
        Directory.Delete(folder, recursive: true);
        Assert.That(refused.ExitCode, Is.EqualTo((int)ExitCode.BadSettings), () => refused.Everything);
    }
}
