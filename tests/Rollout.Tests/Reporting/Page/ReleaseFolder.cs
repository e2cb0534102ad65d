using System.Text.Json.Nodes;
using Rollout.Archive;
using Rollout.Journal;
using Rollout.Reporting.Page;

namespace Rollout.Tests.Reporting.Page;

/// <summary>A release's folder with a made-up history, for the page that is drawn from it.</summary>
public sealed class ReleaseFolder : IDisposable
{
    public static readonly DateTimeOffset Begin = new(2026, 11, 26, 14, 2, 0, TimeSpan.Zero);

    private static readonly string[] Hosts = ["accounts.aether.example.com", "oms.aether.example.com", "risk.aether.example.com", "strategy.aether.example.com", "ui.aether.example.com"];
    private static readonly string[] Names = ["account-service", "auth-service", "oms-service", "policy-service", "risk-service", "sequencer", "strategy-orchestrator", "universe-service"];

    private readonly List<JournalEntry> _entries = [];
    private DateTimeOffset _now = Begin;

    public ReleaseFolder()
    {
        Evidence = new EvidenceFolder(System.IO.Path.Combine(Path, "evidence"));
    }

    public string Path { get; } = Directory.CreateTempSubdirectory("rollout-report-").FullName;

    public EvidenceFolder Evidence { get; }

    public IReadOnlyList<JournalEntry> Entries => _entries;

    public string Run { get; set; } = "run1";

    public DateTimeOffset Now => _now;

    public ReportFacts Facts => new("v2026.11.1", "staging", _entries, Path, Evidence, _now, target => $"./build.sh --target={target} --environment=staging --release=v2026.11.1");

    public string Page => System.IO.Path.Combine(Path, ReportPage.Name);

    public ReleaseFolder Wait(double seconds)
    {
        _now += TimeSpan.FromSeconds(seconds);
        return this;
    }

    public ReleaseFolder Add(string step, JournalEvent what, JsonObject? data = null, string? part = null, double after = 0.5)
    {
        Wait(after);
        _entries.Add(new JournalEntry(_entries.Count + 1, _now, step, what, part, "sre@bastion", Run, data, JournalEntry.Genesis));
        return this;
    }

    public ReleaseFolder Step(string step, double seconds, JsonObject? done = null, params string[] changes) =>
        Started(step, changes).Add(step, JournalEvent.Done, done ?? new JsonObject { ["ms"] = (long)(seconds * 1000), ["waitingMs"] = 100, ["pollingMs"] = 200 }, after: seconds);

    public ReleaseFolder Started(string step, params string[] changes) =>
        Add(step, JournalEvent.Started, new JsonObject { ["changes"] = new JsonArray([.. changes.Select(c => JsonValue.Create(c))]) });

    public ReleaseFolder Failed(string step, string message, int exit = 1, double after = 4) =>
        Add(step, JournalEvent.Failed, new JsonObject { ["message"] = message, ["kind"] = "RolloutException", ["exit"] = exit, ["ms"] = (long)(after * 1000), ["waitingMs"] = 0, ["pollingMs"] = 0 }, after: after);

    /// <summary>Everything before the freeze.</summary>
    public ReleaseFolder Deployed()
    {
        Add("Rollout", JournalEvent.Started, new JsonObject { ["live"] = "blue", ["candidate"] = "green", ["hosts"] = new JsonArray([.. Hosts.Select(h => JsonValue.Create(h))]) });
        Step("TagRelease", 5, new JsonObject
        {
            ["commit"] = "f5954b4cac99",
            ["chart"] = "aether-platform-0.4.1",
            ["ms"] = 5000,
            ["waitingMs"] = 0,
            ["pollingMs"] = 0,
            ["inputs"] = new JsonObject { ["chart"] = "sha256:ff4d66a53295", ["platform commit"] = "f5954b4cac99" },
            ["images"] = new JsonObject { ["oms-service"] = "sha256:00aa", ["risk-service"] = "sha256:00bb" },
        }, "record the images' digests and the chart of v2026.11.1");
        Step("VerifyMigrations", 2, null, "refresh events_hourly of company,director-1,director-2");
        Step("ExportHealthSnapshot", 1, null, "store /healthz and /metrics of 27 services of live (blue)");
        Step("StageConfig", 1);
        Step("CreateGreenNamespace", 1, null, "create namespace aether-green");
        Step("InstallChart", 6, null, "install release aether in aether-green");
        Step("BootstrapObservability", 5, new JsonObject { ["tracing"] = "off: no store is set", ["ms"] = 5000 });
        Started("SeedState", "migrate the database from 0007 to 0008").Add("SeedState", JournalEvent.Done, new JsonObject { ["outcome"] = "not applicable, hardened" }, "state")
            .Add("SeedState", JournalEvent.Done, new JsonObject { ["ms"] = 2200 }, after: 2);
        return Step("SmokeTest", 1);
    }

