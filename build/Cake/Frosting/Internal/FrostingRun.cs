using Cake.Cli;
using Cake.Cli.Infrastructure;
using Cake.Core;
using Cake.Core.Configuration;
using Cake.Core.Diagnostics;
using Cake.Core.IO;
using Cake.Core.Packaging;
using Cake.Core.Scripting;
using Microsoft.Extensions.DependencyInjection;
using Spectre.Console.Cli;

namespace Cake.Frosting.Internal;

/// <summary>One run: from the parsed command line to the exit code.</summary>
internal sealed class FrostingRun(ServiceCollection services, CommandLineSettings settings, IRemainingArguments remaining)
{
    public int Execute()
    {
        services.AddSingleton<ICakeArguments>(remaining.ToCakeArguments(settings.Targets));
        services.AddSingleton(remaining);
        var provider = services.BuildServiceProvider();
        var log = provider.GetRequiredService<ICakeLog>();
        try
        {
            Execute(provider, log);
            return 0;
        }
        catch (Exception exception)
        {
            log.LogException(exception);
            return ExitCodeOf(exception);
        }
    }

    private void Execute(ServiceProvider provider, ICakeLog log)
    {
        if (settings.Version)
        {
            provider.GetRequiredService<ICakeVersionFeature>().Run(provider.GetRequiredService<IConsole>());
            return;
        }

        if (settings.Info)
        {
            provider.GetRequiredService<ICakeInfoFeature>().Run(provider.GetRequiredService<IConsole>());
            return;
        }

        log.Verbosity = settings.Verbosity ?? log.Verbosity;
        SetWorkingDirectory(provider);
        log.Verbosity = provider.GetRequiredService<ICakeConfiguration>().GetVerbosity(settings.Verbosity, log.Verbosity);

        var host = PrepareHost(provider, log);
        var installer = provider.GetRequiredService<IToolInstaller>();
        foreach (var tool in provider.GetServices<PackageReference>())
        {
            installer.Install(tool);
        }

        host.RunTargets(settings.Targets);
    }

    private void SetWorkingDirectory(ServiceProvider provider)
    {
        var wanted = settings.WorkingDirectory ?? provider.GetService<WorkingDirectory>()?.Path;
        if (wanted is null)
        {
            return;
        }

        var environment = provider.GetRequiredService<ICakeEnvironment>();
        var path = wanted.MakeAbsolute(environment);
        if (!provider.GetRequiredService<IFileSystem>().Exist(path))
        {
            throw new FrostingException($"The working directory '{path.FullPath}' does not exist.");
        }

        environment.WorkingDirectory = path;
    }

    private ScriptHost PrepareHost(ServiceProvider provider, ICakeLog log)
    {
        ScriptHost host = settings switch
        {
            { DryRun: true } => provider.GetRequiredService<DryRunScriptHost<IFrostingContext>>(),
            { Tree: true } => provider.GetRequiredService<TreeScriptHost>(),
            { Description: true } => provider.GetRequiredService<DescriptionScriptHost>(),
            _ => provider.GetRequiredService<BuildScriptHost<IFrostingContext>>(),
        };

        // One target after another in the order of the command line: a joint graph would run independent ones by name.
        host.Settings.UseUnifiedDependencyGraphForMultipleTargets(false);
        if (settings.Exclusive)
        {
            host.Settings.UseExclusiveTarget();
        }

        var registration = new TaskRegistration(
            provider.GetRequiredService<ICakeEngine>(), provider.GetRequiredService<IFrostingContext>(), log);
        registration.Register(provider.GetServices<IFrostingTask>());
        registration.Register(
            provider.GetService<IFrostingSetup>(),
            provider.GetService<IFrostingTeardown>(),
            provider.GetService<IFrostingTaskSetup>(),
            provider.GetService<IFrostingTaskTeardown>());
        return host;
    }

    /// <summary>The engine wraps what a task threw into its report, asynchronous work into aggregates; anything else is a cause.</summary>
    private static int ExitCodeOf(Exception exception)
    {
        var code = Decided(exception);
        return code is null or 0 ? 1 : code.Value;

        static int? Decided(Exception? exception) => exception switch
        {
            CakeException decided => decided.ExitCode,
            CakeReportException report => Decided(report.InnerException),
            AggregateException aggregate => aggregate.InnerExceptions.Select(Decided).FirstOrDefault(code => code is not null),
            _ => null,
        };
    }
}
