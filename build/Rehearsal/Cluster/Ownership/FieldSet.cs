using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>
/// A set of field paths, as the tree that FieldsV1 writes: <c>f:NAME</c> a member, <c>k:{…}</c> a list element by its keys,
/// <c>v:…</c> an element of a set; a node may be in the set itself ("." in FieldsV1) and may hold further nodes.
/// </summary>
internal sealed class FieldSet
{
    private readonly SortedDictionary<string, FieldSet> _children = new(StringComparer.Ordinal);

    public bool IsMember { get; set; }

    public IReadOnlyDictionary<string, FieldSet> Children => _children;

    public bool IsEmpty => !IsMember && _children.Count == 0;

    public static FieldSet Parse(JsonObject fields)
    {
        var set = new FieldSet();
        foreach (var (name, value) in fields)
        {
            if (name == ".")
            {
                set.IsMember = true;
                continue;
            }

            var child = Parse(value as JsonObject ?? []);
            if (child._children.Count == 0)
            {
                child.IsMember = true;
            }

            set._children[name] = child;
        }

        return set;
    }

    public JsonObject ToFields()
    {
        var fields = new JsonObject();
        if (IsMember && _children.Count > 0)
        {
            fields["."] = new JsonObject();
        }

        foreach (var (name, child) in _children)
        {
            fields[name] = child.ToFields();
        }

        return fields;
    }

    public FieldSet? Child(string element) => _children.GetValueOrDefault(element);

    public FieldSet Open(string element)
    {
        if (!_children.TryGetValue(element, out var child))
        {
            _children[element] = child = new FieldSet();
        }

        return child;
    }

    /// <summary>Drops a member and everything below it.</summary>
    public void Drop(string element) => _children.Remove(element);

    /// <summary>Removes children that hold nothing.</summary>
    public FieldSet Trim()
    {
        foreach (var (name, child) in _children.ToList())
        {
            if (child.Trim().IsEmpty)
            {
                _children.Remove(name);
            }
        }

        return this;
    }

    public FieldSet Union(FieldSet other)
    {
        var result = new FieldSet { IsMember = IsMember || other.IsMember };
        foreach (var (name, child) in _children)
        {
            result._children[name] = other.Child(name) is { } same ? child.Union(same) : child.Union(new FieldSet());
        }

        foreach (var (name, child) in other._children)
        {
            if (!result._children.ContainsKey(name))
            {
                result._children[name] = child.Union(new FieldSet());
            }
        }

        return result;
    }

    public FieldSet Except(FieldSet other)
    {
        var result = new FieldSet { IsMember = IsMember && !other.IsMember };
        foreach (var (name, child) in _children)
        {
            var rest = other.Child(name) is { } same ? child.Except(same) : child.Union(new FieldSet());
            if (!rest.IsEmpty)
            {
                result._children[name] = rest;
            }
        }

        return result;
    }

    /// <summary>Paths in both, as the real server prints them (<c>.spec.containers[name="web"].image</c>).</summary>
    public IEnumerable<string> Common(FieldSet other, string path = "")
    {
        if (IsMember && other.IsMember && path.Length > 0)
        {
            yield return path;
        }

        foreach (var (name, child) in _children)
        {
            if (other.Child(name) is not { } same)
            {
                continue;
            }

            foreach (var found in child.Common(same, path + Print(name)))
            {
                yield return found;
            }
        }
    }

    public bool SameAs(FieldSet other) =>
        IsMember == other.IsMember
        && _children.Count == other._children.Count
        && _children.All(pair => other.Child(pair.Key) is { } same && pair.Value.SameAs(same));

    private static string Print(string element)
    {
        var text = element[2..];
        return element[0] switch
        {
            'f' => "." + text,
            'k' => "["
                + string.Join(
                    ",",
                    ((JsonObject)JsonNode.Parse(text)!).Select(pair => $"{pair.Key}={pair.Value?.ToJsonString(StoredJson.Relaxed)}"))
                + "]",
            _ => $"[={text}]",
        };
    }
}
