using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>The row of a pod: its STATUS column is made of phase, reasons and container states.</summary>
internal static class PodRow
{
    public static object?[] Cells(JsonObject pod, DateTimeOffset now)
    {
        var metadata = pod.At("metadata");
        var spec = pod.At("spec");
        var status = pod.At("status");
        var total = spec.List("containers").Count;
        var ready = 0;
        var restarts = 0L;
        DateTimeOffset? lastRestart = null;
        var reason = status.Text("reason") is { Length: > 0 } given ? given : status.Text("phase") ?? "";
        var initialising = false;
        var index = 0;
        foreach (var container in status.Objects("initContainerStatuses"))
        {
            restarts += container.Number("restartCount") ?? 0;
            var state = container.At("state");
            if (!initialising && state.At("terminated").Number("exitCode") != 0)
            {
                initialising = true;
                reason = state.At("terminated") is { } ended ? "Init:" + Ended(ended)
                    : state.At("waiting").Text("reason") is { Length: > 0 } and not "PodInitializing" and var waiting ? "Init:" + waiting
                    : $"Init:{index}/{spec.List("initContainers").Count}";
            }

            index++;
        }

        if (!initialising)
        {
            restarts = 0;
            var running = false;
            foreach (var container in status.Objects("containerStatuses").Reverse())
            {
                restarts += container.Number("restartCount") ?? 0;
                lastRestart = Later(lastRestart, Ages.Parse(container.At("lastState", "terminated")?["finishedAt"]));
                var state = container.At("state");
                if (state.At("waiting").Text("reason") is { Length: > 0 } waiting)
                {
                    reason = waiting;
                }
                else if (state.At("terminated") is { } ended)
                {
                    reason = Ended(ended);
                }
                else if (container.Flag("ready") && state.At("running") is not null)
                {
                    running = true;
                    ready++;
                }
            }

            if (reason == "Completed" && running)
            {
                reason = IsTrue(status, "Ready") ? "Running" : "NotReady";
            }
        }

        if (metadata?["deletionTimestamp"] is not null)
        {
            reason = status.Text("reason") == "NodeLost" ? "Unknown" : "Terminating";
        }

        var gates = spec.Objects("readinessGates").Select(gate => gate.Text("conditionType")).ToList();
        return
        [
            metadata.Text("name"),
            $"{ready}/{total}",
            reason,
            restarts > 0 && lastRestart is { } at ? $"{restarts} ({Ages.Print(now - at)} ago)" : $"{restarts}",
            Ages.Since(metadata?["creationTimestamp"], now),
            status.Text("podIP") ?? "<none>",
            spec.Text("nodeName") ?? "<none>",
            status.Text("nominatedNodeName") ?? "<none>",
            gates.Count == 0 ? "<none>" : $"{gates.Count(gate => IsTrue(status, gate))}/{gates.Count}",
        ];
    }

    private static bool IsTrue(JsonObject? status, string? type) =>
        status.Objects("conditions").Any(condition => condition.Text("type") == type && condition.Text("status") == "True");

    private static string Ended(JsonObject state) =>
        state.Text("reason") is { Length: > 0 } reason ? reason
        : state.Number("signal") is { } signal and not 0 ? $"Signal:{signal}"
        : $"ExitCode:{state.Number("exitCode")}";

    private static DateTimeOffset? Later(DateTimeOffset? a, DateTimeOffset? b) => a is null ? b : b is null || a > b ? a : b;
}
