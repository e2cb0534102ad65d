namespace Rollout.Cluster;

/// <summary>How the lock was found by the run that took it.</summary>
public enum LockFound
{
    /// <summary>Nobody held it.</summary>
    Free,

    /// <summary>This very process held it.</summary>
    Own,

    /// <summary>Its holder's process is known to have ended.</summary>
    Dead,

    /// <summary>It was not renewed for its whole duration, while this run watched it.</summary>
    Expired,

    /// <summary>It was taken from its holder because a person said so.</summary>
    Broken,
}

/// <summary>What a run found when it took the lock; what the previous holder left is null where there was none or it did not say.</summary>
/// <param name="PreviousHolder"><c>USER@HOST/RUN</c>; null where the lock was free.</param>
/// <param name="PreviousRelease">What the last holder rolled out, also where it has released the lock.</param>
public sealed record Acquired(LockFound How, string? PreviousHolder, string? PreviousRelease, string? PreviousStep, ProcessMark? PreviousProcess);

/// <summary>The lock as somebody holds it. What garbage in the Lease leaves unsaid is null.</summary>
/// <param name="Holder"><c>USER@HOST</c>.</param>
/// <param name="Run">The holder's run.</param>
/// <param name="Since">When the step began, by the holder's clock.</param>
/// <param name="Acquired">When the lock was taken, by the holder's clock.</param>
/// <param name="Renewed">When the lock was renewed last, by the holder's clock.</param>
/// <param name="Duration">For how long a renewal holds.</param>
/// <param name="IsExpired">Whether the last renewal is older than that, as far as the two machines' clocks agree.</param>
/// <param name="IsDead">Whether the holder's process is known to have ended.</param>
public sealed record LockState(
    string Holder,
    string? Run,
    string? Release,
    string? Step,
    DateTimeOffset? Since,
    DateTimeOffset? Acquired,
    DateTimeOffset? Renewed,
    TimeSpan Duration,
    ProcessMark? Process,
    bool IsExpired,
    bool IsDead)
{
    /// <summary>As in <c>alice@host (run 1a2b) rolls out v1, at FlipDns since 4 min 12 s, last renewed 2 s ago</c>.</summary>
    public string Describe(DateTimeOffset now)
    {
        var run = Run is null ? string.Empty : $" (run {Run})";
        var release = Release is null ? " holds it without saying for which release" : $" rolls out {Release}";
        var since = Since ?? Acquired;
        var step = Step is null ? string.Empty : $", at {Step}";
        var age = since is null ? string.Empty : $"{(Step is null ? "," : string.Empty)} since {Waiting.Words(now - since.Value)}";
        var renewed = Renewed switch
        {
            null => ", without a renewal",
            { } at when at - now > TimeSpan.FromSeconds(5) => $", last renewed at {at:HH:mm:ss} UTC, which this machine's clock reaches in {Waiting.Words(at - now)}",
            { } at => $", last renewed {Waiting.Words(now - at)} ago",
        };
        return Holder + run + release + step + age + renewed;
    }
}
