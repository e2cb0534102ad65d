using System.Text.Json.Nodes;
using Rollout.Cluster;

namespace Rollout.Tests.Cluster;

[Parallelizable(ParallelScope.All)]
public sealed class ObjectOwnerTests
{
    [TestCase("""{"annotations":{"argocd.argoproj.io/tracking-id":"aether-prod:apps/Deployment:aether-blue/oms-service"}}""", "Argo CD application aether-prod")]
    [TestCase("""{"annotations":{"argocd.argoproj.io/tracking-id":"aether-prod:apps/ReplicaSet:aether-blue/oms-service"}}""", "")]
    [TestCase("""{"annotations":{"argocd.argoproj.io/tracking-id":"aether-prod:apps/Deployment:aether-blue/risk-service"}}""", "")]
    [TestCase("""{"annotations":{"argocd.argoproj.io/tracking-id":"nonsense"}}""", "")]
    [TestCase("""{"annotations":{"argocd.argoproj.io/sync-wave":"1"}}""", "")]
    [TestCase("""{"labels":{"argocd.argoproj.io/instance":"aether-prod"}}""", "Argo CD application aether-prod")]
    [TestCase("""{"labels":{"app.kubernetes.io/instance":"aether"}}""", "")]
    [TestCase("""{"labels":{"app.kubernetes.io/instance":"aether"},"managedFields":[{"manager":"helm"}]}""", "")]
    [TestCase("""{"labels":{"app.kubernetes.io/instance":"aether"},"managedFields":[{"manager":"argocd-controller"}]}""", "Argo CD application aether")]
    [TestCase("""{"labels":{"kustomize.toolkit.fluxcd.io/name":"apps","kustomize.toolkit.fluxcd.io/namespace":"flux-system"}}""", "Flux Kustomization flux-system/apps")]
    [TestCase("""{"labels":{"kustomize.toolkit.fluxcd.io/name":"apps"},"annotations":{"kustomize.toolkit.fluxcd.io/reconcile":"disabled"}}""", "")]
    [TestCase("""{"labels":{"helm.toolkit.fluxcd.io/name":"aether"}}""", "Flux HelmRelease aether")]
    [TestCase("{}", "")]
    public void Whose_an_object_is_is_told_by_its_marks(string metadata, string owner)
    {
        var item = new JsonObject { ["metadata"] = JsonNode.Parse(metadata) };
        item["metadata"]!["name"] = "oms-service";
        Assert.That(Shown(ObjectOwner.Of("Deployment", item)), Is.EqualTo(owner));
    }

    [TestCase("""{"destination":{"namespace":"aether-blue"}}""", "Argo CD application argocd/aether")]
    [TestCase("""{"destination":{"namespace":"aether-blue","server":"https://kubernetes.default.svc"},"syncPolicy":{"automated":{"selfHeal":true}}}""", "Argo CD application argocd/aether, which syncs by itself and heals")]
    [TestCase("""{"destination":{"namespace":"aether-blue","name":"in-cluster"},"syncPolicy":{"automated":{}}}""", "Argo CD application argocd/aether, which syncs by itself")]
    [TestCase("""{"destination":{"namespace":"aether-blue"},"syncPolicy":{"automated":{"enabled":false,"selfHeal":true}}}""", "Argo CD application argocd/aether")]
    [TestCase("""{"destination":{"namespace":"aether-blue","server":"https://another.example.com"}}""", "")]
    [TestCase("""{"destination":{"namespace":"monitoring"}}""", "")]
    public void An_application_owns_the_namespace_that_it_deploys_to(string spec, string owner) =>
        Assert.That(Shown(ObjectOwner.OfApplication(Application(spec, "{}"), "aether-blue")), Is.EqualTo(owner));

    [Test]
    public void An_application_owns_the_namespaces_of_what_it_has_deployed() =>
        Assert.That(
            Shown(ObjectOwner.OfApplication(Application("""{"destination":{"namespace":"default"}}""", """{"resources":[{"kind":"Service","namespace":"aether-blue","name":"oms-service"}]}"""), "aether-blue")),
            Is.EqualTo("Argo CD application argocd/aether"));

    private static JsonObject Application(string spec, string status) => new()
    {
        ["metadata"] = new JsonObject { ["name"] = "aether", ["namespace"] = "argocd" },
        ["spec"] = JsonNode.Parse(spec),
        ["status"] = JsonNode.Parse(status),
    };

    private static string Shown(ObjectOwner? owner) => owner is null ? string.Empty : $"{owner.Tool} {owner.Name}";
}
