using System.Text.Json.Nodes;

namespace Rollout.Cluster;

/// <summary>Controllers that put back what anybody else changes (platform contract, section 8.7): Argo CD and Flux mark what they own.</summary>
public static class GitOps
{
    private static readonly (string Mark, bool IsLabel, string Who)[] Marks =
    [
        ("argocd.argoproj.io/tracking-id", false, "Argo CD application"),
        ("argocd.argoproj.io/instance", true, "Argo CD application"),
        ("kustomize.toolkit.fluxcd.io/name", true, "Flux Kustomization"),
        ("helm.toolkit.fluxcd.io/name", true, "Flux HelmRelease"),
    ];

    /// <summary>Who owns an object, as "Argo CD application aether"; null where nobody's mark is on it.</summary>
    public static string? OwnerOf(JsonObject item)
    {
        foreach (var (mark, isLabel, who) in Marks)
        {
            if (item["metadata"]?[isLabel ? "labels" : "annotations"]?[mark]?.GetValue<string>() is { Length: > 0 } value)
            {
                // A tracking id is APPLICATION:GROUP/KIND:NAMESPACE/NAME.
                return $"{who} {value.Split(':')[0]}";
            }
        }

        return null;
    }
}
