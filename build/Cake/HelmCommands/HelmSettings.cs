using Cake.Core.Tooling;

namespace Cake.HelmCommands;

/// <summary>
/// The switches every command knows; null leaves one out. A secret never belongs into a switch: helm reads its own from
/// <c>EnvironmentVariables</c> (such as <c>HELM_KUBETOKEN</c>) and values from files.
/// </summary>
public abstract class HelmSettings : ToolSettings
{
    public string? KubeContext { get; set; }

    /// <summary>The path of the kubeconfig file.</summary>
    public string? Kubeconfig { get; set; }

    public string? Namespace { get; set; }

    /// <summary>Verbose output, which may show values.</summary>
    public bool? Debug { get; set; }
}

/// <summary>What feeds a chart's templates; a later source beats an earlier one, and the sets beat the files.</summary>
public abstract class HelmValuesSettings : HelmSettings
{
    /// <summary>Values files; the last one wins.</summary>
    public IReadOnlyList<string> Values { get; set; } = [];

    /// <summary><c>key=value</c> each; helm guesses the type, and a comma inside a value is written <c>\,</c>.</summary>
    public IReadOnlyList<string> Set { get; set; } = [];

    /// <summary>As <see cref="Set"/>, but the value stays text: <c>tag=20261100</c> does not become a number.</summary>
    public IReadOnlyList<string> SetString { get; set; } = [];

    /// <summary>The chart's version or range, for a chart that is not a path.</summary>
    public string? Version { get; set; }
}

/// <summary>Switches of <c>helm upgrade</c>.</summary>
public sealed class HelmUpgradeSettings : HelmValuesSettings
{
    /// <summary>Installs the release when there is none.</summary>
    public bool? Install { get; set; }

    /// <summary>Makes the namespace when it is missing; only together with <see cref="Install"/>.</summary>
    public bool? CreateNamespace { get; set; }

    /// <summary>Starts from the chart's own values and not from those of the last revision.</summary>
    public bool? ResetValues { get; set; }

    /// <summary>
    /// What is waited for: <c>watcher</c> (all resources ready), <c>legacy</c> (the way of Helm 3) or <c>hookOnly</c>, helm's own choice.
    /// </summary>
    public string? Wait { get; set; }

    /// <summary>How long one operation may take; helm's own limit is 5 minutes.</summary>
    public TimeSpan? Timeout { get; set; }

    /// <summary>Goes back to the last good revision when the upgrade fails, and implies to wait.</summary>
    public bool? RollbackOnFailure { get; set; }

    /// <summary>Takes over fields that another field manager holds, as <c>replicas</c> after <c>kubectl scale</c>; for server-side apply.</summary>
    public bool? ForceConflicts { get; set; }

    /// <summary>How many revisions are kept; 0 keeps all.</summary>
    public int? HistoryMax { get; set; }

    /// <summary>What <c>helm history</c> says about the revision.</summary>
    public string? Description { get; set; }

    /// <summary>
    /// Put on the Secret that helm keeps the revision in, so that they can be read without unpacking it. An upgrade and a rollback hand the older
    /// ones on; the value <c>null</c> takes one off.
    /// </summary>
    public IReadOnlyDictionary<string, string> Labels { get; set; } = new Dictionary<string, string>();

    /// <summary><c>client</c> or <c>server</c> changes nothing and prints what would be sent.</summary>
    public string? DryRun { get; set; }

    /// <summary>Leaves Secrets out of what <see cref="DryRun"/> prints.</summary>
    public bool? HideSecret { get; set; }

    /// <summary><c>table</c>, <c>json</c> or <c>yaml</c>.</summary>
    public string? Output { get; set; }
}

/// <summary>Switches of <c>helm uninstall</c>.</summary>
public sealed class HelmUninstallSettings : HelmSettings
{
    /// <summary>Succeeds when there is no such release.</summary>
    public bool? IgnoreNotFound { get; set; }

