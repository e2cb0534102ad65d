using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;
using Rehearsal.Aether.Audit;
using Rehearsal.Aether.Http;
using Rehearsal.Aether.Metrics;

namespace Rehearsal.Aether.Services;

/// <summary>
/// The sequencer. Its statistics rise only while the OMS of its namespace sends real orders: behind a fence no intent reaches the
/// end of the pipeline. Runs and statistics live in the process.
/// </summary>
internal sealed class SequencerService(Pod pod) : AetherService(pod)
{
    private const int Kept = 200;

    private static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    private readonly Metric _runsTotal = pod.Metrics.Counter("sequencer_runs_total", "Pipeline runs.", "status");
    private readonly Lock _lock = new();
    private readonly LinkedList<JsonObject> _runs = new();
    private readonly List<double> _latencies = [];
    private readonly Dictionary<Uri, long> _sentSeen = [];
    private long _success;
    private long _failed;

    public override IEnumerable<(string Name, Func<CancellationToken, Task> Look)> Checks =>
        [("pipeline", _ => HasOms ? Task.CompletedTask : throw new InvalidOperationException("no OMS in this namespace"))];

    private bool HasOms => Pod.Env("OMS_SERVICE_URL") is not null || Pod.World.Address(Pod.Start.Namespace, "oms-service") is not null;

    public override void Map(RouteTable routes)
    {
        routes.Get("/sequencer/status", _ => Answer.Ok(Status()));
        routes.Post("/sequencer/submit_intent", new BodySchema("SequencerIntentRequest", new BodyField("intent", "object")), SubmitAsync);
    }

    public override async Task RunAsync(CancellationToken ct)
    {
        using var timer = new PeriodicTimer(Pace, Pod.Time);
        while (await timer.WaitForNextTickAsync(ct))
        {
            foreach (var address in Pod.World.Addresses(Pod.Start.Namespace, "oms-service"))
            {
                var clock = Pod.Time.GetTimestamp();
                if (await ReadSentAsync(address, ct) is { } sent)
                {
                    // The first look only learns where the counter stands; a smaller value is a restarted OMS.
                    if (_sentSeen.TryGetValue(address, out var before) && sent > before)
                    {
                        Note("success", Pod.Time.GetElapsedTime(clock), []);
                    }

                    _sentSeen[address] = sent;
                }
            }
        }
    }

    private async Task<long?> ReadSentAsync(Uri address, CancellationToken ct)
    {
        using var patience = new CancellationTokenSource(Patience, Pod.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(ct, patience.Token);
        try
        {
            var flow = await Pod.World.Http.GetFromJsonAsync<JsonObject>(new Uri(address, "/internal/flow"), either.Token);
            return flow?["sent"]?.GetValue<long>();
        }
        catch (Exception failure) when (failure is HttpRequestException or JsonException
            || (failure is OperationCanceledException && !ct.IsCancellationRequested))
        {
            return null;
        }
    }

    private async Task<Answer> SubmitAsync(Call call)
    {
        var session = await Authentication.RequireAdminAsync(call);
        var intent = call.Body["intent"]!.AsObject();
        if (intent["account_id"]?.ToString() is not { } account || intent["instrument"] is null || intent["side"] is null)
        {
            throw new Refusal(400, "intent needs account_id, instrument and side");
        }

        Authentication.RequireSameAccount(session, account);
        var clock = Pod.Time.GetTimestamp();
        var stages = new JsonObject();
        var artifacts = new JsonObject();
        var risk = Neighbour.Find(Pod, "risk-service", "RISK_SERVICE_URL");
        var oms = Neighbour.Find(Pod, "oms-service", "OMS_SERVICE_URL");
        var order = intent["client_id"]?.ToString() ?? Guid.NewGuid().ToString("N");
        var verdict = await StageAsync("risk", new Uri(risk, "/risk/validate"), RiskService.RequestFor(
            account,
            order,
            intent["instrument"]!.ToString(),
            intent["side"]!.ToString(),
            intent["quantity"]?.DeepClone() ?? 0.001m,
            intent["price"]?.DeepClone() ?? 64_000m));
        JsonNode? fill = null;
        if (verdict?["valid"]?.GetValue<bool>() == true)
        {
            fill = await StageAsync("oms", new Uri(oms, "/oms/place"), new JsonObject
            {
                ["account_id"] = account,
                ["client_id"] = order,
                ["symbol"] = intent["instrument"]!.DeepClone(),
                ["side"] = intent["side"]!.ToString().ToLowerInvariant(),
                ["type"] = "market",
                ["qty"] = intent["quantity"]?.DeepClone() ?? 0.001m,
            });
        }

        var status = fill is null ? "rejected" : "success";
        var run = Note(status, Pod.Time.GetElapsedTime(clock), stages);
        return Answer.Ok(new JsonObject
        {
            ["run_id"] = run,
            ["status"] = status,
            ["latency_ms"] = Pod.Time.GetElapsedTime(clock).TotalMilliseconds,
            ["stage_latencies_ms"] = stages.DeepClone(),
            ["stage_artifacts"] = artifacts,
            ["fill_event"] = fill?.DeepClone(),
        });

        async Task<JsonNode?> StageAsync(string stage, Uri address, JsonObject body)
        {
            var start = Pod.Time.GetTimestamp();
            var (code, answer) = await Neighbour.PostAsync(Pod, address, body, call);
            stages[stage] = Pod.Time.GetElapsedTime(start).TotalMilliseconds;
            artifacts[stage] = answer?.DeepClone();
            if (code is null)
            {
                Note("failed", Pod.Time.GetElapsedTime(clock), stages);
                throw new Refusal(504, $"Stage '{stage}' timed out");
            }

            return code == 200 ? answer : null;
        }
    }

    private string Note(string status, TimeSpan elapsed, JsonObject stages)
    {
        var id = Guid.NewGuid().ToString("N");
        _runsTotal.Add(1, status);
        lock (_lock)
        {
            _runs.AddFirst(new JsonObject
            {
                ["run_id"] = id,
                ["status"] = status,
                ["latency_ms"] = elapsed.TotalMilliseconds,
                ["stage_latencies_ms"] = stages.DeepClone(),
                ["ts"] = AuditTrail.IsoTime(Pod.Time.GetUtcNow()),
            });
            _latencies.Add(elapsed.TotalMilliseconds);
            if (_runs.Count > Kept)
            {
                _runs.RemoveLast();
                _latencies.RemoveAt(0);
            }

            _ = status == "success" ? _success++ : _failed++;
        }

        return id;
    }

    private JsonObject Status()
    {
        lock (_lock)
        {
            var sorted = _latencies.Order().ToList();
            return new JsonObject
            {
                ["runs"] = new JsonArray([.. _runs.Select(run => run.DeepClone())]),
                ["stats"] = new JsonObject
                {
                    ["total_runs"] = _success + _failed,
                    ["success"] = _success,
                    ["failed"] = _failed,
                    ["average_latency_ms"] = sorted.Count == 0 ? 0 : sorted.Average(),
                    ["p95_latency_ms"] = sorted.Count == 0 ? 0 : sorted[(int)((sorted.Count - 1) * 0.95)],
                },
            };
        }
    }
}
