using System.Text.Json.Nodes;
using Rollout.Cluster;
using Rollout.Platform;

namespace Rollout.Playbook;

/// <summary>
/// The candidate's safe-mode state, written before its first pod: entering safe mode on a running candidate would cancel the live slot's orders (platform
/// contract, section 3.3). It is in the slot's Redis, or, where insecure defaults are allowed and there is none, in a file of the pod. A pod that does not
/// exist yet has no file, so its Deployment is made before helm installs it, with an init container that writes one; helm takes the Deployment over and
/// leaves the init container, so every pod that starts while the seed is there starts frozen. Without the seed it writes nothing.
/// </summary>
internal static class SafeModeSeeds
{
    private const string Workload = "safe-mode";
    private const string Seed = "aether-rollout-safe-mode";
    private const string StateVolume = "aether-rollout-state";
    private const string StateFile = "state.json";
    private const string SeedFolder = "/aether-rollout";

    // What is active already stays, with its reason; a file of an earlier rollout on a lasting volume is not active.
    private const string Write = """
        set -e; test -f "$2" || exit 0
        grep -qs 'active[\\": ]*true' "$1/state.json" || { mkdir -p "$1"; cp "$2" "$1/state.json.new"; mv -f "$1/state.json.new" "$1/state.json"; }
        """;

    /// <summary>Makes the candidate's safe mode active before it starts.</summary>
    /// <exception cref="RolloutException">Its store does not answer, or is a file where none can be put.</exception>
    public static async Task PutAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        if (await FileOfAsync(run, cancellationToken) is not { } deployment)
        {
            var seeded = await SafeModeSeed.ReadAsync(run.Candidate.Redis.Reveal(), cancellationToken);
            if (seeded is not { Active: true })
            {
                await journal.IntendAsync("safe-mode-seed", new() { ["before"] = seeded?.Active, ["after"] = true });
                await SafeModeSeed.SeedAsync(run.Candidate.Redis.Reveal(), run.FenceReasonOf(run.Candidate), run.Time.GetUtcNow(), cancellationToken);
            }

            return;
        }

        await journal.IntendAsync("safe-mode-seed", new() { ["before"] = await HasSeedAsync(run, cancellationToken), ["after"] = true, ["store"] = "file" });
        await ApplySeedAsync(run, cancellationToken);
        if (await run.Cluster.GetAsync($"/apis/apps/v1/namespaces/{run.Candidate.Namespace}/deployments/{Workload}", cancellationToken) is not { } there || !IsSeeded(there))
        {
            await run.Cluster.ApplyAsync($"/apis/apps/v1/namespaces/{run.Candidate.Namespace}/deployments", deployment, cancellationToken);
        }

