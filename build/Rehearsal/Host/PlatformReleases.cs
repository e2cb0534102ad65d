using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Rehearsal.World;

namespace Rehearsal;

/// <summary>
/// The platform's releases: the same small checkout ten times, with the chart's version, its appVersion and the image tag moved on.
/// The rehearsal's own addresses are written in place of the overlay's placeholders, so that every release is committed with them.
/// </summary>
public sealed partial class PlatformReleases
{
    private const string Chart = "deploy/helm/aether-platform";
    private const string Overlay = "deploy/environments/values-rehearsal.yaml";
    private static readonly DateTimeOffset FirstCommitted = new(2026, 11, 1, 8, 0, 0, TimeSpan.Zero);

    private readonly SortedDictionary<string, byte[]> _files;

    private PlatformReleases(SortedDictionary<string, byte[]> files)
    {
        _files = files;
    }

    /// <summary>Oldest first.</summary>
    public static IReadOnlyList<string> Tags { get; } = [.. Enumerable.Range(0, 10).Select(n => $"v2026.11.{n}")];

    public static string First => Tags[0];

    /// <summary>Reads the checkout that is delivered with this program.</summary>
    /// <param name="registry"><c>HOST:PORT</c>.</param>
    public static PlatformReleases Load(string registry, Uri exchange)
    {
        var root = Path.Combine(AppContext.BaseDirectory, "Platform");
        var files = new SortedDictionary<string, byte[]>(StringComparer.Ordinal);
        foreach (var file in Directory.EnumerateFiles(
            root, "*", new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = 0 }))
        {
            files[Path.GetRelativePath(root, file).Replace('\\', '/')] = File.ReadAllBytes(file);
        }

