using System.Text.Json;
using Rollout.Monitoring;

namespace Rollout.Platform;

/// <summary>A service's Service object.</summary>
/// <param name="Port">The Service's port, by name or number.</param>
public sealed record ServiceEndpoint(string Name, string Port);

/// <summary>The four outcomes of <c>/healthz</c>, which answers 200 whatever it found (platform contract, section 2.2).</summary>
public enum Health
{
    /// <summary>The body says ok.</summary>
    Ok,

    /// <summary>The body names failing checks, or the service answered an error status.</summary>
    Error,

    /// <summary>The service runs and has no such page.</summary>
    Absent,

    /// <summary>Nothing that belongs to the service answered.</summary>
    Unreachable,
}

/// <summary>One service at one moment.</summary>
/// <param name="FailingChecks">The checks that fail, as <c>NAME: error</c>; empty unless <see cref="Health.Error"/>.</param>
/// <param name="Detail">Why it is absent or unreachable; empty otherwise.</param>
/// <param name="HealthBody">What <c>/healthz</c> said, where the service said something.</param>
/// <param name="Metrics">The <c>/metrics</c> page; null where there is none.</param>
/// <param name="RequestId">The <c>x-request-id</c> both requests carried: traces are found by it.</param>
public sealed record ServiceSnapshot(
    ServiceEndpoint Service,
    Health Health,
    IReadOnlyList<string> FailingChecks,
    string Detail,
    string? HealthBody,
    string? Metrics,
    string RequestId)
{
    /// <summary>Reads the answer of <c>/healthz</c>.</summary>
    internal static (Health Health, IReadOnlyList<string> Failing, string Detail) Classify(ProxyAnswer answer)
    {
        if (answer.FromCluster || answer.Code is 0 or 502 or 504)
        {
            return (Health.Unreachable, [], answer.Describe());
        }

        if (answer.Code is 404 or 405)
        {
            return (Health.Absent, [], "has no /healthz");
        }

        if (answer.Code != 200)
        {
            return (Health.Error, [$"HTTP {answer.Code}"], string.Empty);
        }

        try
        {
            using var document = JsonDocument.Parse(answer.Body);
            var root = document.RootElement;
            if (root.ValueKind == JsonValueKind.Object && root.TryGetProperty("status", out var status))
            {
                var failing = FailingOf(root);
                return status.ValueEquals("ok") && failing.Count == 0
                    ? (Health.Ok, [], string.Empty)
                    : (Health.Error, failing.Count > 0 ? failing : [$"status: {status}"], string.Empty);
            }
        }
        catch (JsonException)
        {
            // A single-page UI answers its start page to every path.
        }

        return (Health.Absent, [], "answers /healthz with something that is no health report");
    }

    private static List<string> FailingOf(JsonElement root)
    {
        var failing = new List<string>();
        if (root.TryGetProperty("checks", out var checks) && checks.ValueKind == JsonValueKind.Object)
        {
            foreach (var check in checks.EnumerateObject())
            {
                if (
                    check.Value.ValueKind == JsonValueKind.Object
                        && check.Value.TryGetProperty("status", out var status)
                        && !status.ValueEquals("ok"))
                {
                    var error = check.Value.TryGetProperty("error", out var text) ? text.ToString() : status.ToString();
                    failing.Add($"{check.Name}: {error}");
                }
            }
        }

        return failing;
    }
}

/// <summary>"No worse than live" for health (invariant 9).</summary>
internal static class SnapshotComparison
{
    public static IReadOnlyList<string> NoWorseThan(IReadOnlyList<ServiceSnapshot> baseline, IReadOnlyList<ServiceSnapshot> candidate)
    {
        var live = baseline.ToDictionary(s => s.Service.Name, StringComparer.Ordinal);
        var sentences = new List<string>();
        foreach (var now in candidate.OrderBy(s => s.Service.Name, StringComparer.Ordinal))
        {
            if (live.Remove(now.Service.Name, out var before))
            {
                sentences.AddRange(Worse(before, now));
            }
            else if (now.Health is Health.Error or Health.Unreachable)
            {
                sentences.Add($"{now.Service.Name} is {Say(now)}; live has no such service.");
            }
        }

        sentences.AddRange(live.Values
            .Where(s => s.Health != Health.Unreachable)
            .OrderBy(s => s.Service.Name, StringComparer.Ordinal)
            .Select(s => $"{s.Service.Name} is missing; live has it."));
        return sentences;
    }

    private static IEnumerable<string> Worse(ServiceSnapshot before, ServiceSnapshot now)
    {
        var worse = (before.Health, now.Health) switch
        {
            (_, Health.Ok) or (Health.Unreachable, _) or (Health.Absent, Health.Absent) => false,
            (Health.Error, Health.Error) => NewChecks(before, now).Length > 0,
            _ => true,
        };
        if (worse)
        {
            yield return before.Health == Health.Error && now.Health == Health.Error
                ? $"{now.Service.Name} fails {string.Join(", ", NewChecks(before, now))}; on live these checks pass."
                : $"{now.Service.Name} is {Say(now)}; on live it is {Say(before)}.";
        }

        if (before.Metrics is not null && now.Metrics is null)
        {
            yield return $"{now.Service.Name} shows no /metrics; on live it does.";
        }
    }

    private static string[] NewChecks(ServiceSnapshot before, ServiceSnapshot now) =>
        [.. now.FailingChecks.Where(c => !before.FailingChecks.Any(b => Name(b) == Name(c)))];

    private static string Name(string check) => check.Split(':')[0];

    private static string Say(ServiceSnapshot snapshot) => snapshot.Health switch
    {
        Health.Ok => "ok",
        Health.Error => $"in error ({string.Join(", ", snapshot.FailingChecks)})",
        Health.Absent => "without a health page",
        _ => $"unreachable ({snapshot.Detail})",
    };
}
