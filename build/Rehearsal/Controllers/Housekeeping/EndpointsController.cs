using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Controllers;

/// <summary>Which pods stand behind a Service: its Endpoints object and one EndpointSlice.</summary>
internal sealed class EndpointsController(ControllerContext context) : Controller("endpoints-controller", context)
{
    private const string ServiceLabel = "kubernetes.io/service-name";
    private const string Manager = "endpoint-controller";
    private const string ManagedBy = "endpoints.kubernetes.io/managed-by";

    public override void Observe(Change change)
    {
        switch (change.Key)
        {
            case { Group: "", Resource: "services" }:
                Queue.Add(change.Key);
                break;
            case { Group: "", Resource: "endpoints" } when change.Kind != ChangeKind.Modified:
                Queue.Add(change.Key with { Resource = "services" });
                break;
            case { Group: "discovery.k8s.io", Resource: "endpointslices" } when change.Kind == ChangeKind.Deleted:
                if (change.Object.Label(ServiceLabel) is { } service)
                {
                    Queue.Add(new ObjectKey("", "services", change.Key.Namespace, service));
                }

                break;
            case { Group: "", Resource: "pods" }:
                foreach (var candidate in Store.List("", "services", change.Key.Namespace))
                {
                    if (Selects(candidate, change.Object) || (change.Old is { } old && Selects(candidate, old)))
                    {
                        Queue.Add(candidate.Key("", "services"));
                    }
                }

                break;
        }
    }

    protected override void Reconcile(ObjectKey key)
    {
        var endpoints = key with { Resource = "endpoints" };
        if (Store.Get(key) is not { } service)
        {
            if (Store.Get(endpoints)?.Label(ManagedBy) == Manager)
            {
                Store.Delete(endpoints);
            }

            return;
        }

        var selects = service.At("spec", "selector") is JsonObject { Count: > 0 } && service.Text("spec", "type") != "ExternalName";
        if (service.IsDeleting() || !selects)
        {
            return;
        }

        var pods = Store.List("", "pods", key.Namespace)
            .Where(pod => Selects(service, pod) && pod.Text("status", "podIP") is not null)
            .Where(pod => pod.Text("status", "phase") is not ("Succeeded" or "Failed"))
            .OrderBy(pod => pod.Text("status", "podIP"), StringComparer.Ordinal)
            .ToList();
        WriteEndpoints(endpoints, service, pods.Where(pod => !pod.IsDeleting()).ToList());
        WriteSlice(service, pods);
    }

    private static bool Selects(JsonObject service, JsonObject pod) =>
        service.At("spec", "selector") is JsonObject { Count: > 0 } selector && Selector.MatchesMap(selector, pod.At("metadata", "labels"));

    private static bool Ready(JsonObject service, JsonObject pod) =>
        service.Flag("spec", "publishNotReadyAddresses") == true || PodCounts.IsReady(pod);

    private static JsonObject Target(JsonObject pod) => new()
    {
        ["kind"] = "Pod",
        ["namespace"] = pod.Namespace(),
        ["name"] = pod.Name(),
        ["uid"] = pod.Uid(),
    };

    private static JsonObject Labels(JsonObject service)
    {
        var labels = service.At("metadata", "labels")?.DeepClone() as JsonObject ?? [];
        if (service.Text("spec", "clusterIP") == "None")
        {
            labels["service.kubernetes.io/headless"] = "";
        }

        return labels;
    }

    /// <summary>The Service's ports as this pod has them; a named port that the pod lacks is left out.</summary>
    private static JsonArray Ports(JsonObject service, JsonObject pod)
    {
        var ports = new JsonArray();
        foreach (var port in service.Items("spec", "ports"))
        {
            var target = port.At("targetPort") ?? port.At("port");
            var number = target.Number() ?? ContainerPort(pod, target.Text());
            if (number is null)
            {
                continue;
            }

            var entry = new JsonObject();
            if (port.Text("name") is { } name)
            {
                entry["name"] = name;
            }

            entry["port"] = number;
            entry["protocol"] = port.Text("protocol") ?? "TCP";
            if (port.Text("appProtocol") is { } application)
            {
                entry["appProtocol"] = application;
            }

            ports.Add((JsonNode)entry);
        }

        return ports;
    }

