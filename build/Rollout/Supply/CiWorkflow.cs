using System.Net;
using System.Net.Http.Headers;
using Octokit;

namespace Rollout.Supply;

/// <summary>One job of a CI run.</summary>
/// <param name="Name">As in the workflow file, with the matrix values behind it where there is a matrix.</param>
/// <param name="Status">GitHub's word: queued, in_progress, completed, …</param>
/// <param name="Conclusion">GitHub's word: success, failure, skipped, …; null until it is completed.</param>
/// <param name="FailedSteps">Names of the steps that failed or were cancelled.</param>
public sealed record CiJob(string Name, string Status, string? Conclusion, IReadOnlyList<string> FailedSteps);

/// <summary>One run of a workflow, at its newest attempt.</summary>
/// <param name="Id">GitHub's id of the run, the same for all attempts.</param>
/// <param name="Attempt">From 1.</param>
/// <param name="Url">The page for people.</param>
/// <param name="HeadSha">The commit it ran on.</param>
/// <param name="Status">GitHub's word: queued, in_progress, completed, …</param>
/// <param name="Conclusion">GitHub's word: success, failure, cancelled, …; null until it is completed.</param>
/// <param name="Jobs">The jobs of that attempt.</param>
public sealed record CiRun(long Id, int Attempt, string Url, string HeadSha, string Status, string? Conclusion, IReadOnlyList<CiJob> Jobs);

/// <summary>
/// The platform's CI on GitHub Actions. Aether's workflow has no manual trigger and a second run cancels the first, so the run that CI already made for the
/// release's commit is looked for (platform contract, 7.4); <see cref="CiDispatcher"/> starts one where that is wanted.
/// </summary>
public sealed class CiWorkflow : IDisposable
{
    private const int LargestLog = 64 * 1024 * 1024;
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan JobsTime = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan LogsTime = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan LogsLimit = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan LogsInterval = TimeSpan.FromSeconds(2);

    private readonly GitHubRepository _github;
    private readonly TimeProvider _time;
    private readonly IProgress<string> _progress;
    private readonly HttpClient _plain = new(new SocketsHttpHandler { AllowAutoRedirect = false }) { Timeout = GitHubRepository.AnswerTime };

    /// <param name="time">Times the pauses between looks.</param>
    /// <param name="progress">Told when the run does something else, and every five minutes that it still does the same.</param>
    public CiWorkflow(GitHubRepository github, TimeProvider time, IProgress<string> progress) => (_github, _time, _progress) = (github, time, progress);

    /// <summary>Whether the workflow has a run for the commit, whatever came of it.</summary>
    public async Task<bool> HasRunAsync(string commit, string workflowFile, CancellationToken cancellationToken)
    {
        var runs = await _github.AskAsync(
            () => _github.Client.Actions.Workflows.Runs.ListByWorkflow(_github.Owner, _github.Name, workflowFile, new WorkflowRunsRequest { HeadSha = commit }),
            cancellationToken);
        return runs?.WorkflowRuns.Any(run => run.HeadSha.Equals(commit, StringComparison.OrdinalIgnoreCase)) == true;
    }

