using Cake.Frosting;

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
    protected override async Task<StepPlan> CheckAsync(RolloutRun run, CancellationToken cancellationToken) => new(
        await Migrations.DescribeAsync(run, cancellationToken),
        await StateFiles.DescribeAsync(run, cancellationToken),
        "archive the API contract of every service, and compare the candidate's with live's");

    protected override async Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        await journal.PartAsync("migrations", data => Migrations.RunAsync(run, journal, data, cancellationToken));
        await journal.PartAsync(StateFiles.Part, data => StateFiles.SynchroniseAsync(run, journal, data, cancellationToken));
        await journal.PartAsync("openapi", data => ApiContracts.ArchiveAsync(run, journal, data, cancellationToken));
    }

    protected override Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken) => Migrations.RequireDoneAsync(run, cancellationToken);
}
