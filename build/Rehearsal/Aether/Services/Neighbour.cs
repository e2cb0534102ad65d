using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Rehearsal.Aether.Http;

namespace Rehearsal.Aether.Services;

/// <summary>Calls to a neighbour on behalf of a caller.</summary>
internal static class Neighbour
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);

    /// <summary>A pod of the workload in our namespace; where there is none, what the variable says, else the Service's name.</summary>
    public static Uri Find(Pod pod, string workload, string variable) =>
        pod.World.Address(pod.Start.Namespace, workload) ?? new Uri(pod.Env(variable) ?? $"http://{workload}");

    /// <returns>Status and body; no status when the neighbour did not answer in time.</returns>
    public static async Task<(int? Status, JsonNode? Body)> PostAsync(Pod pod, Uri address, JsonObject body, Call caller)
    {
        using var patience = new CancellationTokenSource(Patience, pod.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(caller.Aborted, patience.Token);
        using var request = new HttpRequestMessage(HttpMethod.Post, address) { Content = JsonContent.Create(body) };
        if (caller.Header("Authorization") is { } authorization)
        {
            request.Headers.TryAddWithoutValidation("Authorization", authorization);
        }

        if (caller.Header("x-request-id") is { } id)
        {
            request.Headers.TryAddWithoutValidation("x-request-id", id);
        }

        try
        {
            using var answer = await pod.World.Http.SendAsync(request, either.Token);
            var text = await answer.Content.ReadAsStringAsync(either.Token);
            var json = answer.Content.Headers.ContentType?.MediaType == "application/json";
            return ((int)answer.StatusCode, json ? JsonNode.Parse(text) : JsonValue.Create(text));
        }
        catch (Exception failure) when (failure is HttpRequestException or OperationCanceledException)
        {
            pod.Log($"WARNING:  {address} did not answer: {failure.Message}");
            return (null, null);
        }
    }
}
