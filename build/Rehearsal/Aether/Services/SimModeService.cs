using System.Text.Json.Nodes;
using Rehearsal.Aether.Audit;
using Rehearsal.Aether.Http;
using Rehearsal.Aether.Stores;

namespace Rehearsal.Aether.Services;

/// <summary>Simulation mode (section 4.2): one row per account in the database its environment names, conflicts both ways.</summary>
internal sealed class SimModeService(Pod pod) : AetherService(pod), IDisposable
{
    private readonly AuditTrail _audit = new(pod);
    private readonly SimulationStore _store = new(pod);
    private readonly SemaphoreSlim _turn = new(1);

    public override IEnumerable<(string Name, Func<CancellationToken, Task> Look)> Checks
    {
        get
        {
            yield return ("database", ct => LookAtDatabaseAsync(SimulationStore.Dsn(Pod) ?? "", ct));
        }
    }

    public override Task StartAsync(CancellationToken ct) =>
        SimulationStore.Dsn(Pod) is null ? throw new StartupException("SIM_MODE_DATABASE_URL must be configured") : _store.EnsureAsync(ct);

    public override void Map(RouteTable routes)
    {
        routes.Get("/sim/status", StatusAsync);
        routes.Post(
            "/sim/enter",
            new BodySchema(
                "SimModeEnterRequest", new BodyField("reason", "string"), new BodyField("account_id", "string", Required: false)),
            async call =>
            {
                var session = await Authentication.RequireAdminAsync(call);
                return await TransitionAsync(
                    Known(call.Text("account_id") ?? session.Account), true, call.Text("reason"), session, call.Aborted);
            });
        routes.Post("/sim/exit", null, async call =>
        {
            var session = await Authentication.RequireAdminAsync(call);
            return await TransitionAsync(Known(call.Query("account_id") ?? session.Account), false, null, session, call.Aborted);
        });
    }

    public void Dispose()
    {
        _turn.Dispose();
        _audit.Dispose();
    }

    private string Known(string account) =>
        Pod.Accounts.FirstOrDefault(known => string.Equals(known, account, StringComparison.OrdinalIgnoreCase))
        ?? throw new Refusal(404, $"Unknown account '{account}'.");

    private async Task<Answer> StatusAsync(Call call)
    {
        var accounts = call.Query("account_id") is { } asked ? [Known(asked)] : Pod.Accounts;
        var states = await _store.ReadAsync(call.Aborted);
        var listed = accounts
            .Select(account => states.GetValueOrDefault(account) ?? new SimulationState(account, false, null, null))
            .ToList();
        return Answer.Ok(new JsonObject
        {
            ["active"] = listed.Exists(state => state.Active),
            ["accounts"] = new JsonArray([.. listed.Select(state => state.ToJson())]),
        });
    }

    private async Task<Answer> TransitionAsync(string account, bool active, string? reason, Session session, CancellationToken ct)
    {
        await _turn.WaitAsync(ct);
        try
        {
            var state = new SimulationState(account, active, reason, Pod.Time.GetUtcNow());
            var changed = await _store.TrySetAsync(state, ct);
            Pod.Count(active ? "sim-enter" : "sim-exit", changed);
            if (!changed)
            {
                throw new Refusal(409, $"Simulation mode is already {(active ? "active" : "inactive")} for account '{account}'.");
            }

            var after = state.ToJson();
            await _audit.RecordAsync(
                session.Account, "sim_mode.transition", account, new JsonObject { ["active"] = !active }, after, CancellationToken.None);
            Pod.Log($"INFO:     published platform.sim_mode {after.ToJsonString()}");
            after["actor"] = session.Account;
            return Answer.Ok(after);
        }
        finally
        {
            _turn.Release();
        }
    }
}
