using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>Refuses objects that the real server would refuse, with its messages. Works on defaulted objects.</summary>
internal static class ObjectValidation
{
    private const int DataLimit = 1024 * 1024;

    /// <exception cref="ApiException">422 with all problems found.</exception>
    public static void Check(ResourceType type, JsonObject value, JsonObject? old)
    {
        var problems = new Problems();
        MetadataValidation.Check(type, value, problems);
        if (old is not null)
        {
            MetadataValidation.Update(value, old, problems);
        }

        switch (type.Kind)
        {
            case "ConfigMap":
                Data(value, old, problems, "data", "binaryData");
                break;
            case "Secret":
                Data(value, old, problems, "data");
                TypedData(value, problems);
                if (old is not null && old.Text("type") != value.Text("type"))
                {
                    problems.Invalid("type", value["type"], "field is immutable");
                }

                break;
            case "Pod":
                PodValidation.Spec(value.Child("spec"), "spec.", problems);
                if (old is not null)
                {
                    PodValidation.Update(value, old, problems);
                }

                break;
            case "Service":
                NetworkValidation.Service(value, old, problems);
                break;
            case "Ingress":
                NetworkValidation.Ingress(value.Child("spec"), problems);
                break;
            case "PersistentVolumeClaim":
                Claim(value.Child("spec"), problems);
                break;
            case "Event":
                var (home, about) = (value.At("metadata").Text("namespace"), value.At("involvedObject").Text("namespace"));
                if (about is { Length: > 0 } && about != home)
                {
                    problems.Invalid("involvedObject.namespace", about, "does not match event.namespace");
                }

                break;
            case "Lease":
                Lease(value.Child("spec"), problems);
                break;
            case "Role" or "ClusterRole":
                Rules(value, problems);
                break;
            case "RoleBinding" or "ClusterRoleBinding":
                Binding(value, old, problems);
                break;
            default:
                WorkloadValidation.Check(type, value, old, problems);
                break;
        }

        if (problems.Causes.Count > 0)
        {
            throw ApiException.Invalid(type.Group, type.Kind, value.At("metadata").Text("name") ?? "", problems.Causes);
        }
    }

    private static void Data(JsonObject value, JsonObject? old, Problems problems, params string[] members)
    {
        var size = 0L;
        foreach (var member in members)
        {
            foreach (var (key, content) in value.At(member)?.ToList() ?? [])
            {
                if (Names.DataKey(key) is { } why)
                {
                    problems.Invalid($"{member}[{key}]", key, why);
                }
                else if (member == "data" && members.Length > 1 && value.At("binaryData")?.ContainsKey(key) == true)
                {
                    problems.Invalid($"{member}[{key}]", key, "duplicate of key present in binaryData");
                }

                var text = content?.GetValue<string>() ?? "";
                var binary = member == "binaryData" || value.ContainsKey("type");
                if (!binary)
                {
                    size += Encoding.UTF8.GetByteCount(text);
                }
                else if (Convert.TryFromBase64String(text, new byte[(text.Length / 4 * 3) + 3], out var bytes))
                {
                    size += bytes;
                }
                else
                {
                    throw ApiException.BadRequest($"illegal base64 data at input byte {text.Length} in {member}[{key}]");
                }
            }
        }

        if (size > DataLimit)
        {
            problems.TooLong(members.Length > 1 ? "[]" : "data", DataLimit);
        }

        if (!old.Flag("immutable"))
        {
            return;
        }

        if (!value.Flag("immutable"))
        {
            problems.Forbidden("immutable", "field is immutable when `immutable` is set");
        }

        foreach (var member in members.Where(member => !JsonNode.DeepEquals(value[member], old![member])))
        {
            problems.Forbidden(member, "field is immutable when `immutable` is set");
        }
    }

