using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rollout.Traffic;

/// <summary>A slot as a client can tell it: by the address that answers, and by the session that is known there.</summary>
public sealed record ClientSlot(string Name, string Address, Secret Session);

/// <summary>What a client does.</summary>
public sealed record ClientPlan
{
    /// <summary>The hosts that are read, in turn.</summary>
    public required IReadOnlyList<string> Hosts { get; init; }

    /// <summary>Where orders are placed; null for a client that only reads.</summary>
    public string? OrdersHost { get; init; }

    /// <summary>The account that orders are placed for: the sessions' own.</summary>
    public string Account { get; init; } = "company";

    public required IReadOnlyList<ClientSlot> Slots { get; init; }

    /// <summary><c>address:port</c> each.</summary>
    public required IReadOnlyList<string> NameServers { get; init; }

    public required int HttpsPort { get; init; }

    /// <summary>PEM file with the only authorities to trust; null means those of the machine.</summary>
    public required string? CertificateAuthority { get; init; }

    /// <summary>Requests a second.</summary>
    public required int Rate { get; init; }

    /// <summary>Every so manieth request is an order: one in fifty, and at least one a second.</summary>
    public int OrderEvery => Math.Min(50, Rate);

    /// <summary>How many requests may be under way; those beyond wait, and their waiting is part of their latency.</summary>
    public int AtOnce { get; init; } = 512;

    /// <summary>How long an answer is waited for.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(10);
}

/// <summary>
/// A client of the production hosts: reads all of them in turn and places orders, at a constant rate that no answer influences (an open loop,
/// so that a stall is measured and not avoided). It finds the hosts through DNS with a cache of its own, checks their certificates, keeps its
/// connections, and, as a browser or a bot would, sends nothing twice because it failed.
/// </summary>
public sealed class ClientTraffic : IAsyncDisposable
{
    private static readonly string[] Readable = ["/openapi.json", "/healthz", "/"];

    // Timers count whole milliseconds; a shorter pause would be none at all.
    private static readonly TimeSpan ShortestPause = TimeSpan.FromMilliseconds(1);

    private readonly ClientPlan _plan;
    private readonly TimeProvider _time;
    private readonly CachingResolver _resolver;
    private readonly HttpMessageInvoker _http;
    private readonly SemaphoreSlim _room;
    private readonly CancellationTokenSource _stop = new();
    private readonly CancellationTokenSource _abort = new();
    private readonly ConcurrentQueue<ClientAnswer> _answers = new();
    private readonly ConcurrentDictionary<string, (string Path, int Status)> _reads = new(StringComparer.Ordinal);
    private readonly string _ordersPrefix = $"client-{Guid.NewGuid():N}"[..15];
    private Task _arriving = Task.CompletedTask;
    private volatile ClientSlot? _session;

