namespace Cake.Helm.Lint;

/// <summary>Switches of <c>helm lint</c>; null leaves one out.</summary>
public sealed class HelmLintSettings : GlobalHelmSettings
{
    public string? Namespace { get; set; }

    /// <summary><c>key=value</c> each; a comma inside a value is written <c>\,</c>.</summary>
    public string[]? Set { get; set; }

    /// <summary>Warnings fail too.</summary>
    public bool? Strict { get; set; }

    /// <summary>Values files; the last one wins.</summary>
    public string[]? Values { get; set; }
}
