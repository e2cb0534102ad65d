using Cake.Core;

namespace Cake.Kubectl;

/// <summary>
/// A pair of calls for each kubectl command that a rollout needs: one lets the output through, the one called <c>…WithResult</c>
/// returns the lines of standard output instead. The surface is that of the published Cake.Kubectl 1.1.0.
/// </summary>
/// <remarks>
/// <para>
/// Settings hold a command's own switches only. Names of objects, and global switches such as <c>-n</c> and <c>--context</c>, come
/// through <c>ArgumentCustomization = a =&gt; a.Append("pods").Append("-n").Append("prod")</c>; quote there with
/// <c>AppendQuoted</c>. Null settings mean none.
/// </para>
/// <para>
/// Where the published package emits lines that kubectl refuses or misreads, these do not: <c>false</c> is <c>--switch=false</c>
/// and not the bare switch; a value follows after <c>=</c>, because <c>--dry-run client</c> would be a switch and a name; quotes
/// and backslashes in a value arrive as they are; <c>ToolTimeout</c> and the like do not become switches; and <c>HandleExitCode</c> also
/// counts for <c>…WithResult</c>, which then returns what was printed. Code that works with the published package works with this one.
/// </para>
/// <para>Nothing is masked in the log. A secret belongs into a file or into <c>EnvironmentVariables</c>, never into an argument.</para>
/// </remarks>
public static partial class KubectlAliases
{
    private static void Run<TSettings>(ICakeContext context, string command, TSettings? settings)
        where TSettings : AutoToolSettings, new() =>
        Runner<TSettings>(context).Run(command, settings, []);

    private static IEnumerable<string> RunWithResult<TSettings>(ICakeContext context, string command, TSettings? settings)
        where TSettings : AutoToolSettings, new() =>
        Runner<TSettings>(context).RunWithResult(command, settings, []);

    private static GenericRunner<TSettings> Runner<TSettings>(ICakeContext context)
        where TSettings : AutoToolSettings, new()
    {
        ArgumentNullException.ThrowIfNull(context);
        return new GenericRunner<TSettings>(context.FileSystem, context.Environment, context.ProcessRunner, context.Tools);
    }
}
