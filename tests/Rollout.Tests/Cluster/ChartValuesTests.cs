using System.Text.Json.Nodes;
using Rollout.Cluster;

namespace Rollout.Tests.Cluster;

public sealed class ChartValuesTests
{
    private static readonly JsonObject[] Layers =
    [
        JsonNode.Parse("""{"global":{"env":[]},"backendServices":{"oms":{"image":{"repository":"aether/oms-service","tag":""},"replicaCount":2}},"ui":{"image":{"repository":"aether/aether-2-ui"}}}""")!.AsObject(),
        JsonNode.Parse("""{"global":{"env":[{"name":"SESSION_REDIS_URL","value":"redis"},{"name":"PROMETHEUS_EXPORTER_PORT","value":"1"}]}}""")!.AsObject(),
    ];

    [Test]
    public void Images_are_pinned_wherever_the_values_name_them()
    {
        var values = Written(new ChartValues
        {
            Pins = new Dictionary<string, string> { ["127.0.0.1:5000/aether/oms-service"] = "v2@sha256:aa", ["127.0.0.1:5000/aether/aether-2-ui"] = "v2@sha256:bb" },
        });
        Assert.That(values["backendServices"]!["oms"]!["image"]!["tag"]!.GetValue<string>(), Is.EqualTo("v2@sha256:aa"));
        Assert.That(values["ui"]!["image"]!["tag"]!.GetValue<string>(), Is.EqualTo("v2@sha256:bb"));
    }

    [Test]
    public void A_list_of_the_overlays_is_extended_and_not_replaced()
    {
        var environment = Written(new ChartValues { Environment = new Dictionary<string, string> { ["PROMETHEUS_EXPORTER_PORT"] = "9464" } })["global"]!["env"]!.AsArray();
        Assert.That(environment.Select(e => $"{e!["name"]}={e["value"]}"), Is.EqualTo(new[] { "SESSION_REDIS_URL=redis", "PROMETHEUS_EXPORTER_PORT=9464" }));
    }

    [Test]
    public void Nothing_but_the_rollouts_own_values_is_written()
    {
        var values = Written(new ChartValues());
        Assert.That(values.Select(v => v.Key), Is.EqualTo(new[] { "global" }));
        Assert.That(values["global"]!["krakenSecrets"]!["enabled"]!.GetValue<bool>(), Is.False, "a candidate gets no exchange keys unless told");
        Assert.That(values["global"]!["hosts"]!["production"]!.GetValue<bool>(), Is.False);
    }

    [Test]
    public void Replicas_are_written_to_their_paths_beside_the_pins()
    {
        var values = Written(new ChartValues
        {
            Pins = new Dictionary<string, string> { ["127.0.0.1:5000/aether/oms-service"] = "v2@sha256:aa" },
            Replicas = new Dictionary<string, int> { ["backendServices.oms.replicaCount"] = 3, ["ui.replicaCount"] = 2 },
        });
        Assert.That(values["backendServices"]!["oms"]!.ToJsonString(), Is.EqualTo("""{"image":{"tag":"v2@sha256:aa"},"replicaCount":3}"""));
        Assert.That(values["ui"]!["replicaCount"]!.GetValue<int>(), Is.EqualTo(2));
    }

    [Test]
    public void A_path_is_found_for_every_count_and_for_workloads_that_leave_it_to_the_chart()
    {
        var overlay = JsonNode.Parse("""
            {"backendServices":{"admin":{"image":{"repository":"aether/admin"},"resources":{}}},"feast":{"image":{"repository":"aether/feast"}},"a.b":{"replicaCount":1}}
            """)!.AsObject();
        Assert.That(ChartValues.ReplicaPaths([.. Layers, overlay]), Is.EquivalentTo(new[] { "backendServices.oms.replicaCount", "backendServices.admin.replicaCount" }));
    }

    private static JsonObject Written(ChartValues values) => JsonNode.Parse(values.ToValuesFile(Layers))!.AsObject();
}
