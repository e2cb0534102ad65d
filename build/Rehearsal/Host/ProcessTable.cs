using System.Diagnostics;

namespace Rehearsal;

/// <summary>What the operating system says about another process.</summary>
internal static class ProcessTable
{
    /// <summary>False for a zombie: it has ended, only its parent has not noticed.</summary>
    public static bool IsAlive(int pid)
    {
        try
        {
            using var process = Process.GetProcessById(pid);
            return !process.HasExited && !(OperatingSystem.IsLinux() && IsZombie(pid));
        }
        catch (ArgumentException)
        {
            return false;
        }
    }

    private static bool IsZombie(int pid)
    {
        try
        {
            // "PID (NAME) STATE …", and a name may hold spaces and brackets.
            var status = File.ReadAllText($"/proc/{pid}/stat");
            return status[(status.LastIndexOf(')') + 2)..].StartsWith('Z');
        }
        catch (IOException)
        {
            return true;
        }
    }
}
