using System.Text;
using System.Text.Json.Nodes;
using Cake.Frosting;
using Rollout.Journal;

namespace Rollout.Playbook;

/// <summary>
/// "Investigate the failing change using the preserved OpenTelemetry traces and Prometheus snapshots before attempting another rollout."
/// <para>Changes: evidence only. Done when: what a person needs to investigate is kept before it expires: traces, metrics, events, pods, the
/// journal, with an index that says where to look first. Undone by: nothing to undo.</para>
/// </summary>
[TaskDescription("5.4 Investigate: traces, metrics, events and pods of the failing change are kept before they expire")]
[IsDependentOn(typeof(ValidateBlue))]
public sealed class InvestigateFailure : PlaybookStep
{
    protected override bool IsRepeatable => true;

    protected override Task<StepPlan> CheckAsync(RolloutRun run, CancellationToken cancellationToken) =>
        Task.FromResult(new StepPlan($"keep traces, metrics, events and pods of both slots under {run.Folder}"));

    protected override async Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        var index = new StringBuilder($"# Rollback of {run.Release}\n\nWhere to look first:\n\n");
        var failure = run.Journal.Entries.LastOrDefault(e => e.Event == JournalEvent.Failed);
        index.AppendLine(failure is null
            ? "- No step failed: the rollback was asked for."
            : $"- {failure.Step} failed at {failure.Time:u}: {failure.Data?["message"]?.GetValue<string>()}");
        foreach (var slot in new[] { run.Candidate, run.Live })
        {
            await KeepSlotAsync(run, journal, slot, index, cancellationToken);
        }

        await KeepTracesAsync(run, journal, index, cancellationToken);
        await journal.KeepAsync("INDEX.md", index.ToString());
        run.Console.Note($"start reading at {Path.Combine(run.Folder, "evidence", Name, "INDEX.md")}");
    }

    protected override Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken) => Task.CompletedTask;

    private static async Task KeepSlotAsync(RolloutRun run, StepJournal journal, Environments.SlotPlace slot, StringBuilder index, CancellationToken cancellationToken)
    {
        foreach (var (what, path) in new[]
        {
            ("pods", $"/api/v1/namespaces/{slot.Namespace}/pods"),
            ("events", $"/api/v1/namespaces/{slot.Namespace}/events"),
            ("deployments", $"/apis/apps/v1/namespaces/{slot.Namespace}/deployments"),
        })
        {
            var items = await run.Cluster.ListAsync(path, cancellationToken);
            var kept = await journal.KeepAsync($"{slot.Name}-{what}.json", new JsonArray([.. items.Select(WithoutValues)]).ToJsonString());
            index.AppendLine($"- {kept.Path}: {items.Count} {what} of {run.Named(slot)}");
        }

        var stack = slot == run.Live ? run.LiveStack : run.CandidateStack;
        var services = await run.ServicesAsync(slot, cancellationToken);
        var metrics = new StringBuilder();
        foreach (var snapshot in await stack.SnapshotAsync(services, $"rollout-{run.Release}-5.4", cancellationToken))
        {
            metrics.AppendLine($"# {snapshot.Service.Name}: {snapshot.Health}").AppendLine(snapshot.Metrics);
        }

        var file = await journal.KeepAsync($"{slot.Name}-metrics.txt", metrics.ToString());
        index.AppendLine($"- {file.Path}: /metrics of {services.Count} services of {run.Named(slot)}");
    }

    // The platform's chart has passwords in plain environment values (platform contract, section 5); evidence is kept for years.
    private static JsonNode? WithoutValues(JsonNode? node) => node switch
    {
        JsonObject map => new JsonObject(map.Where(p => p.Key is not ("managedFields" or "annotations"))
            .Select(p => KeyValuePair.Create(p.Key, p.Key == "env" && p.Value is JsonArray list
                ? new JsonArray([.. list.OfType<JsonObject>().Select(e => JsonValue.Create(e["name"]?.GetValue<string>()))])
                : WithoutValues(p.Value)))),
        JsonArray list => new JsonArray([.. list.Select(WithoutValues)]),
        _ => node?.DeepClone(),
    };

    // Tempo keeps traces for 48 hours (platform contract, section 9): what is not exported now is gone when somebody looks.
    private static async Task KeepTracesAsync(RolloutRun run, StepJournal journal, StringBuilder index, CancellationToken cancellationToken)
    {
        if (run.Surroundings.TracesApi is null)
        {
            index.AppendLine("- No traces: Traces.Api is not set.");
            return;
        }

        using var traces = run.OpenTraces()!;
        try
        {
            var found = await traces.HarvestAsync([], run.Journal.Entries[0].Time, run.Time.GetUtcNow(), cancellationToken);
            var file = await journal.KeepAsync("traces.json", System.Text.Json.JsonSerializer.Serialize(found));
            index.AppendLine($"- {file.Path}: {found.Message}");
        }
        catch (RolloutException exception)
        {
            // The rollback is done; a trace store that is away must not turn it into a failure.
            index.AppendLine($"- No traces: {exception.Message}");
            run.Console.Warning($"no traces were kept: {exception.Message}");
        }
    }
}
