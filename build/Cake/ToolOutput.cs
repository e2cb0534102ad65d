using Cake.Core.IO;

namespace Cake.Rendering;

/// <summary>How the tool libraries read what a program printed. Linked into each that does.</summary>
internal static class ToolOutput
{
    /// <summary>Every line of standard output of a process that the engine has waited for.</summary>
    public static IReadOnlyList<string> ReadAll(this IProcess process)
    {
        // With a ToolTimeout the engine waits for the process alone, and lines are still on their way. Without a limit, the wait ends
        // when the last one is read.
        process.WaitForExit();
        return [.. process.GetStandardOutput()];
    }
}
