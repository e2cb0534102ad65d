namespace Rehearsal.Tests;

/// <summary>The programs that the tests drive: kubectl, helm, psql, python3.</summary>
internal static class Tools
{
    /// <summary>
    /// Path of a program from ROLLOUT_TOOLS, PATH or the folder into which a rollout unpacks its tools; the test is ignored where
    /// there is none.
    /// </summary>
    public static string Find(string name) => Find(name, pathFirst: true);

    /// <summary>The same, but PATH comes last: whoever minds the version takes the one that a rollout unpacks.</summary>
    public static string FindPinned(string name) => Find(name, pathFirst: false);

    private static string Find(string name, bool pathFirst)
    {
        var cache = Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } set
            ? set
            : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache");
        cache = Path.Combine(cache, "aether-rollout");
        var unpacked = Directory.Exists(cache) ? Directory.EnumerateFiles(cache, name, SearchOption.AllDirectories) : [];
        var onPath = In((Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator));
        var found = In([Environment.GetEnvironmentVariable("ROLLOUT_TOOLS") ?? ""])
            .Concat(pathFirst ? onPath.Concat(unpacked) : unpacked.Concat(onPath))
            .FirstOrDefault(File.Exists);
        if (found is null)
        {
            Assert.Ignore($"there is no {name} in ROLLOUT_TOOLS, on PATH or in {cache}");
        }

        return found!;

        IEnumerable<string> In(IEnumerable<string> folders) =>
            folders.Where(folder => folder.Length > 0).Select(folder => Path.Combine(folder, name));
    }
}
