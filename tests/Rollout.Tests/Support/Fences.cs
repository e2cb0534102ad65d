namespace Rollout.Tests.Support;

/// <summary>Fences for tests of modules that stand behind one.</summary>
internal static class Fences
{
    /// <summary>Lets everything pass.</summary>
    public static Task Open(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Refuses, as after the lock was lost.</summary>
    public static Task Closed(CancellationToken cancellationToken) =>
        throw new RolloutException("The lock was lost.", null, ExitCode.Refused);
}
