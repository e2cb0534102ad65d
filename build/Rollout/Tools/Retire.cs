using Cake.Frosting;
using Rollout.Environments;
using Rollout.Journal;
using Rollout.Playbook;

namespace Rollout.Tools;

/// <summary>Removes the idle slot's stack.</summary>
[TaskDescription("Remove the idle slot's stack; refused while DNS points at it or it trades")]
public sealed class Retire : AsyncFrostingTask<RolloutContext>
{
    public override async Task RunAsync(RolloutContext context)
    {
        var run = await context.OpenAsync();
        var pointing = await run.PointingAtAsync(context.Token);
        if (pointing is not ("blue" or "green"))
        {
            throw new RolloutException($"DNS points at {pointing}, so no slot is idle. Nothing was removed.", $"Look: {context.CommandFor(nameof(Status))}", ExitCode.Refused);
        }

        var unfinished = (await run.JournalsAsync(context.Token)).Where(j => !new RolloutProgress(j.Entries).IsOver).Select(j => j.Release).ToList();
        if (unfinished.Count > 0)
        {
            throw new RolloutException(
                $"The rollout of {string.Join(", ", unfinished)} is under way and may need both slots. Nothing was removed.",
                $"Finish it, or roll it back, first: {context.CommandFor(nameof(Status))}",
                ExitCode.Refused);
        }

        var active = run.Surroundings.Slot(pointing);
        var idle = run.Surroundings.Other(active);
        if (await run.Cluster.HelmRevisionAsync(idle.Namespace, context.Settings["Chart.ReleaseName"]!, context.Token) is null)
        {
            context.Console.Line($"{idle.Name} has no stack.");
            return;
        }

        await RequireLeftByClientsAsync(context, run, idle, active);
        var stack = idle == run.Live ? run.LiveStack : run.CandidateStack;
        var before = await stack.OrdersAsync(context.Token);
        await Waiting.PauseAsync(context.Settings.Duration("Fence.Quiet"), context.Time, context.Token);
        var after = await stack.OrdersAsync(context.Token);
        if (after.Real > before.Real || (after.Pods.Count > 0 && !after.Complete))
        {
            throw new RolloutException(
                $"{idle.Name} still sends orders, or cannot be read ({after.Real - before.Real} in {context.Settings["Fence.Quiet"]} s; {after.Describe()}). Nothing was removed.",
                null,
                ExitCode.Refused);
        }

        await run.Deployment.UninstallAsync(context.Settings["Chart.ReleaseName"]!, idle.Namespace);
        await run.Deployment.DeleteNamespaceAsync(idle.Namespace);
        context.Console.Line($"The stack of {idle.Name} is removed.");
    }

    // DNS being right says nothing of clients that hold an old answer, or a connection, and never ask again.
    private static async Task RequireLeftByClientsAsync(RolloutContext context, RolloutRun run, SlotPlace idle, SlotPlace active)
    {
        try
        {
            await run.NameServers.WaitUntilAllAnswerAsync(run.Hosts, await run.AddressesAsync(active, context.Token), TimeSpan.Zero, context.Token);
        }
        catch (RolloutException exception)
        {
            throw new RolloutException(
                $"Not every name server sends clients to {active.Name}: {exception.Message} Nothing was removed.",
                $"Wait until they do, and run the same command again; look: {context.CommandFor(nameof(Status))}",
                ExitCode.Refused,
                exception);
        }

        var flips = (await run.JournalsAsync(context.Token))
            .SelectMany(j => j.Entries)
            .Where(e => e is { Step: nameof(FlipDns) or nameof(RestoreDns), Event: JournalEvent.Done, Part: null });
        if (flips.MaxBy(e => e.Time) is { } flip && flip.Data?["ttl"]?.GetValue<int>() is { } ttl
            && flip.Time.AddSeconds(ttl) is var free && free > context.Time.GetUtcNow())
        {
            throw new RolloutException(
                $"Resolvers may send clients to {idle.Name} until {free:yyyy-MM-dd HH:mm:ss} UTC: {flip.Step} ended at {flip.Time:HH:mm:ss}, and the records had a TTL of {ttl} s. Nothing was removed.",
                $"Run the same command after that, in {Waiting.Words(free - context.Time.GetUtcNow())}.",
                ExitCode.Refused);
        }

        var allowed = context.Settings.WholeNumber("Traffic.IdleRate");
        context.Console.Note($"counting what clients still ask {idle.Name}, for {context.Settings["Traffic.IdleWindow"]} s");
        var traffic = await run.RemainingTrafficOf(idle).MeasureAsync(context.Settings.Duration("Traffic.IdleWindow"), context.Token);
        context.Console.Note($"clients still ask {idle.Name}: {traffic}");
        var controller = idle.IngressService[..idle.IngressService.IndexOf('/', StringComparison.Ordinal)];
        if (traffic.Problem is not null)
        {
            throw new RolloutException(
                $"Whether {idle.Name} still has clients is not known: {traffic.Problem}. Nothing was removed.",
                $"Switch the ingress controller's metrics on (its chart's controller.metrics.enabled) in {controller}, or remove the stack by hand: helm uninstall {context.Settings["Chart.ReleaseName"]} -n {idle.Namespace}",
                ExitCode.Refused);
        }

        if (traffic.Total > allowed)
        {
            throw new RolloutException(
                $"{idle.Name} still has clients: {traffic}; up to {allowed} requests/s count as nobody's (Traffic.IdleRate). Nothing was removed.",
                $"Clients that keep a connection never ask DNS again: find them in the ingress controller's log, kubectl logs -n {controller} -l app.kubernetes.io/name=ingress-nginx, or wait.",
                ExitCode.Refused);
        }
    }
}
