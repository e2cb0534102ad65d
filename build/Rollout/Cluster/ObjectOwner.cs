using System.Text.Json.Nodes;

namespace Rollout.Cluster;

/// <summary>
/// A tool that keeps objects as a repository has them, and puts back what anybody else makes of them (platform contract, section 8.7).
/// </summary>
/// <param name="Tool"><c>Argo CD</c> or <c>Flux</c>.</param>
/// <param name="Name">The owning object, as in <c>application aether-prod</c>.</param>
public sealed record ObjectOwner(string Tool, string Name)
{
    private const string ArgoTracking = "argocd.argoproj.io/tracking-id";
    private const string ArgoInstance = "argocd.argoproj.io/instance";
    private const string Instance = "app.kubernetes.io/instance";
    private const string FluxKustomization = "kustomize.toolkit.fluxcd.io";
    private const string FluxRelease = "helm.toolkit.fluxcd.io";

    /// <summary>Whose an object is by its own marks; null where nobody's.</summary>
    /// <param name="kind">The kind, which the items of a list do not say.</param>
    public static ObjectOwner? Of(string kind, JsonObject item)
    {
        var (annotations, labels) = (Map(item, "annotations"), Map(item, "labels"));
        if (Text(annotations, ArgoTracking) is { } tracking && IsOf(tracking, kind, item))
        {
            return new ObjectOwner("Argo CD", $"application {tracking[..tracking.IndexOf(':', StringComparison.Ordinal)]}");
        }

        if (Text(labels, ArgoInstance) is { } instance)
        {
            return new ObjectOwner("Argo CD", $"application {instance}");
        }

        // Argo CD's oldest way of tracking is a label that every chart sets; who wrote the object tells them apart.
        if (Text(labels, Instance) is { } application && IsWrittenBy(item, "argocd"))
        {
            return new ObjectOwner("Argo CD", $"application {application}");
        }

        return Text(annotations, $"{FluxKustomization}/reconcile") == "disabled" ? null : Flux(labels, FluxKustomization, "Kustomization") ?? Flux(labels, FluxRelease, "HelmRelease");
    }

    /// <summary>An Argo CD Application that is about this namespace of the cluster it runs in; null where it is not.</summary>
    public static ObjectOwner? OfApplication(JsonObject application, string @namespace)
    {
        var destination = application["spec"]?["destination"] as JsonObject;
        var isHere = (Text(destination, "server"), Text(destination, "name")) is (null, null) or ("https://kubernetes.default.svc", _) or (_, "in-cluster");
        var isAbout = Text(destination, "namespace") == @namespace
            || (application["status"]?["resources"] as JsonArray ?? []).OfType<JsonObject>().Any(r => Text(r, "namespace") == @namespace);
        if (!isHere || !isAbout)
        {
            return null;
        }

        var name = $"application {Text(application["metadata"] as JsonObject, "namespace")}/{Text(application["metadata"] as JsonObject, "name")}";
        return application["spec"]?["syncPolicy"]?["automated"] is JsonObject automated && automated["enabled"]?.ToString() != "false"
            ? new ObjectOwner("Argo CD", $"{name}, which syncs by itself{(automated["selfHeal"]?.ToString() == "true" ? " and heals" : string.Empty)}")
            : new ObjectOwner("Argo CD", name);
    }

    // APPLICATION:GROUP/KIND:NAMESPACE/NAME. Controllers copy annotations to what they make; Argo CD takes only the object that is named for its own.
    private static bool IsOf(string tracking, string kind, JsonObject item)
    {
        var parts = tracking.Split(':');
        var metadata = item["metadata"] as JsonObject;
        return parts.Length == 3 && parts[0].Length > 0 && parts[1].EndsWith("/" + kind, StringComparison.Ordinal)
            && parts[2][(parts[2].IndexOf('/', StringComparison.Ordinal) + 1)..] == Text(metadata, "name");
    }

    private static ObjectOwner? Flux(JsonObject? labels, string prefix, string kind) => Text(labels, $"{prefix}/name") is { } name
        ? new ObjectOwner("Flux", $"{kind} {(Text(labels, $"{prefix}/namespace") is { } place ? place + "/" : string.Empty)}{name}")
        : null;

    private static bool IsWrittenBy(JsonObject item, string manager) =>
        (item["metadata"]?["managedFields"] as JsonArray ?? []).OfType<JsonObject>().Any(f => Text(f, "manager")?.StartsWith(manager, StringComparison.Ordinal) == true);

    private static JsonObject? Map(JsonObject item, string name) => (item["metadata"] as JsonObject)?[name] as JsonObject;

    private static string? Text(JsonObject? from, string name) => from?[name] is JsonValue value && value.TryGetValue<string>(out var text) && text.Length > 0 ? text : null;
}
