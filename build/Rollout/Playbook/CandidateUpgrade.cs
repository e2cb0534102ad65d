using System.Text.Json.Nodes;
using Rollout.Cluster;
using Rollout.Journal;

namespace Rollout.Playbook;

/// <summary>What 2.2, 2.3, 3.1 and 3.4 do to the candidate's Helm release, and what they make of one that a killed run left behind.</summary>
internal static class CandidateUpgrade
{
    /// <summary><c>helm upgrade --install</c> of the candidate with these values; not done again where a killed run's helm has done it.</summary>
    /// <param name="what">Becomes part of the revision's description.</param>
    /// <exception cref="RolloutException">helm failed; exit code 5: a pending revision is not ours to mend.</exception>
    public static async Task ApplyAsync(RolloutRun run, ChartValues values, string what, CancellationToken cancellationToken)
    {
        await AwaitPendingAsync(run, cancellationToken);
        var name = run.Settings["Chart.ReleaseName"]!;
        var @namespace = run.Candidate.Namespace;
        var description = $"{run.Release}: {what}";
        var files = await run.ValuesAsync(run.Candidate, values, "candidate", cancellationToken);
        var digest = await SlotDeployment.DigestOfAsync(run.Checkout.DigestOfTree(run.Settings["Chart.Path"]!), files, description, cancellationToken);
        var newest = await run.Cluster.HelmRevisionAsync(@namespace, name, cancellationToken);
        if (newest is { Status: "deployed" } && newest.Applied == digest && await run.Deployment.ManifestAsync(name, @namespace) is { } manifest)
        {
            var strayed = manifest.StrayedIn(await run.Cluster.ListAsync($"/apis/apps/v1/namespaces/{@namespace}/deployments", cancellationToken));
            if (strayed.Count == 0)
            {
                run.Console.Note($"helm: revision {newest.Number} has this already");
                return;
            }

            run.Console.Note($"helm: revision {newest.Number} has this, but {string.Join(", ", strayed)} strayed from it");
        }

        await run.Deployment.UpgradeAsync(
            name, run.ChartFolder, @namespace, files, description, (digest, (newest?.Number ?? 0) + 1), run.Settings.Duration("Chart.Timeout"));
    }

    // Decided by HelmRecovery; here it is looked at, waited for and done.
    private static async Task AwaitPendingAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var name = run.Settings["Chart.ReleaseName"]!;
        var @namespace = run.Candidate.Namespace;
        var limit = run.Settings.Duration("Chart.Timeout") + TimeSpan.FromSeconds(5);
        if (await run.Cluster.HelmRevisionAsync(@namespace, name, cancellationToken) is not { IsPending: true } found)
        {
            return;
        }

        run.Console.Warning($"revision {found.Number} of {name} in {@namespace} is {found.Status} since {found.Begun:HH:mm:ss} UTC: an earlier run was killed");
        while (true)
        {
            var (newest, decision) = await Waiting.UntilAsync(
                "that helm to end",
                LookAsync,
                seen => seen.Decision is not HelmDecision.Wait,
                seen => seen.Newest?.Status ?? "gone",
                limit + HelmRecovery.Grace + TimeSpan.FromSeconds(10),
                TimeSpan.FromMilliseconds(250),
                run.Time,
                run.Console.Progress,
                cancellationToken);
            if (decision is HelmDecision.Refuse refused)
            {
                throw new RolloutException(refused.Why, refused.Hint, ExitCode.Refused);
            }

            if (decision is not HelmDecision.Remove { Secret: var secret })
            {
                return;
            }

            await run.Journal.AppendAsync("Rollout", JournalEvent.Intent, "helm-pending", new JsonObject { ["secret"] = secret, ["before"] = newest!.Status }, cancellationToken);
            if (await run.Cluster.DeleteUnchangedAsync($"/api/v1/namespaces/{@namespace}/secrets/{secret}", newest.Version!, cancellationToken))
            {
                run.Console.Note($"no helm will end it: {secret} is removed, and the upgrade applies everything again");
                return;
            }
        }

        async Task<(HelmRevision? Newest, HelmDecision Decision)> LookAsync(CancellationToken token)
        {
            // The process first: a helm that has ended by then has written how.
            var begunHere = found.Machine is not null && found.Machine == ProcessMark.Current?.Machine;
            var orphan = HelmRecovery.OrphanOf(name, @namespace, begunHere, run.Surroundings.Kubeconfig);
            var newest = await run.Cluster.HelmRevisionAsync(@namespace, name, token);
            if (orphan is HelmOrphan.Gone && newest?.Secret != found.Secret)
            {
                orphan = new HelmOrphan.Unknown();
            }

            return (newest, HelmRecovery.Decide(newest, run.HoldsLock, orphan, limit, run.Time.GetUtcNow()));
        }
    }
}
