using Cake.Core;
using Cake.Core.IO;
using Cake.Core.Tooling;
using Cake.Rendering;

namespace Cake.Helm;

/// <summary>
/// The switches every command knows. Those of Helm 2 that the published package still has (<c>Home</c>, <c>Host</c>,
/// <c>TillerNamespace</c>) are not here: Helm refuses them since version 3.
/// </summary>
public abstract class GlobalHelmSettings : ToolSettings
{
    public bool? Debug { get; set; }

    public string? KubeContext { get; set; }
}

/// <summary>
/// helm as a Cake tool, found through <c>ToolPath</c>, the tools directory or PATH. It is started through the context's
/// <see cref="IProcessRunner"/>, so a host that registers its own sees every line.
/// </summary>
public class HelmTool<TSettings>(
    IFileSystem fileSystem, ICakeEnvironment environment, IProcessRunner processRunner, IToolLocator tools)
    : Tool<TSettings>(fileSystem, environment, processRunner, tools)
    where TSettings : GlobalHelmSettings
{
    /// <summary>Runs the command to its end; its output goes where the host's goes.</summary>
    /// <param name="command">The command's word, such as <c>lint</c>.</param>
    /// <param name="settings">The switches.</param>
    /// <param name="additional">Arguments to follow the switches, each kept whole.</param>
    /// <exception cref="CakeException">
    /// helm is not to be found, or its exit code is not 0 and <c>HandleExitCode</c> does not accept it; then it is also the exception's.
    /// </exception>
    public void Run(string command, TSettings settings, string[] additional)
    {
        var arguments = new ProcessArgumentBuilder().Append(command).AppendSwitches(settings);
        foreach (var argument in additional)
        {
            arguments.AppendArgument(argument);
        }

        Run(settings, arguments);
    }

    protected override string GetToolName() => "Helm";

    protected override IEnumerable<string> GetToolExecutableNames() => ["helm.exe", "helm"];
}
