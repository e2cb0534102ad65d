using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Controllers;

/// <summary>
/// Jobs: pods until enough of them have succeeded, or too many failed, or the time is up. Helm's hooks wait for the conditions
/// written here. Indexed completion is not implemented and reported as such.
/// </summary>
internal sealed class JobController(ControllerContext context) : Controller("job-controller", context)
{
    private static readonly TimeSpan FirstBackOff = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan LastBackOff = TimeSpan.FromMinutes(6);

    public override void Observe(Change change)
    {
        switch (change.Key)
        {
            case { Group: "batch", Resource: "jobs" }:
                Queue.Add(change.Key);
                break;
            case { Group: "", Resource: "pods" }:
                EnqueueOwner(change.Object, "batch", "jobs", "Job");
                break;
        }
    }

    protected override void Reconcile(ObjectKey key)
    {
        if (Store.Get(key) is not { } job || job.IsDeleting())
        {
            return;
        }

        if (job.IsTrue("Complete") || job.IsTrue("Failed"))
        {
            Expire(key, job);
            return;
        }

        var pods = Claim(job, "", "pods", job.At("spec", "selector"));
        var status = (job.At("status") as JsonObject ?? []).Copy();
        var tally = new Tally(
            pods.Where(PodCounts.IsActive).ToList(),
            Math.Max(status.Number("succeeded") ?? 0, pods.Count(pod => pod.Text("status", "phase") == "Succeeded")),
            Math.Max(status.Number("failed") ?? 0, pods.Count(pod => pod.Text("status", "phase") == "Failed")));
        if (job.Flag("spec", "suspend") == true)
        {
            Suspend(job, status, tally);
        }
        else
        {
            Run(key, job, status, pods, tally);
        }

        WriteStatus(key, job, status);
        if (Store.Get(key) is { } after)
        {
            Expire(key, after);
        }
    }

    private void Run(ObjectKey key, JsonObject job, JsonObject status, List<JsonObject> pods, Tally tally)
    {
        var now = Context.Now;
        if (status["startTime"] is null)
        {
            status["startTime"] = now.Stamp();
        }

        if (job.Condition("Suspended") is not null)
        {
            Conditions.Set(status, "Suspended", "False", "JobResumed", "Job resumed", now, "lastProbeTime");
        }

        var completions = job.Number("spec", "completions");
        var limit = job.Number("spec", "backoffLimit") ?? 6;
        var restarts = job.Text("spec", "template", "spec", "restartPolicy") == "OnFailure";
        var failures = tally.Failed + (restarts ? tally.Active.Sum(PodCounts.Restarts) : 0);
        if (job.Text("spec", "completionMode") == "Indexed")
        {
            Fail(job, status, tally, "FailedIndexes", "The rehearsal's Job controller does not implement completionMode Indexed");
        }
        else if (failures > limit)
        {
            Fail(job, status, tally, "BackoffLimitExceeded", "Job has reached the specified backoff limit");
        }
        else if (Overdue(key, job, status, now))
        {
            Fail(job, status, tally, "DeadlineExceeded", "Job was active longer than specified deadline");
        }
        else if (completions is { } wanted ? tally.Succeeded >= wanted : tally is { Succeeded: > 0, Active.Count: 0 })
        {
            Complete(job, status, tally);
        }
        else
        {
            var parallelism = job.Number("spec", "parallelism") ?? 1;
            var target = completions is { } total ? Math.Min(parallelism, total - tally.Succeeded)
                : tally.Succeeded > 0 ? tally.Active.Count
                : parallelism;
            Adjust(key, job, pods, tally, target, now);
            Write(status, tally);
        }
    }

    private void Adjust(ObjectKey key, JsonObject job, List<JsonObject> pods, Tally tally, int target, DateTimeOffset now)
    {
        foreach (var pod in PodCounts.Expendable(tally.Active).Take(Math.Max(0, tally.Active.Count - target)).ToList())
        {
            Delete(job, pod);
            tally.Active.Remove(pod);
        }

        if (tally.Active.Count >= target)
        {
            return;
        }

        // The pod before has to be gone: two at a time was not asked for.
        if (pods.Any(pod => pod.IsDeleting() && pod.Text("status", "phase") is not ("Succeeded" or "Failed")))
        {
            return;
        }

        if (tally.Failed > 0)
        {
            var last = pods.Where(pod => pod.Text("status", "phase") == "Failed").Select(FinishedAt).DefaultIfEmpty(now).Max();
            var backOff = TimeSpan.FromTicks(Math.Min(LastBackOff.Ticks, FirstBackOff.Ticks << Math.Min(tally.Failed - 1, 10)));
            if (last + backOff > now)
            {
                Queue.AddAfter(key, last + backOff - now);
                return;
            }
        }

        while (tally.Active.Count < target)
        {
            var (pod, _) = CreatePod(key, job, PodTemplate.Pod(job, job.At("spec", "template")));
            if (pod is null)
            {
                return;
            }

            tally.Active.Add(pod);
            Events.Normal(Name, job, "SuccessfulCreate", $"Created pod: {pod.Name()}");
        }
    }

