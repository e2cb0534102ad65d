using System.Globalization;
using Microsoft.AspNetCore.Http;

namespace Rehearsal.Cluster;

/// <summary>A request for a resource, taken out of its path: which objects, which subresource, and what the query says.</summary>
internal sealed class ApiRequest
{
    private ApiRequest(HttpContext context, ResourceType type)
    {
        Context = context;
        Type = type;
    }

    public HttpContext Context { get; }

    public ResourceType Type { get; }

    public string? Namespace { get; private init; }

    public string? Name { get; private init; }

    public string? Subresource { get; private init; }

    /// <summary>What follows <c>…/proxy</c>, beginning with a slash; empty when nothing does.</summary>
    public string Rest { get; private init; } = "";

    public IQueryCollection Query => Context.Request.Query;

    public CancellationToken Aborted => Context.RequestAborted;

    public ObjectKey Key => new(Type.Group, Type.Name, Namespace, Name!);

    public bool IsWatch => this["watch"] is "true" or "1";

    /// <summary>The query parameter's first value, or null when it is absent or empty.</summary>
    public string? this[string name] =>
        Query.TryGetValue(name, out var values) && values.Count > 0 && values[0] is { Length: > 0 } value ? value : null;

    /// <summary>Reads the path below <c>/api/v1</c> or <c>/apis/GROUP/VERSION</c>.</summary>
    /// <exception cref="ApiException">404 when the group has no such resource.</exception>
    public static ApiRequest Parse(HttpContext context, string group, ReadOnlySpan<string> rest)
    {
        string? ns = null;
        if (rest is ["namespaces", _, not ("status" or "finalize"), ..] or ["namespaces", _, _, _, ..])
        {
            ns = rest[1];
            rest = rest[2..];
        }

        if (rest.IsEmpty || ResourceCatalog.Find(group, rest[0]) is not { } type || (ns is not null && !type.Namespaced))
        {
            throw ApiException.UnknownPath();
        }

        var name = rest.Length > 1 ? rest[1] : null;
        var subresource = rest.Length > 2 ? rest[2] : null;
        if (rest.Length > 3 && subresource != "proxy")
        {
            throw ApiException.UnknownPath();
        }

        if (name is not null && type.Namespaced && ns is null)
        {
            throw ApiException.UnknownPath();
        }

        return new ApiRequest(context, type)
        {
            Namespace = ns,
            Name = name,
            Subresource = subresource,
            Rest = subresource == "proxy" ? ProxyPath(context.Request.Path.Value ?? "", name!) : "",
        };
    }

    /// <summary>The resource that a request is for; null for a document or an unknown path.</summary>
    public static ApiRequest? Find(HttpContext context)
    {
        var segments = (context.Request.Path.Value ?? "/").Split('/', StringSplitOptions.RemoveEmptyEntries);
        try
        {
            return segments switch
            {
                ["api", "v1", _, ..] => Parse(context, "", segments.AsSpan(2)),
                ["apis", var group, _, _, ..] => Parse(context, group, segments.AsSpan(3)),
                _ => null,
            };
        }
        catch (ApiException)
        {
            return null;
        }
    }

    /// <summary>A whole number in the query, or null.</summary>
    /// <exception cref="ApiException">400 when it is no number.</exception>
    public long? Number(string name)
    {
        if (this[name] is not { } text)
        {
            return null;
        }

        return long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number)
            ? number
            : throw ApiException.BadRequest($"strconv.ParseInt: parsing \"{text}\": invalid syntax");
    }

    /// <summary>The resourceVersion parameter; null when absent.</summary>
    /// <exception cref="ApiException">500 when it is no number, as the real server answers.</exception>
    public long? ResourceVersion()
    {
        if (this["resourceVersion"] is not { } text)
        {
            return null;
        }

        return long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            ? number
            : throw new ApiException(
                500,
                null,
                $"resourceVersion: Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": invalid syntax");
    }

    /// <summary>Whether <c>dryRun=All</c> is given.</summary>
    /// <param name="options">Kind of the options object, for the message.</param>
    public bool DryRun(string options)
    {
        if (this["dryRun"] is not { } value)
        {
            return false;
        }

        if (value != "All")
        {
            var problems = new Problems();
            problems.Unsupported("dryRun", (System.Text.Json.Nodes.JsonNode)value, "All");
            throw ApiException.Invalid(
                "meta.k8s.io",
                options,
                "",
                problems.Causes.Select(
                    cause => cause with
                    {
                        Message = cause.Message.Replace($"\"{value}\"", $"[]string{{\"{value}\"}}", StringComparison.Ordinal),
                    }).ToList());
        }

        return true;
    }

    private static string ProxyPath(string path, string name)
    {
        var marker = $"/{name}/proxy";
        var at = path.IndexOf(marker, StringComparison.Ordinal);
        return path[(at + marker.Length)..];
    }
}
