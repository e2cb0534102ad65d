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
    private readonly ProcessRunner _inner = new(fileSystem, environment, log, tools, configuration);

    public IProcess? Start(FilePath filePath, ProcessSettings settings)
    {
        var arguments = settings.Arguments?.RenderSafe() ?? string.Empty;
        if (!Quiet.Any(q => arguments.StartsWith(q, StringComparison.Ordinal)))
        {
            console.Command($"{filePath.GetFilename()} {arguments}");
        }

        cancellation.Token.ThrowIfCancellationRequested();
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
