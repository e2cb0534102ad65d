using Rollout.Tests.Support;

namespace Rollout.Tests;

/// <summary>Ends the server that <see cref="PostgresServer"/> may have started.</summary>
[SetUpFixture]
internal sealed class PostgresTeardown
{
    [OneTimeTearDown]
    public static Task StopAsync() => PostgresServer.StopAsync();
}
