using Cake.Core;

namespace Cake.Kubectl;

/// <content>Of the commands, what reaches into containers and the API itself.</content>
public static partial class KubectlAliases
{
    /// <summary>Runs <c>kubectl exec</c>; the words to run follow <c>--</c> in the <c>ArgumentCustomization</c>.</summary>
    public static void KubectlExec(this ICakeContext context, KubectlExecSettings? settings) =>
        Run(context, "exec", settings);

    /// <summary>As <see cref="KubectlExec"/>, and returns the lines of standard output.</summary>
    public static IEnumerable<string> KubectlExecWithResult(this ICakeContext context, KubectlExecSettings? settings) =>
        RunWithResult(context, "exec", settings);

    /// <summary>Runs <c>kubectl cp</c>.</summary>
    public static void KubectlCp(this ICakeContext context, KubectlCpSettings? settings) =>
        Run(context, "cp", settings);

    /// <summary>As <see cref="KubectlCp"/>, and returns the lines of standard output.</summary>
    public static IEnumerable<string> KubectlCpWithResult(this ICakeContext context, KubectlCpSettings? settings) =>
        RunWithResult(context, "cp", settings);

    /// <summary>Runs <c>kubectl logs</c>; with <c>Follow</c> it blocks until the container ends.</summary>
    public static void KubectlLogs(this ICakeContext context, KubectlLogsSettings? settings) =>
        Run(context, "logs", settings);

    /// <summary>As <see cref="KubectlLogs"/>, and returns the lines of standard output.</summary>
    public static IEnumerable<string> KubectlLogsWithResult(this ICakeContext context, KubectlLogsSettings? settings) =>
        RunWithResult(context, "logs", settings);

    /// <summary>Runs <c>kubectl proxy</c> and blocks until it ends by itself; a host that wants to stop it starts it another way.</summary>
    public static void KubectlProxy(this ICakeContext context, KubectlProxySettings? settings) =>
        Run(context, "proxy", settings);

    /// <summary>As <see cref="KubectlProxy"/>, and returns the lines of standard output.</summary>
    public static IEnumerable<string> KubectlProxyWithResult(this ICakeContext context, KubectlProxySettings? settings) =>
        RunWithResult(context, "proxy", settings);
}
