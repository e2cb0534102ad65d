using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using Cake.Frosting;
using Rollout.Commands;
using Rollout.Environments;
using Rollout.Journal;
using Rollout.Playbook;

namespace Rollout.Tools;

/// <summary>
/// Measures, in one embedded world of its own that is gone afterwards: the world's start, the playbook by hand from blue to green, this suite's
/// rollout back to blue, its rollback, start-up, by hand once more from where the suite began, the data steps at 50 accounts beside psql, and an archive of 1 GB beside a plain copy. It judges no time: figures of one machine at one
/// moment are compared with each other.
/// </summary>
[TaskDescription("Measure rollout, rollback and start-up against the playbook by hand, in an embedded world of its own")]
public sealed class Benchmark : AsyncFrostingTask<RolloutContext>
{
    private const int Repetitions = 5;

    private static readonly JsonSerializerOptions Format = new(JsonSerializerDefaults.Web) { WriteIndented = true, NewLine = "\n" };

    public override async Task RunAsync(RolloutContext context)
    {
        if (context.Settings.Environment != RolloutEnvironment.Embedded || !OperatingSystem.IsLinux())
        {
            throw new RolloutException(
                "Benchmark measures in an embedded world only, on Linux, whose /proc tells what processes cost. Nothing was touched.",
                "./build.sh --target=Benchmark",
                ExitCode.BadSettings);
        }

        var folder = Directory.CreateTempSubdirectory("aether-benchmark-").FullName;
        var world = new EmbeddedWorld(Path.Combine(folder, "world"), context.ToolBox, context.Time, context.Console.Progress);
        try
        {
            await MeasureAsync(context, world, folder);
        }
        finally
        {
            // Also after an interruption; a world that cannot be stopped now ends with this process.
            await world.StopAsync(remove: true, CancellationToken.None);
            Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task MeasureAsync(RolloutContext context, EmbeddedWorld world, string folder)
    {
        var (begun, load) = (context.Time.GetUtcNow(), Load());

        // First, while this process holds little else.
        var archive = await new ArchiveBenchmark(context, Directory.CreateDirectory(Path.Combine(folder, "archive")).FullName).MeasureAsync();
        var tools = new[] { await context.ToolBox.KubectlAsync(context.Token), await context.ToolBox.HelmAsync(context.Token) };
        var path = string.Join(
            Path.PathSeparator,
            [.. tools.Select(t => Path.GetDirectoryName(t)), await context.ToolBox.PostgresAsync(context.Token), Environment.GetEnvironmentVariable("PATH")]);

        var clock = context.Time.GetTimestamp();
        var (facts, _) = await world.EnsureAsync(keep: false, context.Token);
        var (own, children, peak) = Process(facts.GetProperty("pid").GetInt32());
        var start = new Measurement("clean start of the world", [new Cost(context.Time.GetElapsedTime(clock).TotalSeconds, own, children, peak, null)], null, new Dictionary<string, double>(), own);

        var bench = new Bench(context, facts, folder, path);
        var releases = Surroundings.From(facts, context.Settings).Releases;
        var (first, second, third) = (releases[0], releases[1], releases[2]);
        var fresh = await bench.ByHandAsync(first, "into nothing");
        var suite = await bench.RolloutAsync("Rollout", bench.Suite("Rollout", second), _ => bench.Steps(second, backward: false));
        var back = await bench.RolloutAsync(nameof(Rollback), bench.Suite(nameof(Rollback), second), _ => bench.Steps(second, backward: true));
        var version = await bench.ShortAsync("--version", new CommandLine(Bench.Program, "--version"));
        var status = await bench.ShortAsync("Status", bench.Suite(nameof(Status), second));
        var kubectl = await bench.ShortAsync("kubectl version --client", new CommandLine(tools[0], "version", "--client"));

        // The first one had to create what the suite then found; after the rollback this one begins where the suite began.
        var byHand = await bench.ByHandAsync(third, "like Rollout");

        context.Console.Line("data of 50 accounts …");
        var data = await new DataBenchmark(context, Surroundings.From(facts, context.Settings).Database).MeasureAsync();

        Measurement[] all = [start, fresh, byHand, suite, back, version, status, kubectl];
        var ratios = new Dictionary<string, double>
        {
            ["rollout less the watch / by hand"] = (suite.WallSeconds.Median - suite.WatchSeconds) / (byHand.WallSeconds.Median - byHand.WatchSeconds),
            ["freeze less the watch / by hand"] = FreezeLessWatch(suite) / FreezeLessWatch(byHand),
            ["own CPU of the rollout / its tools'"] = suite.OwnCpuSeconds.Median / suite.ToolsCpuSeconds.Median,
            ["plain parallel copy / archive"] = archive[0].ByHandSeconds / archive[0].Seconds,
            ["--version / kubectl version --client"] = version.WallSeconds.Median / kubectl.WallSeconds.Median,
            ["Status / kubectl version --client"] = status.WallSeconds.Median / kubectl.WallSeconds.Median,
        };
        Print(context, all, ratios, load);
        context.Console.Table(
            "Data, 50 accounts, on the world's PostgreSQL",
            ["what", "wall s", "by psql s", "beyond s", "heap grew MB"],
            [.. data.Select(d => (IReadOnlyList<string>)[d.Name, Seconds(d.Seconds), Seconds(d.ByHandSeconds), Seconds(d.Beyond), d.GrowthMegabytes is { } grew ? Seconds(grew) : "–"])]);
        context.Console.Table(
            "Archive, beside a plain parallel copy",
            ["what", "wall s", "copy s", "copy / wall", "peak MB", "grew MB"],
            [.. archive.Select(a => (IReadOnlyList<string>)[a.Name, Seconds(a.Seconds), Seconds(a.ByHandSeconds), Seconds(a.ByHandSeconds / a.Seconds), Whole(a.PeakMegabytes), Whole(a.GrowthMegabytes)])]);
        var dns = bench.Dns(second);
        context.Console.Header("DNS", [
            ($"flip of {dns.Records:0} records", $"{dns.FlipRecords:0} ms at the provider; 3.2 took {dns.FlipStep:0} ms, by hand {byHand.Steps.GetValueOrDefault(nameof(FlipDns)) * 1000:0} ms"),
            ("restore", $"{dns.RestoreRecords:0} ms at the provider; 5.2 took {dns.RestoreStep:0} ms"),
            ("decision to last record", $"{dns.Decision:0} ms, of which 5.1 proves the candidate's fence for most"),
        ]);

        var file = Path.Combine(context.Settings["Rollout.Artifacts"]!, "benchmark.json");
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(file))!);
        var machine = new { processors = Environment.ProcessorCount, system = RuntimeInformation.OSDescription, runtime = RuntimeInformation.FrameworkDescription, loadBefore = load, loadAfter = Load() };
        await File.WriteAllTextAsync(file, JsonSerializer.Serialize(new { version = 1, begun, machine, measurements = all, ratios, data, archive, dns }, Format) + "\n", context.Token);
        context.Closing = $"measured; all figures are in {file}";
    }

