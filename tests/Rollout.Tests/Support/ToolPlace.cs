using System.Reflection;
using Cake.Core;
using Cake.Core.Configuration;
using Cake.Core.Diagnostics;
using Cake.Core.IO;
using Cake.Core.Tooling;
using Rollout.Cluster;
using Rollout.Commands;
using Rollout.Reporting;

namespace Rollout.Tests.Support;

/// <summary>The engine's context with our process runner, and programs of the test's own in a folder.</summary>
internal sealed class ToolPlace : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("tools-").FullName;
    private readonly StringWriter _output = new();
    private readonly CancellationTokenSource _stop = new();

    /// <param name="time">What the runner waits by; null is the real time.</param>
    public ToolPlace(TimeProvider? time = null)
    {
        var log = new NullLog();
        var environment = new CakeEnvironment(new CakePlatform(), new CakeRuntime());
        var files = new FileSystem();
        var globber = new Globber(files, environment);
        var configuration = new CakeConfiguration(new Dictionary<string, string>());
        var tools = new ToolLocator(
            environment, new ToolRepository(environment), new ToolResolutionStrategy(files, environment, globber, configuration, log));
        Console = new RolloutConsole(_output, _output, new Dictionary<string, string?>(), isTerminal: false);
        Runner = new EchoingProcessRunner(files, environment, log, tools, configuration, Console, new RunCancellation(_stop.Token), time ?? TimeProvider.System);
        object[] known =
        [
            files, environment, globber, log, new CakeArguments(Array.Empty<KeyValuePair<string, string>>().ToLookup(p => p.Key, p => p.Value)), Runner,
            new WindowsRegistry(), tools, new CakeDataService(), configuration,
        ];

        // What it takes differs between the engine's versions; what no addin of ours uses is a stand-in that would throw.
        var constructor = typeof(CakeContext).GetConstructors().Single();
        Context = (CakeContext)constructor.Invoke(
            [.. constructor.GetParameters().Select(p => known.FirstOrDefault(p.ParameterType.IsInstanceOfType) ?? DispatchProxy.Create(p.ParameterType, typeof(Unused)))]);
    }

    public CakeContext Context { get; }

    public EchoingProcessRunner Runner { get; }

    public RolloutConsole Console { get; }

    public Reports Reports { get; } = new();

    /// <summary>What people saw.</summary>
    public string Output
    {
        get
        {
            lock (_output)
            {
                return _output.ToString();
            }
        }
    }

    /// <summary>What cancels the run.</summary>
    public CancellationTokenSource Stop => _stop;

    public string PathOf(string name) => System.IO.Path.Combine(_folder, name);

    /// <summary>
    /// A program that notes its calls and fails with one complaint after the other, then succeeds and prints <paramref name="output"/>.
    /// </summary>
    public string Tool(string name, string output = "", params string[] complaints)
    {
        for (var at = 0; at < complaints.Length; at++)
        {
            File.WriteAllText(PathOf($"{name}.{at + 1}"), complaints[at] + "\n");
        }

        File.WriteAllText(PathOf($"{name}.output"), output);
        return Script(
            name,
            """
            n=$(( $(cat "$0.count" 2>/dev/null || echo 0) + 1 ))
            echo $n > "$0.count"
            echo "$@" >> "$0.calls"
            if [ -f "$0.$n" ]; then cat "$0.$n" >&2; exit 1; fi
            cat "$0.output"
            """);
    }

    public string Script(string name, string body)
    {
        var path = PathOf(name);
        File.WriteAllText(path, $"#!/bin/sh\n{body}\n");
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        return path;
    }

    /// <summary>The calls of such a program, a line each.</summary>
    public IReadOnlyList<string> CallsOf(string name) => File.Exists(PathOf($"{name}.calls")) ? File.ReadAllLines(PathOf($"{name}.calls")) : [];

    /// <summary>A slot's deployment through these programs; pauses between tries take no time.</summary>
    public SlotDeployment Deployment(string kubectl, string helm, string? kubeconfig = null, string? context = null) =>
        new(Context, kubectl, helm, kubeconfig, context, () => Runner.LastComplaint, Fences.Open, new HastyTime(), Reports, _stop.Token);

    public void Dispose()
    {
        _stop.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

#pragma warning disable CA1852 // The proxy's type is derived from it at run time.
    public class Unused : DispatchProxy
#pragma warning restore CA1852
    {
        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) => throw new NotSupportedException($"{targetMethod} is not expected here");
    }
}
