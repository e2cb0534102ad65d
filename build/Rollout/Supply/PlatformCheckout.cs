using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Rollout.Commands;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Rollout.Supply;

/// <summary>A chart by its Chart.yaml.</summary>
/// <param name="Name">The chart's name.</param>
/// <param name="Version">The chart's own version.</param>
/// <param name="AppVersion">The version of what it installs; null where it says none.</param>
public sealed record ChartVersion(string Name, string Version, string? AppVersion);

/// <summary>The git checkout of the platform that is rolled out. Reads only; paths are relative to <paramref name="directory"/>.</summary>
/// <param name="directory">The checkout's root, or a folder in it.</param>
/// <param name="commands">Runs git.</param>
public sealed class PlatformCheckout(string directory, CommandRunner commands)
{
    private readonly string _directory = Path.GetFullPath(directory);

    /// <summary>The commit that is checked out, as a full SHA.</summary>
    /// <exception cref="RolloutException">There is no checkout, no commit in it, or no git.</exception>
    public async Task<string> HeadAsync(CancellationToken cancellationToken = default)
    {
        var result = await GitAsync(cancellationToken, "rev-parse", "--verify", "--quiet", "HEAD^{commit}");
        return result.ExitCode == 0 ? result.Output.Trim() : throw new RolloutException($"{_directory} has no commit yet.");
    }

    /// <summary>The commit that the tag stands for, through an annotated tag, as a full SHA.</summary>
    /// <exception cref="RolloutException">There is no such tag; the message lists the newest ones there are.</exception>
    public async Task<string> CommitOfTagAsync(string tag, CancellationToken cancellationToken = default)
    {
        var result = await GitAsync(cancellationToken, "rev-parse", "--verify", "--quiet", $"refs/tags/{tag}^{{commit}}");
        if (result.ExitCode == 0)
        {
            return result.Output.Trim();
        }

        const int most = 10;
        var listed = (await GitAsync(cancellationToken, "tag", "--list", "--sort=-creatordate")).OrThrow();
        var tags = listed.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        throw new RolloutException(
            $"The platform checkout {_directory} has no tag '{tag}'; "
                + (tags.Length == 0 ? "it has none at all." : $"the newest are {string.Join(", ", tags.Take(most))}."),
            $"Create and push the tag, or fetch it: git -C {_directory} fetch --tags");
    }

    /// <summary>
    /// Files in the directory that differ from the commit: changed, staged, removed or not tracked; ignored files are not among them.
    /// </summary>
    public async Task<IReadOnlyList<string>> DirtyFilesAsync(CancellationToken cancellationToken = default)
    {
        var status = (await GitAsync(
            cancellationToken, "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--", ".")).OrThrow();
        var root = Root();
        return
        [
            .. status.Output
                .Split('\0', StringSplitOptions.RemoveEmptyEntries)
                .Select(line => Path.GetRelativePath(_directory, Path.Combine(root, line[3..])).Replace('\\', '/'))
                .Order(StringComparer.Ordinal),
        ];
    }

    /// <summary>Whether the file is in the checked-out commit and the working copy is the same.</summary>
    public async Task<bool> IsCommittedAsync(string path, CancellationToken cancellationToken = default)
    {
        var known = await GitAsync(cancellationToken, "cat-file", "-e", $"HEAD:./{Relative(path)}");
        var status = (await GitAsync(cancellationToken, "status", "--porcelain=v1", "--", $":(top,literal){FromRoot(path)}")).OrThrow();
        return known.ExitCode == 0 && status.Output.Trim().Length == 0;
    }

    /// <summary>The text of a file as a commit or tag has it.</summary>
    /// <exception cref="RolloutException">There is no such revision, or no such file in it.</exception>
    public async Task<string> FileAtAsync(string revision, string path, CancellationToken cancellationToken = default)
    {
        var commit = await GitAsync(cancellationToken, "rev-parse", "--verify", "--quiet", "--end-of-options", $"{revision}^{{commit}}");
        if (commit.ExitCode != 0)
        {
            throw new RolloutException($"The platform checkout {_directory} has no commit, tag or branch '{revision}'.");
        }

        var file = await GitAsync(cancellationToken, "cat-file", "blob", $"{commit.Output.Trim()}:./{Relative(path)}");
        return file.ExitCode == 0
            ? file.Output
            : throw new RolloutException($"'{path}' is not a file in {revision} of the platform checkout {_directory}.");
    }

