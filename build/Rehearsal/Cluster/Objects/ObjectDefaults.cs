using System.Text;
using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>What the server fills in where the client said nothing, kind by kind, as Kubernetes 1.35 does.</summary>
internal static class ObjectDefaults
{
    private const string RbacGroup = "rbac.authorization.k8s.io";

    public static void ApplyOnCreate(ResourceType type, JsonObject value)
    {
        Apply(type, value);
        switch (type.Kind)
        {
            case "Namespace":
                var metadata = value.Child("metadata");
                metadata.Child("labels")["kubernetes.io/metadata.name"] = metadata.Text("name");
                value.Child("spec").Default("finalizers", () => new JsonArray("kubernetes"));
                value.Child("status").Default("phase", () => "Active");
                break;
            case "Pod":
                PodDefaults.ApplyToNewPod(value);
                break;
            case "Job":
                IdentifyJob(value);
                break;
            case "PersistentVolumeClaim":
            case "PersistentVolume":
                value.Child("status").Default("phase", () => "Pending");
                break;
        }

        Normalize(type, value);
    }

    public static void ApplyOnUpdate(ResourceType type, JsonObject value, JsonObject old)
    {
        if (type.Kind == "Namespace")
        {
            value.Child("metadata").Child("labels")["kubernetes.io/metadata.name"] = old.Child("metadata").Text("name");
        }

        Apply(type, value);
        Normalize(type, value);
    }

    /// <summary>The defaults that hold for every write of the kind.</summary>
    public static void Apply(ResourceType type, JsonObject value)
    {
        switch (type.Kind)
        {
            case "Deployment":
                Deployment(value.Child("spec"));
                break;
            case "Event":
                value.Default("reportingComponent", () => "");
                value.Default("reportingInstance", () => "");
                break;
            case "ReplicaSet":
            case "ReplicationController":
                value.Child("spec").Default("replicas", () => 1);
                PodDefaults.ApplyToTemplate(value.Child("spec"));
                break;
            case "StatefulSet":
                StatefulSet(value.Child("spec"));
                break;
            case "DaemonSet":
                DaemonSet(value.Child("spec"));
                break;
            case "Pod":
                PodDefaults.ApplyToSpec(value.Child("spec"));
                PodDefaults.ApplyRequests(value.Child("spec"));
                break;
            case "Job":
                Job(value.Child("spec"));
                break;
            case "CronJob":
                CronJob(value.Child("spec"));
                break;
            case "Service":
                Service(value.Child("spec"));
                break;
            case "Secret":
                Secret(value);
                break;
            case "HorizontalPodAutoscaler":
                Autoscaler(value.Child("spec"));
                break;
            case "NetworkPolicy":
                NetworkPolicy(value.Child("spec"));
                break;
            case "Endpoints":
                foreach (var port in value.Objects("subsets").SelectMany(subset => subset.Objects("ports")))
                {
                    port.Default("protocol", () => "TCP");
                }

                break;
            case "EndpointSlice":
                foreach (var port in value.Objects("ports"))
                {
                    port.Default("name", () => "");
                    port.Default("protocol", () => "TCP");
                }

                break;
            case "RoleBinding":
            case "ClusterRoleBinding":
                value.Child("roleRef").Default("apiGroup", () => RbacGroup);
                foreach (var subject in value.Objects("subjects").Where(subject => subject.Text("kind") is "User" or "Group"))
                {
                    subject.Default("apiGroup", () => RbacGroup);
                }

                break;
            case "PersistentVolumeClaim":
                value.Child("spec").Default("volumeMode", () => "Filesystem");
                break;
            case "PersistentVolume":
                value.Child("spec").Default("volumeMode", () => "Filesystem");
                value.Child("spec").Default("persistentVolumeReclaimPolicy", () => "Retain");
                break;
            case "StorageClass":
                value.Default("reclaimPolicy", () => "Delete");
                value.Default("volumeBindingMode", () => "Immediate");
                break;
            case "PriorityClass":
                value.Default("preemptionPolicy", () => "PreemptLowerPriority");
                break;
        }
    }

    private static void Normalize(ResourceType type, JsonObject value)
    {
        try
        {
            ObjectShape.Normalize(type, value);
        }
        catch (ShapeException wrong)
        {
            throw ApiException.BadRequest($"{type.Kind} in version \"{type.Version}\" cannot be handled as a {type.Kind}: {wrong.Message}");
        }
    }

    private static void Deployment(JsonObject spec)
    {
        spec.Default("replicas", () => 1);
        spec.Default("revisionHistoryLimit", () => 10);
        spec.Default("progressDeadlineSeconds", () => 600);
        var strategy = spec.Child("strategy");
        if (strategy.Text("type") is not { Length: > 0 })
        {
            strategy["type"] = "RollingUpdate";
        }

        if (strategy.Text("type") == "RollingUpdate")
        {
            var rolling = strategy.Child("rollingUpdate");
            rolling.Default("maxUnavailable", () => "25%");
            rolling.Default("maxSurge", () => "25%");
        }

        PodDefaults.ApplyToTemplate(spec);
    }

