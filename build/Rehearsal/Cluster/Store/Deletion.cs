using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>When an object may be deleted, how long a pod is given, and when an object that is being deleted is gone.</summary>
internal static class Deletion
{
    /// <summary>The uid and resourceVersion a DELETE may demand of the object it finds.</summary>
    /// <exception cref="ApiException">409 when the object has others.</exception>
    public static void CheckPreconditions(ResourceType type, JsonObject metadata, DeleteRequest request)
    {
        if (request.Uid is { Length: > 0 } uid && metadata.Text("uid") != uid)
        {
            throw Refused(
                type,
                metadata,
                $"the UID in the precondition ({uid}) does not match the UID in record ({metadata.Text("uid")}). The object might have "
                + "been deleted and then recreated");
        }

        if (request.ResourceVersion is { Length: > 0 } version && metadata.Text("resourceVersion") != version)
        {
            throw Refused(
                type,
                metadata,
                $"the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record "
                + $"({metadata.Text("resourceVersion")}). The object might have been modified");
        }
    }

    /// <summary>Seconds between the request and the end.</summary>
    public static int PodGrace(JsonObject pod, long? asked)
    {
        // As the real server: a pod that no node holds, or that has ended, needs no grace.
        if (pod.Child("spec").Text("nodeName") is not { Length: > 0 } || pod.Child("status").Text("phase") is "Succeeded" or "Failed")
        {
            return 0;
        }

        return (int)(asked ?? pod.Child("spec").Number("terminationGracePeriodSeconds") ?? 30);
    }

    /// <summary>Marked, without finalizers, and without grace left.</summary>
    public static bool IsComplete(ResourceType type, JsonObject value)
    {
        var metadata = value.Child("metadata");
        return metadata.Text("deletionTimestamp") is not null
            && metadata.List("finalizers").Count == 0
            && (metadata.Number("deletionGracePeriodSeconds") ?? 0) == 0
            && !(type is { Group: "", Name: "namespaces" } && value.Child("spec").List("finalizers").Count > 0);
    }

    private static ApiException Refused(ResourceType type, JsonObject metadata, string why)
    {
        // The real server names the Kind here, not the resource, and leaves the group out.
        var name = metadata.Text("name")!;
        return new ApiException(
            409,
            "Conflict",
            $"Operation cannot be fulfilled on {type.Kind} \"{name}\": {why}")
        {
            Name = name,
            Kind = type.Kind,
        };
    }
}
