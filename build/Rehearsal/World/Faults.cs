using System.Collections.Concurrent;
using System.Text.Json.Nodes;

namespace Rehearsal.World;

/// <summary>
/// The named misbehaviours of a world. Each is off, or on with an argument; the doubles ask at the moment of use, so a fault acts
/// from the next request on and ends the same way. Kept across restarts.
/// </summary>
public sealed class Faults
{
    /// <summary>Every name a double understands, with what its argument means.</summary>
    public static readonly IReadOnlyDictionary<string, string> Known = new Dictionary<string, string>(StringComparer.Ordinal)
    {
        ["linode-refuse-record"] = "N: the Nth record write since then answers 400",
        ["linode-busy"] = "N: the next N calls answer 400 'Linode busy.'",
        ["linode-limit"] = "N: the next N calls answer 429 with Retry-After",
        ["linode-down"] = "every call answers 502 with an HTML page",
        ["linode-lost-answer"] = "N: the Nth PUT of a record takes effect, its answer is lost",
        ["dns-late"] = "SECONDS until a change is served, on both name servers; NAMESERVER:SECONDS (ns1, ns2) on one",
        ["edge-missing-header"] = "SLOT:HOST: one hardened header is missing",
        ["edge-wrong-certificate"] = "SLOT:HOST: the controller's default certificate is shown",
        ["edge-not-found"] = "SLOT:HOST: 404",
        ["ci-failed"] = "CI runs of release commits concluded 'failure'",
        ["ci-cancelled"] = "CI runs of release commits concluded 'cancelled'",
        ["ci-missing"] = "no CI run exists for release commits; dispatch or dispatch:INPUT: one can be dispatched, and its name shows INPUT",
        ["github-limit"] = "N: the next N calls answer 403 with Retry-After (secondary rate limit)",
        ["registry-missing-tag"] = "REPOSITORY: its tags are unknown",
        ["registry-down"] = "every call answers 503",
        ["registry-no-digest"] = "answers lack Docker-Content-Digest",
        ["health-error"] = "SLOT:WORKLOAD: /healthz reports a failing check",
        ["oms-ignores-simulation"] = "SLOT: the OMS trades although simulation mode is on",
        ["session-store-missing"] = "SLOT: admin calls answer 500",
        ["orders-stopped"] = "SLOT: the OMS sends nothing by itself",
        ["latency"] = "SLOT:MILLISECONDS added to every request",
        ["latency-grows"] = "SLOT:MILLISECONDS more added to every request each second",
        ["metrics-missing"] = "SLOT: the metrics pages answer 404",
        ["counter-reset"] = "SLOT:SECONDS after which all counters begin anew, once",
        ["errors"] = "SLOT:RATIO (0 to 1) of requests answer 500",
        ["scaling-stalled"] = "SLOT: the scaling controller no longer evaluates",
        ["audit-lost"] = "audit rows are not written",
        ["api-breaks"] = "SLOT:WORKLOAD: its /openapi.json promises less than before",
        ["traces-off"] = "spans are accepted and forgotten",
        ["migration-fails"] = "the migration job fails",
        ["slow-start"] = "MILLISECONDS until a container listens",
        ["service-down"] = "SLOT:WORKLOAD: its pods end every connection without an answer",
        ["never-ready"] = "SLOT:WORKLOAD: its pods never become ready",
        ["cluster-hold"] = "before|after:STEP[/PART]/EVENT: the next journal write that ends so is held, unapplied or unanswered",
        ["cluster-unreliable"] = "SEED:RATE[:AGENT]: that part (0 to 1) of API requests fails, but not those of User-Agents that begin so",
    };

    private readonly ConcurrentDictionary<string, string> _on = new(StringComparer.Ordinal);
    private readonly string _file;
    private readonly Lock _saving = new();

    private Faults(string file)
    {
        _file = file;
    }

    /// <summary>Reads the faults that were on when the world in this directory last ran.</summary>
    public static Faults Open(string directory)
    {
        var faults = new Faults(Path.Combine(directory, "faults.json"));
        if (StateFile.Read(faults._file) is JsonObject kept)
        {
            foreach (var (name, argument) in kept)
            {
                faults._on[name] = (string)argument!;
            }
        }

        return faults;
    }

    /// <summary>The argument of a fault that is on (may be empty), or null. The same instance until the fault is set again.</summary>
    public string? Argument(string name)
    {
        return _on.GetValueOrDefault(name);
    }

    /// <summary>Switches a fault on; setting it again starts its counting anew.</summary>
    /// <exception cref="ArgumentException">No double knows the name.</exception>
    public void Set(string name, string argument)
    {
        if (!Known.TryGetValue(name, out var meaning))
        {
            throw new ArgumentException($"There is no fault '{name}'. Known: {string.Join(", ", Known.Keys)}.", nameof(name));
        }

        // A copy, because counting faults tell one setting from the next by the instance; and all empty strings are one instance.
        var value = argument.Length == 0 && meaning.StartsWith("N:", StringComparison.Ordinal) ? "1" : argument;
        _on[name] = new string(value.AsSpan());
        Save();
    }

    /// <summary>Switches one fault off; false when it was off.</summary>
    public bool Clear(string name)
    {
        var was = _on.TryRemove(name, out _);
        Save();
        return was;
    }

    public void ClearAll()
    {
        _on.Clear();
        Save();
    }

    /// <summary>Name and argument of every fault that is on.</summary>
    public IReadOnlyDictionary<string, string> All()
    {
        return new SortedDictionary<string, string>(_on, StringComparer.Ordinal);
    }

    private void Save()
    {
        lock (_saving)
        {
            var state = new JsonObject();
            foreach (var (name, argument) in All())
            {
                state[name] = argument;
            }

            StateFile.Write(_file, state);
        }
    }
}

/// <summary>
/// Counts uses of a fault whose argument is a number. Counting starts anew whenever the fault was set again, which shows in the
/// argument being another string instance.
/// </summary>
internal sealed class FaultCount(Func<string, string?> fault, string name)
{
    private readonly Lock _lock = new();
    private string? _argument;
    private int _uses;

    /// <summary>Counts this use; true for exactly the Nth.</summary>
    public bool IsNth()
    {
        return Use(out var uses, out var n) && uses == n;
    }

    /// <summary>Counts this use; true for the first N.</summary>
    public bool IsWithin()
    {
        return Use(out var uses, out var n) && uses <= n;
    }

    private bool Use(out int uses, out int n)
    {
        var argument = fault(name);
        lock (_lock)
        {
            if (!ReferenceEquals(argument, _argument))
            {
                _argument = argument;
                _uses = 0;
            }

            uses = argument is null ? 0 : ++_uses;
            n = int.TryParse(argument, System.Globalization.CultureInfo.InvariantCulture, out var parsed) ? parsed : 1;
            return argument is not null;
        }
    }
}
