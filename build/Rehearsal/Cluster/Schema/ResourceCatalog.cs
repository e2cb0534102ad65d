namespace Rehearsal.Cluster;

/// <summary>
/// Every resource the server knows, in the order discovery lists them; the order of groups decides what a bare name means.
/// </summary>
public static class ResourceCatalog
{
    private static readonly string[] Get = ["get"];
    private static readonly string[] ReadWrite = ["get", "patch", "update"];
    private static readonly string[] Create = ["create"];
    private static readonly string[] Connect = ["create", "get"];
    private static readonly string[] AllMethods = ["create", "delete", "get", "patch", "update"];

    /// <summary>All stored resources.</summary>
    public static IReadOnlyList<ResourceType> Resources { get; } =
    [
        Core("configmaps", "ConfigMap", "cm"),
        Core("endpoints", "Endpoints", "ep"),
        Core("events", "Event", "ev"),
        Core("limitranges", "LimitRange", "limits"),
        Core("namespaces", "Namespace", "ns") with
        {
            Namespaced = false,
            HasStatus = true,
            Subresources = [Sub("finalize", "Namespace", ["update"])],
        },
        Core("nodes", "Node", "no") with { Namespaced = false, HasStatus = true },
        Core("persistentvolumeclaims", "PersistentVolumeClaim", "pvc") with { HasStatus = true },
        Core("persistentvolumes", "PersistentVolume", "pv") with { Namespaced = false, HasStatus = true },
        Core("pods", "Pod", "po") with
        {
            Tracked = true,
            HasStatus = true,
            Categories = ["all"],
            Subresources =
            [
                Sub("attach", "PodAttachOptions", Connect),
                Sub("binding", "Binding", Create),
                new("eviction", "policy", "v1", "Eviction", Create),
                Sub("exec", "PodExecOptions", Connect),
                Sub("log", "Pod", Get),
                Sub("portforward", "PodPortForwardOptions", Connect),
                Sub("proxy", "PodProxyOptions", AllMethods),
            ],
        },
        Core("replicationcontrollers", "ReplicationController", "rc") with { Tracked = true, HasStatus = true, Categories = ["all"] },
        Core("resourcequotas", "ResourceQuota", "quota") with { HasStatus = true },
        Core("secrets", "Secret"),
        Core("serviceaccounts", "ServiceAccount", "sa") with
        {
            Subresources = [new("token", "authentication.k8s.io", "v1", "TokenRequest", Create)],
        },
        Core("services", "Service", "svc") with
        {
            HasStatus = true,
            Categories = ["all"],
            Subresources = [Sub("proxy", "ServiceProxyOptions", AllMethods)],
        },
        In("apps", "controllerrevisions", "ControllerRevision"),
        In("apps", "daemonsets", "DaemonSet", "ds") with { Tracked = true, HasStatus = true, Categories = ["all"] },
        In("apps", "deployments", "Deployment", "deploy") with
        {
            Tracked = true,
            HasStatus = true,
            Categories = ["all"],
            Subresources = [Scale],
        },
        In("apps", "replicasets", "ReplicaSet", "rs") with
        {
            Tracked = true,
            HasStatus = true,
            Categories = ["all"],
            Subresources = [Scale],
        },
        In("apps", "statefulsets", "StatefulSet", "sts") with
        {
            Tracked = true,
            HasStatus = true,
            Categories = ["all"],
            Subresources = [Scale],
        },
        In(
            "autoscaling",
            "horizontalpodautoscalers",
            "HorizontalPodAutoscaler",
            "hpa") with { Version = "v2", HasStatus = true, Categories = ["all"] },
        In("batch", "cronjobs", "CronJob", "cj") with { Tracked = true, HasStatus = true, Categories = ["all"] },
        In("batch", "jobs", "Job") with { Tracked = true, HasStatus = true, Categories = ["all"] },
        In("coordination.k8s.io", "leases", "Lease"),
        In("discovery.k8s.io", "endpointslices", "EndpointSlice") with { Tracked = true },
        In("networking.k8s.io", "ingressclasses", "IngressClass") with { Namespaced = false, Tracked = true },
        In("networking.k8s.io", "ingresses", "Ingress", "ing") with { Tracked = true, HasStatus = true },
        In("networking.k8s.io", "networkpolicies", "NetworkPolicy", "netpol") with { Tracked = true },
        In("policy", "poddisruptionbudgets", "PodDisruptionBudget", "pdb") with { Tracked = true, HasStatus = true },
        In("rbac.authorization.k8s.io", "clusterrolebindings", "ClusterRoleBinding") with { Namespaced = false },
        In("rbac.authorization.k8s.io", "clusterroles", "ClusterRole") with { Namespaced = false },
        In("rbac.authorization.k8s.io", "rolebindings", "RoleBinding"),
        In("rbac.authorization.k8s.io", "roles", "Role"),
        In("scheduling.k8s.io", "priorityclasses", "PriorityClass", "pc") with { Namespaced = false, Tracked = true },
        In("storage.k8s.io", "storageclasses", "StorageClass", "sc") with { Namespaced = false },
    ];