        files[Overlay] = Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(files[Overlay])
            .Replace("__REGISTRY__", registry, StringComparison.Ordinal)
            .Replace("__EXCHANGE__", exchange.AbsoluteUri.TrimEnd('/'), StringComparison.Ordinal));
        return new PlatformReleases(files);
    }

    /// <summary>Writes the chart and the overlays of one release as plain files.</summary>
    /// <returns>The chart's folder and the values files of a slot, in the order helm is given them.</returns>
    public (string Chart, IReadOnlyList<string> Values) WriteChart(string directory, string tag, string slot)
    {
        foreach (var (path, content) in FilesOf(tag).Where(file => file.Path.StartsWith("deploy/", StringComparison.Ordinal)))
        {
            var target = Path.Combine(directory, path);
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.WriteAllBytes(target, content);
        }

        return (Path.Combine(directory, Chart), [Path.Combine(directory, Overlay), Path.Combine(
            directory, $"deploy/environments/values-{slot}.yaml")]);
    }

    /// <summary>
    /// Makes the git checkout, all releases tagged, standing on the newest; finds it again where it was made before. Commits are the
    /// same in every world with the same addresses.
    /// </summary>
    public async Task<IReadOnlyList<GitHubRelease>> CheckOutAsync(string directory, CancellationToken cancellationToken)
    {
        var memory = Path.Combine(directory, ".git", "rehearsal-releases.json");
        if (StateFile.Read(memory) is JsonObject known)
        {
            return [.. Tags.Select(tag => new GitHubRelease(tag, (string)known[tag]!, CommittedAt(tag)))];
        }

        if (Directory.Exists(directory))
        {
            // What an interrupted creation left.
            Directory.Delete(directory, recursive: true);
        }

        Directory.CreateDirectory(directory);
        await GitAsync(directory, null, cancellationToken, "init", "--quiet", "--initial-branch=main");
        await File.AppendAllTextAsync(
            Path.Combine(directory, ".git", "config"),
            "[user]\n\tname = Rehearsal\n\temail = rehearsal@aether.example.com\n",
            cancellationToken);
        var marks = Path.Combine(directory, ".git", "rehearsal-marks");
        await GitAsync(directory, ImportStream(), cancellationToken, "fast-import", "--quiet", $"--export-marks={marks}");
        await GitAsync(directory, null, cancellationToken, "checkout", "--quiet", "--force", "main");
        var commits = (await File.ReadAllLinesAsync(marks, cancellationToken)).Select(line => line.Split(' ')).ToDictionary(
            line => line[0], line => line[1]);
        var state = new JsonObject();
        for (var n = 0; n < Tags.Count; n++)
        {
            state[Tags[n]] = commits[$":{n + 1}"];
        }

        StateFile.Write(memory, state);
        return await CheckOutAsync(directory, cancellationToken);
    }

    private static DateTimeOffset CommittedAt(string tag)
    {
        return FirstCommitted.AddDays(NumberOf(tag));
    }

    private static int NumberOf(string tag)
    {
        return int.Parse(tag.AsSpan(tag.LastIndexOf('.') + 1), CultureInfo.InvariantCulture);
    }

    private IEnumerable<(string Path, byte[] Content)> FilesOf(string tag)
    {
        return _files.Select(file => (file.Key, file.Key switch
        {
            Chart + "/Chart.yaml" => Rewrite(file.Value, text =>
                AppVersion().Replace(Version().Replace(text, $"version: 0.4.{NumberOf(tag)}", 1), $"appVersion: \"{tag[1..]}\"", 1)),
            Chart + "/values.yaml" => Rewrite(file.Value, text => MovingTag().Replace(text, $"    tag: {tag}", 1)),
            _ => file.Value,
        }));
    }

    private static byte[] Rewrite(byte[] content, Func<string, string> rewrite)
    {
        return Encoding.UTF8.GetBytes(rewrite(Encoding.UTF8.GetString(content)));
    }

    // git's fast-import format: one process writes all commits. Later commits hold only what differs from the first.
    private byte[] ImportStream()
    {
        using var stream = new MemoryStream();
        void Line(string text) => stream.Write(Encoding.UTF8.GetBytes(text + "\n"));
        var written = new Dictionary<string, byte[]>(StringComparer.Ordinal);
        for (var n = 0; n < Tags.Count; n++)
        {
            var message = $"Release {Tags[n]}\n";
            Line("commit refs/heads/main");
            Line($"mark :{n + 1}");
            Line($"committer Aether CI <ci@aether.example.com> {CommittedAt(Tags[n]).ToUnixTimeSeconds()} +0000");
            Line($"data {Encoding.UTF8.GetByteCount(message)}");
            Line(message);
            foreach (var (path, content) in FilesOf(Tags[n]))
            {
                if (written.TryGetValue(path, out var before) && before.AsSpan().SequenceEqual(content))
                {
                    continue;
                }

                written[path] = content;
                Line($"M 100644 inline {path}");
                Line($"data {content.Length}");
                stream.Write(content);
                Line("");
            }

            Line($"reset refs/tags/{Tags[n]}");
            Line($"from :{n + 1}");
            Line("");
        }

        return stream.ToArray();
    }

    private static async Task GitAsync(string directory, byte[]? input, CancellationToken cancellationToken, params string[] arguments)
    {
        var start = new ProcessStartInfo("git", arguments)
        {
            WorkingDirectory = directory,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };

        // Neither the person's settings nor a surrounding git command have a say here.
        foreach (var name in (string[])["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"])
        {
            start.Environment.Remove(name);
        }

        start.Environment["GIT_CONFIG_GLOBAL"] = "/dev/null";
        start.Environment["GIT_CONFIG_NOSYSTEM"] = "1";
        using var git = Start(start);
        var output = git.StandardOutput.ReadToEndAsync(cancellationToken);
        var errors = git.StandardError.ReadToEndAsync(cancellationToken);
        await git.StandardInput.BaseStream.WriteAsync(input ?? [], cancellationToken);
        git.StandardInput.Close();
        await output;
        await git.WaitForExitAsync(cancellationToken);
        if (git.ExitCode != 0)
        {
            throw new RehearsalException($"git {arguments[0]} in {directory} ended with {git.ExitCode}: {(await errors).Trim()}");
        }
    }

    private static Process Start(ProcessStartInfo start)
    {
        try
        {
            return Process.Start(start)!;
        }
        catch (System.ComponentModel.Win32Exception missing)
        {
            throw new RehearsalException("git is needed for the platform's checkout and was not found in PATH.", missing);
        }
    }

    [GeneratedRegex("^version: .*$", RegexOptions.Multiline)]
    private static partial Regex Version();

    [GeneratedRegex("^appVersion: .*$", RegexOptions.Multiline)]
    private static partial Regex AppVersion();

    [GeneratedRegex("^    tag: latest$", RegexOptions.Multiline)]
    private static partial Regex MovingTag();
}
