using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>One entry of <c>status.details.causes</c>: which field, which machine-readable reason, which sentence.</summary>
public sealed record StatusCause(string Reason, string Message, string Field);

/// <summary>A refusal of the API server: everything of the Kubernetes Status object that the clients print or decide by.</summary>
public sealed class ApiException : Exception
{
    public ApiException(int code, string? reason, string message)
        : base(message)
    {
        Code = code;
        Reason = reason;
    }

    /// <summary>HTTP status code; also <c>status.code</c>.</summary>
    public int Code { get; }

    /// <summary><c>status.reason</c> (NotFound, Conflict, …); null where the real server gives none.</summary>
    public string? Reason { get; }

    /// <summary><c>details.name</c>.</summary>
    public string? Name { get; init; }

    /// <summary><c>details.group</c>; empty for the core group.</summary>
    public string? Group { get; init; }

    /// <summary>
    /// <c>details.kind</c>: the plural resource for NotFound and Conflict, the Kind for Invalid, as the real server has it.
    /// </summary>
    public string? Kind { get; init; }

    /// <summary><c>details.uid</c>.</summary>
    public string? Uid { get; init; }

    /// <summary>Seconds for the Retry-After header and <c>details.retryAfterSeconds</c>; clients send the same request again.</summary>
    public int? RetryAfterSeconds { get; init; }

    public IReadOnlyList<StatusCause> Causes { get; init; } = [];

    /// <summary>True when <c>details</c> is written although empty, as the real server does for a few generic refusals.</summary>
    public bool EmptyDetails { get; init; }

    public static ApiException NotFound(string group, string resource, string name) =>
        new(404, "NotFound", $"{Qualified(group, resource)} \"{name}\" not found") { Name = name, Group = group, Kind = resource };

    /// <summary>The path names a resource or subresource that a known group does not have.</summary>
    public static ApiException UnknownPath() =>
        new(404, "NotFound", "the server could not find the requested resource") { EmptyDetails = true };

    public static ApiException AlreadyExists(string group, string resource, string name, bool terminating) =>
        new(
            409,
            "AlreadyExists",
            (terminating ? "object is being deleted: " : "") + $"{Qualified(group, resource)} \"{name}\" already exists")
        { Name = name, Group = group, Kind = resource };

    public static ApiException Conflict(string group, string resource, string name, string why) =>
        new(409, "Conflict", $"Operation cannot be fulfilled on {Qualified(group, resource)} \"{name}\": {why}")
        { Name = name, Group = group, Kind = resource };

    public static ApiException Modified(string group, string resource, string name) =>
        Conflict(group, resource, name, "the object has been modified; please apply your changes to the latest version and try again");

    public static ApiException BadRequest(string message) => new(400, "BadRequest", message);

    public static ApiException Forbidden(string group, string resource, string name, string why, params StatusCause[] causes) =>
        new(403, "Forbidden", $"{Qualified(group, resource)} \"{name}\" is forbidden: {why}")
        { Name = name, Group = group, Kind = resource, Causes = causes };

    /// <summary>What the rehearsal's server lacks; says so by name, and is never a silent success.</summary>
    public static ApiException NotImplemented(string what) =>
        new(501, "NotImplemented", $"the rehearsal's API server does not implement {what}");

    /// <summary>
    /// A validation failure (422); <paramref name="causes"/> carry the field messages, which are joined as the real server does.
    /// </summary>
    public static ApiException Invalid(string group, string kind, string name, IReadOnlyList<StatusCause> causes)
    {
        var parts = causes.Select(cause => $"{cause.Field}: {cause.Message}").Distinct(StringComparer.Ordinal).ToList();
        var text = parts.Count == 1 ? parts[0] : "[" + string.Join(", ", parts) + "]";
        return new ApiException(422, "Invalid", $"{(group.Length == 0 ? kind : kind + "." + group)} \"{name}\" is invalid: {text}")
        {
            Name = name,
            Group = group,
            Kind = kind,
            Causes = causes,
        };
    }

    /// <summary>The wire form: a <c>v1 Status</c>.</summary>
    public JsonObject ToStatus()
    {
        var status = new JsonObject
        {
            ["kind"] = "Status",
            ["apiVersion"] = "v1",
            ["metadata"] = new JsonObject(),
            ["status"] = "Failure",
            ["message"] = Message,
        };
        if (Reason is not null)
        {
            status["reason"] = Reason;
        }

        var details = new JsonObject();
        Put(details, "name", Name);
        Put(details, "group", Group);
        Put(details, "kind", Kind);
        Put(details, "uid", Uid);
        if (Causes.Count > 0)
        {
            var causes = new JsonArray();
            foreach (var cause in Causes)
            {
                var entry = new JsonObject();
                Put(entry, "reason", cause.Reason);
                Put(entry, "message", cause.Message);
                Put(entry, "field", cause.Field);
                causes.Add((JsonNode)entry);
            }

            details["causes"] = causes;
        }

        if (RetryAfterSeconds is { } seconds)
        {
            details["retryAfterSeconds"] = seconds;
        }

        if (details.Count > 0 || EmptyDetails)
        {
            status["details"] = details;
        }

        status["code"] = Code;
        return status;
    }

    internal static string Qualified(string group, string resource) => group.Length == 0 ? resource : resource + "." + group;

    private static void Put(JsonObject target, string name, string? value)
    {
        if (!string.IsNullOrEmpty(value))
        {
            target[name] = value;
        }
    }
}
