using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using Rollout.Environments;
using Rollout.Journal;
using Rollout.Playbook;

namespace Rollout.Tools;

/// <summary>What one run of a command cost; <c>scripts/measure.py</c> measures it.</summary>
/// <param name="WallSeconds">From its start to its end.</param>
/// <param name="OwnCpuSeconds">User and system time of the process itself.</param>
/// <param name="ToolsCpuSeconds">The same of all processes it started and waited for: kubectl, helm, git, python3, psql, curl.</param>
/// <param name="PeakMegabytes">Greatest resident memory of the process itself.</param>
/// <param name="LargestMegabytes">Greatest resident memory of any one process, itself and those it waited for.</param>
public sealed record Cost(double WallSeconds, double OwnCpuSeconds, double ToolsCpuSeconds, double PeakMegabytes, double? LargestMegabytes);

/// <summary>When nobody traded, as the exchange saw it.</summary>
/// <param name="FreezeMilliseconds">From the old writer's last order to the new one's first.</param>
/// <param name="TradesAgainSeconds">From the command's start to the new writer's first order.</param>
/// <param name="OrdersMissed">How many orders would have come in the window at the old writer's pace before it; null without a pace.</param>
public sealed record Freeze(double FreezeMilliseconds, double TradesAgainSeconds, int? OrdersMissed);

/// <summary>Least, median and greatest of some figures.</summary>
public sealed record Spread(double Least, double Median, double Greatest)
{
    /// <param name="values">At least one.</param>
    public static Spread Of(IEnumerable<double> values)
    {
        var sorted = values.Order().ToList();
        var middle = sorted.Count / 2;
        return new Spread(sorted[0], sorted.Count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2, sorted[^1]);
    }

    public override string ToString() => Least == Greatest ? Figure(Median) : $"{Figure(Least)} {Figure(Median)} {Figure(Greatest)}";

    private static string Figure(double value) => value.ToString(value < 10 ? "0.00" : "0.0", CultureInfo.InvariantCulture);
}

/// <summary>What moving the hosts took, in milliseconds.</summary>
/// <param name="Records">How many records were written.</param>
/// <param name="FlipRecords">3.2 at the DNS provider alone: from the first look to the last look back.</param>
/// <param name="FlipStep">3.2 as a whole: with the candidate's checks, the name servers' rendering and every host over HTTPS.</param>
/// <param name="RestoreRecords">5.2 at the DNS provider alone.</param>
/// <param name="RestoreStep">5.2 as a whole.</param>
/// <param name="Decision">From the beginning of 5.1, which proves the candidate's fence, to the last record written back.</param>
public sealed record DnsFigures(double Records, double FlipRecords, double FlipStep, double RestoreRecords, double RestoreStep, double Decision);

/// <summary>One line of the benchmark: what was measured, how often, and what came out.</summary>
/// <param name="Costs">One a repetition.</param>
/// <param name="Freeze">Null where trading does not change hands.</param>
/// <param name="Steps">Seconds by step of the playbook; empty for what is no rollout.</param>
/// <param name="WorldCpuSeconds">CPU of the embedded world's own process meanwhile, which shares the machine with what is measured.</param>
public sealed record Measurement(string Name, IReadOnlyList<Cost> Costs, Freeze? Freeze, IReadOnlyDictionary<string, double> Steps, double? WorldCpuSeconds)
{
    public Spread WallSeconds => Spread.Of(Costs.Select(c => c.WallSeconds));

    public Spread OwnCpuSeconds => Spread.Of(Costs.Select(c => c.OwnCpuSeconds));

    public Spread ToolsCpuSeconds => Spread.Of(Costs.Select(c => c.ToolsCpuSeconds));

    /// <summary>The part that the playbook prescribes and nobody can make shorter: 3.3 waits for scaling evaluations.</summary>
    public double WatchSeconds => Steps.GetValueOrDefault(nameof(MonitorTraffic));
}

/// <summary>The benchmark's figures out of what processes, scripts, journal and exchange leave behind.</summary>
public static partial class BenchmarkFigures
{
    // Linux tells user space clock ticks of this length on every architecture, whatever the kernel's own are.
    private const double Tick = 0.01;

    private static readonly string[] Chapters = [nameof(Prepare), nameof(Deploy), nameof(Switch), nameof(Verify)];

    /// <summary>CPU seconds out of a <c>/proc/PID/stat</c>: the process's own, and those of its children that ended and were waited for.</summary>
    public static (double Own, double Children) CpuOf(string stat)
    {
        // Field 2 is the program's name in brackets and may hold blanks and brackets itself; utime, stime, cutime and cstime are 14 to 17.
        var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
        double Seconds(int field) => long.Parse(fields[field - 3], CultureInfo.InvariantCulture) * Tick;
        return (Seconds(14) + Seconds(15), Seconds(16) + Seconds(17));
    }