    /// <summary>Review resources: created, answered, never stored.</summary>
    public static IReadOnlyList<ResourceType> Reviews { get; } =
    [
        In("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview") with { Namespaced = false },
        In("authorization.k8s.io", "localsubjectaccessreviews", "LocalSubjectAccessReview"),
        In("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview") with { Namespaced = false },
        In("authorization.k8s.io", "selfsubjectrulesreviews", "SelfSubjectRulesReview") with { Namespaced = false },
        In("authorization.k8s.io", "subjectaccessreviews", "SubjectAccessReview") with { Namespaced = false },
    ];

    /// <summary>Group and version pairs in discovery order; the core group first, then as the real server orders <c>/apis</c>.</summary>
    public static IReadOnlyList<(string Group, string Version)> Groups { get; } =
    [
        ("", "v1"),
        ("apps", "v1"),
        ("authentication.k8s.io", "v1"),
        ("authorization.k8s.io", "v1"),
        ("autoscaling", "v2"),
        ("batch", "v1"),
        ("networking.k8s.io", "v1"),
        ("policy", "v1"),
        ("rbac.authorization.k8s.io", "v1"),
        ("storage.k8s.io", "v1"),
        ("scheduling.k8s.io", "v1"),
        ("coordination.k8s.io", "v1"),
        ("discovery.k8s.io", "v1"),
    ];

    private static readonly Dictionary<(string Group, string Name), ResourceType> ByName =
        Resources.Concat(Reviews).ToDictionary(type => (type.Group, type.Name));

    private static readonly Dictionary<(string ApiVersion, string Kind), ResourceType> ByKind =
        Resources.Concat(Reviews).ToDictionary(type => (type.ApiVersion, type.Kind));

    private static Subresource Scale => new("scale", "autoscaling", "v1", "Scale", ReadWrite);

    /// <summary>The stored resource of that group and plural name, or null.</summary>
    public static ResourceType? Find(string group, string resource) => ByName.GetValueOrDefault((group, resource));

    /// <summary>The resource of that <c>apiVersion</c> and <c>kind</c>, or null.</summary>
    public static ResourceType? FindKind(string apiVersion, string kind) => ByKind.GetValueOrDefault((apiVersion, kind));

    private static ResourceType Core(string name, string kind, params string[] shortNames) =>
        new("", "v1", name, kind, Namespaced: true, Tracked: false, HasStatus: false, shortNames, []);

    private static ResourceType In(string group, string name, string kind, params string[] shortNames) =>
        Core(name, kind, shortNames) with { Group = group };

    private static Subresource Sub(string name, string kind, string[] verbs) => new(name, "", "v1", kind, verbs);
}
