using Cake.Core.Composition;
using Cake.Core.IO;
using Cake.Core.Packaging;

namespace Cake.Frosting;

/// <summary>The verbs a build's <c>Program</c> is written in. Of each kind only the last call counts.</summary>
public static class CakeHostExtensions
{
    /// <summary>Makes a <typeparamref name="TStartup"/> at once and lets it register services.</summary>
    public static CakeHost UseStartup<TStartup>(this CakeHost host)
        where TStartup : IFrostingStartup, new() =>
        host.With(services => new TStartup().Configure(services));

    /// <summary>Hands a <typeparamref name="TContext"/> to every task and lifetime.</summary>
    public static CakeHost UseContext<TContext>(this CakeHost host)
        where TContext : class, IFrostingContext =>
        host.With(services => services.UseContext<TContext>());

    /// <summary>Runs a setup before the first task and a teardown after the last.</summary>
    public static CakeHost UseLifetime<TLifetime>(this CakeHost host)
        where TLifetime : class, IFrostingLifetime =>
        host.With(services => services.UseLifetime<TLifetime>());

    /// <summary>Runs a setup before the first task; replaces only that half of a lifetime.</summary>
    public static CakeHost UseSetup<TSetup>(this CakeHost host)
        where TSetup : class, IFrostingSetup =>
        host.With(services => services.UseSetup<TSetup>());

    /// <summary>Runs a teardown after the last task, whatever happened; replaces only that half of a lifetime.</summary>
    public static CakeHost UseTeardown<TTeardown>(this CakeHost host)
        where TTeardown : class, IFrostingTeardown =>
        host.With(services => services.UseTeardown<TTeardown>());

    /// <summary>Runs a setup before and a teardown after each task.</summary>
    public static CakeHost UseTaskLifetime<TLifetime>(this CakeHost host)
        where TLifetime : class, IFrostingTaskLifetime =>
        host.With(services => services.UseTaskLifetime<TLifetime>());

    /// <summary>Runs a setup before each task; replaces only that half of a task lifetime.</summary>
    public static CakeHost UseTaskSetup<TSetup>(this CakeHost host)
        where TSetup : class, IFrostingTaskSetup =>
        host.With(services => services.UseTaskSetup<TSetup>());

    /// <summary>Runs a teardown after each task, whatever happened; replaces only that half of a task lifetime.</summary>
    public static CakeHost UseTaskTeardown<TTeardown>(this CakeHost host)
        where TTeardown : class, IFrostingTaskTeardown =>
        host.With(services => services.UseTaskTeardown<TTeardown>());

    /// <summary>Makes a <typeparamref name="TModule"/> at once and copies what it registers.</summary>
    public static CakeHost UseModule<TModule>(this CakeHost host)
        where TModule : ICakeModule, new() =>
        host.With(services => services.UseModule<TModule>());

    /// <summary>Adds an installer beside those for <c>nuget:</c> and <c>dotnet:</c>.</summary>
    public static CakeHost UsePackageInstaller<TPackageInstaller>(this CakeHost host)
        where TPackageInstaller : class, IPackageInstaller =>
        host.With(services => services.UsePackageInstaller<TPackageInstaller>());

    /// <summary>
    /// Installs a tool before the tasks run, in every mode that looks at tasks, and makes its files known to <c>context.Tools</c>.
    /// Only a build that calls this has the engine's installers for <c>nuget:</c> and <c>dotnet:</c>; they cost start-up time.
    /// The address reads like <c>dotnet:?package=NAME&amp;version=1.2.3</c> or <c>nuget:?package=NAME</c>.
    /// </summary>
    public static CakeHost InstallTool(this CakeHost host, Uri uri) => host.With(services => services.UseTool(uri));

    /// <summary>
    /// The directory to run in, relative to the process's own; <c>--working</c> beats it. The process really changes to it.
    /// </summary>
    public static CakeHost UseWorkingDirectory(this CakeHost host, DirectoryPath path) =>
        host.With(services => services.UseWorkingDirectory(path));

    /// <summary>A value of the lowest configuration layer, below environment variables, cake.config and arguments.</summary>
    public static CakeHost UseCakeSetting(this CakeHost host, string key, string value) =>
        host.With(services => services.UseCakeSetting(key, value));

    /// <summary>Where tools are installed and looked for: the setting <c>Paths_Tools</c>.</summary>
    public static CakeHost SetToolPath(this CakeHost host, DirectoryPath path) => host.With(services => services.UseToolPath(path));

    private static CakeHost With(this CakeHost host, Action<Microsoft.Extensions.DependencyInjection.IServiceCollection> services)
    {
        ArgumentNullException.ThrowIfNull(host);
        return host.ConfigureServices(services);
    }
}