    private static void Print(RolloutContext context, IEnumerable<Measurement> all, IReadOnlyDictionary<string, double> ratios, string load)
    {
        var rows = all.Select(m => (IReadOnlyList<string>)
        [
            m.Costs.Count > 1 ? $"{m.Name} ×{m.Costs.Count}" : m.Name,
            m.WallSeconds.ToString(),
            Seconds(m.OwnCpuSeconds.Median),
            Seconds(m.ToolsCpuSeconds.Median),
            Whole(m.Costs.Max(c => c.PeakMegabytes)),
            Whole(m.Costs.Max(c => c.LargestMegabytes)),
            m.Freeze is { } f ? Seconds(f.TradesAgainSeconds) : "–",
            Whole(m.Freeze?.FreezeMilliseconds),
            m.Freeze is null ? "–" : Whole(FreezeLessWatch(m)),
            Whole(m.Freeze?.OrdersMissed),
        ]).ToList();
        context.Console.Table(
            $"Benchmark: {Environment.ProcessorCount} processors, load average {load} before, {Load()} after",
            ["what", "wall s", "own CPU s", "tools' CPU s", "peak MB", "largest MB", "trades after s", "freeze ms", "less watch", "orders missed"],
            rows);
        context.Console.Header("Ratios", [.. ratios.Select(r => (r.Key, r.Value.ToString("0.00", CultureInfo.InvariantCulture)))]);
        context.Console.Note("by hand, into nothing: the green stack does not exist yet; like Rollout: both stacks stand, as when Rollout began, and the ratios compare these two;");
        context.Console.Note("wall: one figure, or least, median and greatest; CPU: medians; tools: what it started and waited for;");
        context.Console.Note("largest: the largest single process among it and its tools; freeze: at the exchange, and less step 3.3, whose length the playbook sets.");
    }

    private static double FreezeLessWatch(Measurement measurement) => measurement.Freeze!.FreezeMilliseconds - (measurement.WatchSeconds * 1000);

