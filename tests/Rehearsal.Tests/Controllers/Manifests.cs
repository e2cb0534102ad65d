using System.Text.Json.Nodes;

namespace Rehearsal.Tests.Controllers;

/// <summary>Small objects for the tests, and short ways to read them.</summary>
internal static class Manifests
{
    public static string Deployment(string name, int replicas = 2, string image = "test/web:1", string extra = "") => $$"""
        { "kind": "Deployment", "apiVersion": "apps/v1",
          "metadata": { "name": "{{name}}", "namespace": "test", "labels": { "app": "{{name}}" } },
          "spec": { "replicas": {{replicas}}, {{extra}} "selector": { "matchLabels": { "app": "{{name}}" } },
            "template": { "metadata": { "labels": { "app": "{{name}}" } },
              "spec": { "terminationGracePeriodSeconds": 1,
                "containers": [ { "name": "web", "image": "{{image}}", "ports": [ { "name": "http", "containerPort": 8000 } ],
                  "readinessProbe": { "httpGet": { "path": "/healthz", "port": "http" }, "periodSeconds": 1 } } ] } } } }
        """;

    public static string Service(string name, string selector) => $$"""
        { "kind": "Service", "apiVersion": "v1", "metadata": { "name": "{{name}}", "namespace": "test" },
          "spec": { "selector": { "app": "{{selector}}" }, "ports": [ { "name": "http", "port": 80, "targetPort": "http" } ] } }
        """;

    public static string Pod(string name, string container = "", string spec = "", string image = "test/web:1") => $$"""
        { "kind": "Pod", "apiVersion": "v1", "metadata": { "name": "{{name}}", "namespace": "test", "labels": { "app": "{{name}}" } },
          "spec": { "terminationGracePeriodSeconds": 1, {{spec}} "containers": [ { "name": "web", "image": "{{image}}" {{container}} } ] } }
        """;

    public static string Job(string name, string spec = "", string image = "test/job") => $$"""
        { "kind": "Job", "apiVersion": "batch/v1", "metadata": { "name": "{{name}}", "namespace": "test" },
          "spec": { {{spec}} "template": {
            "spec": { "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
              "containers": [ { "name": "web", "image": "{{image}}" } ] } } } }
        """;

    public static string Secret(string name, string key, string value) => $$"""
        { "kind": "Secret", "apiVersion": "v1", "metadata": { "name": "{{name}}", "namespace": "test" }, "type": "Opaque",
          "data": { "{{key}}": "{{Convert.ToBase64String(System.Text.Encoding.UTF8.GetBytes(value))}}" } }
        """;

    public static int Count(this JsonObject item, string name) => item["status"]?[name]?.GetValue<int>() ?? 0;

    public static string? Condition(this JsonObject item, string type) =>
        item["status"]?["conditions"]?.AsArray().FirstOrDefault(condition => (string?)condition!["type"] == type) is { } found
            ? $"{found["status"]} {found["reason"]}".TrimEnd()
            : null;

    public static string? Phase(this JsonObject item) => (string?)item["status"]?["phase"];

    public static string Name(this JsonObject item) => (string)item["metadata"]!["name"]!;

    public static string? Waiting(this JsonObject pod) => (string?)pod["status"]?["containerStatuses"]?[0]?["state"]?["waiting"]?["reason"];

    public static int Restarts(this JsonObject pod) => pod["status"]?["containerStatuses"]?[0]?["restartCount"]?.GetValue<int>() ?? 0;

    public static bool IsRolledOut(this JsonObject deployment)
    {
        var wanted = deployment["spec"]!["replicas"]!.GetValue<int>();
        return deployment["status"]?["observedGeneration"]?.GetValue<long>() == deployment["metadata"]!["generation"]!.GetValue<long>()
            && deployment.Count("updatedReplicas") == wanted && deployment.Count("replicas") == wanted
            && deployment.Count("availableReplicas") == wanted && deployment.Condition("Progressing") == "True NewReplicaSetAvailable";
    }
}
