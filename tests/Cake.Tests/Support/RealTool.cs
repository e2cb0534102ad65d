using System.Diagnostics;

namespace Cake.Tests.Support;

/// <summary>The real kubectl or helm, where PATH has it.</summary>
internal static class RealTool
{
    /// <summary>The switches the program itself says a command has; the test is ignored where there is no such program.</summary>
    public static async Task<string> HelpAsync(string program, string command)
    {
        var directories = (Environment.GetEnvironmentVariable("PATH") ?? string.Empty).Split(Path.PathSeparator);
        if (!directories.Any(directory => File.Exists(Path.Combine(directory, program))))
        {
            Assert.Ignore($"{program} is not on PATH");
        }

        var start = new ProcessStartInfo(program, [.. command.Split(' '), "--help"]) { RedirectStandardOutput = true };
        using var process = Process.Start(start)!;
        var help = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.That(process.ExitCode, Is.Zero, $"{program} has no command '{command}'");
        return help;
    }

    /// <summary>Names the properties of a command's settings whose switches the help does not know.</summary>
    public static IEnumerable<string> Unknown(string help, IEnumerable<string> switches) =>
        switches.Where(name => !System.Text.RegularExpressions.Regex.IsMatch(help, $@"(?m)^\s+(-\w, +)?{name}\b"));
}
