using System.Globalization;
using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;
using Octokit;

namespace Rollout.Supply;

/// <summary>A run that is to be started, as the journal keeps it before it is.</summary>
/// <param name="Reference">The tag or branch that it runs on.</param>
/// <param name="Commit">What that must stand for; full SHA.</param>
/// <param name="Correlation">Ours alone.</param>
/// <param name="Input">The workflow's input that takes the correlation and that its <c>run-name</c> shows; null where it has none.</param>
/// <param name="Since">GitHub's own clock before the dispatch.</param>
public sealed record CiDispatch(string WorkflowFile, string Reference, string Commit, string Correlation, string? Input, DateTimeOffset Since)
{
    private static readonly JsonSerializerOptions Format = new(JsonSerializerDefaults.Web);

    public JsonObject ToJson() => JsonSerializer.SerializeToNode(this, Format)!.AsObject();

    public static CiDispatch From(JsonObject json) => json.Deserialize<CiDispatch>(Format)!;
}

/// <summary>What became of a dispatch.</summary>
/// <param name="Id">The run's; 0 where it was refused.</param>
/// <param name="Refusal">Null where it was started. A refused one has started nothing for certain.</param>
public sealed record CiStart(long Id, RolloutException? Refusal);

/// <summary>
/// Starts a workflow once. GitHub shows the run seconds later and a dispatch has no name of its own, so the run is known by the id in GitHub's answer, else by what
/// only it can be: started by hand, on our commit, after our dispatch, with our correlation in its title where the workflow shows it. The newest run may be a
/// colleague's and is never taken for ours.
/// </summary>
public sealed class CiDispatcher(GitHubRepository github, TimeProvider time, IProgress<string> progress)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(3);

    // GitHub's Date has whole seconds, and the run's time may come from another of its machines.
    private static readonly TimeSpan Skew = TimeSpan.FromSeconds(10);

    /// <summary>What time it is at GitHub.</summary>
    public async Task<DateTimeOffset> NowAsync(CancellationToken cancellationToken)
    {
        var date = await github.AskAsync(
            async () =>
            {
                var answer = await github.Client.Connection.Get<object>(new Uri($"repos/{github.Owner}/{github.Name}", UriKind.Relative), new Dictionary<string, string>());
                return answer.HttpResponse.Headers.FirstOrDefault(h => h.Key.Equals("Date", StringComparison.OrdinalIgnoreCase)).Value ?? string.Empty;
            },
            cancellationToken);
        return DateTimeOffset.TryParse(date, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var now) ? now : time.GetUtcNow();
    }

    /// <summary>Starts the run.</summary>
    /// <exception cref="RolloutException">It is not known whether it was started, or which run is ours.</exception>
    public async Task<CiStart> StartAsync(CiDispatch dispatch, CancellationToken cancellationToken)
    {
        long? told;
        try
        {
            told = await PostAsync(dispatch, cancellationToken);
        }
        catch (NotFoundException exception)
        {
            return new CiStart(0, new RolloutException(
                $"GitHub has no workflow {dispatch.WorkflowFile} on the default branch of {github.Owner}/{github.Name}, or this token may not start it.",
                "The token needs to write actions.",
                innerException: exception));
        }
        catch (ApiException exception) when (exception.StatusCode == HttpStatusCode.UnprocessableEntity)
        {
            return new CiStart(0, new RolloutException(
                $"GitHub does not start {dispatch.WorkflowFile} on {dispatch.Reference}: {Says(exception).TrimEnd('.')}.",
                Says(exception).Contains("workflow_dispatch", StringComparison.Ordinal)
                    ? "Give the workflow that trigger, or push the commit so that CI runs by itself, and set Github.Dispatch to never."
                    : "Github.DispatchInput must be an input of the workflow or empty, and the tag must be on GitHub.",
                innerException: exception));
        }
        catch (Exception exception) when (GitHubTrouble.From(exception, cancellationToken) is { } trouble)
        {
            // A limit is a refusal, too: nothing was started.
            if (!trouble.MayHaveActed)
            {
                return new CiStart(0, trouble.Error);
            }

            // Not repeated: the run may be started although its answer was lost.
            told = await FindAsync(dispatch, cancellationToken) ?? throw new RolloutException(
                $"It is not known whether {dispatch.WorkflowFile} was started: {trouble.Error.Message} No run of it showed within {Patience.TotalSeconds:0} s.",
                "Run the same command again: it looks for the run before it starts another.",
                innerException: exception);
        }

        told ??= await FindAsync(dispatch, cancellationToken) ?? throw new RolloutException(
            $"GitHub took the start of {dispatch.WorkflowFile} on {dispatch.Reference}, but no run of it showed within {Patience.TotalSeconds:0} s.",
            "Run the same command again: it looks for the run before it starts another.");
        return new CiStart(told.Value, null);
    }

    /// <summary>The id of the run that a dispatch started; null where none shows in a minute.</summary>
    /// <exception cref="RolloutException">Several could be it.</exception>
    public async Task<long?> FindAsync(CiDispatch dispatch, CancellationToken cancellationToken)
    {
        var begun = time.GetTimestamp();
        var found = await Waiting.UntilAsync(
            $"the started run of {dispatch.WorkflowFile}",
            token => LookAsync(dispatch, token),
            runs => runs.Count > 0 || time.GetElapsedTime(begun) >= Patience,
            _ => "none shows yet",
            Patience + Interval,
            Interval,
            time,
            new Changes(progress, () => dispatch.Correlation, time),
            cancellationToken);
        return found.Count == 0 ? null : found.Count == 1
            ? found[0].Id
            : throw new RolloutException(
                $"{found.Count} runs of {dispatch.WorkflowFile} could be the one that was started for {dispatch.Commit[..12]}: {string.Join(", ", found.Select(r => r.HtmlUrl))}.",
                "Cancel those that are not wanted and delete them on GitHub, or let the workflow's run-name show an input and name that in Github.DispatchInput.",
                ExitCode.Held);
    }

    private async Task<long?> PostAsync(CiDispatch dispatch, CancellationToken cancellationToken)
    {
        try
        {
            return await github.ObeyAsync(() => PostAsync(dispatch, withDetails: true, cancellationToken), cancellationToken);
        }
        catch (ApiException exception) when (exception.StatusCode is HttpStatusCode.BadRequest or HttpStatusCode.UnprocessableEntity
            && Says(exception).Contains("return_run_details", StringComparison.Ordinal))
        {
            // An Enterprise Server of before 2026.
            return await github.ObeyAsync(() => PostAsync(dispatch, withDetails: false, cancellationToken), cancellationToken);
        }
    }

    private async Task<long?> PostAsync(CiDispatch dispatch, bool withDetails, CancellationToken cancellationToken)
    {
        var body = new Dictionary<string, object> { ["ref"] = dispatch.Reference };
        if (dispatch.Input is not null)
        {
            body["inputs"] = new Dictionary<string, string> { [dispatch.Input] = dispatch.Correlation };
        }

        if (withDetails)
        {
            body["return_run_details"] = true;
        }

        var answer = await github.Client.Connection.Post<object>(
            new Uri($"repos/{github.Owner}/{github.Name}/actions/workflows/{dispatch.WorkflowFile}/dispatches", UriKind.Relative),
            body,
            "application/vnd.github+json",
            "application/json",
            cancellationToken: cancellationToken);
        try
        {
            return answer.HttpResponse.Body is string { Length: > 0 } text ? JsonNode.Parse(text)?["workflow_run_id"]?.GetValue<long>() : null;
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            // It was taken; which run it is can be found out.
            return null;
        }
    }

    private async Task<IReadOnlyList<WorkflowRun>> LookAsync(CiDispatch dispatch, CancellationToken cancellationToken)
    {
        var runs = await github.AskAsync(
            () => github.Client.Actions.Workflows.Runs.ListByWorkflow(
                github.Owner, github.Name, dispatch.WorkflowFile, new WorkflowRunsRequest { Event = "workflow_dispatch", HeadSha = dispatch.Commit }),
            cancellationToken);
        return
        [
            .. (runs?.WorkflowRuns ?? []).Where(r => r.Event == "workflow_dispatch"
                && r.HeadSha.Equals(dispatch.Commit, StringComparison.OrdinalIgnoreCase)
                && r.CreatedAt >= dispatch.Since - Skew
                && (dispatch.Input is null || r.DisplayTitle?.Contains(dispatch.Correlation, StringComparison.Ordinal) == true)),
        ];
    }

    private static string Says(ApiException exception) =>
        string.Join(' ', [exception.ApiError?.Message ?? exception.Message, .. (exception.ApiError?.Errors ?? []).Select(e => e.Message).OfType<string>()]);
}
