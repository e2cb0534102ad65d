using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>
/// All objects of the embedded cluster under one revision counter, thread-safe, kept on disk when a directory is given.
/// Every object handed out (Get, List, Create, Update, changes) is the store's own frozen copy: any thread may read it, nobody may
/// change it; clone it first, or change it inside <see cref="Update(ObjectKey, Action{JsonObject})"/>, whose argument is private.
/// </summary>
public sealed class ObjectStore : IDisposable
{
    private const int HistoryLimit = 16384;

    private readonly Lock _gate = new();
    private readonly TimeProvider _time;
    private readonly StoreJournal? _journal;
    private readonly ObjectTable _table = new();
    private readonly List<StoreEvent> _history = [];
    private readonly List<StoreSubscription> _subscriptions = [];
    private readonly ServiceAddresses _addresses;
    private long _revision;
    private long _historyFloor;

    /// <param name="directory">Where the objects are kept; null: in memory only.</param>
    public ObjectStore(TimeProvider time, string? directory = null)
    {
        _time = time;
        _addresses = new ServiceAddresses(() => _table.All("", "services"));
        if (directory is not null)
        {
            _journal = new StoreJournal(directory);
            (var objects, _revision) = _journal.Load();
            foreach (var stored in objects.Values)
            {
                _table.Put(stored);
            }
        }

        _historyFloor = _revision;
    }

    /// <summary>The counter's value: the revision of the newest change. Never goes back, also not across a restart.</summary>
    public long Revision
    {
        get
        {
            lock (_gate)
            {
                return _revision;
            }
        }
    }

    /// <summary>The oldest revision from which a watch can still be served; older ones are answered with 410.</summary>
    internal long HistoryFloor
    {
        get
        {
            lock (_gate)
            {
                return _historyFloor;
            }
        }
    }

    /// <summary>The object, or null.</summary>
    public JsonObject? Get(ObjectKey key) => Find(key)?.Object;

    /// <summary>All objects of a resource, by namespace and name; <paramref name="namespace"/> null: of all namespaces.</summary>
    public IReadOnlyList<JsonObject> List(string group, string resource, string? @namespace = null) =>
        Snapshot(group, resource, @namespace).Items.Select(stored => stored.Object).ToList();

    /// <summary>
    /// Stores a new object, with defaults, uid, creationTimestamp, generation and resourceVersion (and name, out of generateName).
    /// </summary>
    /// <exception cref="ApiException">404 when its namespace does not exist, 403 when that is being deleted, 409 when the object
    /// exists.</exception>
    public JsonObject Create(string group, string resource, JsonObject obj) =>
        Create(TypeOf(group, resource), (JsonObject)obj.DeepClone(), dryRun: false);

    /// <summary>
    /// Changes an object under the store's lock. A change that changes nothing makes no revision; a changed spec raises the generation;
    /// taking the last finalizer off an object that is being deleted removes it.
    /// </summary>
    /// <returns>The object as it is now, or null when there is none.</returns>
    public JsonObject? Update(ObjectKey key, Action<JsonObject> change)
    {
        lock (_gate)
        {
            if (_table.Find(key) is not { } current)
            {
                return null;
            }

            var next = (JsonObject)current.Object.DeepClone();
            change(next);
            return Replace(current, next, dryRun: false);
        }
    }

    /// <summary>
    /// Deletes an object: at once, or (finalizers, Foreground, Orphan, pods with a grace period, namespaces) by marking it with a
    /// deletionTimestamp. The kubelet removes a pod that has ended with <paramref name="gracePeriodSeconds"/> 0.
    /// </summary>
    /// <returns>False when there was no such object.</returns>
    public bool Delete(ObjectKey key, DeletePropagation propagation = DeletePropagation.Background, int? gracePeriodSeconds = null)
    {
        lock (_gate)
        {
            if (_table.Find(key) is not { } current)
            {
                return false;
            }

            Remove(current, new DeleteRequest(propagation, gracePeriodSeconds));
            return true;
        }
    }

