using Cake.Frosting;

namespace Rollout.Playbook;

/// <summary>
/// "Commit any configuration overrides to the blue environment values file and verify secrets are present for company and director accounts."
/// <para>Changes: nothing. Done when: overlays and chart are committed, the chart lints and renders each object once, every secret that the rendered
/// workloads refer to exists with its keys, without placeholders and in its type's shape, every production host has a TLS secret, exchange keys have their shape, no overlay drops a
/// variable that live has, no Argo CD or Flux owns a slot, both slots have an ingress class and an address of their own, live's session works, and both outlast a freeze. Undone by: nothing to undo.</para>
/// </summary>
[TaskDescription("1.4 Stage config: overlays are committed, and secrets of company and directors are present")]
[IsDependentOn(typeof(ExportHealthSnapshot))]
public sealed class StageConfig : PlaybookStep
{
    protected override async Task<StepPlan> CheckAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        await OwnerChecks.RefuseAsync(run, cancellationToken);
        return new StepPlan("nothing; overlays, chart, secrets, addresses and sessions are looked at");
    }

    protected override async Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        await run.Deployment.LintAsync(run.ChartFolder, await run.ValuesAsync(run.Candidate, run.CandidateValues, "candidate", cancellationToken));
        await run.LiveStack.PreflightAsync(cancellationToken);
        await OverlayChecks.RecordAsync(run, journal, cancellationToken);
        await DnsFlip.NoteTtlAsync(run, journal, cancellationToken);
    }

    protected override async Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        await OwnerChecks.RefuseAsync(run, cancellationToken);

        // With exchange keys and production hosts, as the candidate will run in the end: a pod starts without the keys, so nobody else would notice.
        var rendered = await run.RenderAsync(run.Candidate, run.CandidateValues with { HasExchangeKeys = true, ServesProduction = true }, "trading", cancellationToken);
        var found = new Findings();
        await OverlayChecks.LookAsync(run, found, cancellationToken);
        OverlayChecks.LookAtRendered(run, rendered, found);
        await OverlayChecks.LookAtListsAsync(run, rendered, found, cancellationToken);
        await SecretChecks.LookAsync(run, rendered, found, cancellationToken);
        found.Problems.AddRange(run.Hosts.Where(h => rendered.TlsSecretOf(h) is null).Select(h => $"no Ingress names a TLS secret for {h}"));
        await StoreChecks.LookAsync(run, rendered, found, cancellationToken);
        await IngressChecks.LookAsync(run, rendered, found, cancellationToken);

        // Later, when this is looked at again, the sessions of then are long gone; 3.1 looks at those of now.
        if (!run.Journal.IsDone(Name))
        {
            await Sessions.LookAsync(run, found, cancellationToken);
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
}
