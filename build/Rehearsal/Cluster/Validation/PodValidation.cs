using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>What must hold for a pod's spec, alone or in a template.</summary>
internal static class PodValidation
{
    private static readonly string[] Handlers = ["exec", "httpGet", "tcpSocket", "grpc"];
    private static readonly string[] PortHandlers = ["httpGet", "tcpSocket"];
    private static readonly string[] ProbeNumbers =
    [
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ];

    /// <param name="claims">Volumes that pods get besides those of the template: a StatefulSet's claims.</param>
    public static void Template(JsonObject template, string path, Problems problems, IEnumerable<string>? claims = null)
    {
        MetadataValidation.Labels(template.At("metadata"), path + "metadata.", problems);
        Spec(template.Child("spec"), path + "spec.", problems, claims);
    }

    public static void Spec(JsonObject spec, string path, Problems problems, IEnumerable<string>? claims = null)
    {
        var volumes = new HashSet<string>(StringComparer.Ordinal);
        var index = 0;
        foreach (var volume in spec.Objects("volumes"))
        {
            var at = $"{path}volumes[{index++}].";
            NameOf(volume, at, volumes, problems);
            if (volume.Count(pair => pair.Key != "name") > 1)
            {
                problems.Forbidden(at + volume.Last(pair => pair.Key != "name").Key, "may not specify more than 1 volume type");
            }
        }

        // A claim takes the place of a volume of the same name, so the two are no duplicates.
        volumes.UnionWith(claims ?? []);
        if (spec.List("containers").Count == 0)
        {
            problems.Required(path + "containers");
        }

        var names = new HashSet<string>(StringComparer.Ordinal);
        Containers(spec, "containers", path, names, volumes, problems);
        Containers(spec, "initContainers", path, names, volumes, problems);
        problems.OneOf(spec, "restartPolicy", path, required: true, "Always", "OnFailure", "Never");
        problems.OneOf(spec, "dnsPolicy", path, required: false, "ClusterFirstWithHostNet", "ClusterFirst", "Default", "None");
        problems.NotNegative(spec, "terminationGracePeriodSeconds", path);
        if (spec.Text("serviceAccountName") is { Length: > 0 } account && Names.Subdomain(account) is { } why)
        {
            problems.Invalid(path + "serviceAccountName", account, why);
        }
    }

    /// <summary>Of a stored pod only a few fields may change.</summary>
    public static void Update(JsonObject pod, JsonObject old, Problems problems)
    {
        var now = Fixed(pod.At("spec"));
        var before = Fixed(old.At("spec"));
        if (!JsonNode.DeepEquals(now, before))
        {
            problems.Forbidden(
                "spec",
                "pod updates may not change fields other than "
                + "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
                + "`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be "
                + "set to 1 if it was previously negative)");
        }
    }

    private static JsonObject Fixed(JsonObject? spec)
    {
        var copy = (JsonObject?)spec?.DeepClone() ?? [];
        copy.Remove("activeDeadlineSeconds");
        copy.Remove("tolerations");
        foreach (var container in copy.Objects("containers").Concat(copy.Objects("initContainers")))
        {
            container.Remove("image");
        }

        return copy;
    }

    private static void Containers(
        JsonObject spec,
        string list,
        string path,
        HashSet<string> names,
        HashSet<string> volumes,
        Problems problems)
    {
        var index = 0;
        foreach (var container in spec.Objects(list))
        {
            var at = $"{path}{list}[{index++}].";
            NameOf(container, at, names, problems);
            if (container.Text("image") is not { Length: > 0 } image)
            {
                problems.Required(at + "image");
            }
            else if (image.Trim() != image)
            {
                problems.Invalid(at + "image", image, "must not have leading or trailing whitespace");
            }

            problems.OneOf(container, "imagePullPolicy", at, required: false, "Always", "IfNotPresent", "Never");
            Ports(container, at, problems);
            Environment(container, at, problems);
            Mounts(container, at, volumes, problems);
            Resources(container, at, problems);
            foreach (var probe in new[] { "livenessProbe", "readinessProbe", "startupProbe" })
            {
                if (container[probe] is JsonObject value)
                {
                    Probe(value, $"{at}{probe}.", probe == "readinessProbe", problems);
                }
            }
        }
    }

    private static void NameOf(JsonObject owner, string at, HashSet<string> taken, Problems problems)
    {
        var name = owner.Text("name") ?? "";
        if (name.Length == 0)
        {
            problems.Required(at + "name");
        }
        else if (Names.Label(name) is { } why)
        {
            problems.Invalid(at + "name", name, why);
        }
        else if (!taken.Add(name))
        {
            problems.Duplicate(at + "name", name);
        }
    }

