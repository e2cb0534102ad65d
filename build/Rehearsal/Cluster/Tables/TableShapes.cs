using System.Collections.Frozen;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>The columns <c>kubectl get</c> shows, kind by kind.</summary>
internal static class TableShapes
{
    private const string None = "<none>";

    private static readonly TableShape Plain = TableShape.Of("Name|Age", (item, now) => [Name(item), Age(item, now)]);

    private static readonly FrozenDictionary<string, TableShape> ByKind = new Dictionary<string, TableShape>(StringComparer.Ordinal)
    {
        ["Pod"] = TableShape.Of("Name|Ready|Status|Restarts|Age|*IP|*Node|*Nominated Node|*Readiness Gates", PodRow.Cells),
        ["Deployment"] = TableShape.Of("Name|Ready|#Up-to-date|#Available|Age|*Containers|*Images|*Selector", (item, now) =>
        [
            Name(item),
            $"{Status(item, "readyReplicas")}/{Desired(item)}",
            Status(item, "updatedReplicas"),
            Status(item, "availableReplicas"),
            Age(item, now), Containers(item), Images(item), Selector(item),
        ]),
        ["ReplicaSet"] = TableShape.Of("Name|#Desired|#Current|#Ready|Age|*Containers|*Images|*Selector", (item, now) =>
        [
            Name(item),
            Desired(item),
            Status(item, "replicas"),
            Status(item, "readyReplicas"),
            Age(item, now),
            Containers(item),
            Images(item),
            Selector(item),
        ]),
        ["ReplicationController"] = TableShape.Of("Name|#Desired|#Current|#Ready|Age", (item, now) =>
            [Name(item), Desired(item), Status(item, "replicas"), Status(item, "readyReplicas"), Age(item, now)]),
        ["StatefulSet"] = TableShape.Of("Name|Ready|Age|*Containers|*Images", (item, now) =>
            [Name(item), $"{Status(item, "readyReplicas")}/{Desired(item)}", Age(item, now), Containers(item), Images(item)]),
        ["DaemonSet"] = TableShape.Of(
            "Name|#Desired|#Current|#Ready|#Up-to-date|#Available|Node Selector|Age|*Containers|*Images|*Selector",
            (item, now) =>
        [
            Name(item), Status(item, "desiredNumberScheduled"), Status(item, "currentNumberScheduled"), Status(item, "numberReady"),
            Status(item, "updatedNumberScheduled"),
            Status(item, "numberAvailable"),
            Pairs(item.At("spec", "template", "spec", "nodeSelector")),
            Age(item, now), Containers(item), Images(item), Selector(item),
        ]),
        ["Job"] = TableShape.Of("Name|Status|Completions|Duration|Age|*Containers|*Images|*Selector", JobRow),
        ["CronJob"] = TableShape.Of("Name|Schedule|Timezone|Suspend|#Active|Last Schedule|Age|*Containers|*Images|*Selector", (item, now) =>
        [
            Name(item),
            item.At("spec").Text("schedule"),
            item.At("spec").Text("timeZone") ?? None,
            item.At("spec").Flag("suspend") ? "True" : "False",
            (long)item.At("status").List("active").Count,
            item.At("status")?["lastScheduleTime"] is { } last ? Ages.Since(last, now) : None,
            Age(item, now),
            Join(item.At("spec", "jobTemplate", "spec", "template", "spec").Objects("containers"), "name"),
            Join(item.At("spec", "jobTemplate", "spec", "template", "spec").Objects("containers"), "image"), None,
        ]),
        ["Service"] = TableShape.Of("Name|Type|Cluster-IP|External-IP|Port(s)|Age|*Selector", (item, now) =>
        [
            Name(item), item.At("spec").Text("type"), item.At("spec").Text("clusterIP") is { Length: > 0 } address ? address : None,
            ExternalAddress(item), ServicePorts(item), Age(item, now), Pairs(item.At("spec", "selector")),
        ]),
        ["Ingress"] = TableShape.Of("Name|Class|Hosts|Address|Ports|Age", (item, now) =>
        [
            Name(item),
            item.At("spec").Text("ingressClassName") ?? item.At("metadata", "annotations").Text("kubernetes.io/ingress.class") ?? None,
            Hosts(item),
            string.Join(
                ",",
                item.At("status", "loadBalancer").Objects("ingress").Select(point => point.Text("ip") ?? point.Text("hostname"))),
            item.At("spec").List("tls").Count > 0 ? "80, 443" : "80", Age(item, now),
        ]),
        ["IngressClass"] = TableShape.Of(
            "Name|Controller|Parameters|Age",
            (item, now) => [Name(item), item.At("spec").Text("controller"), None, Age(item, now)]),
        ["ConfigMap"] = TableShape.Of("Name|Data|Age", (item, now) =>
            [Name(item), (long)((item.At("data")?.Count ?? 0) + (item.At("binaryData")?.Count ?? 0)), Age(item, now)]),
        ["Secret"] = TableShape.Of(
            "Name|Type|#Data|Age",
            (item, now) => [Name(item), item.Text("type"), (long)(item.At("data")?.Count ?? 0), Age(item, now)]),
        ["ServiceAccount"] = TableShape.Of(
            "Name|#Secrets|Age",
            (item, now) => [Name(item), (long)item.List("secrets").Count, Age(item, now)]),
        ["Namespace"] = TableShape.Of("Name|Status|Age", (item, now) => [Name(item), item.At("status").Text("phase"), Age(item, now)]),
        ["Node"] = TableShape.Of(
            "Name|Status|Roles|Age|Version|*Internal-IP|*External-IP|*OS-Image|*Kernel-Version|*Container-Runtime",
            NodeRow),
        ["Endpoints"] = TableShape.Of("Name|Endpoints|Age", (item, now) => [Name(item), EndpointList(item), Age(item, now)]),
        ["EndpointSlice"] = TableShape.Of("Name|AddressType|Ports|Endpoints|Age", (item, now) =>
        [
            Name(item),
            item.Text("addressType"),
            Short(item.Objects("ports").Select(port => port.Number("port")?.ToString(CultureInfo.InvariantCulture) ?? "*"), "<unset>"),
            Short(
                item.Objects("endpoints").SelectMany(point => point.List("addresses")).Select(address => address!.GetValue<string>()),
                "<unset>"),
            Age(item, now),
        ]),
        ["Event"] = TableShape.Of("Last Seen|Type|Reason|Object|*Subobject|*Source|Message|*First Seen|*#Count|*Name", EventRow),
        ["Lease"] = TableShape.Of(
            "Name|Holder|Age",
            (item, now) => [Name(item), item.At("spec").Text("holderIdentity") ?? "", Age(item, now)]),
        ["HorizontalPodAutoscaler"] = TableShape.Of("Name|Reference|Targets|MinPods|MaxPods|#Replicas|Age", (item, now) =>
        [
            Name(item), $"{item.At("spec", "scaleTargetRef").Text("kind")}/{item.At("spec", "scaleTargetRef").Text("name")}", Targets(item),
            Text(item.At("spec")?["minReplicas"], "<unset>"),
            Text(item.At("spec")?["maxReplicas"], "0"),
            Status(item, "currentReplicas"),
            Age(item, now),
        ]),
        ["PodDisruptionBudget"] = TableShape.Of("Name|Min Available|Max Unavailable|#Allowed Disruptions|Age", (item, now) =>
            [
                Name(item),
                Text(item.At("spec")?["minAvailable"], "N/A"),
                Text(item.At("spec")?["maxUnavailable"], "N/A"),
                Status(item, "disruptionsAllowed"),
                Age(item, now),
            ]),
        ["NetworkPolicy"] = TableShape.Of(
            "Name|Pod-Selector|Age",
            (item, now) => [Name(item), Pairs(item.At("spec", "podSelector", "matchLabels")), Age(item, now)]),
        ["Role"] = TableShape.Of("Name|Created At", (item, _) => [Name(item), item.At("metadata").Text("creationTimestamp")]),
        ["ClusterRole"] = TableShape.Of("Name|Created At", (item, _) => [Name(item), item.At("metadata").Text("creationTimestamp")]),
        ["RoleBinding"] = TableShape.Of("Name|Role|Age|*Users|*Groups|*ServiceAccounts", BindingRow),
        ["ClusterRoleBinding"] = TableShape.Of("Name|Role|Age|*Users|*Groups|*ServiceAccounts", BindingRow),
        ["PersistentVolumeClaim"] = TableShape.Of("Name|Status|Volume|Capacity|Access Modes|StorageClass|Age|*VolumeMode", (item, now) =>
        [
            Name(item),
            item.At("status").Text("phase"),
            item.At("spec").Text("volumeName") ?? "",
            item.At("status", "capacity").Text("storage") ?? "",
            AccessModes(item.At("status").List("accessModes")),
            item.At("spec").Text("storageClassName") ?? "",
            Age(item, now),
            item.At("spec").Text("volumeMode") ?? "<unset>",
        ]),
        ["PersistentVolume"] = TableShape.Of(
            "Name|Capacity|Access Modes|Reclaim Policy|Status|Claim|StorageClass|Reason|Age",
            (item, now) =>
        [
            Name(item),
            item.At("spec", "capacity").Text("storage") ?? "",
            AccessModes(item.At("spec").List("accessModes")),
            item.At("spec").Text("persistentVolumeReclaimPolicy"),
            item.At("status").Text("phase"),
            item.At("spec", "claimRef") is { } claim ? $"{claim.Text("namespace")}/{claim.Text("name")}" : "",
            item.At("spec").Text("storageClassName") ?? "", item.At("status").Text("reason") ?? "", Age(item, now),
        ]),
        ["StorageClass"] = TableShape.Of("Name|Provisioner|ReclaimPolicy|VolumeBindingMode|AllowVolumeExpansion|Age", (item, now) =>
            [
                Name(item),
                item.Text("provisioner"),
                item.Text("reclaimPolicy"),
                item.Text("volumeBindingMode"),
                item.Flag("allowVolumeExpansion") ? "true" : "false",
                Age(item, now),
            ]),
        ["PriorityClass"] = TableShape.Of("Name|#Value|Global-Default|Age|PreemptionPolicy", (item, now) =>
            [
                Name(item),
                item.Number("value") ?? 0,
                item.Flag("globalDefault") ? "true" : "false",
                Age(item, now),
                item.Text("preemptionPolicy"),
            ]),
        ["ControllerRevision"] = TableShape.Of("Name|Controller|#Revision|Age", (item, now) =>
        [
            Name(item),
            item.At("metadata").Objects("ownerReferences").FirstOrDefault(owner => owner.Flag("controller")) is { } owner
                ? $"{owner.Text("kind")}/{owner.Text("name")}"
                : None,
            item.Number("revision") ?? 0, Age(item, now),
        ]),
    }.ToFrozenDictionary(StringComparer.Ordinal);

