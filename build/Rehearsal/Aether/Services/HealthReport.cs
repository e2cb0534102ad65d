using System.Text.Json.Nodes;

namespace Rehearsal.Aether.Services;

/// <summary>
/// The body of <c>/healthz</c> and <c>/readyz</c>: real looks at what the service depends on, at most once in two seconds, so
/// that probes of a hundred pods do not become load.
/// </summary>
internal sealed class HealthReport(Pod pod, AetherService service)
{
    private static readonly TimeSpan Freshness = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan FlapPeriod = TimeSpan.FromSeconds(5);

    private readonly SemaphoreSlim _turn = new(1);
    private List<(string Name, string? Error)>? _seen;
    private long _seenAt;

    public async Task<(bool Healthy, JsonObject Body)> LookAsync(CancellationToken ct)
    {
        await _turn.WaitAsync(ct);
        List<(string Name, string? Error)> seen;
        try
        {
            if (_seen is null || pod.Time.GetElapsedTime(_seenAt) > Freshness)
            {
                _seen = [];
                foreach (var (name, look) in service.Checks)
                {
                    _seen.Add((name, await TryAsync(look, ct)));
                }

                _seenAt = pod.Time.GetTimestamp();
            }

            seen = _seen;
        }
        finally
        {
            _turn.Release();
        }

        var checks = new JsonObject();
        var healthy = true;
        foreach (var (name, error) in Injected() is { } fault ? seen.Append(("dependency", fault)) : seen)
        {
            healthy &= error is null;
            checks[name] = error is null
                ? new JsonObject { ["status"] = "ok" }
                : new JsonObject { ["status"] = "error", ["error"] = error };
        }

        return (healthy, new JsonObject { ["status"] = healthy ? "ok" : "error", ["checks"] = checks });
    }

    private async Task<string?> TryAsync(Func<CancellationToken, Task> look, CancellationToken ct)
    {
        using var patience = new CancellationTokenSource(Patience, pod.Time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(ct, patience.Token);
        try
        {
            await look(both.Token);
            return null;
        }
        catch (Exception failure) when (failure is not OutOfMemoryException && !ct.IsCancellationRequested)
        {
            return failure is OperationCanceledException ? "timed out" : failure.Message;
        }
    }

    /// <summary>Fault <c>health-error</c>: <c>SLOT:WORKLOAD</c>, with a third part <c>flap</c> sick and well in turns of five seconds.</summary>
    private string? Injected()
    {
        if (!pod.Struck("health-error"))
        {
            return null;
        }

        var flapping = pod.World.Fault("health-error")!.Trim().EndsWith(":flap", StringComparison.Ordinal);
        var well = flapping && pod.Time.GetUtcNow().ToUnixTimeSeconds() / (long)FlapPeriod.TotalSeconds % 2 == 0;
        return well ? null : "dependency is unavailable";
    }
}
