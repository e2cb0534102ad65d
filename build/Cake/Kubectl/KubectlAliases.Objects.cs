using Cake.Core;

namespace Cake.Kubectl;

/// <content>Of the commands, what changes objects.</content>
public static partial class KubectlAliases
{
    /// <summary>Runs <c>kubectl apply</c>.</summary>
    public static void KubectlApply(this ICakeContext context, KubectlApplySettings? settings) =>
        Run(context, "apply", settings);

    /// <summary>As <see cref="KubectlApply"/>, and returns the lines of standard output.</summary>
    public static IEnumerable<string> KubectlApplyWithResult(this ICakeContext context, KubectlApplySettings? settings) =>
        RunWithResult(context, "apply", settings);

    /// <summary>Runs <c>kubectl create namespace</c>.</summary>
    public static void KubectlCreateNamespace(this ICakeContext context, KubectlCreateNamespaceSettings? settings) =>
        Run(context, "create namespace", settings);

    /// <summary>As <see cref="KubectlCreateNamespace"/>, and returns the lines of standard output.</summary>
    public static IEnumerable<string> KubectlCreateNamespaceWithResult(
        this ICakeContext context, KubectlCreateNamespaceSettings? settings) =>
        RunWithResult(context, "create namespace", settings);

    /// <summary>Runs <c>kubectl delete</c>.</summary>
    public static void KubectlDelete(this ICakeContext context, KubectlDeleteSettings? settings) =>
        Run(context, "delete", settings);

    /// <summary>As <see cref="KubectlDelete"/>, and returns the lines of standard output.</summary>
    public static IEnumerable<string> KubectlDeleteWithResult(this ICakeContext context, KubectlDeleteSettings? settings) =>
        RunWithResult(context, "delete", settings);

    /// <summary>Runs <c>kubectl patch</c>.</summary>
    public static void KubectlPatch(this ICakeContext context, KubectlPatchSettings? settings) =>
        Run(context, "patch", settings);

    /// <summary>As <see cref="KubectlPatch"/>, and returns the lines of standard output.</summary>
    public static IEnumerable<string> KubectlPatchWithResult(this ICakeContext context, KubectlPatchSettings? settings) =>
        RunWithResult(context, "patch", settings);

    /// <summary>Runs <c>kubectl label</c>.</summary>
    public static void KubectlLabel(this ICakeContext context, KubectlLabelSettings? settings) =>
        Run(context, "label", settings);

    /// <summary>As <see cref="KubectlLabel"/>, and returns the lines of standard output.</summary>
    public static IEnumerable<string> KubectlLabelWithResult(this ICakeContext context, KubectlLabelSettings? settings) =>
        RunWithResult(context, "label", settings);

    /// <summary>Runs <c>kubectl annotate</c>.</summary>
    public static void KubectlAnnotate(this ICakeContext context, KubectlAnnotateSettings? settings) =>
        Run(context, "annotate", settings);

    /// <summary>As <see cref="KubectlAnnotate"/>, and returns the lines of standard output.</summary>
    public static IEnumerable<string> KubectlAnnotateWithResult(this ICakeContext context, KubectlAnnotateSettings? settings) =>
        RunWithResult(context, "annotate", settings);
}
