using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Rehearsal.Cluster;

/// <summary>Writes answers: single objects, lists, Status objects, each in the form the client accepts.</summary>
internal static class Answer
{
    private const string Json = "application/json";

    public static Task ObjectAsync(ApiRequest request, JsonObject value, DateTimeOffset now, int code = 200)
    {
        var form = Accept.Form(request.Context.Request);
        var buffer = new ArrayBufferWriter<byte>(2048);
        switch (form)
        {
            case AnswerForm.Table:
                Table.Write(buffer, request.Type, [value], ListMetadata(value), Rows(request), now);
                break;
            case AnswerForm.Partial:
                using (var writer = new Utf8JsonWriter(buffer, StoredJson.WriterOptions))
                {
                    Table.WritePartial(writer, value);
                }

                break;
            default:
                using (var writer = new Utf8JsonWriter(buffer, StoredJson.WriterOptions))
                {
                    value.WriteTo(writer);
                }

                break;
        }

        return BytesAsync(request.Context, code, Json, buffer.WrittenMemory);
    }

    public static Task ListAsync(ApiRequest request, IReadOnlyList<StoredObject> items, JsonObject metadata, DateTimeOffset now)
    {
        var buffer = new ArrayBufferWriter<byte>(Math.Max(512, items.Sum(item => item.Json.Length) + 512));
        switch (Accept.Form(request.Context.Request))
        {
            case AnswerForm.Table:
                Table.Write(buffer, request.Type, items.Select(item => item.Object).ToList(), metadata, Rows(request), now);
                break;
            case AnswerForm.Partial:
                using (var writer = new Utf8JsonWriter(buffer, StoredJson.WriterOptions))
                {
                    Head(writer, "PartialObjectMetadataList", "meta.k8s.io/v1", metadata);
                    foreach (var item in items)
                    {
                        Table.WritePartial(writer, item.Object);
                    }

                    writer.WriteEndArray();
                    writer.WriteEndObject();
                }

                break;
            default:
                Plain(buffer, request.Type, items, metadata);
                break;
        }

        return BytesAsync(request.Context, 200, Json, buffer.WrittenMemory);
    }

    public static Task JsonAsync(HttpContext context, int code, JsonNode value, string contentType = Json) =>
        BytesAsync(context, code, contentType, StoredJson.ToBytes(value));

    public static Task FailureAsync(HttpContext context, ApiException failure)
    {
        if (failure.RetryAfterSeconds is { } seconds)
        {
            context.Response.Headers.RetryAfter = seconds.ToString(CultureInfo.InvariantCulture);
        }

        return JsonAsync(context, failure.Code, failure.ToStatus());
    }

    public static Task TextAsync(HttpContext context, int code, string text) =>
        BytesAsync(context, code, "text/plain; charset=utf-8", Encoding.UTF8.GetBytes(text));

    /// <summary>The Status that a deletion which is complete answers with.</summary>
    public static JsonObject Deleted(ResourceType type, JsonObject value)
    {
        var details = new JsonObject { ["name"] = value.At("metadata").Text("name") };
        if (type.Group.Length > 0)
        {
            details["group"] = type.Group;
        }

        details["kind"] = type.Name;
        details["uid"] = value.At("metadata").Text("uid");
        return new JsonObject
        {
            ["kind"] = "Status",
            ["apiVersion"] = "v1",
            ["metadata"] = new JsonObject(),
            ["status"] = "Success",
            ["details"] = details,
        };
    }

    public static JsonObject Success(int code) =>
        new() { ["kind"] = "Status", ["apiVersion"] = "v1", ["metadata"] = new JsonObject(), ["status"] = "Success", ["code"] = code };

    public static async Task BytesAsync(HttpContext context, int code, string contentType, ReadOnlyMemory<byte> body)
    {
        var response = context.Response;
        response.StatusCode = code;
        response.ContentType = contentType;
        response.ContentLength = body.Length;
        response.Headers.CacheControl = "no-cache, private";
        if (!HttpMethods.IsHead(context.Request.Method))
        {
            await response.Body.WriteAsync(body, context.RequestAborted);
        }
    }

    public static RowObject Rows(ApiRequest request) => request["includeObject"] switch
    {
        "Object" => RowObject.Object,
        "None" => RowObject.None,
        _ => RowObject.Metadata,
    };

    private static JsonObject ListMetadata(JsonObject value) =>
        new() { ["resourceVersion"] = value.At("metadata").Text("resourceVersion") };

    /// <summary>A list's items leave kind and apiVersion out; the stored text begins with just these.</summary>
    private static void Plain(ArrayBufferWriter<byte> buffer, ResourceType type, IReadOnlyList<StoredObject> items, JsonObject metadata)
    {
        using (var writer = new Utf8JsonWriter(buffer, StoredJson.WriterOptions))
        {
            Head(writer, type.Kind + "List", type.ApiVersion, metadata);
        }

        for (var i = 0; i < items.Count; i++)
        {
            buffer.Write(i == 0 ? "{"u8 : ",{"u8);
            buffer.Write(items[i].Body.Span);
        }

        buffer.Write("]}"u8);
    }

    private static void Head(Utf8JsonWriter writer, string kind, string apiVersion, JsonObject metadata)
    {
        writer.WriteStartObject();
        writer.WriteString("kind", kind);
        writer.WriteString("apiVersion", apiVersion);
        writer.WritePropertyName("metadata");
        metadata.WriteTo(writer);
        writer.WriteStartArray("items");
        writer.Flush();
    }
}
