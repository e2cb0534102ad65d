using System.Text.Json.Nodes;
using Rehearsal.Aether.Http;
using Rehearsal.Aether.Metrics;

namespace Rehearsal.Aether.Services;

/// <summary>Thrown by a service that cannot start in its environment: the process logs it and exits with 1.</summary>
internal sealed class StartupException(string message) : Exception(message);

/// <summary>One program of the platform. Its state is the process's: whatever must outlive it lies in a store.</summary>
internal abstract class AetherService(Pod pod)
{
    protected Pod Pod { get; } = pod;

    protected Authentication Authentication { get; } = new(pod);

    /// <summary>What <c>/healthz</c> looks at: name → a look that throws when the part is sick.</summary>
    public virtual IEnumerable<(string Name, Func<CancellationToken, Task> Look)> Checks => [];

    /// <summary>True while everything but drain paths and documentation is answered 503.</summary>
    public virtual bool Draining => false;

    /// <summary>Before the first request is accepted.</summary>
    /// <exception cref="StartupException">The process exits with 1.</exception>
    public virtual Task StartAsync(CancellationToken ct) => Task.CompletedTask;

    /// <summary>What the process does by itself, until it is stopped.</summary>
    public virtual Task RunAsync(CancellationToken ct) => Task.CompletedTask;

    /// <summary>One internal request of the trickle was served in <paramref name="elapsed"/>.</summary>
    public virtual void Observe(TimeSpan elapsed, bool failed)
    {
    }

    public abstract void Map(RouteTable routes);

    protected Task LookAtDatabaseAsync(string dsn, CancellationToken ct) => Stores.AccountStore.PingAsync(Pod, dsn, ct);

    protected async Task LookAtRedisAsync(string url, CancellationToken ct) =>
        await (await Pod.World.Redis.OpenAsync(url, ct)).PingAsync().WaitAsync(ct);

    protected static JsonArray Strings(IEnumerable<string> values) => [.. values.Select(value => JsonValue.Create(value))];
}

/// <summary>What a workload's program offers, by section 2.2 of the platform's contract.</summary>
/// <param name="Healthz">Has <c>/healthz</c>; the services without one answer it with 404.</param>
/// <param name="Metrics">Serves <c>/metrics</c> and echoes <c>x-request-id</c>.</param>
internal sealed record Workload(
    string Name,
    string Title,
    Func<Pod, AetherService> Create,
    bool Healthz = false,
    bool Readyz = false,
    bool Metrics = false,
    int Port = 8000);
