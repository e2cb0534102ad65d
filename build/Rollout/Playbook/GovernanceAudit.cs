using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
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
/// single place is trusted, and an event that somebody else caused is compared with its sources one by one. However many there are, an audit row costs it
/// some thirty bytes, and what is alike is told once.
/// </summary>
/// <param name="expected">What this rollout caused.</param>
/// <param name="from">Before this nothing is judged.</param>
/// <param name="schemas">Which account an event in a schema is of.</param>
internal sealed class GovernanceAudit(IReadOnlyList<ExpectedEvent> expected, DateTimeOffset from, AccountSchemas schemas)
{
    /// <summary>A service notes first and audits then; further apart the two are not one event.</summary>
    public static readonly TimeSpan Tolerance = TimeSpan.FromMinutes(5);

    /// <summary>More events that were found in the same places are counted.</summary>
    private const int ToldOneByOne = 50;

    private static readonly GovernancePlace[] Trails = [GovernancePlace.TrailA, GovernancePlace.TrailB];
    private static readonly GovernancePlace[] SafeModePlaces = [GovernancePlace.TrailA, GovernancePlace.Events, GovernancePlace.PodLog];
    private static readonly GovernancePlace[] KillSwitchPlaces = [GovernancePlace.TrailA, GovernancePlace.PodLog];
    private static readonly GovernancePlace[] OverridePlaces = [.. Trails, GovernancePlace.PodLog];

    private readonly Dictionary<(ExpectedEvent Event, GovernancePlace Place), (int Count, GovernanceEvent First)> _found = [];
    private readonly List<Happened> _happened = [];
    private readonly Dictionary<(GovernancePlace Place, string Action), List<(UInt128 Key, DateTimeOffset At)>> _audited = [];
    private readonly Dictionary<string, string> _actions = new(StringComparer.Ordinal);
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
                Remember(found, AccountOf(found), "kill_switch.triggered");
                break;
            case { Place: GovernancePlace.Overrides } when found.At >= from:
                Remember(found, found.Entity, "override.human_decision");
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

        foreach (var audited in _audited.Values)
        {
            audited.Sort();
        }

        var taken = _audited.ToDictionary(a => a.Key, a => new bool[a.Value.Count]);
        var more = new Dictionary<(string Action, string Found), (int Seen, IReadOnlyDictionary<GovernancePlace, string?> Places)>();
        foreach (var happened in _happened.OrderBy(h => h.At))
        {
            var places = (happened.Audited == "kill_switch.triggered" ? KillSwitchPlaces : OverridePlaces).ToDictionary(p => p, p => Take(taken, p, happened) is { } at ? $"{at:HH:mm:ss}" : (string?)null);
            var alike = (happened.Action, string.Join(' ', places.Where(p => p.Value is not null).Select(p => p.Key)));
            var seen = more.GetValueOrDefault(alike).Seen + 1;
            more[alike] = (seen, places.ToDictionary(p => p.Key, p => p.Value is null ? null : "each"));
            if (seen <= ToldOneByOne)
            {
                findings.Add(($"{happened.Action} {happened.Entity} at {happened.At:HH:mm:ss}, noted in {happened.Where}", places));
            }
        }

        findings.AddRange(more.Where(m => m.Value.Seen > ToldOneByOne).Select(m => ($"{m.Value.Seen - ToldOneByOne} more {m.Key.Action}", m.Value.Places)));
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

    private void Remember(GovernanceEvent found, string key, string audited)
    {
        if (!_actions.TryGetValue(found.Action, out var action))
        {
            _actions[found.Action] = action = found.Action;
        }

        _happened.Add(new Happened(found.At, action, found.Entity, found.Where, KeyOf(key), audited));
    }

    private void Note(GovernanceEvent found, string key)
    {
        if (!_audited.TryGetValue((found.Place, found.Action), out var rows))
        {
            _audited[(found.Place, found.Action)] = rows = [];
        }

        rows.Add((KeyOf(key), found.At));
    }

    // Each audit row stands for one event: the first that is near enough is used up.
    private DateTimeOffset? Take(Dictionary<(GovernancePlace Place, string Action), bool[]> taken, GovernancePlace place, Happened happened)
    {
        if (!_audited.TryGetValue((place, happened.Audited), out var rows))
        {
            return null;
        }

        var used = taken[(place, happened.Audited)];
        var index = rows.BinarySearch((happened.Key, happened.At - Tolerance));
        for (index = index < 0 ? ~index : index; index < rows.Count && rows[index].Key == happened.Key && rows[index].At <= happened.At + Tolerance; index++)
        {
            if (!used[index])
            {
                used[index] = true;
                return rows[index].At;
            }
        }

        return null;
    }

    // Of one size, whatever the name; two of them are never alike.
    private static UInt128 KeyOf(string key) => MemoryMarshal.Read<UInt128>(SHA256.HashData(Encoding.UTF8.GetBytes(key)));

    // The event's row may name the account, or stand in its schema.
    private string AccountOf(GovernanceEvent found) =>
        found.Entity.Length > 0 ? schemas.Of(found.Entity) : found.Where[..Math.Max(0, found.Where.IndexOf('.', StringComparison.Ordinal))];

    /// <param name="Key">What its audit row is known by.</param>
    /// <param name="Audited">The action of that row.</param>
    private sealed record Happened(DateTimeOffset At, string Action, string Entity, string Where, UInt128 Key, string Audited);
}
