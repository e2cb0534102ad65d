using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>Services and Ingresses.</summary>
internal static class NetworkValidation
{
    public static void Service(JsonObject service, JsonObject? old, Problems problems)
    {
        var spec = service.Child("spec");
        var type = spec.Text("type");
        if (type == "ExternalName")
        {
            if (spec.Text("externalName") is not { Length: > 0 })
            {
                problems.Required("spec.externalName");
            }
        }
        else if (spec.List("ports").Count == 0 && spec.Text("clusterIP") != "None")
        {
            problems.Required("spec.ports");
        }

        if (old.At("spec") is { } before && type != "ExternalName" && before.Text("clusterIP") is { Length: > 0 } address)
        {
            if (spec.Text("clusterIP") is not { Length: > 0 } now)
            {
                problems.InvalidAs("spec.clusterIPs[0]", "[]string(nil)", "primary clusterIP can not be unset");
            }
            else if (now != address && before.Text("type") != "ExternalName")
            {
                problems.InvalidAs("spec.clusterIPs[0]", $"[]string{{\"{now}\"}}", "may not change once set");
            }
        }

        Ports(spec, problems);
        problems.OneOf(spec, "sessionAffinity", "spec.", required: true, "ClientIP", "None");
        problems.OneOf(spec, "type", "spec.", required: true, "ClusterIP", "ExternalName", "LoadBalancer", "NodePort");
    }

    public static void Ingress(JsonObject spec, Problems problems)
    {
        if (spec.List("rules").Count == 0 && spec["defaultBackend"] is null)
        {
            problems.InvalidAs("spec", "[]networking.IngressRule(nil)", "either `defaultBackend` or `rules` must be specified");
        }

        if (spec["defaultBackend"] is JsonObject backend)
        {
            Backend(backend, "spec.defaultBackend.", problems);
        }

        var index = 0;
        foreach (var rule in spec.Objects("rules"))
        {
            var at = $"spec.rules[{index++}].";
            if (rule.Text("host") is { Length: > 0 } host
                && Names.Subdomain(host.StartsWith("*.", StringComparison.Ordinal) ? host[2..] : host) is { } why)
            {
                problems.Invalid(at + "host", host, why);
            }

            var number = 0;
            foreach (var path in rule.At("http").Objects("paths"))
            {
                Path(path, $"{at}http.paths[{number++}].", problems);
            }
        }
    }

    private static void Path(JsonObject path, string at, Problems problems)
    {
        var kind = path.Text("pathType");
        if (kind is null)
        {
            problems.Required(at + "pathType", "pathType must be specified");
        }
        else if (kind is not ("Exact" or "Prefix" or "ImplementationSpecific"))
        {
            problems.Unsupported(at + "pathType", kind, "Exact", "ImplementationSpecific", "Prefix");
        }
        else if (kind != "ImplementationSpecific" && path.Text("path") is var text && text?.StartsWith('/') != true)
        {
            problems.Invalid(at + "path", text ?? "", "must be an absolute path");
        }

        if (path["backend"] is JsonObject backend)
        {
            Backend(backend, at + "backend.", problems);
        }
    }

    private static void Backend(JsonObject backend, string at, Problems problems)
    {
        if (backend["service"] is not JsonObject service)
        {
            if (backend["resource"] is null)
            {
                problems.Required(at.TrimEnd('.'), "resource or service backend is required");
            }

            return;
        }

        if (service.Text("name") is not { Length: > 0 })
        {
            problems.Required(at + "service.name");
        }

        var port = service.At("port");
        if (port.Text("name") is not { Length: > 0 } && (port.Number("number") ?? 0) == 0)
        {
            problems.Required(at.TrimEnd('.'), "port name or number is required");
        }
        else if (port.Number("number") is { } number && number is < 0 or > 65535)
        {
            problems.Invalid(at + "service.port.number", number, "must be between 1 and 65535, inclusive");
        }
    }

    private static void Ports(JsonObject spec, Problems problems)
    {
        var several = spec.List("ports").Count > 1;
        var names = new HashSet<string>(StringComparer.Ordinal);
        var numbers = new HashSet<(long, string?)>();
        var index = 0;
        foreach (var port in spec.Objects("ports"))
        {
            var at = $"spec.ports[{index++}].";
            if (port.Text("name") is not { Length: > 0 } name)
            {
                if (several)
                {
                    problems.Required(at + "name");
                }
            }
            else if (Names.Label(name) is { } why)
            {
                problems.Invalid(at + "name", name, why);
            }
            else if (!names.Add(name))
            {
                problems.Duplicate(at + "name", name);
            }

            var number = port.Number("port") ?? 0;
            if (number is < 1 or > 65535)
            {
                problems.Invalid(at + "port", number, "must be between 1 and 65535, inclusive");
            }
            else if (!numbers.Add((number, port.Text("protocol"))))
            {
                problems.Duplicate(at.TrimEnd('.'), new JsonObject { ["port"] = number, ["protocol"] = port.Text("protocol") });
            }

            problems.OneOf(port, "protocol", at, required: true, "SCTP", "TCP", "UDP");
            if (port["targetPort"] is { } target
                && target.GetValueKind() == JsonValueKind.Number
                && port.Number("targetPort") is < 1 or > 65535)
            {
                problems.Invalid(at + "targetPort", port["targetPort"], "must be between 1 and 65535, inclusive");
            }

            if (port.Number("nodePort") is { } nodePort and not 0 && nodePort is < 30000 or > 32767)
            {
                problems.Invalid(
                    at + "nodePort",
                    nodePort,
                    "provided port is not in the valid range. The range of valid ports is 30000-32767");
            }
        }
    }
}
