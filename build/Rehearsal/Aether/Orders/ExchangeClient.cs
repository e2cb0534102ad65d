using System.Globalization;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rehearsal.Aether.Orders;

/// <summary>The exchange refused, or could not be reached.</summary>
internal sealed class ExchangeException(string reason, string message) : Exception(message)
{
    /// <summary>Label of <c>order_gateway_request_errors_total</c>.</summary>
    public string Reason { get; } = reason;
}

internal sealed record NewOrder(string Pair, string Side, string Type, decimal Volume, decimal Price, string ClientId);

/// <summary>The exchange with the accounts' keys, which are read once, at start: keys that appear later need a restart.</summary>
internal sealed class ExchangeClient
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    private readonly Pod _pod;
    private readonly Uri? _exchange;
    private readonly Dictionary<string, string> _keys = new(StringComparer.OrdinalIgnoreCase);

    public ExchangeClient(Pod pod)
    {
        _pod = pod;
        _exchange = pod.Env("EXCHANGE_URL") is { } url ? new Uri(url) : pod.World.Exchange;
        foreach (var account in pod.Accounts)
        {
            if (ReadKey(account) is { } key)
            {
                _keys[account] = key;
            }
        }
    }

    /// <summary>Accounts whose keys were there at start.</summary>
    public IReadOnlyCollection<string> Accounts => _exchange is null ? [] : _keys.Keys;

    public bool CanTrade(string account) => _exchange is not null && _keys.ContainsKey(account);

    /// <returns>The exchange's order id.</returns>
    /// <exception cref="ExchangeException">Refused, unreachable, or no keys for the account.</exception>
    public async Task<string> AddOrderAsync(string account, NewOrder order, CancellationToken ct)
    {
        var result = await PostAsync(account, "AddOrder", new JsonObject
        {
            ["pair"] = order.Pair,
            ["type"] = order.Side,
            ["ordertype"] = order.Type,
            ["volume"] = order.Volume.ToString(CultureInfo.InvariantCulture),
            ["price"] = order.Price.ToString(CultureInfo.InvariantCulture),
            ["cl_ord_id"] = order.ClientId,
        }, ct);
        return result["txid"]?[0]?.GetValue<string>() ?? throw new ExchangeException("malformed", "the exchange named no order");
    }

    /// <exception cref="ExchangeException">As <see cref="AddOrderAsync"/>; also when the order is no longer open.</exception>
    public Task CancelOrderAsync(string account, string orderId, CancellationToken ct) =>
        PostAsync(account, "CancelOrder", new JsonObject { ["txid"] = orderId }, ct);

    public Task<JsonObject> BalanceAsync(string account, CancellationToken ct) => PostAsync(account, "Balance", [], ct);

    private async Task<JsonObject> PostAsync(string account, string call, JsonObject body, CancellationToken ct)
    {
        if (_exchange is null || !_keys.TryGetValue(account, out var key))
        {
            throw new ExchangeException("credentials", $"no exchange credentials for account {account}");
        }

        using var patience = new CancellationTokenSource(Patience, _pod.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(ct, patience.Token);
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(_exchange, "/0/private/" + call));
        request.Headers.Add("API-Key", key);
        request.Headers.TryAddWithoutValidation("User-Agent", $"aether-oms/{_pod.Start.Namespace}/{_pod.Start.PodName}");
        request.Content = new ByteArrayContent(Encoding.UTF8.GetBytes(body.ToJsonString()));
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        try
        {
            using var answer = await _pod.World.Http.SendAsync(request, either.Token);
            var said = JsonNode.Parse(await answer.Content.ReadAsByteArrayAsync(either.Token)) as JsonObject;
            if (said?["error"] is JsonArray { Count: > 0 } errors)
            {
                throw new ExchangeException("rejected", errors[0]!.ToString());
            }

            return said?["result"]?.DeepClone() as JsonObject
                ?? throw new ExchangeException("malformed", $"the exchange answered {(int)answer.StatusCode}");
        }
        catch (Exception failure) when (failure is HttpRequestException or JsonException
            || (failure is OperationCanceledException && !ct.IsCancellationRequested))
        {
            throw new ExchangeException(failure is OperationCanceledException ? "timeout" : "unreachable", failure.Message);
        }
    }

    /// <summary>
    /// The API key of an account, or null. The chart exports <c>AETHER_DIRECTOR_1_KRAKEN_SECRET_PATH</c> where the program looks
    /// for <c>AETHER_DIRECTOR-1_…</c>, so for directors the default path decides.
    /// </summary>
    private string? ReadKey(string account)
    {
        var path = _pod.Env($"AETHER_{account.ToUpperInvariant()}_KRAKEN_SECRET_PATH")
            ?? $"/var/run/aether/kraken/{account}/credentials.json";
        var file = _pod.HostPath(path);
        if (!File.Exists(file))
        {
            return null;
        }

        try
        {
            var credentials = JsonNode.Parse(File.ReadAllText(file));
            if (credentials?["api_key"]?.GetValue<string>() is { Length: > 0 } key
                && credentials["api_secret"]?.GetValue<string>() is { Length: > 0 })
            {
                return key;
            }
        }
        catch (Exception malformed) when (malformed is JsonException or InvalidOperationException or IOException)
        {
            _pod.Log($"WARNING:  {path}: {malformed.Message}");
            return null;
        }

        _pod.Log($"WARNING:  {path} has no api_key and api_secret; {account} cannot trade");
        return null;
    }
}
