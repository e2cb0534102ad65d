using System.Text.Json.Nodes;
using Rollout.Database;

namespace Rollout.Playbook;

/// <summary>An event that this rollout caused and that must have left traces.</summary>
/// <param name="What">For people, as "live (blue) entered safe mode".</param>
/// <param name="Actions">What it is called in the places: <c>safe_mode.enter</c> in the trails and logs, <c>safe_mode_engaged</c> among the events.</param>
/// <param name="Reason">Tells it from anybody else's.</param>
internal sealed record ExpectedEvent(string What, IReadOnlyList<string> Actions, string Reason);

/// <summary>
/// Where each governance event was found and where it was missing. Every write of the platform may fail unnoticed (platform contract, section 10), so no
/// single place is trusted, and an event that somebody else caused is compared with its sources one by one.
/// </summary>
/// <param name="expected">What this rollout caused.</param>
/// <param name="from">Before this nothing is judged.</param>
internal sealed class GovernanceAudit(IReadOnlyList<ExpectedEvent> expected, DateTimeOffset from)
{
    /// <summary>A service notes first and audits then; further apart the two are not one event.</summary>
    public static readonly TimeSpan Tolerance = TimeSpan.FromMinutes(5);

    private static readonly GovernancePlace[] Trails = [GovernancePlace.TrailA, GovernancePlace.TrailB];
    private static readonly GovernancePlace[] SafeModePlaces = [GovernancePlace.TrailA, GovernancePlace.Events, GovernancePlace.PodLog];
    private static readonly GovernancePlace[] KillSwitchPlaces = [GovernancePlace.TrailA, GovernancePlace.PodLog];
    private static readonly GovernancePlace[] OverridePlaces = [.. Trails, GovernancePlace.PodLog];

    private readonly Dictionary<(ExpectedEvent Event, GovernancePlace Place), (int Count, GovernanceEvent First)> _found = [];
    private readonly List<(GovernanceEvent Event, string Key, string Audited)> _happened = [];
    private readonly Dictionary<(GovernancePlace Place, string Action, string Key), List<DateTimeOffset>> _audited = [];
    private readonly SortedDictionary<string, int> _counts = new(StringComparer.Ordinal);

    /// <summary>How many events of each action there were, whoever caused them.</summary>
    public IReadOnlyDictionary<string, int> Counts => _counts;

    /// <summary>Takes one event, from any place and in any order. What is not needed for a judgement is counted and forgotten.</summary>
    public void Add(GovernanceEvent found)
    {
        _counts[found.Action] = _counts.GetValueOrDefault(found.Action) + 1;
        foreach (var known in expected.Where(e => e.Actions.Contains(found.Action) && e.Reason == found.Reason && found.At >= from))
        {
            _found[(known, found.Place)] = _found.TryGetValue((known, found.Place), out var before) ? (before.Count + 1, before.First) : (1, found);
        }

        switch (found)
        {
            case { Place: GovernancePlace.Events, Action: "kill_switch_engaged" } when found.At >= from:
                _happened.Add((found, AccountOf(found), "kill_switch.triggered"));
                break;
            case { Place: GovernancePlace.Overrides } when found.At >= from:
                _happened.Add((found, found.Entity, "override.human_decision"));
                break;
            case { Action: "kill_switch.triggered" }:
                Note(found, AccountOf(found));
                break;
            case { Action: "override.human_decision" }:
                Note(found, found.Entity);
                break;
        }
    }

    /// <summary>Everything that was looked for: what, then each place's answer.</summary>
    public IReadOnlyList<(string What, IReadOnlyDictionary<GovernancePlace, string?> Places)> Findings()
    {
        var findings = new List<(string, IReadOnlyDictionary<GovernancePlace, string?>)>();
        foreach (var known in expected)
        {
            findings.Add((known.What, SafeModePlaces.ToDictionary(p => p, p => _found.TryGetValue((known, p), out var there) ? $"{there.First.At:HH:mm:ss} {there.First.Where}{(there.Count > 1 ? $" and {there.Count - 1} more" : string.Empty)}" : null)));
        }

        var left = _audited.ToDictionary(a => a.Key, a => a.Value.Order().ToList());
        foreach (var (happened, key, audited) in _happened.OrderBy(h => h.Event.At))
        {
            findings.Add((
                $"{happened.Action} {happened.Entity} at {happened.At:HH:mm:ss}, noted in {happened.Where}",
                (audited == "kill_switch.triggered" ? KillSwitchPlaces : OverridePlaces).ToDictionary(p => p, p => Take(left.GetValueOrDefault((p, audited, key)), happened.At) is { } at ? $"{at:HH:mm:ss}" : (string?)null)));
        }

        return findings;
    }

    /// <summary>What is nowhere, or, where a trail is required, in neither trail; one sentence each.</summary>
    public static IReadOnlyList<string> Missing(IEnumerable<(string What, IReadOnlyDictionary<GovernancePlace, string?> Places)> findings, bool trailRequired) =>
        [.. findings.Where(f => f.Places.All(p => p.Value is null || (trailRequired && !Trails.Contains(p.Key)))).Select(f => f.What)];

    /// <summary>What is somewhere, and not where it should be too; one sentence each.</summary>
    public static IReadOnlyList<string> Gaps(IEnumerable<(string What, IReadOnlyDictionary<GovernancePlace, string?> Places)> findings) =>
        [.. findings.Where(f => f.Places.Any(p => p.Value is not null) && Trails.All(t => f.Places.GetValueOrDefault(t) is null))
            .Select(f => $"{f.What}: in no audit trail, only in {string.Join(" and ", f.Places.Where(p => p.Value is not null).Select(p => $"{Words(p.Key)} ({p.Value})"))}")];

    /// <summary>As people say it.</summary>
    public static string Words(GovernancePlace place) => place switch
    {
        GovernancePlace.TrailA => "trail A",
        GovernancePlace.TrailB => "trail B",
        GovernancePlace.Events => "account events",
        GovernancePlace.Overrides => "override_log",
        _ => "pod log",
    };

    /// <summary>For evidence.</summary>
    public static JsonArray ToJson(IEnumerable<(string What, IReadOnlyDictionary<GovernancePlace, string?> Places)> findings) =>
        new([.. findings.Select(f => new JsonObject
        {
            ["event"] = f.What,
            ["places"] = new JsonObject(f.Places.Select(p => KeyValuePair.Create(Words(p.Key), (JsonNode?)JsonValue.Create(p.Value ?? "missing")))),
        })]);

    private void Note(GovernanceEvent found, string key)
    {
        if (!_audited.TryGetValue((found.Place, found.Action, key), out var times))
        {
            _audited[(found.Place, found.Action, key)] = times = [];
        }

        times.Add(found.At);
    }

    // Each audit row stands for one event: the first that is near enough is used up.
    private static DateTimeOffset? Take(List<DateTimeOffset>? times, DateTimeOffset at)
    {
        var index = times?.FindIndex(t => (t - at).Duration() <= Tolerance) ?? -1;
        if (index < 0)
        {
            return null;
        }

        var taken = times![index];
        times.RemoveAt(index);
        return taken;
    }

    // The event's row may name the account, or stand in its schema.
    private static string AccountOf(GovernanceEvent found) =>
        found.Entity.Length > 0 ? AetherDatabase.SchemaOf(found.Entity) : found.Where[..Math.Max(0, found.Where.IndexOf('.', StringComparison.Ordinal))];
}
