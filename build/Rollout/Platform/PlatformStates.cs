using System.Globalization;
using System.Text.Json;

namespace Rollout.Platform;

/// <summary>The names of the Service objects that a rollout talks to; several are in no chart template (platform contract, section
/// 3.3).</summary>
public sealed record ServiceNames
{
    public string SafeMode { get; init; } = "safe-mode";

    public string SimMode { get; init; } = "sim-mode";

    public string Oms { get; init; } = "oms-service";

    public string Admin { get; init; } = "admin-platform";

    public string Sequencer { get; init; } = "sequencer";

    public string Risk { get; init; } = "risk-service";

    public string KillSwitch { get; init; } = "kill-switch";

    public string Override { get; init; } = "override-service";

    /// <summary>The port of all of them, by name or number.</summary>
    public string Port { get; init; } = "80";
}

/// <summary>What safe mode says of itself. It does not say that orders stop: nothing in the platform reads it (platform contract, section
/// 3.3).</summary>
/// <param name="Reason">Of the first entry: later entries do not change it.</param>
/// <param name="Actor">Null after a restart of the service, which forgets it.</param>
public sealed record SafeModeStatus(bool Active, string? Reason, DateTimeOffset? Since, string? Actor)
{
    /// <summary>
    /// Whether the freeze in force was set for this reason. Somebody else's freeze must not be lifted by us; so a reason carries the
    /// release.
    /// </summary>
    public bool IsFor(string reason) => Active && string.Equals(Reason, reason, StringComparison.Ordinal);

    internal static SafeModeStatus From(JsonElement status) => new(
        status.TryGetProperty("active", out var active) && active.ValueKind == JsonValueKind.True,
        Fields.Text(status, "reason"),
        Fields.Time(status, "since"),
        Fields.Text(status, "actor"));
}

/// <summary>One account's simulation mode.</summary>
public sealed record SimulatedAccount(string AccountId, bool Active, string? Reason, DateTimeOffset? Since);

/// <summary>Simulation mode of the slot's accounts: the OMS fills their orders itself and sends none (platform contract, section
/// 4.2).</summary>
public sealed record SimulationStatus(IReadOnlyList<SimulatedAccount> Accounts)
{
    /// <summary>Whether every account is simulated; false where there is none.</summary>
    public bool AllActive => Accounts.Count > 0 && Accounts.All(a => a.Active);

    public bool NoneActive => Accounts.All(a => !a.Active);

    /// <summary>The accounts that somebody simulates for another reason than this one.</summary>
    public IReadOnlyList<SimulatedAccount> NotFor(string reason) =>
        [.. Accounts.Where(a => a.Active && !string.Equals(a.Reason, reason, StringComparison.Ordinal))];

    internal string Describe() => string.Join(", ", Accounts.Select(a => $"{a.AccountId} {(a.Active ? "simulated" : "real")}"));

    internal static SimulationStatus From(JsonElement status, IReadOnlyList<string> accounts)
    {
        var known = status.TryGetProperty("accounts", out var list) && list.ValueKind == JsonValueKind.Array
            ? list.EnumerateArray().Select(Account).ToDictionary(a => a.AccountId, StringComparer.OrdinalIgnoreCase)
            : [];
        return new SimulationStatus(
            [.. accounts.Select(a => known.TryGetValue(a, out var found) ? found : new SimulatedAccount(a, false, null, null))]);
    }

    private static SimulatedAccount Account(JsonElement account) => new(
        Fields.Text(account, "account_id") ?? string.Empty,
        account.TryGetProperty("active", out var active) && active.ValueKind == JsonValueKind.True,
        Fields.Text(account, "reason"),
        Fields.Time(account, "since"));
}

/// <summary>What the risk service says of one harmless intent; nothing is ordered.</summary>
/// <param name="Answered">Whether the intent was judged at all; a session judges only for its own account.</param>
public sealed record IntentValidation(string AccountId, bool Answered, bool Valid, IReadOnlyList<string> Reasons)
{
    /// <summary>Whether the account's kill switch is why (platform contract, section 3.4).</summary>
    public bool KillSwitch => Reasons.Any(r => r.Contains("kill switch", StringComparison.OrdinalIgnoreCase));
}

/// <summary>The sequencer's statistics, over the last 200 or so runs it remembers.</summary>
/// <param name="SuccessfulRuns">The remembered runs that ended well: a full memory keeps its count while runs go on, so identities tell
/// flow.</param>
public sealed record SequencerStatus(
    long TotalRuns, long Success, long Failed, double AverageLatencyMs, double P95LatencyMs, IReadOnlySet<string> SuccessfulRuns)
{
    internal static SequencerStatus From(JsonElement status)
    {
        var stats = status.GetProperty("stats");
        var runs = status.TryGetProperty("runs", out var list) && list.ValueKind == JsonValueKind.Array
            ? list.EnumerateArray().Where(r => Fields.Text(r, "status") == "success").Select(r => Fields.Text(r, "run_id")).OfType<string>()
            : [];
        return new SequencerStatus(
            (long)Fields.Number(stats, "total_runs"),
            (long)Fields.Number(stats, "success"),
            (long)Fields.Number(stats, "failed"),
            Fields.Number(stats, "average_latency_ms"),
            Fields.Number(stats, "p95_latency_ms"),
            runs.ToHashSet(StringComparer.Ordinal));
    }

    /// <summary>How many runs succeeded since the earlier look.</summary>
    internal long Since(SequencerStatus earlier) =>
        Math.Max(Success - earlier.Success, SuccessfulRuns.Count(r => !earlier.SuccessfulRuns.Contains(r)));
}

/// <summary>Whether read APIs answer.</summary>
/// <param name="Seen">Each probe with its answer, as <c>/path: HTTP 200</c>.</param>
public sealed record ReadCheck(bool Works, IReadOnlyList<string> Seen);

/// <summary>Fields of the platform's answers, forgiving about absence.</summary>
internal static class Fields
{
    public static string? Text(JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String
            ? value.GetString()
            : null;

    public static double Number(JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Number
            ? value.GetDouble()
            : 0;

    public static DateTimeOffset? Time(JsonElement element, string name) =>
        DateTimeOffset.TryParse(Text(element, name), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var time)
            ? time
            : null;
}
