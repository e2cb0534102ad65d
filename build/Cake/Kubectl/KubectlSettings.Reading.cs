namespace Cake.Kubectl;

/// <summary><c>kubectl get</c> has no switches here; they come through <c>ArgumentCustomization</c>.</summary>
public sealed class KubectlGetSettings : AutoToolSettings;

/// <summary><c>kubectl describe</c> has no switches here; they come through <c>ArgumentCustomization</c>.</summary>
public sealed class KubectlDescribeSettings : AutoToolSettings;

/// <summary>Switches of <c>kubectl version</c>; null leaves one out.</summary>
public sealed class KubectlVersionSettings : AutoToolSettings
{
    public bool? Client { get; set; }

    public string? Output { get; set; }
}

/// <summary>Switches of <c>kubectl auth can-i</c>; null leaves one out.</summary>
public sealed class KubectlAuthCanISettings : AutoToolSettings
{
    public bool? AllNamespaces { get; set; }

    public bool? List { get; set; }

    public bool? NoHeaders { get; set; }

    public bool? Quiet { get; set; }

    public string? Subresource { get; set; }
}

/// <summary>Switches of <c>kubectl wait</c>; null leaves one out.</summary>
public sealed class KubectlWaitSettings : AutoToolSettings
{
    public bool? All { get; set; }

    public bool? AllNamespaces { get; set; }

    public bool? AllowMissingTemplateKeys { get; set; }

    public string? FieldSelector { get; set; }

    public string? Filename { get; set; }

    public string? For { get; set; }

    public bool? Local { get; set; }

    public string? Output { get; set; }

    public bool? Recursive { get; set; }

    public string? Selector { get; set; }

    public bool? ShowManagedFields { get; set; }

    public string? Template { get; set; }

    public string? Timeout { get; set; }
}
