using System.Formats.Tar;
using System.Security.Cryptography;
using System.Text;
using Polly;
using Polly.Retry;
using Rollout.Commands;

namespace Rollout.Cluster;

/// <summary>A container that runs.</summary>
public sealed record PodContainer(string Namespace, string Pod, string Container)
{
    public override string ToString() => $"{Namespace}/{Pod} ({Container})";
}

/// <summary>A file of a container, in memory only: it may be a secret.</summary>
/// <param name="Path">Below the directory it was read from, with <c>/</c>.</param>
/// <param name="Modified">By the container's clock.</param>
public sealed record PodFile(string Path, byte[] Content, UnixFileMode Mode, DateTimeOffset Modified)
{
    /// <summary>Lower-case hexadecimal.</summary>
    public string Sha256 { get; } = Convert.ToHexStringLower(SHA256.HashData(Content));
}

/// <summary>
/// Files inside running containers, through <c>kubectl exec</c> and the container's own tar, as <c>kubectl cp</c> does it, but without a copy on
/// this machine's disk. The container's word is not trusted: what leads out of the directory, or is no plain file, is refused.
/// </summary>
/// <param name="kubeconfig">Null is kubectl's own default.</param>
/// <param name="kubeContext">Null is the kubeconfig's current context.</param>
/// <param name="fence">Asked before each command that changes something.</param>
public sealed class PodFiles(string kubectl, string? kubeconfig, string? kubeContext, CommandRunner commands, Fence fence, TimeProvider time)
{
    private const int Largest = 256 * 1024 * 1024;
    private const int Tries = 3;
    private const int NoProgram = 127;
    private const int NoPermission = 126;
    private const string Complete = ".complete";
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(2);

    // The last entry of the archive tells that it was whole: tar takes one that ends between two entries for complete.
    private const string Unpack = """
        set -e; umask 077; cd "$1"; rm -rf .incoming; mkdir .incoming
        tar xf - -C .incoming; test -f .incoming/.complete; rm .incoming/.complete; cd .incoming
        find . -type d -exec mkdir -p ../{} ';'; find . -type f -exec mv -f {} ../{} ';'; cd ..; rm -rf .incoming
        """;

    // SQLite's own online backup is the one copy that is whole while others write.
    private const string Backup = """
        import os, sqlite3, sys, tempfile
        source = sqlite3.connect('file:' + sys.argv[1] + '?mode=ro', uri=True, timeout=10)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'copy')
            copy = sqlite3.connect(path)
            source.backup(copy)
            copy.close()
            sys.stdout.buffer.write(open(path, 'rb').read())
        """;

    private readonly ResiliencePipeline<BinaryResult> _retry = new ResiliencePipelineBuilder<BinaryResult> { TimeProvider = time }
        .AddRetry(new RetryStrategyOptions<BinaryResult>
        {
            ShouldHandle = arguments => ValueTask.FromResult(arguments.Outcome.Result is { ExitCode: not 0 } result && IsPassing(result.Error)),
            MaxRetryAttempts = Tries - 1,
            Delay = TimeSpan.FromMilliseconds(500),
            BackoffType = DelayBackoffType.Exponential,
        })
        .Build();

    /// <summary>A variable of the container's environment, wherever it comes from; null where it has none of that name.</summary>
    /// <exception cref="RolloutException">The container cannot be asked.</exception>
    public async Task<string?> VariableAsync(PodContainer at, string name, CancellationToken cancellationToken)
    {
        var result = await ExecuteAsync(at, ["printenv", name], default, cancellationToken);
        return result switch
        {
            { ExitCode: 0 } => Encoding.UTF8.GetString(result.Output).TrimEnd('\n', '\r'),
            { ExitCode: 1, Error: var error } when error.Split('\n').All(l => l.Length == 0 || l.StartsWith("command terminated", StringComparison.Ordinal)) => null,
            _ => throw Failed(at, $"its variable {name} cannot be read", result),
        };
    }

