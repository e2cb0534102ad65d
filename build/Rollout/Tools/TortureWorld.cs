using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.Json.Nodes;
using Rollout.Archive;
using Rollout.Cluster;
using Rollout.Environments;
using Rollout.Journal;
using Rollout.Playbook;
using Rollout.Traffic;

namespace Rollout.Tools;

/// <summary>How the world was when a run began: what its end is measured from.</summary>
public sealed record Mark(IReadOnlyDictionary<string, int> Effects, IReadOnlyDictionary<string, int> Revisions, long LastOrder);

/// <summary>
/// An embedded world to torture rollouts in: this program runs as a child process that can be killed, a journal's write can be held, and what
/// a run left behind is read from the doubles and the cluster, not from what the run says.
/// </summary>
public sealed class TortureWorld : IAsyncDisposable
{
    /// <summary>Short waits, so that a run takes half a minute; the watch after the flip is as long as ever.</summary>
    private static readonly string[] Hurry = ["--fence-quiet=1", "--monitoring-baseline=1", "--monitoring-after-trading=1"];

    private static readonly TimeSpan RunLimit = TimeSpan.FromMinutes(6);
    private static readonly TimeSpan OrdersLimit = TimeSpan.FromSeconds(30);

    private readonly RolloutContext _context;
    private readonly EmbeddedWorld _world;
    private readonly Surroundings _surroundings;
    private readonly KubernetesCluster _cluster;
    private readonly HttpClient _control;
    private readonly Queue<string> _releases;
    private readonly string _path;
    private int _logs;

