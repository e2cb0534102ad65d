using System.Text.Json.Nodes;
using Rollout.Environments;
using Rollout.Journal;
using Rollout.Monitoring;
using Rollout.Reporting;

namespace Rollout.Playbook;

/// <summary>Watching a slot, as 3.1, 3.3 and 3.4 do it: the view, the evidence, and what becomes of the verdict.</summary>
internal static class Watches
{
    /// <summary>The part of 3.1 whose entry carries live's baseline.</summary>
    public const string BaselinePart = "baseline";

    private const string File = "watch-samples.json";

    /// <summary>Measures live; what was seen is in the part's data.</summary>
    /// <exception cref="RolloutException">Live cannot be measured: nothing could be judged against it later.</exception>
    public static async Task MeasureAsync(RolloutRun run, JsonObject data, CancellationToken cancellationToken)
    {
        var interval = run.Settings.Duration("Monitoring.Interval");
        var watch = await (await run.WatchOfAsync(run.Live, run.Console.Progress, cancellationToken)).WatchAsync(
            new WatchPlan
            {
                Interval = interval,
                Evaluations = 0,
                MinimumScrapes = (int)Math.Ceiling(run.Settings.Duration("Monitoring.Baseline") / interval) + 1,
                Timeout = run.Settings.Duration("Monitoring.Timeout"),
            },
            cancellationToken);
        if (watch.Samples.Readings < 2)
        {
            throw new RolloutException(
                $"{run.Named(run.Live)} cannot be measured: {watch.Samples.Incomplete ?? "it was read once only"}. Without its baseline 3.3 could not judge. Nothing was frozen.",
                "Look at Monitoring.Prometheus and at the pods' /metrics, and run the same command again.");
        }

        data["series"] = watch.Samples.ToText();
        run.Console.Note($"baseline of {run.Named(run.Live)}: {watch.Summary}, by {watch.Samples.Source}");
    }

    /// <summary>Live's baseline, out of the journal, so that it is here on whichever machine goes on.</summary>
    /// <exception cref="RolloutException">Exit code 4: it is not there, or cannot be read.</exception>
    public static WatchSamples Baseline(RolloutRun run) =>
        WatchSamples.FromText(
            run.Journal.Last(nameof(FreezeWrites), JournalEvent.Done, BaselinePart)?.Data?["series"]?.GetValue<string>()
                ?? throw new RolloutException("The baseline of live is not in the journal.", "It is measured by 3.1.", ExitCode.Held));

    /// <summary>Keeps live's baseline as evidence.</summary>
    public static Task KeepBaselineAsync(RolloutRun run, StepJournal journal) => journal.KeepAsync(File, Baseline(run).ToJson());

    /// <summary>Watches the candidate, judges it, and keeps samples and verdict.</summary>
    /// <exception cref="RolloutException">It failed; or, exit code 4, there was not enough evidence either way.</exception>
    public static async Task RequireSteadyAsync(RolloutRun run, StepJournal journal, WatchPlan plan, JudgeThresholds slo, CancellationToken cancellationToken)
    {
        var baseline = Baseline(run);
        var watch = await run.Console.LiveAsync(async (update, progress) =>
            await (await run.WatchOfAsync(run.Candidate, progress, cancellationToken)).WatchAsync(
                plan with
                {
                    Judge = (samples, whole) => SteadinessJudge.Judge(baseline, samples, slo, newestOnly: !whole),
                    Show = seen => update(Table(run, seen, slo)),
                },
                cancellationToken));
        var judgement = watch.Samples.Verdict ?? SteadinessJudge.Judge(baseline, watch.Samples, slo);
        await journal.KeepAsync(File, (watch.Samples with { Verdict = judgement }).ToJson());
        await journal.KeepAsync("judgement.txt", $"{judgement.Verdict} ({judgement.Reason}): {judgement.Message}\n{judgement.Compared}\n");
        journal.Result["verdict"] = judgement.Verdict.ToString();
        journal.Result["reason"] = judgement.Reason;
        run.Console.Note($"{run.Named(run.Candidate)}: {watch.Summary}");
        run.Console.Note($"compared {judgement.Compared}");
        if (judgement is { FirstBad: { } first, Decided: { } decided })
        {
            journal.Result["decidedAfterMs"] = (long)(decided - first).TotalMilliseconds;
            run.Console.Note($"the first bad interval ended at {first:HH:mm:ss.f} UTC; decided {(decided - first).TotalSeconds:0.0} s later");
        }

        run.Console.Note($"{judgement.Verdict}: {judgement.Message}");
        if (judgement.Verdict != Verdict.Successful)
        {
            throw new RolloutException(
                $"The watch of {run.Named(run.Candidate)} ended {judgement.Verdict} ({judgement.Reason}): {judgement.Message}",
                judgement.Verdict == Verdict.Failed
                    ? null
                    : $"There was not enough evidence either way; that is no success. Judge what was seen again: ./build.sh --target=Judge --from={Path.Combine(run.Folder, "evidence")}",
                judgement.Verdict == Verdict.Failed ? ExitCode.Failed : ExitCode.Held);
        }
    }

    /// <summary>How long the watch after the flip must be at least, so that its test has power against this baseline.</summary>
    public static int ScrapesAgainst(WatchSamples baseline) => WatchPlan.ScrapesFor(baseline.Services.Values.Select(s => s.Count).DefaultIfEmpty().Max());

    private static LiveTable Table(RolloutRun run, WatchProgress seen, JudgeThresholds slo) => new(
        $"{run.Named(run.Candidate)}: {seen.Summary}{(seen.Left > TimeSpan.Zero ? $", at least {seen.Left.TotalSeconds:0} s more" : string.Empty)}",
        WatchView.Columns,
        [.. WatchView.Rows(seen.Samples, seen.Verdict).Take(24).Select(row => (Colour(row.Verdict), WatchView.Cells(row)))],
        [WatchView.WhatFails(slo)]);

    private static string Colour(Verdict? verdict) => verdict switch
    {
        Verdict.Failed => "red",
        Verdict.Inconclusive => "yellow",
        Verdict.Successful => "green",
        _ => "grey",
    };
}
