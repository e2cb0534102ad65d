using System.Text.Json.Nodes;

namespace Rollout.Playbook;

/// <summary>The "openapi" part of 2.4: the checkout's contract by the platform's script, which contacts nothing, and what every candidate service really answers.</summary>
internal static class ApiContracts
{
    /// <summary>Archives every contract.</summary>
    /// <returns>The services that have one.</returns>
    public static async Task<JsonArray> ArchiveAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        var offline = await run.Scripts.GenerateOpenApiAsync(Path.Combine(run.Folder, "openapi-checkout.json"), cancellationToken);
        await journal.KeepAsync("generate-openapi.log", offline.Output);
        offline.OrThrow();
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