    public static TableShape Of(ResourceType type) => ByKind.GetValueOrDefault(type.Kind, Plain);

    private static string Name(JsonObject item) => item.At("metadata").Text("name") ?? "";

    private static string Age(JsonObject item, DateTimeOffset now) => Ages.Since(item.At("metadata")?["creationTimestamp"], now);

    private static long Status(JsonObject item, string name) => item.At("status").Number(name) ?? 0;

    private static long Desired(JsonObject item) => item.At("spec").Number("replicas") ?? 0;

    private static string Containers(JsonObject item) => Join(item.At("spec", "template", "spec").Objects("containers"), "name");

    private static string Images(JsonObject item) => Join(item.At("spec", "template", "spec").Objects("containers"), "image");

    private static string Join(IEnumerable<JsonObject> items, string member) => string.Join(",", items.Select(item => item.Text(member)));

    private static string Text(JsonNode? node, string absent) => node?.GetValueKind() switch
    {
        null or JsonValueKind.Null => absent,
        JsonValueKind.String => node.GetValue<string>(),
        _ => node.ToJsonString(),
    };

    private static string Pairs(JsonObject? map) =>
        map is { Count: > 0 }
            ? string.Join(
                ",",
                map.OrderBy(pair => pair.Key, StringComparer.Ordinal).Select(pair => $"{pair.Key}={pair.Value?.GetValue<string>()}"))
            : None;

