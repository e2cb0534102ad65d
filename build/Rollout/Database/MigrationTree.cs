using System.Text.RegularExpressions;

namespace Rollout.Database;

/// <summary>One row of one Alembic version table.</summary>
/// <param name="Table">With its schema, as <c>public.alembic_version</c>.</param>
public sealed record MigrationHead(string Table, string Revision);

/// <summary>An Alembic tree as its files declare it, read without Python.</summary>
/// <param name="Heads">Revisions that nothing builds on: one in a sound tree.</param>
/// <param name="Revisions">Every revision, once.</param>
/// <param name="Problems">What Alembic would trip over or silently shadow, in sentences.</param>
public sealed partial record MigrationTree(IReadOnlyList<string> Heads, IReadOnlyList<string> Revisions, IReadOnlyList<string> Problems)
{
    internal static MigrationTree Read(string directory)
    {
        if (!Directory.Exists(directory))
        {
            throw new RolloutException($"There is no migration tree at '{directory}'.");
        }

        var files = new List<(string File, string Revision, IReadOnlyList<string> Down)>();
        foreach (var file in Directory.EnumerateFiles(directory, "*.py", SearchOption.AllDirectories).Order(StringComparer.Ordinal))
        {
            var text = File.ReadAllText(file);
            if (RevisionLine().Match(text) is { Success: true } revision)
            {
                var down = DownRevisionLine().Match(text) is { Success: true } line
                    ? Quoted().Matches(line.Groups["value"].Value).Select(m => m.Groups["text"].Value).ToList()
                    : [];
                files.Add((Path.GetFileName(file), revision.Groups["value"].Value, down));
            }
        }

        var revisions = files.Select(f => f.Revision).Distinct(StringComparer.Ordinal).ToList();
        var parents = files.SelectMany(f => f.Down).ToHashSet(StringComparer.Ordinal);
        var heads = revisions.Where(r => !parents.Contains(r)).ToList();
        return new MigrationTree(heads, revisions, [.. Judge(files, revisions, heads)]);
    }

    private static IEnumerable<string> Judge(
        List<(string File, string Revision, IReadOnlyList<string> Down)> files, List<string> revisions, List<string> heads)
    {
        if (files.Count == 0)
        {
            yield return "there is no migration in it";
        }

        foreach (var twins in files.GroupBy(f => f.Revision, StringComparer.Ordinal).Where(g => g.Count() > 1))
        {
            var names = string.Join(", ", twins.Select(t => t.File));
            yield return $"revision '{twins.Key}' is declared by {twins.Count()} files ({names}); only one of them would run";
        }

        foreach (var (file, revision, down) in files)
        {
            foreach (var missing in down.Where(d => !revisions.Contains(d)))
            {
                yield return $"revision '{revision}' ({file}) builds on '{missing}', which is not there";
            }
        }

        if (Circling(files) is { Count: > 0 } circle)
        {
            yield return $"revisions build on one another in a circle, so none of them would run: {string.Join(", ", circle)}";
        }

        if (heads.Count > 1)
        {
            yield return $"it has {heads.Count} heads: {string.Join(", ", heads)}";
        }
    }

    // Taken away from the bottom up, a tree is gone in the end; what is left builds on itself, or on what does.
    private static IReadOnlyList<string> Circling(List<(string File, string Revision, IReadOnlyList<string> Down)> files)
    {
        var left = files.GroupBy(f => f.Revision, StringComparer.Ordinal).ToDictionary(g => g.Key, g => g.SelectMany(f => f.Down).ToHashSet(StringComparer.Ordinal));
        while (left.Where(r => !r.Value.Overlaps(left.Keys)).Select(r => r.Key).ToList() is { Count: > 0 } ends)
        {
            ends.ForEach(e => left.Remove(e));
        }

        return [.. left.Keys.Order(StringComparer.Ordinal)];
    }

    [GeneratedRegex("""^revision\s*(?::[^=\n]+)?=\s*["'](?<value>[^"']+)["']""", RegexOptions.Multiline)]
    private static partial Regex RevisionLine();

    [GeneratedRegex("""^down_revision\s*(?::[^=\n]+)?=\s*(?<value>\([^)]*\)|\[[^\]]*\]|[^\n#]*)""", RegexOptions.Multiline)]
    private static partial Regex DownRevisionLine();

    [GeneratedRegex("""["'](?<text>[^"']+)["']""")]
    private static partial Regex Quoted();
}