    private TortureWorld(RolloutContext context, string folder, EmbeddedWorld world, Surroundings surroundings, KubernetesCluster cluster, string path)
    {
        _context = context;
        Folder = folder;
        _world = world;
        _surroundings = surroundings;
        _cluster = cluster;
        _path = path;
        _releases = new Queue<string>(surroundings.Releases);
        var (api, token) = surroundings.Control!.Value;
        _control = new HttpClient { BaseAddress = api, Timeout = TimeSpan.FromSeconds(30) };
        _control.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token.Reveal());
    }

    /// <summary>The world, its runs' artifacts and their output.</summary>
    public string Folder { get; }

    /// <summary>Whether no release was rolled out here yet.</summary>
    public bool IsFresh => _releases.Count == _surroundings.Releases.Count;

    /// <summary>Whether the folder stays when the world ends.</summary>
    public bool IsWorthALook { get; set; }

    public bool HasRelease => _releases.Count > 0;

    /// <summary>A release that was not rolled out here yet.</summary>
    public string TakeRelease() => _releases.Dequeue();

    /// <summary>Starts a world in a folder of its own; it ends with this process if nobody ends it before.</summary>
    public static async Task<TortureWorld> StartAsync(RolloutContext context, string folder)
    {
        Directory.CreateDirectory(folder);
        var world = new EmbeddedWorld(Path.Combine(folder, "world"), context.ToolBox, context.Time, context.Console.Progress);
        var (facts, _) = await world.EnsureAsync(keep: false, context.Token);
        var surroundings = Surroundings.From(facts, context.Settings);
        var kubectl = await context.ToolBox.KubectlAsync(context.Token);
        string[] tools = [kubectl, await context.ToolBox.HelmAsync(context.Token)];
        var path = string.Join(
            Path.PathSeparator,
            [.. tools.Select(t => Path.GetDirectoryName(t)), await context.ToolBox.PostgresAsync(context.Token), Environment.GetEnvironmentVariable("PATH")]);
        var cluster = await KubernetesCluster.ConnectAsync(
            kubectl, surroundings.Kubeconfig, surroundings.Context, context.Time, context.Console.Progress, context.Token);
        return new TortureWorld(context, folder, world, surroundings, cluster, path);
    }

    /// <summary>Starts this program as a process of its own, its output in a file of the folder.</summary>
    public TorturedRun Start(string target, string release) => Start(target, release, Hurry);

    /// <summary>The same with options of the caller's.</summary>
    public TorturedRun Start(string target, string release, IReadOnlyList<string> options)
    {
        var log = Path.Combine(Folder, string.Create(CultureInfo.InvariantCulture, $"{release}-{++_logs:000}-{target}.log"));
        string[] arguments =
        [
            $"--target={target}", "--environment=embedded", $"--release={release}", $"--directory={Path.Combine(Folder, "world")}",
            $"--artifacts={Path.Combine(Folder, "artifacts")}", .. options,
        ];

        // A file and no pipe: what a killed run has started goes on writing, and nobody may wait for that.
        var start = new ProcessStartInfo("/bin/sh") { RedirectStandardInput = true };
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add("log=$1; shift; exec \"$@\" >\"$log\" 2>&1 </dev/null");
        start.ArgumentList.Add("rollout");
        start.ArgumentList.Add(log);
        start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "Rollout"));
        Array.ForEach(arguments, start.ArgumentList.Add);
        start.Environment["PATH"] = _path;
        foreach (var name in start.Environment.Keys.Where(n => n == "ROLLOUT_PLATFORM" || n.StartsWith("GITHUB_", StringComparison.Ordinal)).ToList())
        {
            start.Environment.Remove(name);
        }

        return new TorturedRun(Process.Start(start)!, log, RunLimit, _context.Time);
    }

    /// <summary>Holds the next write of a journal at this point.</summary>
    public Task HoldAsync(KillPoint point)
    {
        var (api, token) = _surroundings.Control!.Value;
        return Faults.SetAsync(api, token, $"cluster-hold={point}", _context.Token);
    }

    /// <summary>Whether the run came to the point that is to be held; false when it ended before.</summary>
    public async Task<bool> IsHeldAsync(TorturedRun run)
    {
        while (!run.HasEnded)
        {
            using var answer = await _control.GetAsync("/cluster/held?wait=1", _context.Token);
            if (answer.StatusCode == HttpStatusCode.OK)
            {
                return true;
            }

            run.ThrowIfLate();
        }

        return false;
    }

    /// <summary>Waits until the write of a killed run is known to have lost its client, so that it is never applied, and holds nothing more.</summary>
    public async Task ReleaseAsync()
    {
        await Waiting.UntilAsync(
            "the held write to lose its client",
            async token =>
            {
                using var answer = await _control.GetAsync("/cluster/held", token);
                return answer.StatusCode;
            },
            seen => seen == HttpStatusCode.NoContent,
            seen => seen.ToString(),
            TimeSpan.FromSeconds(20),
            TimeSpan.FromMilliseconds(10),
            _context.Time,
            _context.Console.Progress,
            _context.Token);
        var (api, token) = _surroundings.Control!.Value;
        await Faults.ClearAsync(api, token, _context.Token);
    }

    /// <summary>The journal of a release, as the cluster has it.</summary>
    public async Task<IReadOnlyList<JournalEntry>> JournalAsync(string release) => RolloutJournal.Parse(
        (await _cluster.ReadJournalAsync(_context.Settings["Cluster.JournalNamespace"]!, release, _context.Token)).Text, release);

    public async Task<Mark> MarkAsync() => new(await EffectsAsync(), await RevisionsAsync(), NewestOf(await OrdersAsync(0), 0));

    /// <summary>What a run left behind, and what took place since the mark.</summary>
    public async Task<EndState> EndAsync(string release, Mark since)
    {
        var facts = new SortedDictionary<string, string>(StringComparer.Ordinal);
        var journal = await JournalAsync(release);
        await AddTrafficAsync(facts, journal);
        foreach (var slot in new[] { _surroundings.Blue, _surroundings.Green })
        {
            await AddSlotAsync(facts, slot, release);
        }

        foreach (var (@namespace, revision) in await RevisionsAsync())
        {
            facts[$"Helm revisions of {@namespace}"] = $"+{revision - since.Revisions.GetValueOrDefault(@namespace)}";
        }

        var done = PlaybookOrder.All.Where(step =>
            journal.LastOrDefault(e => e.Step == step && e.Part is null && e.Event is JournalEvent.Done or JournalEvent.Undone)?.Event == JournalEvent.Done);
        facts["steps done"] = string.Join(", ", done);
        AddEvidence(facts, release);
        await AddWritersAsync(facts, since.LastOrder);
        foreach (var (name, value) in EndState.EffectsBetween(since.Effects, await EffectsAsync()))
        {
            facts[name] = value;
        }

        return new EndState(facts);
    }

    /// <summary>Stops the world; its folder goes too, unless it is worth a look.</summary>
    public async ValueTask DisposeAsync()
    {
        _control.Dispose();
        await _cluster.DisposeAsync();
        await _world.StopAsync(remove: false, CancellationToken.None);
        if (!IsWorthALook)
        {
            Directory.Delete(Folder, recursive: true);
        }
    }

    private static Task NoWrites(CancellationToken cancellationToken) => throw new InvalidOperationException("Who measures a world does not change it.");

    private async Task AddTrafficAsync(SortedDictionary<string, string> facts, IReadOnlyList<JournalEntry> journal)
    {
        var hosts = journal[0].Data!["hosts"]!.AsArray().Select(h => h!.GetValue<string>()).ToList();
        using var zone = RolloutRun.ZoneOf(_surroundings, _context.Settings, NoWrites, _context.Time, _context.Console.Progress);
        var records = await zone.ReadAsync(hosts, _context.Token);
        foreach (var slot in new[] { _surroundings.Blue, _surroundings.Green })
        {
            var address = await _cluster.LoadBalancerAsync(slot.IngressService, _context.Token) is [var first, ..] ? first : null;
            facts[$"hosts on {slot.Name}"] = records.Count(r => r.Target == address).ToString(CultureInfo.InvariantCulture);
        }
    }

    private async Task AddSlotAsync(SortedDictionary<string, string> facts, SlotPlace slot, string release)
    {
        string Service(string name) => $"/api/v1/namespaces/{slot.Namespace}/services/http:{name}:80/proxy";
        var safeMode = await _cluster.GetAsync(Service("safe-mode") + "/safe_mode/status", _context.Token);
        facts[$"safe mode of {slot.Name}"] = Fence(safeMode);
        var simulation = await _cluster.GetAsync(Service("sim-mode") + "/sim/status", _context.Token);
        foreach (var account in simulation?["accounts"]?.AsArray() ?? [])
        {
            facts[$"simulation of {account!["account_id"]!.GetValue<string>()} in {slot.Name}"] = Fence(account);
        }

        foreach (var deployment in await _cluster.ListAsync($"/apis/apps/v1/namespaces/{slot.Namespace}/deployments", _context.Token))
        {
            facts[$"replicas of {deployment["metadata"]!["name"]} in {slot.Name}"] = deployment["spec"]!["replicas"]!.ToJsonString();
        }

        var accounts = _context.Settings.List("Platform.Accounts");
        facts[$"exchange keys in {slot.Name}"] = string.Join(", ", await ExchangeKeys.PresentAsync(_cluster, slot.Namespace, accounts, _context.Token));
        facts[$"Helm status in {slot.Name}"] = (await RevisionAsync(slot))?.Status ?? "none";

        string Fence(JsonNode? status) => status?["active"]?.GetValue<bool>() != true
            ? "lifted"
            : (status["reason"]?.GetValue<string>() ?? "no reason").Replace(release, "RELEASE", StringComparison.Ordinal);
    }

    private void AddEvidence(SortedDictionary<string, string> facts, string release)
    {
        var evidence = new EvidenceFolder(Path.Combine(Folder, "artifacts", "embedded", release, "evidence"));
        foreach (var file in evidence.List())
        {
            facts[$"evidence {EndState.EvidenceName(file.Path)}"] = "recorded";
        }

        var problems = evidence.Verify();
        facts["evidence as it was written"] = problems.Count == 0 ? "yes" : string.Join(" ", problems);
    }

    // Who sends now is not who sent last: the newest orders must have come after the run's end.
    private async Task AddWritersAsync(SortedDictionary<string, string> facts, long since)
    {
        var seen = NewestOf(await OrdersAsync(since), since);
        var now = await Waiting.UntilAsync(
            "orders after the run's end",
            _ => OrdersAsync(seen),
            orders => orders.Count >= 3,
            orders => $"{orders.Count} orders",
            OrdersLimit,
            TimeSpan.FromMilliseconds(100),
            _context.Time,
            _context.Console.Progress,
            _context.Token);
        var report = ExchangeLog.Examine(await OrdersAsync(since));
        facts["orders now from"] = string.Join(" and ", now.Select(o => o.Slot).Distinct());
        facts["the writer changed"] = string.Join(", ", report.Handovers.Select(h => $"{h.From} to {h.To}"));
    }

    private static long NewestOf(IReadOnlyList<ExchangeOrder> orders, long none) => orders.Count == 0 ? none : orders[^1].Sequence;

    private Task<IReadOnlyList<ExchangeOrder>> OrdersAsync(long after)
    {
        var (api, token) = _surroundings.Control!.Value;
        return ExchangeLog.ReadAsync(api, token, after, _context.Token);
    }

    private async Task<IReadOnlyDictionary<string, int>> EffectsAsync() =>
        JsonSerializer.Deserialize<Dictionary<string, int>>(await _control.GetStringAsync("/effects", _context.Token))!;

    private async Task<IReadOnlyDictionary<string, int>> RevisionsAsync()
    {
        var revisions = new Dictionary<string, int>();
        foreach (var slot in new[] { _surroundings.Blue, _surroundings.Green })
        {
            revisions[slot.Namespace] = (await RevisionAsync(slot))?.Number ?? 0;
        }

        return revisions;
    }

    private Task<HelmRevision?> RevisionAsync(SlotPlace slot) =>
        _cluster.HelmRevisionAsync(slot.Namespace, _context.Settings["Chart.ReleaseName"]!, _context.Token);
}

