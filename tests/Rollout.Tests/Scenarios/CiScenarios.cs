using Rollout.Tests.Support;

namespace Rollout.Tests.Scenarios;

/// <summary>2.5 starts a run of CI where there is none, and never a second one.</summary>
[TestFixture, Order(81), NonParallelizable]
public sealed class CiScenarios
{
    private static readonly string[] Deploy =
        ["--target=Deploy", "--release=v2026.11.1", "--github-dispatch=when-missing", "--github-dispatch-input=rollout"];

    private RehearsalWorld _world = null!;

    [OneTimeSetUp]
    public async Task Begin()
    {
        _world = await RehearsalWorld.StartAsync();
        await _world.SetFaultAsync("ci-missing", "dispatch:rollout");
    }

    [OneTimeTearDown]
    public Task End() => _world.StopAsync();

    [Test, Order(1)]
    public async Task A_run_that_was_started_before_a_kill_is_watched_by_the_next()
    {
        var killed = await _world.SignalAsync("KILL", "started ci.yaml", Deploy);
        Assert.That(killed.ExitCode, Is.EqualTo(137), () => killed.Everything);
        var resumed = await _world.CallAsync(Deploy);
        Assert.That(resumed.ExitCode, Is.Zero, () => resumed.Everything);
        Assert.Multiple(() =>
        {
            Assert.That(Events("ci-run"), Is.EqualTo(new[] { "intent", "done" }), resumed.Everything);
            Assert.That(resumed.Output.ReplaceLineEndings(" "), Does.Contain("success; verify success"), resumed.Everything);
            Assert.That(Directory.EnumerateFiles(Path.Combine(_world.Artifacts, "evidence", "SmokeTest"), "ci-logs-*.zip").Count(), Is.EqualTo(1));
        });
        Assert.That(await _world.EffectsAsync(), Does.Match("\"github-dispatches\": ?1\\b"));
    }

    private IEnumerable<string> Events(string part) =>
        _world.Journal().Where(e => e["part"]?.GetValue<string>() == part).Select(e => e["event"]!.GetValue<string>());
}