    /// <summary>All files below a directory; null where there is no such directory. Read again while files change under tar's hands.</summary>
    /// <param name="directory">Absolute, or relative to where the container's process runs.</param>
    /// <exception cref="RolloutException">The container cannot be asked, has no tar, or what it sent is no honest archive.</exception>
    public async Task<IReadOnlyList<PodFile>?> ReadAsync(PodContainer at, string directory, CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            var result = await ExecuteAsync(at, ["tar", "cf", "-", $"{directory.TrimEnd('/')}/."], default, cancellationToken);
            switch (result)
            {
                case { ExitCode: 0 }:
                    return Files(at, directory, result.Output);
                case { ExitCode: 1 or 2 } when result.Error.Contains("No such file or directory", StringComparison.Ordinal) && Files(at, directory, result.Output).Count == 0:
                    return null;
                case { ExitCode: 1 or 2 } when attempt < Tries && (result.Error.Contains("file changed", StringComparison.Ordinal) || result.Error.Contains("removed before", StringComparison.Ordinal)):
                    continue;
                default:
                    throw Failed(at, $"{directory} cannot be read", result);
            }
        }
    }

    /// <summary>A SQLite database as one whole file, whoever writes to it meanwhile.</summary>
    /// <param name="path">Below <paramref name="directory"/>.</param>
    /// <exception cref="RolloutException">It cannot be copied consistently.</exception>
    public async Task<byte[]> ReadDatabaseAsync(PodContainer at, string directory, string path, CancellationToken cancellationToken)
    {
        var result = await ExecuteAsync(at, ["python3", "-c", Backup, $"{directory.TrimEnd('/')}/{path}"], default, cancellationToken);
        return result.ExitCode == 0 && IsDatabase(result.Output)
            ? result.Output
            : throw Failed(at, $"the database {directory}/{path} cannot be copied consistently", result);
    }

    /// <summary>Puts files below a directory, each replaced whole; files that are not given stay. Cut short, it leaves what was there.</summary>
    /// <exception cref="RolloutException">The container cannot be asked, or cannot write there.</exception>
    public async Task WriteAsync(PodContainer at, string directory, IReadOnlyList<PodFile> files, CancellationToken cancellationToken)
    {
        await fence(cancellationToken);
        var made = await ExecuteAsync(at, ["mkdir", "-p", directory], default, cancellationToken);
        var result = made.ExitCode == 0 ? await ExecuteAsync(at, ["sh", "-c", Unpack, "sh", directory], Archive(files), cancellationToken) : made;
        if (result.ExitCode != 0)
        {
            throw Failed(at, $"{directory} cannot be written", result);
        }
    }

    /// <summary>Ends the container's process, which the kubelet starts again in the same pod: its volumes stay, its own file system does not.</summary>
    /// <exception cref="RolloutException">The container cannot be asked.</exception>
    public async Task RestartAsync(PodContainer at, CancellationToken cancellationToken)
    {
        await fence(cancellationToken);
        var result = await ExecuteAsync(at, ["kill", "1"], default, cancellationToken);
        if (result.ExitCode is not (0 or 137 or 143))
        {
            throw Failed(at, "its process cannot be ended", result);
        }
    }

    /// <summary>Whether a file is a SQLite database: by its first bytes (SQLite's file format, "Magic Header String").</summary>
    public static bool IsDatabase(ReadOnlySpan<byte> content) => content.StartsWith("SQLite format 3\0"u8);

    private async Task<BinaryResult> ExecuteAsync(PodContainer at, IReadOnlyList<string> command, ReadOnlyMemory<byte> input, CancellationToken cancellationToken)
    {
        var line = new CommandLine(
            kubectl,
            [
                .. kubeContext is null ? Array.Empty<string>() : [$"--context={kubeContext}"],
                "exec", .. input.IsEmpty ? Array.Empty<string>() : ["-i"], "-n", at.Namespace, at.Pod, "-c", at.Container, "--", .. command,
            ])
        {
            Environment = kubeconfig is null ? new Dictionary<string, string?>() : new Dictionary<string, string?> { ["KUBECONFIG"] = kubeconfig },
            Timeout = Limit,
            Echo = false,
        };
        return await _retry.ExecuteAsync(async token => await commands.PipeAsync(line, input, Largest, token), cancellationToken);
    }

    private static bool IsPassing(string error) => ((string[])["unable to upgrade connection", "connection refused", "connection reset", " EOF", "i/o timeout", "TLS handshake timeout", "Internal error occurred", "error dialing backend"])
        .Any(words => error.Contains(words, StringComparison.Ordinal));

    private static RolloutException Failed(PodContainer at, string what, BinaryResult result)
    {
        var program = result.Command.Arguments.SkipWhile(a => a != "--").Skip(1).First();
        var missing = result.ExitCode is NoProgram or NoPermission || result.Error.Contains("executable file not found", StringComparison.Ordinal);
        var said = result.Error.Trim();
        return new RolloutException(
            $"{what} in {at}: {(missing ? $"its image has no {program}" : said.Length == 0 ? $"{program} ended with exit code {result.ExitCode}" : said.Length > 500 ? said[..500] + "…" : said)}.",
            missing ? $"Add {program} to the image, or copy the files by hand." : $"Try: kubectl exec -n {at.Namespace} {at.Pod} -c {at.Container} -- ls");
    }

    private static List<PodFile> Files(PodContainer at, string directory, byte[] archive)
    {
        var files = new List<PodFile>();
        try
        {
            using var reader = new TarReader(new MemoryStream(archive));
            while (reader.GetNextEntry() is { } entry)
            {
                if (entry.EntryType == TarEntryType.Directory)
                {
                    continue;
                }

                var path = Below(directory, entry.Name);
                if (path is null || entry.EntryType is not (TarEntryType.RegularFile or TarEntryType.V7RegularFile))
                {
                    throw new RolloutException(
                        $"{at} has '{entry.Name}' ({entry.EntryType}) below {directory}: only plain files are copied, and none that leads elsewhere. Nothing was changed.",
                        "Find out who put it there, and remove it.");
                }

                using var content = new MemoryStream();
                entry.DataStream?.CopyTo(content);
                files.Add(new PodFile(path, content.ToArray(), entry.Mode, entry.ModificationTime));
            }
        }
        catch (Exception exception) when (exception is InvalidDataException or EndOfStreamException or FormatException or ArgumentException)
        {
            throw new RolloutException($"What tar sent of {directory} in {at} is no whole archive: {exception.Message}", "The same command asks again.", ExitCode.Failed, exception);
        }

        return [.. files.Where(f => !f.Path.StartsWith(".incoming/", StringComparison.Ordinal)).OrderBy(f => f.Path, StringComparer.Ordinal)];
    }

    // tar names what it is given without the leading slash: var/lib/state/./FILE for /var/lib/state/.
    private static string? Below(string directory, string name)
    {
        var root = directory.Trim('/') + "/./";
        var path = name.TrimStart('/');
        path = path.StartsWith(root, StringComparison.Ordinal) ? path[root.Length..]
            : path.StartsWith(directory.Trim('/') + "/", StringComparison.Ordinal) ? path[(directory.Trim('/').Length + 1)..] : string.Empty;
        return path.Length == 0 || path.Split('/').Any(part => part is "" or "." or "..") || path.Contains('\\', StringComparison.Ordinal) ? null : path;
    }

    private static ReadOnlyMemory<byte> Archive(IReadOnlyList<PodFile> files)
    {
        var archive = new MemoryStream();
        using (var writer = new TarWriter(archive, TarEntryFormat.Gnu, leaveOpen: true))
        {
            foreach (var file in files.Append(new PodFile(Complete, [], UnixFileMode.UserRead, DateTimeOffset.UnixEpoch)))
            {
                writer.WriteEntry(new GnuTarEntry(TarEntryType.RegularFile, file.Path)
                {
                    DataStream = new MemoryStream(file.Content),
                    Mode = file.Mode,
                    ModificationTime = file.Modified,
                });
            }
        }

        return archive.GetBuffer().AsMemory(0, (int)archive.Length);
    }
}
