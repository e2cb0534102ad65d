namespace Rollout.Playbook;

/// <summary>What 1.4 finds, in sentences: all of it is told at once.</summary>
internal sealed record Findings
{
    /// <summary>What must be mended before anything is installed.</summary>
    public List<string> Problems { get; } = [];

    /// <summary>What a person should know, and what nothing is refused for.</summary>
    public List<string> Warnings { get; } = [];
}
