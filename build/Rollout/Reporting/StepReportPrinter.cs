using Cake.Core;
using Cake.Core.Diagnostics;

namespace Rollout.Reporting;

/// <summary>The closing table: one row a step with its time. The steps' own lines replace the engine's banners.</summary>
public sealed class StepReportPrinter(RolloutConsole console, RolloutRequest request) : ICakeReportPrinter
{
    public void Write(CakeReport report)
    {
        ArgumentNullException.ThrowIfNull(report);
        if (request.Json)
        {
            return;
        }

        var rows = report.Where(e => e.Category == CakeReportEntryCategory.Task && (e.ExecutionStatus != CakeTaskExecutionStatus.Delegated))
            .Select(e => (IReadOnlyList<string>)[e.TaskName, Word(e.ExecutionStatus), $"{e.Duration.TotalSeconds:0.0} s"]).ToList();
        if (rows.Count > 0)
        {
            rows.Add(["total", string.Empty, $"{report.Sum(e => e.Duration.TotalSeconds):0.0} s"]);
            console.Table("Tasks", ["task", "status", "time"], rows);
        }
    }

    public void WriteLifeCycleStep(string name, Verbosity verbosity)
    {
    }

    public void WriteSkippedStep(string name, Verbosity verbosity)
    {
    }

    public void WriteStep(string name, Verbosity verbosity)
    {
    }

    private static string Word(CakeTaskExecutionStatus status) => status switch
    {
        CakeTaskExecutionStatus.Executed => "succeeded",
        CakeTaskExecutionStatus.Skipped => "skipped",
        _ => "failed",
    };
}
