using System.Text;
using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Controllers;

/// <summary>A container cannot be configured yet, because of something that may still come.</summary>
internal sealed class ConfigurationMissingException(string message) : Exception(message);

/// <summary>The environment of a container, resolved from Secrets, ConfigMaps and the pod.</summary>
internal static class ContainerEnvironment
{
    /// <exception cref="ConfigurationMissingException">A Secret, ConfigMap or key that is not optional is not there.</exception>
    public static Dictionary<string, string> Resolve(ObjectStore store, JsonObject pod, JsonObject container, string podIp, string node)
    {
        var environment = new Dictionary<string, string>(StringComparer.Ordinal)
        {
            ["HOSTNAME"] = pod.Text("spec", "hostname") ?? pod.Name(),
        };
        foreach (var source in container.Items("envFrom"))
        {
            var reference = source.At("secretRef") ?? source.At("configMapRef");
            var kind = source.At("secretRef") is not null ? "secrets" : "configmaps";
            if (Find(store, pod, kind, reference) is not { } bag)
            {
                continue;
            }

            foreach (var (name, value) in ConfigurationData.Texts(bag))
            {
                environment[source.Text("prefix") + name] = value;
            }
        }

        foreach (var variable in container.Items("env"))
        {
            var name = variable.Text("name") ?? "";
            if (variable.At("valueFrom") is { } from)
            {
                if (From(store, pod, container, from, podIp, node) is { } value)
                {
                    environment[name] = value;
                }
            }
            else
            {
                environment[name] = Expand(variable.Text("value") ?? "", environment);
            }
        }

        return environment;
    }

    /// <summary>Replaces <c>$(NAME)</c> by the variable where there is one; <c>$$</c> is a dollar sign.</summary>
    public static string Expand(string text, IReadOnlyDictionary<string, string> environment)
    {
        if (!text.Contains('$', StringComparison.Ordinal))
        {
            return text;
        }

        var result = new StringBuilder();
        for (var i = 0; i < text.Length; i++)
        {
            if (text[i] != '$' || i + 1 == text.Length)
            {
                result.Append(text[i]);
            }
            else if (text[i + 1] == '$')
            {
                result.Append('$');
                i++;
            }
            else if (text[i + 1] == '(' && text.IndexOf(')', i) is > 0 and var end)
            {
                result.Append(environment.TryGetValue(text[(i + 2)..end], out var value) ? value : text[i..(end + 1)]);
                i = end;
            }
            else
            {
                result.Append('$');
            }
        }

        return result.ToString();
    }

    private static string? From(ObjectStore store, JsonObject pod, JsonObject container, JsonNode from, string podIp, string node)
    {
        if (from.At("secretKeyRef") is { } secret)
        {
            return Key(store, pod, "secrets", "Secret", secret);
        }

        if (from.At("configMapKeyRef") is { } map)
        {
            return Key(store, pod, "configmaps", "ConfigMap", map);
        }

        if (from.Text("fieldRef", "fieldPath") is { } path)
        {
            return FieldReference.Resolve(pod, podIp, node, path)
                ?? throw new ConfigurationMissingException($"unsupported fieldPath: {path}");
        }

        if (from.At("resourceFieldRef") is { } resource)
        {
            return FieldReference.Resource(pod, resource.Text("containerName") ?? container.Text("name"), resource)
                ?? throw new ConfigurationMissingException($"unsupported resource: {resource.Text("resource")}");
        }

        var kinds = string.Join(", ", (from as JsonObject ?? []).Select(pair => pair.Key));
        throw new ConfigurationMissingException($"the rehearsal does not implement valueFrom {kinds}");
    }

    private static string? Key(ObjectStore store, JsonObject pod, string resource, string kind, JsonNode reference)
    {
        var key = reference.Text("key") ?? "";
        if (Find(store, pod, resource, reference) is not { } bag)
        {
            return null;
        }

        return ConfigurationData.Text(bag, key)
            ?? (reference.Flag("optional") == true ? null
                : throw new ConfigurationMissingException($"couldn't find key {key} in {kind} {pod.Namespace()}/{reference.Text("name")}"));
    }

    private static JsonObject? Find(ObjectStore store, JsonObject pod, string resource, JsonNode? reference)
    {
        var name = reference.Text("name") ?? "";
        var found = store.Get(new ObjectKey("", resource, pod.Namespace(), name));
        return found is not null || reference.Flag("optional") == true
            ? found
            : throw new ConfigurationMissingException($"{resource[..^1]} \"{name}\" not found");
    }
}
