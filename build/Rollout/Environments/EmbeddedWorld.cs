using System.Diagnostics;
using System.Text.Json;
using Rollout.Commands;

namespace Rollout.Environments;

/// <summary>
/// The embedded environment as a process of its own: started for a run and gone with it, or kept from <c>RehearsalUp</c> to
/// <c>RehearsalDown</c>. What is in it is told by its <c>world.json</c>.
/// </summary>
/// <param name="directory">The world's directory, <c>.rehearsal</c>.</param>
public sealed class EmbeddedWorld(string directory, ToolBox tools, TimeProvider time, IProgress<string> progress)
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(90);

    private string WorldFile => Path.Combine(directory, "world.json");

    private string LogFile => Path.Combine(directory, "rehearsal.log");

    /// <summary>The running world, or null where none runs.</summary>
    public JsonElement? Running()
    {
        if (!File.Exists(WorldFile))
        {
            return null;
        }

        JsonElement world;
        try
        {
            world = JsonDocument.Parse(File.ReadAllText(WorldFile)).RootElement;
        }
        catch (JsonException exception)
        {
            throw new RolloutException(
                $"'{WorldFile}' is cut short or no JSON: {exception.Message}", "Remove the directory and start again.", ExitCode.Failed, exception);
        }

        return IsAlive(world.GetProperty("pid").GetInt32()) ? world : null;
    }

    /// <summary>Starts the world, or finds it running.</summary>
    /// <param name="keep">Whether it outlives this process.</param>
    /// <returns>Its facts, and whether this call started it.</returns>
    /// <exception cref="RolloutException">It did not start; the message carries the end of its log.</exception>
    public async Task<(JsonElement World, bool Started)> EnsureAsync(bool keep, CancellationToken cancellationToken)
    {
        if (Running() is { } running)
        {
            return (running, false);
        }

        var kubectl = await tools.KubectlAsync(cancellationToken);
        var helm = await tools.HelmAsync(cancellationToken);
        var postgres = await tools.PostgresAsync(cancellationToken);
        Directory.CreateDirectory(directory);
        File.Delete(WorldFile);
        progress.Report("starting the embedded environment");
        var process = Launch(kubectl, helm, postgres, keep);
        await Waiting.UntilAsync(
            "the embedded environment",
            _ => Task.FromResult(process.HasExited || File.Exists(WorldFile)),
            ended => ended,
            _ => LogTail(1),
            StartLimit,
            TimeSpan.FromMilliseconds(50),
            time,
            progress,
            cancellationToken);
        if (process.HasExited)
        {
            throw new RolloutException(
                $"The embedded environment ended while starting, exit code {process.ExitCode}: {LogTail(12)}", $"Its log is {LogFile}.");
        }

        return (Running() ?? throw new RolloutException($"The embedded environment is gone again: {LogTail(12)}", $"Its log is {LogFile}."), true);
    }

    /// <summary>Stops the world; its directory and with it its state go too when <paramref name="remove"/> is set.</summary>
    /// <returns>Whether one was running.</returns>
    public async Task<bool> StopAsync(bool remove, CancellationToken cancellationToken)
    {
        var running = Running();
        if (running is { } world)
        {
            var pid = world.GetProperty("pid").GetInt32();
            using var kill = Process.Start("kill", ["-TERM", pid.ToString(System.Globalization.CultureInfo.InvariantCulture)]);
            await kill.WaitForExitAsync(cancellationToken);
            await Waiting.UntilAsync(
                "the embedded environment to end",
                _ => Task.FromResult(!IsAlive(pid)),
                gone => gone,
                _ => LogTail(1),
                TimeSpan.FromSeconds(30),
                TimeSpan.FromMilliseconds(50),
                time,
                progress,
                cancellationToken);
        }

        if (remove && Directory.Exists(directory))
        {
            Directory.Delete(directory, recursive: true);
        }

        return running is not null;
    }

    private static bool IsAlive(int pid)
    {
        try
        {
            using var process = Process.GetProcessById(pid);
            return !process.HasExited && (!OperatingSystem.IsLinux() || !IsZombie(pid));
        }
        catch (ArgumentException)
        {
            return false;
        }
    }

    // A child that ended but was not waited for still has a pid.
    private static bool IsZombie(int pid)
    {
        try
        {
            var status = File.ReadAllText($"/proc/{pid}/stat");
            return status[(status.LastIndexOf(')') + 2)..].StartsWith('Z');
        }
        catch (IOException)
        {
            return true;
        }
    }

    private Process Launch(string kubectl, string helm, string postgres, bool keep)
    {
        var program = Program();
        List<string> arguments = ["up", "--directory", Path.GetFullPath(directory), "--kubectl", kubectl, "--helm", helm, "--postgres", postgres];
        if (!keep)
        {
            arguments.AddRange(["--exit-with", Environment.ProcessId.ToString(System.Globalization.CultureInfo.InvariantCulture)]);
        }

        // The shell gives the world a log file of its own, so that it neither dies with our pipes nor writes on our console.
        var start = new ProcessStartInfo("/bin/sh") { RedirectStandardInput = true };
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add("log=$1; shift; exec \"$@\" >\"$log\" 2>&1 </dev/null");
        start.ArgumentList.Add("rehearsal");
        start.ArgumentList.Add(LogFile);
        start.ArgumentList.Add(program);
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        return Process.Start(start)!;
    }

    private static string Program()
    {
        // …/build/Rollout/bin/CONFIGURATION/net10.0/ → …/build/Rehearsal/Host/bin/CONFIGURATION/net10.0/
        var here = new DirectoryInfo(AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar));
        var build = here.Parent?.Parent?.Parent?.Parent?.FullName ?? here.FullName;
        var program = Path.Combine(build, "Rehearsal", "Host", "bin", here.Parent!.Name, here.Name, "Rehearsal");
        return File.Exists(program)
            ? program
            : throw new RolloutException($"The rehearsal program is not built: '{program}' is missing.", "Run ./build.sh, which builds it.");
    }

    private string LogTail(int lines) =>
        File.Exists(LogFile) ? string.Join('\n', File.ReadLines(LogFile).Where(l => l.Trim().Length > 0).TakeLast(lines)) : "no log yet";
}
