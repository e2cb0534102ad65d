using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Rehearsal.World;

/// <summary>What the doubles' handlers say over and over: the path in parts, a body as JSON, an answer as JSON.</summary>
internal static class HttpConversation
{
    public static string[] Segments(this HttpRequest request)
    {
        return request.Path.Value!.Split('/', StringSplitOptions.RemoveEmptyEntries);
    }

    public static Task AnswerAsync(this HttpContext context, int status, JsonNode body, string contentType = "application/json")
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = contentType;
        return context.Response.WriteAsync(body.ToJsonString(), context.RequestAborted);
    }

    public static Task AnswerTextAsync(this HttpContext context, int status, string body, string contentType = "text/plain; charset=utf-8")
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = contentType;
        return context.Response.WriteAsync(body, context.RequestAborted);
    }

    /// <summary>The body as a JSON object, or null when it is empty or no object.</summary>
    public static async Task<JsonObject?> ReadObjectAsync(this HttpRequest request, CancellationToken cancellationToken)
    {
        try
        {
            return await JsonNode.ParseAsync(request.Body, cancellationToken: cancellationToken) as JsonObject;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    public static bool HasToken(this HttpRequest request, string token)
    {
        string? header = request.Headers.Authorization;
        foreach (var scheme in (string[])["Bearer ", "token "])
        {
            if (header is not null && header.StartsWith(scheme, StringComparison.OrdinalIgnoreCase))
            {
                return CryptographicOperations.FixedTimeEquals(
                    Encoding.UTF8.GetBytes(header[scheme.Length..].Trim()), Encoding.UTF8.GetBytes(token));
            }
        }

        return false;
    }
}
