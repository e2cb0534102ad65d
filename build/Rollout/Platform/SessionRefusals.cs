using Rollout.Monitoring;

namespace Rollout.Platform;

/// <summary>What the platform's refusals of an admin call mean, and what to do (platform contract, sections 3.3 and 5).</summary>
internal static class SessionRefusals
{
    public static RolloutException Explain(string slot, string service, string action, ProxyAnswer answer) =>
        new($"'{service}' of {slot} refused {action}: {answer.Describe()}.", Hint(slot, service, answer));

    private static string? Hint(string slot, string service, ProxyAnswer answer) => answer.Code switch
    {
        0 => $"Check that the pods of '{service}' are ready.",
        401 => $"The session is unknown or has expired in {slot}; sessions live 60 minutes and, with the chart's default, in one slot. "
            + $"Log in on {slot}'s admin platform (POST /auth/login) and hand over the new token.",
        403 => "The session's account is not allowed to: its name must be in ADMIN_ALLOWLIST.",
        500 when answer.Body.Contains("session store", StringComparison.OrdinalIgnoreCase) =>
            $"'{service}' runs without a session store: the deployment must configure one (SESSION_REDIS_URL) for this service.",
        500 => "An admin call needs both ADMIN_ALLOWLIST and DIRECTOR_ALLOWLIST (secret platform-account-allowlists) "
            + "and a session store; see the service's log.",
        404 => $"Service '{service}' is not what it is taken for; check the service names.",
        503 => $"'{service}' has no ready pod, or is draining; a drained process serves again only after a restart.",
        _ => null,
    };
}

/// <summary>An intent that the risk service can judge in full and that would hurt nobody: the smallest trade, no exposure.</summary>
internal static class HarmlessIntent
{
    public static object For(string account, string orderId)
    {
        var fee = new { currency = "USD", maker = 0.0, taker = 0.0 };
        return new
        {
            account_id = account,
            intent = new
            {
                policy_decision = new
                {
                    request = new
                    {
                        account_id = account,
                        order_id = orderId,
                        instrument = "BTC-USD",
                        side = "BUY",
                        quantity = 0.0001,
                        price = 10000.0,
                        fee,
                    },
                },
                metrics = new
                {
                    net_exposure = 0.0,
                    gross_notional = 1.0,
                    projected_loss = 0.0,
                    projected_fee = 0.0,
                    var_95 = 0.0,
                    spread_bps = 0.0,
                    latency_ms = 0.0,
                },
            },
            portfolio_state = new { nav = 1000000.0, loss_to_date = 0.0, fee_to_date = 0.0 },
        };
    }
}
