using System.Text.Json.Nodes;

namespace Rehearsal.Controllers;

/// <summary>The downward API: what a container may learn of its own pod.</summary>
internal static class FieldReference
{
    /// <summary>The value of a <c>fieldPath</c>; null when the downward API has no such field.</summary>
    public static string? Resolve(JsonObject pod, string podIp, string node, string path)
    {
        if (path.EndsWith("']", StringComparison.Ordinal) && path.IndexOf("['", StringComparison.Ordinal) is > 0 and var bracket)
        {
            var member = path[(bracket + 2)..^2];
            return path[..bracket] switch
            {
                "metadata.labels" => pod.Label(member) ?? "",
                "metadata.annotations" => pod.Annotation(member) ?? "",
                _ => null,
            };
        }

        return path switch
        {
            "metadata.name" => pod.Name(),
            "metadata.namespace" => pod.Namespace(),
            "metadata.uid" => pod.Uid(),
            "metadata.labels" => Lines(pod.At("metadata", "labels")),
            "metadata.annotations" => Lines(pod.At("metadata", "annotations")),
            "spec.nodeName" => node,
            "spec.serviceAccountName" => pod.Text("spec", "serviceAccountName") ?? "default",
            "status.podIP" or "status.podIPs" => podIp,
            "status.hostIP" or "status.hostIPs" => "127.0.0.1",
            _ => null,
        };
    }

    /// <summary>A resource of a container in units of the divisor, rounded up; what is not limited is the machine's.</summary>
    public static string? Resource(JsonObject pod, string? container, JsonNode? reference)
    {
        var parts = (reference.Text("resource") ?? "").Split('.', 2);
        var owner = pod.Items("spec", "containers").Concat(pod.Items("spec", "initContainers"))
            .FirstOrDefault(candidate => candidate.Text("name") == container);
        if (parts.Length != 2 || owner is null)
        {
            return null;
        }

        var amount = Amount(owner.At("resources", parts[0], parts[1])) ?? parts[1] switch
        {
            "cpu" => Environment.ProcessorCount,
            "memory" => GC.GetGCMemoryInfo().TotalAvailableMemoryBytes,
            _ => 0,
        };
        var divisor = Amount(reference.At("divisor")) is { } given and > 0 ? given : 1;
        return Math.Ceiling(amount / divisor).ToString("0", System.Globalization.CultureInfo.InvariantCulture);
    }

    private static string Lines(JsonNode? map) =>
        string.Join('\n', (map as JsonObject ?? []).Select(pair => $"{pair.Key}=\"{pair.Value.Text()}\""));

    private static decimal? Amount(JsonNode? quantity)
    {
        var text = quantity.Text() ?? quantity?.ToJsonString();
        if (string.IsNullOrEmpty(text))
        {
            return null;
        }

        var number = text.TrimEnd("mkKMGTPi".ToCharArray());
        decimal? factor = text[number.Length..] switch
        {
            "" => 1,
            "m" => 0.001m,
            "k" => 1000,
            "M" => 1000_000,
            "G" => 1000_000_000,
            "T" => 1000_000_000_000,
            "Ki" => 1L << 10,
            "Mi" => 1L << 20,
            "Gi" => 1L << 30,
            "Ti" => 1L << 40,
            _ => null,
        };
        return decimal.TryParse(number, System.Globalization.CultureInfo.InvariantCulture, out var value) ? value * factor : null;
    }
}
