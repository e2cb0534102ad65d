namespace Cake.Helm.Package;

/// <summary>Switches of <c>helm package</c>; null leaves one out. The published package's <c>Save</c> is Helm 2's.</summary>
public sealed class HelmPackageSettings : GlobalHelmSettings
{
    public string? AppVersion { get; set; }

    /// <summary>Fetches the chart's dependencies first.</summary>
    public bool? DependencyUpdate { get; set; }

    /// <summary>The directory to write the archive to.</summary>
    public string? Destination { get; set; }

    /// <summary>The name of the key to sign with.</summary>
    public string? Key { get; set; }

    public string? Keyring { get; set; }

    public bool? Sign { get; set; }

    /// <summary>The chart's version, instead of the one in its Chart.yaml.</summary>
    public string? Version { get; set; }
}
