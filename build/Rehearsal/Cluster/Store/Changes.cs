using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>Where one object is: API group ("" for core), plural resource, namespace (null for cluster-wide kinds) and name.</summary>
public sealed record ObjectKey(string Group, string Resource, string? Namespace, string Name)
{
    public override string ToString() => $"{ApiException.Qualified(Group, Resource)}/{(Namespace is null ? "" : Namespace + "/")}{Name}";
}

public enum ChangeKind
{
    Added,
    Modified,
    Deleted,
}

/// <summary>What becomes of dependents when their owner is deleted.</summary>
public enum DeletePropagation
{
    /// <summary>The owner goes at once; the garbage collector deletes its dependents afterwards.</summary>
    Background,

    /// <summary>The owner stays with finalizer <c>foregroundDeletion</c> until the garbage collector has removed its dependents.</summary>
    Foreground,

    /// <summary>The owner stays with finalizer <c>orphan</c> until the garbage collector has freed its dependents.</summary>
    Orphan,
}

/// <summary>One change of one object. The objects are the store's own: read them, never change them.</summary>
/// <param name="Object">The object after the change; for Deleted its last state with the deletion's resourceVersion.</param>
/// <param name="Old">The object before the change; null for Added.</param>
public sealed record Change(ChangeKind Kind, ObjectKey Key, JsonObject Object, JsonObject? Old, long Revision);

/// <summary>What a DELETE asks besides the key.</summary>
/// <param name="GracePeriodSeconds">Pods only; 0 removes the object at once, null takes the pod's own grace period.</param>
/// <param name="Propagation">Null: Background, but Orphan for Jobs, as the real server has it.</param>
public sealed record DeleteRequest(
    DeletePropagation? Propagation = null,
    int? GracePeriodSeconds = null,
    string? Uid = null,
    string? ResourceVersion = null,
    bool DryRun = false);

/// <summary>An object as stored, with its JSON text. Never changed after it was made.</summary>
internal sealed class StoredObject
{
    private readonly int _bodyStart;

    public StoredObject(ObjectKey key, ResourceType type, JsonObject value, byte[] json, int bodyStart, long revision)
    {
        Key = key;
        Type = type;
        Object = value;
        Json = json;
        _bodyStart = bodyStart;
        Revision = revision;
    }

    public ObjectKey Key { get; }

    public ResourceType Type { get; }

    public JsonObject Object { get; }

    /// <summary>The whole object, kind and apiVersion first.</summary>
    public byte[] Json { get; }

    public long Revision { get; }

    /// <summary>
    /// The object's text after kind and apiVersion: what follows an opening brace where a list's items leave the two out.
    /// </summary>
    public ReadOnlyMemory<byte> Body => Json.AsMemory(_bodyStart);
}

/// <summary>A change with the stored forms, for watches.</summary>
internal sealed record StoreEvent(ChangeKind Kind, StoredObject Now, StoredObject? Before)
{
    public long Revision => Now.Revision;

    public Change ToChange() => new(Kind, Now.Key, Now.Object, Before?.Object, Now.Revision);
}

/// <summary>How a deletion ended: gone, or still there with a deletion time stamp.</summary>
internal sealed record DeleteOutcome(JsonObject Object, bool Gone);
