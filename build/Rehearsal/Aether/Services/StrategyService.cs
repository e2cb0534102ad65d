using System.Text.Json.Nodes;
using Rehearsal.Aether.Http;

namespace Rehearsal.Aether.Services;

/// <summary>The strategy orchestrator: it routes an intent of a known, enabled strategy to risk validation.</summary>
internal sealed class StrategyService(Pod pod) : AetherService(pod)
{
    // Name → enabled.
    private static readonly Dictionary<string, bool> Strategies = new()
    {
        ["momentum"] = true,
        ["mean_reversion"] = true,
        ["grid"] = false,
    };

    private static readonly BodySchema Request = new("StrategyIntentRequest", new("strategy_name", "string"), new("request", "object"));

    public override void Map(RouteTable routes)
    {
        routes.Get("/strategy/status", _ => Answer.Ok(new JsonObject
        {
            ["strategies"] = new JsonArray(
                [.. Strategies.Select(pair => new JsonObject { ["name"] = pair.Key, ["enabled"] = pair.Value })]),
        }));
        routes.Post("/strategy/intent", Request, RouteAsync);
    }

    private async Task<Answer> RouteAsync(Call call)
    {
        await Authentication.RequireAdminAsync(call);
        var name = call.Text("strategy_name")!;
        if (!Strategies.GetValueOrDefault(name))
        {
            throw new Refusal(404, Strategies.ContainsKey(name) ? $"Strategy '{name}' is disabled" : $"Unknown strategy '{name}'");
        }

        var address = Neighbour.Find(Pod, "risk-service", "RISK_SERVICE_URL");
        var (status, body) = await Neighbour.PostAsync(Pod, new Uri(address, "/risk/validate"), call.Body["request"]!.AsObject(), call);
        return status switch
        {
            null => throw new Refusal(502, "Risk service is unavailable"),
            422 => throw new Refusal(400, "Invalid intent"),
            _ => new Answer(status.Value, body),
        };
    }
}