    /// <summary>
    /// The newest run of the workflow for the commit, waited for while it is under way. Both the run and the named job must have
    /// succeeded: a run is green even when the job that matters was skipped.
    /// </summary>
    /// <param name="commit">Full SHA.</param>
    /// <param name="workflowFile">File name under <c>.github/workflows</c>.</param>
    /// <param name="job">Name of the job that verifies; with a matrix all its variants.</param>
    /// <param name="id">This run and no other; null is the newest of the commit.</param>
    /// <param name="timeout">How long to wait for a run under way.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="RolloutException">No run, not green, not finished in time, or GitHub refuses.</exception>
    public async Task<CiRun> RequireGreenAsync(
        string commit, string workflowFile, string job, long? id, TimeSpan timeout, CancellationToken cancellationToken)
    {
        var begun = _time.GetTimestamp();
        long? ended = null;
        var seen = string.Empty;
        var (run, _) = await Waiting.UntilAsync(
            $"{workflowFile} on {Short(commit)}",
            async token =>
            {
                var look = await LookAsync(commit, workflowFile, id, timeout - _time.GetElapsedTime(begun), token);
                seen = look.Words;
                return look;
            },
            look => HasEnded(look.Run, ref ended),
            look => look.Words,
            timeout,
            Interval,
            _time,
            new Changes(_progress, () => seen, _time),
            cancellationToken);
        var jobs = run!.Jobs.Where(one => one.Name == job || one.Name.StartsWith(job + " (", StringComparison.Ordinal)).ToList();
        if (run.Conclusion == "success" && jobs.Count > 0 && jobs.All(one => one.Conclusion == "success"))
        {
            return run;
        }

        var told = run.Conclusion == "success" && jobs.Count > 0
            ? jobs
            : [.. run.Jobs.Where(one => one.Conclusion is not ("success" or "skipped"))];
        var words = told.Select(one => $"job {one.Name}: {one.Conclusion ?? one.Status}"
            + (one.FailedSteps.Count > 0 ? $" at {string.Join(", ", one.FailedSteps.Select(step => $"'{step}'"))}" : string.Empty));
        var missing = jobs.Count == 0 ? [$"job {job}: not in this run"] : Array.Empty<string>();
        throw new RolloutException(
            $"CI is not green for {Short(commit)}: {run.Url} (attempt {run.Attempt}) ended with {run.Conclusion ?? "no conclusion"}; "
                + $"{string.Join("; ", words.Concat(missing).DefaultIfEmpty($"job {job}: {jobs.FirstOrDefault()?.Conclusion}"))}.",
            run.Conclusion == "cancelled"
                ? "A newer run of the same branch cancels the older; re-run this one on GitHub."
                : "Repair the commit, or re-run it on GitHub when the failure was not the code's.");
    }

    /// <summary>The zip with the run's logs. GitHub redirects to a storage host, which is asked without the token.</summary>
    /// <exception cref="RolloutException">The logs are gone, larger than 64 MiB, or GitHub refuses.</exception>
    public async Task<byte[]> LogsAsync(CiRun run, CancellationToken cancellationToken)
    {
        // A run is completed some seconds before its logs are packed.
        var begun = _time.GetTimestamp();
        var waiting = new Changes(_progress, () => run.Url, _time);
        while (true)
        {
            var answer = await LogsOnceAsync(run, cancellationToken);
            if (answer.Zip is { } zip)
            {
                return zip;
            }

            var pause = answer.Pause ?? LogsInterval;
            if (!answer.Passes || _time.GetElapsedTime(begun) + pause > (answer.Pause is null ? LogsTime : GitHubRepository.LongestPause))
            {
                throw answer.Error!;
            }

            waiting.Report($"waiting for the logs of {run.Url}");
            if (answer.Pause is not null)
            {
                _progress.Report(GitHubRepository.Tell(pause, _time.GetUtcNow()));
            }

            await Waiting.PauseAsync(pause, _time, cancellationToken);
        }
    }

    private async Task<Logs> LogsOnceAsync(CiRun run, CancellationToken cancellationToken)
    {
        const int mostRedirects = 5;
        var uri = new Uri(_github.Client.Connection.BaseAddress, $"repos/{_github.Owner}/{_github.Name}/actions/runs/{run.Id}/logs");
        for (var redirects = 0; redirects <= mostRedirects; redirects++)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, uri);
            request.Headers.UserAgent.ParseAdd("aether-rollout");
            if (redirects == 0)
            {
                request.Headers.Accept.ParseAdd("application/vnd.github+json");
                request.Headers.Authorization = _github.Token is null ? null : new AuthenticationHeaderValue("Bearer", _github.Token.Reveal());
            }

