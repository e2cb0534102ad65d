using System.Text.Json;
using Rollout.Monitoring;

namespace Rollout.Platform;

/// <summary>
/// One slot's Aether services: what they say of themselves, their fences, and what their OMS really does. Reads go through the API server's
/// service and pod proxies; calls with a session take the <see cref="ServiceRoute"/>.
/// </summary>
/// <param name="slot"><c>blue</c> or <c>green</c>, for messages.</param>
/// <param name="cluster">Speaks to the API server.</param>
/// <param name="session">An admin session of this slot: sessions are unknown to the other slot unless the stores are shared.</param>
/// <param name="accounts">The trading accounts, as <c>company</c>.</param>
/// <param name="route">How calls with a session travel; without one they are refused.</param>
/// <param name="fence">Asked before each call that changes something.</param>
public sealed class AetherStack(
    string slot,
    string @namespace,
    HttpClient cluster,
    ServiceNames names,
    Secret? session,
    IReadOnlyList<string> accounts,
    TimeProvider time,
    IProgress<string> progress,
    ServiceRoute? route = null,
    Fence? fence = null)
{
    private const int Parallel = 16;

    private readonly ServiceCalls _calls = new(slot, @namespace, cluster, session, route, time);
    private readonly PodMetrics _pods = new(cluster, @namespace, time);

    public string Slot => slot;

    public string Namespace => @namespace;

    /// <summary>What is worse on the candidate than on live, in sentences; empty where nothing is.</summary>
    public static IReadOnlyList<string> NoWorseThan(IReadOnlyList<ServiceSnapshot> baseline, IReadOnlyList<ServiceSnapshot> candidate) =>
        SnapshotComparison.NoWorseThan(baseline, candidate);

    /// <summary>Health and metrics of every service, sixteen at a time (playbook 1.3).</summary>
    /// <param name="requestIdPrefix">Requests to the Nth service carry <c>x-request-id: PREFIX-N</c>, counted from 1.</param>
    /// <param name="withMetrics">Whether the metrics page is read too.</param>
    /// <returns>In the order asked for. A service that does not answer is a snapshot too.</returns>
    public async Task<IReadOnlyList<ServiceSnapshot>> SnapshotAsync(
        IReadOnlyList<ServiceEndpoint> services, string requestIdPrefix, CancellationToken cancellationToken, bool withMetrics = true)
    {
        ArgumentNullException.ThrowIfNull(services);
        var snapshots = new ServiceSnapshot[services.Count];
        await System.Threading.Tasks.Parallel.ForAsync(
            0,
            services.Count,
            new ParallelOptions { MaxDegreeOfParallelism = Parallel, CancellationToken = cancellationToken },
            async (index, token) => snapshots[index] = await SnapshotAsync(services[index], $"{requestIdPrefix}-{index + 1}", withMetrics, token));
        return snapshots;
    }

    /// <summary>What safe mode says.</summary>
    /// <exception cref="RolloutException">It does not answer.</exception>
    public async Task<SafeModeStatus> SafeModeStatusAsync(CancellationToken cancellationToken) =>
        SafeModeStatus.From(await ReadAsync(names.SafeMode, "/safe_mode/status", cancellationToken));

    /// <summary>
    /// Makes safe mode active. Where it is active already nothing is called: the first reason stays whatever one sends, and every call
    /// writes an audit event. <see cref="SafeModeStatus.IsFor"/> tells whose freeze it is.
    /// </summary>
    /// <param name="reason">Must name the release, so that it can be told from other people's.</param>
    /// <exception cref="RolloutException">The call was refused, or the service does not say active afterwards.</exception>
    public async Task<SafeModeStatus> EnterSafeModeAsync(string reason, CancellationToken cancellationToken)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(reason);
        var before = await SafeModeStatusAsync(cancellationToken);
        if (before.Active)
        {
            return before;
        }

        var answer = await _calls.SendAsync(HttpMethod.Post, names.SafeMode, "/safe_mode/enter", new { reason }, fence, cancellationToken);
        if (answer.Code != 200)
        {
            throw SessionRefusals.Explain(slot, names.SafeMode, "entering safe mode", answer);
        }

        var after = await SafeModeStatusAsync(cancellationToken);
        return after.Active
            ? after
            : throw new RolloutException(
                $"Safe mode of {slot} accepted the call, but its status says inactive.",
                "Several replicas do not see one another's transitions: run one, or look at its store.");
    }

    /// <summary>Engages an account's kill switch, which nothing releases: for rehearsals (platform contract, section 4.4).</summary>
    /// <exception cref="RolloutException">The call was refused.</exception>
    public async Task EngageKillSwitchAsync(string account, CancellationToken cancellationToken)
    {
        var answer = await _calls.SendAsync(HttpMethod.Post, names.KillSwitch, $"/risk/kill?account_id={Uri.EscapeDataString(account)}&reason_code=latency_stall", null, fence, cancellationToken);

        // 207: the switch is engaged, and not every alarm channel answered.
        if (answer.Code is not (200 or 207))
        {
            throw SessionRefusals.Explain(slot, names.KillSwitch, "engaging the kill switch", answer);
        }
    }

    /// <summary>Decides by hand that an intent is not traded: for rehearsals, where the intent is none of anybody's (platform contract, section 4.4).</summary>
    /// <exception cref="RolloutException">The call was refused.</exception>
    public async Task RejectTradeAsync(string intent, string reason, CancellationToken cancellationToken)
    {
        var answer = await _calls.SendAsync(HttpMethod.Post, names.Override, "/override/trade", new { intent_id = intent, decision = "reject", reason }, fence, cancellationToken);
        if (answer.Code != 201)
        {
            throw SessionRefusals.Explain(slot, names.Override, "deciding by hand", answer);
        }
    }

    /// <summary>Makes safe mode inactive, whoever set it: ask <see cref="SafeModeStatus.IsFor"/> first.</summary>
    /// <exception cref="RolloutException">The call was refused, or the service still says active afterwards.</exception>
    public async Task<SafeModeStatus> ExitSafeModeAsync(CancellationToken cancellationToken)
    {
        var answer = await _calls.SendAsync(HttpMethod.Post, names.SafeMode, "/safe_mode/exit", null, fence, cancellationToken);
        if (answer.Code is not (200 or 409))
        {
            throw SessionRefusals.Explain(slot, names.SafeMode, "leaving safe mode", answer);
        }

        var after = await SafeModeStatusAsync(cancellationToken);
        return after.Active
            ? throw new RolloutException(
                $"Safe mode of {slot} was left, but its status says active, reason '{after.Reason}'.",
                "Somebody may have entered it again; read its status.")
            : after;
    }

    /// <summary>
    /// Proves with one call that changes nothing that this slot's session can freeze it: entering with a blank reason is refused with 400,
    /// after the session was accepted.
    /// </summary>
    /// <exception cref="RolloutException">The session does not work; the hint tells what the platform's answer means.</exception>
    public async Task PreflightAsync(CancellationToken cancellationToken)
    {
        var answer = await _calls.SendAsync(HttpMethod.Post, names.SafeMode, "/safe_mode/enter", new { reason = " " }, null, cancellationToken);
        switch (answer.Code)
        {
            case 400 or 422 when !answer.FromCluster:
                return;
            case 200:
                throw new RolloutException(
                    $"Safe mode of {slot} accepted an empty reason: the slot is frozen now.",
                    "Leave safe mode there (POST /safe_mode/exit) before anything else.",
                    ExitCode.Held);
            default:
                throw SessionRefusals.Explain(slot, names.SafeMode, "an admin call", answer);
        }
    }

    /// <summary>Simulation mode of the slot's accounts.</summary>
    /// <exception cref="RolloutException">It does not answer.</exception>
    public async Task<SimulationStatus> SimulationStatusAsync(CancellationToken cancellationToken) =>
        SimulationStatus.From(await ReadAsync(names.SimMode, "/sim/status", cancellationToken), accounts);

    /// <summary>
    /// Simulates every account. Accounts that are simulated already stay as they are, with their reason. OMS processes look every two
    /// seconds:
    /// only <see cref="WaitUntilOrdersStopAsync"/> tells that orders have stopped.
    /// </summary>
    /// <exception cref="RolloutException">A call was refused, or an account is not simulated afterwards.</exception>
    public async Task<SimulationStatus> EnterSimulationAsync(string reason, CancellationToken cancellationToken)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(reason);
        var before = await SimulationStatusAsync(cancellationToken);
        foreach (var account in before.Accounts.Where(a => !a.Active))
        {
            var answer = await _calls.SendAsync(
                HttpMethod.Post, names.SimMode, "/sim/enter", new { reason, account_id = account.AccountId }, fence, cancellationToken);
            if (answer.Code is not (200 or 409))
            {
                throw SessionRefusals.Explain(slot, names.SimMode, $"simulating account '{account.AccountId}'", answer);
            }
        }

        var after = await SimulationStatusAsync(cancellationToken);
        return after.AllActive ? after : throw new RolloutException($"Not every account of {slot} is simulated: {after.Describe()}.");
    }

    /// <summary>Ends the simulation of every account.</summary>
    /// <exception cref="RolloutException">A call was refused, or an account is still simulated afterwards.</exception>
    public Task<SimulationStatus> ExitSimulationAsync(CancellationToken cancellationToken) => ExitSimulationAsync(null, cancellationToken);

    /// <summary>Ends the simulation of the accounts that were simulated for this reason, and of no others.</summary>
    /// <exception cref="RolloutException">A call was refused, or such an account is still simulated afterwards.</exception>
    public async Task<SimulationStatus> ExitSimulationAsync(string? onlyForReason, CancellationToken cancellationToken)
    {
        bool Ours(SimulatedAccount account) => account.Active && (onlyForReason is null || account.Reason == onlyForReason);

        var before = await SimulationStatusAsync(cancellationToken);
        foreach (var account in before.Accounts.Where(Ours))
        {
            var answer = await _calls.SendAsync(
                HttpMethod.Post, names.SimMode, $"/sim/exit?account_id={Uri.EscapeDataString(account.AccountId)}", null, fence, cancellationToken);
            if (answer.Code is not (200 or 409))
            {
                throw SessionRefusals.Explain(slot, names.SimMode, $"ending the simulation of account '{account.AccountId}'", answer);
            }
        }

        var after = await SimulationStatusAsync(cancellationToken);
        return after.Accounts.Any(Ours)
            ? throw new RolloutException($"Accounts of {slot} are still simulated: {after.Describe()}.")
            : after;
    }

    /// <summary>The orders that this slot's OMS pods have counted.</summary>
    /// <exception cref="RolloutException">The pods cannot be listed.</exception>
    public async Task<OrderCount> OrdersAsync(CancellationToken cancellationToken) =>
        OrderCount.From(await _pods.ScrapeAsync($"app={names.Oms}", cancellationToken));

    /// <summary>
    /// Proves that no real order leaves this slot: no pod's count rose for the whole quiet time, every pod was read, and none came, went or
    /// restarted meanwhile.
    /// </summary>
    /// <exception cref="RolloutException">The time is up; the message says what was seen last.</exception>
    public async Task<OrderCount> WaitUntilOrdersStopAsync(TimeSpan quiet, TimeSpan timeout, CancellationToken cancellationToken)
    {
        var start = time.GetTimestamp();
        var watch = new OrderQuiet();
        var seen = await Waiting.UntilAsync(
            $"the orders of {slot} to stop",
            async token =>
            {
                var before = time.GetElapsedTime(start);
                var count = await LookAsync(token);
                return (Count: count, Quiet: watch.Observe(count, before, time.GetElapsedTime(start)));
            },
            now => now.Quiet >= quiet,
            now => (now.Quiet is { } since ? $"no order for {since.TotalSeconds:0.0} of {quiet.TotalSeconds:0.0} s, " : "not proven, ")
                + now.Count.Describe(),
            timeout,
            Interval(quiet),
            time,
            progress,
            cancellationToken);
        return seen.Count;
    }

    /// <summary>
    /// Proves that this slot sends real orders: the count rose, and no pod is left that simulates what clients order, since each reads its switch
    /// in its own time. What was seen per account is reported.
    /// </summary>
    /// <exception cref="RolloutException">The time is up and no real order was seen, or a pod still simulates.</exception>
    public async Task<OrderCount> WaitUntilOrdersFlowAsync(TimeSpan timeout, CancellationToken cancellationToken)
    {
        var flow = new OrderFlow();
        var start = time.GetTimestamp();
        var seen = await Waiting.UntilAsync(
            $"real orders of {slot}",
            async token =>
            {
                var count = await LookAsync(token);
                flow.Observe(count, time.GetElapsedTime(start));
                return count;
            },
            _ => flow.Sent > 0 && flow.Simulating.Count == 0,
            now => $"{flow.Describe()}, {now.Describe()}",
            timeout,
            TimeSpan.FromMilliseconds(250),
            time,
            progress,
            cancellationToken);
        progress.Report($"{slot} trades: {flow.Describe()} since the first look");
        return seen;
    }

    /// <summary>Has the risk service judge one small intent of the account. Nothing is ordered; an event row is written.</summary>
    /// <exception cref="RolloutException">The session does not work, or the service does not answer.</exception>
    public async Task<IntentValidation> ValidateIntentAsync(string account, CancellationToken cancellationToken)
    {
        var answer = await _calls.SendAsync(
            HttpMethod.Post, names.Risk, "/risk/validate", HarmlessIntent.For(
                account, $"rollout-probe-{time.GetUtcNow():yyyyMMddHHmmssfff}"), null, cancellationToken);
        if (answer.Code == 403 && answer.Body.Contains("mismatch", StringComparison.OrdinalIgnoreCase))
        {
            return new IntentValidation(account, false, false, [$"the session of {slot} belongs to another account"]);
        }

        if (answer.Code != 200)
        {
            throw SessionRefusals.Explain(slot, names.Risk, $"validating an intent of '{account}'", answer);
        }

        var body = Parse(names.Risk, "/risk/validate", answer);
        var valid = body.TryGetProperty("valid", out var flag) && flag.ValueKind == JsonValueKind.True;
        var reasons = body.TryGetProperty("reasons", out var list) && list.ValueKind == JsonValueKind.Array
            ? list.EnumerateArray().Select(r => r.ToString()).ToList()
            : [];
        return new IntentValidation(account, true, valid, reasons);
    }

    /// <summary>What the sequencer has run.</summary>
    /// <exception cref="RolloutException">It does not answer; in many deployments it is not there.</exception>
    public async Task<SequencerStatus> SequencerStatusAsync(CancellationToken cancellationToken)
    {
        var body = await ReadAsync(names.Sequencer, "/sequencer/status", cancellationToken);
        return body.TryGetProperty("stats", out var stats) && stats.ValueKind == JsonValueKind.Object
            ? SequencerStatus.From(body)
            : throw new RolloutException($"'{names.Sequencer}' of {slot} answers /sequencer/status without statistics.");
    }

    /// <summary>Proves that intents pass: the sequencer finished a run that was not there at the first look.</summary>
    /// <exception cref="RolloutException">The time is up, or the sequencer does not answer.</exception>
    public async Task<SequencerStatus> WaitUntilIntentsFlowAsync(TimeSpan timeout, CancellationToken cancellationToken)
    {
        var first = await SequencerStatusAsync(cancellationToken);
        return await Waiting.UntilAsync(
            $"an intent to pass in {slot}",
            SequencerStatusAsync,
            now => now.Since(first) > 0,
            now => $"{now.TotalRuns} runs remembered, {now.Success} successful and {now.Failed} failed, none of the successful ones new",
            timeout,
            TimeSpan.FromMilliseconds(250),
            time,
            progress,
            cancellationToken);
    }

    /// <summary>The scaling controller's evaluations as its admin pods count them; the counter begins at 0 again when a pod
    /// restarts.</summary>
    /// <exception cref="RolloutException">No admin pod shows the counter.</exception>
    public async Task<double> ScalingEvaluationsAsync(CancellationToken cancellationToken)
    {
        var scrapes = await _pods.ScrapeAsync($"app={names.Admin}", cancellationToken);
        var counting = scrapes.Where(s => PrometheusText.Declares(s.Text, "scaling_evaluations_total")).ToList();
        return counting.Count > 0
            ? counting.SelectMany(s => s.Samples).Where(
                s => s.Name == "scaling_evaluations_total" && double.IsFinite(s.Value)).Sum(s => s.Value)
            : throw new RolloutException(
                $"No pod of '{names.Admin}' in {slot} counts scaling evaluations: "
                + (scrapes.Count == 0
                    ? "there is no such pod."
                    : string.Join("; ", scrapes.Select(s => $"{s.Pod} {s.Outcome} {s.Detail}".Trim()))));
    }

    /// <summary>The API contract that the running service serves; null where it has none.</summary>
    /// <exception cref="RolloutException">The service does not answer.</exception>
    public async Task<string?> OpenApiAsync(ServiceEndpoint service, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(service);
        var answer = await _calls.GetAsync(service, "/openapi.json", null, cancellationToken);
        if (!answer.FromCluster && answer.Code is 404 or 405)
        {
            return null;
        }

        if (answer.FromCluster || answer.Code != 200)
        {
            throw new RolloutException($"'{service.Name}' of {slot} does not answer /openapi.json: {answer.Describe()}.");
        }

        // A single-page UI answers its start page to every path.
        return answer.Body.AsSpan().TrimStart().StartsWith("{") ? answer.Body : null;
    }

    /// <summary>
    /// Whether read APIs answer, as they must during a freeze. Which reads there are depends on the OMS program that runs, so its own
    /// contract
    /// is asked first; a read that wants another account's session proves nothing either way.
    /// </summary>
    public async Task<ReadCheck> ReadsWorkAsync(CancellationToken cancellationToken)
    {
        var oms = new ServiceEndpoint(names.Oms, names.Port);
        var contract = await OpenApiAsync(oms, cancellationToken) ?? string.Empty;
        List<string> anonymous = ["/oms/warm_start/status", "/oms/routing/status", "/oms/rate_limits/status"];
        var balances = contract.Contains("/oms/accounts/{account_id}/balances", StringComparison.Ordinal);
        var probes = balances
            ? accounts.Select(a => $"/oms/accounts/{Uri.EscapeDataString(a)}/balances").ToList()
            : anonymous.Where(p => contract.Length == 0 || contract.Contains(p, StringComparison.Ordinal)).ToList();
        var seen = new List<string>();
        var good = 0;
        var bad = 0;
        foreach (var path in probes)
        {
            var answer = balances
                ? await _calls.SendAsync(HttpMethod.Get, names.Oms, path, null, null, cancellationToken)
                : await _calls.GetAsync(oms, path, null, cancellationToken);
            if (!balances && session is not null && route is not null && answer.Code is 401 or 403 && !answer.FromCluster)
            {
                answer = await _calls.SendAsync(HttpMethod.Get, names.Oms, path, null, null, cancellationToken);
            }

            good += answer.Code == 200 ? 1 : 0;
            bad += answer.FromCluster || answer.Code is not (200 or 403 or 404) ? 1 : 0;
            seen.Add($"{path}: {(answer.Code == 200 ? "HTTP 200" : answer.Describe())}");
        }

        return new ReadCheck(good > 0 && bad == 0, seen.Count > 0 ? seen : ["the OMS offers no read that is known here"]);
    }

    private static TimeSpan Interval(TimeSpan quiet) => TimeSpan.FromMilliseconds(Math.Clamp(quiet.TotalMilliseconds / 8, 100, 1000));

    private async Task<ServiceSnapshot> SnapshotAsync(ServiceEndpoint service, string requestId, bool withMetrics, CancellationToken cancellationToken)
    {
        var answer = await _calls.GetAsync(service, "/healthz", requestId, cancellationToken);
        var (health, failing, detail) = ServiceSnapshot.Classify(answer);
        string? metrics = null;
        if (withMetrics && health != Health.Unreachable)
        {
            var page = await _calls.GetAsync(service, "/metrics", requestId, cancellationToken);
            metrics = !page.FromCluster && page.Code == 200 && !page.Body.AsSpan().TrimStart().StartsWith("<") ? page.Body : null;
        }

        return new ServiceSnapshot(service, health, failing, detail, answer.FromCluster ? null : answer.Body, metrics, requestId);
    }

    // A look that fails is a look that proves nothing; the wait goes on.
    private async Task<OrderCount> LookAsync(CancellationToken cancellationToken)
    {
        try
        {
            return await OrdersAsync(cancellationToken);
        }
        catch (RolloutException exception)
        {
            return new OrderCount([], [exception.Message]);
        }
    }

    private async Task<JsonElement> ReadAsync(string service, string path, CancellationToken cancellationToken)
    {
        var answer = await _calls.GetAsync(new ServiceEndpoint(service, names.Port), path, null, cancellationToken);
        if (answer.FromCluster || answer.Code != 200)
        {
            throw new RolloutException(
                $"'{service}' of {slot} does not answer {path}: {answer.Describe()}.",
                $"Check that Service '{service}' exists in namespace '{@namespace}' and has ready pods.");
        }

        return Parse(service, path, answer);
    }

    private JsonElement Parse(string service, string path, ProxyAnswer answer)
    {
        try
        {
            using var document = JsonDocument.Parse(answer.Body);
            return document.RootElement.Clone();
        }
        catch (JsonException exception)
        {
            throw new RolloutException(
                $"'{service}' of {slot} answers {path} with something that is no JSON: {answer.Describe()}.",
                null,
                ExitCode.Failed,
                exception);
        }
    }
}
