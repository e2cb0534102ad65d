using System.Text.Json;
using System.Text.Json.Nodes;
using Npgsql;
using Rehearsal.Aether.Stores;
using StackExchange.Redis;

namespace Rehearsal.Aether.Orders;

/// <summary>It is not known whether an order may be sent, so none is.</summary>
internal sealed class SwitchUnknownException(string message) : Exception(message);

/// <summary>
/// Whether an OMS process may send real orders for an account: simulation mode, looked up at most every two seconds, and safe mode
/// only where <c>OMS_OBEYS_SAFE_MODE</c> is set, for on the platform nothing reads that flag. Every question may end in a
/// <see cref="SwitchUnknownException"/>: an order whose mode cannot be looked up fails.
/// </summary>
internal sealed class TradingSwitches(Pod pod) : IDisposable
{
    private static readonly TimeSpan Freshness = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(500);

    private readonly SimulationStore _simulation = new(pod);
    private readonly SemaphoreSlim _turn = new(1);
    private readonly bool _ignoresSimulation = pod.Env("OMS_PROGRAM") == "main";
    private readonly bool _obeysSafeMode = pod.Enabled("OMS_OBEYS_SAFE_MODE");
    private volatile Look? _last;

    public async Task<bool> SimulatedAsync(string account, CancellationToken ct)
    {
        if (_ignoresSimulation || pod.Struck("oms-ignores-simulation"))
        {
            return false;
        }

        return (await LookAsync(ct)).States.TryGetValue(account, out var state) && state.Active;
    }

    public async Task<bool> HaltedAsync(CancellationToken ct) => _obeysSafeMode && (await LookAsync(ct)).SafeMode;

    public void Dispose() => _turn.Dispose();

    private async Task<Look> LookAsync(CancellationToken ct)
    {
        if (Fresh() is { } fresh)
        {
            return fresh.Answer();
        }

        await _turn.WaitAsync(ct);
        try
        {
            var look = Fresh() ?? await LookAgainAsync(ct);
            return look.Answer();
        }
        finally
        {
            _turn.Release();
        }
    }

    private Look? Fresh() =>
        _last is { } last && pod.Time.GetElapsedTime(last.At) < (last.Failure is null ? Freshness : RetryPause) ? last : null;

    private async Task<Look> LookAgainAsync(CancellationToken ct)
    {
        // The age counts from before the look, so that an answer is never older than it claims.
        var now = pod.Time.GetTimestamp();
        Look look;
        try
        {
            var states = SimulationStore.Dsn(pod) is null ? new Dictionary<string, SimulationState>() : await _simulation.ReadAsync(ct);
            look = new Look(now, states, _obeysSafeMode && await ReadSafeModeAsync(ct), null);
        }
        catch (Exception failure)
            when (failure is NpgsqlException or RedisException or RedisTimeoutException or JsonException or InvalidOperationException)
        {
            pod.Log($"ERROR:    trading switches could not be read, orders fail: {failure.Message}");
            look = new Look(pod.Time.GetTimestamp(), new Dictionary<string, SimulationState>(), false, failure.Message);
        }

        _last = look;
        return look;
    }

    private async Task<bool> ReadSafeModeAsync(CancellationToken ct)
    {
        if (pod.Env("SAFE_MODE_REDIS_URL") is not { } url)
        {
            return false;
        }

        string? stored = await (await pod.World.Redis.OpenAsync(url, ct)).StringGetAsync("safe-mode:state").WaitAsync(ct);
        return stored is not null && JsonNode.Parse(stored)?["active"]?.GetValue<bool>() == true;
    }

    private sealed record Look(long At, IReadOnlyDictionary<string, SimulationState> States, bool SafeMode, string? Failure)
    {
        public Look Answer() => Failure is null ? this : throw new SwitchUnknownException(Failure);
    }
}
