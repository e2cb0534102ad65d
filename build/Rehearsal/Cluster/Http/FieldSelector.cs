using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>A field selector: <c>metadata.name=x,status.phase!=Running</c>, over the few fields each kind allows.</summary>
internal sealed class FieldSelector
{
    private static readonly Dictionary<string, string[]> ByKind = new(StringComparer.Ordinal)
    {
        ["Pod"] =
        [
            "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
            "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName",
        ],
        ["Event"] =
        [
            "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid", "involvedObject.apiVersion",
            "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason", "reportingComponent", "source", "type",
        ],
        ["Namespace"] = ["status.phase"],
        ["Secret"] = ["type"],
        ["Node"] = ["spec.unschedulable"],
        ["Service"] = ["spec.clusterIP", "spec.type"],
        ["ReplicaSet"] = ["status.replicas"],
        ["ReplicationController"] = ["status.replicas"],
        ["Job"] = ["status.successful"],
    };

    private readonly List<(string Field, string Value, bool Equal)> _clauses = [];

    public bool IsEmpty => _clauses.Count == 0;

    /// <summary>The name that a clause demands, if one does: such a list is a lookup.</summary>
    public string? Name => _clauses.FirstOrDefault(clause => clause is { Field: "metadata.name", Equal: true }).Value;

    /// <exception cref="ApiException">400 when a clause is malformed or the kind does not know the field.</exception>
    public static FieldSelector Parse(ResourceType type, string text)
    {
        var selector = new FieldSelector();
        foreach (var clause in text.Split(',', StringSplitOptions.RemoveEmptyEntries))
        {
            var (field, value, equal) = Split(clause);
            if (field is not ("metadata.name" or "metadata.namespace")
                && !(ByKind.TryGetValue(type.Kind, out var more) && more.Contains(field)))
            {
                throw ApiException.BadRequest(more is null
                    ? $"\"{field}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                    : $"field label not supported: {field}");
            }

            selector._clauses.Add((field, value, equal));
        }

        return selector;
    }

    public bool Matches(JsonObject value) => _clauses.All(clause => (Read(value, clause.Field) == clause.Value) == clause.Equal);

    private static (string Field, string Value, bool Equal) Split(string clause)
    {
        foreach (var (mark, equal) in new[] { ("!=", false), ("==", true), ("=", true) })
        {
            var at = clause.IndexOf(mark, StringComparison.Ordinal);
            if (at > 0)
            {
                return (clause[..at], clause[(at + mark.Length)..], equal);
            }
        }

        throw ApiException.BadRequest($"invalid selector: '{clause}'; can't understand '{clause}'");
    }

    private static string Read(JsonObject value, string field)
    {
        if (field == "source")
        {
            return value.At("source").Text("component") ?? value.Text("reportingComponent") ?? "";
        }

        JsonNode? node = value;
        foreach (var part in (field == "status.successful" ? "status.succeeded" : field).Split('.'))
        {
            node = (node as JsonObject)?[part];
        }

        return node?.GetValueKind() switch
        {
            null or JsonValueKind.Null =>
                field is "spec.unschedulable" or "spec.hostNetwork"
                    ? "false"
                    : field is "status.replicas" or "status.successful"
                    ? "0"
                    : "",
            JsonValueKind.String => node.GetValue<string>(),
            _ => node.ToJsonString(),
        };
    }
}
