using System.ComponentModel;
using System.Diagnostics;
using System.Text;

namespace Rehearsal.Controllers;

/// <summary>Where a container's processes would run: the host folder that is its root, its working directory, its variables.</summary>
internal sealed record ContainerPlace(string Root, string WorkingDirectory, IReadOnlyDictionary<string, string> Environment);

/// <summary>
/// Runs commands "in" a container: real processes of this machine that start in the container's working directory and are given
/// host paths for the container's absolute ones. Paths inside a shell script are not seen; relative ones work.
/// </summary>
internal static class ContainerExec
{
    private const int NotFound = 127;
    private const int NotExecutable = 126;

    private static readonly HashSet<string> Shared = ["bin", "sbin", "usr", "lib", "lib64", "dev", "proc", "sys"];

    /// <returns>The exit code; 126 or 127 where the command could not be started.</returns>
    public static async Task<int> RunAsync(
        ContainerPlace place, IReadOnlyList<string> command, Stream? stdin, Stream? stdout, Stream? stderr, CancellationToken cancellation)
    {
        var translated = Translate(place.Root, command);
        var start = new ProcessStartInfo(translated[0])
        {
            WorkingDirectory = place.WorkingDirectory,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var argument in translated.Skip(1))
        {
            start.ArgumentList.Add(argument);
        }

        // Only what the container has: this process's own variables are none of its business.
        start.Environment.TryGetValue("PATH", out var path);
        start.Environment.Clear();
        start.Environment["PATH"] = path;
        start.Environment["HOME"] = place.Root;
        foreach (var (name, value) in place.Environment)
        {
            start.Environment[name] = value;
        }

        using var process = new Process { StartInfo = start };
        try
        {
            process.Start();
        }
        catch (Win32Exception failure)
        {
            var missing = failure.NativeErrorCode == 2;
            var reason = missing ? "executable file not found in $PATH" : failure.Message;
            await WriteAsync(stderr, $"exec failed: unable to start container process: exec: \"{command[0]}\": {reason}\n", cancellation);
            return missing ? NotFound : NotExecutable;
        }

        using var ended = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var feeding = FeedAsync(process, stdin, ended.Token);
        try
        {
            await Task.WhenAll(
                process.StandardOutput.BaseStream.CopyToAsync(stdout ?? Stream.Null, cancellation),
                process.StandardError.BaseStream.CopyToAsync(stderr ?? stdout ?? Stream.Null, cancellation));
            await process.WaitForExitAsync(cancellation);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw;
        }
        finally
        {
            await ended.CancelAsync();
        }

        _ = feeding;
        return process.ExitCode;
    }

    /// <summary>The command with the container's absolute paths made host paths.</summary>
    private static List<string> Translate(string root, IReadOnlyList<string> command)
    {
        var result = new List<string>(command.Count + 2) { Executable(root, command[0]) };
        var tar = Path.GetFileName(command[0]) == "tar" && command.Count > 2;
        if (tar && command[1].TrimStart('-') is ['c', ..])
        {
            // tar writes the paths it is given into the archive, so it has to be given the container's: relative to its root.
            result.Add(command[1]);
            var members = false;
            foreach (var argument in command.Skip(2))
            {
                if (!members && argument.StartsWith('/'))
                {
                    result.AddRange(["-C", root]);
                    members = true;
                }

                result.Add(members ? argument.TrimStart('/') : argument);
            }

            return result;
        }

        foreach (var argument in command.Skip(1))
        {
            var equals = argument.StartsWith('-') ? argument.IndexOf("=/", StringComparison.Ordinal) : -1;
            result.Add(equals > 0
                ? argument[..(equals + 1)] + (Host(root, argument[(equals + 1)..], tar) ?? argument[(equals + 1)..])
                : Host(root, argument, tar) ?? argument);
        }

        return result;
    }

    /// <summary>
    /// The host path of a container path; null when it is relative, or names a program or device that the container shares with this
    /// machine.
    /// </summary>
    /// <param name="writes">Nothing is shared: what is unpacked must not land on this machine.</param>
    private static string? Host(string root, string path, bool writes = false)
    {
        if (!path.StartsWith('/'))
        {
            return null;
        }

        // A path cannot climb out: /../../x is /x.
        var inside = Path.GetFullPath(path).TrimStart('/');
        var top = inside.Split('/')[0];
        return !writes && Shared.Contains(top) && !Path.Exists(Path.Combine(root, top)) ? null : Path.Combine(root, inside);
    }

    private static string Executable(string root, string file) => Host(root, file) is { } host && File.Exists(host) ? host : file;

    private static async Task FeedAsync(Process process, Stream? stdin, CancellationToken cancellation)
    {
        try
        {
            if (stdin is not null)
            {
                var buffer = new byte[32 * 1024];
                int read;
                while ((read = await stdin.ReadAsync(buffer, cancellation)) > 0)
                {
                    await process.StandardInput.BaseStream.WriteAsync(buffer.AsMemory(0, read), cancellation);
                    await process.StandardInput.BaseStream.FlushAsync(cancellation);
                }
            }

            process.StandardInput.Close();
        }
        catch (Exception gone)
            when (gone is IOException or OperationCanceledException or ObjectDisposedException or InvalidOperationException)
        {
            // The process has ended without reading all of it, which is its right.
        }
    }

    private static async Task WriteAsync(Stream? stream, string text, CancellationToken cancellation)
    {
        if (stream is not null)
        {
            await stream.WriteAsync(Encoding.UTF8.GetBytes(text), cancellation);
        }
    }
}
