using System.Text.Json.Nodes;
using Rollout.Cluster;
using Rollout.Environments;
using Rollout.Traffic;

namespace Rollout.Playbook;

/// <summary>
/// Whether each slot has an ingress controller, a class and an address of its own: one controller refuses a host that is in two namespaces, and one address
/// leaves nothing to flip (platform contract, section 8.4).
/// </summary>
internal static class IngressChecks
{
    public static async Task LookAsync(RolloutRun run, RenderedChart rendered, Findings found, CancellationToken cancellationToken)
    {
        var (live, candidate) = (run.Live, run.Candidate);
        if (live.IngressClass == candidate.IngressClass)
        {
            found.Problems.Add($"both slots have the ingress class {live.IngressClass}; each needs one of its own (Slots.BlueIngressClass, Slots.GreenIngressClass)");
        }

        var controllers = new List<string>();
        foreach (var slot in new[] { live, candidate }.DistinctBy(s => s.IngressClass))
        {
            var known = await run.Cluster.GetAsync($"/apis/networking.k8s.io/v1/ingressclasses/{slot.IngressClass}", cancellationToken);
            if (known is null)
            {
                found.Problems.Add($"ingress class {slot.IngressClass} of {run.Named(slot)} does not exist");
            }
            else if (known["spec"]?["controller"]?.GetValue<string>() is not { Length: > 0 } controller)
            {
                found.Problems.Add($"ingress class {slot.IngressClass} of {run.Named(slot)} names no controller");
            }
            else
            {
                controllers.Add(controller);
            }
        }

        if (controllers.Count == 2 && controllers[0] == controllers[1])
        {
            found.Warnings.Add(
                $"ingress classes {live.IngressClass} and {candidate.IngressClass} name the same controller, {controllers[0]}: two ingress-nginx that are not told apart by --controller-class or --ingress-class-by-name both serve both slots, and refuse the host that both have");
        }

        found.Problems.AddRange(rendered.Ingresses.Where(i => RenderedChart.ClassOf(i) != candidate.IngressClass)
            .GroupBy(i => RenderedChart.ClassOf(i) ?? "the cluster's default", i => i["metadata"]!["name"]!.GetValue<string>())
            .Select(g => $"{g.Count()} Ingresses of {run.Named(candidate)} ask for the class {g.Key}, not for {candidate.IngressClass}, the first is {g.First()}"));
        var (ofLive, ofCandidate) = (await AddressesAsync(run, live, found, cancellationToken), await AddressesAsync(run, candidate, found, cancellationToken));
        if (ofLive is not null && ofCandidate is not null && (ofLive.V4 == ofCandidate.V4 || (ofLive.V6 is not null && ofLive.V6 == ofCandidate.V6)))
        {
            found.Problems.Add($"both slots have the same ingress address, {(ofLive.V4 == ofCandidate.V4 ? ofLive.V4 : ofLive.V6)}: there would be nothing to flip");
        }
    }

    private static async Task<SlotAddress?> AddressesAsync(RolloutRun run, SlotPlace slot, Findings found, CancellationToken cancellationToken)
    {
        var @namespace = slot.IngressService[..slot.IngressService.IndexOf('/', StringComparison.Ordinal)];
        var service = await run.Cluster.GetAsync($"/api/v1/namespaces/{@namespace}/services/{slot.IngressService[(@namespace.Length + 1)..]}", cancellationToken);
        if (service?["spec"]?["selector"] is JsonObject { Count: > 0 } selector)
        {
            var labels = Uri.EscapeDataString(string.Join(',', selector.Select(s => $"{s.Key}={s.Value}")));
            var pods = await run.Cluster.ListAsync($"/api/v1/namespaces/{@namespace}/pods?labelSelector={labels}", cancellationToken);
            if (!pods.Any(IsReady))
            {
                found.Problems.Add($"the ingress controller of {run.Named(slot)} ({slot.IngressService}) has no ready pod");
            }
        }

        try
        {
            return await run.AddressesAsync(slot, cancellationToken);
        }
        catch (RolloutException exception)
        {
            found.Problems.Add(exception.Message.TrimEnd('.'));
            return null;
        }
    }

    private static bool IsReady(JsonObject pod) => pod["metadata"]?["deletionTimestamp"] is null
        && (pod["status"]?["conditions"] as JsonArray ?? []).Any(c => c?["type"]?.GetValue<string>() == "Ready" && c["status"]?.GetValue<string>() == "True");
}
