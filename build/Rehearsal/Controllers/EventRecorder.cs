using System.Globalization;
using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Controllers;

/// <summary>
/// Writes the Events that <c>kubectl describe</c> shows. A repeated one is counted, not written again; one component may report
/// 25 about an object at once and then one in five minutes, and events are forgotten after an hour, as on a real cluster.
/// </summary>
internal sealed class EventRecorder(ObjectStore store, TimeProvider time, string node)
{
    private const int Burst = 25;
    private static readonly TimeSpan Refill = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan Lifetime = TimeSpan.FromHours(1);

    private readonly Lock _lock = new();
    private readonly Dictionary<(string Uid, string Reason, string Message, string? Field), ObjectKey> _known = [];
    private readonly Dictionary<(string Component, string Uid), (double Tokens, DateTimeOffset At)> _allowance = [];
    private readonly Queue<(DateTimeOffset Until, ObjectKey Key)> _expiring = new();
    private long _sequence = time.GetUtcNow().Ticks;

    public void Normal(string component, JsonObject about, string reason, string message, string? field = null) =>
        Record(component, about, "Normal", reason, message, field);

    public void Warning(string component, JsonObject about, string reason, string message, string? field = null) =>
        Record(component, about, "Warning", reason, message, field);

    /// <summary>Takes over the events of an earlier run of the world, so that they expire too.</summary>
    public void Adopt()
    {
        lock (_lock)
        {
            foreach (var item in store.List("", "events").OrderBy(item => item.Text("lastTimestamp"), StringComparer.Ordinal))
            {
                _expiring.Enqueue(((item.Instant("lastTimestamp") ?? time.GetUtcNow()) + Lifetime, item.Key("", "events")));
            }
        }
    }

    private void Record(string component, JsonObject about, string type, string reason, string message, string? field)
    {
        var now = time.GetUtcNow();
        var id = (about.Uid(), reason, message, field);
        lock (_lock)
        {
            Expire(now);
            if (!Allowed(component, about.Uid(), now))
            {
                return;
            }

            try
            {
                var counted = !_known.TryGetValue(id, out var known) ? null : store.Update(known, existing =>
                {
                    existing["count"] = (existing.Number("count") ?? 1) + 1;
                    existing["lastTimestamp"] = now.Stamp();
                });
                if (counted is null)
                {
                    known = store.Create("", "events", Compose(component, about, type, reason, message, field, now)).Key("", "events");
                    _known[id] = known;
                    _expiring.Enqueue((now + Lifetime, known));
                }
            }
            catch (ApiException refused) when (refused.Code is 403 or 404)
            {
                // The namespace is going or gone; so is everybody who would have read the event.
            }
        }
    }

    private bool Allowed(string component, string uid, DateTimeOffset now)
    {
        var (tokens, at) = _allowance.GetValueOrDefault((component, uid), (Burst, now));
        tokens = Math.Min(Burst, tokens + ((now - at) / Refill));
        var allowed = tokens >= 1;
        _allowance[(component, uid)] = (allowed ? tokens - 1 : tokens, now);
        return allowed;
    }

    private void Expire(DateTimeOffset now)
    {
        while (_expiring.TryPeek(out var oldest) && oldest.Until <= now)
        {
            _expiring.Dequeue();
            if (store.Get(oldest.Key).Instant("lastTimestamp") is { } last && last + Lifetime > now)
            {
                _expiring.Enqueue((last + Lifetime, oldest.Key));
                continue;
            }

            store.Delete(oldest.Key);
            foreach (var (id, _) in _known.Where(entry => entry.Value == oldest.Key).ToList())
            {
                _known.Remove(id);
                foreach (var spent in _allowance.Keys.Where(allowance => allowance.Uid == id.Uid).ToList())
                {
                    _allowance.Remove(spent);
                }
            }
        }
    }

    private JsonObject Compose(
        string component, JsonObject about, string type, string reason, string message, string? field, DateTimeOffset now)
    {
        var involved = new JsonObject { ["kind"] = about.Text("kind"), ["namespace"] = about.Namespace(), ["name"] = about.Name() };
        if (about.Namespace() is null)
        {
            involved.Remove("namespace");
        }

        involved["uid"] = about.Uid();
        involved["apiVersion"] = about.Text("apiVersion");
        involved["resourceVersion"] = about.Text("metadata", "resourceVersion");
        if (field is not null)
        {
            involved["fieldPath"] = field;
        }

        // The scheduler writes through the newer events API, which has no source.
        var source = component == "default-scheduler" ? new JsonObject() : new JsonObject { ["component"] = component };
        if (component == Kubelet.Component)
        {
            source["host"] = node;
        }

        var suffix = Interlocked.Increment(ref _sequence).ToString("x16", CultureInfo.InvariantCulture);
        return new JsonObject
        {
            ["kind"] = "Event",
            ["apiVersion"] = "v1",
            ["metadata"] = new JsonObject { ["name"] = $"{about.Name()}.{suffix}", ["namespace"] = about.Namespace() ?? "default" },
            ["involvedObject"] = involved,
            ["reason"] = reason,
            ["message"] = message,
            ["source"] = source,
            ["firstTimestamp"] = now.Stamp(),
            ["lastTimestamp"] = now.Stamp(),
            ["count"] = 1,
            ["type"] = type,
            ["eventTime"] = null,
            ["reportingComponent"] = component,
            ["reportingInstance"] = component == Kubelet.Component ? node : "",
        };
    }
}
