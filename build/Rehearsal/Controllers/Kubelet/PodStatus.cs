using System.Text.Json.Nodes;

namespace Rehearsal.Controllers;

/// <summary>Makes a pod's status out of the states of its containers.</summary>
internal static class PodStatus
{
    /// <summary>Pending until a container has run; Succeeded or Failed when all have ended, or an init container has failed.</summary>
    public static string Phase(IReadOnlyList<ContainerSnapshot> init, IReadOnlyList<ContainerSnapshot> main)
    {
        if (init.Any(container => container is { Over: true, Succeeded: false }))
        {
            return "Failed";
        }

        if (main.All(container => container.Over))
        {
            return main.All(container => container.Succeeded) ? "Succeeded" : "Failed";
        }

        return main.Any(container => container is { ContainerId: not null } or { State: not ContainerState.Waiting } or { Restarts: > 0 })
            ? "Running"
            : "Pending";
    }

    /// <summary>Writes phase, conditions, addresses and container states into the status; conditions of others stay.</summary>
    /// <param name="initialized">All init containers have done their part.</param>
    public static void Write(
        JsonObject pod,
        IReadOnlyList<ContainerSnapshot> init,
        IReadOnlyList<ContainerSnapshot> main,
        bool initialized,
        string? podIp,
        DateTimeOffset now)
    {
        var status = pod.Child("status");
        var phase = Phase(init, main);
        status["phase"] = phase;
        var done = phase is "Succeeded";
        Set(status, "PodReadyToStartContainers", podIp is not null && phase is not ("Succeeded" or "Failed"), null, null, now);
        Set(
            status,
            "Initialized",
            initialized || done,
            done ? "PodCompleted" : initialized ? null : "ContainersNotInitialized",
            initialized || done ? null : $"containers with incomplete status: [{Names(init.Where(container => !container.Succeeded))}]",
            now);
        var unready = main.Where(container => !container.Ready).ToList();
        var reason = done ? "PodCompleted" : phase == "Failed" ? "PodFailed" : "ContainersNotReady";
        var message = done || phase == "Failed" ? null : $"containers with unready status: [{Names(unready)}]";
        var ready = unready.Count == 0;
        var gate = pod.Items("spec", "readinessGates").Select(entry => entry.Text("conditionType")).OfType<string>()
            .FirstOrDefault(type => !pod.IsTrue(type));
        if (ready && gate is not null)
        {
            var why = $"corresponding condition of pod readiness gate \"{gate}\" does not exist or is not True.";
            Set(status, "Ready", false, "ReadinessGatesNotReady", why, now);
        }
        else
        {
            Set(status, "Ready", ready, ready ? null : reason, ready ? null : message, now);
        }

        Set(status, "ContainersReady", ready, ready ? null : reason, ready ? null : message, now);
        Set(status, "PodScheduled", true, null, null, now);
        status["hostIP"] = "127.0.0.1";
        status["hostIPs"] = new JsonArray(new JsonObject { ["ip"] = "127.0.0.1" });
        if (podIp is not null)
        {
            status["podIP"] = podIp;
            status["podIPs"] = new JsonArray(new JsonObject { ["ip"] = podIp });
        }

        if (status["startTime"] is null)
        {
            status["startTime"] = now.Stamp();
        }

        if (init.Count > 0)
        {
            status["initContainerStatuses"] = new JsonArray(init.Select(container => container.ToJson()).ToArray());
        }

        status["containerStatuses"] = new JsonArray(main.Select(container => container.ToJson()).ToArray());
    }

    /// <summary>Nothing in the pod is ready; what its containers do is told when they are looked at.</summary>
    public static void TakeReadiness(JsonObject pod, DateTimeOffset now)
    {
        var status = pod.Child("status");
        foreach (var container in status.Items("containerStatuses"))
        {
            container["ready"] = false;
        }

        var names = string.Join(' ', status.Items("containerStatuses").Select(container => container.Text("name")));
        Set(status, "Ready", false, "ContainersNotReady", $"containers with unready status: [{names}]", now);
        Set(status, "ContainersReady", false, "ContainersNotReady", $"containers with unready status: [{names}]", now);
    }

    private static string Names(IEnumerable<ContainerSnapshot> containers) =>
        string.Join(' ', containers.Select(container => container.Name));

    private static void Set(JsonObject status, string type, bool value, string? reason, string? message, DateTimeOffset now)
    {
        Conditions.Set(status, type, value ? "True" : "False", reason, message, now);
        var condition = status.Items("conditions").First(entry => entry.Text("type") == type);
        if (!condition.ContainsKey("lastProbeTime"))
        {
            condition["lastProbeTime"] = null;
        }
    }
}
