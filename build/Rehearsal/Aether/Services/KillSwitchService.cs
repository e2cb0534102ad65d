using System.Globalization;
using System.Text.Json.Nodes;
using Rehearsal.Aether.Audit;
using Rehearsal.Aether.Http;
using Rehearsal.Aether.Metrics;
using Rehearsal.Aether.Stores;

namespace Rehearsal.Aether.Services;

/// <summary>The kill switch (section 4.4): it engages and never releases; its list of events lives in the process.</summary>
internal sealed class KillSwitchService(Pod pod) : AetherService(pod), IDisposable
{
    private static readonly string[] Reasons = ["spread_widening", "latency_stall", "loss_cap_breach"];

    private readonly AccountStore _accounts = new(pod);
    private readonly AuditTrail _audit = new(pod);
    private readonly Lock _lock = new();
    private readonly List<JsonObject> _events = [];
    private readonly Metric _state = pod.Metrics.Gauge(
        "kill_switch_state", "1 while the kill switch of the account is engaged.", "account_id");
    private readonly Metric _response = pod.Metrics.Histogram(
        "kill_switch_response_seconds", "Time to engage the kill switch.", MetricRegistry.Seconds, "status");

    public override void Map(RouteTable routes)
    {
        routes.Post("/risk/kill", null, KillAsync);
        routes.Get("/risk/kill_events", EventsAsync);
    }

    public void Dispose() => _audit.Dispose();

    private async Task<Answer> KillAsync(Call call)
    {
        var session = await Authentication.RequireAdminAsync(call);
        var account = call.Query("account_id")?.Trim() ?? throw new Refusal(422, "account_id is required");
        if (account.Length == 0)
        {
            throw new Refusal(400, "account_id must not be empty");
        }

        var reason = call.Query("reason_code") ?? "loss_cap_breach";
        if (!Reasons.Contains(reason, StringComparer.Ordinal))
        {
            throw new Refusal(422, $"reason_code must be one of {string.Join(", ", Reasons)}");
        }

        var clock = Pod.Time.GetTimestamp();
        var at = AuditTrail.IsoTime(Pod.Time.GetUtcNow());
        await _accounts.SetRiskFlagAsync(account, "kill_switch", true, CancellationToken.None);
        var happened = new JsonObject { ["account_id"] = account, ["reason_code"] = reason, ["actor"] = session.Account, ["ts"] = at };
        await _accounts.AddEventAsync(account, "kill_switch_engaged", happened, CancellationToken.None);
        _state.Set(1, account);
        var (sent, failed) = await AlarmAsync(happened);
        var status = failed.Count == 0 ? "ok" : "partial";
        _response.Observe(Pod.Time.GetElapsedTime(clock).TotalSeconds, status);
        happened["channels_sent"] = Strings(sent);
        lock (_lock)
        {
            _events.Insert(0, happened);
        }

        await _audit.RecordAsync(session.Account, "kill_switch.triggered", account, null, happened, CancellationToken.None);
        return new Answer(failed.Count == 0 ? 200 : 207, new JsonObject
        {
            ["status"] = status,
            ["ts"] = at,
            ["reason_code"] = reason,
            ["channels_sent"] = Strings(sent),
            ["failed_channels"] = Strings(failed),
        });
    }

    private async Task<Answer> EventsAsync(Call call)
    {
        await Authentication.RequireAdminAsync(call);
        if (!int.TryParse(call.Query("limit") ?? "20", CultureInfo.InvariantCulture, out var limit) || limit is < 1 or > 100)
        {
            throw new Refusal(422, "limit must be between 1 and 100");
        }

        lock (_lock)
        {
            var asked = _events.Where(
                item => call.Query("account_id") is not { } account || item["account_id"]!.GetValue<string>() == account);
            return Answer.Ok(new JsonArray([.. asked.Take(limit).Select(item => item.DeepClone())]));
        }
    }

    /// <summary>Standard output always takes the alarm; the webhook only where one is configured and answers.</summary>
    private async Task<(List<string> Sent, List<string> Failed)> AlarmAsync(JsonObject happened)
    {
        Pod.Log($"CRITICAL: kill switch engaged {happened.ToJsonString()}");
        var sent = new List<string> { "log" };
        var failed = new List<string>();
        if (Pod.Env("KILL_SWITCH_WEBHOOK_URL") is { } webhook)
        {
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(2), Pod.Time);
            try
            {
                using var alarm = new StringContent(happened.ToJsonString());
                using var answer = await Pod.World.Http.PostAsync(new Uri(webhook), alarm, patience.Token);
                (answer.IsSuccessStatusCode ? sent : failed).Add("webhook");
            }
            catch (Exception failure) when (failure is HttpRequestException or OperationCanceledException)
            {
                failed.Add("webhook");
            }
        }

        return (sent, failed);
    }
}
