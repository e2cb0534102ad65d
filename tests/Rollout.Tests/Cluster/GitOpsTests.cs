using System.Text.Json.Nodes;
using Rollout.Cluster;

namespace Rollout.Tests.Cluster;

[Parallelizable(ParallelScope.All)]
public sealed class GitOpsTests
{
    [TestCase("annotations", "argocd.argoproj.io/tracking-id", "aether:apps/Deployment:aether-blue/oms", "Argo CD application aether")]
    [TestCase("labels", "argocd.argoproj.io/instance", "aether", "Argo CD application aether")]
    [TestCase("labels", "kustomize.toolkit.fluxcd.io/name", "platform", "Flux Kustomization platform")]
    [TestCase("labels", "helm.toolkit.fluxcd.io/name", "aether", "Flux HelmRelease aether")]
    [TestCase("labels", "app.kubernetes.io/instance", "aether", null)]
    [TestCase("annotations", "argocd.argoproj.io/tracking-id", "", null)]
    public void An_owner_is_known_by_its_mark(string where, string mark, string value, string? owner) => Assert.That(
        GitOps.OwnerOf(new JsonObject { ["metadata"] = new JsonObject { ["name"] = "oms", [where] = new JsonObject { [mark] = value } } }), Is.EqualTo(owner));

    [Test]
    public void What_has_no_marks_is_nobodys() => Assert.That(GitOps.OwnerOf(new JsonObject { ["metadata"] = new JsonObject() }), Is.Null);
}