    /// <summary>The freeze, and the flip of all hosts.</summary>
    public ReleaseFolder Flipped()
    {
        Started("FreezeWrites", "fence live (blue): simulation mode for company,director-1,director-2, safe mode");
        KeepSamples("FreezeWrites", Watch("blue", "live", _now, 12, 2));
        Wait(25).Add("FreezeWrites", JournalEvent.Intent, new JsonObject { ["slot"] = "blue" }, "fences").Add("FreezeWrites", JournalEvent.Done, new JsonObject { ["ms"] = 32_000, ["waitingMs"] = 25_000, ["pollingMs"] = 5000 }, after: 6);
        return Started("FlipDns", "point 5 hosts at 192.0.2.20 (candidate (green)) by 5 of 5 records, TTL 30 s")
            .Add("FlipDns", JournalEvent.Intent, new JsonObject { ["before"] = new JsonObject(Hosts.Select(h => KeyValuePair.Create(h, (JsonNode?)JsonValue.Create("192.0.2.10")))), ["after"] = "192.0.2.20" }, "records")
            .Add("FlipDns", JournalEvent.Done, new JsonObject { ["records"] = 5, ["recordsMs"] = 44, ["ttl"] = 30, ["ms"] = 1500, ["waitingMs"] = 0, ["pollingMs"] = 900 }, after: 1.5);
    }

    /// <summary>A rollout that went well.</summary>
    public ReleaseFolder Done()
    {
        Deployed().Flipped().Started("MonitorTraffic");
        KeepSamples("MonitorTraffic", Watch("green", "candidate", _now, 20, 2, "Successful"));
        Add("MonitorTraffic", JournalEvent.Done, new JsonObject { ["verdict"] = "Successful", ["reason"] = "Steady", ["remainingPerSecond"] = null, ["ms"] = 40_000, ["waitingMs"] = 39_000, ["pollingMs"] = 0 }, after: 40);
        Started("ReenableTrading", "give candidate (green) the exchange keys");
        KeepSamples("ReenableTrading", Watch("green", "candidate", _now.AddSeconds(6), 6, 2, "Successful"));
        Add("ReenableTrading", JournalEvent.Done, new JsonObject { ["freezeMs"] = 55_400, ["ms"] = 18_000, ["waitingMs"] = 12_000, ["pollingMs"] = 5000 }, after: 18);
        Step("RefreshAggregates", 1).Step("AuditGovernance", 1).Step("ArchiveArtefacts", 1, null, "store 125 files");
        KeepClient(badFrom: null);
        return this;
    }

    /// <summary>A rollout whose candidate was worse, and was taken back.</summary>
    public ReleaseFolder RolledBack()
    {
        Deployed().Flipped().Started("MonitorTraffic");
        KeepSamples("MonitorTraffic", Watch("green", "candidate", _now, 9, 2, "Failed", errors: 0.06));
        Wait(14).Failed("MonitorTraffic", "The watch of candidate (green) ended Failed (ErrorRatio): oms-service answers 6.1 % of its requests with errors, live answered 0.1 %.");
        Run = "run2";
        Started("ReenableSafeMode", "fence candidate (green)").Add("ReenableSafeMode", JournalEvent.Intent, new JsonObject { ["slot"] = "green" }, "fences").Add("ReenableSafeMode", JournalEvent.Done, new JsonObject { ["ms"] = 3000 }, after: 3);
        Started("RestoreDns", "point 5 hosts back at 192.0.2.10 (live (blue))").Add("FlipDns", JournalEvent.Undone).Add("MonitorTraffic", JournalEvent.Undone, after: 0)
            .Add("RestoreDns", JournalEvent.Intent, new JsonObject { ["before"] = new JsonObject(Hosts.Select(h => KeyValuePair.Create(h, (JsonNode?)JsonValue.Create("192.0.2.20")))), ["after"] = "192.0.2.10" }, "records")
            .Add("RestoreDns", JournalEvent.Done, new JsonObject { ["records"] = 5, ["recordsMs"] = 61, ["ttl"] = 30, ["ms"] = 1600 }, after: 1.6);
        Started("ValidateBlue").Add("FreezeWrites", JournalEvent.Undone).Add("ValidateBlue", JournalEvent.Done, new JsonObject { ["ms"] = 5000 }, after: 5);
        Step("InvestigateFailure", 3, new JsonObject { ["files"] = 40, ["missing"] = 2, ["ms"] = 3000 }, "keep traces, metrics, logs");
        KeepClient(badFrom: 78);
        return this;
    }

