using System.Text.Json.Nodes;
using Cake.Frosting;
using Rollout.Database;

namespace Rollout.Playbook;

/// <summary>
/// "Run database migrations. Synchronise .aether_state artifacts (safe mode, capital allocator snapshots, account crypto keys) required for
/// insecure-default fallbacks. Execute scripts/generate_openapi.py against the green stack to archive the API contract."
/// <para>Changes: the database's schema (additive), the candidate's state files where the deployment has any. Done when: the checkout's heads are
/// the database's, state is there or not applicable, and every candidate service's API contract is archived. Undone by: nothing; additive.</para>
/// </summary>
[TaskDescription("2.4 Seed state: migrations, .aether_state and the API contract of the candidate")]
[IsDependentOn(typeof(BootstrapObservability))]
public sealed class SeedState : PlaybookStep
{
    private static readonly string[] TreeFolders = ["data/migrations", "data/alembic"];

    protected override async Task<StepPlan> CheckAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var stored = await run.Database.MigrationHeadsAsync(cancellationToken);
        foreach (var (name, tree) in Trees(run))
        {
            foreach (var problem in tree.Problems)
            {
                run.Console.Warning($"{name}: {problem}");
            }
        }

        return new StepPlan(
            $"migrate the database from {Heads(stored)} to {string.Join(", ", Trees(run).SelectMany(t => t.Tree.Heads))}",
            "synchronise .aether_state where the deployment has one",
            "archive the API contract of every candidate service");
    }

    protected override async Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        await journal.PartAsync("migrations", data => MigrateAsync(run, journal, data, cancellationToken));
        await journal.PartAsync("state", async data => data["outcome"] = await SynchroniseAsync(run, cancellationToken));
        await journal.PartAsync("openapi", async data =>
        {
            var offline = await run.Scripts.GenerateOpenApiAsync(Path.Combine(run.Folder, "openapi-checkout.json"), cancellationToken);
            await journal.KeepAsync("generate-openapi.log", offline.Output);
            offline.OrThrow();
            data["services"] = await ArchiveContractsAsync(run, journal, cancellationToken);
        });
    }

    protected override async Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var stored = await run.Database.MigrationHeadsAsync(cancellationToken);
        var missing = Trees(run).SelectMany(t => t.Tree.Heads).Except(stored.Select(h => h.Revision)).ToList();
        if (missing.Count > 0)
        {
            throw new RolloutException(
                $"The checkout's migration heads {string.Join(", ", missing)} are not in the database, which has {Heads(stored)}.",
                "Look at migrations.log in the step's evidence.");
        }

        if (run.Progress.PointOfNoReturn is { } why && !run.MayPassPointOfNoReturn)
        {
            throw new RolloutException(
                $"The migrations were not additive: {why}. {run.Named(run.Live)} uses that database too, and a rollback would not bring it back.",
                $"Decide: restore the schema by hand, or go forward with {run.CommandFor("Switch")} --accept-point-of-no-return",
                ExitCode.Held);
        }
    }

    // Both slots share the database (platform contract, section 7.6): whether live can still live with it is seen in the catalogue, not promised.
    private static async Task MigrateAsync(RolloutRun run, StepJournal journal, JsonObject data, CancellationToken cancellationToken)
    {
        var columns = await ColumnsBeforeAsync(run, journal, cancellationToken);
        var result = await run.Scripts.RunMigrationsAsync(run.Surroundings.Database, cancellationToken);
        await journal.KeepAsync("migrations.log", result.Output);
        var after = await run.Database.SchemaAsync(cancellationToken);
        await journal.KeepAsync("schema-after.txt", string.Join('\n', after));
        var breaks = AetherDatabase.Breaks(columns, after);
        if (breaks.Count > 0)
        {
            // Also where the script failed after it had changed something.
            await journal.IntendAsync("schema", new() { [RolloutProgress.PointOfNoReturnKey] = $"{string.Join(", ", breaks.Take(5))}{(breaks.Count > 5 ? $" and {breaks.Count - 5} more" : string.Empty)}" });
        }

        result.OrThrow("Nothing was lost: the migrations are additive and repeatable. Look at migrations.log in the step's evidence.");
        data["after"] = Heads(await run.Database.MigrationHeadsAsync(cancellationToken));
        data["additive"] = breaks.Count == 0;
    }

    // What a killed run wrote down before it began is what counts; on another machine, where its file is not, the comparison begins with what is there.
    private static async Task<IReadOnlyList<string>> ColumnsBeforeAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        if (run.Journal.Last(journal.Step, Journal.JournalEvent.Intent, "migrations")?.Data is { } intent
            && run.Evidence.Find(intent["columns"]?.GetValue<string>(), intent["sha256"]?.GetValue<string>()) is { } kept)
        {
            return kept.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        }

        var heads = await run.Database.MigrationHeadsAsync(cancellationToken);
        var columns = await run.Database.SchemaAsync(cancellationToken);
        var file = await journal.KeepAsync("schema-before.txt", string.Join('\n', columns));
        await journal.IntendAsync("migrations", new() { ["before"] = Heads(heads), ["columns"] = file.Path, ["sha256"] = file.Sha256 });
        return columns;
    }

    private static (string Name, MigrationTree Tree)[] Trees(RolloutRun run) =>
        [.. TreeFolders.Select(t => (t, AetherDatabase.HeadsInCheckout(Path.Combine(run.Surroundings.Platform, t))))];

    private static string Heads(IReadOnlyList<MigrationHead> heads) =>
        heads.Count == 0 ? "no revision" : string.Join(", ", heads.Select(h => $"{h.Revision} ({h.Table})"));

    // Only insecure-default fallbacks write .aether_state; a hardened deployment has none (platform contract, section 6).
    private static async Task<string> SynchroniseAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var hardened = (await run.Cluster.ListAsync($"/apis/apps/v1/namespaces/{run.Live.Namespace}/deployments", cancellationToken))
            .All(d => (d["spec"]!["template"]!["spec"]!["containers"] as JsonArray ?? []).OfType<JsonObject>()
                .All(c => c["securityContext"]?["readOnlyRootFilesystem"]?.GetValue<bool>() == true && !AllowsInsecureDefaults(c)));
        if (!hardened)
        {
            throw new RolloutException(
                $"A workload of {run.Named(run.Live)} may write .aether_state (its root file system is writable, or insecure defaults are allowed).",
                "Copying state files is not supported yet: harden the deployment as the chart does by default, or copy them by hand.");
        }

        run.Console.Note("state: not applicable, hardened");
        return "not applicable, hardened";
    }

    private static bool AllowsInsecureDefaults(JsonObject container) => (container["env"] as JsonArray ?? []).OfType<JsonObject>()
        .Any(e => e["name"]!.GetValue<string>().EndsWith("_ALLOW_INSECURE_DEFAULTS", StringComparison.Ordinal) && e["value"]?.GetValue<string>() is "1" or "true");

    private static async Task<JsonArray> ArchiveContractsAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        var archived = new JsonArray();
        foreach (var service in await run.ServicesAsync(run.Candidate, cancellationToken))
        {
            if (await run.CandidateStack.OpenApiAsync(service, cancellationToken) is { } contract)
            {
                await journal.KeepAsync($"{service.Name}.openapi.json", contract);
                archived.Add(JsonValue.Create(service.Name));
            }
        }

        return archived.Count > 0
            ? archived
            : throw new RolloutException($"No service of {run.Named(run.Candidate)} answers /openapi.json.", $"Look: kubectl get pods -n {run.Candidate.Namespace}");
    }
}
