using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Controllers;

/// <summary>One entry of <c>metadata.ownerReferences</c>.</summary>
internal sealed record Owner(string Group, string ApiVersion, string Kind, string Name, string Uid, bool BlocksDeletion)
{
    /// <summary>Where the owner is stored; null where the server knows no such kind.</summary>
    public ObjectKey? KeyIn(string? @namespace) =>
        ResourceCatalog.FindKind(ApiVersion, Kind) is { } type
            ? new ObjectKey(type.Group, type.Name, type.Namespaced ? @namespace : null, Name)
            : null;
}

/// <summary>Owner references: who made an object and takes it along when it goes.</summary>
internal static class Ownership
{
    public static IEnumerable<Owner> Owners(JsonObject item) => item.Items("metadata", "ownerReferences").Select(Read);

    /// <summary>The one owner that manages the object, if any.</summary>
    public static Owner? ControllerOf(JsonObject item)
    {
        foreach (var reference in item.Items("metadata", "ownerReferences"))
        {
            if (reference.Flag("controller") == true)
            {
                return Read(reference);
            }
        }

        return null;
    }

    public static JsonObject Reference(JsonObject owner) => new()
    {
        ["apiVersion"] = owner.Text("apiVersion"),
        ["kind"] = owner.Text("kind"),
        ["name"] = owner.Name(),
        ["uid"] = owner.Uid(),
        ["controller"] = true,
        ["blockOwnerDeletion"] = true,
    };

    public static void Add(JsonObject item, JsonObject owner)
    {
        var metadata = item.Child("metadata");
        if (metadata["ownerReferences"] is not JsonArray references)
        {
            references = [];
            metadata["ownerReferences"] = references;
        }

        references.Add((JsonNode)Reference(owner));
    }

    /// <summary>Removes the references to those uids, and the list when it is empty.</summary>
    public static void Remove(JsonObject item, IReadOnlySet<string> uids)
    {
        if (item["metadata"]?["ownerReferences"] is not JsonArray references)
        {
            return;
        }

        for (var i = references.Count - 1; i >= 0; i--)
        {
            if (references[i].Text("uid") is { } uid && uids.Contains(uid))
            {
                references.RemoveAt(i);
            }
        }

        if (references.Count == 0)
        {
            item.Child("metadata").Remove("ownerReferences");
        }
    }

    private static Owner Read(JsonObject reference)
    {
        var apiVersion = reference.Text("apiVersion") ?? "";
        var slash = apiVersion.IndexOf('/', StringComparison.Ordinal);
        return new Owner(
            slash < 0 ? "" : apiVersion[..slash],
            apiVersion,
            reference.Text("kind") ?? "",
            reference.Text("name") ?? "",
            reference.Text("uid") ?? "",
            reference.Flag("blockOwnerDeletion") == true);
    }
}
