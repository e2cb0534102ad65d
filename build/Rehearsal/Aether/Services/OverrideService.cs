using System.Text.Json.Nodes;
using Npgsql;
using Rehearsal.Aether.Audit;
using Rehearsal.Aether.Http;

namespace Rehearsal.Aether.Services;

/// <summary>Manual overrides (section 4.4): rows of <c>override_log</c>, and both audit trails.</summary>
internal sealed class OverrideService(Pod pod) : AetherService(pod), IDisposable
{
    private readonly AuditTrail _audit = new(pod);

    public override void Map(RouteTable routes)
    {
        var body = new BodySchema(
            "OverrideRequest",
            new("intent_id", "string"),
            new("decision", "string", Allowed: ["approve", "reject"]),
            new("reason", "string"));
        routes.Post("/override/trade", body, DecideAsync);
        routes.Get("/override/history", HistoryAsync);
    }

    public void Dispose() => _audit.Dispose();

    private NpgsqlCommand Command(string sql)
    {
        var dsn = Pod.Env("OVERRIDE_DATABASE_URL", "DATABASE_URL")
            ?? throw new InvalidOperationException("OVERRIDE_DATABASE_URL is not set");
        return Pod.World.Databases.Open(dsn).CreateCommand(sql);
    }

    private async Task<Answer> DecideAsync(Call call)
    {
        var session = await Authentication.RequireAdminAsync(call);
        var now = Pod.Time.GetUtcNow();
        var decision = new JsonObject
        {
            ["intent_id"] = call.Text("intent_id"),
            ["account_id"] = session.Account,
            ["actor"] = session.Account,
            ["decision"] = call.Text("decision"),
            ["reason"] = call.Text("reason"),
            ["ts"] = AuditTrail.IsoTime(now),
        };
        await using var command = Command(
            "INSERT INTO override_log (intent_id, account_id, actor, decision, reason, ts) VALUES ($1, $2, $3, $4, $5, $6)");
        command.Parameters.Add(new() { Value = call.Text("intent_id") });
        command.Parameters.Add(new() { Value = session.Account });
        command.Parameters.Add(new() { Value = session.Account });
        command.Parameters.Add(new() { Value = call.Text("decision") });
        command.Parameters.Add(new() { Value = call.Text("reason") });
        command.Parameters.Add(new() { Value = now });
        await command.ExecuteNonQueryAsync(CancellationToken.None);

        var intent = call.Text("intent_id")!;
        await _audit.RecordAsync(session.Account, "override.human_decision", intent, null, decision, CancellationToken.None);
        await _audit.RecordForAccountAsync(
            session.Account,
            session.Account,
            "override.human_decision",
            intent,
            new JsonObject
            {
                ["before"] = null,
                ["after"] = decision.DeepClone(),
                ["correlation_id"] = intent,
                ["entry_id"] = Guid.NewGuid().ToString(),
                ["account_id"] = session.Account,
            },
            CancellationToken.None);
        return new Answer(201, decision);
    }

    private async Task<Answer> HistoryAsync(Call call)
    {
        var session = await Authentication.RequireAdminAsync(call);
        await using var command = Command(
            "SELECT intent_id, account_id, actor, decision, reason, ts FROM override_log WHERE account_id = $1 ORDER BY ts DESC LIMIT 100");
        command.Parameters.Add(new() { Value = call.Query("account_id") ?? session.Account });
        await using var reader = await command.ExecuteReaderAsync(call.Aborted);
        var rows = new JsonArray();
        while (await reader.ReadAsync(call.Aborted))
        {
            rows.Add(new JsonObject
            {
                ["intent_id"] = reader.GetString(0),
                ["account_id"] = reader.GetString(1),
                ["actor"] = reader.GetString(2),
                ["decision"] = reader.GetString(3),
                ["reason"] = reader.GetString(4),
                ["ts"] = AuditTrail.IsoTime(await reader.GetFieldValueAsync<DateTimeOffset>(5, call.Aborted)),
            });
        }

        return Answer.Ok(rows);
    }
}
