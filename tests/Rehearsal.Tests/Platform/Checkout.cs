using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Rehearsal.Tests.Platform;

/// <summary>What a program said and how it ended.</summary>
internal sealed record Ran(int ExitCode, string Output, string Error);

/// <summary>The small Aether checkout in the source tree, and the programs that work on it.</summary>
internal static class Checkout
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(1);

    public static string Root { get; } = Path.GetFullPath(Path.Combine(SourceFolder(), "../../../build/Rehearsal/Platform"));

    public static string Chart => File("deploy/helm/aether-platform");

    public static string File(string path) => Path.Combine(Root, path);

    /// <summary>
    /// Runs one of the checkout's Python programs, with the checkout on the Python path and nothing that it reads of the caller's
    /// environment.
    /// </summary>
    public static Task<Ran> PythonAsync(string[] arguments, IReadOnlyDictionary<string, string>? environment = null, string? root = null)
    {
        var variables = new Dictionary<string, string>(environment ?? new Dictionary<string, string>())
        {
            ["PYTHONDONTWRITEBYTECODE"] = "1",
        };
        variables.TryAdd("PYTHONPATH", root ?? Root);
        return RunAsync(Tools.Find("python3"), arguments, variables, root ?? Root);
    }

    public static async Task<Ran> RunAsync(
        string program, string[] arguments, IReadOnlyDictionary<string, string>? environment = null, string? directory = null)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = directory ?? Root,
        };
        foreach (var name in start.Environment.Keys.Where(IsOurs).ToList())
        {
            start.Environment.Remove(name);
        }

        foreach (var (name, value) in environment ?? new Dictionary<string, string>())
        {
            start.Environment[name] = value;
        }

        using var limit = new CancellationTokenSource(Limit);
        using var process = Process.Start(start)!;
        var error = process.StandardError.ReadToEndAsync(limit.Token);
        var output = await process.StandardOutput.ReadToEndAsync(limit.Token);
        await process.WaitForExitAsync(limit.Token);
        return new Ran(process.ExitCode, output, await error);
    }

    private static bool IsOurs(string name) => name.StartsWith("PG", StringComparison.Ordinal)
        || name.StartsWith("AETHER_", StringComparison.Ordinal)
        || name is "PSQL" or "ADMIN_POSTGRES_DSN" or "TIMESCALE_DSN" or "RELEASE_MANIFEST_DATABASE_URL" or "PYTHONPATH" or "KUBECONFIG";

    private static string SourceFolder([CallerFilePath] string path = "") => Path.GetDirectoryName(path)!;
}
