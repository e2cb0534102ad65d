using System.Text.Json.Nodes;
using Cake.Frosting;
using Rollout.Cluster;

namespace Rollout.Playbook;

/// <summary>
/// "Use kubectl create namespace aether-green."
/// <para>Changes: the candidate's namespace, and in it the secrets its workloads and hosts refer to, but not the exchange keys: a candidate without keys
/// cannot send orders (invariant 1). TLS secrets that cert-manager has issued there stay. Done when: namespace and secrets are there and no exchange key is. Undone by: Retire.</para>
/// </summary>
[TaskDescription("2.1 Create the green namespace: the candidate's namespace with its secrets, exchange keys withheld")]
[IsDependentOn(typeof(Prepare))]
public sealed class CreateGreenNamespace : PlaybookStep
{
    protected override async Task<StepPlan> CheckAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var changes = new List<string>();
        if (await NamespaceAsync(run, cancellationToken) is not { } there)
        {
            changes.Add($"create namespace {run.Candidate.Namespace}");
        }
        else if (there["metadata"]!["deletionTimestamp"] is not null)
        {
            throw new RolloutException(
                $"Namespace {run.Candidate.Namespace} is being deleted.", $"Wait until it is gone: kubectl get namespace {run.Candidate.Namespace}");
        }

        var withheld = await ExchangeKeys.PresentAsync(run.Cluster, run.Candidate.Namespace, run.Settings.List("Platform.Accounts"), cancellationToken);
        if (withheld.Count > 0)
        {
            changes.Add($"withhold the exchange keys of {string.Join(", ", withheld)} from {run.Named(run.Candidate)}");
        }

        changes.Add($"copy the secrets of {run.Named(run.Live)} that the chart refers to");
        return new StepPlan(changes);
    }

    protected override async Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        var accounts = run.Settings.List("Platform.Accounts");
        if (await NamespaceAsync(run, cancellationToken) is null)
        {
            await journal.IntendAsync("namespace", new() { ["before"] = null, ["after"] = run.Candidate.Namespace });
            await run.Deployment.CreateNamespaceAsync(run.Candidate.Namespace);
        }

        await run.Deployment.LabelNamespaceAsync(run.Candidate.Namespace, "networking.aether.io/trusted=true");
        var present = await ExchangeKeys.PresentAsync(run.Cluster, run.Candidate.Namespace, accounts, cancellationToken);
        await journal.IntendAsync("exchange-keys", new() { ["before"] = new JsonArray([.. present.Select(a => JsonValue.Create(a))]), ["after"] = new JsonArray() });
        await ExchangeKeys.WithholdAsync(run.Cluster, run.Candidate.Namespace, present, cancellationToken);
        var rendered = await run.RenderAsync(run.Candidate, run.CandidateValues with { ServesProduction = true }, "candidate", cancellationToken);
        var needed = Needed(run, rendered);
        var others = needed.Except(Certificates.NamesOf(run, rendered)).ToList();
        await SecretCopies.CopyAsync(run.Cluster, run.Live.Namespace, run.Candidate.Namespace, others, cancellationToken);
        await Certificates.CopyAsync(run, rendered, journal, cancellationToken);
        journal.Result["secrets"] = new JsonArray([.. needed.Select(n => JsonValue.Create(n))]);
        run.Console.Note($"{needed.Count} secrets of {run.Live.Namespace} are there");
    }

    protected override async Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var there = await NamespaceAsync(run, cancellationToken);
        var keys = await ExchangeKeys.PresentAsync(run.Cluster, run.Candidate.Namespace, run.Settings.List("Platform.Accounts"), cancellationToken);
        if (there?["status"]?["phase"]?.GetValue<string>() != "Active" || (keys.Count > 0 && !run.Journal.IsDone(nameof(ReenableTrading))))
        {
            throw new RolloutException(
                $"Namespace {run.Candidate.Namespace} is {there?["status"]?["phase"]?.GetValue<string>() ?? "absent"} and holds exchange keys of {keys.Count} accounts; expected Active and none.",
                "Nothing may be installed there before that is mended.");
        }
    }

    private static Task<JsonNode?> NamespaceAsync(RolloutRun run, CancellationToken cancellationToken) =>
        run.Cluster.GetAsync($"/api/v1/namespaces/{run.Candidate.Namespace}", cancellationToken);

    private static IReadOnlyList<string> Needed(RolloutRun run, RenderedChart rendered)
    {
        var keys = run.Settings.List("Platform.Accounts").Select(ExchangeKeys.SecretOf).ToHashSet();
        var made = rendered.Objects.Where(o => o["kind"]?.GetValue<string>() == "Secret").Select(o => o["metadata"]!["name"]!.GetValue<string>()).ToHashSet();
        return [.. rendered.Secrets.Where(s => !s.IsOptional).Select(s => s.Secret).Distinct().Where(n => !keys.Contains(n) && !made.Contains(n))];
    }
}
