using Cake.Core;
using Cake.Helm.Lint;
using Cake.Helm.List;
using Cake.Helm.Package;

namespace Cake.Helm;

/// <summary>The helm commands of the published Cake.Helm 1.0.1-beta: <c>lint</c>, <c>list</c> and <c>package</c>.</summary>
/// <remarks>
/// Two differences: a path, and any value, reaches helm whole whatever characters it has (the published package splits a path at
/// blanks), and <c>false</c> is <c>--switch=false</c> (the published package leaves it out).
/// </remarks>
public static class HelmAliases
{
    /// <summary>Lists the releases.</summary>
    public static void HelmList(this ICakeContext context, HelmListSettings settings) => Run(context, "list", settings);

    /// <summary>Examines a chart; throws when helm finds an error in it.</summary>
    public static void HelmLint(this ICakeContext context, string path) => context.HelmLint(new HelmLintSettings(), path);

    /// <inheritdoc cref="HelmLint(ICakeContext, string)"/>
    public static void HelmLint(this ICakeContext context, HelmLintSettings settings, string path) =>
        Run(context, "lint", settings, path);

    /// <summary>Packs a chart's directory into an archive.</summary>
    public static void HelmPackage(this ICakeContext context, string path) => context.HelmPackage(new HelmPackageSettings(), path);

    /// <inheritdoc cref="HelmPackage(ICakeContext, string)"/>
    public static void HelmPackage(this ICakeContext context, HelmPackageSettings settings, string path) =>
        Run(context, "package", settings, path);

    private static void Run<TSettings>(ICakeContext context, string command, TSettings settings, params string[] additional)
        where TSettings : GlobalHelmSettings
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(settings);
        new HelmTool<TSettings>(context.FileSystem, context.Environment, context.ProcessRunner, context.Tools)
            .Run(command, settings, additional);
    }
}
