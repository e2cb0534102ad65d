using Cake.Core;
using Cake.Frosting;
using Microsoft.Extensions.DependencyInjection;

namespace Cake.Tests.Support;

/// <summary>What happened in a run, in order; injected into tasks and lifetimes.</summary>
internal sealed class Trace
{
    private readonly List<string> _entries = [];

    public IReadOnlyList<string> Entries => _entries;

    public void Add(string entry) => _entries.Add(entry);
}

/// <summary>How a run ended.</summary>
/// <param name="Trace">What tasks and lifetimes noted.</param>
internal sealed record BuildResult(int ExitCode, string Output, string Error, IReadOnlyList<string> Trace)
{
    /// <summary>For failure messages.</summary>
    public string Said => $"exit code {ExitCode}\nout:\n{Output}\nerr:\n{Error}";
}

/// <summary>A build put together by a test and run in this process; what it changes of the process is put back.</summary>
internal sealed class Build
{
    private readonly CakeHost _host = new();
    private readonly Trace _trace = new();

    public Build()
    {
        _host.ConfigureServices(services => services.AddSingleton(_trace));
    }

    public static Build Of<T1>()
        where T1 : class, IFrostingTask => new Build().With<T1>();

    public static Build Of<T1, T2>()
        where T1 : class, IFrostingTask
        where T2 : class, IFrostingTask => Of<T1>().With<T2>();

    public static Build Of<T1, T2, T3>()
        where T1 : class, IFrostingTask
        where T2 : class, IFrostingTask
        where T3 : class, IFrostingTask => Of<T1, T2>().With<T3>();

    public Build With<TTask>()
        where TTask : class, IFrostingTask => Services(services => services.AddSingleton<IFrostingTask, TTask>());

    /// <summary>A task that is only this call.</summary>
    public Build Doing(Action<ICakeContext> work) =>
        Services(services => services.AddSingleton<IFrostingTask>(new Default(work)));

    public Build Services(Action<IServiceCollection> services) => Host(host => host.ConfigureServices(services));

    public Build Host(Action<CakeHost> host)
    {
        host(_host);
        return this;
    }

    public BuildResult Run(params string[] args)
    {
        var directory = Environment.CurrentDirectory;
        Consoles.Output.Take();
        Consoles.Error.Take();
        try
        {
            var exitCode = _host.Run(args);
            return new BuildResult(exitCode, Consoles.Output.Take(), Consoles.Error.Take(), _trace.Entries);
        }
        finally
        {
            Environment.CurrentDirectory = directory;
        }
    }

    private sealed class Default(Action<ICakeContext> work) : FrostingTask
    {
        public override void Run(ICakeContext context) => work(context);
    }
}