    /// <summary>Secrets of well-known types hold the keys by which others read them.</summary>
    private static void TypedData(JsonObject secret, Problems problems)
    {
        string[] keys = secret.Text("type") switch
        {
            "kubernetes.io/tls" => ["tls.crt", "tls.key"],
            "kubernetes.io/dockerconfigjson" => [".dockerconfigjson"],
            "kubernetes.io/dockercfg" => [".dockercfg"],
            "kubernetes.io/ssh-auth" => ["ssh-privatekey"],
            _ => [],
        };
        foreach (var key in keys)
        {
            if (secret.At("data")?[key] is not { } content)
            {
                problems.Required($"data[{key}]");
            }
            else if (key[0] == '.' && WhyNoJson(content.GetValue<string>()) is { } why)
            {
                problems.Invalid($"data[{key}]", "<secret contents redacted>", why);
            }
        }
    }

    private static string? WhyNoJson(string base64)
    {
        var content = Convert.FromBase64String(base64);
        try
        {
            using var _ = JsonDocument.Parse(content);
            return null;
        }
        catch (JsonException)
        {
            return content.Length == 0
                ? "unexpected end of JSON input"
                : $"invalid character '{(char)content[0]}' looking for beginning of value";
        }
    }

    private static void Claim(JsonObject spec, Problems problems)
    {
        if (spec.List("accessModes").Count == 0)
        {
            problems.Required("spec.accessModes", "at least 1 access mode is required");
        }

        if (spec.At("resources", "requests")?["storage"] is null)
        {
            problems.Required("spec.resources[storage]");
        }
    }

    private static void Lease(JsonObject spec, Problems problems)
    {
        if (spec.Number("leaseDurationSeconds") is <= 0 and var duration)
        {
            problems.Invalid("spec.leaseDurationSeconds", duration, "must be greater than 0");
        }

        problems.NotNegative(spec, "leaseTransitions", "spec.");
        if (spec["holderIdentity"] is JsonValue holder
            && holder.GetValueKind() == JsonValueKind.String
            && holder.GetValue<string>().Length == 0)
        {
            problems.Invalid("spec.holderIdentity", "", "must not be empty");
        }
    }

    private static void Rules(JsonObject role, Problems problems)
    {
        var index = 0;
        foreach (var rule in role.Objects("rules"))
        {
            var at = $"rules[{index++}].";
            if (rule.List("verbs").Count == 0)
            {
                problems.Required(at + "verbs", "verbs must contain at least one value");
            }

            if (rule.List("nonResourceURLs") is { Count: > 0 } paths)
            {
                if (role.Text("kind") == "Role")
                {
                    problems.InvalidAs(
                        at + "nonResourceURLs",
                        $"[]string{{{string.Join(", ", paths.Select(path => $"\"{path}\""))}}}",
                        "namespaced rules cannot apply to non-resource URLs");
                }

                continue;
            }

            if (rule.List("apiGroups").Count == 0)
            {
                problems.Required(at + "apiGroups", "resource rules must supply at least one api group");
            }

            if (rule.List("resources").Count == 0)
            {
                problems.Required(at + "resources", "resource rules must supply at least one resource");
            }
        }
    }

    private static void Binding(JsonObject binding, JsonObject? old, Problems problems)
    {
        var role = binding.Child("roleRef");
        problems.OneOf(
            role,
            "kind",
            "roleRef.",
            required: true,
            binding.Text("kind") == "ClusterRoleBinding" ? ["ClusterRole"] : ["Role", "ClusterRole"]);
        if (role.Text("name") is not { Length: > 0 })
        {
            problems.Required("roleRef.name");
        }

        if (old is not null && !JsonNode.DeepEquals(old["roleRef"], binding["roleRef"]))
        {
            problems.InvalidAs(
                "roleRef",
                $"rbac.RoleRef{{APIGroup:\"{role.Text("apiGroup")}\", Kind:\"{role.Text("kind")}\", Name:\"{role.Text("name")}\"}}",
                "cannot change roleRef");
        }

        var index = 0;
        foreach (var subject in binding.Objects("subjects"))
        {
            var at = $"subjects[{index++}].";
            problems.OneOf(subject, "kind", at, required: true, "ServiceAccount", "User", "Group");
            if (subject.Text("name") is not { Length: > 0 })
            {
                problems.Required(at + "name");
            }
        }
    }
}