    /// <summary>Keeps the release's record, so that its history can still be read.</summary>
    public bool? KeepHistory { get; set; }

    /// <inheritdoc cref="HelmUpgradeSettings.Description"/>
    public string? Description { get; set; }

    /// <summary><c>background</c>, <c>foreground</c> or <c>orphan</c>.</summary>
    public string? Cascade { get; set; }

    /// <summary>Waits until the resources are gone: <c>watcher</c>, <c>legacy</c> or <c>hookOnly</c>, helm's own.</summary>
    public string? Wait { get; set; }

    /// <inheritdoc cref="HelmUpgradeSettings.Timeout"/>
    public TimeSpan? Timeout { get; set; }
}

/// <summary>Switches of <c>helm rollback</c>.</summary>
public sealed class HelmRollbackSettings : HelmSettings
{
    /// <inheritdoc cref="HelmUpgradeSettings.Wait"/>
    public string? Wait { get; set; }

    /// <inheritdoc cref="HelmUpgradeSettings.Timeout"/>
    public TimeSpan? Timeout { get; set; }

    /// <inheritdoc cref="HelmUpgradeSettings.HistoryMax"/>
    public int? HistoryMax { get; set; }
}

/// <summary>Switches of <c>helm status</c>.</summary>
public sealed class HelmStatusSettings : HelmSettings
{
    /// <summary>The revision to look at; null for the newest.</summary>
    public int? Revision { get; set; }

    /// <inheritdoc cref="HelmUpgradeSettings.Output"/>
    public string? Output { get; set; }
}

/// <summary>Switches of <c>helm history</c>.</summary>
public sealed class HelmHistorySettings : HelmSettings
{
    /// <summary>How many revisions at most; helm's own limit is 256.</summary>
    public int? Max { get; set; }

    /// <inheritdoc cref="HelmUpgradeSettings.Output"/>
    public string? Output { get; set; }
}

/// <summary>Switches of <c>helm get values</c>.</summary>
public sealed class HelmGetValuesSettings : HelmSettings
{
    /// <summary>The chart's own values too, and not only what the release was given.</summary>
    public bool? All { get; set; }

    /// <inheritdoc cref="HelmStatusSettings.Revision"/>
    public int? Revision { get; set; }

    /// <inheritdoc cref="HelmUpgradeSettings.Output"/>
    public string? Output { get; set; }
}

/// <summary>Switches of <c>helm get manifest</c>.</summary>
public sealed class HelmGetManifestSettings : HelmSettings
{
    /// <inheritdoc cref="HelmStatusSettings.Revision"/>
    public int? Revision { get; set; }
}

/// <summary>Switches of <c>helm template</c>.</summary>
public sealed class HelmTemplateSettings : HelmValuesSettings
{
    /// <summary>Only these templates, by their paths in the chart.</summary>
    public IReadOnlyList<string> ShowOnly { get; set; } = [];

    /// <summary>API versions the cluster is taken to have.</summary>
    public IReadOnlyList<string> ApiVersions { get; set; } = [];

    /// <summary>The Kubernetes version the cluster is taken to have.</summary>
    public string? KubeVersion { get; set; }

    /// <summary>Renders what an upgrade would, not what an installation would.</summary>
    public bool? IsUpgrade { get; set; }

    public bool? SkipTests { get; set; }
}

/// <summary>Switches of <c>helm dependency build</c>.</summary>
public sealed class HelmDependencyBuildSettings : HelmSettings
{
    /// <summary>Trusts the repository indexes already at hand.</summary>
    public bool? SkipRefresh { get; set; }
}

/// <summary>Switches of <c>helm version</c>.</summary>
public sealed class HelmVersionSettings : HelmSettings
{
    /// <summary>The number alone.</summary>
    public bool? Short { get; set; }

    /// <summary>A Go template, such as <c>{{.Version}}</c>.</summary>
    public string? Template { get; set; }
}
