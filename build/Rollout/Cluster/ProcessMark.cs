using System.Globalization;

namespace Rollout.Cluster;

/// <summary>
/// One process on one boot of one machine. A process id alone is used again, also by other machines of the same name; together with its
/// start time, its pid namespace and the boot it is not.
/// </summary>
/// <param name="BootId">The kernel's <c>random/boot_id</c>: another one after each boot.</param>
/// <param name="PidNamespace">Inode of the pid namespace that <paramref name="Pid"/> counts in.</param>
/// <param name="StartTime">Clock ticks between the boot and the process's start: field 22 of <c>/proc/PID/stat</c>.</param>
public sealed record ProcessMark(Guid BootId, ulong PidNamespace, int Pid, ulong StartTime)
{
    /// <summary>Where the kernel shows its processes.</summary>
    public const string Proc = "/proc";

    /// <summary>This process; null where there is no <c>/proc</c> that shows it, as on macOS and Windows.</summary>
    public static ProcessMark? Current { get; } = Own(Proc);

    /// <summary>The process that looks; null where <paramref name="proc"/> does not show it.</summary>
    /// <param name="proc">The mounted <c>/proc</c>.</param>
    public static ProcessMark? Own(string proc)
    {
        try
        {
            return ReadHere(proc) is var (boot, space) && Stat.Read(proc, "self") is { } stat ? new ProcessMark(boot, space, stat.Pid, stat.StartTime) : null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Reads what <see cref="ToString"/> wrote; null for anything else.</summary>
    public static ProcessMark? Parse(string? text) =>
        text?.Split('/') is [var boot, var space, var pid, var start]
        && Guid.TryParseExact(boot, "D", out var bootId)
        && ulong.TryParse(space, NumberStyles.None, CultureInfo.InvariantCulture, out var pidNamespace)
        && int.TryParse(pid, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
        && number > 0
        && ulong.TryParse(start, NumberStyles.None, CultureInfo.InvariantCulture, out var startTime)
            ? new ProcessMark(bootId, pidNamespace, number, startTime)
            : null;

    /// <summary>
    /// Whether the process is known to have ended. False also where that cannot be known: on another machine, in another container, after
    /// another boot (a host's name does not prove that it is the same machine), or where processes of other users are hidden.
    /// </summary>
    /// <param name="proc">The mounted <c>/proc</c>.</param>
    public bool IsDead(string proc = Proc)
    {
        try
        {
            if (ReadHere(proc) is not var (boot, space) || boot != BootId || space != PidNamespace || HidesProcesses(proc))
            {
                return false;
            }

            // A zombie runs no more; a later process of the same number has another start time.
            return !Directory.Exists(Path.Combine(proc, $"{Pid}"))
                || (Stat.Read(proc, $"{Pid}") is { } stat && (stat.StartTime != StartTime || stat.State is 'Z' or 'X' or 'x'));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary><c>BOOT/NAMESPACE/PID/START</c>.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{BootId:D}/{PidNamespace}/{Pid}/{StartTime}");

    private static (Guid BootId, ulong PidNamespace)? ReadHere(string proc)
    {
        // The link reads "pid:[4026531836]".
        var link = new FileInfo(Path.Combine(proc, "self", "ns", "pid")).LinkTarget;
        return link is not null
            && link.StartsWith("pid:[", StringComparison.Ordinal)
            && ulong.TryParse(link.AsSpan(5).TrimEnd(']'), NumberStyles.None, CultureInfo.InvariantCulture, out var space)
            && Guid.TryParse(File.ReadAllText(Path.Combine(proc, "sys", "kernel", "random", "boot_id")), out var boot)
                ? (boot, space)
                : null;
    }

    // With the mount option hidepid a running process of another user looks as if it were not there.
    private static bool HidesProcesses(string proc) => File.ReadLines(Path.Combine(proc, "self", "mounts"))
        .Select(line => line.Split(' '))
        .Any(mount => mount is [_, "/proc", "proc", var options, ..] && options.Split(',').Any(o => o.StartsWith("hidepid=", StringComparison.Ordinal) && o is not ("hidepid=0" or "hidepid=off")));

    /// <summary>What <c>/proc/PID/stat</c> says.</summary>
    private sealed record Stat(int Pid, char State, ulong StartTime)
    {
        public static Stat? Read(string proc, string process)
        {
            // The command's name stands in parentheses and may itself contain spaces and parentheses.
            var text = File.ReadAllText(Path.Combine(proc, process, "stat"));
            var end = text.LastIndexOf(')');
            var fields = end < 0 ? [] : text[(end + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
            return fields.Length >= 20
                && int.TryParse(text.AsSpan(0, text.IndexOf(' ', StringComparison.Ordinal)), NumberStyles.None, CultureInfo.InvariantCulture, out var pid)
                && ulong.TryParse(fields[19], NumberStyles.None, CultureInfo.InvariantCulture, out var start)
                    ? new Stat(pid, fields[0][0], start)
                    : null;
        }
    }
}
