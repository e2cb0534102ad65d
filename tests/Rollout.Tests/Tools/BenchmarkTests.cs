using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Rollout.Commands;
using Rollout.Environments;
using Rollout.Journal;
using Rollout.Playbook;
using Rollout.Tests.Support;
using Rollout.Tools;

namespace Rollout.Tests.Tools;

/// <summary>The benchmark's figures: what is read, and how it is counted. How fast anything is, no test says.</summary>
public sealed partial class BenchmarkTests
{
    // Fields 14 to 17 are 123, 45, 600 and 7 ticks of 10 ms.
    private const string Stat = "4711 (a) (b c)) S 1 4711 4711 0 -1 4227084 211 12184 0 7 123 45 600 7 20 0 1 0 738442 0 0 18446744073709551615\n";

    [TestCase(new[] { 3.0, 1, 2 }, 1, 2, 3)]
    [TestCase(new[] { 4.0, 1, 2, 3 }, 1, 2.5, 4)]
    [TestCase(new[] { 7.0 }, 7, 7, 7)]
    public void A_spread_is_least_median_and_greatest(double[] values, double least, double median, double greatest) =>
        Assert.That(Spread.Of(values), Is.EqualTo(new Spread(least, median, greatest)));

    [Test]
    public void A_spread_of_one_figure_is_shown_as_one() => Assert.Multiple(() =>
    {
        Assert.That(Spread.Of([61.26]).ToString(), Is.EqualTo("61.3"));
        Assert.That(Spread.Of([0.2, 0.3, 0.25]).ToString(), Is.EqualTo("0.20 0.25 0.30"));
    });

    [Test]
    public void Cpu_is_read_past_a_program_name_with_blanks_and_brackets()
    {
        var (own, children) = BenchmarkFigures.CpuOf(Stat);
        Assert.That((own, children), Is.EqualTo((1.68, 6.07)).Within(1e-9));
    }

    [Test]
    public void The_peak_is_the_resident_memorys() =>
        Assert.That(BenchmarkFigures.PeakOf("VmPeak:\t  999999 kB\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n"), Is.EqualTo(2));

    [Test]
    public void A_commands_cpu_less_its_tools_is_its_own()
    {
        var cost = BenchmarkFigures.CostOf(new JsonObject { ["wall"] = 9.5, ["cpu"] = 7.5, ["stat"] = Stat, ["peakKiB"] = 1024, ["largestKiB"] = 3072 }.ToJsonString());
        Assert.That((cost.WallSeconds, cost.PeakMegabytes, cost.LargestMegabytes), Is.EqualTo((9.5, 1.0, (double?)3.0)));
        Assert.That((cost.OwnCpuSeconds, cost.ToolsCpuSeconds), Is.EqualTo((1.43, 6.07)).Within(1e-9));
    }

    [Test]
    public async Task Measuring_hands_on_the_exit_code_and_the_output_and_writes_what_the_command_cost()
    {
        if (!OperatingSystem.IsLinux())
        {
            Assert.Ignore("measure.py reads /proc.");
        }

        using var folder = new Folder();
        var file = Path.Combine(folder.Path, "cost.json");
        var result = await new CommandRunner(_ => { }).RunAsync(
            new CommandLine("python3", Repository.PathOf("scripts", "measure.py"), file, "sh", "-c", "echo said; exit 7"), CancellationToken.None);
        Assert.That((result.ExitCode, result.Output), Is.EqualTo((7, "said\n")), result.Error);
        var cost = BenchmarkFigures.CostOf(await File.ReadAllTextAsync(file));
        Assert.That(cost.LargestMegabytes, Is.GreaterThan(0));
        Assert.That(cost.WallSeconds, Is.GreaterThan(0));
    }

