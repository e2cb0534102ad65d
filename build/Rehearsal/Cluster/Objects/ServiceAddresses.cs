using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>Hands out cluster IPs (10.96.0.0/16) and node ports (30000 to 32767) to Services, each once.</summary>
internal sealed class ServiceAddresses(Func<IEnumerable<StoredObject>> services)
{
    private const int FirstNodePort = 30000;
    private const int LastNodePort = 32767;

    /// <summary>Fills a Service's addresses; other kinds are left alone. <paramref name="old"/> is null for a new one.</summary>
    public void Assign(ResourceType type, JsonObject value, JsonObject? old)
    {
        if (type is not { Group: "", Name: "services" })
        {
            return;
        }

        var spec = value.Child("spec");
        var kind = spec.Text("type");
        if (kind == "ExternalName")
        {
            spec.Remove("clusterIP");
            spec.Remove("clusterIPs");
            return;
        }

        if (spec.Text("clusterIP") is not { Length: > 0 } address)
        {
            address = spec.List("clusterIPs") is [JsonValue first, ..] ? first.GetValue<string>() : NewAddress();
            spec["clusterIP"] = address;
        }

        if (spec.List("clusterIPs").Count == 0)
        {
            spec["clusterIPs"] = new JsonArray(address);
        }

        if (kind is "NodePort" or "LoadBalancer"
            && spec["allocateLoadBalancerNodePorts"]?.GetValueKind() is not System.Text.Json.JsonValueKind.False)
        {
            AssignNodePorts(spec, old.At("spec"));
        }
        else if (kind == "ClusterIP")
        {
            foreach (var port in spec.Objects("ports"))
            {
                port.Remove("nodePort");
            }

            spec.Remove("externalTrafficPolicy");
            spec.Remove("allocateLoadBalancerNodePorts");
        }
    }

    private void AssignNodePorts(JsonObject spec, JsonObject? old)
    {
        HashSet<long>? used = null;
        foreach (var port in spec.Objects("ports").Where(port => (port.Number("nodePort") ?? 0) == 0))
        {
            var before = old.Objects("ports").FirstOrDefault(item =>
                item.Number("port") == port.Number("port") && item.Text("protocol") == port.Text("protocol"))?.Number("nodePort");
            used ??= services().SelectMany(stored => stored.Object.At("spec").Objects("ports")).Select(item => item.Number("nodePort") ?? 0)
                .Concat(spec.Objects("ports").Select(item => item.Number("nodePort") ?? 0)).ToHashSet();
            var chosen = before ?? 0;
            while (chosen == 0 || (chosen != before && used.Contains(chosen)))
            {
                chosen = Random.Shared.Next(FirstNodePort, LastNodePort + 1);
            }

            used.Add(chosen);
            port["nodePort"] = chosen;
        }
    }

    private string NewAddress()
    {
        var used = services().Select(stored => stored.Object.At("spec").Text("clusterIP")).ToHashSet();
        while (true)
        {
            var address = $"10.96.{Random.Shared.Next(0, 256)}.{Random.Shared.Next(2, 255)}";
            if (!used.Contains(address))
            {
                return address;
            }
        }
    }
}