    private static DateTimeOffset FinishedAt(JsonObject pod) => pod.Items("status", "containerStatuses")
        .Select(container => container.Instant("state", "terminated", "finishedAt")).OfType<DateTimeOffset>()
        .DefaultIfEmpty(pod.Instant("metadata", "creationTimestamp") ?? DateTimeOffset.MinValue).Max();

    private bool Overdue(ObjectKey key, JsonObject job, JsonObject status, DateTimeOffset now)
    {
        if (job.Number("spec", "activeDeadlineSeconds") is not { } seconds)
        {
            return false;
        }

        var remaining = (status.Instant("startTime") ?? now) + TimeSpan.FromSeconds(seconds) - now;
        if (remaining > TimeSpan.Zero)
        {
            Queue.AddAfter(key, remaining);
        }

        return remaining <= TimeSpan.Zero;
    }

    private void Suspend(JsonObject job, JsonObject status, Tally tally)
    {
        foreach (var pod in tally.Active)
        {
            Delete(job, pod);
        }

        if (Conditions.Set(status, "Suspended", "True", "JobSuspended", "Job suspended", Context.Now, "lastProbeTime"))
        {
            Events.Normal(Name, job, "Suspended", "Job suspended");
        }

        status.Remove("startTime");
        tally.Active.Clear();
        Write(status, tally);
    }

    private void Complete(JsonObject job, JsonObject status, Tally tally)
    {
        foreach (var pod in tally.Active)
        {
            Delete(job, pod);
        }

        tally.Active.Clear();
        Write(status, tally);
        var now = Context.Now;
        status["completionTime"] = now.Stamp();
        const string Why = "Reached expected number of succeeded pods";
        Conditions.Set(status, "SuccessCriteriaMet", "True", "CompletionsReached", Why, now, "lastProbeTime");
        Conditions.Set(status, "Complete", "True", "CompletionsReached", Why, now, "lastProbeTime");
        Events.Normal(Name, job, "Completed", "Job completed");
    }

    private void Fail(JsonObject job, JsonObject status, Tally tally, string reason, string message)
    {
        foreach (var pod in tally.Active)
        {
            Delete(job, pod);
        }

        Write(status, tally with { Active = [], Failed = tally.Failed + tally.Active.Count });
        var now = Context.Now;
        Conditions.Set(status, "FailureTarget", "True", reason, message, now, "lastProbeTime");
        Conditions.Set(status, "Failed", "True", reason, message, now, "lastProbeTime");
        Events.Warning(Name, job, reason, message);
    }

    private static void Write(JsonObject status, Tally tally)
    {
        status.Count("active", tally.Active.Count);
        status["ready"] = tally.Active.Count(PodCounts.IsReady);
        status["terminating"] = 0;
        status.Count("succeeded", tally.Succeeded);
        status.Count("failed", tally.Failed);
        status["uncountedTerminatedPods"] = new JsonObject();
    }

    private void Delete(JsonObject job, JsonObject pod)
    {
        Store.Delete(PodCounts.KeyOf(pod));
        Events.Normal(Name, job, "SuccessfulDelete", $"Deleted pod: {pod.Name()}");
    }

    private void Expire(ObjectKey key, JsonObject job)
    {
        if (job.Number("spec", "ttlSecondsAfterFinished") is not { } seconds
            || job.Items("status", "conditions").FirstOrDefault(condition =>
                condition.Text("type") is "Complete" or "Failed" && condition.Text("status") == "True") is not { } end)
        {
            return;
        }

        var remaining = (end.Instant("lastTransitionTime") ?? Context.Now) + TimeSpan.FromSeconds(seconds) - Context.Now;
        if (remaining > TimeSpan.Zero)
        {
            Queue.AddAfter(key, remaining);
        }
        else
        {
            Store.Delete(key);
        }
    }

    private sealed record Tally(List<JsonObject> Active, int Succeeded, int Failed);
}