    private static string Selector(JsonObject item) => SelectorText.Of(item.At("spec", "selector")) is { Length: > 0 } text ? text : None;

    private static string Short(IEnumerable<string> items, string absent)
    {
        var all = items.ToList();
        return all.Count == 0
            ? absent
            : all.Count > 3
            ? string.Join(",", all.Take(3)) + $" + {all.Count - 3} more..."
            : string.Join(",", all);
    }

    private static string Hosts(JsonObject item) =>
        Short(item.At("spec").Objects("rules").Select(rule => rule.Text("host") is { Length: > 0 } host ? host : "*").Distinct(), "*");

    private static string EndpointList(JsonObject item)
    {
        var points = item.Objects("subsets").SelectMany(subset => subset.Objects("ports").DefaultIfEmpty().SelectMany(port =>
            subset.Objects("addresses").Select(address => address.Text("ip") + (port?.Number("port") is { } number ? ":" + number : ""))));
        return Short(points, None);
    }

    private static string ServicePorts(JsonObject item)
    {
        var ports = item.At("spec").Objects("ports").Select(port => port.Number("nodePort") is { } node and not 0
            ? $"{port.Number("port")}:{node}/{port.Text("protocol")}"
            : $"{port.Number("port")}/{port.Text("protocol")}").ToList();
        return ports.Count == 0 ? None : string.Join(",", ports);
    }

