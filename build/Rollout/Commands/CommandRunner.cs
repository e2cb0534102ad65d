using System.ComponentModel;
using System.Diagnostics;
using System.Text;

namespace Rollout.Commands;

/// <summary>One command as a person would type it. Secrets travel in <see cref="Environment"/> or <see cref="Input"/>, never in arguments.</summary>
/// <param name="Program">A path, or a name to be found on PATH.</param>
/// <param name="Arguments">One element an argument; nothing is split or quoted by a shell.</param>
public sealed record CommandLine(string Program, params IReadOnlyList<string> Arguments)
{
    /// <summary>Where it runs; null is the current directory.</summary>
    public string? WorkingDirectory { get; init; }

    /// <summary>Variables set on top of the inherited ones; a null value removes the variable.</summary>
    public IReadOnlyDictionary<string, string?> Environment { get; init; } = new Dictionary<string, string?>();

    /// <summary>Written to standard input, which is closed after it. Null closes it at once.</summary>
    public string? Input { get; init; }

    /// <summary>When to kill it and its children.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>False for reads that would only be noise on the console.</summary>
    public bool Echo { get; init; } = true;

    /// <summary>The line as it could be typed in a shell.</summary>
    public override string ToString() => string.Join(' ', Arguments.Prepend(Path.GetFileName(Program)).Select(Quote));

    private static string Quote(string argument) =>
        argument.Length > 0 && argument.All(c => char.IsAsciiLetterOrDigit(c) || "-_=./:,@%+".Contains(c, StringComparison.Ordinal))
            ? argument
            : "'" + argument.Replace("'", @"'\''", StringComparison.Ordinal) + "'";
}

/// <summary>How a command ended.</summary>
public sealed record CommandResult(CommandLine Command, int ExitCode, string Output, string Error)
{
    /// <summary>This result, or a failure that names the command, its exit code and the end of what it said.</summary>
    /// <exception cref="RolloutException">The exit code is not 0.</exception>
    public CommandResult OrThrow(string? hint = null)
    {
        if (ExitCode == 0)
        {
            return this;
        }

        var said = Error.Trim().Length > 0 ? Error.Trim() : Output.Trim();
        var tail = said.Length > 2000 ? "…" + said[^2000..] : said;
        throw new RolloutException($"'{Command}' ended with exit code {ExitCode}: {(tail.Length == 0 ? "it said nothing" : tail)}", hint);
    }
}

/// <summary>How a command ended whose output is bytes.</summary>
public sealed record BinaryResult(CommandLine Command, int ExitCode, byte[] Output, string Error);

/// <summary>The one place that starts processes: echoes the line, collects output, kills the whole tree on cancellation or time-out.</summary>
/// <param name="echo">Told each command line before it runs.</param>
public sealed class CommandRunner(Action<string> echo)
{
    /// <summary>Runs the command to its end.</summary>
    /// <exception cref="RolloutException">The program is not there, or the time is up.</exception>
    public async Task<CommandResult> RunAsync(CommandLine command, CancellationToken cancellationToken)
    {
        var (exitCode, output, error) = await RunAsync(command, Encoding.UTF8.GetBytes(command.Input ?? string.Empty), int.MaxValue, cancellationToken);
        return new CommandResult(command, exitCode, Encoding.UTF8.GetString(output.GetBuffer(), 0, (int)output.Length), error);
    }

    /// <summary>Runs a command that reads and writes bytes, which stay in memory: what passes here may be secret.</summary>
    /// <param name="limit">Bytes of output beyond which it is stopped.</param>
    /// <exception cref="RolloutException">The program is not there, the time is up, or it wrote too much.</exception>
    public async Task<BinaryResult> PipeAsync(CommandLine command, ReadOnlyMemory<byte> input, int limit, CancellationToken cancellationToken)
    {
        var (exitCode, output, error) = await RunAsync(command, input, limit, cancellationToken);
        return new BinaryResult(command, exitCode, output.ToArray(), error);
    }

    private async Task<(int ExitCode, MemoryStream Output, string Error)> RunAsync(
        CommandLine command, ReadOnlyMemory<byte> input, int limit, CancellationToken cancellationToken)
    {
        if (command.Echo)
        {
            echo(command.ToString());
        }

        using var span = RolloutTrace.Command(Path.GetFileName(command.Program), command.Arguments.FirstOrDefault(a => !a.StartsWith('-')));
        using var process = Start(command);
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(command.Timeout);
        using var excess = new CancellationTokenSource();
        using var end = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, excess.Token);
        var output = CollectAsync(process.StandardOutput.BaseStream, limit, excess);
        var error = ReadAsync(process.StandardError);
        try
        {
            await process.StandardInput.BaseStream.WriteAsync(input, end.Token);
            process.StandardInput.Close();
            await process.WaitForExitAsync(end.Token);
        }
        catch (IOException) when (!end.IsCancellationRequested)
        {
            // The program ended without reading its input; its exit code tells the story.
            await process.WaitForExitAsync(end.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            cancellationToken.ThrowIfCancellationRequested();
            if (!excess.IsCancellationRequested)
            {
                throw new RolloutException($"'{command}' did not end within {command.Timeout.TotalSeconds:0} s and was stopped.");
            }
        }

        // Also where it ended by itself before it could be stopped: what was collected is not all of it.
        var collected = await output;
        if (excess.IsCancellationRequested)
        {
            throw new RolloutException($"'{command}' wrote more than {limit / 1024 / 1024} MiB and was stopped.");
        }

        RolloutTrace.End(span, process.ExitCode);
        return (process.ExitCode, collected, await error);
    }

    private static Process Start(CommandLine command)
    {
        var start = new ProcessStartInfo(command.Program)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = command.WorkingDirectory ?? string.Empty,
        };
        foreach (var argument in command.Arguments)
        {
            start.ArgumentList.Add(argument);
        }

        foreach (var (name, value) in command.Environment)
        {
            if (value is null)
            {
                start.Environment.Remove(name);
            }
            else
            {
                start.Environment[name] = value;
            }
        }

        try
        {
            return Process.Start(start)!;
        }
        catch (Win32Exception exception)
        {
            throw new RolloutException(
                $"'{command.Program}' could not be started: {exception.Message}.", "Install it, or put it on PATH.", ExitCode.Failed, exception);
        }
    }

    private static async Task<MemoryStream> CollectAsync(Stream stream, int limit, CancellationTokenSource excess)
    {
        var collected = new MemoryStream();
        var buffer = new byte[81920];
        int count;
        while ((count = await stream.ReadAsync(buffer)) > 0)
        {
            if (collected.Length + count > limit)
            {
                await excess.CancelAsync();
                break;
            }

            collected.Write(buffer, 0, count);
        }

        return collected;
    }

    private static async Task<string> ReadAsync(StreamReader reader)
    {
        var text = new StringBuilder();
        var buffer = new char[4096];
        int count;
        while ((count = await reader.ReadAsync(buffer)) > 0)
        {
            text.Append(buffer, 0, count);
        }

        return text.ToString();
    }
}
