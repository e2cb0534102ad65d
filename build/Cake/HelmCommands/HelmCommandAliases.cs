using System.Globalization;
using Cake.Core;

namespace Cake.HelmCommands;

/// <summary>
/// The helm commands a rollout needs and the Cake.Helm package lacks, for Helm 4. A pair each: one lets the output through, the one called
/// <c>…WithResult</c> returns the lines of standard output instead.
/// </summary>
/// <remarks>
/// Every argument reaches helm whole whatever characters it has. A failure is a <see cref="CakeException"/> with helm's exit code; what
/// helm said about it is on standard error, which a host's own process runner can keep.
/// </remarks>
public static class HelmCommandAliases
{
    /// <summary>Brings a release to a chart and its values, or installs it.</summary>
    public static void HelmUpgrade(this ICakeContext context, string release, string chart, HelmUpgradeSettings? settings = null) =>
        Run(context, settings, ["upgrade", release, chart]);

    /// <summary>As <see cref="HelmUpgrade"/>, and returns the lines of standard output.</summary>
    public static IReadOnlyList<string> HelmUpgradeWithResult(
        this ICakeContext context, string release, string chart, HelmUpgradeSettings? settings = null) =>
        RunWithResult(context, settings, ["upgrade", release, chart]);

    /// <summary>Removes a release and what it installed.</summary>
    public static void HelmUninstall(this ICakeContext context, string release, HelmUninstallSettings? settings = null) =>
        Run(context, settings, ["uninstall", release]);

    /// <summary>As <see cref="HelmUninstall"/>, and returns the lines of standard output.</summary>
    public static IReadOnlyList<string> HelmUninstallWithResult(
        this ICakeContext context, string release, HelmUninstallSettings? settings = null) =>
        RunWithResult(context, settings, ["uninstall", release]);

    /// <summary>Brings a release back to a revision; null is the one before the newest.</summary>
    public static void HelmRollback(
        this ICakeContext context, string release, int? revision = null, HelmRollbackSettings? settings = null) =>
        Run(context, settings, RollbackCommand(release, revision));

    /// <summary>As <see cref="HelmRollback"/>, and returns the lines of standard output.</summary>
    public static IReadOnlyList<string> HelmRollbackWithResult(
        this ICakeContext context, string release, int? revision = null, HelmRollbackSettings? settings = null) =>
        RunWithResult(context, settings, RollbackCommand(release, revision));

    /// <summary>Shows how a release stands; fails when there is none.</summary>
    public static void HelmStatus(this ICakeContext context, string release, HelmStatusSettings? settings = null) =>
        Run(context, settings, ["status", release]);

    /// <summary>As <see cref="HelmStatus"/>, and returns the lines of standard output.</summary>
    public static IReadOnlyList<string> HelmStatusWithResult(
        this ICakeContext context, string release, HelmStatusSettings? settings = null) =>
        RunWithResult(context, settings, ["status", release]);

    /// <summary>Lists the revisions of a release.</summary>
    public static void HelmHistory(this ICakeContext context, string release, HelmHistorySettings? settings = null) =>
        Run(context, settings, ["history", release]);

    /// <summary>As <see cref="HelmHistory"/>, and returns the lines of standard output.</summary>
    public static IReadOnlyList<string> HelmHistoryWithResult(
        this ICakeContext context, string release, HelmHistorySettings? settings = null) =>
        RunWithResult(context, settings, ["history", release]);

    /// <summary>Shows the values a release was given; they may hold secrets.</summary>
    public static void HelmGetValues(this ICakeContext context, string release, HelmGetValuesSettings? settings = null) =>
        Run(context, settings, ["get", "values", release]);

    /// <summary>As <see cref="HelmGetValues"/>, and returns the lines of standard output.</summary>
    public static IReadOnlyList<string> HelmGetValuesWithResult(
        this ICakeContext context, string release, HelmGetValuesSettings? settings = null) =>
        RunWithResult(context, settings, ["get", "values", release]);

    /// <summary>Shows the objects a release consists of, Secrets included.</summary>
    public static void HelmGetManifest(this ICakeContext context, string release, HelmGetManifestSettings? settings = null) =>
        Run(context, settings, ["get", "manifest", release]);

    /// <summary>As <see cref="HelmGetManifest"/>, and returns the lines of standard output.</summary>
    public static IReadOnlyList<string> HelmGetManifestWithResult(
        this ICakeContext context, string release, HelmGetManifestSettings? settings = null) =>
        RunWithResult(context, settings, ["get", "manifest", release]);

    /// <summary>Renders a chart without a cluster.</summary>
    public static void HelmTemplate(this ICakeContext context, string release, string chart, HelmTemplateSettings? settings = null) =>
        Run(context, settings, ["template", release, chart]);

    /// <summary>As <see cref="HelmTemplate"/>, and returns the lines of standard output.</summary>
    public static IReadOnlyList<string> HelmTemplateWithResult(
        this ICakeContext context, string release, string chart, HelmTemplateSettings? settings = null) =>
        RunWithResult(context, settings, ["template", release, chart]);

    /// <summary>Fetches a chart's dependencies as its lock file says.</summary>
    public static void HelmDependencyBuild(this ICakeContext context, string chart, HelmDependencyBuildSettings? settings = null) =>
        Run(context, settings, ["dependency", "build", chart]);

    /// <summary>As <see cref="HelmDependencyBuild"/>, and returns the lines of standard output.</summary>
    public static IReadOnlyList<string> HelmDependencyBuildWithResult(
        this ICakeContext context, string chart, HelmDependencyBuildSettings? settings = null) =>
        RunWithResult(context, settings, ["dependency", "build", chart]);

    /// <summary>Shows the version of helm itself.</summary>
    public static void HelmVersion(this ICakeContext context, HelmVersionSettings? settings = null) =>
        Run(context, settings, ["version"]);

    /// <summary>As <see cref="HelmVersion"/>, and returns the lines of standard output.</summary>
    public static IReadOnlyList<string> HelmVersionWithResult(
        this ICakeContext context, HelmVersionSettings? settings = null) =>
        RunWithResult(context, settings, ["version"]);

    private static string[] RollbackCommand(string release, int? revision) =>
        revision is null ? ["rollback", release] : ["rollback", release, revision.Value.ToString(CultureInfo.InvariantCulture)];

    private static void Run<TSettings>(ICakeContext context, TSettings? settings, IEnumerable<string> command)
        where TSettings : HelmSettings, new() =>
        Runner<TSettings>(context).Run(settings ?? new TSettings(), command);

    private static IReadOnlyList<string> RunWithResult<TSettings>(ICakeContext context, TSettings? settings, IEnumerable<string> command)
        where TSettings : HelmSettings, new() =>
        Runner<TSettings>(context).RunWithResult(settings ?? new TSettings(), command);

    private static HelmRunner<TSettings> Runner<TSettings>(ICakeContext context)
        where TSettings : HelmSettings
    {
        ArgumentNullException.ThrowIfNull(context);
        return new HelmRunner<TSettings>(context.FileSystem, context.Environment, context.ProcessRunner, context.Tools);
    }
}