            try
            {
                using var response = await _plain.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
                if ((int)response.StatusCode is >= 300 and < 400 && response.Headers.Location is { } location)
                {
                    uri = new Uri(uri, location);
                    if (uri.Scheme != Uri.UriSchemeHttps && !uri.IsLoopback)
                    {
                        throw new RolloutException(
                            $"The logs of {run.Url} are offered at {uri.Host} without HTTPS; they were not fetched.");
                    }

                    continue;
                }

                if (response.IsSuccessStatusCode)
                {
                    return new Logs(await CappedAsync(response, run, cancellationToken), null);
                }

                var status = (int)response.StatusCode;
                var pause = status is 403 or 429 or >= 500 ? GitHubTrouble.Named(response.Headers.RetryAfter?.ToString(), response.Headers.Date ?? DateTimeOffset.MaxValue) : null;
                return new Logs(
                    null,
                    new RolloutException(status is 404 or 410
                        ? $"The logs of {run.Url} are gone, or this token may not read them (HTTP {status})."
                        : $"The logs of {run.Url} could not be fetched: {uri.Host} answered HTTP {status}."),
                    status is 404 or 429 or >= 500 || pause is not null,
                    pause);
            }
            catch (Exception exception) when (exception is HttpRequestException or IOException
                || (exception is OperationCanceledException && !cancellationToken.IsCancellationRequested))
            {
                throw new RolloutException(
                    $"The logs of {run.Url} could not be fetched from {uri.Host}: {exception.Message}", innerException: exception);
            }
        }

        throw new RolloutException($"The logs of {run.Url} could not be fetched: more than {mostRedirects} redirects.");
    }

    public void Dispose() => _plain.Dispose();

    private static async Task<byte[]> CappedAsync(HttpResponseMessage response, CiRun run, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(LogsLimit);
        await using var stream = await response.Content.ReadAsStreamAsync(limit.Token);
        using var logs = new MemoryStream();
        var buffer = new byte[81920];
        int count;
        while ((count = await stream.ReadAsync(buffer, limit.Token)) > 0)
        {
            logs.Write(buffer, 0, count);
            if (logs.Length > LargestLog)
            {
                throw new RolloutException($"The logs of {run.Url} are larger than {LargestLog / (1024 * 1024)} MiB.");
            }
        }

        // A page for people that a proxy shows is no evidence.
        return logs.GetBuffer().AsSpan(0, (int)logs.Length).StartsWith("PK"u8)
            ? logs.ToArray()
            : throw new RolloutException($"What was given as the logs of {run.Url} is no zip archive.", "Look at what stands between this machine and GitHub's storage.");
    }

    // GitHub can tell of a run that it is completed while one of its jobs is not, and what that job comes to is what counts. A run that failed can only be told better.
    private bool HasEnded(CiRun? run, ref long? ended)
    {
        if (run is not { Status: "completed" })
        {
            ended = null;
            return false;
        }

        ended ??= _time.GetTimestamp();
        return run.Jobs.All(job => job.Status == "completed") || (run.Conclusion != "success" && _time.GetElapsedTime(ended.Value) >= JobsTime);
    }

    private async Task<Look> LookAsync(string commit, string workflowFile, long? id, TimeSpan left, CancellationToken cancellationToken)
    {
        try
        {
            var run = id is { } known
                ? await _github.Client.Actions.Workflows.Runs.Get(_github.Owner, _github.Name, known).WaitAsync(GitHubRepository.AnswerTime, cancellationToken)
                : await NewestAsync(commit, workflowFile, cancellationToken);
            if (!run.HeadSha.Equals(commit, StringComparison.OrdinalIgnoreCase))
            {
                throw new RolloutException(
                    $"{run.HtmlUrl} runs on {Short(run.HeadSha)}, not on the release's commit {Short(commit)}.", "The tag or branch it was started on has moved: find out why.");
            }

            var jobs = await _github.Client.Actions.Workflows.Jobs
                .List(_github.Owner, _github.Name, run.Id, new WorkflowRunJobsRequest { Filter = WorkflowRunJobsFilter.Latest })
                .WaitAsync(GitHubRepository.AnswerTime, cancellationToken);
            var look = Run(run, jobs.Jobs);
            return new Look(look, $"{run.HtmlUrl} is {look.Status}{string.Concat(look.Jobs.Select(job => $", {job.Name} {job.Conclusion ?? job.Status}"))}");
        }
        catch (NotFoundException) when (id is not null)
        {
            // One that was just started shows some seconds later.
            return new Look(null, $"run {id} does not show yet");
        }
        catch (NotFoundException exception)
        {
            throw new RolloutException(
                $"GitHub has no workflow {workflowFile} in {_github.Owner}/{_github.Name}, or this token may not see it.",
                "Check the repository's name and the workflow's file name; the token needs to read actions.",
                innerException: exception);
        }
        catch (Exception exception) when (GitHubTrouble.From(exception, cancellationToken) is { } trouble)
        {
            if (!trouble.Passes)
            {
                throw trouble.Error;
            }

            if (trouble.Pause > left)
            {
                throw new RolloutException(
                    $"{trouble.Error.Message} That is longer than the {Waiting.Words(left)} that are left of Github.Timeout.", trouble.Error.Hint, innerException: exception);
            }

            if (trouble.Pause is { } pause)
            {
                _progress.Report(GitHubRepository.Tell(pause, _time.GetUtcNow()));
                await Waiting.PauseAsync(pause, _time, cancellationToken);
            }

            return new Look(null, trouble.Error.Message.TrimEnd('.'));
        }
    }

    private async Task<WorkflowRun> NewestAsync(string commit, string workflowFile, CancellationToken cancellationToken)
    {
        var runs = await _github.Client.Actions.Workflows.Runs
            .ListByWorkflow(_github.Owner, _github.Name, workflowFile, new WorkflowRunsRequest { HeadSha = commit })
            .WaitAsync(GitHubRepository.AnswerTime, cancellationToken);

        // One that a newer push cancelled says nothing of the commit where another has run to its end.
        return runs.WorkflowRuns
            .Where(run => run.HeadSha.Equals(commit, StringComparison.OrdinalIgnoreCase))
            .OrderBy(run => run.Conclusion?.StringValue == "cancelled")
            .ThenByDescending(run => run.RunNumber)
            .ThenByDescending(run => run.RunAttempt)
            .FirstOrDefault()
            ?? throw new RolloutException(
                $"{_github.Owner}/{_github.Name} has no run of {workflowFile} for the commit {commit}.",
                "Push the commit to the main branch or open a pull request with it, so that CI runs, then repeat; a workflow with workflow_dispatch can be started with Github.Dispatch=when-missing.");
    }

    private static CiRun Run(WorkflowRun run, IReadOnlyList<WorkflowJob> jobs) => new(
        run.Id,
        (int)run.RunAttempt,
        run.HtmlUrl,
        run.HeadSha,
        run.Status.StringValue,
        run.Conclusion?.StringValue,
        [.. jobs.Select(job => new CiJob(
            job.Name,
            job.Status.StringValue,
            job.Conclusion?.StringValue,
            [.. (job.Steps ?? [])
                .Where(step => step.Conclusion?.StringValue is "failure" or "cancelled" or "timed_out")
                .Select(step => step.Name)]))]);

    private static string Short(string commit) => commit.Length > 12 ? commit[..12] : commit;

    /// <summary>The logs, or why there are none yet or at all.</summary>
    private sealed record Logs(byte[]? Zip, RolloutException? Error, bool Passes = false, TimeSpan? Pause = null);

    private sealed record Look(CiRun? Run, string Words);
}
