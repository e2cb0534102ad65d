using System.Text.Json;
using Rollout.Investigation;
using Rollout.Journal;
using Rollout.Monitoring;

namespace Rollout.Playbook;

/// <summary>
/// The failing and slow traces since the flip, kept before the store forgets them (platform contract, section 9). 3.4 does it when trading is back, since no freeze
/// should last longer for it; of a rollout that failed 5.4 keeps more.
/// </summary>
internal static class WindowTraces
{
    private const string Service = "oms-service";

    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);

    /// <summary>Keeps them as <c>traces.json</c>, masked, and looks whether tracing is still on; a store that does not answer is a warning.</summary>
    public static async Task KeepAsync(RolloutRun run, StepJournal journal, CancellationToken cancellationToken)
    {
        using var store = run.OpenTraces();
        if (store is null)
        {
            journal.Result["traces"] = "off: no trace store is set (Traces.Api)";
            return;
        }

        // Trading is back: whatever a store answers, it must not cost a rollout that is well.
        using var limit = new CancellationTokenSource(Limit, run.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken);
        try
        {
            var now = run.Time.GetUtcNow();
            var harvest = await store.HarvestAsync([], run.Journal.Last(nameof(FlipDns), JournalEvent.Started)?.Time ?? now - Limit, now, either.Token);
            if (harvest.State == TraceState.Unknown)
            {
                throw new RolloutException(harvest.Message);
            }

            var secrets = await run.Cluster.ListAsync($"/api/v1/namespaces/{run.Candidate.Namespace}/secrets", either.Token);
            var deployments = await run.Cluster.ListAsync($"/apis/apps/v1/namespaces/{run.Candidate.Namespace}/deployments", either.Token);
            var mask = new SecretMask(SecretMask.ValuesOf(secrets).Concat(deployments.SelectMany(SecretMask.ValuesOfEnvironment)));
            await journal.KeepAsync("traces.json", mask.Apply(harvest.ToJson().ToJsonString()));
            journal.Result["traces"] = harvest.Message;
            run.Console.Note($"traces since the flip: {harvest.Message}");
            await ProbeAsync(run, journal, store, cancellationToken);
        }
        catch (Exception exception) when (exception is RolloutException or HttpRequestException or JsonException or IOException || (exception is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            journal.Result["traces"] = "unknown";
            run.Console.Warning($"the traces since the flip are not kept: {(exception is OperationCanceledException ? $"the store gave no answer in {Limit.TotalSeconds:0} s" : exception.Message)}");
        }
    }

    // No slow and no failing trace is good news only where traces still arrive: one request of our own must be found.
    private static async Task ProbeAsync(RolloutRun run, StepJournal journal, TraceStore store, CancellationToken cancellationToken)
    {
        if ((await run.ServicesAsync(run.Candidate, cancellationToken)).FirstOrDefault(s => s.Name == Service) is not { } service)
        {
            return;
        }

        var id = $"rollout-{run.Release}-3.4-{run.Time.GetUtcNow().ToUnixTimeMilliseconds()}";
        await new ServiceSignals(run.Cluster.Http, run.Candidate.Namespace, run.Time).ProbeAsync([(service.Name, service.Port)], _ => id, cancellationToken);
        var lookup = await store.FindByRequestIdAsync(id, service.Name, run.Settings.Duration("Traces.Timeout"), cancellationToken);
        journal.Result["tracing"] = lookup.State.ToString().ToLowerInvariant();
        if (lookup.State != TraceState.Found)
        {
            run.Console.Warning($"tracing of {run.Named(run.Candidate)} is {(lookup.State == TraceState.Off ? "off" : "not known to be on")}: {lookup.Message}");
        }
    }
}
