using System.Text.Json.Nodes;
using Cake.Frosting;
using Rollout.Cluster;
using Rollout.Platform;

namespace Rollout.Playbook;

/// <summary>
/// "Commit any configuration overrides to the blue environment values file and verify secrets are present for company and director accounts."
/// <para>Changes: nothing. Done when: overlays and chart are committed, the chart lints and renders each object once, every secret that the rendered
/// workloads refer to exists with its keys, without placeholders and in its type's shape, every production host has a TLS secret, exchange keys have their shape, no overlay drops a
/// variable that live has, no Argo CD or Flux owns a slot, both slots have an ingress class and an address of their own, live's session works, and both last longer than a freeze. Undone by: nothing to undo.</para>
/// </summary>
[TaskDescription("1.4 Stage config: overlays are committed, and secrets of company and directors are present")]
[IsDependentOn(typeof(ExportHealthSnapshot))]
public sealed class StageConfig : PlaybookStep
{
    private static readonly (string Path, string Kind)[] Owned =
    [
        ("/apis/apps/v1/namespaces/NAMESPACE/deployments", "deployment"),
        ("/apis/networking.k8s.io/v1/namespaces/NAMESPACE/ingresses", "ingress"),
        ("/api/v1/namespaces/NAMESPACE/services", "service"),
    ];

    protected override Task<StepPlan> CheckAsync(RolloutRun run, CancellationToken cancellationToken) =>
        Task.FromResult(new StepPlan("nothing; overlays, chart, secrets, addresses and sessions are looked at"));