    [Test]
    public void Steps_by_hand_last_until_the_next_one_begins()
    {
        var steps = BenchmarkFigures.StepsByHand("""
               0.2 s  v2026.11.1: blue is live, green is the candidate
               0.2 s  1.1 tag the release
               1.0 s  1.2 verify migrations
              20.5 s  3.4 re-enable trading
              31.0 s  orders flow from green
             100.0 s  4.3 archive
             100.4 s  done: 18 hosts and trading are on green
            """);
        Assert.That(steps, Is.EquivalentTo(new Dictionary<string, double>
        {
            [nameof(TagRelease)] = 0.8,
            [nameof(VerifyMigrations)] = 19.5,
            [nameof(ReenableTrading)] = 79.5,
            [nameof(ArchiveArtefacts)] = 0.4,
        }));
    }

    [Test]
    public void By_hand_every_step_that_goes_forward_is_done_in_the_playbooks_order()
    {
        var script = File.ReadAllText(Repository.PathOf("scripts", "playbook-by-hand.sh"));
        var printed = string.Concat(Announced().Matches(script).Select(m => $"   1.0 s  {m.Groups["text"].Value}\n"));
        Assert.That(BenchmarkFigures.StepsByHand(printed).Keys, Is.EqualTo(PlaybookOrder.Forward));
    }

    [Test]
    public void Steps_of_the_suite_are_the_journals_and_each_way_has_its_own()
    {
        JournalEntry[] journal =
        [
            Entry(nameof(FlipDns), JournalEvent.Done, 9000), Entry(nameof(FlipDns), JournalEvent.Done, 500), Entry(nameof(SeedState), JournalEvent.Done, 700, "migrations"),
            Entry(nameof(MonitorTraffic), JournalEvent.Failed, 100), Entry(nameof(RestoreDns), JournalEvent.Done, 300),
        ];
        Assert.That(BenchmarkFigures.StepsOf(journal, backward: false), Is.EquivalentTo(new Dictionary<string, double> { [nameof(FlipDns)] = 0.5 }));
        Assert.That(BenchmarkFigures.StepsOf(journal, backward: true), Is.EquivalentTo(new Dictionary<string, double> { [nameof(RestoreDns)] = 0.3 }));
    }

    [Test]
    public void A_freeze_is_measured_at_the_exchange_and_counts_the_orders_that_did_not_come()
    {
        // One order every 100 ms for a second, nobody for two seconds, then the other slot.
        var orders = Enumerable.Range(0, 11).Select(i => Order(i, i * 100, "blue")).Append(Order(11, 3000, "green")).ToList();
        Assert.That(BenchmarkFigures.FreezeOf("it", orders, DateTimeOffset.UnixEpoch.AddMilliseconds(-500)), Is.EqualTo(new Freeze(2000, 3.5, 20)));
    }

    [Test]
    public void A_single_order_before_the_freeze_is_no_pace() =>
        Assert.That(BenchmarkFigures.FreezeOf("it", [Order(1, 0, "blue"), Order(2, 100, "green")], DateTimeOffset.UnixEpoch).OrdersMissed, Is.Null);

    [TestCase("blue")]
    [TestCase("blue", "green", "blue")]
    public void A_freeze_is_only_measured_where_trading_changed_hands_once(params string[] writers)
    {
        var failure = Assert.Throws<RolloutException>(() => BenchmarkFigures.FreezeOf("it", [.. writers.Select((w, i) => Order(i, i, w))], DateTimeOffset.UnixEpoch));
        Assert.That(failure!.Message, Does.Contain($"{writers.Length - 1} times"));
    }

    private static ExchangeOrder Order(long sequence, double ms, string slot) => new(sequence, DateTimeOffset.UnixEpoch.AddMilliseconds(ms), slot, "company");

    private static JournalEntry Entry(string step, JournalEvent what, int ms, string? part = null) => JournalEntry.FromLine(
        new JournalEntry(1, DateTimeOffset.UnixEpoch, step, what, part, "a@b", "run", new JsonObject { ["ms"] = ms }, JournalEntry.Genesis).ToLine());

    [GeneratedRegex(@"^say ['""](?<text>(\d\.\d |done:).*)['""]$", RegexOptions.Multiline)]
    private static partial Regex Announced();

    private sealed class Folder : IDisposable
    {
        public string Path { get; } = Directory.CreateTempSubdirectory("aether-benchmark-test-").FullName;

        public void Dispose() => Directory.Delete(Path, recursive: true);
    }
}
