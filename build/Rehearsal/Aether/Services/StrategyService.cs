using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Rehearsal.Aether.Http;

namespace Rehearsal.Aether.Services;

/// <summary>The strategy orchestrator: it routes an intent of a known, enabled strategy to risk validation.</summary>
internal sealed class StrategyService(Pod pod) : AetherService(pod)
{
    private static readonly Dictionary<string, bool> Strategies = new() { ["momentum"] = true, ["mean_reversion"] = true, ["grid"] = false };

    public override void Map(RouteTable routes)
    {
        routes.Get("/strategy/status", _ => Answer.Ok(new JsonObject
        {
            ["strategies"] = new JsonArray([.. Strategies.Select(pair => new JsonObject { ["name"] = pair.Key, ["enabled"] = pair.Value })]),
        }));
        routes.Post("/strategy/intent", new BodySchema("StrategyIntentRequest", new("strategy_name", "string"), new("request", "object")), RouteAsync);
    }

    private async Task<Answer> RouteAsync(Call call)
    {
        await Authentication.RequireAdminAsync(call);
        var name = call.Text("strategy_name")!;
        if (!Strategies.GetValueOrDefault(name))
        {
            throw new Refusal(404, Strategies.ContainsKey(name) ? $"Strategy '{name}' is disabled" : $"Unknown strategy '{name}'");
        }

        var address = Pod.World.Address(Pod.Start.Namespace, "risk-service") ?? new Uri(Pod.Env("RISK_SERVICE_URL") ?? "http://risk-service");
        var (status, body) = await Neighbour.PostAsync(Pod, new Uri(address, "/risk/validate"), call.Body["request"]!.AsObject(), call);
        return status switch
        {
            null => throw new Refusal(502, "Risk service is unavailable"),
            422 => throw new Refusal(400, "Invalid intent"),
            _ => new Answer(status.Value, body),
        };
    }
}

/// <summary>Calls to a neighbour on behalf of a caller.</summary>
internal static class Neighbour
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);

    /// <returns>Status and body; no status when the neighbour did not answer in time.</returns>
    public static async Task<(int? Status, JsonNode? Body)> PostAsync(Pod pod, Uri address, JsonObject body, Call caller)
    {
        using var patience = new CancellationTokenSource(Patience, pod.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(caller.Aborted, patience.Token);
        using var request = new HttpRequestMessage(HttpMethod.Post, address) { Content = JsonContent.Create(body) };
        if (caller.Header("Authorization") is { } authorization)
        {
            request.Headers.TryAddWithoutValidation("Authorization", authorization);
        }

        if (caller.Header("x-request-id") is { } id)
        {
            request.Headers.TryAddWithoutValidation("x-request-id", id);
        }

        try
        {
            using var answer = await pod.World.Http.SendAsync(request, either.Token);
            var text = await answer.Content.ReadAsStringAsync(either.Token);
            var json = answer.Content.Headers.ContentType?.MediaType == "application/json";
            return ((int)answer.StatusCode, json ? JsonNode.Parse(text) : JsonValue.Create(text));
        }
        catch (Exception failure) when (failure is HttpRequestException or OperationCanceledException)
        {
            pod.Log($"WARNING:  {address} did not answer: {failure.Message}");
            return (null, null);
        }
    }
}
