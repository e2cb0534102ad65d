using System.Diagnostics;
using System.Reflection;
using Cake.Core;
using Cake.Core.Configuration;
using Cake.Core.Diagnostics;
using Cake.Core.IO;
using Cake.Core.Tooling;
using Rollout.Reporting;

namespace Rollout.Commands;

/// <summary>
/// Runs what the Cake addins start: each command that changes something is echoed as it could be typed, and cancellation, which the engine
/// does not know, ends the process: it is interrupted first, so that helm can mark its revision failed and say so, and killed if that
/// takes too long.
/// </summary>
public sealed class EchoingProcessRunner(
    IFileSystem fileSystem,
    ICakeEnvironment environment,
    ICakeLog log,
    IToolLocator tools,
    ICakeConfiguration configuration,
    RolloutConsole console,
    RunCancellation cancellation,
    TimeProvider time) : IProcessRunner
{
    private static readonly TimeSpan LastWords = TimeSpan.FromSeconds(3);

    // Reads would only be noise between the lines that a person may want to repeat.
    private static readonly string[] Quiet = ["template ", "status ", "history ", "get ", "version"];
    private const int KeptLines = 20;
    private readonly Queue<string> _said = [];
    private readonly ProcessRunner _inner = new(fileSystem, environment, log, tools, configuration);

    /// <summary>The last lines of what the last command complained about: its standard error, and the errors that <c>helm lint</c> prints beside its findings.</summary>
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
        settings.RedirectedStandardErrorHandler = line => Heard(line, isComplaint: true);
        if (arguments.StartsWith("lint ", StringComparison.Ordinal))
        {
            // What is wrong with the chart stands among the findings; standard error only counts the charts.
            settings.RedirectStandardOutput = true;
            settings.RedirectedStandardOutputHandler = line => Heard(line, line?.StartsWith("[ERROR]", StringComparison.Ordinal) == true);
        }

        var span = RolloutTrace.Command(filePath.GetFilename().ToString(), arguments.Split(' ')[0]);
        var process = _inner.Start(filePath, settings);
        return process is null ? null : new Watched(process, time, span, cancellation.Token);
    }

    private string? Heard(string? line, bool isComplaint)
    {
        if (!string.IsNullOrWhiteSpace(line))
        {
            console.Note(line);
            lock (_said)
            {
                if (isComplaint)
                {
                    _said.Enqueue(line);
                }

                while (_said.Count > KeptLines)
                {
                    _said.Dequeue();
                }
            }
        }

        return line;
    }

    /// <summary>A process while it runs: stopped on cancellation, forgotten when it has ended.</summary>
    private sealed class Watched : IProcess
    {
        private readonly IProcess _inner;
        private readonly Process? _process;
        private readonly TimeProvider _time;
        private readonly Activity? _span;
        private readonly CancellationTokenRegistration _registration;

        public Watched(IProcess inner, TimeProvider time, Activity? span, CancellationToken token)
        {
            _inner = inner;
            _time = time;
            _span = span;

            // The engine's own face of a process does not tell its id, and a signal needs one.
            _process = inner.GetType().GetField("_process", BindingFlags.Instance | BindingFlags.NonPublic)?.GetValue(inner) as Process;
            _registration = token.Register(() => _ = StopAsync());
        }

        public void WaitForExit()
        {
            _inner.WaitForExit();
            _registration.Unregister();
            RolloutTrace.End(_span, _inner.GetExitCode());
        }

        public bool WaitForExit(int milliseconds)
        {
            var ended = _inner.WaitForExit(milliseconds);
            if (ended)
            {
                // With a limit the engine waits for the process alone, and its last lines, which say why it failed, are still on their way.
                _inner.WaitForExit();
                RolloutTrace.End(_span, _inner.GetExitCode());
            }

            _registration.Unregister();
            return ended;
        }

        public int GetExitCode() => _inner.GetExitCode();

        public IEnumerable<string> GetStandardError() => _inner.GetStandardError();

        public IEnumerable<string> GetStandardOutput() => _inner.GetStandardOutput();

        public void Kill() => _inner.Kill();

        public void Dispose()
        {
            _registration.Unregister();
            _inner.Dispose();
        }

        private async Task StopAsync()
        {
            try
            {
                if (_process is { HasExited: true })
                {
                    return;
                }

                if (_process is not null && !OperatingSystem.IsWindows())
                {
                    using var interrupt = Process.Start("/bin/sh", ["-c", $"kill -INT {_process.Id} 2>/dev/null"]);
                    using var limit = new CancellationTokenSource(LastWords, _time);
                    await _process.WaitForExitAsync(limit.Token);
                    return;
                }
            }
            catch (OperationCanceledException)
            {
                // It had its time.
            }
            catch (InvalidOperationException)
            {
                // It has ended by itself.
                return;
            }

            try
            {
                _inner.Kill();
            }
            catch (InvalidOperationException)
            {
                // It has ended in between.
            }
        }
    }
}