    private static int? ContainerPort(JsonObject pod, string? name) => pod.Items("spec", "containers")
        .SelectMany(container => container.Items("ports"))
        .FirstOrDefault(port => port.Text("name") == name)
        .Number("containerPort");

    private void WriteEndpoints(ObjectKey key, JsonObject service, List<JsonObject> pods)
    {
        var subsets = new JsonArray();
        foreach (var group in pods.GroupBy(pod => Ports(service, pod).ToJsonString()))
        {
            var subset = new JsonObject();
            foreach (var (name, ready) in (ReadOnlySpan<(string, bool)>)[("addresses", true), ("notReadyAddresses", false)])
            {
                var addresses = group.Where(pod => Ready(service, pod) == ready).Select(Address).ToArray();
                if (addresses.Length > 0)
                {
                    subset[name] = new JsonArray(addresses);
                }
            }

            subset["ports"] = JsonNode.Parse(group.Key);
            subsets.Add((JsonNode)subset);
        }

        var labels = Labels(service);
        labels[ManagedBy] = Manager;
        void Fill(JsonObject item)
        {
            item.Child("metadata")["labels"] = labels.DeepClone();
            item.Remove("subsets");
            if (subsets.Count > 0)
            {
                item["subsets"] = subsets.DeepClone();
            }
        }

        if (Store.Update(key, Fill) is null)
        {
            var created = new JsonObject
            {
                ["kind"] = "Endpoints",
                ["apiVersion"] = "v1",
                ["metadata"] = new JsonObject { ["name"] = key.Name, ["namespace"] = key.Namespace },
            };
            Fill(created);
            Store.Create("", "endpoints", created);
        }
    }

    private static JsonObject Address(JsonObject pod)
    {
        var address = new JsonObject { ["ip"] = pod.Text("status", "podIP") };
        if (pod.Text("spec", "hostname") is { } host && pod.Text("spec", "subdomain") is not null)
        {
            address["hostname"] = host;
        }

        address["nodeName"] = pod.Text("spec", "nodeName");
        address["targetRef"] = Target(pod);
        return address;
    }

    private void WriteSlice(JsonObject service, List<JsonObject> pods)
    {
        var entries = new JsonArray();
        foreach (var pod in pods)
        {
            var ready = Ready(service, pod);
            entries.Add((JsonNode)new JsonObject
            {
                ["addresses"] = new JsonArray(pod.Text("status", "podIP")),
                ["conditions"] = new JsonObject
                {
                    ["ready"] = ready && !pod.IsDeleting(),
                    ["serving"] = ready,
                    ["terminating"] = pod.IsDeleting(),
                },
                ["targetRef"] = Target(pod),
                ["nodeName"] = pod.Text("spec", "nodeName"),
            });
        }

        var labels = Labels(service);
        labels["endpointslice.kubernetes.io/managed-by"] = "endpointslice-controller.k8s.io";
        labels[ServiceLabel] = service.Name();
        var ports = pods.Count == 0 ? [] : Ports(service, pods[0]);
        void Fill(JsonObject item)
        {
            item.Child("metadata")["labels"] = labels.DeepClone();
            item["endpoints"] = entries.DeepClone();
            item["ports"] = ports.DeepClone();
        }

        var existing = Store.List("discovery.k8s.io", "endpointslices", service.Namespace())
            .FirstOrDefault(slice => Ownership.ControllerOf(slice)?.Uid == service.Uid());
        if (existing is not null)
        {
            Store.Update(existing.Key("discovery.k8s.io", "endpointslices"), Fill);
            return;
        }

        var created = new JsonObject
        {
            ["kind"] = "EndpointSlice",
            ["apiVersion"] = "discovery.k8s.io/v1",
            ["metadata"] = new JsonObject
            {
                ["generateName"] = service.Name() + "-",
                ["namespace"] = service.Namespace(),
                ["ownerReferences"] = new JsonArray(Ownership.Reference(service)),
            },
            ["addressType"] = "IPv4",
        };
        Fill(created);
        Store.Create("discovery.k8s.io", "endpointslices", created);
    }
}
