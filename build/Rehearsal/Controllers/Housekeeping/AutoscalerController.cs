using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Controllers;

/// <summary>HorizontalPodAutoscalers: says what there is. Nothing is scaled, because the rehearsal has no resource metrics.</summary>
internal sealed class AutoscalerController(ControllerContext context) : Controller("horizontal-pod-autoscaler", context)
{
    private const string Resource = "horizontalpodautoscalers";

    public override void Observe(Change change)
    {
        if (change.Key is { Group: "autoscaling", Resource: Resource })
        {
            Queue.Add(change.Key);
        }
        else if (change.Key is { Group: "apps", Resource: "deployments" or "statefulsets" or "replicasets" })
        {
            foreach (var scaler in Store.List("autoscaling", Resource, change.Key.Namespace))
            {
                if (scaler.Text("spec", "scaleTargetRef", "name") == change.Key.Name)
                {
                    Queue.Add(scaler.Key("autoscaling", Resource));
                }
            }
        }
    }

    protected override void Reconcile(ObjectKey key)
    {
        if (Store.Get(key) is not { } scaler)
        {
            return;
        }

        var reference = scaler.At("spec", "scaleTargetRef");
        var type = ResourceCatalog.FindKind(reference.Text("apiVersion") ?? "", reference.Text("kind") ?? "");
        var target = type is null ? null : Store.Get(new ObjectKey(type.Group, type.Name, key.Namespace, reference.Text("name") ?? ""));
        var now = Context.Now;
        var status = (scaler.At("status") as JsonObject ?? []).Copy();
        status["currentReplicas"] = target.Number("status", "replicas") ?? 0;
        status["desiredReplicas"] = target.Number("spec", "replicas") ?? 0;
        if (target is null)
        {
            var missing = $"{reference.Text("kind")} \"{reference.Text("name")}\" not found";
            var why = $"the HPA controller was unable to get the target's current scale: {missing}";
            Conditions.Set(status, "AbleToScale", "False", "FailedGetScale", why, now);
            Conditions.Remove(status, "ScalingActive");
        }
        else
        {
            const string Able = "the HPA controller was able to get the target's current scale";
            const string Blind = "the HPA was unable to compute the replica count: the rehearsal serves no resource metrics";
            Conditions.Set(status, "AbleToScale", "True", "SucceededGetScale", Able, now);
            Conditions.Set(status, "ScalingActive", "False", "FailedGetResourceMetric", Blind, now);
        }

        WriteStatus(key, scaler, status);
    }
}
