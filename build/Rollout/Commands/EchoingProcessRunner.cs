using Cake.Core;
using Cake.Core.Configuration;
using Cake.Core.Diagnostics;
using Cake.Core.IO;
using Cake.Core.Tooling;
using Rollout.Reporting;

namespace Rollout.Commands;

/// <summary>
/// Runs what the Cake addins start: each command that changes something is echoed as it could be typed, and cancellation, which the engine
/// does not know, ends the process.
/// </summary>
public sealed class EchoingProcessRunner(
    IFileSystem fileSystem,
    ICakeEnvironment environment,
    ICakeLog log,
    IToolLocator tools,
    ICakeConfiguration configuration,
    RolloutConsole console,
    RunCancellation cancellation) : IProcessRunner
{
    // Reads would only be noise between the lines that a person may want to repeat.
    private static readonly string[] Quiet = ["template ", "status ", "history ", "get ", "version"];
    private const int KeptLines = 20;
    private readonly Queue<string> _said = [];
    private readonly ProcessRunner _inner = new(fileSystem, environment, log, tools, configuration);

    /// <summary>The last lines that the last command wrote to standard error.</summary>
    public string LastComplaint
    {
        get
        {
            lock (_said)
            {
                return string.Join('\n', _said);
            }
        }
    }

    public IProcess? Start(FilePath filePath, ProcessSettings settings)
    {
        var arguments = settings.Arguments?.RenderSafe() ?? string.Empty;
        if (!Quiet.Any(q => arguments.StartsWith(q, StringComparison.Ordinal)))
        {
            console.Command($"{filePath.GetFilename()} {arguments}");
        }

        cancellation.Token.ThrowIfCancellationRequested();
        lock (_said)
        {
            _said.Clear();
        }

        // What a tool complains about is shown as before, and kept: its exit code alone explains nothing.
        settings.RedirectStandardError = true;
        settings.RedirectedStandardErrorHandler = line =>
        {
            if (!string.IsNullOrWhiteSpace(line))
            {
                console.Note(line);
                lock (_said)
                {
                    _said.Enqueue(line);
                    while (_said.Count > KeptLines)
                    {
                        _said.Dequeue();
                    }
                }
            }

            return line;
        };
        var process = _inner.Start(filePath, settings);
        if (process is not null)
        {
            cancellation.Token.Register(() =>
            {
                try
                {
                    process.Kill();
                }
                catch (InvalidOperationException)
                {
                    // It has ended by itself.
                }
            });
        }

        return process;
    }
}
