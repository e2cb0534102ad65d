using System.Text.Json.Nodes;
using Cake.Frosting;
using Rollout.Journal;
using Rollout.Supply;

namespace Rollout.Playbook;

/// <summary>
/// "Run the targeted CI workflow (.github/workflows/ci.yaml) and spot-check the governance audit tests against the green namespace credentials."
/// <para>Changes: nothing, or a run of CI where there is none and <c>Github.Dispatch</c> allows it. Done when: the release's commit has a green run with the named job, its logs are kept, the governance tests pass (a check of the code, not
/// of the stack), and the candidate answers to its session and, with certificates and headers, on its staging hosts. Undone by: nothing to undo.</para>
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
        var workflow = run.Settings["Github.Workflow"]!;
        var id = await DispatchedAsync(run, journal, commit, workflow, cancellationToken);
        var ci = await run.Ci.RequireGreenAsync(commit, workflow, run.Settings["Github.Job"]!, id, run.Settings.Duration("Github.Timeout"), cancellationToken);
        journal.Result["ciRun"] = ci.Url;
        run.Console.Note($"CI: {ci.Url} attempt {ci.Attempt}, {ci.Conclusion}; {string.Join(", ", ci.Jobs.Select(j => $"{j.Name} {j.Conclusion}"))}");

        // GitHub keeps them for 90 days and packs the same logs anew at each call, so what a killed run had kept stays.
        var logs = $"ci-logs-{ci.Id}-{ci.Attempt}.zip";
        if (!run.Evidence.Has($"{Name}/{logs}"))
        {
            await run.Evidence.WriteAsync(Name, logs, await run.Ci.LogsAsync(ci, cancellationToken), cancellationToken);
        }

        var tests = await run.Scripts.GovernanceTestsAsync(cancellationToken);
        await journal.KeepAsync("governance-tests.log", tests.Output);
        if (!tests.Succeeded)
        {
            throw new RolloutException(
                "tests/test_governance_audit_logging.py fails on the checkout.", "Its output is in the step's evidence; it checks the code, not the stack.");
        }

        await run.CandidateStack.PreflightAsync(cancellationToken);
    }

    // Whoever resumes finds the run that was started, and starts none beside it.
    private static async Task<long?> DispatchedAsync(RolloutRun run, StepJournal journal, string commit, string workflow, CancellationToken cancellationToken)
    {
        const string part = "ci-run";
        if (run.Journal.Last(journal.Step, JournalEvent.Done, part)?.Data?["id"] is { } known)
        {
            return known.GetValue<long>();
        }

        // A refusal is journalled as failed: then nothing was started, and the next run begins anew.
        var last = run.Journal.Entries.LastOrDefault(e => e.Step == journal.Step && e.Part == part);
        var intent = last?.Event == JournalEvent.Intent ? last.Data : null;
        if (intent is null && (run.Settings["Github.Dispatch"] == "never" || await run.Ci.HasRunAsync(commit, workflow, cancellationToken)))
        {
            return null;
        }

        var dispatcher = new CiDispatcher(run.GitHub, run.Time, run.Console.Progress);
        var dispatch = intent is not null
            ? CiDispatch.From(intent)
            : new CiDispatch(workflow, run.Release, commit, $"rollout-{Guid.NewGuid():N}", run.Settings["Github.DispatchInput"], await dispatcher.NowAsync(cancellationToken));
        if (intent is null)
        {
            await journal.IntendAsync(part, dispatch.ToJson());
        }

        var id = intent is null ? null : await dispatcher.FindAsync(dispatch, cancellationToken);
        if (id is null)
        {
            var start = await dispatcher.StartAsync(dispatch, cancellationToken);
            if (start.Refusal is { } refusal)
            {
                await journal.AppendAsync(JournalEvent.Failed, part, new JsonObject { ["message"] = refusal.Message });
                throw refusal;
            }

            id = start.Id;
        }

        await journal.AppendAsync(JournalEvent.Done, part, new JsonObject { ["id"] = id });
        run.Console.Note($"started {workflow} as run {id}");
        return id;
    }

    protected override Task ConfirmAsync(RolloutRun run, CancellationToken cancellationToken) => StagingHosts.RequireAsync(run, cancellationToken);
}
