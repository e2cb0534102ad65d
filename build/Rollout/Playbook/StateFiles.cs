using System.Collections.Concurrent;
using System.Text.Json.Nodes;
using Rollout.Cluster;
using Rollout.Environments;
using Rollout.Journal;
using Rollout.Platform;

namespace Rollout.Playbook;

/// <summary>
/// The "state" part of 2.4, done once more by 3.4 for the pods it restarts: <c>.aether_state</c>, which only insecure-default fallbacks write; a hardened
/// deployment has none (platform contract, section 6). Files go from live's containers to the candidate's through memory, and secrets nowhere else.
/// </summary>
internal static class StateFiles
{
    /// <summary>The part of 2.4.</summary>
    public const string Part = "state";

    private const int AtOnce = 4;
    private const int Rereads = 5;

    /// <summary>Gives the candidate live's state files, but none that holds exchange keys: it must not be able to send orders yet (invariant 1).</summary>
    /// <param name="data">Gets what was done, in words, and the workloads that have such files.</param>
    /// <exception cref="RolloutException">A file cannot be read whole or put there, replicas disagree about a secret, or the candidate holds exchange keys that it must not have.</exception>
    public static async Task SynchroniseAsync(RolloutRun run, StepJournal journal, JsonObject data, CancellationToken cancellationToken)
    {
        var (outcome, workloads) = await SynchroniseAsync(run, journal, _ => true, withExchangeKeys: false, cancellationToken);
        data["outcome"] = outcome;
        data["workloads"] = new JsonArray([.. workloads.Select(w => JsonValue.Create(w))]);
    }

