namespace Rehearsal.Cluster;

/// <summary>A resource as discovery describes it.</summary>
/// <param name="Name">Plural, lower case: the path segment.</param>
/// <param name="Tracked">Whether the server counts <c>metadata.generation</c>.</param>
/// <param name="HasStatus">Whether <c>status</c> is a subresource: dropped from writes to the main resource.</param>
public sealed record ResourceType(
    string Group,
    string Version,
    string Name,
    string Kind,
    bool Namespaced,
    bool Tracked,
    bool HasStatus,
    IReadOnlyList<string> ShortNames,
    IReadOnlyList<string> Categories)
{
    /// <summary><c>apps/v1</c>, or <c>v1</c> for the core group.</summary>
    public string ApiVersion => Group.Length == 0 ? Version : Group + "/" + Version;

    /// <summary>Lower-case Kind, as kubectl spells a single object.</summary>
    public string Singular { get; } = Kind.ToLowerInvariant();

    /// <summary>Subresources besides status, each with the group, version and kind it speaks, and its verbs.</summary>
    public IReadOnlyList<Subresource> Subresources { get; init; } = [];

    internal string Qualified => ApiException.Qualified(Group, Name);
}

/// <summary>A subresource as discovery describes it.</summary>
public sealed record Subresource(string Name, string Group, string Version, string Kind, IReadOnlyList<string> Verbs);
