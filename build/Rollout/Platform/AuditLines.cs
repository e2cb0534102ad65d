using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rollout.Platform;

/// <summary>An entry of trail A as its writer puts it on standard output, before anything that may fail (platform contract, section 10).</summary>
public sealed record AuditLine(string Pod, DateTimeOffset At, string Action, string Entity, string Actor, string Reason);

/// <summary>The audit lines in the logs of a service's pods.</summary>
/// <param name="cluster">Speaks to the API server.</param>
public sealed class AuditLines(HttpClient cluster, string @namespace)
{
    /// <summary>No audit entry is longer; what is, is not read to its end.</summary>
    private const int LongestLine = 1_000_000;

    /// <summary>Tells every audit line of the service's pods, as they arrive, of the containers that ran before a restart too.</summary>
    /// <param name="service">What the pods' label <c>app</c> says.</param>
    /// <returns>Why a pod's log could not be read, one sentence each; empty where all were.</returns>
    public async Task<IReadOnlyList<string>> ReadAsync(string service, DateTimeOffset since, Action<AuditLine> tell, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(tell);
        var problems = new List<string>();
        try
        {
            using var answer = await cluster.GetAsync(new Uri($"/api/v1/namespaces/{@namespace}/pods?labelSelector=app%3D{Uri.EscapeDataString(service)}", UriKind.Relative), cancellationToken);
            var pods = JsonNode.Parse(await answer.EnsureSuccessStatusCode().Content.ReadAsStringAsync(cancellationToken))?["items"] as JsonArray ?? [];
            if (pods.Count == 0)
            {
                problems.Add($"'{service}' in {@namespace} has no pod, so there is no log of it");
            }

            foreach (var pod in pods.OfType<JsonObject>())
            {
                var restarted = (pod["status"]?["containerStatuses"] as JsonArray ?? []).Any(c => c?["restartCount"]?.GetValue<int>() > 0);
                foreach (var previous in restarted ? [true, false] : new[] { false })
                {
                    await ReadPodAsync(pod["metadata"]!["name"]!.GetValue<string>(), previous, since, tell, problems, cancellationToken);
                }
            }
        }
        catch (Exception exception) when (exception is HttpRequestException or JsonException or IOException || (exception is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            problems.Add($"the logs of '{service}' in {@namespace} cannot be read: {exception.Message}");
        }

        return problems;
    }

    private async Task ReadPodAsync(string pod, bool previous, DateTimeOffset since, Action<AuditLine> tell, List<string> problems, CancellationToken cancellationToken)
    {
        var from = Uri.EscapeDataString(since.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture));
        var path = $"/api/v1/namespaces/{@namespace}/pods/{pod}/log?sinceTime={from}{(previous ? "&previous=true" : string.Empty)}";
        using var answer = await cluster.GetAsync(new Uri(path, UriKind.Relative), HttpCompletionOption.ResponseHeadersRead, cancellationToken);
        if (!answer.IsSuccessStatusCode)
        {
            // The log of a container that is gone for good is no finding.
            if (!previous)
            {
                problems.Add($"the log of {@namespace}/{pod} cannot be read: HTTP {(int)answer.StatusCode}");
            }

            return;
        }

        using var reader = new StreamReader(await answer.Content.ReadAsStreamAsync(cancellationToken));
        while (await reader.ReadLineAsync(cancellationToken) is { } line)
        {
            if (line.Length < LongestLine && line.StartsWith('{') && Parse(pod, line) is { } entry && entry.At >= since)
            {
                tell(entry);
            }
        }
    }

    private static AuditLine? Parse(string pod, string line)
    {
        try
        {
            return JsonNode.Parse(line) is JsonObject entry && Text(entry["action"]) is { } action
                && DateTimeOffset.TryParse(Text(entry["ts"]), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var at)
                ? new AuditLine(pod, at, action, Text(entry["entity"]) ?? string.Empty, Text(entry["actor"]) ?? string.Empty, Reason(entry["after"]) ?? Reason(entry["before"]) ?? string.Empty)
                : null;
        }
        catch (Exception exception) when (exception is JsonException or ArgumentException)
        {
            // Any program may print a brace.
            return null;
        }
    }

    private static string? Reason(JsonNode? state) => state is JsonObject members ? Text(members["reason"]) : null;

    private static string? Text(JsonNode? node) => node?.GetValueKind() == JsonValueKind.String ? node.GetValue<string>() : null;
}
