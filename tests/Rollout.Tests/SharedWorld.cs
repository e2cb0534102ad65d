using Rollout.Tests.Support;

namespace Rollout.Tests;

/// <summary>Ends the shared world after the last test.</summary>
[SetUpFixture]
public sealed class SharedWorld
{
    [OneTimeTearDown]
    public Task Stop() => RehearsalWorld.StopSharedAsync();
}
