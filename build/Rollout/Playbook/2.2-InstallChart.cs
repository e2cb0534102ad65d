using System.Text.Json.Nodes;
using Cake.Frosting;
using Rollout.Cluster;
using Rollout.Supply;

namespace Rollout.Playbook;

/// <summary>
/// "Deploy the Helm chart with --namespace aether-green and override the ingress hosts to use the staging subdomain."
/// <para>Changes: the candidate's safe-mode state, seeded before its first pod (entering it on a running stack would cancel live's orders), then
/// the Helm release, without exchange keys. Done when: pods run the recorded digests, health is no worse than live's, safe mode is active and
/// no order was sent. Undone by: Retire.</para>
/// </summary>
[TaskDescription("2.2 Install the chart: the candidate runs the recorded images on staging hosts, fenced: no exchange keys, safe mode seeded")]
[IsDependentOn(typeof(CreateGreenNamespace))]
public sealed class InstallChart : PlaybookStep
{
    protected override async Task<StepPlan> CheckAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var present = await ExchangeKeys.PresentAsync(run.Cluster, run.Candidate.Namespace, run.Settings.List("Platform.Accounts"), cancellationToken);
        if (present.Count > 0)
        {
            throw new RolloutException(
                $"The exchange keys of {string.Join(", ", present)} are in {run.Candidate.Namespace} again: the candidate's first pod could send orders beside live's.",
                $"Find who put them back (a secret sync?), then: kubectl delete secret -n {run.Candidate.Namespace} {string.Join(' ', present.Select(ExchangeKeys.SecretOf))}");
        }

        var release = await run.Cluster.HelmRevisionAsync(run.Candidate.Namespace, run.Settings["Chart.ReleaseName"]!, cancellationToken);
        return new StepPlan(
            $"seed safe mode of {run.Named(run.Candidate)} as active",
            $"{(release is null ? "install" : $"upgrade revision {release.Number} of")} release {run.Settings["Chart.ReleaseName"]} in {run.Candidate.Namespace}, staging hosts, class {run.Candidate.IngressClass}");
    }

    protected override async Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        await SafeModeSeeds.PutAsync(run, journal, cancellationToken);
        var before = await run.Cluster.HelmRevisionAsync(run.Candidate.Namespace, run.Settings["Chart.ReleaseName"]!, cancellationToken);
        await journal.IntendAsync("helm", new() { ["before"] = before?.Number, ["after"] = run.Release });
        await CandidateUpgrade.ApplyAsync(run, run.CandidateValues, "2.2 install, fenced", cancellationToken);
    }

    protected override async Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        await Candidates.RequireImagesAsync(run, cancellationToken);
        await Candidates.RequireHealthAsync(run, cancellationToken);
        if (run.Journal.IsDone(nameof(ReenableTrading)))
        {
            return;
        }

        var safeMode = await run.CandidateStack.SafeModeStatusAsync(cancellationToken);
        if (!safeMode.Active)
        {
            throw new RolloutException(
                $"Safe mode of {run.Named(run.Candidate)} is not active although its state was seeded.",
                "Its Redis may be another one than Secrets.Redis says; the exchange keys are withheld, so nothing trades.");
        }

        var orders = await run.CandidateStack.OrdersAsync(cancellationToken);
        if (orders.Real > 0 || !orders.Complete)
        {
            throw new RolloutException(
                $"{run.Named(run.Candidate)} must not have sent an order, for it holds no exchange keys; seen: {orders.Describe()}.",
                $"Stop it now: kubectl scale deployment/oms-service --replicas=0 -n {run.Candidate.Namespace}",
                ExitCode.Held);
        }
    }
}
