using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;
using Npgsql;
using Rehearsal.Aether.Audit;
using Rehearsal.Aether.Http;
using Rehearsal.Aether.Metrics;
using Rehearsal.Aether.Stores;
using StackExchange.Redis;

namespace Rehearsal.Aether.Services;

/// <summary>
/// Safe mode (section 3 of the contract). Its flag stops no order by itself. The stored state is read once per process, when
/// the controller is first used, so replicas do not see one another's transitions; a store that is away is only logged.
/// </summary>
internal sealed class SafeModeService(Pod pod) : AetherService(pod), IDisposable
{
    private const string StateKey = "safe-mode:state";

    private readonly AccountStore _accounts = new(pod);
    private readonly AuditTrail _audit = new(pod);
    private readonly Metric _triggers = pod.Metrics.Counter("safe_mode_triggers_total", "Safe mode activations.", "service", "reason");
    private readonly SemaphoreSlim _turn = new(1);
    private State? _state;

    public override IEnumerable<(string Name, Func<CancellationToken, Task> Look)> Checks
    {
        get
        {
            if (Pod.Env("SAFE_MODE_REDIS_URL") is { } url)
            {
                yield return ("state_store", ct => LookAtRedisAsync(url, ct));
            }
        }
    }

    private IReadOnlyList<string> Managed =>
        Pod.List("SAFE_MODE_ACCOUNTS") is { Count: > 0 } listed ? listed : [Pod.Env("SAFE_MODE_ACCOUNT_ID") ?? "company"];

    private string StateFile => (Pod.Env("AETHER_STATE_DIR") ?? ".aether_state") + "/safe_mode/state.json";

    public override Task StartAsync(CancellationToken ct) =>
        Pod.Env("SAFE_MODE_REDIS_URL") is null && !Pod.Enabled("AETHER_ALLOW_INSECURE_TEST_DEFAULTS")
            ? throw new StartupException("SAFE_MODE_REDIS_URL must be configured")
            : Task.CompletedTask;

    public override void Map(RouteTable routes)
    {
        var body = new BodySchema("SafeModeEnterRequest", new BodyField("reason", "string", Required: false));
        routes.Post("/safe_mode/enter", body, EnterAsync);
        routes.Post("/safe_mode/exit", null, ExitAsync);
        routes.Get("/safe_mode/status", async call =>
        {
            await _turn.WaitAsync(call.Aborted);
            try
            {
                return Answer.Ok((await LoadAsync(call.Aborted)).ToJson());
            }
            finally
            {
                _turn.Release();
            }
        });
    }

    public void Dispose()
    {
        _turn.Dispose();
        _audit.Dispose();
    }

    private async Task<Answer> EnterAsync(Call call)
    {
        var session = await Authentication.RequireAdminAsync(call);
        var reason = call.Text("reason")?.Trim();
        if (string.IsNullOrEmpty(reason))
        {
            throw new Refusal(400, "reason is required");
        }

        await _turn.WaitAsync(call.Aborted);
        try
        {
            // Once begun, a transition is finished even when the caller goes away.
            var before = await LoadAsync(CancellationToken.None);
            Pod.Count("safe-mode-enter", changed: !before.Active);
            if (!before.Active)
            {
                _state = new State(true, reason, Pod.Time.GetUtcNow(), session.Account);
                await EngageAsync(_state);
                await SaveAsync(_state);
            }

            await FlagAsync(true);
            await _audit.RecordAsync(
                session.Account, "safe_mode.enter", "safe_mode", before.ToJson(), _state!.ToJson(), CancellationToken.None);
            return Answer.Ok(_state.ToJson());
        }
        finally
        {
            _turn.Release();
        }
    }