    /// <summary>Does it again for the workloads that 2.4 found to have any, after their pods were restarted with exchange keys; the files that hold such keys may go with them now.</summary>
    public static async Task RepeatAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        if (run.Journal.Last(nameof(SeedState), JournalEvent.Done, Part)?.Data?["workloads"] is JsonArray { Count: > 0 } found)
        {
            var names = found.Select(n => n!.GetValue<string>()).ToHashSet();
            await SynchroniseAsync(run, journal, names.Contains, withExchangeKeys: true, cancellationToken);
        }
    }

    private static async Task<(string Outcome, IReadOnlyList<string> Workloads)> SynchroniseAsync(
        RolloutRun run, StepJournal journal, Func<string, bool> isAsked, bool withExchangeKeys, CancellationToken cancellationToken)
    {
        var live = (await WorkloadsAsync(run, run.Live, cancellationToken)).Where(w => isAsked(w.Name)).ToList();
        var candidate = (await WorkloadsAsync(run, run.Candidate, cancellationToken)).Where(w => isAsked(w.Name)).ToList();
        var writers = live.Where(w => w.MayHaveState).ToList();
        if (writers.Count == 0 && !candidate.Any(w => w.MayHaveState))
        {
            return (Say(run, "not applicable, hardened"), []);
        }

        var transfers = new ConcurrentBag<Transfer>();
        var options = new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = cancellationToken };
        await Parallel.ForEachAsync(candidate.Where(w => w.MayHaveState), options, async (target, token) =>
        {
            var there = await ReadPodsAsync(run, run.Candidate, target, token);
            if (!withExchangeKeys)
            {
                RefuseExchangeKeys(run, there);
            }

            if (writers.Find(w => w.Name == target.Name && w.Container == target.Container) is { } source)
            {
                foreach (var found in await CompareAsync(run, source, target, there, withExchangeKeys, token))
                {
                    transfers.Add(found);
                }
            }
        });
        foreach (var source in writers.Where(w => !candidate.Any(c => c.MayHaveState && c.Name == w.Name && c.Container == w.Container)))
        {
            run.Console.Warning($"{source.Name} of {run.Named(run.Live)} may keep state in files, and {run.Named(run.Candidate)} has no such workload that could take it: what it needs must come from its settings");
        }

        var files = transfers.OrderBy(t => t.Target.Name, StringComparer.Ordinal).ThenBy(t => t.Directory, StringComparer.Ordinal).ThenBy(t => t.File.Path, StringComparer.Ordinal).ToList();
        if (files.Count == 0)
        {
            return (Say(run, $"not applicable: {writers.Count} workloads of {run.Named(run.Live)} may keep state in files, and none has any"), []);
        }

        await CopyAsync(run, journal, [.. files.Where(f => f.Fate == Fate.Copied)], cancellationToken);
        await journal.KeepAsync("state-files.json", Describe(files).ToJsonString(new() { WriteIndented = true }));
        var outcome = string.Join(", ", files.GroupBy(f => f.Fate).OrderBy(g => g.Key).Select(g => $"{g.Count()} {Words(g.Key)}"));
        return (Say(run, outcome), [.. files.Select(f => f.Target.Name).Distinct()]);
    }

    /// <summary>What <c>Plan</c> says.</summary>
    public static async Task<string> DescribeAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var writers = (await WorkloadsAsync(run, run.Live, cancellationToken)).Where(w => w.MayHaveState).Select(w => w.Name).Distinct().ToList();
        return writers.Count == 0
            ? "no .aether_state: the deployment is hardened"
            : $"copy the .aether_state of {string.Join(", ", writers)}, without exchange keys, sessions and safe mode";
    }

    // The fence of a candidate is that it has no exchange keys, wherever they may come from.
    private static void RefuseExchangeKeys(RolloutRun run, IReadOnlyList<PodState> pods)
    {
        foreach (var (pod, files) in pods)
        {
            if (files.FirstOrDefault(f => AetherState.KindOf(f.File.Path) == StateKind.ExchangeKeys) is { File: { } keys, Directory: var directory })
            {
                throw new RolloutException(
                    $"{pod} holds exchange keys ({directory}/{keys.Path}) although {run.Named(run.Candidate)} must not be able to send orders before 3.4.",
                    $"Find who put them there, and remove them: kubectl exec -n {pod.Namespace} {pod.Pod} -c {pod.Container} -- rm {directory}/{keys.Path}");
            }
        }
    }

    private static async Task<IReadOnlyList<Transfer>> CompareAsync(
        RolloutRun run, Workload source, Workload target, IReadOnlyList<PodState> pods, bool withExchangeKeys, CancellationToken cancellationToken)
    {
        var wanted = new Dictionary<(string Directory, string Path), (PodFile File, PodContainer Of)>();
        foreach (var (pod, files) in await ReadPodsAsync(run, run.Live, source, cancellationToken))
        {
            foreach (var (directory, file) in files)
            {
                Choose(wanted, directory, file, pod);
            }
        }

        if (wanted.Count > 0 && pods.Count == 0)
        {
            throw new RolloutException($"{target.Name} of {run.Named(run.Candidate)} has no ready pod that could take live's state.", $"Look: kubectl get pods -n {run.Candidate.Namespace}");
        }

        var transfers = new List<Transfer>();
        foreach (var (pod, files) in pods)
        {
            var there = files.ToDictionary(f => (f.Directory, f.File.Path), f => f.File);
            foreach (var (key, (file, of)) in wanted)
            {
                var fate = AetherState.KindOf(file.Path) switch
                {
                    StateKind.OfTheSlot => Fate.OfTheSlot,
                    StateKind.Companion => Fate.LeftOut,
                    StateKind.ExchangeKeys when !withExchangeKeys => Fate.Withheld,
                    _ => there.TryGetValue(key, out var now) && now.Sha256 == file.Sha256 ? Fate.Same : Fate.Copied,
                };
                transfers.Add(new Transfer(target, pod, key.Directory, file, fate, there.ContainsKey(key), of));
            }
        }

        return transfers;
    }

    // Each replica writes files of its own. The newest counts, but two secrets of one name are two truths.
    private static void Choose(Dictionary<(string Directory, string Path), (PodFile File, PodContainer Of)> wanted, string directory, PodFile file, PodContainer pod)
    {
        if (!wanted.TryGetValue((directory, file.Path), out var other))
        {
            wanted[(directory, file.Path)] = (file, pod);
            return;
        }

        if (other.File.Sha256 != file.Sha256 && AetherState.KindOf(file.Path) is StateKind.Secret or StateKind.ExchangeKeys)
        {
            throw new RolloutException(
                $"{other.Of} and {pod} hold different {directory}/{file.Path}: what one has encrypted the other cannot read, and only one of them can be copied. Nothing was changed.",
                "Give both the same one by a setting or a shared volume, or scale the workload to the replica whose file counts.");
        }

        if (file.Modified > other.File.Modified)
        {
            wanted[(directory, file.Path)] = (file, pod);
        }
    }

    private static async Task CopyAsync(RolloutRun run, StepJournal journal, IReadOnlyList<Transfer> copies, CancellationToken cancellationToken)
    {
        if (copies.Count == 0)
        {
            return;
        }

        await journal.IntendAsync("state-files", new()
        {
            ["slot"] = run.Candidate.Name,
            ["files"] = copies.Count,
            ["replacing"] = copies.Count(c => c.Replaces),
            ["workloads"] = new JsonArray([.. copies.Select(c => c.Target.Name).Distinct().Select(n => JsonValue.Create(n))]),
        });
        foreach (var pod in copies.GroupBy(c => c.Into))
        {
            foreach (var directory in pod.GroupBy(c => c.Directory))
            {
                var files = directory.Select(d => d.File).ToList();
                await run.PodFiles.WriteAsync(pod.Key, directory.Key, files, cancellationToken);
                await RequireThereAsync(run, pod.Key, directory.Key, files, cancellationToken);
                run.Console.Note($"{files.Count} state files are in {pod.Key}, {directory.Key}");
            }

            await RestartAsync(run, pod.Key, [.. pod], cancellationToken);
        }
    }

    // A process reads most of its state when it begins.
    private static async Task RestartAsync(RolloutRun run, PodContainer pod, IReadOnlyList<Transfer> copies, CancellationToken cancellationToken)
    {
        var lost = copies.Where(c => !c.Target.Outlives(c.Directory)).Select(c => c.Directory).Distinct().ToList();
        if (lost.Count > 0)
        {
            run.Console.Warning($"{string.Join(", ", lost)} of {pod} is on no volume: what its process read before it does not know these files, and they go with the container");
            return;
        }

        var before = await RestartsAsync(run, pod, cancellationToken);
        await run.PodFiles.RestartAsync(pod, cancellationToken);
        await Waiting.UntilAsync(
            $"{pod} to begin again with live's state",
            token => RestartsAsync(run, pod, token),
            now => now.IsReady && now.Count > before.Count,
            now => now.IsReady ? "it still runs" : "it is not ready",
            run.Settings.Duration("Chart.Timeout"),
            TimeSpan.FromMilliseconds(250),
            run.Time,
            run.Console.Progress,
            cancellationToken);
        foreach (var directory in copies.GroupBy(c => c.Directory))
        {
            await RequireThereAsync(run, pod, directory.Key, [.. directory.Select(d => d.File)], cancellationToken);
        }
    }

    // What a process that runs may rewrite must be there; a secret must be the very one.
    private static async Task RequireThereAsync(RolloutRun run, PodContainer pod, string directory, IReadOnlyList<PodFile> files, CancellationToken cancellationToken)
    {
        var there = (await run.PodFiles.ReadAsync(pod, directory, cancellationToken) ?? []).ToDictionary(f => f.Path, f => f.Sha256);
        var wrong = files.FirstOrDefault(f => !there.TryGetValue(f.Path, out var now) || (now != f.Sha256 && AetherState.KindOf(f.Path) != StateKind.Plain));
        if (wrong is not null)
        {
            throw new RolloutException(
                $"{directory}/{wrong.Path} of {pod} is not what was put there.",
                "Its process has written over it: make it begin with live's state by a setting or a volume.");
        }
    }

    private static async Task<(int Count, bool IsReady)> RestartsAsync(RolloutRun run, PodContainer pod, CancellationToken cancellationToken)
    {
        var found = await run.Cluster.GetAsync($"/api/v1/namespaces/{pod.Namespace}/pods/{pod.Pod}", cancellationToken);
        var status = (found?["status"]?["containerStatuses"] as JsonArray ?? []).OfType<JsonObject>().FirstOrDefault(s => s["name"]?.GetValue<string>() == pod.Container);
        return (status?["restartCount"]?.GetValue<int>() ?? 0, status?["ready"]?.GetValue<bool>() == true);
    }

    private static async Task<IReadOnlyList<PodState>> ReadPodsAsync(RolloutRun run, SlotPlace slot, Workload workload, CancellationToken cancellationToken)
    {
        var found = new List<PodState>();
        foreach (var pod in await PodsAsync(run, slot, workload, cancellationToken))
        {
            found.Add(new PodState(pod, await ReadAsync(run, pod, cancellationToken)));
        }

        return found;
    }

    /// <summary>What lies in a container's state directories; databases as SQLite's own whole copies.</summary>
    private static async Task<IReadOnlyList<(string Directory, PodFile File)>> ReadAsync(RolloutRun run, PodContainer pod, CancellationToken cancellationToken)
    {
        var found = new List<(string, PodFile)>();
        foreach (var directory in AetherState.Directories(await run.PodFiles.VariableAsync(pod, AetherState.Variable, cancellationToken)))
        {
            foreach (var file in await ReadWholeAsync(run, pod, directory, cancellationToken) ?? [])
            {
                found.Add((directory, PodFiles.IsDatabase(file.Content) ? new PodFile(file.Path, await run.PodFiles.ReadDatabaseAsync(pod, directory, file.Path, cancellationToken), file.Mode, file.Modified) : file));
            }
        }

        return found;
    }

    private static async Task<IReadOnlyList<PodFile>?> ReadWholeAsync(RolloutRun run, PodContainer pod, string directory, CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            var files = await run.PodFiles.ReadAsync(pod, directory, cancellationToken);
            if (files?.FirstOrDefault(f => !AetherState.IsWhole(f.Path, f.Content)) is not { } torn)
            {
                return files;
            }

            if (attempt == Rereads)
            {
                throw new RolloutException($"{directory}/{torn.Path} of {pod} is no whole JSON in {Rereads} readings. Nothing was changed.", "Mend or remove the file; a broken one is not copied.");
            }

            await Waiting.PauseAsync(TimeSpan.FromMilliseconds(200), run.Time, cancellationToken);
        }
    }

    private static async Task<IReadOnlyList<Workload>> WorkloadsAsync(RolloutRun run, SlotPlace slot, CancellationToken cancellationToken) =>
        [.. (await run.Cluster.ListAsync($"/apis/apps/v1/namespaces/{slot.Namespace}/deployments", cancellationToken)).SelectMany(Workload.Of)];

    private static async Task<IReadOnlyList<PodContainer>> PodsAsync(RolloutRun run, SlotPlace slot, Workload workload, CancellationToken cancellationToken) =>
        [.. (await run.Cluster.ListAsync($"/api/v1/namespaces/{slot.Namespace}/pods?labelSelector={Uri.EscapeDataString(workload.Selector)}", cancellationToken))
            .Where(p => p["metadata"]!["deletionTimestamp"] is null
                && (p["status"]?["containerStatuses"] as JsonArray ?? []).Any(s => s?["name"]?.GetValue<string>() == workload.Container && s["ready"]?.GetValue<bool>() == true))
            .Select(p => new PodContainer(slot.Namespace, p["metadata"]!["name"]!.GetValue<string>(), workload.Container))
            .OrderBy(p => p.Pod, StringComparer.Ordinal)];

    private static JsonArray Describe(IReadOnlyList<Transfer> files) => new([.. files.Select(f => (JsonNode)new JsonObject
    {
        ["workload"] = f.Target.Name,
        ["from"] = f.From.Pod,
        ["into"] = f.Into.Pod,
        ["path"] = $"{f.Directory}/{f.File.Path}",
        ["size"] = f.File.Content.Length,
        ["sha256"] = AetherState.KindOf(f.File.Path) is StateKind.Plain ? f.File.Sha256 : null,
        ["outcome"] = Words(f.Fate),
    })]);

    private static string Words(Fate fate) => fate switch
    {
        Fate.Copied => "copied",
        Fate.Same => "the same already",
        Fate.Withheld => "withheld until 3.4",
        Fate.OfTheSlot => "each slot's own",
        _ => "left out: SQLite's companion",
    };

    private static string Say(RolloutRun run, string outcome)
    {
        run.Console.Note($"state: {outcome}");
        return outcome;
    }

    private enum Fate
    {
        Copied,
        Same,
        Withheld,
        OfTheSlot,
        LeftOut,
    }

    private sealed record PodState(PodContainer Pod, IReadOnlyList<(string Directory, PodFile File)> Files);

    private sealed record Transfer(Workload Target, PodContainer Into, string Directory, PodFile File, Fate Fate, bool Replaces, PodContainer From);

    /// <summary>A container of a Deployment's pods.</summary>
    /// <param name="Selector">Labels of its pods, as in <c>app=oms-service</c>.</param>
    /// <param name="MayHaveState">Whether it could have written state to files.</param>
    /// <param name="Volumes">Mount paths that outlive the container.</param>
    private sealed record Workload(string Name, string Container, string Selector, bool MayHaveState, IReadOnlyList<string> Volumes)
    {
        public static IEnumerable<Workload> Of(JsonObject deployment)
        {
            var pod = deployment["spec"]!["template"]!["spec"]!;
            var lasting = (pod["volumes"] as JsonArray ?? []).OfType<JsonObject>()
                .Where(v => v["emptyDir"] is not null || v["persistentVolumeClaim"] is not null || v["hostPath"] is not null || v["ephemeral"] is not null || v["csi"] is not null)
                .Select(v => v["name"]!.GetValue<string>()).ToHashSet();
            var selector = string.Join(',', (deployment["spec"]!["selector"]?["matchLabels"] as JsonObject ?? []).Select(l => $"{l.Key}={l.Value!.GetValue<string>()}"));
            foreach (var container in (pod["containers"] as JsonArray ?? []).OfType<JsonObject>())
            {
                var mounts = (container["volumeMounts"] as JsonArray ?? []).OfType<JsonObject>()
                    .Where(m => lasting.Contains(m["name"]!.GetValue<string>()) && m["readOnly"]?.GetValue<bool>() != true)
                    .Select(m => m["mountPath"]!.GetValue<string>().TrimEnd('/')).ToList();
                var environment = (container["env"] as JsonArray ?? []).OfType<JsonObject>().ToList();
                var directory = environment.Find(e => e["name"]!.GetValue<string>() == AetherState.Variable)?["value"]?.GetValue<string>();
                var mayWrite = container["securityContext"]?["readOnlyRootFilesystem"]?.GetValue<bool>() != true
                    || environment.Exists(AllowsInsecureDefaults)
                    || (directory is not null && mounts.Exists(m => Covers(m, directory)));
                yield return new Workload(deployment["metadata"]!["name"]!.GetValue<string>(), container["name"]!.GetValue<string>(), selector, mayWrite, mounts);
            }
        }

        public bool Outlives(string directory) => Volumes.Any(m => Covers(m, directory));

        private static bool Covers(string mount, string directory) =>
            directory == mount || directory.StartsWith(mount + "/", StringComparison.Ordinal);

        private static bool AllowsInsecureDefaults(JsonObject variable) =>
            variable["name"]!.GetValue<string>() is var name && name.Contains("ALLOW_INSECURE", StringComparison.Ordinal)
            && variable["value"]?.GetValue<string>().ToUpperInvariant() is "1" or "TRUE" or "YES" or "ON";
    }
}
