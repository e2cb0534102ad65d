using System.Globalization;
using System.Text.Json.Nodes;

namespace Rehearsal.World;

/// <summary>One workflow file of the repository.</summary>
internal sealed record GitHubWorkflow(long Id, string File, string Name, string Job, bool IsDispatchable)
{
    public static readonly IReadOnlyList<GitHubWorkflow> All =
    [
        new(71001, "ci.yaml", "CI", "verify", false),
        new(71002, "post-deploy-smoke.yml", "Post-deploy smoke", "smoke", true),
        new(71003, "deploy.yml", "Deploy", "deploy", true),
        new(71004, "build-images.yaml", "Build images", "build", true),
    ];

    public static GitHubWorkflow? Find(string idOrFile)
    {
        return All.FirstOrDefault(workflow => workflow.File == idOrFile || workflow.Id.ToString(CultureInfo.InvariantCulture) == idOrFile);
    }
}

/// <summary>
/// One workflow run. What it shows is a matter of its age alone: a dispatched one becomes visible a second after its request, is
/// queued, then in progress, then completed. Runs that CI made by itself are visible and completed whatever their age.
/// <c>Created</c> is when it was asked for, <c>Started</c> when its newest attempt was.
/// </summary>
internal sealed record GitHubRun(
    long Id,
    GitHubWorkflow Workflow,
    int Number,
    int Attempt,
    string Event,
    string Branch,
    string Sha,
    string Title,
    DateTimeOffset Created,
    DateTimeOffset Started,
    bool IsDispatched)
{
    private static readonly TimeSpan Hidden = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Queued = TimeSpan.FromSeconds(1.5);
    private static readonly TimeSpan Running = TimeSpan.FromSeconds(3);

    public bool IsVisible(DateTimeOffset now)
    {
        return !IsDispatched || now - Created >= Hidden;
    }

    public string Status(DateTimeOffset now)
    {
        var age = now - Started;
        return !IsDispatched && Attempt == 1 ? "completed" : age < Queued ? "queued" : age < Running ? "in_progress" : "completed";
    }

    public JsonObject ToJson()
    {
        return new JsonObject
        {
            ["id"] = Id,
            ["workflow"] = Workflow.File,
            ["number"] = Number,
            ["attempt"] = Attempt,
            ["event"] = Event,
            ["branch"] = Branch,
            ["sha"] = Sha,
            ["title"] = Title,
            ["created"] = Created.ToString("O", CultureInfo.InvariantCulture),
            ["started"] = Started.ToString("O", CultureInfo.InvariantCulture),
            ["dispatched"] = IsDispatched,
        };
    }

    public static GitHubRun FromJson(JsonNode json)
    {
        return new GitHubRun(
            (long)json["id"]!,
            GitHubWorkflow.Find((string)json["workflow"]!)!,
            (int)json["number"]!,
            (int)json["attempt"]!,
            (string)json["event"]!,
            (string)json["branch"]!,
            (string)json["sha"]!,
            (string)json["title"]!,
            DateTimeOffset.Parse((string)json["created"]!, CultureInfo.InvariantCulture),
            DateTimeOffset.Parse((string)json["started"]!, CultureInfo.InvariantCulture),
            (bool)json["dispatched"]!);
    }
}
