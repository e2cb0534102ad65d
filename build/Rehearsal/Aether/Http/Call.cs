using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Rehearsal.Aether.Http;

/// <summary>One request on its way through a service.</summary>
internal sealed class Call(HttpContext context, IReadOnlyDictionary<string, string> path)
{
    public CancellationToken Aborted => context.RequestAborted;

    /// <summary>The body, once the route has read and checked it; empty for routes without one.</summary>
    public JsonObject Body { get; private set; } = [];

    public string? Header(string name) => context.Request.Headers.TryGetValue(name, out var value) ? value.ToString() : null;

    public string Path(string name) => path[name];

    public string? Query(string name) => context.Request.Query.TryGetValue(name, out var value) ? value.ToString() : null;

    /// <summary>A string of the body, or null when it is absent or not a string.</summary>
    public string? Text(string name) => Body[name] is JsonValue value && value.TryGetValue<string>(out var text) ? text : null;

    public async Task ReadBodyAsync(BodySchema schema)
    {
        JsonNode? node = null;
        try
        {
            if (context.Request.ContentLength is not 0)
            {
                node = await JsonNode.ParseAsync(context.Request.Body, cancellationToken: Aborted);
            }
        }
        catch (JsonException)
        {
            throw new Refusal(422, new JsonArray(new JsonObject
            {
                ["type"] = "json_invalid",
                ["loc"] = new JsonArray("body"),
                ["msg"] = "JSON decode error",
            }));
        }

        Body = node as JsonObject ?? [];
        schema.Check(Body);
    }
}
