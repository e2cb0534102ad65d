using System.Text.RegularExpressions;

namespace Rollout.Supply;

/// <summary>An image as a manifest names it, with Docker's defaults written out (distribution/reference grammar).</summary>
/// <param name="Registry">Host, with a port where there is one; <c>docker.io</c> where the text named none.</param>
/// <param name="Repository">Path below the registry.</param>
/// <param name="Tag">Empty only where the text has a digest and no tag.</param>
/// <param name="Digest"><c>sha256:</c> and 64 hexadecimal digits; null where nothing is pinned.</param>
public sealed partial record ImageReference(string Registry, string Repository, string Tag, string? Digest)
{
    private const string DefaultRegistry = "docker.io";

    /// <summary>What the chart's tag value must be for the image to be pinned: its image helper prints <c>repository:tag</c>.</summary>
    /// <exception cref="InvalidOperationException">There is no tag or no digest.</exception>
    public string Pinned => Digest is not null && Tag.Length > 0
        ? $"{Tag}@{Digest}"
        : throw new InvalidOperationException($"The image {this} has no {(Digest is null ? "digest" : "tag")} to be pinned by.");

    /// <summary>Reads <c>[registry/]repository[:tag][@digest]</c> as the Docker client does.</summary>
    /// <exception cref="RolloutException">The text is not an image reference; the message says which part.</exception>
    public static ImageReference Parse(string text)
    {
        var rest = text.Trim();
        string? digest = null;
        if (rest.IndexOf('@', StringComparison.Ordinal) is var at and >= 0)
        {
            digest = rest[(at + 1)..];
            rest = rest[..at];
            Require(DigestGrammar().IsMatch(digest), $"the digest '{digest}' is not sha256: and 64 hexadecimal digits");
        }

        var tag = digest is null ? "latest" : string.Empty;
        if (rest.LastIndexOf(':') is var colon && colon > rest.LastIndexOf('/'))
        {
            tag = rest[(colon + 1)..];
            rest = rest[..colon];
            Require(TagGrammar().IsMatch(tag), $"the tag '{tag}' is not 1 to 128 letters, digits, dots, dashes and underscores");
        }

        var registry = DefaultRegistry;
        if (rest.IndexOf('/', StringComparison.Ordinal) is var slash and > 0 && IsHost(rest[..slash]))
        {
            registry = rest[..slash];
            rest = rest[(slash + 1)..];
        }

        registry = registry is "index.docker.io" or "registry-1.docker.io" ? DefaultRegistry : registry;
        var repository = registry == DefaultRegistry && !rest.Contains('/', StringComparison.Ordinal) ? $"library/{rest}" : rest;
        Require(HostGrammar().IsMatch(registry), $"'{registry}' is not a registry host");
        Require(RepositoryGrammar().IsMatch(repository), $"'{repository}' is not a repository: lower-case words with slashes between them");
        return new ImageReference(registry, repository, tag, digest);

        void Require(bool holds, string otherwise)
        {
            if (!holds)
            {
                throw new RolloutException($"'{text}' is not an image reference: {otherwise}.");
            }
        }
    }

    public override string ToString() =>
        $"{Registry}/{Repository}{(Tag.Length > 0 ? ":" + Tag : string.Empty)}{(Digest is null ? string.Empty : "@" + Digest)}";

    /// <summary>Docker's rule for telling a host from the first word of a repository.</summary>
    private static bool IsHost(string word) =>
        word == "localhost" || word.Any(c => c is '.' or ':' || char.IsAsciiLetterUpper(c));

    [GeneratedRegex(@"\Asha256:[a-f0-9]{64}\z")]
    internal static partial Regex DigestGrammar();

    [GeneratedRegex(@"\A[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\z")]
    private static partial Regex TagGrammar();

    [GeneratedRegex(@"\A[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*\z")]
    private static partial Regex RepositoryGrammar();

    [GeneratedRegex(@"\A(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?\z")]
    private static partial Regex HostGrammar();
}
