using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;

namespace Rehearsal.World;

/// <summary>What Linode accepts as a record.</summary>
internal static class LinodeRecord
{
    private static readonly string[] Types = ["A", "AAAA", "NS", "MX", "CNAME", "TXT", "SRV", "PTR", "CAA"];

    /// <summary>A full name inside the zone is accepted and shortened on the way in.</summary>
    public static string Shorten(string name, string domain)
    {
        var trimmed = name.TrimEnd('.').ToLowerInvariant();
        if (trimmed == domain)
        {
            return "";
        }

        return trimmed.EndsWith("." + domain, StringComparison.Ordinal) ? trimmed[..^(domain.Length + 1)] : trimmed;
    }

    /// <summary>All that is wrong with this write, each with the field it is about.</summary>
    public static IReadOnlyList<(string Reason, string? Field)> Problems(Zone zone, JsonObject body, DnsRecord? existing)
    {
        var problems = new List<(string Reason, string? Field)>();
        if (!IsText(body["type"], out var type) || !IsText(body["name"], out var name) || !IsText(body["target"], out var target))
        {
            return [("Must be of type String", null)];
        }

        if (body["ttl_sec"] is { } ttl && (ttl is not JsonValue number || !number.TryGetValue<int>(out var seconds) || seconds < 0))
        {
            problems.Add(("Must be a positive integer", "ttl_sec"));
        }

        if (body["priority"] is { } priority
            && (priority is not JsonValue given || !given.TryGetValue<int>(out var value) || value is < 0 or > 255))
        {
            problems.Add(("Must be 0-255", "priority"));
        }

        if (existing is null && type is null)
        {
            problems.Add(("type is required", "type"));
        }
        else if (type is not null && (existing is null ? !Types.Contains(type) : type != existing.Type))
        {
            problems.Add((existing is null ? "Must be one of " + string.Join(", ", Types) : "Record type cannot be changed", "type"));
        }

        type = existing?.Type ?? type;
        if (name is { Length: > 100 })
        {
            problems.Add(("Length must be 0-100 characters", "name"));
        }

        if (target is null ? existing is null : !IsTarget(type, target))
        {
            problems.Add(("Invalid target", "target"));
        }

        var shortened = name is null ? existing?.Name ?? "" : Shorten(name, zone.Domain);
        var others = zone.Records.Where(record => record.Id != existing?.Id && record.Name == shortened).ToList();
        if (type == "CNAME" ? others.Count > 0 : others.Any(record => record.Type == "CNAME"))
        {
            problems.Add(("A CNAME excludes every other record of its name", "name"));
        }

        return problems;
    }

    private static bool IsTarget(string? type, string target)
    {
        return type switch
        {
            "A" => target == "[remote_addr]" || (IPAddress.TryParse(target, out var v4) && v4.AddressFamily == AddressFamily.InterNetwork),
            "AAAA" => IPAddress.TryParse(target, out var v6) && v6.AddressFamily == AddressFamily.InterNetworkV6,
            _ => target.Length > 0,
        };
    }

    private static bool IsText(JsonNode? node, out string? text)
    {
        text = null;
        return node is null || (node is JsonValue value && value.TryGetValue(out text));
    }
}

/// <summary>The <c>X-Filter</c> header: equality on the listed fields, <c>+and</c>, <c>+or</c>, <c>+contains</c>, and ordering.</summary>
internal static class LinodeFilter
{
    /// <exception cref="FormatException">Not JSON, or a field that cannot be filtered on.</exception>
    public static List<JsonObject> Apply(List<JsonObject> items, string header, string[] filterable)
    {
        JsonObject filter;
        try
        {
            filter = JsonNode.Parse(header) as JsonObject ?? throw new FormatException("Cannot filter on this value");
        }
        catch (System.Text.Json.JsonException broken)
        {
            throw new FormatException("Invalid JSON in X-Filter", broken);
        }

        Check(filter, filterable);
        var kept = items.Where(item => Matches(item, filter)).ToList();
        if ((string?)filter["+order_by"] is { } field)
        {
            kept = [.. kept.OrderBy(item => item[field]?.ToString(), StringComparer.Ordinal)];
            if ((string?)filter["+order"] == "desc")
            {
                kept.Reverse();
            }
        }

        return kept;
    }

    private static void Check(JsonObject filter, string[] filterable)
    {
        foreach (var (key, value) in filter)
        {
            if (key is "+and" or "+or")
            {
                foreach (var part in value as JsonArray ?? throw new FormatException($"{key} takes a list"))
                {
                    Check(part as JsonObject ?? throw new FormatException($"{key} takes a list of filters"), filterable);
                }
            }
            else if (key is not ("+order_by" or "+order") && !filterable.Contains(key))
            {
                throw new FormatException($"Cannot filter on {key}");
            }
        }
    }

    private static bool Matches(JsonObject item, JsonObject filter)
    {
        return filter.All(entry => entry.Key switch
        {
            "+and" => entry.Value!.AsArray().All(part => Matches(item, part!.AsObject())),
            "+or" => entry.Value!.AsArray().Any(part => Matches(item, part!.AsObject())),
            "+order_by" or "+order" => true,
            _ when entry.Value is JsonObject wanted && wanted["+contains"] is { } part =>
                item[entry.Key]!.ToString().Contains(part.ToString(), StringComparison.OrdinalIgnoreCase),
            _ => string.Equals(item[entry.Key]?.ToString(), entry.Value?.ToString(), StringComparison.OrdinalIgnoreCase),
        });
    }
}