    /// <summary>A synthetic Added for everything that exists, then every change in order, until cancelled.</summary>
    public async IAsyncEnumerable<Change> WatchAsync([EnumeratorCancellation] CancellationToken ct)
    {
        using var subscription = Subscribe(null, null);
        foreach (var stored in subscription.Existing)
        {
            yield return new Change(ChangeKind.Added, stored.Key, stored.Object, null, stored.Revision);
        }

        await foreach (var happened in subscription.Events.ReadAllAsync(ct))
        {
            yield return happened.ToChange();
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _journal?.Dispose();
            foreach (var subscription in _subscriptions)
            {
                subscription.Complete();
            }

            _subscriptions.Clear();
        }
    }

    internal StoredObject? Find(ObjectKey key)
    {
        lock (_gate)
        {
            return _table.Find(key);
        }
    }

    internal (IReadOnlyList<StoredObject> Items, long Revision) Snapshot(string group, string resource, string? @namespace)
    {
        lock (_gate)
        {
            return (_table.List(group, resource, @namespace), _revision);
        }
    }

    /// <summary>What exists of a resource (null: everything) and all its events from here on.</summary>
    internal StoreSubscription Subscribe(string? group, string? resource)
    {
        lock (_gate)
        {
            var existing = resource is null ? _table.All() : _table.List(group!, resource, null);
            return Add(new StoreSubscription(this, group, resource, existing, [], _revision));
        }
    }

    /// <summary>The events of a resource after a revision. Null when that lies before the history that is kept.</summary>
    internal StoreSubscription? SubscribeAfter(string group, string resource, long revision)
    {
        lock (_gate)
        {
            if (revision < _historyFloor)
            {
                return null;
            }

            var missed = _history.Where(
                item => item.Revision > revision && item.Now.Key.Group == group && item.Now.Key.Resource == resource);
            return Add(new StoreSubscription(this, group, resource, [], missed.ToList(), _revision));
        }
    }

    internal void Unsubscribe(StoreSubscription subscription)
    {
        lock (_gate)
        {
            _subscriptions.Remove(subscription);
        }
    }

    internal JsonObject Create(ResourceType type, JsonObject value, bool dryRun)
    {
        lock (_gate)
        {
            var metadata = value.Child("metadata");
            if (metadata.Text("name") is not { Length: > 0 } name)
            {
                name = metadata.Text("generateName") + NameSuffix.Next();
                metadata["name"] = name;
            }

            var ns = type.Namespaced ? metadata.Text("namespace") : null;
            var key = new ObjectKey(type.Group, type.Name, ns, name);
            if (_table.Find(key) is { } existing)
            {
                throw ApiException.AlreadyExists(type.Group, type.Name, name, existing.Object.Is("metadata", "deletionTimestamp"));
            }

            RequireNamespace(type, ns, name);
            if (!type.Namespaced)
            {
                metadata.Remove("namespace");
            }

            metadata.Remove("resourceVersion");
            metadata.Remove("deletionTimestamp");
            metadata.Remove("deletionGracePeriodSeconds");
            metadata["uid"] = Guid.NewGuid().ToString();
            metadata["creationTimestamp"] = Stamp(_time.GetUtcNow());
            if (type.Tracked)
            {
                metadata["generation"] = 1;
            }
            else
            {
                metadata.Remove("generation");
            }

            ObjectDefaults.ApplyOnCreate(type, value);
            _addresses.Assign(type, value, null);
            if (dryRun)
            {
                return StoredJson.Freeze(key, type, value, _revision).Object;
            }

            return Commit(ChangeKind.Added, key, type, value, null).Object;
        }
    }