    private static void Ports(JsonObject container, string path, Problems problems)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        var index = 0;
        foreach (var port in container.Objects("ports"))
        {
            var at = $"{path}ports[{index++}].";
            if (port.Text("name") is { Length: > 0 } name)
            {
                if (name.Length > 15)
                {
                    problems.Invalid(at + "name", name, "must be no more than 15 characters");
                }
                else if (!names.Add(name))
                {
                    problems.Duplicate(at + "name", name);
                }
            }

            if (port.Number("containerPort") is not { } number || number == 0)
            {
                problems.Required(at + "containerPort");
            }
            else if (number is < 1 or > 65535)
            {
                problems.Invalid(at + "containerPort", number, "must be between 1 and 65535, inclusive");
            }

            problems.OneOf(port, "protocol", at, required: true, "SCTP", "TCP", "UDP");
        }
    }

    private static void Environment(JsonObject container, string path, Problems problems)
    {
        var index = 0;
        foreach (var variable in container.Objects("env"))
        {
            var at = $"{path}env[{index++}].";
            if (variable.Text("name") is not { Length: > 0 })
            {
                problems.Required(at + "name");
            }

            if (variable["valueFrom"] is not JsonObject source)
            {
                continue;
            }

            if (variable.Text("value") is { Length: > 0 })
            {
                problems.Invalid(at + "valueFrom", "", "may not be specified when `value` is not empty");
            }

            if (source.Count != 1)
            {
                problems.Invalid(
                    at + "valueFrom",
                    "",
                    source.Count == 0
                        ? "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
                        : "may not have more than one field specified at a time");
            }

            foreach (var reference in new[] { "configMapKeyRef", "secretKeyRef" })
            {
                if (source[reference] is JsonObject key && key.Text("key") is not { Length: > 0 })
                {
                    problems.Required($"{at}valueFrom.{reference}.key");
                }
            }
        }
    }

    private static void Mounts(JsonObject container, string path, HashSet<string> volumes, Problems problems)
    {
        var paths = new HashSet<string>(StringComparer.Ordinal);
        var index = 0;
        foreach (var mount in container.Objects("volumeMounts"))
        {
            var at = $"{path}volumeMounts[{index++}].";
            var name = mount.Text("name") ?? "";
            if (name.Length == 0)
            {
                problems.Required(at + "name");
            }
            else if (!volumes.Contains(name))
            {
                problems.NotFound(at + "name", name);
            }

            var where = mount.Text("mountPath") ?? "";
            if (where.Length == 0)
            {
                problems.Required(at + "mountPath");
            }
            else if (!paths.Add(where))
            {
                problems.Invalid(at + "mountPath", where, "must be unique");
            }
        }
    }

    private static void Resources(JsonObject container, string path, Problems problems)
    {
        var limits = container.At("resources", "limits");
        foreach (var (name, request) in container.At("resources", "requests")?.ToList() ?? [])
        {
            if (limits?[name] is { } limit
                && request is not null
                && Quantity.Parse(request.GetValue<string>()) is { } wanted
                && Quantity.Parse(limit.GetValue<string>()) is { } most
                && wanted > most)
            {
                problems.Invalid(
                    $"{path}resources.requests",
                    request,
                    $"must be less than or equal to {name} limit of {limit.GetValue<string>()}");
            }
        }
    }

    private static void Probe(JsonObject probe, string at, bool readiness, Problems problems)
    {
        var handlers = Handlers.Where(name => probe[name] is not null).ToList();
        if (handlers.Count == 0)
        {
            problems.Required(at.TrimEnd('.'), "must specify a handler type");
        }
        else if (handlers.Count > 1)
        {
            problems.Forbidden(at + handlers[1], "may not specify more than 1 handler type");
        }

        foreach (var name in ProbeNumbers)
        {
            problems.NotNegative(probe, name, at);
        }

        if (!readiness && probe.Number("successThreshold") is { } threshold && threshold != 1)
        {
            problems.Invalid(at + "successThreshold", threshold, "must be 1");
        }

        foreach (var handler in PortHandlers)
        {
            if (probe[handler] is JsonObject action && action["port"] is var port
                && (port is null || (port.GetValueKind() == JsonValueKind.Number && action.Number("port") is < 1 or > 65535)))
            {
                problems.Invalid($"{at}{handler}.port", port, "must be between 1 and 65535, inclusive");
            }
        }
    }
}
