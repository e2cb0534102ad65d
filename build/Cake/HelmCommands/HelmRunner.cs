using Cake.Core;
using Cake.Core.IO;
using Cake.Core.Tooling;
using Cake.Rendering;

namespace Cake.HelmCommands;

/// <summary>
/// helm as a Cake tool, found through <c>ToolPath</c>, the tools directory or PATH. It is started through the context's
/// <see cref="IProcessRunner"/>, so a host that registers its own sees every line.
/// </summary>
public sealed class HelmRunner<TSettings>(
    IFileSystem fileSystem, ICakeEnvironment environment, IProcessRunner processRunner, IToolLocator tools)
    : Tool<TSettings>(fileSystem, environment, processRunner, tools)
    where TSettings : HelmSettings
{
    /// <summary>Runs the command to its end; its output goes where the host's goes.</summary>
    /// <param name="settings">The switches, which follow the command.</param>
    /// <param name="command">The command's words and what it acts on, such as <c>get values aether</c>; each is kept whole.</param>
    /// <exception cref="CakeException">
    /// helm is not to be found, or its exit code is not 0 and <c>HandleExitCode</c> does not accept it; then it is also the exception's.
    /// </exception>
    public void Run(TSettings settings, params IEnumerable<string> command) => Run(settings, Arguments(settings, command));

    /// <summary>
    /// Runs the command to its end and returns the lines of its standard output; standard error goes where the host's goes.
    /// </summary>
    /// <inheritdoc cref="Run(TSettings, IEnumerable{string})"/>
    public IReadOnlyList<string> RunWithResult(TSettings settings, params IEnumerable<string> command)
    {
        IReadOnlyList<string> output = [];
        Run(
            settings,
            Arguments(settings, command),
            new ProcessSettings { RedirectStandardOutput = true },
            process => output = process.ReadAll());
        return output;
    }

    protected override string GetToolName() => "Helm";

    protected override IEnumerable<string> GetToolExecutableNames() => ["helm.exe", "helm"];

    private static ProcessArgumentBuilder Arguments(TSettings settings, IEnumerable<string> command)
    {
        var arguments = new ProcessArgumentBuilder();
        foreach (var word in command)
        {
            arguments.AppendArgument(word);
        }

        return arguments.AppendSwitches(settings);
    }
}