    /// <summary>A watch as 3.1, 3.3 and 3.4 keep it.</summary>
    public static JsonObject Watch(string slot, string role, DateTimeOffset from, int intervals, double seconds, string? verdict = null, double errors = 0.001, int services = 8, int metricsPerService = 2)
    {
        // Made up, and the same each time.
        var random = new Random(17);
        var samples = new JsonObject();
        foreach (var name in Enumerable.Range(0, services).Select(NameOf))
        {
            samples[name] = new JsonArray([.. Enumerable.Range(1, intervals).Select(i =>
            {
                var requests = 40 + random.Next(30);
                var latency = 0.03 + (0.02 * random.NextDouble());
                return (JsonNode)new JsonObject
                {
                    ["at"] = from.AddSeconds(i * seconds).ToString("O"), ["requests"] = requests, ["errors"] = name == Names[2] ? Math.Round(requests * errors) : 0,
                    ["p50"] = latency / 3, ["p95"] = latency, ["p99"] = latency * 2,
                };
            })]);
        }

        var watch = new JsonObject
        {
            ["version"] = 1,
            ["slot"] = slot,
            ["role"] = role,
            ["source"] = "prometheus",
            ["from"] = from.ToString("O"),
            ["to"] = from.AddSeconds(intervals * seconds).ToString("O"),
            ["intervalSeconds"] = seconds,
            ["services"] = samples,
        };
        if (verdict is not null)
        {
            watch["verdict"] = new JsonObject
            {
                ["verdict"] = verdict,
                ["reason"] = "Reason" + verdict,
                ["message"] = $"{services} services were compared with live.",
                ["compared"] = "20 intervals of 2 s with 12 of live's",
                ["firstBad"] = verdict == "Failed" ? from.AddSeconds(2 * seconds).ToString("O") : null,
                ["decided"] = verdict == "Failed" ? from.AddSeconds(5 * seconds).ToString("O") : null,
                ["metrics"] = new JsonArray([.. Enumerable.Range(0, services * metricsPerService).Select(m => (JsonNode)new JsonObject
                {
                    ["service"] = NameOf(m / metricsPerService), ["metric"] = m % metricsPerService == 0 ? "error ratio" : "p95", ["verdict"] = m == 4 ? verdict : "Successful",
                    ["observed"] = m % metricsPerService == 0 ? errors : 0.044, ["baseline"] = m % metricsPerService == 0 ? 0.001 : 0.041, ["limit"] = m % metricsPerService == 0 ? 0.011 : 0.0615,
                    ["reason"] = "Within", ["message"] = m == 4 ? "oms-service is the one" : "no worse than live", ["critical"] = m % 7 != 6, ["pValue"] = 0.31, ["effect"] = 0.08, ["intervals"] = intervals,
                    ["query"] = $"sum by (service) (rate(http_requests_total{{slot=\"{slot}\",status_code=~\"5..\"}}[10s]))", ["raw"] = $"{{\"service\":\"{NameOf(m / metricsPerService)}\"}} {new string('0', 200)}",
                })]),
            };
        }

        return watch;
    }

    public ReleaseFolder KeepSamples(string step, JsonObject watch) => Keep(step, WatchFile.Name, watch.ToJsonString());

    public ReleaseFolder Keep(string step, string name, string content)
    {
        Evidence.WriteAsync(step, name, content, CancellationToken.None).GetAwaiter().GetResult();
        return this;
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);

    private static string NameOf(int service) => service < Names.Length ? Names[service] : $"service-{service}-with-a-name-of-some-length";

    private void KeepClient(int? badFrom)
    {
        var random = new Random(5);
        var lines = new List<string> { "second,requests,reads,reads_failed,orders_accepted,orders_fenced,orders_refused,logins,blue,green,p50_ms,p95_ms,p99_ms,max_ms,failures" };
        var (freeze, flip) = (Entries.First(e => e.Part == "fences").Time, Entries.First(e => e.Part == "records").Time);
        var back = Entries.LastOrDefault(e => e is { Step: "ValidateBlue" or "ReenableTrading", Event: JournalEvent.Done })!.Time;
        var restored = Entries.FirstOrDefault(e => e is { Step: "RestoreDns", Part: "records" })?.Time;
        for (var at = Begin; at < _now; at = at.AddSeconds(1))
        {
            var green = at > flip && (restored is null || at < restored) ? 50 : 0;
            var failed = badFrom is not null && green > 0 ? random.Next(4) : 0;
            var p50 = 3 + (3 * random.NextDouble());
            lines.Add(FormattableString.Invariant($"{at:yyyy-MM-ddTHH:mm:ssZ},50,49,{failed},{(at < freeze || at > back ? 1 : 0)},{(at >= freeze && at <= back ? 1 : 0)},0,0,{50 - green},{green},{p50:0.0},{p50 * 4:0.0},{p50 * 9:0.0},{p50 * 12:0.0},{(failed > 0 ? $"{failed} oms 502" : "")}"));
        }

        File.WriteAllLines(System.IO.Path.Combine(Path, "client.csv"), lines);
    }
}
