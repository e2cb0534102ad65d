using Rollout.Tools;

namespace Rollout.Tests.Tools;

public sealed class EndStateTests
{
    [Test]
    public void What_differs_is_told_with_both_values_and_what_is_missing_on_either_side()
    {
        var reference = new EndState(new Dictionary<string, string> { ["hosts on green"] = "18", ["orders now from"] = "green", ["evidence a"] = "recorded" });
        var seen = new EndState(new Dictionary<string, string> { ["hosts on green"] = "17", ["orders now from"] = "green", ["effect sim-enter:blue"] = "3" });
        Assert.That(seen.DifferencesFrom(reference), Is.EqualTo(new[]
        {
            "effect sim-enter:blue: 3, uninterrupted none", "evidence a: none, uninterrupted recorded", "hosts on green: 17, uninterrupted 18",
        }));
        Assert.That(seen.DifferencesFrom(seen), Is.Empty);
    }

    [Test]
    public void Effects_are_those_that_took_place_in_between_and_changed_something()
    {
        var before = new Dictionary<string, int> { ["linode-record-writes"] = 18, ["sim-enter:blue"] = 3 };
        var after = new Dictionary<string, int>
        {
            ["linode-record-writes"] = 36,
            ["sim-enter:blue"] = 3,
            ["sim-enter:blue-repeated"] = 3,
            ["helm-revisions:aether-green"] = 4,
        };
        Assert.That(EndState.EffectsBetween(before, after), Is.EquivalentTo(new[] { ("effect linode-record-writes", "18"), ("effect helm-revisions:aether-green", "4") }));
    }

    [TestCase("ArchiveArtefacts/journal-55.jsonl", "ArchiveArtefacts/journal-N.jsonl")]
    [TestCase("SmokeTest/ci-logs-18000000012-1.zip", "SmokeTest/ci-logs-N-1.zip")]
    [TestCase("SeedState/migrations.log", "SeedState/migrations.log")]
    [TestCase("ExportHealthSnapshot/aether-2-ui.healthz.json", "ExportHealthSnapshot/aether-2-ui.healthz.json")]
    public void Evidence_of_two_runs_has_the_same_names(string path, string name) => Assert.That(EndState.EvidenceName(path), Is.EqualTo(name));
}
