using Cake.Common;
using Cake.Core;
using Cake.Core.Composition;
using Cake.Core.IO;
using Cake.Core.Packaging;
using Cake.Frosting;
using Cake.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Path = System.IO.Path;

namespace Cake.Tests.Frosting;

/// <summary>What a build registers, and that it replaces what the host registers.</summary>
public sealed class ServiceTests
{
    [Test]
    public void A_build_replaces_the_engines_process_runner()
    {
        var runner = new RecordingProcessRunner();
        var run = new Build()
            .Services(services => services.AddSingleton<IProcessRunner>(runner))
            .Doing(context => context.StartProcess("anything", "with arguments"))
            .Run();

        Assert.That(run.ExitCode, Is.Zero, run.Said);
        Assert.That(runner.Lines, Has.Count.EqualTo(1));
        Assert.That(runner.Lines[0], Does.EndWith("anything with arguments"));
    }

    [Test]
    [Platform(Include = "Unix")]
    public void A_started_process_returns_its_exit_code_and_never_throws_for_it()
    {
        Assert.That(FakeTool.Run(context => context.StartProcess("sh", "-c \"exit 3\"")), Is.EqualTo(3));
    }

    [Test]
    public void A_build_replaces_the_engines_console()
    {
        var console = new SilentConsole();
        var run = new Build().Services(services => services.AddSingleton<IConsole>(console)).Run("--target=Nope");

        Assert.That(run.Error, Is.Empty, run.Said);
        Assert.That(console.Text, Does.Contain("The target 'Nope' was not found."));
    }

    [Test]
    public void A_startup_is_made_at_once_and_configures_the_same_services()
    {
        var run = Build.Of<Default>().Host(host => host.UseStartup<Startup>()).Run();

        Assert.That(run.Trace, Is.EqualTo(new[] { "3.4" }), run.Said);
    }

    [Test]
    public void A_module_of_the_build_registers_services()
    {
        var run = Build.Of<Default>().Host(host => host.UseModule<Module>()).Run();

        Assert.That(run.Trace, Is.EqualTo(new[] { "5.6" }), run.Said);
    }

    [Test]
    public void Of_two_contexts_the_last_counts()
    {
        var seen = default(ICakeContext);
        new Build().Host(host => host.UseContext<OneContext>().UseContext<OtherContext>()).Services(services =>
            services.AddSingleton<Action<ICakeContext>>(context => seen = context)).With<ShowsContext>().Run("--target=ShowsContext");

        Assert.That(seen, Is.InstanceOf<OtherContext>());
    }

    [Test]
    public void Services_are_not_disposed()
    {
        var disposed = new List<string>();
        new Build()
            .Services(services => services.AddSingleton(disposed).AddSingleton<Disposable>())
            .With<UsesDisposable>()
            .Run("--target=UsesDisposable");

        Assert.That(disposed, Is.Empty);
    }

    [Test]
    public void A_host_runs_twice()
    {
        var build = Build.Of<Default>().Services(services => services.AddSingleton(new Version(7, 8)));
        build.Run();

        Assert.That(build.Run().Trace, Is.EqualTo(new[] { "7.8", "7.8" }));
    }

    [Test]
    public void A_tool_is_installed_before_the_tasks_by_the_builds_own_installer_and_found_by_name()
    {
        using var directory = new TemporaryDirectory();
        var found = default(FilePath);
        var run = new Build()
            .Host(host => Installing(host, "sometool", directory))
            .Doing(context => found = context.Tools.Resolve("sometool"))
            .Run();

        Assert.That(run.ExitCode, Is.Zero, run.Said);
        Assert.That(found?.FullPath, Is.EqualTo(Path.Combine(directory.Path, "sometool")));
    }

    [TestCase("--tree")]
    [TestCase("--description")]
    [TestCase("--dryrun")]
    public void A_tool_is_installed_in_every_mode_that_looks_at_tasks(string mode)
    {
        using var directory = new TemporaryDirectory();
        new Build()
            .Host(host => Installing(host, "sometool", directory))
            .Doing(_ => { })
            .Run(mode);

        Assert.That(File.Exists(Path.Combine(directory.Path, "sometool")), Is.True);
    }

