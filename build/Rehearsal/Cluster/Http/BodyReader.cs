using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Rehearsal.Cluster;

/// <summary>Reads request bodies: JSON or protobuf, never more than the real server takes.</summary>
internal static class BodyReader
{
    private const int Limit = 3 * 1024 * 1024;
    private const string Protobuf = "application/vnd.kubernetes.protobuf";

    private static readonly JsonDocumentOptions NoDuplicates = new() { AllowDuplicateProperties = false };

    /// <summary>The body as it came.</summary>
    /// <exception cref="ApiException">413 when it is over 3 MiB.</exception>
    public static async Task<byte[]> BytesAsync(HttpContext context)
    {
        if (context.Request.ContentLength > Limit)
        {
            throw TooLarge();
        }

        using var buffer = new MemoryStream();
        var chunk = new byte[16 * 1024];
        int read;
        while ((read = await context.Request.Body.ReadAsync(chunk, context.RequestAborted)) > 0)
        {
            if (buffer.Length + read > Limit)
            {
                throw TooLarge();
            }

            buffer.Write(chunk, 0, read);
        }

        return buffer.ToArray();
    }

    /// <summary>An object of the wanted kind; kind and apiVersion may be left out, but not be others.</summary>
    /// <exception cref="ApiException">400, 413 or 415.</exception>
    public static async Task<JsonObject> ObjectAsync(
        HttpContext context,
        ResourceType type,
        string? wantedKind = null,
        string? wantedVersion = null)
    {
        var kind = wantedKind ?? type.Kind;
        var apiVersion = wantedVersion ?? type.ApiVersion;
        var bytes = await BytesAsync(context);
        var value = Decode(context, bytes, kind);
        var version = apiVersion[(apiVersion.IndexOf('/', StringComparison.Ordinal) + 1)..];
        var sentKind = value.Text("kind") is { Length: > 0 } given ? given : kind;
        var sentVersion = value.Text("apiVersion") is { Length: > 0 } stated ? stated : apiVersion;
        // The eviction subresource still takes the version that came before.
        if (sentVersion != apiVersion && (sentKind, sentVersion) != ("Eviction", "policy/v1beta1") && !(sentKind == kind && ResourceCatalog.FindKind(sentVersion, sentKind) is not null))
        {
            if (sentKind == kind || ResourceCatalog.FindKind(sentVersion, sentKind) is null)
            {
                var last = sentVersion[(sentVersion.IndexOf('/', StringComparison.Ordinal) + 1)..];
                throw ApiException.BadRequest(
                    $"{sentKind} in version \"{last}\" cannot be handled as a {kind}: no kind \"{sentKind}\" is registered for version "
                    + $"\"{sentVersion}\" in scheme \"pkg/api/legacyscheme/scheme.go:30\"");
            }
        }

        if (sentKind != kind)
        {
            throw ApiException.BadRequest(
                $"{sentKind} in version \"{version}\" cannot be handled as a {kind}: {NoConversion(sentKind, kind, apiVersion)}");
        }

        value["kind"] = kind;
        value["apiVersion"] = apiVersion;
        return value;
    }

    /// <summary>Why one kind is not taken for another; the real server names the Go package of the group's own types.</summary>
    public static string NoConversion(string sent, string kind, string apiVersion)
    {
        var parts = apiVersion.Split('/');
        var package = parts.Length > 1 ? parts[0].Split('.')[0] : "core";
        return $"converting ({parts[^1]}.{sent}) to ({package}.{kind}): unknown conversion";
    }

    /// <summary>Optional DeleteOptions; an empty object when there is no body.</summary>
    public static async Task<JsonObject> DeleteOptionsAsync(HttpContext context)
    {
        var bytes = await BytesAsync(context);
        return bytes.Length == 0 ? [] : Decode(context, bytes, "DeleteOptions");
    }

    /// <summary>
    /// Checks an object against its type and makes it canonical. Unknown members are refused (Strict), warned of (Warn, the default)
    /// or dropped (Ignore), as the <c>fieldValidation</c> parameter says.
    /// </summary>
    public static void Validate(ApiRequest request, JsonObject value)
    {
        var unknown = new List<string>();
        try
        {
            ObjectShape.Normalize(request.Type, value, unknown);
        }
        catch (ShapeException wrong)
        {
            throw ApiException.BadRequest(CannotHandle(request.Type, wrong.Message));
        }

        Report(request, unknown);
    }

    /// <summary>Acts on members the type does not have, as <c>fieldValidation</c> demands.</summary>
    public static void Report(ApiRequest request, IReadOnlyList<string> unknown)
    {
        if (unknown.Count == 0)
        {
            return;
        }

        var texts = unknown.Select(path => $"unknown field \"{path}\"").ToList();
        switch (request["fieldValidation"])
        {
            case "Strict":
                throw ApiException.BadRequest(CannotHandle(request.Type, "strict decoding error: " + string.Join(", ", texts)));
            case "Ignore":
                break;
            default:
                foreach (var text in texts)
                {
                    request.Context.Response.Headers.Append("Warning", $"299 - \"{text.Replace("\"", "\\\"", StringComparison.Ordinal)}\"");
                }

                break;
        }
    }

    public static string CannotHandle(ResourceType type, string why) =>
        $"{type.Kind} in version \"{type.Version}\" cannot be handled as a {type.Kind}: {why}";

    /// <summary>JSON, whole and without duplicate members.</summary>
    /// <exception cref="JsonException">It is none.</exception>
    public static JsonNode? Parse(byte[] bytes) => JsonNode.Parse(bytes, documentOptions: NoDuplicates);

    private static JsonObject Decode(HttpContext context, byte[] bytes, string kind)
    {
        var mediaType = context.Request.ContentType?.Split(';')[0].Trim() ?? "";
        switch (mediaType)
        {
            case Protobuf:
                try
                {
                    return ProtobufReader.Read(bytes);
                }
                catch (ShapeException wrong)
                {
                    throw ApiException.BadRequest(wrong.Message);
                }

            case "application/yaml" or "text/yaml":
                throw ApiException.NotImplemented("YAML request bodies (kubectl and helm send JSON)");
            // The bodies of create --raw and replace --raw have no type.
            case "" or "application/json":
                break;
            default:
                throw new ApiException(
                    415,
                    "UnsupportedMediaType",
                    "the body of the request was in an unknown format - accepted media types include: application/json, "
                    + "application/vnd.kubernetes.protobuf");
        }

        string reason;
        try
        {
            if (Parse(bytes) is JsonObject value)
            {
                return value;
            }

            reason = "json: cannot unmarshal array into Go value of type struct "
                + "{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }";
        }
        catch (JsonException wrong)
        {
            reason = bytes.Length == 0
                || wrong.Message.Contains("complete", StringComparison.Ordinal)
                || wrong.Message.Contains("end of data", StringComparison.Ordinal)
                ? "unexpected end of JSON input"
                : wrong.Message;
        }

        var text = Encoding.UTF8.GetString(bytes);
        var shown = text.Length == 0 ? "<empty>" : text.Length > 30 ? text[..30] + " ..." : text;
        throw ApiException.BadRequest(
            $"the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse error: {reason} "
            + $"({shown})");
    }

    private static ApiException TooLarge() => new(413, "RequestEntityTooLarge", $"Request entity too large: limit is {Limit}");
}
