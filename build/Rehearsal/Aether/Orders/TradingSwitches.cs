using System.Text.Json;
using System.Text.Json.Nodes;
using Npgsql;
using Rehearsal.Aether.Stores;
using StackExchange.Redis;

namespace Rehearsal.Aether.Orders;

/// <summary>
/// Whether an OMS process may send real orders for an account: simulation mode, looked up at most every two seconds, and
/// safe mode only where <c>OMS_OBEYS_SAFE_MODE</c> is set, for on the platform nothing reads that flag. A store that fails leaves the
/// last known answer.
/// </summary>
internal sealed class TradingSwitches(Pod pod) : IDisposable
{
    private static readonly TimeSpan Freshness = TimeSpan.FromSeconds(2);

    private readonly SimulationStore _simulation = new(pod);
    private readonly SemaphoreSlim _turn = new(1);
    private readonly bool _ignoresSimulation = pod.Env("OMS_PROGRAM") == "main";
    private readonly bool _obeysSafeMode = pod.Enabled("OMS_OBEYS_SAFE_MODE");
    private IReadOnlyDictionary<string, SimulationState> _states = new Dictionary<string, SimulationState>();
    private bool _safeMode;
    private long? _lookedAt;

    public async Task<bool> SimulatedAsync(string account, CancellationToken ct)
    {
        await RefreshAsync(ct);
        return !_ignoresSimulation && !pod.Struck("oms-ignores-simulation") && _states.TryGetValue(account, out var state) && state.Active;
    }

    public async Task<bool> HaltedAsync(CancellationToken ct)
    {
        await RefreshAsync(ct);
        return _obeysSafeMode && _safeMode;
    }

    public void Dispose() => _turn.Dispose();

    private async Task RefreshAsync(CancellationToken ct)
    {
        if (_lookedAt is { } at && pod.Time.GetElapsedTime(at) < Freshness)
        {
            return;
        }

        await _turn.WaitAsync(ct);
        try
        {
            if (_lookedAt is { } again && pod.Time.GetElapsedTime(again) < Freshness)
            {
                return;
            }

            // The age counts from before the look, so that an answer is never older than it claims.
            var now = pod.Time.GetTimestamp();
            if (SimulationStore.Dsn(pod) is not null)
            {
                _states = await _simulation.ReadAsync(ct);
            }

            if (_obeysSafeMode && pod.Env("SAFE_MODE_REDIS_URL") is { } url)
            {
                string? stored = await (await pod.World.Redis.OpenAsync(url, ct)).StringGetAsync("safe-mode:state").WaitAsync(ct);
                _safeMode = stored is not null && JsonNode.Parse(stored)?["active"]?.GetValue<bool>() == true;
            }

            _lookedAt = now;
        }
        catch (Exception failure)
            when (failure is NpgsqlException or RedisException or RedisTimeoutException or JsonException or InvalidOperationException)
        {
            _lookedAt = pod.Time.GetTimestamp();
            pod.Log($"WARNING:  trading switches could not be read, keeping the last known: {failure.Message}");
        }
        finally
        {
            _turn.Release();
        }
    }
}
