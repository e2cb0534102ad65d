using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Controllers;

/// <summary>The one Node: this machine.</summary>
internal static class NodeRegistration
{
    /// <summary>Pods a node takes. One process carries them all, so it is more than the usual 110.</summary>
    private const int MaxPods = 500;

    public static void Ensure(ObjectStore store, TimeProvider time, string name)
    {
        var key = new ObjectKey("", "nodes", null, name);
        if (store.Get(key) is null)
        {
            store.Create("", "nodes", new JsonObject
            {
                ["kind"] = "Node",
                ["apiVersion"] = "v1",
                ["metadata"] = new JsonObject
                {
                    ["name"] = name,
                    ["labels"] = new JsonObject
                    {
                        ["kubernetes.io/hostname"] = name,
                        ["kubernetes.io/os"] = "linux",
                        ["kubernetes.io/arch"] = Architecture,
                        ["node-role.kubernetes.io/control-plane"] = "",
                    },
                },
                ["spec"] = new JsonObject { ["providerID"] = $"rehearsal://{name}" },
            });
        }

        var now = time.GetUtcNow();
        store.Update(key, node =>
        {
            var status = node.Child("status");
            status["capacity"] = Resources();
            status["allocatable"] = Resources();
            status["addresses"] = new JsonArray(
                new JsonObject { ["type"] = "InternalIP", ["address"] = "127.0.0.1" },
                new JsonObject { ["type"] = "Hostname", ["address"] = name });
            status["nodeInfo"] = new JsonObject
            {
                ["architecture"] = Architecture,
                ["bootID"] = "",
                ["containerRuntimeVersion"] = "rehearsal://1",
                ["kernelVersion"] = Environment.OSVersion.Version.ToString(),
                ["kubeProxyVersion"] = "",
                ["kubeletVersion"] = "v1.35.2",
                ["machineID"] = "",
                ["operatingSystem"] = "linux",
                ["osImage"] = "rehearsal",
                ["systemUUID"] = "",
            };
            status["daemonEndpoints"] = new JsonObject { ["kubeletEndpoint"] = new JsonObject { ["Port"] = 0 } };
            void Is(string type, string value, string reason, string message) =>
                Conditions.Set(status, type, value, reason, message, now, "lastHeartbeatTime");
            Is("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available");
            Is("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure");
            Is("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available");
            Is("Ready", "True", "KubeletReady", "kubelet is posting ready status");
        });
    }

    private static string Architecture => RuntimeInformation.OSArchitecture switch
    {
        System.Runtime.InteropServices.Architecture.X64 => "amd64",
        System.Runtime.InteropServices.Architecture.Arm64 => "arm64",
        var other => other.ToString().ToLowerInvariant(),
    };

    private static JsonObject Resources() => new()
    {
        ["cpu"] = Environment.ProcessorCount.ToString(CultureInfo.InvariantCulture),
        ["memory"] = (GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 1024).ToString(CultureInfo.InvariantCulture) + "Ki",
        ["pods"] = MaxPods.ToString(CultureInfo.InvariantCulture),
    };
}