    /// <summary>Name and versions of the chart in a folder, from its Chart.yaml on disk.</summary>
    /// <exception cref="RolloutException">There is no Chart.yaml, or it lacks a name or version.</exception>
    public ChartVersion ChartVersion(string chart)
    {
        var file = Path.Combine(Existing(chart), "Chart.yaml");
        try
        {
            var yaml = new YamlStream();
            using (var reader = File.OpenText(file))
            {
                yaml.Load(reader);
            }

            var fields = yaml.Documents is [{ RootNode: YamlMappingNode mapping }] ? mapping : [];
            return new ChartVersion(
                Field("name") ?? throw new RolloutException($"'{file}' names no chart."),
                Field("version") ?? throw new RolloutException($"'{file}' has no version."),
                Field("appVersion"));

            string? Field(string name) =>
                fields.Children.TryGetValue(name, out var node) && node is YamlScalarNode { Value.Length: > 0 } scalar
                    ? scalar.Value
                    : null;
        }
        catch (FileNotFoundException exception)
        {
            throw new RolloutException($"'{_directory}/{chart}' is not a chart: it has no Chart.yaml.", innerException: exception);
        }
        catch (YamlException exception)
        {
            throw new RolloutException($"'{file}' is not YAML: {exception.Message}", innerException: exception);
        }
    }

    /// <summary>
    /// <c>sha256:…</c> over every file below a folder: its relative path with slashes, length and bytes, in ordinal order of the
    /// paths. A link
    /// counts as its target's name and is not followed. Equal digests mean equal trees, whatever the machine or file times.
    /// </summary>
    /// <exception cref="RolloutException">There is no such folder.</exception>
    public string DigestOfTree(string path)
    {
        var root = Existing(path);
        var files = new SortedDictionary<string, FileSystemInfo>(StringComparer.Ordinal);
        Collect(new DirectoryInfo(root));
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var buffer = new byte[81920];
        var length = new byte[8];
        foreach (var (name, file) in files)
        {
            using Stream content = file.LinkTarget is { } target
                ? new MemoryStream(Encoding.UTF8.GetBytes("link to " + target))
                : new FileStream(file.FullName, FileMode.Open, FileAccess.Read, FileShare.Read);
            BinaryPrimitives.WriteInt64BigEndian(length, content.Length);
            hash.AppendData(Encoding.UTF8.GetBytes(name + "\0"));
            hash.AppendData(length);
            int count;
            while ((count = content.Read(buffer)) > 0)
            {
                hash.AppendData(buffer, 0, count);
            }
        }

        return "sha256:" + Convert.ToHexStringLower(hash.GetHashAndReset());

        void Collect(DirectoryInfo folder)
        {
            foreach (var entry in folder.EnumerateFileSystemInfos())
            {
                if (entry is DirectoryInfo { LinkTarget: null } inner)
                {
                    Collect(inner);
                }
                else
                {
                    files.Add(Path.GetRelativePath(root, entry.FullName).Replace('\\', '/'), entry);
                }
            }
        }
    }

    private string Existing(string path)
    {
        var folder = Path.Combine(_directory, path);
        return Directory.Exists(folder)
            ? folder
            : throw new RolloutException($"There is no folder '{path}' in the platform checkout {_directory}.");
    }

    private string Relative(string path) => Path.GetRelativePath(_directory, Path.Combine(_directory, path)).Replace('\\', '/');

    private string FromRoot(string path) => Path.GetRelativePath(Root(), Path.Combine(_directory, path)).Replace('\\', '/');

    /// <summary>Where the repository begins: git asks who owns that folder, and an answer needs its name.</summary>
    private string Root()
    {
        if (!Directory.Exists(_directory))
        {
            throw new RolloutException($"The platform checkout {_directory} does not exist.", "Say where it is with --platform=DIR.");
        }

        for (var folder = _directory; folder is not null; folder = Path.GetDirectoryName(folder))
        {
            if (Path.Exists(Path.Combine(folder, ".git")))
            {
                return folder;
            }
        }

        throw new RolloutException($"{_directory} is not in a git checkout.", "Say where the platform's checkout is with --platform=DIR.");
    }

    private Task<CommandResult> GitAsync(CancellationToken cancellationToken, params string[] arguments) => commands.RunAsync(
        new CommandLine(
            "git",
            [
                // A pipeline's checkout often belongs to another user than the one git runs as; its hooks and watchers stay out of it.
                "-c", $"safe.directory={Root()}", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false", .. arguments,
            ])
        {
            WorkingDirectory = _directory,
            Echo = false,
            Environment = new Dictionary<string, string?>
            {
                ["GIT_DIR"] = null,
                ["GIT_WORK_TREE"] = null,
                ["GIT_INDEX_FILE"] = null,
                ["GIT_OPTIONAL_LOCKS"] = "0",
                ["GIT_TERMINAL_PROMPT"] = "0",
                ["LC_ALL"] = "C",
            },
        },
        cancellationToken);
}
