using Rollout.Monitoring;
using Rollout.Tests.Support;

namespace Rollout.Tests.Tools;

/// <summary>The target that judges archived evidence, called as a person calls it, without a cluster.</summary>
[NonParallelizable]
public sealed class JudgeTests
{
    private string _folder = null!;

    [SetUp]
    public void Create() => _folder = Directory.CreateTempSubdirectory("rollout-judge-").FullName;

    [TearDown]
    public void Delete() => Directory.Delete(_folder, recursive: true);

    [TestCase(0, 100, ExitCode.Done, "Successful")]
    [TestCase(10, 100, ExitCode.Failed, "ErrorRatio")]
    [TestCase(0, 0, ExitCode.Held, "Inconclusive")]
    public async Task Evidence_is_judged_by_its_exit_code_and_a_table(int errors, int requests, ExitCode code, string word)
    {
        await KeepAsync("FreezeWrites", 0, 100);
        await KeepAsync("MonitorTraffic", errors, requests);
        var (exit, output) = await RunAsync($"--from={_folder}");
        Assert.That(exit, Is.EqualTo(code), output);
        Assert.That(output, Does.Contain(word));
        Assert.That(output, Does.Contain("oms-service"));
        Assert.That(output, Does.Not.Contain("\e["));
        Assert.That((await RunAsync($"--from={Path.Combine(_folder, "MonitorTraffic")}")).Exit, Is.EqualTo(code));
        Assert.That((await RunAsync($"--from={_folder}/FreezeWrites/watch-samples.json,{_folder}/MonitorTraffic/watch-samples.json")).Exit, Is.EqualTo(code));
    }

    [Test]
    public async Task What_is_not_there_is_named()
    {
        Assert.That((await RunAsync()).Exit, Is.EqualTo(ExitCode.BadSettings));
        var (exit, output) = await RunAsync($"--from={_folder}");
        Assert.That(exit, Is.EqualTo(ExitCode.BadSettings));
        Assert.That(output, Does.Contain($"There is no {Path.Combine(_folder, "watch-samples.json")}"));
    }

    private async Task<(ExitCode Exit, string Output)> RunAsync(params string[] arguments)
    {
        var result = await RehearsalWorld.CallOnceAsync(_folder, ["--target=Judge", .. arguments]);
        return ((ExitCode)result.ExitCode, result.Output + result.Error);
    }

    private async Task KeepAsync(string step, int errors, int requests)
    {
        var start = new DateTimeOffset(2026, 11, 26, 18, 0, 0, TimeSpan.Zero);
        var samples = new WatchSamples
        {
            Slot = "green",
            From = start,
            To = start.AddMinutes(1),
            IntervalSeconds = 5,
            Readings = 13,
            Services = new[] { "oms-service", "policy-service", "risk-service" }.ToDictionary(
                s => s,
                _ => (IReadOnlyList<IntervalSample>)[.. Enumerable.Range(1, 12).Select(i => IntervalSample.From(
                    start.AddSeconds(5 * i), requests, errors, null, new Dictionary<string, double> { ["0.005"] = 0, ["0.01"] = requests }))]),
        };
        Directory.CreateDirectory(Path.Combine(_folder, step));
        await File.WriteAllTextAsync(Path.Combine(_folder, step, "watch-samples.json"), samples.ToJson());
    }
}
