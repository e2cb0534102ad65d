using System.Text.RegularExpressions;

namespace Rehearsal.Aether.Jobs;

internal sealed record Revision(string Id, string? Down, string Statements);

/// <summary>One Alembic tree of the checkout, from its first revision to its head.</summary>
internal sealed partial record MigrationTree(string Name, IReadOnlyList<Revision> Revisions)
{
    /// <summary>
    /// Both trees, in the order in which the platform applies them; they share the table <c>alembic_version</c>, one row each.
    /// </summary>
    public static readonly IReadOnlyList<MigrationTree> All = [Read("data/migrations"), Read("data/alembic")];

    public string Head => Revisions[^1].Id;

    /// <summary>What is left to apply to a database that stores these heads.</summary>
    public IReadOnlyList<Revision> Pending(IReadOnlySet<string> stored)
    {
        var at = Revisions.ToList().FindLastIndex(revision => stored.Contains(revision.Id));
        return [.. Revisions.Skip(at + 1)];
    }

    private static MigrationTree Read(string name)
    {
        var byId = new Dictionary<string, Revision>(StringComparer.Ordinal);
        foreach (var path in ImageFiles.List(name, ".py"))
        {
            var text = ImageFiles.Read(path);
            var down = DownRevision().Match(text).Groups["id"].Value;

            // Of several files with one id the last counts, as with Alembic.
            var id = RevisionId().Match(text).Groups["id"].Value;
            byId[id] = new Revision(id, down.Length > 0 ? down : null, ImageFiles.Read(Path.ChangeExtension(path, ".sql")));
        }

        var followed = byId.Values.Select(revision => revision.Down).ToHashSet();
        var chain = new List<Revision>();
        for (var at = byId.Values.Single(revision => !followed.Contains(revision.Id)); ; at = byId[at.Down])
        {
            chain.Insert(0, at);
            if (at.Down is null)
            {
                return new MigrationTree(name, chain);
            }
        }
    }

    [GeneratedRegex("^revision\\s*=\\s*[\"'](?<id>[^\"']+)", RegexOptions.Multiline)]
    private static partial Regex RevisionId();

    [GeneratedRegex("^down_revision\\s*=\\s*[\"'](?<id>[^\"']+)", RegexOptions.Multiline)]
    private static partial Regex DownRevision();
}