    private static void StatefulSet(JsonObject spec)
    {
        spec.Default("replicas", () => 1);
        spec.Default("revisionHistoryLimit", () => 10);
        spec.Default("podManagementPolicy", () => "OrderedReady");
        spec.Default(
            "persistentVolumeClaimRetentionPolicy",
            () => new JsonObject { ["whenDeleted"] = "Retain", ["whenScaled"] = "Retain" });
        var strategy = spec.Child("updateStrategy");
        strategy.Default("type", () => "RollingUpdate");
        if (strategy.Text("type") == "RollingUpdate")
        {
            strategy.Child("rollingUpdate").Default("partition", () => 0);
        }

        PodDefaults.ApplyToTemplate(spec);
        foreach (var claim in spec.Objects("volumeClaimTemplates"))
        {
            claim.Child("spec").Default("volumeMode", () => "Filesystem");
            claim.Child("status").Default("phase", () => "Pending");
        }
    }

    private static void DaemonSet(JsonObject spec)
    {
        spec.Default("revisionHistoryLimit", () => 10);
        var strategy = spec.Child("updateStrategy");
        strategy.Default("type", () => "RollingUpdate");
        if (strategy.Text("type") == "RollingUpdate")
        {
            var rolling = strategy.Child("rollingUpdate");
            rolling.Default("maxUnavailable", () => 1);
            rolling.Default("maxSurge", () => 0);
        }

        PodDefaults.ApplyToTemplate(spec);
    }

    private static void Job(JsonObject spec)
    {
        if (spec["completions"] is null && spec["parallelism"] is null)
        {
            spec["completions"] = 1;
        }

        spec.Default("parallelism", () => 1);
        spec.Default("backoffLimit", () => 6);
        spec.Default("completionMode", () => "NonIndexed");
        spec.Default("suspend", () => false);
        spec.Default("manualSelector", () => false);
        spec.Default("podReplacementPolicy", () => spec["podFailurePolicy"] is null ? "TerminatingOrFailed" : "Failed");
        PodDefaults.ApplyToTemplate(spec);
    }

    /// <summary>A Job finds its pods by labels that carry its uid.</summary>
    private static void IdentifyJob(JsonObject job)
    {
        var spec = job.Child("spec");
        if (spec.Flag("manualSelector"))
        {
            return;
        }

        var metadata = job.Child("metadata");
        var uid = metadata.Text("uid")!;
        var name = metadata.Text("name")!;
        var labels = spec.Child("template").Child("metadata").Child("labels");
        labels["controller-uid"] = uid;
        labels["job-name"] = name;
        labels["batch.kubernetes.io/controller-uid"] = uid;
        labels["batch.kubernetes.io/job-name"] = name;
        spec.Child("selector").Child("matchLabels")["batch.kubernetes.io/controller-uid"] = uid;
        if (metadata.At("labels") is not { Count: > 0 })
        {
            metadata["labels"] = labels.DeepClone();
        }
    }

    private static void CronJob(JsonObject spec)
    {
        spec.Default("concurrencyPolicy", () => "Allow");
        spec.Default("suspend", () => false);
        spec.Default("successfulJobsHistoryLimit", () => 3);
        spec.Default("failedJobsHistoryLimit", () => 1);
        PodDefaults.ApplyToTemplate(spec.Child("jobTemplate").Child("spec"));
    }

    private static void Service(JsonObject spec)
    {
        spec.Default("type", () => "ClusterIP");
        spec.Default("sessionAffinity", () => "None");
        foreach (var port in spec.Objects("ports"))
        {
            port.Default("protocol", () => "TCP");
            if (port["targetPort"] is null && port["port"] is { } number)
            {
                port["targetPort"] = number.DeepClone();
            }
        }

        var type = spec.Text("type");
        if (type == "ExternalName")
        {
            return;
        }

        spec.Default("internalTrafficPolicy", () => "Cluster");
        spec.Default("ipFamilies", () => new JsonArray("IPv4"));
        spec.Default("ipFamilyPolicy", () => "SingleStack");
        if (type is "NodePort" or "LoadBalancer")
        {
            spec.Default("externalTrafficPolicy", () => "Cluster");
        }

        if (type == "LoadBalancer")
        {
            spec.Default("allocateLoadBalancerNodePorts", () => true);
        }
    }

    private static void Secret(JsonObject secret)
    {
        secret.Default("type", () => "Opaque");
        if (secret["stringData"] is not JsonObject plain)
        {
            return;
        }

        foreach (var (key, text) in plain.ToList())
        {
            if (text is JsonValue value && value.TryGetValue<string>(out var content))
            {
                secret.Child("data")[key] = Convert.ToBase64String(Encoding.UTF8.GetBytes(content));
            }
        }

        secret.Remove("stringData");
    }

    private static void Autoscaler(JsonObject spec)
    {
        spec.Default("minReplicas", () => 1);
        spec.Default("metrics", () => new JsonArray(new JsonObject
        {
            ["type"] = "Resource",
            ["resource"] = new JsonObject
            {
                ["name"] = "cpu",
                ["target"] = new JsonObject { ["type"] = "Utilization", ["averageUtilization"] = 80 },
            },
        }));
    }

    private static void NetworkPolicy(JsonObject spec)
    {
        spec.Default("policyTypes", () => spec.List("egress").Count > 0 ? new JsonArray("Ingress", "Egress") : new JsonArray("Ingress"));
        foreach (var port in spec.Objects("ingress").Concat(spec.Objects("egress")).SelectMany(rule => rule.Objects("ports")))
        {
            port.Default("protocol", () => "TCP");
        }
    }
}
