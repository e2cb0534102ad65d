using Cake.Core;

namespace Cake.Kubectl;

/// <content>Of the commands, what changes workloads, or follows their change.</content>
public static partial class KubectlAliases
{
    /// <summary>Runs <c>kubectl rollout status</c>; blocks until the rollout is done unless <c>Watch</c> is false.</summary>
    public static void KubectlRolloutStatus(this ICakeContext context, KubectlRolloutStatusSettings? settings) =>
        Run(context, "rollout status", settings);

    /// <summary>As <see cref="KubectlRolloutStatus"/>, and returns the lines of standard output.</summary>
    public static IEnumerable<string> KubectlRolloutStatusWithResult(this ICakeContext context, KubectlRolloutStatusSettings? settings) =>
        RunWithResult(context, "rollout status", settings);

    /// <summary>Runs <c>kubectl rollout restart</c>.</summary>
    public static void KubectlRolloutRestart(this ICakeContext context, KubectlRolloutRestartSettings? settings) =>
        Run(context, "rollout restart", settings);

    /// <summary>As <see cref="KubectlRolloutRestart"/>, and returns the lines of standard output.</summary>
    public static IEnumerable<string> KubectlRolloutRestartWithResult(this ICakeContext context, KubectlRolloutRestartSettings? settings) =>
        RunWithResult(context, "rollout restart", settings);

    /// <summary>Runs <c>kubectl rollout undo</c>.</summary>
    public static void KubectlRolloutUndo(this ICakeContext context, KubectlRolloutUndoSettings? settings) =>
        Run(context, "rollout undo", settings);

    /// <summary>As <see cref="KubectlRolloutUndo"/>, and returns the lines of standard output.</summary>
    public static IEnumerable<string> KubectlRolloutUndoWithResult(this ICakeContext context, KubectlRolloutUndoSettings? settings) =>
        RunWithResult(context, "rollout undo", settings);

    /// <summary>Runs <c>kubectl set env</c>.</summary>
    public static void KubectlSetEnv(this ICakeContext context, KubectlSetEnvSettings? settings) =>
        Run(context, "set env", settings);

    /// <summary>As <see cref="KubectlSetEnv"/>, and returns the lines of standard output.</summary>
    public static IEnumerable<string> KubectlSetEnvWithResult(this ICakeContext context, KubectlSetEnvSettings? settings) =>
        RunWithResult(context, "set env", settings);

    /// <summary>Runs <c>kubectl set image</c>.</summary>
    public static void KubectlSetImage(this ICakeContext context, KubectlSetImageSettings? settings) =>
        Run(context, "set image", settings);

    /// <summary>As <see cref="KubectlSetImage"/>, and returns the lines of standard output.</summary>
    public static IEnumerable<string> KubectlSetImageWithResult(this ICakeContext context, KubectlSetImageSettings? settings) =>
        RunWithResult(context, "set image", settings);

    /// <summary>Runs <c>kubectl scale</c>.</summary>
    public static void KubectlScale(this ICakeContext context, KubectlScaleSettings? settings) =>
        Run(context, "scale", settings);

    /// <summary>As <see cref="KubectlScale"/>, and returns the lines of standard output.</summary>
    public static IEnumerable<string> KubectlScaleWithResult(this ICakeContext context, KubectlScaleSettings? settings) =>
        RunWithResult(context, "scale", settings);
}