    private async Task<Answer> ExitAsync(Call call)
    {
        var session = await Authentication.RequireAdminAsync(call);
        await _turn.WaitAsync(call.Aborted);
        try
        {
            var before = await LoadAsync(CancellationToken.None);
            Pod.Count("safe-mode-exit", changed: before.Active);
            if (!before.Active)
            {
                throw new Refusal(409, "Safe mode is not currently active");
            }

            _state = State.Inactive;
            await FlagAsync(false);
            await TellAsync("safe_mode_released", before.Reason, "exited", session.Account);
            await SaveAsync(_state);
            await _audit.RecordAsync(
                session.Account, "safe_mode.exit", "safe_mode", before.ToJson(), _state.ToJson(), CancellationToken.None);
            return Answer.Ok(_state.ToJson());
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>What only the first entry does: cancel the accounts' open orders, whichever slot sent them, and tell everybody.</summary>
    private async Task EngageAsync(State state)
    {
        foreach (var account in Managed)
        {
            await TryAsync($"cancel the open orders of {account}", () => CancelOpenOrdersAsync(account));
        }

        await TellAsync("safe_mode_engaged", state.Reason, "entered", state.Actor);
        _triggers.Add(1, Pod.Workload, state.Reason ?? "");
    }

    private async Task CancelOpenOrdersAsync(string account)
    {
        var open = await _accounts.OpenOrdersAsync(account, CancellationToken.None);
        if (open.Count == 0)
        {
            return;
        }

        var address = Neighbour.Find(Pod, "oms-service", "OMS_SERVICE_URL");
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(5), Pod.Time);
        var request = new JsonObject { ["account_id"] = account, ["order_ids"] = Strings(open) };
        using var answer = await Pod.World.Http.PostAsJsonAsync(new Uri(address, "/internal/orders/cancel"), request, patience.Token);
        Pod.Log($"INFO:     asked the OMS to cancel {open.Count} open orders of {account}: {(int)answer.StatusCode}");
    }

    private async Task FlagAsync(bool active)
    {
        foreach (var account in Managed)
        {
            await TryAsync(
                $"write the risk flag of {account}",
                () => _accounts.SetRiskFlagAsync(account, "safe_mode", active, CancellationToken.None));
        }
    }

    private async Task TellAsync(string type, string? reason, string state, string? actor)
    {
        var message = new JsonObject
        {
            ["reason"] = reason,
            ["timestamp"] = AuditTrail.IsoTime(Pod.Time.GetUtcNow()),
            ["state"] = state,
            ["actor"] = actor,
        };
        foreach (var account in Managed)
        {
            var own = message.DeepClone().AsObject();
            own["account_id"] = account;
            await TryAsync($"write the event of {account}", () => _accounts.AddEventAsync(account, type, own, CancellationToken.None));
        }

        Pod.Log($"INFO:     published ops.safe_mode {message.ToJsonString()}");
    }

    private async Task TryAsync(string what, Func<Task> act)
    {
        try
        {
            await act();
        }
        catch (Exception failure)
            when (failure is NpgsqlException or HttpRequestException or OperationCanceledException or InvalidOperationException)
        {
            Pod.Log($"ERROR:    could not {what}: {failure.Message}");
        }
    }

    private async Task<State> LoadAsync(CancellationToken ct)
    {
        if (_state is not null)
        {
            return _state;
        }

        _state = await ReadAsync(ct) ?? State.Inactive;
        if (_state.Active)
        {
            await FlagAsync(true);
        }

        return _state;
    }

    private async Task<State?> ReadAsync(CancellationToken ct)
    {
        try
        {
            if (Pod.Env("SAFE_MODE_REDIS_URL") is { } url)
            {
                return State.Parse(await (await Pod.World.Redis.OpenAsync(url, ct)).StringGetAsync(StateKey).WaitAsync(ct));
            }

            var file = Pod.HostPath(StateFile);
            return File.Exists(file)
                ? State.Parse(JsonNode.Parse(await File.ReadAllTextAsync(file, ct))?[StateKey]?.GetValue<string>())
                : null;
        }
        catch (Exception failure)
            when (failure is RedisException or RedisTimeoutException or IOException or JsonException or InvalidOperationException)
        {
            Pod.Log($"ERROR:    Failed to load safe mode state: {failure.Message}");
            return null;
        }
    }

    private async Task SaveAsync(State state)
    {
        try
        {
            if (Pod.Env("SAFE_MODE_REDIS_URL") is { } url)
            {
                await (await Pod.World.Redis.OpenAsync(url, CancellationToken.None)).StringSetAsync(StateKey, state.Stored());
                return;
            }

            await File.WriteAllTextAsync(Pod.WritablePath(StateFile), new JsonObject { [StateKey] = state.Stored() }.ToJsonString());
        }
        catch (Exception failure) when (failure is RedisException or RedisTimeoutException or IOException or UnauthorizedAccessException)
        {
            Pod.Log($"ERROR:    Failed to persist safe mode state: {failure.Message}");
        }
    }

    private sealed record State(bool Active, string? Reason, DateTimeOffset? Since, string? Actor)
    {
        public static readonly State Inactive = new(false, null, null, null);

        public static State? Parse(string? stored)
        {
            if (stored is null || JsonNode.Parse(stored) is not JsonObject state || state["active"]?.GetValueKind() != JsonValueKind.True)
            {
                return null;
            }

            var text = state["timestamp"]?.ToString();
            var since = DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var at)
                ? at
                : (DateTimeOffset?)null;
            return new State(true, state["reason"]?.ToString(), since, null);
        }

        /// <summary>What survives the process: not the actor.</summary>
        public string Stored() => new JsonObject
        {
            ["active"] = Active,
            ["reason"] = Reason,
            ["timestamp"] = Since is { } since ? AuditTrail.IsoTime(since) : null,
        }.ToJsonString(Answer.Plainly);

        public JsonObject ToJson() => new()
        {
            ["active"] = Active,
            ["reason"] = Reason,
            ["since"] = Since is { } since ? AuditTrail.IsoTime(since) : null,
            ["actor"] = Actor,
        };
    }
}