    private static string ExternalAddress(JsonObject item)
    {
        var spec = item.At("spec");
        var fixedAddresses = spec.List("externalIPs").Select(address => address!.GetValue<string>());
        switch (spec.Text("type"))
        {
            case "ExternalName":
                return spec.Text("externalName") ?? None;
            case "LoadBalancer":
                var points = item.At("status", "loadBalancer")
                    .Objects("ingress")
                    .Select(point => point.Text("ip") ?? point.Text("hostname") ?? "")
                    .Concat(fixedAddresses)
                    .ToList();
                return points.Count == 0 ? "<pending>" : string.Join(",", points);
            default:
                return string.Join(",", fixedAddresses) is { Length: > 0 } text ? text : None;
        }
    }

    private static string Targets(JsonObject item)
    {
        var texts = item.At("spec").Objects("metrics").Select((metric, index) =>
        {
            var source = metric.At(
                char.ToLowerInvariant((metric.Text("type") ?? "resource")[0]) + (metric.Text("type") ?? "resource")[1..]);
            var now = item.At("status").Objects("currentMetrics").ElementAtOrDefault(index)?.At("resource", "current");
            var name = source.Text("name") is { } resource ? resource + ": " : "";
            var target = source.At("target");
            return target.Number("averageUtilization") is { } percent
                ? $"{name}{(now.Number("averageUtilization") is { } used ? used + "%" : "<unknown>")}/{percent}%"
                : $"{name}{now.Text("averageValue") ?? "<unknown>"}/{target.Text("averageValue") ?? target.Text("value")}";
        }).ToList();
        return texts.Count == 0 ? None : string.Join(", ", texts);
    }

    private static string AccessModes(JsonArray modes) => string.Join(",", modes.Select(mode => mode!.GetValue<string>() switch
    {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        var other => other,
    }));

