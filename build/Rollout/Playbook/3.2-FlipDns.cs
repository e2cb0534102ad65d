using System.Text.Json.Nodes;
using Cake.Frosting;

namespace Rollout.Playbook;

/// <summary>
/// "Update the ingress host records to point clients to the green load balancer. Confirm the hardened headers remain present."
/// <para>Changes: the address of every host, all or none. Done when: every authoritative server answers the candidate's address for every host, each
/// host answers there with its certificate and headers, and each answers over HTTPS where resolvers send its clients. Undone by: 5.2.</para>
/// </summary>
[TaskDescription("3.2 Flip DNS: all hosts or none point at the candidate, seen on every name server and on the wire")]
[IsDependentOn(typeof(FreezeWrites))]
public sealed class FlipDns : PlaybookStep
{
    protected override async Task<StepPlan> CheckAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        // Plan looks long before 3.1 has brought the production hosts, and still tells what would move and at what TTL.
        if (run.Journal.IsPartDone(nameof(FreezeWrites), Replicas.CandidatePart))
        {
            await Edges.RequireReadyAsync(run, cancellationToken);
        }

        return await DnsFlip.PlanAsync(run, run.Candidate, cancellationToken);
    }

    protected override Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken) =>
        DnsFlip.PointAsync(run, run.Candidate, journal, cancellationToken);

    protected override async Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        await DnsFlip.RequireAsync(run, run.Candidate, cancellationToken);
        await Edges.RequireAsync(run, run.Candidate, cancellationToken);
        await DnsFlip.RequireServedAsync(run, run.Candidate, cancellationToken);
    }
}
