using Cake.Frosting;

namespace Rollout.Playbook;

/// <summary>
/// "Run the targeted CI workflow (.github/workflows/ci.yaml) and spot-check the governance audit tests against the green namespace credentials."
/// <para>Changes: nothing. Done when: the release's commit has a green run with the named job, the governance tests pass (a check of the code, not
/// of the stack), and the candidate answers on its staging hosts and to its session. Undone by: nothing to undo.</para>
/// </summary>
[TaskDescription("2.5 Smoke test: CI of the release's commit is green, and the candidate answers on its staging hosts")]
[IsDependentOn(typeof(SeedState))]
public sealed class SmokeTest : PlaybookStep
{
    protected override Task<StepPlan> CheckAsync(RolloutRun run, CancellationToken cancellationToken) => Task.FromResult(new StepPlan(
        $"nothing; CI of commit {run.Fact(nameof(TagRelease), "commit")?.GetValue<string>()[..12] ?? "of the tag"}, governance tests and staging hosts are looked at"));

    protected override async Task ActAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        var commit = run.Fact(nameof(TagRelease), "commit")!.GetValue<string>();
        var ci = await run.Ci.RequireGreenAsync(
            commit, run.Settings["Github.Workflow"]!, run.Settings["Github.Job"]!, run.Settings.Duration("Github.Timeout"), cancellationToken);
        journal.Result["ciRun"] = ci.Url;
        run.Console.Note($"CI: {ci.Url} attempt {ci.Attempt}, {ci.Conclusion}");
        var tests = await run.Scripts.GovernanceTestsAsync(cancellationToken);
        await journal.KeepAsync("governance-tests.log", tests.Output);
        if (!tests.Succeeded)
        {
            throw new RolloutException(
                "tests/test_governance_audit_logging.py fails on the checkout.", "Its output is in the step's evidence; it checks the code, not the stack.");
        }

        await run.CandidateStack.PreflightAsync(cancellationToken);
    }

    protected override async Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var address = await run.AddressAsync(run.Candidate, cancellationToken);
        var hosts = (await run.RenderAsync(run.Candidate, run.CandidateValues, "candidate", cancellationToken)).Hosts.Except(run.Hosts).ToList();
        var refused = await Waiting.UntilAsync(
            "the staging hosts to answer",
            async token => (await Task.WhenAll(hosts.Select(h => run.Probe.ProbeAsync(h, "/", address, token))))
                .Where(p => !Edges.IsServed(p)).Select(Edges.Describe).ToList(),
            missing => missing.Count == 0,
            missing => $"{missing.Count} of {hosts.Count}: {missing[0]}",
            TimeSpan.FromSeconds(15),
            TimeSpan.FromMilliseconds(250),
            run.Time,
            run.Console.Progress,
            cancellationToken);
        _ = refused;
        run.Console.Note($"{hosts.Count} staging hosts answer at {address}");
    }
}
