using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>The uid and resourceVersion a DELETE may demand of the object it finds.</summary>
internal static class DeletePreconditions
{
    public static void Check(ResourceType type, JsonObject metadata, DeleteRequest request)
    {
        if (request.Uid is { Length: > 0 } uid && metadata.Text("uid") != uid)
        {
            throw Refused(type, metadata, $"the UID in the precondition ({uid}) does not match the UID in record ({metadata.Text("uid")}). The object might have been deleted and then recreated");
        }

        if (request.ResourceVersion is { Length: > 0 } version && metadata.Text("resourceVersion") != version)
        {
            throw Refused(type, metadata, $"the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({metadata.Text("resourceVersion")}). The object might have been modified");
        }
    }

    private static ApiException Refused(ResourceType type, JsonObject metadata, string why)
    {
        // The real server names the Kind here, not the resource, and leaves the group out.
        var name = metadata.Text("name")!;
        return new ApiException(409, "Conflict", $"Operation cannot be fulfilled on {type.Kind} \"{name}\": {why}") { Name = name, Kind = type.Kind };
    }
}
