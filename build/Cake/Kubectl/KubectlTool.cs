using Cake.Core;
using Cake.Core.IO;
using Cake.Core.Tooling;
using Cake.Rendering;

namespace Cake.Kubectl;

/// <summary>Base of the settings of every command. A property that is not null becomes a switch; those of the base do not.</summary>
public abstract class AutoToolSettings : ToolSettings;

/// <summary>
/// kubectl as a Cake tool, found through <c>ToolPath</c>, the tools directory or PATH. It is started through the context's
/// <see cref="IProcessRunner"/>, so a host that registers its own sees every line.
/// </summary>
public abstract class KubectlTool<TSettings>(
    IFileSystem fileSystem, ICakeEnvironment environment, IProcessRunner processRunner, IToolLocator tools)
    : Tool<TSettings>(fileSystem, environment, processRunner, tools)
    where TSettings : ToolSettings
{
    protected override string GetToolName() => "Kubectl";

    protected override IEnumerable<string> GetToolExecutableNames() => ["kubectl.exe", "kubectl"];
}

/// <summary>Runs any command whose settings derive from <see cref="AutoToolSettings"/>.</summary>
public class GenericRunner<TSettings>(
    IFileSystem fileSystem, ICakeEnvironment environment, IProcessRunner processRunner, IToolLocator tools)
    : KubectlTool<TSettings>(fileSystem, environment, processRunner, tools)
    where TSettings : AutoToolSettings, new()
{
    /// <summary>Runs the command to its end; its output goes where the host's goes.</summary>
    /// <param name="command">The command's words, such as <c>rollout status</c>.</param>
    /// <param name="settings">The switches; null for none.</param>
    /// <param name="additional">Arguments to follow the switches, each kept whole.</param>
    /// <exception cref="CakeException">
    /// kubectl is not to be found, or its exit code is not 0 and <c>HandleExitCode</c> does not accept it; then it is also the exception's.
    /// </exception>
    public void Run(string command, TSettings? settings, string[] additional)
    {
        settings ??= new TSettings();
        Run(settings, Arguments(command, settings, additional));
    }

    /// <summary>
    /// Runs the command to its end and returns the lines of its standard output; standard error goes where the host's goes.
    /// </summary>
    /// <inheritdoc cref="Run(string, TSettings, string[])"/>
    public IEnumerable<string> RunWithResult(string command, TSettings? settings, string[] additional)
    {
        settings ??= new TSettings();
        IEnumerable<string> output = [];
        Run(
            settings,
            Arguments(command, settings, additional),
            new ProcessSettings { RedirectStandardOutput = true },
            process => output = process.ReadAll());
        return output;
    }

    private static ProcessArgumentBuilder Arguments(string command, TSettings settings, string[] additional)
    {
        var arguments = new ProcessArgumentBuilder().Append(command).AppendSwitches(settings);
        foreach (var argument in additional)
        {
            arguments.AppendArgument(argument);
        }

        return arguments;
    }
}
