namespace Cake.Helm.List;

/// <summary>
/// Switches of <c>helm list</c> that Helm still knows; null leaves one out. The published package's <c>All</c>, <c>Deleted</c>,
/// <c>Deleting</c>, <c>ColWidth</c> and the TLS switches are Helm 2's.
/// </summary>
public sealed class HelmListSettings : GlobalHelmSettings
{
    /// <summary>Sorts by release date.</summary>
    public bool? Date { get; set; }

    public bool? Deployed { get; set; }

    public bool? Failed { get; set; }

    /// <summary>How many releases at most; helm's own limit is 256.</summary>
    public int? Max { get; set; }

    public string? Namespace { get; set; }

    /// <summary>The number of releases to leave out at the start.</summary>
    public string? Offset { get; set; }

    public bool? Pending { get; set; }

    public bool? Reverse { get; set; }

    /// <summary>Names only.</summary>
    public bool? Short { get; set; }
}
