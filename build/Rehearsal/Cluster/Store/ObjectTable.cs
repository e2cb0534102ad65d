namespace Rehearsal.Cluster;

/// <summary>The objects by resource, namespace and name, in the bytewise order that lists have. Not thread-safe.</summary>
internal sealed class ObjectTable
{
    private readonly Dictionary<ObjectKey, StoredObject> _byKey = [];
    private readonly Dictionary<(
        string Group,
        string Resource), SortedDictionary<string, SortedDictionary<string, StoredObject>>> _byResource = [];

    public StoredObject? Find(ObjectKey key) => _byKey.GetValueOrDefault(key);

    public void Put(StoredObject stored)
    {
        var key = stored.Key;
        _byKey[key] = stored;
        if (!_byResource.TryGetValue((key.Group, key.Resource), out var namespaces))
        {
            _byResource[(key.Group, key.Resource)] = namespaces = new(StringComparer.Ordinal);
        }

        if (!namespaces.TryGetValue(key.Namespace ?? "", out var names))
        {
            namespaces[key.Namespace ?? ""] = names = new(StringComparer.Ordinal);
        }

        names[key.Name] = stored;
    }

    public void Remove(ObjectKey key)
    {
        if (_byKey.Remove(key))
        {
            _byResource[(key.Group, key.Resource)][key.Namespace ?? ""].Remove(key.Name);
        }
    }

    public IReadOnlyList<StoredObject> All() => _byKey.Values.ToList();

    public IEnumerable<StoredObject> All(string group, string resource) => List(group, resource, null);

    public IReadOnlyList<StoredObject> List(string group, string resource, string? @namespace)
    {
        if (!_byResource.TryGetValue((group, resource), out var namespaces))
        {
            return [];
        }

        if (@namespace is null)
        {
            return namespaces.Values.SelectMany(names => names.Values).ToList();
        }

        return namespaces.TryGetValue(@namespace, out var found) ? found.Values.ToList() : [];
    }
}
