using System.Globalization;
using System.Text.Json.Nodes;

namespace Rehearsal.World;

/// <summary>The shapes of GitHub's REST answers, with the fields that clients read.</summary>
internal static class GitHubJson
{
    public static JsonObject Repository(string repository, Uri address)
    {
        var owner = repository.Split('/')[0];
        return new JsonObject
        {
            ["id"] = 700100,
            ["node_id"] = "R_rehearsal",
            ["name"] = repository.Split('/')[1],
            ["full_name"] = repository,
            ["private"] = true,
            ["owner"] = new JsonObject { ["login"] = owner, ["id"] = 1, ["type"] = "Organization" },
            ["html_url"] = $"{address}{repository}",
            ["url"] = $"{address}api/v3/repos/{repository}",
            ["default_branch"] = "main",
            ["archived"] = false,
            ["disabled"] = false,
            ["visibility"] = "private",
            ["permissions"] = new JsonObject { ["admin"] = false, ["push"] = true, ["pull"] = true },
        };
    }

    public static JsonObject Commit(GitHubRelease release, Uri address, string repository)
    {
        var author = new JsonObject { ["name"] = "Aether CI", ["email"] = "ci@aether.example.com", ["date"] = Time(release.Committed) };
        return new JsonObject
        {
            ["sha"] = release.Sha,
            ["node_id"] = "C_" + release.Sha[..12],
            ["url"] = $"{address}api/v3/repos/{repository}/commits/{release.Sha}",
            ["html_url"] = $"{address}{repository}/commit/{release.Sha}",
            ["commit"] = new JsonObject
            {
                ["message"] = $"Release {release.Tag}",
                ["author"] = author,
                ["committer"] = author.DeepClone(),
                ["tree"] = new JsonObject { ["sha"] = release.Sha },
            },
            ["parents"] = new JsonArray(),
        };
    }

    public static JsonObject Reference(string reference, GitHubRelease release)
    {
        return new JsonObject
        {
            ["ref"] = reference,
            ["node_id"] = "REF_" + release.Tag,
            ["object"] = new JsonObject { ["type"] = "commit", ["sha"] = release.Sha },
        };
    }

    public static JsonObject Tag(GitHubRelease release)
    {
        return new JsonObject
        {
            ["name"] = release.Tag,
            ["commit"] = new JsonObject { ["sha"] = release.Sha },
            ["node_id"] = "T_" + release.Tag,
        };
    }

    public static JsonObject Release(GitHubRelease release)
    {
        return new JsonObject
        {
            ["id"] = 500_000 + Math.Abs(release.Committed.ToUnixTimeSeconds() / 60 % 100_000),
            ["tag_name"] = release.Tag,
            ["target_commitish"] = "main",
            ["name"] = release.Tag,
            ["body"] = $"Aether {release.Tag}",
            ["draft"] = false,
            ["prerelease"] = false,
            ["created_at"] = Time(release.Committed),
            ["published_at"] = Time(release.Committed),
            ["assets"] = new JsonArray(),
        };
    }

    public static JsonObject Workflow(GitHubWorkflow workflow)
    {
        return new JsonObject
        {
            ["id"] = workflow.Id,
            ["node_id"] = $"W_{workflow.Id}",
            ["name"] = workflow.Name,
            ["path"] = ".github/workflows/" + workflow.File,
            ["state"] = "active",
            ["created_at"] = "2026-01-01T00:00:00Z",
            ["updated_at"] = "2026-01-01T00:00:00Z",
        };
    }

    public static JsonObject Run(GitHubRun run, string status, string? conclusion, Uri address, string repository)
    {
        var url = $"{address}api/v3/repos/{repository}/actions/runs/{run.Id}";
        var actor = new JsonObject { ["login"] = "aether-ci", ["id"] = 2, ["type"] = "Bot" };
        return new JsonObject
        {
            ["id"] = run.Id,
            ["name"] = run.Workflow.Name,
            ["node_id"] = $"WFR_{run.Id}",
            ["head_branch"] = run.Branch,
            ["head_sha"] = run.Sha,
            ["path"] = ".github/workflows/" + run.Workflow.File,
            ["display_title"] = run.Title,
            ["run_number"] = run.Number,
            ["run_attempt"] = run.Attempt,
            ["event"] = run.Event,
            ["status"] = status,
            ["conclusion"] = conclusion,
            ["workflow_id"] = run.Workflow.Id,
            ["check_suite_id"] = run.Id + 1,
            ["check_suite_node_id"] = $"CS_{run.Id}",
            ["url"] = url,
            ["html_url"] = $"{address}{repository}/actions/runs/{run.Id}",
            ["pull_requests"] = new JsonArray(),
            ["created_at"] = Time(run.Created),
            ["updated_at"] = Time(run.Started.AddSeconds(3)),
            ["run_started_at"] = Time(run.Started),
            ["jobs_url"] = url + "/jobs",
            ["logs_url"] = url + "/logs",
            ["artifacts_url"] = url + "/artifacts",
            ["cancel_url"] = url + "/cancel",
            ["rerun_url"] = url + "/rerun",
            ["workflow_url"] = $"{address}api/v3/repos/{repository}/actions/workflows/{run.Workflow.Id}",
            ["actor"] = actor,
            ["triggering_actor"] = actor.DeepClone(),
        };
    }

    public static JsonObject Job(GitHubRun run, string status, string? conclusion, Uri address, string repository)
    {
        JsonObject Step(string name, int number) => new()
        {
            ["name"] = name,
            ["status"] = status,
            ["conclusion"] = number == 2 ? conclusion : conclusion is null ? null : "success",
            ["number"] = number,
            ["started_at"] = status == "queued" ? null : Time(run.Started),
            ["completed_at"] = status == "completed" ? Time(run.Started.AddSeconds(3)) : null,
        };
        return new JsonObject
        {
            ["id"] = run.Id * 10,
            ["run_id"] = run.Id,
            ["run_attempt"] = run.Attempt,
            ["head_sha"] = run.Sha,
            ["name"] = run.Workflow.Job,
            ["workflow_name"] = run.Workflow.Name,
            ["status"] = status,
            ["conclusion"] = conclusion,
            ["started_at"] = Time(run.Started),
            ["completed_at"] = status == "completed" ? Time(run.Started.AddSeconds(3)) : null,
            ["html_url"] = $"{address}{repository}/actions/runs/{run.Id}/job/{run.Id * 10}",
            ["url"] = $"{address}api/v3/repos/{repository}/actions/jobs/{run.Id * 10}",
            ["labels"] = new JsonArray("ubuntu-latest"),
            ["steps"] = new JsonArray(Step("Set up job", 1), Step("Run", 2)),
        };
    }

    private static string Time(DateTimeOffset moment)
    {
        return moment.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture);
    }
}
