using Cake.Core;

namespace Cake.Kubectl;

/// <content>Of the commands, what only looks.</content>
public static partial class KubectlAliases
{
    /// <summary>Runs <c>kubectl get</c>.</summary>
    public static void KubectlGet(this ICakeContext context, KubectlGetSettings? settings) =>
        Run(context, "get", settings);

    /// <summary>As <see cref="KubectlGet"/>, and returns the lines of standard output.</summary>
    public static IEnumerable<string> KubectlGetWithResult(this ICakeContext context, KubectlGetSettings? settings) =>
        RunWithResult(context, "get", settings);

    /// <summary>Runs <c>kubectl describe</c>.</summary>
    public static void KubectlDescribe(this ICakeContext context, KubectlDescribeSettings? settings) =>
        Run(context, "describe", settings);

    /// <summary>As <see cref="KubectlDescribe"/>, and returns the lines of standard output.</summary>
    public static IEnumerable<string> KubectlDescribeWithResult(this ICakeContext context, KubectlDescribeSettings? settings) =>
        RunWithResult(context, "describe", settings);

    /// <summary>Runs <c>kubectl version</c>.</summary>
    public static void KubectlVersion(this ICakeContext context, KubectlVersionSettings? settings) =>
        Run(context, "version", settings);

    /// <summary>As <see cref="KubectlVersion"/>, and returns the lines of standard output.</summary>
    public static IEnumerable<string> KubectlVersionWithResult(this ICakeContext context, KubectlVersionSettings? settings) =>
        RunWithResult(context, "version", settings);

    /// <summary>Runs <c>kubectl auth can-i</c>.</summary>
    public static void KubectlAuthCanI(this ICakeContext context, KubectlAuthCanISettings? settings) =>
        Run(context, "auth can-i", settings);

    /// <summary>As <see cref="KubectlAuthCanI"/>, and returns the lines of standard output.</summary>
    public static IEnumerable<string> KubectlAuthCanIWithResult(this ICakeContext context, KubectlAuthCanISettings? settings) =>
        RunWithResult(context, "auth can-i", settings);

    /// <summary>Runs <c>kubectl wait</c>.</summary>
    public static void KubectlWait(this ICakeContext context, KubectlWaitSettings? settings) =>
        Run(context, "wait", settings);

    /// <summary>As <see cref="KubectlWait"/>, and returns the lines of standard output.</summary>
    public static IEnumerable<string> KubectlWaitWithResult(this ICakeContext context, KubectlWaitSettings? settings) =>
        RunWithResult(context, "wait", settings);
}
