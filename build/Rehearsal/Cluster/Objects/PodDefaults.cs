using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>Defaults of pod specs, alone or in a template.</summary>
internal static class PodDefaults
{
    public static void ApplyToTemplate(JsonObject owner)
    {
        if (owner["template"] is JsonObject template)
        {
            ApplyToSpec(template.Child("spec"));
        }
    }

    public static void ApplyToSpec(JsonObject spec)
    {
        spec.Default("restartPolicy", () => "Always");
        spec.Default("terminationGracePeriodSeconds", () => 30);
        spec.Default("dnsPolicy", () => "ClusterFirst");
        spec.Default("securityContext", () => new JsonObject());
        spec.Default("schedulerName", () => "default-scheduler");
        if (spec.Text("serviceAccountName") is { Length: > 0 } account)
        {
            spec["serviceAccount"] = account;
        }
        else if (spec.Text("serviceAccount") is { Length: > 0 } old)
        {
            spec["serviceAccountName"] = old;
        }

        foreach (var container in spec.Objects("containers").Concat(spec.Objects("initContainers")))
        {
            Container(container);
        }

        foreach (var volume in spec.Objects("volumes"))
        {
            Volume(volume);
        }
    }

    /// <summary>A pod's limit without a request is the request too; in a template it stays as it was written.</summary>
    public static void ApplyRequests(JsonObject spec)
    {
        foreach (var resources in spec.Objects("containers").Concat(spec.Objects("initContainers")).Select(item => item.Child("resources")))
        {
            foreach (var (name, quantity) in resources.At("limits")?.ToList() ?? [])
            {
                resources.Child("requests").Default(name, () => quantity!.DeepClone());
            }
        }
    }

    /// <summary>What admission adds to a pod besides its template's defaults, and its first status.</summary>
    public static void ApplyToNewPod(JsonObject pod)
    {
        var spec = pod.Child("spec");
        spec.Default("serviceAccountName", () => "default");
        spec.Default("serviceAccount", () => spec.Text("serviceAccountName")!);
        spec.Default("enableServiceLinks", () => true);
        spec.Default("priority", () => 0);
        spec.Default("preemptionPolicy", () => "PreemptLowerPriority");
        if (spec["tolerations"] is not JsonArray tolerations)
        {
            spec["tolerations"] = tolerations = [];
        }

        foreach (var key in new[] { "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable" })
        {
            var tolerated = tolerations.OfType<JsonObject>()
                .Any(item => item.Text("key") == key || (item.Text("key") is null && item.Text("operator") == "Exists"));
            if (!tolerated)
            {
                tolerations.Add(
                    (JsonNode)new JsonObject
                    {
                        ["key"] = key,
                        ["operator"] = "Exists",
                        ["effect"] = "NoExecute",
                        ["tolerationSeconds"] = 300,
                    });
            }
        }

        var status = pod.Child("status");
        status.Default("phase", () => "Pending");
        status.Default("qosClass", () => QualityOfService(spec));
    }

    private static void Container(JsonObject container)
    {
        container.Default("resources", () => new JsonObject());
        container.Default("terminationMessagePath", () => "/dev/termination-log");
        container.Default("terminationMessagePolicy", () => "File");
        container.Default("imagePullPolicy", () => PullPolicy(container.Text("image") ?? ""));
        foreach (var port in container.Objects("ports"))
        {
            port.Default("protocol", () => "TCP");
        }

        foreach (var field in container.Objects("env").Select(env => env.At("valueFrom", "fieldRef")).OfType<JsonObject>())
        {
            field.Default("apiVersion", () => "v1");
        }

        foreach (var name in new[] { "readinessProbe", "livenessProbe", "startupProbe" })
        {
            if (container[name] is JsonObject probe)
            {
                Probe(probe);
            }
        }

        if (container["lifecycle"] is JsonObject lifecycle)
        {
            foreach (var request in new[] { lifecycle.At("postStart", "httpGet"), lifecycle.At("preStop", "httpGet") }.OfType<JsonObject>())
            {
                request.Default("path", () => "/");
                request.Default("scheme", () => "HTTP");
            }
        }
    }

    private static void Probe(JsonObject probe)
    {
        Positive(probe, "timeoutSeconds", 1);
        Positive(probe, "periodSeconds", 10);
        Positive(probe, "successThreshold", 1);
        Positive(probe, "failureThreshold", 3);
        if (probe["httpGet"] is JsonObject request)
        {
            request.Default("path", () => "/");
            request.Default("scheme", () => "HTTP");
        }

        if (probe["grpc"] is JsonObject grpc)
        {
            grpc.Default("service", () => "");
        }
    }

    private static void Positive(JsonObject target, string name, int value)
    {
        if (target[name] is null || target.Number(name) == 0)
        {
            target[name] = value;
        }
    }

    private static void Volume(JsonObject volume)
    {
        foreach (var name in new[] { "configMap", "secret", "downwardAPI", "projected" })
        {
            if (volume[name] is JsonObject source)
            {
                source.Default("defaultMode", () => 420);
            }
        }

        if (volume.At("hostPath") is { } host)
        {
            host.Default("type", () => "");
        }

        var items = volume.At("downwardAPI")
            .Objects("items")
            .Concat(volume.At("projected").Objects("sources").SelectMany(source => source.At("downwardAPI").Objects("items")));
        foreach (var field in items.Select(item => item.At("fieldRef")).OfType<JsonObject>())
        {
            field.Default("apiVersion", () => "v1");
        }

        foreach (
            var token in volume.At("projected").Objects("sources").Select(source => source.At("serviceAccountToken")).OfType<JsonObject>())
        {
            token.Default("expirationSeconds", () => 3600);
        }

        // A volume without a source is an empty directory.
        if (volume.Count == 1 && volume.ContainsKey("name"))
        {
            volume["emptyDir"] = new JsonObject();
        }
    }

    private static string PullPolicy(string image)
    {
        var name = image[(image.LastIndexOf('/') + 1)..];
        if (name.Contains('@', StringComparison.Ordinal))
        {
            return "IfNotPresent";
        }

        var tag = name.IndexOf(':', StringComparison.Ordinal);
        return tag < 0 || name[tag..] == ":latest" ? "Always" : "IfNotPresent";
    }

    private static string QualityOfService(JsonObject spec)
    {
        var any = false;
        var guaranteed = true;
        foreach (var container in spec.Objects("containers").Concat(spec.Objects("initContainers")))
        {
            var limits = container.At("resources", "limits");
            var requests = container.At("resources", "requests");
            any |= limits is { Count: > 0 } || requests is { Count: > 0 };
            foreach (var name in new[] { "cpu", "memory" })
            {
                guaranteed &= limits?[name] is { } limit && requests?[name] is { } request && JsonNode.DeepEquals(limit, request);
            }
        }

        return !any ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
    }
}
