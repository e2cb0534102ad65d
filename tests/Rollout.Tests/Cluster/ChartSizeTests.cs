using System.Text.Json.Nodes;
using Rollout.Cluster;
using Rollout.Tests.Support;

namespace Rollout.Tests.Cluster;

/// <summary>Which value of the rehearsal's chart sets which Deployment's size, found out with the real helm.</summary>
public sealed class ChartSizeTests
{
    private static readonly string Chart = Repository.PathOf("build", "Rehearsal", "Platform", "deploy", "helm", "aether-platform");

    private static readonly string[] Overlays =
        [.. new[] { "values-rehearsal.yaml", "values-green.yaml" }.Select(f => Repository.PathOf("build", "Rehearsal", "Platform", "deploy", "environments", f))];

    private ToolPlace _place = null!;
    private SlotDeployment _deployment = null!;

    [SetUp]
    public async Task Begin()
    {
        _place = new ToolPlace();
        _deployment = _place.Deployment("kubectl", await RealTools.HelmAsync());
    }

    [TearDown]
    public void End() => _place.Dispose();

    [Test]
    public async Task Every_deployment_of_a_slot_shows_the_mark_of_its_own_value()
    {
        var marks = Marks(Layers(Overlays));
        var sized = (await RenderAsync(marks, Overlays)).SizedBy(marks);
        Assert.Multiple(() =>
        {
            Assert.That(sized, Has.Count.EqualTo(27));
            Assert.That(sized.Values, Is.Unique);
            Assert.That(sized["oms-service"], Is.EqualTo("backendServices.oms.replicaCount"));
            Assert.That(sized["account-service"], Is.EqualTo("backendServices.accountService.replicaCount"), "it has no autoscaler");
            Assert.That(sized["strategy-orchestrator"], Is.EqualTo("backendServices.strategyOrchestrator.replicaCount"));
            Assert.That(sized["admin-platform"], Is.EqualTo("backendServices.adminPlatform.replicaCount"), "its values leave the count to the chart");
            Assert.That(sized["kraken-ws-ingest"], Is.EqualTo("dataPipelines.krakenWsIngest.replicaCount"));
            Assert.That(sized["aether-2-ui"], Is.EqualTo("ui.replicaCount"));
        });
    }

    [Test]
    public async Task A_deployment_whose_size_stands_in_the_template_is_sized_by_no_value()
    {
        var marks = Marks(Layers());
        var rendered = await RenderAsync(marks);
        Assert.That(rendered.Sizes["feast-online"], Is.EqualTo(1));
        Assert.That(rendered.SizedBy(marks).Keys, Is.EquivalentTo(rendered.Sizes.Keys.Except(["feast-online"])));
    }

    [Test]
    public async Task Counts_make_their_deployments_and_the_autoscalers_least_larger_and_nothing_else()
    {
        var own = (await RenderAsync(new Dictionary<string, int>(), Overlays)).Sizes;
        var larger = await RenderAsync(new Dictionary<string, int> { ["backendServices.oms.replicaCount"] = 5, ["backendServices.killSwitch.replicaCount"] = 2 }, Overlays);
        Assert.That(own["oms-service"], Is.EqualTo(2));
        Assert.That(larger.Sizes.Where(s => own[s.Key] != s.Value), Is.EquivalentTo(new Dictionary<string, int> { ["oms-service"] = 5, ["kill-switch"] = 2 }));
        var autoscaler = larger.Objects.Single(o => o["kind"]!.GetValue<string>() == "HorizontalPodAutoscaler" && o["metadata"]!["name"]!.GetValue<string>() == "oms-service");
        Assert.That(autoscaler["spec"]!["minReplicas"]!.GetValue<int>(), Is.EqualTo(5), "else the autoscaler would shrink it again");
    }

    private static Dictionary<string, int> Marks(IReadOnlyList<JsonObject> layers) =>
        ChartValues.ReplicaPaths(layers).Select((path, index) => (path, index)).ToDictionary(m => m.path, m => 7001 + m.index);

    private static IReadOnlyList<JsonObject> Layers(params string[] overlays) =>
        [.. overlays.Prepend(Path.Combine(Chart, "values.yaml")).SelectMany(f => RenderedChart.YamlDocuments(File.ReadAllText(f))).OfType<JsonObject>()];

    private async Task<RenderedChart> RenderAsync(IReadOnlyDictionary<string, int> replicas, params string[] overlays)
    {
        var file = _place.PathOf("values.json");
        await File.WriteAllTextAsync(file, new ChartValues { Replicas = replicas }.ToValuesFile(Layers(overlays)));
        return await _deployment.RenderAsync("aether", Chart, "aether-green", [.. overlays, file]);
    }
}
