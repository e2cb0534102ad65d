using Cake.Frosting;
using Rollout.Monitoring;
using Rollout.Playbook;

namespace Rollout.Tools;

/// <summary>Judges archived evidence: no cluster, no journal, nothing is opened or changed.</summary>
[TaskDescription("Judge the archived evidence of a watch (--from=PATH) again; touches nothing")]
public sealed class Judge : FrostingTask<RolloutContext>
{
    private const string File = "watch-samples.json";

    public override void Run(RolloutContext context)
    {
        var (baseline, candidate) = Find(context.Request.EvidencePath);
        var judged = WatchSamples.FromJson(System.IO.File.ReadAllText(candidate), candidate);
        var live = WatchSamples.FromJson(System.IO.File.ReadAllText(baseline), baseline);
        var slo = context.Settings.JudgeThresholds;
        if (string.Equals(Path.GetFileName(Path.GetDirectoryName(Path.GetFullPath(candidate))), nameof(ReenableTrading), StringComparison.Ordinal))
        {
            slo = slo.WhileTrading();
        }

        var judgement = SteadinessJudge.Judge(live, judged, slo);
        context.Console.Table($"Judged {candidate} against {baseline}", WatchView.Columns, [.. WatchView.Rows(judged, judgement).Select(WatchView.Cells)]);
        context.Console.Line($"compared {judgement.Compared}");
        context.Console.Line($"{judgement.Verdict} ({judgement.Reason}): {judgement.Message}");
        if (judgement.Verdict != Verdict.Successful)
        {
            throw new RolloutException(
                $"{candidate} is judged {judgement.Verdict} ({judgement.Reason}).", null, judgement.Verdict == Verdict.Failed ? ExitCode.Failed : ExitCode.Held);
        }
    }

    // A release's evidence has a folder a step; a step's folder has the baseline's beside it; two files are named with a comma between them.
    private static (string Baseline, string Candidate) Find(string? path)
    {
        if (string.IsNullOrEmpty(path))
        {
            throw new RolloutException("Judge was not told what to judge.", Advice, ExitCode.BadSettings);
        }

        if (path.Split(',') is [var first, var second])
        {
            return (Existing(Inside(first)), Existing(Inside(second)));
        }

        var evidence = Directory.Exists(Path.Combine(path, "evidence")) ? Path.Combine(path, "evidence") : path;
        var candidate = Directory.Exists(Path.Combine(evidence, nameof(MonitorTraffic))) ? Path.Combine(evidence, nameof(MonitorTraffic), File) : Inside(evidence);
        var steps = Path.GetDirectoryName(Path.GetDirectoryName(Path.GetFullPath(Existing(candidate))))!;
        return (Existing(Path.Combine(steps, nameof(FreezeWrites), File)), candidate);
    }

    private static string Inside(string path) => Directory.Exists(path) ? Path.Combine(path, File) : path;

    private static string Existing(string path) => System.IO.File.Exists(path)
        ? path
        : throw new RolloutException($"There is no {path}.", Advice, ExitCode.BadSettings);

    private const string Advice =
        "Give the evidence folder of a release, the folder of one of its steps with FreezeWrites beside it, or two files: ./build.sh --target=Judge --from=BASELINE,CANDIDATE";
}