    private static object?[] JobRow(JsonObject item, DateTimeOffset now)
    {
        var spec = item.At("spec");
        var status = item.At("status");
        var conditions = status.Objects("conditions")
            .Where(condition => condition.Text("status") == "True")
            .Select(condition => condition.Text("type"))
            .ToHashSet();
        var state = conditions.Contains("Complete") ? "Complete" : conditions.Contains("Failed") ? "Failed"
            : item.Is("metadata", "deletionTimestamp") ? "Terminating" : conditions.Contains("Suspended") ? "Suspended" : "Running";
        var start = Ages.Parse(status?["startTime"]);
        var end = Ages.Parse(status?["completionTime"]) ?? now;
        return
        [
            Name(item),
            state,
            $"{Status(item, "succeeded")}/{spec.Number("completions") ?? 1}",
            start is null ? "" : Ages.Print(end - start.Value),
            Age(item, now), Containers(item), Images(item), Selector(item),
        ];
    }

    private static object?[] NodeRow(JsonObject item, DateTimeOffset now)
    {
        var ready = item.At("status").Objects("conditions").FirstOrDefault(condition => condition.Text("type") == "Ready")?.Text("status");
        var state = (ready == "True" ? "Ready" : ready is null ? "Unknown" : "NotReady")
            + (item.At("spec").Flag("unschedulable") ? ",SchedulingDisabled" : "");
        const string RolePrefix = "node-role.kubernetes.io/";
        var roles = item.At("metadata", "labels")?.Select(pair => pair.Key)
            .Where(key => key.StartsWith(RolePrefix, StringComparison.Ordinal))
            .Select(key => key[RolePrefix.Length..])
            .ToList()
            ?? [];
        var info = item.At("status", "nodeInfo");
        string Address(string kind) =>
            item.At("status").Objects("addresses").FirstOrDefault(address => address.Text("type") == kind)?.Text("address") ?? None;
        return
        [
            Name(item),
            state,
            roles.Count == 0 ? None : string.Join(",", roles),
            Age(item, now),
            info.Text("kubeletVersion"),
            Address("InternalIP"),
            Address("ExternalIP"),
            info.Text("osImage") ?? "<unknown>",
            info.Text("kernelVersion") ?? "<unknown>",
            info.Text("containerRuntimeVersion") ?? "<unknown>",
        ];
    }

    private static object?[] EventRow(JsonObject item, DateTimeOffset now)
    {
        var about = item.At("involvedObject");
        var first = item["firstTimestamp"] ?? item["eventTime"];
        var last = item.At("series")?["lastObservedTime"] ?? item["lastTimestamp"] ?? first;
        var source = item.At("source").Text("component") ?? item.Text("reportingComponent") ?? "";
        var host = item.At("source").Text("host");
        return
        [
            Ages.Since(last, now),
            item.Text("type"),
            item.Text("reason"),
            $"{about.Text("kind")?.ToLowerInvariant()}/{about.Text("name")}",
            about.Text("fieldPath") ?? "",
            host is null ? source : $"{source}, {host}",
            item.Text("message")?.Trim(),
            Ages.Since(first ?? last, now),
            item.Number("count") ?? 1,
            Name(item),
        ];
    }

    private static object?[] BindingRow(JsonObject item, DateTimeOffset now)
    {
        var role = item.At("roleRef");
        string Subjects(string kind) => string.Join(", ", item.Objects("subjects").Where(subject => subject.Text("kind") == kind)
            .Select(subject => kind == "ServiceAccount" ? $"{subject.Text("namespace")}/{subject.Text("name")}" : subject.Text("name")));
        return
        [
            Name(item),
            $"{role.Text("kind")}/{role.Text("name")}",
            Age(item, now),
            Subjects("User"),
            Subjects("Group"),
            Subjects("ServiceAccount"),
        ];
    }
}