    /// <summary>Megabytes of a <c>VmHWM</c>, the peak of the resident memory, in a <c>/proc/PID/status</c>.</summary>
    public static double PeakOf(string status) => double.Parse(HighWater().Match(status).Groups["kib"].Value, CultureInfo.InvariantCulture) / 1024;

    /// <summary>What <c>scripts/measure.py</c> wrote about a command.</summary>
    public static Cost CostOf(string json)
    {
        var facts = JsonDocument.Parse(json).RootElement;
        var tools = CpuOf(facts.GetProperty("stat").GetString()!).Children;
        var peak = facts.GetProperty("peakKiB").GetDouble() / 1024;
        return new Cost(
            facts.GetProperty("wall").GetDouble(),
            Math.Max(0, facts.GetProperty("cpu").GetDouble() - tools),
            tools,
            peak,

            // The kernel counts the two in different places, a few pages apart.
            Math.Max(peak, facts.GetProperty("largestKiB").GetDouble() / 1024));
    }

    /// <summary>Seconds by step, out of the lines that <c>scripts/playbook-by-hand.sh</c> prints when a step begins.</summary>
    public static IReadOnlyDictionary<string, double> StepsByHand(string output)
    {
        var marks = Mark().Matches(output).Select(m => (
            At: double.Parse(m.Groups["at"].Value, CultureInfo.InvariantCulture), Chapter: m.Groups["chapter"].Value, Step: m.Groups["step"].Value)).ToList();
        return marks.Zip(marks.Skip(1)).ToDictionary(
            pair => PlaybookOrder.StepsOf(Chapters[int.Parse(pair.First.Chapter, CultureInfo.InvariantCulture) - 1])[int.Parse(pair.First.Step, CultureInfo.InvariantCulture) - 1],
            pair => Math.Round(pair.Second.At - pair.First.At, 1));
    }

    /// <summary>Seconds by step that a journal has as done; only those that go back, or only those that go forward.</summary>
    public static IReadOnlyDictionary<string, double> StepsOf(IEnumerable<JournalEntry> journal, bool backward) => journal
        .Where(e => e is { Event: JournalEvent.Done, Part: null } && PlaybookOrder.All.Contains(e.Step) && PlaybookOrder.IsBackward(e.Step) == backward && e.Data?["ms"] is not null)
        .GroupBy(e => e.Step)
        .ToDictionary(g => g.Key, g => g.Last().Data!["ms"]!.GetValue<double>() / 1000);

    /// <summary>How long the flip and the restoration of a journal took, at the DNS provider alone and as steps.</summary>
    public static DnsFigures DnsOf(IReadOnlyList<JournalEntry> journal)
    {
        var flip = journal.Last(e => e is { Step: nameof(FlipDns), Event: JournalEvent.Done, Part: null }).Data!;
        var restore = journal.Last(e => e is { Step: nameof(RestoreDns), Event: JournalEvent.Done, Part: null }).Data!;
        return new DnsFigures(Figure(flip, "records"), Figure(flip, "recordsMs"), Figure(flip, "ms"), Figure(restore, "recordsMs"), Figure(restore, "ms"), Figure(restore, "decisionMs"));

        static double Figure(System.Text.Json.Nodes.JsonObject data, string name) => data[name]!.GetValue<double>();
    }

    /// <summary>The freeze in a stretch of the exchange's log.</summary>
    /// <exception cref="RolloutException">The writer did not change exactly once: nothing to measure, or two writers.</exception>
    public static Freeze FreezeOf(string what, IReadOnlyList<ExchangeOrder> orders, DateTimeOffset begun)
    {
        var report = ExchangeLog.Examine(orders);
        if (!report.IsCleanFor(1))
        {
            throw new RolloutException($"{what}: the exchange saw the writer change {report.Handovers.Count} times; exactly once is what is measured.");
        }

        var (from, _, last, first) = report.Handovers[0];
        var before = orders.Where(o => o.Slot == from).ToList();
        var span = last - before.Min(o => o.At);
        var window = first - last;
        return new Freeze(
            Math.Round(window.TotalMilliseconds),
            Math.Round((first - begun).TotalSeconds, 1),
            span > TimeSpan.Zero ? (int)Math.Round((before.Count - 1) * (window / span)) : null);
    }

    [GeneratedRegex(@"^VmHWM:\s+(?<kib>\d+) kB", RegexOptions.Multiline)]
    private static partial Regex HighWater();

    [GeneratedRegex(@"^ *(?<at>\d+\.\d) s  ((?<chapter>\d)\.(?<step>\d) |done:)", RegexOptions.Multiline)]
    private static partial Regex Mark();
}
