using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Controllers;

/// <summary>PodDisruptionBudgets: how many pods there are, have to be, and may be evicted now.</summary>
internal sealed class DisruptionController(ControllerContext context) : Controller("disruption-controller", context)
{
    private const string Allowed = "DisruptionAllowed";

    public override void Observe(Change change)
    {
        switch (change.Key)
        {
            case { Group: "policy", Resource: "poddisruptionbudgets" }:
                Queue.Add(change.Key);
                break;
            case { Group: "", Resource: "pods" }:
                foreach (var budget in Store.List("policy", "poddisruptionbudgets", change.Key.Namespace))
                {
                    if (Selector.Matches(budget.At("spec", "selector"), change.Object.At("metadata", "labels")))
                    {
                        Queue.Add(budget.Key("policy", "poddisruptionbudgets"));
                    }
                }

                break;
        }
    }

    protected override void Reconcile(ObjectKey key)
    {
        if (Store.Get(key) is not { } budget)
        {
            return;
        }

        var pods = Store.List("", "pods", key.Namespace)
            .Where(pod => PodCounts.IsActive(pod) && Selector.Matches(budget.At("spec", "selector"), pod.At("metadata", "labels")))
            .ToList();
        var expected = Expected(key, pods);
        var healthy = pods.Count(PodCounts.IsReady);
        var desired = Share.Of(budget.At("spec", "minAvailable"), expected, roundUp: true)
            ?? expected - Math.Min(expected, Share.Of(budget.At("spec", "maxUnavailable"), expected, roundUp: true) ?? 0);
        var allowed = Math.Max(0, healthy - desired);
        var status = (budget.At("status") as JsonObject ?? []).Copy();
        status["observedGeneration"] = budget.Generation();
        status["currentHealthy"] = healthy;
        status["desiredHealthy"] = desired;
        status["expectedPods"] = expected;
        status["disruptionsAllowed"] = allowed;
        var (value, reason) = allowed > 0 ? ("True", "SufficientPods") : ("False", "InsufficientPods");
        Conditions.Set(status, Allowed, value, reason, "", Context.Now);
        status.Items("conditions").First(condition => condition.Text("type") == Allowed)["observedGeneration"] = budget.Generation();
        WriteStatus(key, budget, status);
    }

    /// <summary>What the pods' owners want, not what happens to be there.</summary>
    private int Expected(ObjectKey key, List<JsonObject> pods) => pods
        .GroupBy(pod => Ownership.ControllerOf(pod))
        .Sum(group => Math.Max(
            group.Count(),
            group.Key?.KeyIn(key.Namespace) is { } owner ? Store.Get(owner).Number("spec", "replicas") ?? 0 : 0));
}
