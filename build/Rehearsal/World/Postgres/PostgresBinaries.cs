using System.Globalization;

namespace Rehearsal.World;

/// <summary>Where PostgreSQL's server programs are on this machine.</summary>
internal static class PostgresBinaries
{
    private const string Packaged = "/usr/lib/postgresql";

    /// <summary>The folder with <c>initdb</c> and <c>postgres</c>: the given one, else PATH's, else the newest package's.</summary>
    /// <exception cref="FileNotFoundException">There are none; the message says where was looked and what helps.</exception>
    public static string Find(string? given)
    {
        if (given is not null)
        {
            return IsComplete(given) ? given : throw new FileNotFoundException($"'{given}' holds no initdb and postgres.");
        }

        var path = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries);
        var packaged = Directory.Exists(Packaged)
            ? Directory.GetDirectories(Packaged).OrderByDescending(VersionOf).Select(folder => Path.Combine(folder, "bin"))
            : [];
        return path.Concat(packaged).FirstOrDefault(IsComplete) ?? throw new FileNotFoundException(
            $"No PostgreSQL server was found: no initdb and postgres in PATH or in {Packaged}/*/bin. " +
            "Install the package 'postgresql', or name the folder of its programs.");
    }

    private static double VersionOf(string folder)
    {
        return double.TryParse(Path.GetFileName(folder), CultureInfo.InvariantCulture, out var version) ? version : 0;
    }

    private static bool IsComplete(string folder)
    {
        return File.Exists(Path.Combine(folder, "initdb")) && File.Exists(Path.Combine(folder, "postgres"));
    }
}
