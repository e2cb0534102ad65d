using System.Globalization;
using System.Text.RegularExpressions;
using Cake.Frosting;
using Rollout.Commands;

namespace Rollout.Tools;

/// <summary>Runs every test of the repository.</summary>
[TaskDescription("Run every test; closes with 'N passed, N failed'")]
public sealed partial class Test : AsyncFrostingTask<RolloutContext>
{
    private static readonly string[] Projects = ["Cake.Tests", "Rehearsal.Tests", "Rollout.Tests"];

    public override async Task RunAsync(RolloutContext context)
    {
        var (passed, failed) = (0, 0);
        var kubectl = await context.ToolBox.KubectlAsync(context.Token);
        var helm = await context.ToolBox.HelmAsync(context.Token);
        var postgres = await context.ToolBox.PostgresAsync(context.Token);
        var path = string.Join(Path.PathSeparator, Path.GetDirectoryName(kubectl), Path.GetDirectoryName(helm), postgres, Environment.GetEnvironmentVariable("PATH"));
        foreach (var project in Projects)
        {
            context.Console.Line($"{project} …");
            var result = await context.Commands.RunAsync(
                new CommandLine("dotnet", "test", $"tests/{project}/{project}.csproj", "--configuration", "Release", "--no-build", "--nologo")
                {
                    Timeout = TimeSpan.FromMinutes(60),
                    Environment = new Dictionary<string, string?> { ["PATH"] = path },
                },
                context.Token);
            context.Console.Line(result.Output.TrimEnd());
            var summary = Summary().Match(result.Output);
            if (!summary.Success)
            {
                throw new RolloutException($"{project} ended without a summary, exit code {result.ExitCode}: {result.Error}", "Build first: ./build.sh does, when sources changed.");
            }

            passed += int.Parse(summary.Groups["passed"].Value, CultureInfo.InvariantCulture);
            failed += int.Parse(summary.Groups["failed"].Value, CultureInfo.InvariantCulture);
        }

        context.Closing = $"{passed} passed, {failed} failed";
        if (failed > 0 || passed == 0)
        {
            throw new RolloutException($"{failed} of {passed + failed} tests failed.");
        }
    }

    [GeneratedRegex(@"Failed:\s+(?<failed>\d+), Passed:\s+(?<passed>\d+)")]
    private static partial Regex Summary();
}
