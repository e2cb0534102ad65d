using Rollout.Journal;
using Rollout.Playbook;
using Rollout.Tests.Support;
using Rollout.Tools;
using Rollout.Traffic;

namespace Rollout.Tests.Scenarios;

/// <summary>What somebody notices who uses the production hosts while they move: 500 requests a second, through DNS, forth and back.</summary>
[TestFixture, Order(90), NonParallelizable]
public sealed class ClientScenarios
{
    private const int Rate = 500;
    private const string Release = "v2026.11.1";
    private static readonly TimeSpan Ttl = TimeSpan.FromSeconds(5);
    private RehearsalWorld _world = null!;

    [OneTimeSetUp]
    public async Task Begin()
    {
        // Two worlds on two cores only slow one another.
        await RehearsalWorld.StopSharedAsync();
        _world = await RehearsalWorld.StartAsync();
    }

    [OneTimeTearDown]
    public Task End() => _world.StopAsync();

    [Test]
    public async Task No_read_fails_and_no_order_is_refused_but_by_a_fence_in_the_freeze()
    {
        var deployed = await _world.CallAsync("--target=Deploy", $"--release={Release}");
        Assert.That(deployed.ExitCode, Is.Zero, () => deployed.Everything);
        await using var client = await ClientTraffic.StartAsync(await _world.ClientAsync(Rate), TimeProvider.System, CancellationToken.None);
        var switched = await _world.CallAsync("--target=Switch", $"--release={Release}");
        var back = switched.ExitCode == 0 ? await _world.CallAsync("--target=Rollback", $"--release={Release}") : switched;
        await Task.Delay(Ttl, TimeProvider.System);
        var report = await client.StopAsync();
        TestContext.Out.WriteLine(report.ToCsv(["blue", "green"]));
        Assert.That(switched.ExitCode, Is.Zero, () => switched.Everything);
        Assert.That(back.ExitCode, Is.Zero, () => back.Everything);

        var journal = (await _world.JournalAsync(Release)).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(JournalEntry.FromLine).ToList();
        var windows = FreezeWindow.Of(journal, Ttl);
        var totals = report.Totals;
        TestContext.Out.WriteLine(
            $"{totals.Reads} reads, {totals.ReadsFailed} failed; {totals.Accepted} orders accepted, {totals.Fenced} fenced, {totals.Refused} refused; "
            + $"p50 {totals.Latency.Median.TotalMilliseconds:0.0}, p99 {totals.Latency.P99.TotalMilliseconds:0.0}, longest {totals.Latency.Longest.TotalMilliseconds:0.0} ms; "
            + $"windows {string.Join(" and ", windows.Select(w => $"{(w.To - w.From)?.TotalSeconds:0.0} s"))}");
        Assert.That(RehearsalClient.Problems(report, windows), Is.Empty);
        Assert.That(windows.Select(w => w.Trades), Is.EqualTo(new[] { "green", "blue" }), "a freeze forth and a freeze back, and both ended");
        Assert.That(totals.Requests, Is.GreaterThan(Rate * 30), "the client was there all the time");

        var between = Between(report, windows[0].OldAnswersUntil!.Value, windows[1].From);
        var after = Between(report, windows[1].OldAnswersUntil!.Value, DateTimeOffset.MaxValue);
        Assert.Multiple(() =>
        {
            Assert.That(Slots(Between(report, DateTimeOffset.MinValue, windows[0].From)), Is.EqualTo(new[] { "blue" }));
            Assert.That(Slots(between), Is.EqualTo(new[] { "green" }));
            Assert.That(Slots(after), Is.EqualTo(new[] { "blue" }));
            Assert.That(between.Where(a => a.Outcome == ClientOutcome.Accepted), Is.Not.Empty, "green trades");
            Assert.That(after.Where(a => a.Outcome == ClientOutcome.Accepted), Is.Not.Empty, "blue trades again");
        });
    }

    private static List<ClientAnswer> Between(ClientReport report, DateTimeOffset from, DateTimeOffset to) =>
        [.. report.Answers.Where(a => a.Sent > from && a.Answered < to)];

    private static IEnumerable<string?> Slots(IEnumerable<ClientAnswer> answers) => answers.Select(a => a.Slot).Distinct();
}
