using System.Text.Json.Nodes;
using Rollout.Cluster;

namespace Rollout.Tests.Cluster;

[Parallelizable(ParallelScope.All)]
public sealed class WorkloadEnvironmentTests
{
    [Test]
    public void Variables_of_all_containers_and_imports_count()
    {
        var had = WorkloadEnvironment.From(Json("""
            {"metadata":{"name":"oms"},"spec":{"template":{"spec":{"initContainers":[{"env":[{"name":"INIT","value":"1"}]}],
            "containers":[{"env":[{"name":"DSN","valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}},{"name":"PORT","value":"9464"}],"envFrom":[{"configMapRef":{"name":"c"}}]}]}}}}
            """));
        var has = WorkloadEnvironment.From(Json("""{"metadata":{"name":"oms"},"spec":{"template":{"spec":{"containers":[{"env":[{"name":"PORT","value":"9464"}]}]}}}}"""));
        Assert.That(had.Variables["DSN"], Is.Null, "a value from elsewhere is not read");
        Assert.That(had.Variables["PORT"], Is.EqualTo("9464"));
        Assert.That(has.Lacks(had), Is.EqualTo(new[] { "DSN", "INIT", "envFrom:configMapRef/c" }));
        Assert.That(had.Lacks(has), Is.Empty);
    }

    private static JsonObject Json(string text) => JsonNode.Parse(text)!.AsObject();
}
