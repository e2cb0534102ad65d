using System.Text.Json.Nodes;
using Rollout.Cluster;

namespace Rollout.Tests.Cluster;

[Parallelizable(ParallelScope.All)]
public sealed class WorkloadEnvironmentTests
{
    [Test]
    public void An_overlay_that_lists_a_variable_anew_wipes_the_others()
    {
        var chart = Json("""{"backendServices":{"oms":{"env":[{"name":"TIMESCALE_DSN"},{"name":"REDIS_URL"}],"envFrom":[{"secretRef":{"name":"oms"}}]}},"global":{"env":[]}}""");
        var overlay = Json("""{"backendServices":{"oms":{"env":[{"name":"REDIS_URL"},{"name":"PROMETHEUS_EXPORTER_PORT"}],"envFrom":[]}},"global":{"env":[{"name":"A"}]}}""");
        Assert.That(WorkloadEnvironment.Replaced([chart, overlay]), Is.EqualTo(new Dictionary<string, string>
        {
            ["TIMESCALE_DSN"] = "backendServices.oms.env",
            ["envFrom:secretRef/oms"] = "backendServices.oms.envFrom",
        }));
        Assert.That(WorkloadEnvironment.Replaced([chart]), Is.Empty);
    }

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
