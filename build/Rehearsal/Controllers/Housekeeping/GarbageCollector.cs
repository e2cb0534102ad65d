using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Controllers;

/// <summary>
/// Deletes what nobody owns any more (background), holds owners until their dependents are gone (foreground) and frees dependents
/// of owners that are to go alone (orphan).
/// </summary>
internal sealed class GarbageCollector(ControllerContext context) : Controller("garbage-collector", context)
{
    private const string Foreground = "foregroundDeletion";
    private const string Orphan = "orphan";

    private readonly Lock _lock = new();
    private readonly Dictionary<string, HashSet<ObjectKey>> _dependents = new(StringComparer.Ordinal);

    public override void Observe(Change change)
    {
        var owners = change.Kind == ChangeKind.Deleted ? [] : Ownership.Owners(change.Object).ToList();
        var before = change.Old is null ? [] : Ownership.Owners(change.Old).ToList();
        lock (_lock)
        {
            foreach (var gone in before.Where(old => owners.All(owner => owner.Uid != old.Uid)))
            {
                if (_dependents.TryGetValue(gone.Uid, out var set) && set.Remove(change.Key) && set.Count == 0)
                {
                    _dependents.Remove(gone.Uid);
                }
            }

            foreach (var owner in owners)
            {
                if (!_dependents.TryGetValue(owner.Uid, out var set))
                {
                    _dependents[owner.Uid] = set = [];
                }

                set.Add(change.Key);
            }
        }

        if (change.Kind == ChangeKind.Deleted)
        {
            foreach (var dependent in DependentsOf(change.Object.Uid()))
            {
                Queue.Add(dependent);
            }
        }
        else if (owners.Count > 0 && (change.Kind == ChangeKind.Added || before.Count != owners.Count))
        {
            Queue.Add(change.Key);
        }

        // An owner that waits for its dependents is looked at again with each of them that goes.
        foreach (var owner in before.Concat(owners).Select(owner => owner.KeyIn(change.Key.Namespace)).OfType<ObjectKey>())
        {
            if (Store.Get(owner) is { } waiting && waiting.IsDeleting())
            {
                Queue.Add(owner);
            }
        }

        if (change.Kind != ChangeKind.Deleted && change.Object.IsDeleting())
        {
            Queue.Add(change.Key);
        }
    }

    protected override void Reconcile(ObjectKey key)
    {
        if (Store.Get(key) is not { } item)
        {
            return;
        }

        if (item.IsDeleting())
        {
            var finalizers = item.Strings("metadata", "finalizers").ToList();
            if (finalizers.Contains(Orphan))
            {
                Free(key, item);
            }
            else if (finalizers.Contains(Foreground))
            {
                DeleteDependents(key, item);
            }

            return;
        }

        DeleteWhenAbandoned(key, item);
    }

    private static void RemoveFinalizer(JsonObject item, string finalizer)
    {
        if (item["metadata"]?["finalizers"] is JsonArray finalizers
            && finalizers.FirstOrDefault(entry => entry.Text() == finalizer) is { } found)
        {
            finalizers.Remove(found);
        }
    }

    private List<ObjectKey> DependentsOf(string uid)
    {
        lock (_lock)
        {
            return _dependents.TryGetValue(uid, out var set) ? [.. set] : [];
        }
    }

    private void DeleteWhenAbandoned(ObjectKey key, JsonObject item)
    {
        var absent = new HashSet<string>(StringComparer.Ordinal);
        var waiting = false;
        var present = 0;
        foreach (var owner in Ownership.Owners(item))
        {
            // A kind that this server does not have cannot be looked up, so its object counts as there.
            var found = owner.KeyIn(key.Namespace) is { } at ? Store.Get(at) : item;
            if (found is null || (found != item && found.Uid() != owner.Uid))
            {
                absent.Add(owner.Uid);
            }
            else
            {
                present++;
                waiting |= found.IsDeleting() && found.Strings("metadata", "finalizers").Contains(Foreground);
            }
        }

        if (absent.Count == 0)
        {
            return;
        }

        if (present == 0)
        {
            Store.Delete(key, waiting ? DeletePropagation.Foreground : DeletePropagation.Background);
        }
        else
        {
            Store.Update(key, dependent => Ownership.Remove(dependent, absent));
        }
    }

    private void DeleteDependents(ObjectKey key, JsonObject owner)
    {
        var blocked = false;
        foreach (var dependent in DependentsOf(owner.Uid()))
        {
            if (Store.Get(dependent) is not { } item
                || Ownership.Owners(item).FirstOrDefault(entry => entry.Uid == owner.Uid()) is not { } reference)
            {
                continue;
            }

            blocked |= reference.BlocksDeletion;
            if (!item.IsDeleting())
            {
                Store.Delete(dependent, DependentsOf(item.Uid()).Count > 0 ? DeletePropagation.Foreground : DeletePropagation.Background);
            }
        }

        if (!blocked)
        {
            Store.Update(key, item => RemoveFinalizer(item, Foreground));
        }
    }

    private void Free(ObjectKey key, JsonObject owner)
    {
        HashSet<string> uid = [owner.Uid()];
        foreach (var dependent in DependentsOf(owner.Uid()))
        {
            Store.Update(dependent, item => Ownership.Remove(item, uid));
        }

        Store.Update(key, item => RemoveFinalizer(item, Orphan));
    }
}
