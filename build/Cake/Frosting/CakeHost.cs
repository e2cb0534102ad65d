using System.Reflection;
using Cake.Cli;
using Cake.Core;
using Cake.Core.Configuration;
using Cake.Core.Modules;
using Cake.Frosting.Internal;
using Microsoft.Extensions.DependencyInjection;

namespace Cake.Frosting;

/// <summary>
/// The program that runs a build: collects services, finds the tasks, reads the command line and hands over to the Cake engine.
/// </summary>
/// <remarks>
/// Everything is registered in one <see cref="IServiceCollection"/>, and of each service the last registration counts, so a build
/// replaces an engine service (<c>IProcessRunner</c>, <c>IConsole</c>) by registering its own in <see cref="ConfigureServices"/>.
/// The services are not disposed at the end of a run.
/// </remarks>
public sealed class CakeHost
{
    private readonly ServiceCollection _services = new();
    private readonly List<Assembly> _assemblies = [];

    /// <summary>A host with the engine's own services and a plain <see cref="FrostingContext"/>.</summary>
    public CakeHost()
    {
        Cli.ServiceCollectionExtensions.AddCakeDiagnostics(_services);
        Cli.ServiceCollectionExtensions.UseModule<CoreModule>(_services);
        Cli.ServiceCollectionExtensions.UseModule<Common.Modules.CommonModule>(_services);

        _services.AddSingleton<ICakeConfiguration, FrostingConfiguration>();
        _services.AddSingleton<IVersionResolver, VersionResolver>();
        _services.AddSingleton<ICakeVersionFeature, VersionFeature>();
        _services.AddSingleton<ICakeInfoFeature, InfoFeature>();
        _services.AddSingleton<IToolInstaller, ToolInstaller>();

        _services.AddSingleton<BuildScriptHost<IFrostingContext>>();
        _services.AddSingleton<DryRunScriptHost<IFrostingContext>>();
        _services.AddSingleton<TreeScriptHost>();
        _services.AddSingleton<DescriptionScriptHost>();

        _services.UseContext<FrostingContext>();
    }

    /// <summary>The same as <c>new CakeHost()</c>, as the start of a chain of calls.</summary>
    public static CakeHost Create() => new();

    /// <summary>
    /// Looks for tasks in this assembly too. The entry assembly is always searched and must not be added: adding an assembly twice
    /// registers its tasks twice, which the engine refuses.
    /// </summary>
    public CakeHost AddAssembly(Assembly assembly)
    {
        ArgumentNullException.ThrowIfNull(assembly);
        _assemblies.Add(assembly);
        return this;
    }

    /// <summary>Calls <paramref name="services"/> at once with the collection that every service of the run comes from.</summary>
    public CakeHost ConfigureServices(Action<IServiceCollection> services)
    {
        ArgumentNullException.ThrowIfNull(services);
        services(_services);
        return this;
    }

    /// <summary>Runs what the command line asks for and blocks until it is done.</summary>
    /// <returns>
    /// 0 when it succeeded, -1 when the command line cannot be parsed, else the exit code of the failure. A failure decides its exit
    /// code by being a <see cref="CakeException"/>, or an <see cref="AggregateException"/> that holds one: its
    /// <see cref="CakeException.ExitCode"/> is returned, whichever task or lifetime threw it. Every other failure is 1. An
    /// <see cref="Exception.InnerException"/> is a cause and decides nothing.
    /// </returns>
    public int Run(IEnumerable<string> args)
    {
        ArgumentNullException.ThrowIfNull(args);
        return CommandLine.Run(args, (settings, remaining) => new FrostingRun(ServicesOfOneRun(), settings, remaining).Execute());
    }

    private ServiceCollection ServicesOfOneRun()
    {
        var services = new ServiceCollection();
        if (_services.Any(service => service.ServiceType == typeof(Core.Packaging.PackageReference)))
        {
            // Before all others, so that a build can still replace them. Without a tool to install they would only cost
            // start-up: the engine's context asks for every package installer, and that loads the NuGet assemblies.
            Cli.ServiceCollectionExtensions.UseModule<NuGet.NuGetModule>(services);
            Cli.ServiceCollectionExtensions.UseModule<DotNetTool.Module.DotNetToolModule>(services);
        }

        foreach (var service in _services)
        {
            ((ICollection<ServiceDescriptor>)services).Add(service);
        }

        foreach (var task in TaskDiscovery.In(_assemblies.Prepend(Assembly.GetEntryAssembly())))
        {
            services.AddSingleton(typeof(IFrostingTask), task);
        }

        return services;
    }
}