        run.Console.Note($"safe mode of {run.Named(run.Candidate)} keeps its state in a file: its pods start with an active one");
    }

    /// <summary>Takes the seed away before safe mode is lifted: a pod that restarts later must not freeze the slot that trades (3.4).</summary>
    public static async Task TakeAwayAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        if (await HasSeedAsync(run, cancellationToken))
        {
            await journal.IntendAsync("safe-mode-seed", new() { ["before"] = true, ["after"] = false, ["store"] = "file" });
            await run.Cluster.DeleteAsync(SeedPath(run), cancellationToken);
        }
    }

    /// <summary>Puts the seed back where the candidate has its init container: it is fenced again (5.1).</summary>
    public static async Task PutBackAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        if (await run.Cluster.GetAsync($"/apis/apps/v1/namespaces/{run.Candidate.Namespace}/deployments/{Workload}", cancellationToken) is { } there
            && IsSeeded(there) && !await HasSeedAsync(run, cancellationToken))
        {
            await journal.IntendAsync("safe-mode-seed", new() { ["before"] = false, ["after"] = true, ["store"] = "file" });
            await ApplySeedAsync(run, cancellationToken);
        }
    }

    /// <summary>The candidate's safe-mode Deployment as it is to be made; null where its state is in Redis, or the chart has none.</summary>
    private static async Task<JsonObject?> FileOfAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var rendered = await run.RenderAsync(run.Candidate, run.CandidateValues, "candidate", cancellationToken);
        var found = rendered.Deployments.FirstOrDefault(d => d["metadata"]!["name"]!.GetValue<string>() == Workload);
        var container = found?["spec"]!["template"]!["spec"]!["containers"]![0]!.AsObject();
        var environment = (container?["env"] as JsonArray ?? []).OfType<JsonObject>().ToDictionary(e => e["name"]!.GetValue<string>());
        if (container is null || environment.ContainsKey("SAFE_MODE_REDIS_URL"))
        {
            return null;
        }

        if (environment.GetValueOrDefault(AetherState.Variable)?["value"]?.GetValue<string>() is not { } directory || !directory.StartsWith('/'))
        {
            throw new RolloutException(
                $"Safe mode of {run.Named(run.Candidate)} keeps its state in a file below its working directory, which cannot be written before it starts: it would start unfrozen.",
                $"Set SAFE_MODE_REDIS_URL, or an absolute {AetherState.Variable}, in the overlay values.");
        }

        return Seeded(run, found!.DeepClone().AsObject(), directory.TrimEnd('/'));
    }

    private static JsonObject Seeded(RolloutRun run, JsonObject deployment, string directory)
    {
        var metadata = deployment["metadata"]!.AsObject();
        metadata["namespace"] = run.Candidate.Namespace;

        // By these helm knows what it may take over.
        Members(metadata, "labels")["app.kubernetes.io/managed-by"] = "Helm";
        Members(metadata, "annotations")["meta.helm.sh/release-name"] = run.Settings["Chart.ReleaseName"];
        Members(metadata, "annotations")["meta.helm.sh/release-namespace"] = run.Candidate.Namespace;
        var pod = deployment["spec"]!["template"]!["spec"]!.AsObject();
        var main = pod["containers"]![0]!.AsObject();
        var mount = Items(main, "volumeMounts").OfType<JsonObject>().FirstOrDefault(m => IsAtOrAbove(m["mountPath"]!.GetValue<string>().TrimEnd('/'), directory));
        if (mount is null)
        {
            mount = new JsonObject { ["name"] = StateVolume, ["mountPath"] = directory };
            Items(main, "volumeMounts").Add(mount);
            Items(pod, "volumes").Add(new JsonObject { ["name"] = StateVolume, ["emptyDir"] = new JsonObject() });
        }

        Items(pod, "volumes").Add(new JsonObject { ["name"] = Seed, ["configMap"] = new JsonObject { ["name"] = Seed, ["optional"] = true } });
        Items(pod, "initContainers").Add(new JsonObject
        {
            ["name"] = Seed,
            ["image"] = main["image"]!.DeepClone(),
            ["command"] = new JsonArray("sh", "-c", Write, "sh", $"{directory}/safe_mode", $"{SeedFolder}/{StateFile}"),
            ["securityContext"] = main["securityContext"]?.DeepClone(),
            ["volumeMounts"] = new JsonArray(mount.DeepClone(), new JsonObject { ["name"] = Seed, ["mountPath"] = SeedFolder, ["readOnly"] = true }),
        });
        return deployment;
    }

    private static Task ApplySeedAsync(RolloutRun run, CancellationToken cancellationToken) => run.Cluster.ApplyAsync(
        $"/api/v1/namespaces/{run.Candidate.Namespace}/configmaps",
        new JsonObject
        {
            ["apiVersion"] = "v1",
            ["kind"] = "ConfigMap",
            ["metadata"] = new JsonObject
            {
                ["name"] = Seed,
                ["namespace"] = run.Candidate.Namespace,
                ["labels"] = new JsonObject { ["app.kubernetes.io/managed-by"] = "aether-rollout" },
            },
            ["data"] = new JsonObject { [StateFile] = SafeModeSeed.ToFile(run.FenceReasonOf(run.Candidate), run.Time.GetUtcNow()) },
        },
        cancellationToken);

    private static string SeedPath(RolloutRun run) => $"/api/v1/namespaces/{run.Candidate.Namespace}/configmaps/{Seed}";

    private static async Task<bool> HasSeedAsync(RolloutRun run, CancellationToken cancellationToken) => await run.Cluster.GetAsync(SeedPath(run), cancellationToken) is not null;

    private static bool IsSeeded(JsonNode deployment) =>
        (deployment["spec"]?["template"]?["spec"]?["initContainers"] as JsonArray ?? []).Any(c => c?["name"]?.GetValue<string>() == Seed);

    private static bool IsAtOrAbove(string mount, string directory) => directory == mount || directory.StartsWith(mount + "/", StringComparison.Ordinal);

    private static JsonObject Members(JsonObject of, string name)
    {
        if (of[name] is not JsonObject members)
        {
            of[name] = members = [];
        }

        return members;
    }

    private static JsonArray Items(JsonObject of, string name)
    {
        if (of[name] is not JsonArray items)
        {
            of[name] = items = [];
        }

        return items;
    }
}