    private static string Seconds(double value) => value.ToString("0.00", CultureInfo.InvariantCulture);

    private static string Whole(double? value) => value?.ToString("0", CultureInfo.InvariantCulture) ?? "–";

    private static string Load() => string.Join(' ', File.ReadAllText("/proc/loadavg").Split(' ').Take(3));

    private static (double Own, double Children, double PeakMegabytes) Process(int pid)
    {
        var (own, children) = BenchmarkFigures.CpuOf(File.ReadAllText($"/proc/{pid}/stat"));
        return (own, children, BenchmarkFigures.PeakOf(File.ReadAllText($"/proc/{pid}/status")));
    }

    /// <summary>Runs commands against the benchmark's world and measures each.</summary>
    private sealed class Bench(RolloutContext context, JsonElement facts, string folder, string path)
    {
        private readonly string _artifacts = Path.Combine(folder, "artifacts");
        private readonly int _world = facts.GetProperty("pid").GetInt32();
        private readonly (Uri Api, Secret Token) _control = Surroundings.From(facts, context.Settings).Control!.Value;
        private long _lastOrder;

        /// <summary>This program, as a process of its own.</summary>
        public static string Program => Path.Combine(AppContext.BaseDirectory, "Rollout");

        public CommandLine Suite(string target, string release) => new(
            Program, $"--target={target}", "--environment=embedded", $"--release={release}", $"--directory={Path.Combine(folder, "world")}", $"--artifacts={_artifacts}");

        public IReadOnlyDictionary<string, double> Steps(string release, bool backward) => BenchmarkFigures.StepsOf(
            RolloutJournal.Parse(File.ReadAllText(Path.Combine(_artifacts, "embedded", release, "journal.jsonl")), release), backward);

        public DnsFigures Dns(string release) => BenchmarkFigures.DnsOf(
            RolloutJournal.Parse(File.ReadAllText(Path.Combine(_artifacts, "embedded", release, "journal.jsonl")), release));

        public Task<Measurement> ByHandAsync(string release, string from) => RolloutAsync(
            $"by hand, {from}",
            new CommandLine("scripts/playbook-by-hand.sh", release, Path.Combine(folder, "world")),
            result => BenchmarkFigures.StepsByHand(result.Output));

        /// <summary>Something that takes trading from one slot to the other.</summary>
        public async Task<Measurement> RolloutAsync(string name, CommandLine command, Func<CommandResult, IReadOnlyDictionary<string, double>> steps)
        {
            context.Console.Line($"{name} …");
            context.Console.Command(command.ToString());
            var (begun, cpu) = (context.Time.GetUtcNow(), Process(_world).Own);
            var (cost, result) = await RunAsync(command);
            cpu = Math.Round(Process(_world).Own - cpu, 2);
            var orders = await ExchangeLog.ReadAsync(_control.Api, _control.Token, _lastOrder, context.Token);
            var freeze = BenchmarkFigures.FreezeOf(name, orders, begun);
            _lastOrder = orders.Max(o => o.Sequence);
            return new Measurement(name, [cost], freeze, steps(result), cpu);
        }

        /// <summary>Something that is over in a moment, several times.</summary>
        public async Task<Measurement> ShortAsync(string name, CommandLine command)
        {
            context.Console.Line($"{name}, {Repetitions} times …");
            var costs = new List<Cost>();
            while (costs.Count < Repetitions)
            {
                costs.Add((await RunAsync(command)).Cost);
            }

            return new Measurement(name, costs, null, new Dictionary<string, double>(), null);
        }

        private async Task<(Cost Cost, CommandResult Result)> RunAsync(CommandLine command)
        {
            var file = Path.Combine(folder, "cost.json");
            var result = await context.Commands.RunAsync(
                new CommandLine("python3", ["scripts/measure.py", file, command.Program, .. command.Arguments])
                {
                    Echo = false,
                    Timeout = TimeSpan.FromMinutes(15),

                    // Both find the same tools, and neither a checkout or an output of the caller's.
                    Environment = new Dictionary<string, string?> { ["PATH"] = path, ["ROLLOUT_PLATFORM"] = null, ["GITHUB_STEP_SUMMARY"] = null },
                },
                context.Token);
            result.OrThrow("The benchmark's world is gone; what failed can be looked at after ./build.sh --target=RehearsalUp, with the commands above.");
            return (BenchmarkFigures.CostOf(await File.ReadAllTextAsync(file, context.Token)), result);
        }
    }
}