    protected override async Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        await run.Deployment.LintAsync(run.ChartFolder, await run.ValuesAsync(run.Candidate, run.CandidateValues, "candidate", cancellationToken));
        await run.LiveStack.PreflightAsync(cancellationToken);
        await OverlayChecks.RecordAsync(run, journal, cancellationToken);
        await DnsFlip.NoteTtlAsync(run, journal, cancellationToken);
    }

    protected override async Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        // With exchange keys and production hosts, as the candidate will run in the end: a pod starts without the keys, so nobody else would notice.
        var rendered = await run.RenderAsync(run.Candidate, run.CandidateValues with { HasExchangeKeys = true, ServesProduction = true }, "trading", cancellationToken);
        var found = new Findings();
        await OverlayChecks.LookAsync(run, found, cancellationToken);
        OverlayChecks.LookAtRendered(run, rendered, found);
        await OverlayChecks.LookAtListsAsync(run, rendered, found, cancellationToken);
        found.Problems.AddRange(await MissingSecretsAsync(run, rendered, cancellationToken));
        found.Problems.AddRange(await OwnersAsync(run, cancellationToken));
        found.Problems.AddRange(await MissingClassesAsync(run, cancellationToken));
        found.Problems.AddRange(await ShortSessionsAsync(run, cancellationToken));
        found.Problems.AddRange(run.Hosts.Where(h => rendered.TlsSecretOf(h) is null).Select(h => $"no Ingress names a TLS secret for {h}"));
        if (await run.AddressAsync(run.Live, cancellationToken) == await run.AddressAsync(run.Candidate, cancellationToken))
        {
            found.Problems.Add("both slots have the same ingress address");
        }

        Settle(run, found);

        // There is time to renew until 3.1, which refuses these.
        foreach (var outlook in await Certificates.OutlookAsync(run, rendered, cancellationToken))
        {
            run.Console.Warning(outlook);
        }
    }

    private static void Settle(RolloutRun run, Findings found)
    {
        foreach (var warning in found.Warnings)
        {
            run.Console.Warning(warning);
        }

        if (found.Problems.Count > 0)
        {
            throw new RolloutException(
                $"{found.Problems.Count} {(found.Problems.Count == 1 ? "thing is" : "things are")} not as {run.Release} needs {(found.Problems.Count == 1 ? "it" : "them")}:\n  - {string.Join("\n  - ", found.Problems)}",
                $"Mend {(found.Problems.Count == 1 ? "it" : "them")} and run the same command again.");
        }
    }

    private static async Task<IReadOnlyList<string>> MissingSecretsAsync(RolloutRun run, RenderedChart rendered, CancellationToken cancellationToken)
    {
        var own = (await Certificates.SecretsAsync(run, run.Candidate.Namespace, rendered, cancellationToken)).Where(s => s.Value is not null).Select(s => s.Key).ToHashSet();
        var found = (await run.Cluster.ListAsync($"/api/v1/namespaces/{run.Live.Namespace}/secrets", cancellationToken))
            .ToDictionary(s => s["metadata"]!["name"]!.GetValue<string>());
        var secrets = found.ToDictionary(s => s.Key, s => s.Value["data"] as JsonObject ?? []);
        var problems = new List<string>();
        foreach (var reference in rendered.Secrets)
        {
            if (!secrets.TryGetValue(reference.Secret, out var data))
            {
                // A TLS secret may have been issued where the candidate will stand.
                if (!own.Contains(reference.Secret))
                {
                    problems.Add($"secret {run.Live.Namespace}/{reference.Secret} does not exist");
                }
            }
            else if (reference.Key is not null && !data.ContainsKey(reference.Key))
            {
                problems.Add($"secret {run.Live.Namespace}/{reference.Secret} has no key {reference.Key}");
            }
        }

        // What only one workload mounts whole is looked at whole; its owner's Secrets come from the chart's placeholders as often as from a person.
        foreach (var group in rendered.Secrets.Where(r => found.ContainsKey(r.Secret)).GroupBy(r => r.Secret))
        {
            var keys = group.Any(r => r.Key is null) ? null : group.Select(r => r.Key!).ToHashSet(StringComparer.Ordinal);
            problems.AddRange(SecretShapes.ProblemsOf(found[group.Key], keys, run.Settings.RunsWholeChain).Select(p => $"secret {run.Live.Namespace}/{group.Key} {p}"));
        }

        foreach (var account in run.Settings.List("Platform.Accounts"))
        {
            var name = ExchangeKeys.SecretOf(account);
            if (secrets.TryGetValue(name, out var data) && !ExchangeKeys.HasShape(data))
            {
                problems.Add($"secret {run.Live.Namespace}/{name} has no credentials.json with api_key and api_secret");
            }
            else if (data is null)
            {
                problems.Add($"secret {run.Live.Namespace}/{name} does not exist");
            }
        }

        return [.. problems.Distinct()];
    }

    // Whatever a controller owns, it puts back in the middle of a rollout.
    private static async Task<IEnumerable<string>> OwnersAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var problems = new List<string>();
        foreach (var slot in new[] { run.Live, run.Candidate })
        {
            var owned = new List<(string What, string Who)>();
            foreach (var (path, kind) in Owned)
            {
                owned.AddRange((await run.Cluster.ListAsync($"{path.Replace("NAMESPACE", slot.Namespace, StringComparison.Ordinal)}", cancellationToken))
                    .Select(o => (What: $"{kind}/{o["metadata"]!["name"]!.GetValue<string>()}", Who: GitOps.OwnerOf(o))).Where(o => o.Who is not null).Select(o => (o.What, o.Who!)));
            }

            problems.AddRange(owned.GroupBy(o => o.Who).Select(g => $"{g.Key} owns {g.Count()} objects in {slot.Namespace}, the first is {g.First().What}, and would put them back: suspend it or take its automated sync off"));
        }

        return problems;
    }

    private static async Task<IEnumerable<string>> MissingClassesAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var classes = (await run.Cluster.ListAsync("/apis/networking.k8s.io/v1/ingressclasses", cancellationToken)).Select(c => c["metadata"]!["name"]!.GetValue<string>()).ToHashSet();
        return new[] { run.Live, run.Candidate }.Where(s => !classes.Contains(s.IngressClass))
            .Select(s => $"there is no IngressClass {s.IngressClass} for {run.Named(s)}; there are {(classes.Count == 0 ? "none" : string.Join(", ", classes.Order(StringComparer.Ordinal)))}");
    }

    // Prepare may be hours before the freeze, and 3.1 looks again; a session that is too short for the freeze alone cannot become longer.
    private static async Task<IEnumerable<string>> ShortSessionsAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var longest = Fences.LongestFreeze(run.Settings);
        var problems = new List<string>();
        foreach (var slot in new[] { run.Live, run.Candidate })
        {
            var session = await SafeModeSeed.ReadSessionAsync(slot.Redis.Reveal(), slot.Session, cancellationToken);
            var left = session?.ExpiresAt - run.Time.GetUtcNow();
            if (left < longest)
            {
                problems.Add($"the session of {run.Named(slot)} is valid for {Waiting.Words(left.Value)} and the freeze could take {Waiting.Words(longest)}: log in again and set ROLLOUT_SECRETS_SESSION_{slot.Name.ToUpperInvariant()}");
            }
        }

        return problems;
    }
}