/// <summary>A run of this program that can be killed.</summary>
/// <param name="log">Where its output is.</param>
/// <param name="limit">When it is too late for it to end by itself.</param>
public sealed class TorturedRun(Process process, string log, TimeSpan limit, TimeProvider time) : IDisposable
{
    private readonly long _begun = time.GetTimestamp();

    public bool HasEnded => process.HasExited;

    public TimeSpan Age => time.GetElapsedTime(_begun);

    /// <summary>SIGKILL to this process and to none that it started, and its end.</summary>
    public async Task KillAsync(CancellationToken cancellationToken)
    {
        process.Kill();
        await process.WaitForExitAsync(cancellationToken);
    }

    /// <summary>Whether it ended by itself within a time.</summary>
    public async Task<bool> EndsWithinAsync(TimeSpan patience, CancellationToken cancellationToken)
    {
        try
        {
            await process.WaitForExitAsync(cancellationToken).WaitAsync(patience, time, cancellationToken);
            return true;
        }
        catch (TimeoutException)
        {
            return false;
        }
    }

    /// <exception cref="RolloutException">It ended otherwise than with 0, or not in time.</exception>
    public async Task SucceedAsync(CancellationToken cancellationToken)
    {
        if (!await EndsWithinAsync(limit, cancellationToken))
        {
            await KillAsync(cancellationToken);
            throw new RolloutException($"It did not end within {limit.TotalMinutes:0} minutes; {Said()}");
        }

        if (process.ExitCode != 0)
        {
            throw new RolloutException($"It ended with {process.ExitCode}; {Said()}");
        }
    }

    public void ThrowIfLate()
    {
        if (Age > limit)
        {
            process.Kill();
            throw new RolloutException($"It was not held and did not end within {limit.TotalMinutes:0} minutes; {Said()}");
        }
    }

    /// <summary>How it ended, and its last words.</summary>
    public string Said()
    {
        var lines = File.Exists(log) ? File.ReadLines(log).Where(l => l.Trim().Length > 0).TakeLast(4).Select(l => l.Trim()) : [];
        var exit = process.HasExited ? $"exit code {process.ExitCode}, " : string.Empty;
        return $"{exit}{Path.GetFileName(log)} ends: {string.Join(" | ", lines)}";
    }

    public void Dispose()
    {
        if (!process.HasExited)
        {
            process.Kill();
        }

        process.Dispose();
    }
}