    [Test]
    public void A_tool_nobody_can_install_is_refused()
    {
        var run = new Build().Host(host => host.InstallTool(new Uri("foo:?package=x"))).Doing(_ => { }).Run();

        Assert.That(run.ExitCode, Is.EqualTo(1), run.Said);
        Assert.That(run.Error, Is.EqualTo("Error: Could not find an installer for the 'foo' scheme.\n"));
    }

    [Test]
    public void A_tool_whose_installer_finds_nothing_is_refused()
    {
        using var directory = new TemporaryDirectory();
        var run = new Build()
            .Host(host => Installing(host, "nothing", directory))
            .Doing(_ => { })
            .Run();

        Assert.That(run.Error, Is.EqualTo("Error: Failed to install tool 'nothing'.\n"), run.Said);
    }

    [Test]
    public void Installers_for_packages_are_only_there_when_a_tool_is_to_be_installed()
    {
        static int Installers(Action<CakeHost> host)
        {
            var count = -1;
            using var directory = new TemporaryDirectory();
            new Build().Host(host)
                .Host(h => h.SetToolPath(directory.Path).UsePackageInstaller<OwnInstaller>())
                .Services(services => services.AddSingleton<Action<IEnumerable<IPackageInstaller>>>(all => count = all.Count()))
                .With<CountsInstallers>().Run("--target=CountsInstallers");
            return count;
        }

        Assert.That(Installers(_ => { }), Is.EqualTo(1));
        Assert.That(Installers(host => host.InstallTool(new Uri("own:?package=sometool"))), Is.GreaterThanOrEqualTo(3));
    }

    [Test]
    public void A_tool_that_is_nowhere_is_not_found()
    {
        var found = new FilePath("something");
        new Build().Doing(context => found = context.Tools.Resolve("no-such-tool-anywhere")).Run();

        Assert.That(found, Is.Null);
    }

    private static CakeHost Installing(CakeHost host, string package, TemporaryDirectory directory) => host
        .UsePackageInstaller<OwnInstaller>()
        .SetToolPath(directory.Path)
        .InstallTool(new Uri("own:?package=" + package));

    private sealed class Default(Version version, Trace trace) : FrostingTask
    {
        public override void Run(ICakeContext context) => trace.Add(version.ToString());
    }

    private sealed class Startup : IFrostingStartup
    {
        public void Configure(IServiceCollection services) => services.AddSingleton(new Version(3, 4));
    }

    private sealed class Module : ICakeModule
    {
        public void Register(ICakeContainerRegistrar registrar) => registrar.RegisterInstance(new Version(5, 6)).AsSelf();
    }

    private sealed class OneContext(ICakeContext context) : FrostingContext(context);

    private sealed class OtherContext(ICakeContext context) : FrostingContext(context);

    private sealed class ShowsContext(Action<ICakeContext> show) : FrostingTask
    {
        public override void Run(ICakeContext context) => show(context);
    }

    private sealed class Disposable(List<string> disposed) : IDisposable
    {
        public void Dispose() => disposed.Add("disposed");
    }

    private sealed class UsesDisposable(Disposable disposable) : FrostingTask
    {
        public override void Run(ICakeContext context) => Assert.That(disposable, Is.Not.Null);
    }

    private sealed class CountsInstallers(IEnumerable<IPackageInstaller> installers, Action<IEnumerable<IPackageInstaller>> tell)
        : FrostingTask
    {
        public override void Run(ICakeContext context) => tell(installers);
    }

    private sealed class OwnInstaller(IFileSystem fileSystem) : IPackageInstaller
    {
        public bool CanInstall(PackageReference package, PackageType type) => package.Scheme == "own" && type == PackageType.Tool;

        public IReadOnlyCollection<IFile> Install(PackageReference package, PackageType type, DirectoryPath path)
        {
            if (package.Package == "nothing")
            {
                return [];
            }

            var file = path.CombineWithFilePath(package.Package);
            File.WriteAllText(file.FullPath, string.Empty);
            return [fileSystem.GetFile(file)];
        }
    }
}
