using System.Collections.Concurrent;
using System.Text.Json.Nodes;
using Rollout.Environments;
using Rollout.Platform;

namespace Rollout.Playbook;

/// <summary>
/// The "openapi" part of 2.4: the checkout's contract by the platform's script, which contacts nothing, and what every service of both slots really
/// answers. What live's clients rely on must still be there (platform contract, section 7.3).
/// </summary>
internal static class ApiContracts
{
    private const int AtOnce = 8;

    /// <summary>Archives every contract and compares the candidate's with live's.</summary>
    /// <exception cref="RolloutException">A service does not answer, or breaks what live promised and nobody accepted it.</exception>
    public static async Task ArchiveAsync(RolloutRun run, StepJournal journal, JsonObject data, CancellationToken cancellationToken)
    {
        var offline = await run.Scripts.GenerateOpenApiAsync(Path.Combine(run.Folder, "openapi-checkout.json"), cancellationToken);
        await journal.KeepAsync("generate-openapi.log", $"Of the checkout; it contacts no stack.\n{offline.Record}");
        offline.OrThrow();
        await journal.KeepAsync("openapi-checkout.json", await File.ReadAllTextAsync(Path.Combine(run.Folder, "openapi-checkout.json"), cancellationToken));

        var live = await ReadAsync(run, run.Live, run.LiveStack, cancellationToken);
        var candidate = await ReadAsync(run, run.Candidate, run.CandidateStack, cancellationToken);
        if (candidate.Count == 0)
        {
            throw new RolloutException($"No service of {run.Named(run.Candidate)} answers /openapi.json.", $"Look: kubectl get pods -n {run.Candidate.Namespace}");
        }

        // The files' digests are in the manifest, and its digest is in the journal; a line a file would only fill the journal.
        var manifest = new JsonObject();
        foreach (var (prefix, contracts) in new[] { ("live/", live), (string.Empty, candidate) })
        {
            foreach (var (service, contract) in contracts)
            {
                var name = $"{prefix}{service}.openapi.json";
                manifest[name] = (await run.Evidence.WriteAsync(journal.Step, name, contract.Text, cancellationToken)).Sha256;
            }
        }

        await journal.KeepAsync("openapi-manifest.json", manifest.ToJsonString());
        var changes = Compare(live, candidate);
        await journal.KeepAsync("openapi-changes.txt", changes.Count == 0 ? "no change\n" : string.Concat(changes.Select(c => $"{(c.Breaks ? "breaks" : "change")}: {c.Id}\n")));
        data["services"] = candidate.Count;
        data["changes"] = changes.Count;
        Judge(run, data, [.. changes.Where(c => c.Breaks).Select(c => c.Id)]);
        run.Console.Note($"API contracts: {candidate.Count} services, {candidate.Values.Sum(c => c.Contract.Operations)} operations, {changes.Count(c => !c.Breaks)} harmless changes, {changes.Count(c => c.Breaks)} breaking ones");
    }

    private static void Judge(RolloutRun run, JsonObject data, IReadOnlyList<string> breaks)
    {
        var accepted = run.Settings.List("Platform.AcceptedApiChanges");
        var open = accepted.Contains("all") ? [] : breaks.Except(accepted).ToList();
        if (open.Count > 0)
        {
            throw new RolloutException(
                $"The candidate breaks {open.Count} promises of live's API: {string.Join("; ", open)}.",
                "Mend the release; or, where no client needs them any more, name them in Platform.AcceptedApiChanges (comma separated, or all) and run the same command. All changes are in openapi-changes.txt in the step's evidence.");
        }

        if (breaks.Count > 0)
        {
            data["accepted"] = new JsonArray([.. breaks.Select(b => JsonValue.Create(b))]);
            run.Console.Warning($"{breaks.Count} breaking API changes were accepted by Platform.AcceptedApiChanges: {string.Join("; ", breaks)}");
        }
    }

    private static List<ApiChange> Compare(IReadOnlyDictionary<string, Answer> live, IReadOnlyDictionary<string, Answer> candidate)
    {
        var changes = new List<ApiChange>();
        foreach (var (service, before) in live)
        {
            if (candidate.TryGetValue(service, out var after))
            {
                changes.AddRange(before.Contract.ChangesTo(after.Contract, service));
            }
            else
            {
                changes.Add(new ApiChange($"{service} has no contract any more", true));
            }
        }

        changes.AddRange(candidate.Keys.Where(s => !live.ContainsKey(s)).Select(s => new ApiChange($"{s} has a contract now", false)));
        return changes;
    }

    private static async Task<SortedDictionary<string, Answer>> ReadAsync(RolloutRun run, SlotPlace slot, AetherStack stack, CancellationToken cancellationToken)
    {
        var contracts = new ConcurrentDictionary<string, Answer>(StringComparer.Ordinal);
        await Parallel.ForEachAsync(
            await run.ServicesAsync(slot, cancellationToken),
            new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = cancellationToken },
            async (service, token) =>
            {
                if (await stack.OpenApiAsync(service, token) is not { } text)
                {
                    return;
                }

                try
                {
                    contracts[service.Name] = new Answer(text, ApiContract.Parse(text));
                }
                catch (FormatException exception)
                {
                    throw new RolloutException($"'{service.Name}' of {run.Named(slot)} answers /openapi.json, and {exception.Message}.");
                }
            });
        return new SortedDictionary<string, Answer>(contracts, StringComparer.Ordinal);
    }

    private sealed record Answer(string Text, ApiContract Contract);
}
