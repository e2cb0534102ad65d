namespace Cake.Kubectl;

/// <summary>Switches of <c>kubectl apply</c>; null leaves one out.</summary>
public sealed class KubectlApplySettings : AutoToolSettings
{
    public bool? All { get; set; }

    public bool? AllowMissingTemplateKeys { get; set; }

    public string? Cascade { get; set; }

    public string? DryRun { get; set; }

    public string? FieldManager { get; set; }

    public string? Filename { get; set; }

    public bool? Force { get; set; }

    public bool? ForceConflicts { get; set; }

    public int? GracePeriod { get; set; }

    public string? Kustomize { get; set; }

    public bool? OpenapiPatch { get; set; }

    public string? Output { get; set; }

    public bool? Overwrite { get; set; }

    public bool? Prune { get; set; }

    public string? PruneAllowlist { get; set; }

    public bool? Recursive { get; set; }

    public string? Selector { get; set; }

    public bool? ServerSide { get; set; }

    public bool? ShowManagedFields { get; set; }

    public string? Template { get; set; }

    public string? Timeout { get; set; }

    public string? Validate { get; set; }

    public bool? Wait { get; set; }
}

/// <summary>Switches of <c>kubectl create namespace</c>; null leaves one out.</summary>
public sealed class KubectlCreateNamespaceSettings : AutoToolSettings
{
    public bool? AllowMissingTemplateKeys { get; set; }

    public string? DryRun { get; set; }

    public string? FieldManager { get; set; }

    public string? Output { get; set; }

    public bool? SaveConfig { get; set; }

    public bool? ShowManagedFields { get; set; }

    public string? Template { get; set; }

    public string? Validate { get; set; }
}

/// <summary>Switches of <c>kubectl delete</c>; null leaves one out.</summary>
public sealed class KubectlDeleteSettings : AutoToolSettings
{
    public bool? All { get; set; }

    public bool? AllNamespaces { get; set; }

    public string? Cascade { get; set; }

    public string? DryRun { get; set; }

    public string? FieldSelector { get; set; }

    public string? Filename { get; set; }

    public bool? Force { get; set; }

    public int? GracePeriod { get; set; }

    public bool? IgnoreNotFound { get; set; }

    public string? Kustomize { get; set; }

    public bool? Now { get; set; }

    public string? Output { get; set; }

    public string? Raw { get; set; }

    public bool? Recursive { get; set; }

    public string? Selector { get; set; }

    public string? Timeout { get; set; }

    public bool? Wait { get; set; }
}

/// <summary>Switches of <c>kubectl patch</c>; null leaves one out.</summary>
public sealed class KubectlPatchSettings : AutoToolSettings
{
    public bool? AllowMissingTemplateKeys { get; set; }

    public string? DryRun { get; set; }

    public string? FieldManager { get; set; }

    public string? Filename { get; set; }

    public string? Kustomize { get; set; }

    public bool? Local { get; set; }

    public string? Output { get; set; }

    public string? Patch { get; set; }

    public string? PatchFile { get; set; }

    public bool? Recursive { get; set; }

    public bool? ShowManagedFields { get; set; }

    public string? Subresource { get; set; }

    public string? Template { get; set; }

    public string? Type { get; set; }
}

/// <summary>Switches of <c>kubectl label</c>; null leaves one out.</summary>
public sealed class KubectlLabelSettings : AutoToolSettings
{
    public bool? All { get; set; }

    public bool? AllNamespaces { get; set; }

    public bool? AllowMissingTemplateKeys { get; set; }

    public string? DryRun { get; set; }

    public string? FieldManager { get; set; }

    public string? FieldSelector { get; set; }

    public string? Filename { get; set; }

    public string? Kustomize { get; set; }

    public bool? List { get; set; }

    public bool? Local { get; set; }

    public string? Output { get; set; }

    public bool? Overwrite { get; set; }

    public bool? Recursive { get; set; }

    public string? ResourceVersion { get; set; }

    public string? Selector { get; set; }

    public bool? ShowManagedFields { get; set; }

    public string? Template { get; set; }
}

/// <summary><c>kubectl annotate</c> has no switches here; they come through <c>ArgumentCustomization</c>.</summary>
public sealed class KubectlAnnotateSettings : AutoToolSettings;
