namespace Cake.Kubectl;

/// <summary>Switches of <c>kubectl rollout status</c>; null leaves one out.</summary>
public sealed class KubectlRolloutStatusSettings : AutoToolSettings
{
    public string? Filename { get; set; }

    public string? Kustomize { get; set; }

    public bool? Recursive { get; set; }

    public string? Revision { get; set; }

    public string? Selector { get; set; }

    public string? Timeout { get; set; }

    public bool? Watch { get; set; }
}

/// <summary>Switches of <c>kubectl rollout restart</c>; null leaves one out.</summary>
public sealed class KubectlRolloutRestartSettings : AutoToolSettings
{
    public bool? AllowMissingTemplateKeys { get; set; }

    public string? FieldManager { get; set; }

    public string? Filename { get; set; }

    public string? Kustomize { get; set; }

    public string? Output { get; set; }

    public bool? Recursive { get; set; }

    public string? Selector { get; set; }

    public bool? ShowManagedFields { get; set; }

    public string? Template { get; set; }
}

/// <summary>Switches of <c>kubectl rollout undo</c>; null leaves one out.</summary>
public sealed class KubectlRolloutUndoSettings : AutoToolSettings
{
    public bool? AllowMissingTemplateKeys { get; set; }

    public string? DryRun { get; set; }

    public string? Filename { get; set; }

    public string? Kustomize { get; set; }

    public string? Output { get; set; }

    public bool? Recursive { get; set; }

    public string? Selector { get; set; }

    public bool? ShowManagedFields { get; set; }

    public string? Template { get; set; }

    public string? ToRevision { get; set; }
}

/// <summary>Switches of <c>kubectl set env</c>; null leaves one out.</summary>
public sealed class KubectlSetEnvSettings : AutoToolSettings
{
    public bool? All { get; set; }

    public bool? AllowMissingTemplateKeys { get; set; }

    public string? Containers { get; set; }

    public string? DryRun { get; set; }

    public string? Env { get; set; }

    public string? FieldManager { get; set; }

    public string? Filename { get; set; }

    public string? From { get; set; }

    public string? Keys { get; set; }

    public string? Kustomize { get; set; }

    public bool? List { get; set; }

    public bool? Local { get; set; }

    public string? Output { get; set; }

    public bool? Overwrite { get; set; }

    public string? Prefix { get; set; }

    public bool? Recursive { get; set; }

    public bool? Resolve { get; set; }

    public string? Selector { get; set; }

    public bool? ShowManagedFields { get; set; }

    public string? Template { get; set; }
}

/// <summary>Switches of <c>kubectl set image</c>; null leaves one out.</summary>
public sealed class KubectlSetImageSettings : AutoToolSettings
{
    public bool? All { get; set; }

    public bool? AllowMissingTemplateKeys { get; set; }

    public string? DryRun { get; set; }

    public string? FieldManager { get; set; }

    public string? Filename { get; set; }

    public string? Kustomize { get; set; }

    public bool? Local { get; set; }

    public string? Output { get; set; }

    public bool? Recursive { get; set; }

    public string? Selector { get; set; }

    public bool? ShowManagedFields { get; set; }

    public string? Template { get; set; }
}

/// <summary>Switches of <c>kubectl scale</c>; null leaves one out.</summary>
public sealed class KubectlScaleSettings : AutoToolSettings
{
    public bool? All { get; set; }

    public bool? AllowMissingTemplateKeys { get; set; }

    public int? CurrentReplicas { get; set; }

    public string? DryRun { get; set; }

    public string? Filename { get; set; }

    public string? Kustomize { get; set; }

    public string? Output { get; set; }

    public bool? Recursive { get; set; }

    public string? Replicas { get; set; }

    public string? ResourceVersion { get; set; }

    public string? Selector { get; set; }

    public bool? ShowManagedFields { get; set; }

    public string? Template { get; set; }

    public string? Timeout { get; set; }
}
