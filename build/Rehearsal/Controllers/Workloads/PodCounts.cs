using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Controllers;

/// <summary>What the workload controllers ask of pods: who counts, who is ready for long enough, who goes first.</summary>
internal static class PodCounts
{
    /// <summary>Neither finished nor on its way out.</summary>
    public static bool IsActive(JsonObject pod) => !pod.IsDeleting() && pod.Text("status", "phase") is not ("Succeeded" or "Failed");

    public static bool IsReady(JsonObject pod) => pod.IsTrue("Ready");

    /// <summary>How long until the pod has been ready for that many seconds; zero when it has, null when it is not ready.</summary>
    public static TimeSpan? UntilAvailable(JsonObject pod, int minReadySeconds, DateTimeOffset now)
    {
        if (!IsReady(pod))
        {
            return null;
        }

        var since = pod.Condition("Ready").Instant("lastTransitionTime") ?? now;
        var wait = since + TimeSpan.FromSeconds(minReadySeconds) - now;
        return minReadySeconds == 0 || wait <= TimeSpan.Zero ? TimeSpan.Zero : wait;
    }

    /// <summary>Those to delete first: unscheduled, pending, not ready, cheap, often restarted, young.</summary>
    public static IEnumerable<JsonObject> Expendable(IEnumerable<JsonObject> pods) => pods
        .OrderBy(pod => pod.Text("spec", "nodeName") is null ? 0 : 1)
        .ThenBy(pod => pod.Text("status", "phase") switch { "Pending" => 0, "Running" => 2, _ => 1 })
        .ThenBy(pod => IsReady(pod) ? 1 : 0)
        .ThenBy(pod => int.TryParse(pod.Annotation("controller.kubernetes.io/pod-deletion-cost"), out var cost) ? cost : 0)
        .ThenByDescending(Restarts)
        .ThenByDescending(pod => pod.Text("metadata", "creationTimestamp"), StringComparer.Ordinal);

    public static int Restarts(JsonObject pod) =>
        pod.Items("status", "initContainerStatuses").Concat(pod.Items("status", "containerStatuses"))
            .Sum(status => status.Number("restartCount") ?? 0);

    public static ObjectKey KeyOf(JsonObject pod) => pod.Key("", "pods");
}