    private ClientTraffic(ClientPlan plan, TimeProvider time)
    {
        _plan = plan;
        _time = time;
        _room = new SemaphoreSlim(plan.AtOnce, plan.AtOnce);
        _resolver = new CachingResolver(plan.NameServers, time);
        _http = new HttpMessageInvoker(new SocketsHttpHandler
        {
            UseProxy = false,
            UseCookies = false,
            AllowAutoRedirect = false,
            ActivityHeadersPropagator = null,

            // One to an address that its host no longer has is never used again; this closes it.
            PooledConnectionIdleTimeout = TimeSpan.FromSeconds(10),
            SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = Trust(plan.CertificateAuthority) },
        });
    }

    /// <summary>How many requests have been answered or given up so far.</summary>
    public int Answered => _answers.Count;

    /// <summary>
    /// Asks every host once for a page to read: one that is answered with success, or, where there is none, whatever live answers, which is
    /// then expected of both slots. Then the client begins.
    /// </summary>
    /// <exception cref="RolloutException">A host does not answer, or the certificate authority cannot be read.</exception>
    public static async Task<ClientTraffic> StartAsync(ClientPlan plan, TimeProvider time, CancellationToken cancellationToken)
    {
        var client = new ClientTraffic(plan, time);
        try
        {
            await Parallel.ForEachAsync(plan.Hosts, cancellationToken, client.FindReadAsync);
            client._session = plan.OrdersHost is { } host ? client.SlotAt(await client._resolver.ResolveAsync(host, cancellationToken)) : null;
        }
        catch
        {
            await client.DisposeAsync();
            throw;
        }

        client._arriving = client.ArriveAsync();
        return client;
    }

    /// <summary>Sends nothing more, waits for what is under way, and tells what was seen.</summary>
    public async Task<ClientReport> StopAsync()
    {
        await _stop.CancelAsync();
        await _arriving;
        for (var ended = 0; ended < _plan.AtOnce; ended++)
        {
            await _room.WaitAsync();
        }

        _room.Release(_plan.AtOnce);
        return new ClientReport([.. _answers], _resolver.Stale);
    }

    /// <summary>Ends at once; what is under way is given up, and not counted.</summary>
    public async ValueTask DisposeAsync()
    {
        await _abort.CancelAsync();
        await StopAsync();
        _http.Dispose();
        _room.Dispose();
        _stop.Dispose();
        _abort.Dispose();
    }

    private static X509ChainPolicy Trust(string? certificateAuthority)
    {
        var policy = new X509ChainPolicy { RevocationMode = X509RevocationMode.NoCheck, DisableCertificateDownloads = true };
        if (HostProbe.AuthoritiesOf(certificateAuthority) is { } authorities)
        {
            policy.TrustMode = X509ChainTrustMode.CustomRootTrust;
            policy.CustomTrustStore.AddRange(authorities);
        }

        return policy;
    }

    private async ValueTask FindReadAsync(string host, CancellationToken cancellationToken)
    {
        foreach (var path in Readable)
        {
            var reply = await SendAsync(host, path, null, null, cancellationToken);
            var status = reply.Status ?? throw new RolloutException(
                $"The client's first read of {host} came to nothing: {reply.Failure}.", "The client begins on a stack that serves; look at the slot that DNS names.");
            _reads.TryAdd(host, (path, status));
            if (status is >= 200 and < 300)
            {
                _reads[host] = (path, status);
                return;
            }
        }
    }

    private async Task ArriveAsync()
    {
        var began = _time.GetTimestamp();
        var beganAt = _time.GetUtcNow();
        try
        {
            for (var number = 0L; !_stop.IsCancellationRequested; number++)
            {
                var due = TimeSpan.FromTicks(number * TimeSpan.TicksPerSecond / _plan.Rate);
                var early = due - _time.GetElapsedTime(began);
                if (early > TimeSpan.Zero)
                {
                    await Task.Delay(early > ShortestPause ? early : ShortestPause, _time, _stop.Token);
                }

                await _room.WaitAsync(_stop.Token);
                _ = AskAsync(number, beganAt + due);
            }
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // Stopped.
        }
    }

    private async Task AskAsync(long number, DateTimeOffset scheduled)
    {
        try
        {
            var answer = _plan.OrdersHost is { } ordersHost && number % _plan.OrderEvery == _plan.OrderEvery - 1
                ? await OrderAsync(ordersHost, number, scheduled)
                : await ReadAsync(_plan.Hosts[(int)(number % _plan.Hosts.Count)], scheduled);
            if (!_abort.IsCancellationRequested)
            {
                _answers.Enqueue(answer);
            }
        }
        finally
        {
            _room.Release();
        }
    }

    private async Task<ClientAnswer> ReadAsync(string host, DateTimeOffset scheduled)
    {
        var sent = _time.GetUtcNow();
        var (path, status) = _reads[host];
        var reply = await SendAsync(host, path, null, null, _abort.Token);
        return new ClientAnswer(scheduled, sent, _time.GetUtcNow(), host, SlotAt(reply.Address)?.Name, reply.Status == status ? ClientOutcome.Read : ClientOutcome.ReadFailed)
        {
            Detail = reply.Status == status ? null : reply.Failure ?? $"status {reply.Status}",
        };
    }

    private async Task<ClientAnswer> OrderAsync(string host, long number, DateTimeOffset scheduled)
    {
        var sent = _time.GetUtcNow();
        var order = new JsonObject
        {
            ["account_id"] = _plan.Account,
            ["client_id"] = string.Create(CultureInfo.InvariantCulture, $"{_ordersPrefix}-{number}"),
            ["symbol"] = "BTC-USD",
            ["side"] = number % 2 == 0 ? "buy" : "sell",
            ["type"] = "market",
            ["qty"] = 0.001,
        }.ToJsonString();
        var session = _session;
        var reply = await SendAsync(host, "/oms/place", order, session?.Session, _abort.Token);
        var logsIn = reply.Status == 401 && SlotAt(reply.Address) is { } slot && slot != session;
        if (logsIn)
        {
            // A session of one slot is unknown to the other (platform contract, section 5): a client that is refused logs in where it is now.
            _session = SlotAt(reply.Address);
            reply = await SendAsync(host, "/oms/place", order, _session!.Session, _abort.Token);
        }

        var (outcome, detail) = Judge(reply);
        return new ClientAnswer(scheduled, sent, _time.GetUtcNow(), host, SlotAt(reply.Address)?.Name, outcome) { Detail = detail, LoggedIn = logsIn };
    }

    private static (ClientOutcome Outcome, string? Detail) Judge(Reply reply)
    {
        if (reply.Status is null)
        {
            return (ClientOutcome.Refused, reply.Failure);
        }

        JsonNode? said = null;
        try
        {
            said = JsonNode.Parse(reply.Body);
        }
        catch (JsonException)
        {
            // A page of the ingress; its status says enough.
        }

        var detail = Text(said, "detail");
        return (reply.Status, Text(said, "transport")) switch
        {
            (200, "rest") => (ClientOutcome.Accepted, null),
            (200, "simulation") => (ClientOutcome.Fenced, "simulation"),
            (200, var transport) => (ClientOutcome.Refused, $"transport {transport ?? "unknown"}"),
            (423, _) when detail?.StartsWith("Safe mode is active", StringComparison.Ordinal) == true => (ClientOutcome.Fenced, "safe mode"),
            _ => (ClientOutcome.Refused, detail is null ? $"status {reply.Status}" : $"status {reply.Status} ({detail})"),
        };
    }

    private static string? Text(JsonNode? answer, string name) =>
        answer is JsonObject && answer[name] is JsonValue value && value.TryGetValue<string>(out var text) ? text : null;

    private ClientSlot? SlotAt(string? address) => _plan.Slots.FirstOrDefault(s => s.Address == address);

    private async Task<Reply> SendAsync(string host, string path, string? order, Secret? session, CancellationToken cancellationToken)
    {
        string? address = null;
        using var patience = new CancellationTokenSource(_plan.Patience, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, cancellationToken);
        try
        {
            address = await _resolver.ResolveAsync(host, either.Token);
            if (address is null)
            {
                return new Reply(null, null, [], "no address");
            }

            // By address, so that connections are kept for a host at an address; SNI and the certificate's name come from the Host header.
            using var request = new HttpRequestMessage(order is null ? HttpMethod.Get : HttpMethod.Post, $"https://{address}:{_plan.HttpsPort}{path}");
            // HTTP/2 costs the same here (15 % of a core at 500 a second), and hides handshakes and resets that a client of the other kind notices.
            request.Version = HttpVersion.Version11;
            request.Headers.Host = host;
            request.Headers.TryAddWithoutValidation("User-Agent", "aether-rollout-client");
            if (order is not null)
            {
                request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", session?.Reveal());
                request.Content = new StringContent(order, new MediaTypeHeaderValue("application/json"));
            }

            using var response = await _http.SendAsync(request, either.Token);
            return new Reply(address, (int)response.StatusCode, await response.Content.ReadAsByteArrayAsync(either.Token), null);
        }
        catch (Exception failure) when (failure is not OutOfMemoryException && !cancellationToken.IsCancellationRequested)
        {
            // Whatever it was: to the client it is a request without an answer.
            return new Reply(address, null, [], patience.IsCancellationRequested ? "timeout" : Words(failure));
        }
    }

    private static string Words(Exception failure) => failure switch
    {
        HttpRequestException { InnerException: AuthenticationException } => "TLS",
        HttpRequestException { HttpRequestError: HttpRequestError.SecureConnectionError } => "TLS",
        HttpRequestException { HttpRequestError: HttpRequestError.ConnectionError } => "no connection",
        HttpRequestException or IOException => "reset",
        _ => failure.GetType().Name,
    };

    /// <param name="Address">Where it was sent; null where the host has no address.</param>
    /// <param name="Status">Null where there was no answer.</param>
    /// <param name="Failure">Why there was none.</param>
    private sealed record Reply(string? Address, int? Status, byte[] Body, string? Failure);
}