    /// <summary>
    /// One write of the API: <paramref name="change"/> gets the current object (frozen, null when absent) and returns the wanted one.
    /// </summary>
    /// <returns>The object as stored (or as it would be, with <paramref name="dryRun"/>), and whether it was created.</returns>
    internal (JsonObject Object, bool Created) Write(ObjectKey key, Func<JsonObject?, JsonObject> change, bool dryRun)
    {
        lock (_gate)
        {
            var current = _table.Find(key);
            var next = change(current?.Object);
            return current is null
                ? (Create(TypeOf(key.Group, key.Resource), next, dryRun), true)
                : (Replace(current, next, dryRun), false);
        }
    }

    internal DeleteOutcome Delete(ObjectKey key, DeleteRequest request)
    {
        lock (_gate)
        {
            var current = _table.Find(key) ?? throw ApiException.NotFound(key.Group, key.Resource, key.Name);
            return Remove(current, request);
        }
    }

    /// <summary>RFC 3339 in whole seconds, as all Kubernetes times but MicroTime.</summary>
    internal static string Stamp(DateTimeOffset time) =>
        time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);

    private static ResourceType TypeOf(string group, string resource) =>
        ResourceCatalog.Find(group, resource)
            ?? throw ApiException.NotImplemented($"the resource {ApiException.Qualified(group, resource)}");

    private StoreSubscription Add(StoreSubscription subscription)
    {
        _subscriptions.Add(subscription);
        return subscription;
    }

    private void RequireNamespace(ResourceType type, string? ns, string name)
    {
        if (!type.Namespaced)
        {
            return;
        }

        if (ns is not { Length: > 0 })
        {
            throw ApiException.BadRequest($"an empty namespace may not be set during creation of {type.Qualified} \"{name}\"");
        }

        var holder = _table.Find(new ObjectKey("", "namespaces", null, ns)) ?? throw ApiException.NotFound("", "namespaces", ns);
        if (holder.Object.Is("metadata", "deletionTimestamp"))
        {
            throw ApiException.Forbidden(
                type.Group,
                type.Name,
                name,
                $"unable to create new content in namespace {ns} because it is being terminated",
                new StatusCause("NamespaceTerminating", $"namespace {ns} is being terminated", "metadata.namespace"));
        }
    }

    private JsonObject Replace(StoredObject current, JsonObject next, bool dryRun)
    {
        var type = current.Type;
        var old = current.Object.Child("metadata");
        var metadata = next.Child("metadata");
        foreach (
            var name in new[]
            {
                "name",
                "namespace",
                "uid",
                "resourceVersion",
                "generation",
                "creationTimestamp",
                "deletionTimestamp",
                "deletionGracePeriodSeconds",
            })
        {
            metadata.Copy(name, old);
        }

        ObjectDefaults.ApplyOnUpdate(type, next, current.Object);
        _addresses.Assign(type, next, current.Object);
        next["kind"] = type.Kind;
        next["apiVersion"] = type.ApiVersion;
        if (type.Tracked && !SameDesire(current.Object, next))
        {
            metadata["generation"] = (old.Number("generation") ?? 0) + 1;
        }

        if (Deletion.IsComplete(type, next))
        {
            return dryRun ? StoredJson.Freeze(current.Key, type, next, current.Revision).Object : CommitDelete(current, next).Object;
        }

        if (JsonNode.DeepEquals(current.Object, next))
        {
            return current.Object;
        }

        return dryRun
            ? StoredJson.Freeze(current.Key, type, next, current.Revision).Object
            : Commit(ChangeKind.Modified, current.Key, type, next, current).Object;
    }

    private DeleteOutcome Remove(StoredObject current, DeleteRequest request)
    {
        var key = current.Key;
        var type = current.Type;
        var next = (JsonObject)current.Object.DeepClone();
        var metadata = next.Child("metadata");
        Deletion.CheckPreconditions(type, metadata, request);
        var propagation = request.Propagation
            ?? (key.Resource == "jobs" ? DeletePropagation.Orphan : DeletePropagation.Background);
        var finalizers = metadata.List("finalizers").Select(item => item!.GetValue<string>())
            .Where(item => item is not ("foregroundDeletion" or "orphan")).ToList();
        if (propagation is not DeletePropagation.Background)
        {
            finalizers.Add(propagation is DeletePropagation.Foreground ? "foregroundDeletion" : "orphan");
        }

        metadata.Remove("finalizers");
        if (finalizers.Count > 0)
        {
            metadata["finalizers"] = new JsonArray(finalizers.Select(item => (JsonNode)item).ToArray());
        }

        var grace = key is { Group: "", Resource: "pods" } ? Deletion.PodGrace(next, request.GracePeriodSeconds) : 0;
        var already = metadata.Text("deletionTimestamp") is not null;
        if (!already || (metadata.Number("deletionGracePeriodSeconds") ?? 0) > grace)
        {
            metadata["deletionTimestamp"] = Stamp(_time.GetUtcNow().AddSeconds(grace));
            metadata["deletionGracePeriodSeconds"] = grace;
            if (type.Tracked && !already)
            {
                metadata["generation"] = (metadata.Number("generation") ?? 0) + 1;
            }
        }

        if (key is { Group: "", Resource: "namespaces" })
        {
            metadata.Remove("deletionGracePeriodSeconds");
            next.Child("status")["phase"] = "Terminating";
        }

        if (Deletion.IsComplete(type, next))
        {
            // Pods are marked before they go, and say so once more.
            var last = key is { Group: "", Resource: "pods" } ? next : (JsonObject)current.Object.DeepClone();
            return new DeleteOutcome(request.DryRun ? current.Object : CommitDelete(current, last).Object, true);
        }

        if (request.DryRun || JsonNode.DeepEquals(current.Object, next))
        {
            return new DeleteOutcome(StoredJson.Freeze(key, type, next, current.Revision).Object, false);
        }

        return new DeleteOutcome(Commit(ChangeKind.Modified, key, type, next, current).Object, false);
    }

    private static bool SameDesire(JsonObject a, JsonObject b)
    {
        foreach (var name in a.Select(pair => pair.Key).Union(b.Select(pair => pair.Key), StringComparer.Ordinal))
        {
            if (name is "metadata" or "status" or "kind" or "apiVersion")
            {
                continue;
            }

            if (!JsonNode.DeepEquals(a[name], b[name]))
            {
                return false;
            }
        }

        return true;
    }

    private StoredObject Commit(ChangeKind kind, ObjectKey key, ResourceType type, JsonObject value, StoredObject? before)
    {
        var revision = _revision + 1;
        value.Child("metadata")["resourceVersion"] = revision.ToString(CultureInfo.InvariantCulture);
        var stored = StoredJson.Freeze(key, type, value, revision);
        _journal?.Put(stored);
        _revision = revision;
        _table.Put(stored);
        Publish(new StoreEvent(kind, stored, before));
        return stored;
    }

    private StoredObject CommitDelete(StoredObject current, JsonObject last)
    {
        var revision = _revision + 1;
        last.Child("metadata")["resourceVersion"] = revision.ToString(CultureInfo.InvariantCulture);
        var stored = StoredJson.Freeze(current.Key, current.Type, last, revision);
        _journal?.Delete(current.Key, revision);
        _revision = revision;
        _table.Remove(current.Key);
        Publish(new StoreEvent(ChangeKind.Deleted, stored, current));
        return stored;
    }

    private void Publish(StoreEvent happened)
    {
        _history.Add(happened);
        if (_history.Count >= 2 * HistoryLimit)
        {
            _historyFloor = _history[HistoryLimit - 1].Revision;
            _history.RemoveRange(0, HistoryLimit);
        }

        foreach (var subscription in _subscriptions)
        {
            subscription.Offer(happened);
        }

        if (_journal is { ShouldCompact: true })
        {
            _journal.Compact(_table.All(), _revision);
        }
    }
}
