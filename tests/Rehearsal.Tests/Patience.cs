namespace Rehearsal.Tests;

/// <summary>How long tests wait for what has to happen. Generous, because a busy machine is not a failure, and free where it happens.</summary>
internal static class Patience
{
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);
}
